//! Finding series: matchers to series numbers through the pairs, numbers to labels and chunks through the pages.

use std::collections::hash_map::Entry;
use std::collections::{BTreeSet, HashMap};
use std::ops::Range;
use std::sync::Arc;

use model::{Cancel, Labels, MatchOp, Matcher};

use super::bytes::Cursor;
use super::footer::{Page, Section};
use super::index::{ListPlace, Pair, PairDecoder, SeriesDecoder, TIMES_ENTRY, TimesEntry, decode_list};
use super::reader::Block;
use super::series::{BlockSeries, Chunk, TimesCache};
use super::{BlockError, go_on};

/// Pages of 8 KiB that a walk over a block keeps.
const LOOKUP_PAGES: usize = 64;

/// Symbols of one page in the spelling of [`Labels`]: length and text.
#[derive(Debug)]
struct SymbolPage {
    text: String,
    /// Where each symbol ends.
    ends: Vec<usize>,
}

/// Index pages read for one selection.
#[derive(Debug, Default)]
pub(super) struct Lookup {
    symbols: HashMap<usize, SymbolPage>,
    times: HashMap<usize, Vec<u8>>,
    labels: String,
}

impl Lookup {
    /// Forgets pages when there are many: for walks over a whole block, which would collect all of them.
    pub(super) fn trim(&mut self) {
        if self.symbols.len() + self.times.len() > LOOKUP_PAGES {
            self.symbols.clear();
            self.times.clear();
        }
    }

    fn push_symbol(&mut self, block: &Block, number: u32) -> Result<(), BlockError> {
        let pages = &block.footer.symbols;
        let start = block.footer.section(Section::Symbols).offset;
        let missing = || block.corrupt(start, "a series names a symbol that is not there");
        let number = u64::from(number);
        let at = pages.holding(number).ok_or_else(missing)?;
        let place = *pages.pages.get(at).ok_or_else(missing)?;
        let page = match self.symbols.entry(at) {
            Entry::Occupied(entry) => entry.into_mut(),
            Entry::Vacant(entry) => entry.insert(read_symbols(block, place, pages.numbers(at))?),
        };
        let row = usize::try_from(number - place.first).unwrap_or(usize::MAX);
        let from = row.checked_sub(1).map_or(Some(0), |r| page.ends.get(r).copied());
        let text = from
            .zip(page.ends.get(row))
            .and_then(|(from, &to)| page.text.get(from..to));
        self.labels.push_str(text.ok_or_else(missing)?);
        Ok(())
    }

    fn labels(&mut self, block: &Block, pairs: &[(u32, u32)]) -> Result<Labels, BlockError> {
        self.labels.clear();
        for &(name, value) in pairs {
            self.push_symbol(block, name)?;
            self.push_symbol(block, value)?;
        }
        let start = block.footer.section(Section::Series).offset;
        Labels::from_encoded(&self.labels).map_err(|e| block.corrupt(start, &e.to_string()))
    }

    fn times(&mut self, block: &Block, number: u32) -> Result<TimesEntry, BlockError> {
        let pages = &block.footer.times;
        let section = block.footer.section(Section::Times).offset;
        let missing = || block.corrupt(section, "a series names a timestamp chunk that is not there");
        let at = pages.holding(u64::from(number)).ok_or_else(missing)?;
        let page = pages.pages.get(at).ok_or_else(missing)?;
        let bytes = match self.times.entry(at) {
            Entry::Occupied(entry) => entry.into_mut(),
            Entry::Vacant(entry) => entry.insert(block.page(*page)?),
        };
        let row = usize::try_from(u64::from(number) - page.first).unwrap_or(usize::MAX);
        let start = row.saturating_mul(TIMES_ENTRY);
        let bytes = bytes
            .get(start..start.saturating_add(TIMES_ENTRY))
            .ok_or_else(missing)?;
        TimesEntry::decode(&mut Cursor::new(bytes)).map_err(block.damaged(page.offset + start as u64))
    }
}

