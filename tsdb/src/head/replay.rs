//! Rebuilds the head from the log at start, before anyone else can see it, so without locks.
//!
//! A record holds one sample of many series, and the next record of the same series again. Samples wait by page until there are
//! some for each of its series: then a page is worked on while it is in the processor's cache.

use std::sync::atomic::{AtomicI64, AtomicU64};
use std::sync::{Arc, RwLock};

use model::Labels;

use crate::chunk::ClosedChunk;
use crate::postings::Postings;
use crate::wal::{
    ChunkRecord, KIND_CHUNK, KIND_SAMPLES, KIND_SERIES, decode_chunks, decode_samples, decode_series,
};

use super::series::Series;
use super::table::Table;
use super::{Head, PAGE_SERIES, Page, Slots, place};

/// A number in the log may mean a series that has another one by now.
const SAME: u32 = u32::MAX;

/// Samples that wait in a page before it is worked on, and the memory that all pages may use for it.
const WAITING: usize = 2048;
const WAITING_BYTES: usize = 8 << 20;

/// A sample that waits for its page.
#[derive(Debug, Clone, Copy)]
struct Waiting {
    t_ms: i64,
    value: f64,
    series: u32,
}

/// A head under construction.
#[derive(Debug)]
pub(crate) struct Replay {
    pages: Vec<Slots>,
    /// By page, as `pages` or shorter.
    waiting: Vec<Vec<Waiting>>,
    table: Table,
    /// For numbers whose labels came again under a new number: the first number. `SAME` elsewhere.
    aliases: Vec<u32>,
    /// Samples before this are in blocks.
    from_ms: i64,
    next: u32,
    min_ms: i64,
    max_ms: i64,
    /// Samples that found their place.
    pub(crate) samples: u64,
    /// Samples whose series no record names: that record was lost.
    pub(crate) orphans: u64,
    /// Records of a kind that this version does not know.
    pub(crate) unknown_records: u64,
}

impl Replay {
    /// Samples before `from_ms` will be left out.
    pub(crate) fn new(from_ms: i64) -> Self {
        Self {
            pages: Vec::new(),
            waiting: Vec::new(),
            table: Table::default(),
            aliases: Vec::new(),
            from_ms,
            next: 1,
            min_ms: i64::MAX,
            max_ms: i64::MIN,
            samples: 0,
            orphans: 0,
            unknown_records: 0,
        }
    }

    /// Applies one record; false when its content makes no sense.
    pub(crate) fn record(&mut self, kind: u8, payload: &[u8]) -> bool {
        match kind {
            KIND_SERIES => {
                let mut good = true;
                decode_series(payload, |series, labels| good &= self.series(series, labels)).is_some() && good
            }
            KIND_SAMPLES => {
                decode_samples(payload, |series, t_ms, value| self.sample(series, t_ms, value)).is_some()
            }
            KIND_CHUNK => {
                let mut good = true;
                decode_chunks(payload, |chunk| good &= self.chunk(chunk)).is_some() && good
            }
            _ => {
                self.unknown_records += 1;
                true
            }
        }
    }

    fn series(&mut self, series: u32, encoded: &str) -> bool {
        if series == SAME {
            return false;
        }
        self.next = self.next.max(series + 1);
        if let Some(old) = self.slot(series) {
            // The same record again (checkpoint and segment) is fine, another meaning is not.
            return old.labels().encoded() == encoded;
        }
        let Ok((number, labels)) = self.table.get_or_insert(encoded, series) else {
            return false;
        };
        let (page, slot) = place(series);
        match labels {
            Some(labels) => {
                if self.pages.len() <= page {
                    self.pages.resize_with(page + 1, Vec::new);
                }
                let slots = &mut self.pages[page];
                if slots.len() <= slot {
                    slots.reserve_exact(PAGE_SERIES - slots.len());
                    slots.resize_with(slot + 1, || None);
                }
                slots[slot] = Some(Series::new(labels));
            }
            None => {
                let at = page * PAGE_SERIES + slot;
                if self.aliases.len() <= at {
                    self.aliases.resize(at + 1, SAME);
                }
                self.aliases[at] = number;
            }
        }
        true
    }

    /// The number that a number stands for: itself, but for an alias.
    fn number(&self, series: u32) -> u32 {
        if self.aliases.is_empty() {
            return series;
        }
        let (page, slot) = place(series);
        match self.aliases.get(page * PAGE_SERIES + slot) {
            Some(&SAME) | None => series,
            Some(&alias) => alias,
        }
    }

