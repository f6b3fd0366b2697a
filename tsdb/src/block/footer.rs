//! Header, footer and trailer: what is where in the file. The drawing is in the module's text.

use std::ops::Range;

use super::bytes::{Cursor, Taken, put_i64, put_len, put_str, put_u64};

/// First bytes of the file.
pub(super) const MAGIC: [u8; 8] = *b"MHblock\n";
/// Last bytes of the file.
pub(super) const END_MAGIC: [u8; 8] = *b"MHblkend";
/// What this code writes and reads.
pub(super) const VERSION: u16 = 1;
/// Magic, version, pco's format version, four zero bytes.
pub(super) const HEADER_LEN: usize = 16;
/// Footer length, footer checksum, file length, magic.
pub(super) const TRAILER_LEN: usize = 28;

/// The sections in the order in which they lie in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Section {
    /// Value and timestamp chunks.
    Columns = 0,
    /// Where each timestamp chunk lies.
    Times = 1,
    /// Label names and values.
    Symbols = 2,
    /// Labels and chunks of each series.
    Series = 3,
    /// Long lists of series numbers.
    Postings = 4,
    /// Label pairs with their lists.
    Pairs = 5,
}

/// Number of sections.
pub(super) const SECTIONS: usize = 6;

/// A section's place and the checksum of all its bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct SectionPlace {
    pub(super) offset: u64,
    pub(super) len: u64,
    pub(super) crc: u32,
}

/// A part of a section with a checksum of its own behind it, read as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Page {
    /// From the start of the file.
    pub(super) offset: u64,
    /// With the checksum.
    pub(super) len: u32,
    /// Number of the first thing in it.
    pub(super) first: u64,
}

/// The pages of one section; what of it stays in memory.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Pages {
    pub(super) pages: Vec<Page>,
    /// Number of things on all pages.
    pub(super) count: u64,
}

impl Pages {
    /// The page that holds a thing.
    pub(super) fn holding(&self, number: u64) -> Option<usize> {
        if number >= self.count {
            return None;
        }
        self.pages
            .partition_point(|page| page.first <= number)
            .checked_sub(1)
    }

    /// The numbers of the things on a page.
    pub(super) fn numbers(&self, page: usize) -> Range<u64> {
        let first = self.pages.get(page).map_or(self.count, |p| p.first);
        let end = self.pages.get(page + 1).map_or(self.count, |p| p.first);
        first..end
    }

    fn encode(&self, out: &mut Vec<u8>) {
        put_u64(out, self.count);
        put_len(out, self.pages.len());
        let mut before = 0;
        for page in &self.pages {
            put_u64(out, u64::from(page.len));
            put_u64(out, page.first - before);
            before = page.first;
        }
    }

    /// Pages must lie in their section end to end and hold at least one thing each.
    fn decode(cursor: &mut Cursor<'_>, section: SectionPlace) -> Taken<Self> {
        let count = cursor.u64()?;
        let pages_len = cursor.count()?;
        let mut pages = Vec::with_capacity(pages_len);
        let mut offset = section.offset;
        let mut first = 0u64;
        for at in 0..pages_len {
            let len = cursor.u32()?;
            let step = cursor.u64()?;
            let end = offset
                .checked_add(u64::from(len))
                .ok_or_else(|| cursor.damage("a page is too long"))?;
            first = first
                .checked_add(step)
                .ok_or_else(|| cursor.damage("a page starts too late"))?;
            if len <= 4 || end > section.offset + section.len || (step == 0) != (at == 0) || first >= count {
                return Err(cursor.damage("a page does not fit its section"));
            }
            pages.push(Page { offset, len, first });
            offset = end;
        }
        if offset != section.offset + section.len || pages.is_empty() != (count == 0) {
            return Err(cursor.damage("the pages do not fill their section"));
        }
        Ok(Self { pages, count })
    }
}

/// All that the footer says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Footer {
    pub(super) level: u8,
    pub(super) min_ms: i64,
    pub(super) max_ms: i64,
    pub(super) samples: u64,
    /// Blocks that this one was compacted from.
    pub(super) sources: Vec<String>,
    pub(super) sections: [SectionPlace; SECTIONS],
    pub(super) times: Pages,
    pub(super) symbols: Pages,
    pub(super) series: Pages,
    pub(super) pairs: Pages,
    /// First label pair of each page of `pairs`.
    pub(super) pair_keys: Vec<(String, String)>,
}

impl Footer {
    pub(super) fn section(&self, section: Section) -> SectionPlace {
        self.sections[section as usize]
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = vec![self.level];
        put_i64(&mut out, self.min_ms);
        put_i64(&mut out, self.max_ms);
        put_u64(&mut out, self.samples);
        put_len(&mut out, self.sources.len());
        for source in &self.sources {
            put_str(&mut out, source);
        }
        for section in &self.sections {
            put_u64(&mut out, section.offset);
            put_u64(&mut out, section.len);
            out.extend_from_slice(&section.crc.to_le_bytes());
        }
        for pages in [&self.times, &self.symbols, &self.series, &self.pairs] {
            pages.encode(&mut out);
        }
        for (name, value) in &self.pair_keys {
            put_str(&mut out, name);
            put_str(&mut out, value);
        }
        out
    }

    /// `footer_at` is where the footer lies in the file: the sections must fill all between header and footer.
    pub(super) fn decode(bytes: &[u8], footer_at: u64) -> Taken<Self> {
        let mut cursor = Cursor::new(bytes);
        let mut footer = Self {
            level: cursor.u8()?,
            ..Self::default()
        };
        (footer.min_ms, footer.max_ms) = (cursor.i64()?, cursor.i64()?);
        footer.samples = cursor.u64()?;
        for _ in 0..cursor.count()? {
            footer.sources.push(cursor.str()?.to_owned());
        }
        let mut next = u64::try_from(HEADER_LEN).unwrap_or(0);
        for section in &mut footer.sections {
            section.offset = cursor.u64()?;
            section.len = cursor.u64()?;
            section.crc = u32::from_le_bytes(cursor.array()?);
            if section.offset != next || section.len > footer_at.saturating_sub(next) {
                return Err(cursor.damage("a section does not lie where the one before ends"));
            }
            next += section.len;
        }
        if next != footer_at {
            return Err(cursor.damage("the sections do not end where the footer starts"));
        }
        footer.times = Pages::decode(&mut cursor, footer.section(Section::Times))?;
        footer.symbols = Pages::decode(&mut cursor, footer.section(Section::Symbols))?;
        footer.series = Pages::decode(&mut cursor, footer.section(Section::Series))?;
        footer.pairs = Pages::decode(&mut cursor, footer.section(Section::Pairs))?;
        for _ in 0..footer.pairs.pages.len() {
            footer
                .pair_keys
                .push((cursor.str()?.to_owned(), cursor.str()?.to_owned()));
        }
        if !cursor.is_done() || !footer.pair_keys.is_sorted() || footer.min_ms > footer.max_ms {
            return Err(cursor.damage("the footer contradicts itself"));
        }
        if footer.series.count > u64::from(u32::MAX) || footer.times.count > u64::from(u32::MAX) {
            return Err(cursor.damage("too many series"));
        }
        Ok(footer)
    }
}