fn read_symbols(block: &Block, page: Page, numbers: Range<u64>) -> Result<SymbolPage, BlockError> {
    let damage = |at: usize| block.corrupt(page.offset + at as u64, "a page of symbols is damaged");
    let text = String::from_utf8(block.page(page)?).map_err(|e| damage(e.utf8_error().valid_up_to()))?;
    let bytes = text.as_bytes();
    let mut ends = Vec::new();
    let mut at = 0usize;
    while at < bytes.len() {
        let (mut len, mut shift) = (0usize, 0u32);
        loop {
            let byte = *bytes
                .get(at)
                .filter(|b| **b < 0x80 && shift <= 30)
                .ok_or_else(|| damage(at))?;
            at += 1;
            len |= usize::from(byte & 0x3f) << shift;
            shift += 6;
            if byte & 0x40 == 0 {
                break;
            }
        }
        at = at
            .checked_add(len)
            .filter(|end| *end <= bytes.len())
            .ok_or_else(|| damage(at))?;
        ends.push(at);
    }
    if ends.len() as u64 != numbers.end - numbers.start {
        return Err(damage(0));
    }
    Ok(SymbolPage { text, ends })
}

/// The lists of the values of one label that a matcher picks.
#[derive(Debug, Default)]
struct Lists {
    lists: Vec<(u32, OwnedList)>,
    total: u64,
}

#[derive(Debug)]
enum OwnedList {
    Inline(Vec<u8>),
    Elsewhere { offset: u64, len: u32, crc: u32 },
}

impl Lists {
    fn push(&mut self, pair: &Pair<'_, '_>) {
        self.total += u64::from(pair.count);
        let list = match pair.list {
            ListPlace::Inline(bytes) => OwnedList::Inline(bytes.to_vec()),
            ListPlace::Elsewhere { offset, len, crc } => OwnedList::Elsewhere { offset, len, crc },
        };
        self.lists.push((pair.count, list));
    }

    /// The series on any of the lists, rising.
    fn union(&self, block: &Block) -> Result<Vec<u32>, BlockError> {
        let mut out =
            Vec::with_capacity(usize::try_from(self.total.min(block.footer.series.count)).unwrap_or(0));
        for (count, list) in &self.lists {
            match list {
                OwnedList::Inline(bytes) => {
                    let pairs = block.footer.section(Section::Pairs).offset;
                    decode_list(bytes, *count, block.footer.series.count, &mut out)
                        .map_err(block.damaged(pairs))?;
                }
                OwnedList::Elsewhere { offset, len, crc } => {
                    block.far_list(*offset, *len, *crc, *count, &mut out)?;
                }
            }
        }
        if self.lists.len() > 1 {
            out.sort();
            out.dedup();
        }
        Ok(out)
    }
}

impl Block {
    /// The series that fulfil all matchers and have a chunk that overlaps the time range (both ends inclusive), sorted by
    /// labels. A label that is not there has the empty value. No matchers: all series.
    ///
    /// # Errors
    /// [`BlockError::Corrupt`], [`BlockError::Io`], [`BlockError::Cancelled`].
    pub fn select(
        self: &Arc<Self>,
        matchers: &[Matcher],
        start_ms: i64,
        end_ms: i64,
        cancel: &Cancel,
    ) -> Result<Vec<(Labels, BlockSeries)>, BlockError> {
        let mut found = Vec::new();
        if start_ms > end_ms || end_ms < self.meta().min_ms || start_ms > self.meta().max_ms {
            return Ok(found);
        }
        let numbers = self.matching(matchers, cancel)?;
        let mut lookup = Lookup::default();
        let cache = Arc::new(TimesCache::default());
        let mut rest = numbers.as_slice();
        while let Some(&next) = rest.first() {
            go_on(cancel)?;
            let page = self.footer.series.holding(u64::from(next)).unwrap_or(0);
            let end = self.footer.series.numbers(page).end;
            let here = rest.partition_point(|n| u64::from(*n) < end).max(1);
            self.series_on_page(
                page,
                Some(&rest[..here]),
                (start_ms, end_ms),
                &mut lookup,
                &cache,
                &mut found,
            )?;
            rest = &rest[here..];
        }
        Ok(found)
    }