    /// The series of a number, alias or not.
    fn slot(&mut self, series: u32) -> Option<&mut Series> {
        let (page, slot) = place(self.number(series));
        self.pages.get_mut(page)?.get_mut(slot)?.as_mut()
    }

    fn sample(&mut self, series: u32, t_ms: i64, value: f64) {
        if t_ms < self.from_ms {
            return;
        }
        let number = self.number(series);
        let (page, _) = place(number);
        if page >= self.pages.len() {
            self.orphan(series);
            return;
        }
        if self.waiting.len() <= page {
            self.waiting.resize_with(self.pages.len(), Vec::new);
        }
        let waiting = &mut self.waiting[page];
        waiting.push(Waiting {
            t_ms,
            value,
            series: number,
        });
        let most = WAITING_BYTES / size_of::<Waiting>() / self.pages.len();
        if waiting.len() >= most.min(WAITING) {
            self.flush(page);
        }
    }

    /// Counts a sample whose series no record names.
    fn orphan(&mut self, series: u32) {
        self.orphans += 1;
        // Never given to another series while records with it are in the log.
        self.next = self.next.max(series.saturating_add(1).min(SAME - 1));
    }

    /// Gives the samples that wait in a page to its series.
    fn flush(&mut self, page: usize) {
        let Some(waiting) = self.waiting.get_mut(page) else {
            return;
        };
        let mut waiting = std::mem::take(waiting);
        for sample in &waiting {
            let (_, slot) = place(sample.series);
            let Some(Some(entry)) = self.pages.get_mut(page).and_then(|slots| slots.get_mut(slot)) else {
                self.orphan(sample.series);
                continue;
            };
            // Out of order means that it was replayed from the checkpoint already, or refused when it was committed.
            if entry.append(sample.t_ms, sample.value) == super::series::Verdict::Append {
                self.samples += 1;
                self.min_ms = self.min_ms.min(sample.t_ms);
                self.max_ms = self.max_ms.max(sample.t_ms);
            }
        }
        waiting.clear();
        self.waiting[page] = waiting;
    }

    /// Gives all samples that wait to their series. To be called when the log is at its end, before counts are looked at.
    pub(crate) fn flush_all(&mut self) {
        (0..self.waiting.len()).for_each(|page| self.flush(page));
        self.waiting = Vec::new();
    }

    fn chunk(&mut self, chunk: ChunkRecord<'_>) -> bool {
        if chunk.max_ms < self.from_ms {
            return true;
        }
        let ChunkRecord {
            series,
            count,
            min_ms,
            max_ms,
            code,
        } = chunk;
        // What was read before comes before.
        self.flush(place(self.number(series)).0);
        let Some(entry) = self.slot(series) else {
            self.orphans += u64::from(count);
            return true;
        };
        if !entry.restore(ClosedChunk {
            min_ms,
            max_ms,
            count,
            bytes: Box::from(code),
        }) {
            return false;
        }
        self.samples += u64::from(count);
        self.min_ms = self.min_ms.min(min_ms.max(self.from_ms));
        self.max_ms = self.max_ms.max(max_ms);
        true
    }

    /// The head, its table and the next free number.
    pub(crate) fn finish(mut self) -> (Head, Table, u32) {
        self.flush_all();
        let mut postings = Postings::default();
        let mut series = 0;
        for (page_number, slots) in self.pages.iter().enumerate() {
            for (slot, entry) in slots.iter().enumerate() {
                let number = u32::try_from(page_number * PAGE_SERIES + slot).ok();
                if let (Some(entry), Some(number)) = (entry, number) {
                    let labels: &Labels = entry.labels();
                    postings.add(number, labels);
                    series += 1;
                }
            }
        }
        postings.shrink();
        let pages = self
            .pages
            .into_iter()
            .map(|slots| {
                Arc::new(Page {
                    slots: RwLock::new(slots),
                })
            })
            .collect();
        let head = Head {
            pages: RwLock::new(Arc::new(pages)),
            postings: RwLock::new(postings),
            min_ms: AtomicI64::new(self.min_ms),
            max_ms: AtomicI64::new(self.max_ms),
            written_ms: AtomicI64::new(self.min_ms),
            series: AtomicU64::new(series),
        };
        (head, self.table, self.next)
    }
}