    /// Appends series of a page: those `wanted` (all with `None`) that overlap the time range.
    pub(super) fn series_on_page(
        self: &Arc<Self>,
        page: usize,
        wanted: Option<&[u32]>,
        (start_ms, end_ms): (i64, i64),
        lookup: &mut Lookup,
        cache: &Arc<TimesCache>,
        found: &mut Vec<(Labels, BlockSeries)>,
    ) -> Result<(), BlockError> {
        let Some(&place) = self.footer.series.pages.get(page) else {
            return Err(self.corrupt(
                self.footer.section(Section::Series).offset,
                "no such page of series",
            ));
        };
        let bytes = self.page(place)?;
        let mut decoder = SeriesDecoder::new(&bytes);
        let mut wanted = wanted.map(|w| w.iter().map(|n| u64::from(*n)).peekable());
        for number in self.footer.series.numbers(page) {
            if wanted.as_mut().is_some_and(|w| w.peek().is_none()) {
                return Ok(());
            }
            decoder.step().map_err(self.damaged(place.offset))?;
            if wanted.as_mut().is_some_and(|w| w.next_if_eq(&number).is_none()) {
                continue;
            }
            let mut chunks = Vec::with_capacity(decoder.chunks.len());
            for entry in &decoder.chunks {
                let times = lookup.times(self, entry.times)?;
                let chunk = Chunk::new(entry, times);
                chunks
                    .push(chunk.ok_or_else(|| self.corrupt(place.offset, "a chunk does not fit its times"))?);
            }
            if !chunks.windows(2).all(|pair| pair[0].max_ms < pair[1].min_ms) {
                return Err(self.corrupt(place.offset, "the chunks of a series do not follow each other"));
            }
            if chunks.iter().any(|c| c.min_ms <= end_ms && c.max_ms >= start_ms) {
                let labels = lookup.labels(self, &decoder.pairs)?;
                found.push((
                    labels,
                    BlockSeries::new(Arc::clone(self), Arc::clone(cache), chunks.into()),
                ));
            }
        }
        if !decoder.cursor.is_done() {
            return Err(self.corrupt(place.offset, "a page of series holds more than it says"));
        }
        Ok(())
    }

    /// The label names of series that fulfil the matchers within the time range, sorted.
    ///
    /// # Errors
    /// As [`Block::select`].
    pub fn label_names(
        self: &Arc<Self>,
        matchers: &[Matcher],
        start_ms: i64,
        end_ms: i64,
        cancel: &Cancel,
    ) -> Result<Vec<String>, BlockError> {
        let mut names = BTreeSet::new();
        if self.is_all(matchers, start_ms, end_ms) {
            for page in 0..self.footer.pairs.pages.len() {
                go_on(cancel)?;
                self.pairs_on_page(page, |pair| {
                    if !names.contains(pair.name) {
                        names.insert(pair.name.to_owned());
                    }
                    Ok(true)
                })?;
            }
        } else {
            for (labels, _) in self.select(matchers, start_ms, end_ms, cancel)? {
                for (name, _) in &labels {
                    if !names.contains(name) {
                        names.insert(name.to_owned());
                    }
                }
            }
        }
        Ok(names.into_iter().collect())
    }

    /// The values of one label on series that fulfil the matchers within the time range, sorted.
    ///
    /// # Errors
    /// As [`Block::select`].
    pub fn label_values(
        self: &Arc<Self>,
        name: &str,
        matchers: &[Matcher],
        start_ms: i64,
        end_ms: i64,
        cancel: &Cancel,
    ) -> Result<Vec<String>, BlockError> {
        let mut values = BTreeSet::new();
        if self.is_all(matchers, start_ms, end_ms) {
            self.pairs_named(name, "", cancel, |pair| {
                values.insert(pair.value.to_owned());
                Ok(true)
            })?;
        } else {
            for (labels, _) in self.select(matchers, start_ms, end_ms, cancel)? {
                if let Some(value) = labels.get(name).filter(|value| !values.contains(*value)) {
                    values.insert(value.to_owned());
                }
            }
        }
        Ok(values.into_iter().collect())
    }

    /// Every series of the block is meant, so that the pairs alone give the answer.
    fn is_all(&self, matchers: &[Matcher], start_ms: i64, end_ms: i64) -> bool {
        matchers.is_empty() && start_ms <= self.meta().min_ms && end_ms >= self.meta().max_ms
    }

    /// The numbers of the series that fulfil all matchers, rising.
    fn matching(&self, matchers: &[Matcher], cancel: &Cancel) -> Result<Vec<u32>, BlockError> {
        let (mut wanted, mut unwanted) = (Vec::new(), Vec::new());
        for matcher in matchers {
            go_on(cancel)?;
            if matcher.matches_empty() {
                // Series without the label match, so those with a value that does not are taken away.
                unwanted.push(self.lists_of(matcher, false, cancel)?);
            } else {
                wanted.push(self.lists_of(matcher, true, cancel)?);
            }
        }
        wanted.sort_by_key(|lists| lists.total);
        let mut numbers: Option<Vec<u32>> = None;
        for lists in &wanted {
            let next = lists.union(self)?;
            let both = numbers.map_or_else(|| next.clone(), |before| intersect(&before, &next));
            if both.is_empty() {
                return Ok(both);
            }
            numbers = Some(both);
        }
        let series = u32::try_from(self.footer.series.count).unwrap_or(u32::MAX);
        let mut numbers = numbers.unwrap_or_else(|| (0..series).collect());
        for lists in &unwanted {
            go_on(cancel)?;
            let gone = lists.union(self)?;
            let mut gone = gone.iter().copied().peekable();
            numbers.retain(|number| {
                while gone.next_if(|g| g < number).is_some() {}
                gone.peek() != Some(number)
            });
        }
        Ok(numbers)
    }

    /// The lists of those values of the matcher's label for which `matches` gives `want`.
    fn lists_of(&self, matcher: &Matcher, want: bool, cancel: &Cancel) -> Result<Lists, BlockError> {
        let mut lists = Lists::default();
        let name = matcher.name();
        // The only values that can be picked, when the matcher names them.
        let named = match matcher.op() {
            MatchOp::NotEqual if !want => Some(vec![matcher.value()]),
            _ if want => matcher.set_matches(),
            MatchOp::Regex if matcher.value() == ".*" => Some(Vec::new()),
            _ => None,
        };
        if let Some(mut values) = named {
            values.sort_unstable();
            values.dedup();
            for value in values.into_iter().filter(|v| !v.is_empty()) {
                self.pairs_named(name, value, cancel, |pair| {
                    if pair.value == value {
                        lists.push(pair);
                    }
                    Ok(pair.value < value)
                })?;
            }
        } else {
            self.pairs_named(name, "", cancel, |pair| {
                if matcher.matches(pair.value) == want {
                    lists.push(pair);
                }
                Ok(true)
            })?;
        }
        Ok(lists)
    }

    /// Calls `each` with the pairs of a name in rising order of the value, at the latest from `from` on, until it gives false.
    fn pairs_named(
        &self,
        name: &str,
        from: &str,
        cancel: &Cancel,
        mut each: impl FnMut(&Pair<'_, '_>) -> Result<bool, BlockError>,
    ) -> Result<(), BlockError> {
        let keys = &self.footer.pair_keys;
        let after = keys.partition_point(|(n, v)| (n.as_str(), v.as_str()) <= (name, from));
        for page in after.saturating_sub(1)..keys.len() {
            go_on(cancel)?;
            let more = self.pairs_on_page(page, |pair| match pair.name.cmp(name) {
                std::cmp::Ordering::Less => Ok(true),
                std::cmp::Ordering::Equal => each(pair),
                std::cmp::Ordering::Greater => Ok(false),
            })?;
            if !more {
                break;
            }
        }
        Ok(())
    }

    /// Calls `each` with the pairs of a page until it gives false; gives whether all were seen.
    pub(super) fn pairs_on_page(
        &self,
        page: usize,
        mut each: impl FnMut(&Pair<'_, '_>) -> Result<bool, BlockError>,
    ) -> Result<bool, BlockError> {
        let Some(&place) = self.footer.pairs.pages.get(page) else {
            return Ok(false);
        };
        let bytes = self.page(place)?;
        let mut decoder = PairDecoder::new(&bytes);
        for _ in self.footer.pairs.numbers(page) {
            let pair = decoder.step().map_err(self.damaged(place.offset))?;
            if !each(&pair)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Appends a list that lies in the postings section.
    pub(super) fn far_list(
        &self,
        offset: u64,
        len: u32,
        crc: u32,
        count: u32,
        out: &mut Vec<u32>,
    ) -> Result<(), BlockError> {
        let postings = self.footer.section(Section::Postings);
        let end = offset.checked_add(u64::from(len));
        if end.is_none_or(|end| end > postings.len) {
            return Err(self.corrupt(postings.offset, "a list of series lies outside its section"));
        }
        let mut bytes = vec![0; usize::try_from(len).unwrap_or(0)];
        self.read(&mut bytes, postings.offset + offset)?;
        if !self.fits(&bytes, crc) {
            return Err(self.corrupt(postings.offset + offset, "checksum does not match"));
        }
        decode_list(&bytes, count, self.footer.series.count, out)
            .map_err(self.damaged(postings.offset + offset))
    }
}

/// Numbers in both; `few` is the shorter one.
fn intersect(few: &[u32], many: &[u32]) -> Vec<u32> {
    if few.len() * 16 < many.len() {
        return few
            .iter()
            .copied()
            .filter(|n| many.binary_search(n).is_ok())
            .collect();
    }
    let mut many = many.iter().peekable();
    let mut both = Vec::with_capacity(few.len());
    for number in few {
        while many.next_if(|m| *m < number).is_some() {}
        if many.peek() == Some(&number) {
            both.push(*number);
        }
    }
    both
}
