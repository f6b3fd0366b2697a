//! The head: the series of the last hours in memory, with chunks that still grow.
//!
//! ```text
//!   number of a series = page * 256 + slot          numbers only grow and are never used again
//!
//!   pages     page 0      page 1      ...           a lock a page: a commit holds one at a time, a query too
//!             [256 slots] [256 slots]
//!   postings  label pair -> numbers                 read by queries, written when series come and go
//!   table     labels -> number                      in the appender, for commits alone
//! ```
//!
//! There is one writer: whoever holds the [`appender::Appender`]. Series of one sender get neighbouring numbers, so
//! a commit takes few locks, each for a few microseconds.

pub(crate) mod appender;
pub(crate) mod replay;
pub(crate) mod series;
pub(crate) mod table;

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use model::{Labels, Matcher, Samples};

use crate::chunk::ChunkError;
use crate::postings::Postings;

use series::Series;

/// Series in a page.
pub(crate) const PAGE_SERIES: usize = 256;

/// A panic elsewhere must not take the store along: what the lock guards is whole after every step.
pub(crate) fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

pub(crate) fn read_lock<T: ?Sized>(lock: &RwLock<T>) -> RwLockReadGuard<'_, T> {
    lock.read().unwrap_or_else(PoisonError::into_inner)
}

pub(crate) fn write_lock<T: ?Sized>(lock: &RwLock<T>) -> RwLockWriteGuard<'_, T> {
    lock.write().unwrap_or_else(PoisonError::into_inner)
}

/// The slots of a page.
pub(crate) type Slots = Vec<Option<Series>>;

/// 256 series under one lock.
#[derive(Debug, Default)]
pub(crate) struct Page {
    pub(crate) slots: RwLock<Slots>,
}

/// Page and slot of a series.
pub(crate) fn place(series: u32) -> (usize, usize) {
    let number = usize::try_from(series).unwrap_or(usize::MAX);
    (number / PAGE_SERIES, number % PAGE_SERIES)
}

/// All pages, by their number.
pub(crate) type Pages = Arc<Vec<Arc<Page>>>;

/// The series in memory. See the module's text.
#[derive(Debug)]
pub(crate) struct Head {
    /// Shared, so that a commit or query takes them all at the price of one count.
    pages: RwLock<Pages>,
    postings: RwLock<Postings>,
    /// Time of the earliest sample that the head answers for, `i64::MAX` when there is none.
    min_ms: AtomicI64,
    /// Time of the latest, `i64::MIN` when there is none.
    max_ms: AtomicI64,
    /// Time of the earliest sample that came since [`Head::take_written`] was asked, `i64::MAX` when none came.
    written_ms: AtomicI64,
    series: AtomicU64,
}

impl Default for Head {
    fn default() -> Self {
        Self {
            pages: RwLock::default(),
            postings: RwLock::default(),
            min_ms: AtomicI64::new(i64::MAX),
            max_ms: AtomicI64::new(i64::MIN),
            written_ms: AtomicI64::new(i64::MAX),
            series: AtomicU64::new(0),
        }
    }
}

/// Figures about the head.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct HeadState {
    pub(crate) series: u64,
    pub(crate) chunks: u64,
    pub(crate) samples: u64,
    pub(crate) bytes: u64,
}

/// A series that a selection found.
#[derive(Debug)]
pub(crate) struct HeadSeries {
    pub(crate) series: u32,
    pub(crate) labels: Labels,
}

impl Head {
    pub(crate) fn min_ms(&self) -> i64 {
        self.min_ms.load(Ordering::Acquire)
    }

    pub(crate) fn max_ms(&self) -> i64 {
        self.max_ms.load(Ordering::Acquire)
    }

    pub(crate) fn series_len(&self) -> u64 {
        self.series.load(Ordering::Relaxed)
    }

    pub(crate) fn pages(&self) -> Pages {
        read_lock(&self.pages).clone()
    }

    pub(crate) fn page(&self, page: usize) -> Option<Arc<Page>> {
        read_lock(&self.pages).get(page).cloned()
    }

    pub(crate) fn postings(&self) -> RwLockReadGuard<'_, Postings> {
        read_lock(&self.postings)
    }

    /// Puts new series in place: first where a read finds them, then where a selection does. Numbers rise.
    fn add(&self, new: &[(u32, Labels)]) {
        if new.is_empty() {
            return;
        }
        {
            let mut shared = write_lock(&self.pages);
            let pages = Arc::make_mut(&mut shared);
            for (series, labels) in new {
                let (page, slot) = place(*series);
                while pages.len() <= page {
                    pages.push(Arc::default());
                }
                let mut slots = write_lock(&pages[page].slots);
                if slots.len() <= slot {
                    // One growth: pages fill up one after the other.
                    let room = PAGE_SERIES - slots.len();
                    slots.reserve_exact(room);
                    slots.resize_with(slot + 1, || None);
                }
                slots[slot] = Some(Series::new(labels.clone()));
            }
        }
        let mut postings = write_lock(&self.postings);
        for (series, labels) in new {
            postings.add(*series, labels);
        }
        self.series.fetch_add(new.len() as u64, Ordering::Relaxed);
    }

    fn widen(&self, min_ms: i64, max_ms: i64) {
        self.min_ms.fetch_min(min_ms, Ordering::AcqRel);
        self.max_ms.fetch_max(max_ms, Ordering::AcqRel);
        self.written_ms.fetch_min(min_ms, Ordering::AcqRel);
    }

    /// Time of the earliest sample that came since this was asked last, `i64::MAX` when none came. What a start replayed has
    /// come just now.
    pub(crate) fn take_written(&self) -> i64 {
        self.written_ms.swap(i64::MAX, Ordering::AcqRel)
    }

    /// The series that match and may have samples in the range, in no order.
    pub(crate) fn select(&self, matchers: &[Matcher], start_ms: i64, end_ms: i64) -> Vec<HeadSeries> {
        let pages = self.pages();
        let labels_of = |series: u32| {
            let (page, slot) = place(series);
            let slots = read_lock(&pages.get(page)?.slots);
            Some(slots.get(slot)?.as_ref()?.labels().clone())
        };
        let found = self.postings().select(matchers, labels_of);
        let mut out = Vec::with_capacity(found.len());
        let mut found = found.into_iter().peekable();
        while let Some(&first) = found.peek() {
            let (page_number, _) = place(first);
            // A page added after `pages` was taken holds series that had no sample then.
            let Some(page) = pages.get(page_number) else { break };
            let slots = read_lock(&page.slots);
            while let Some(series) = found.next_if(|&series| place(series).0 == page_number) {
                let Some(Some(entry)) = slots.get(place(series).1) else {
                    continue;
                };
                if entry.overlaps(start_ms, end_ms) {
                    out.push(HeadSeries {
                        series,
                        labels: entry.labels().clone(),
                    });
                }
            }
        }
        out
    }

    /// Appends the samples of a series within the range to `out`; a series that is gone has none.
    pub(crate) fn read(
        &self,
        series: u32,
        start_ms: i64,
        end_ms: i64,
        out: &mut Samples,
    ) -> Result<(), ChunkError> {
        let (page, slot) = place(series);
        let Some(page) = self.page(page) else {
            return Ok(());
        };
        let slots = read_lock(&page.slots);
        match slots.get(slot) {
            Some(Some(entry)) => entry.read(start_ms, end_ms, out),
            _ => Ok(()),
        }
    }

    /// Bytes of a series in memory.
    pub(crate) fn bytes_of(&self, series: u32) -> u64 {
        let (page, slot) = place(series);
        let Some(page) = self.page(page) else { return 0 };
        let slots = read_lock(&page.slots);
        let entry = slots.get(slot).and_then(Option::as_ref);
        entry.map_or(0, |entry| entry.figures().2)
    }

    /// Drops chunks that end before `from_ms`, page by page. Gives the numbers of series that have none left.
    pub(crate) fn drop_before(&self, from_ms: i64) -> Vec<u32> {
        let mut empty = Vec::new();
        for (page_number, page) in self.pages().iter().enumerate() {
            let mut slots = write_lock(&page.slots);
            for (slot, entry) in slots.iter_mut().enumerate() {
                let Some(entry) = entry else { continue };
                entry.drop_before(from_ms);
                if entry.is_empty() {
                    empty.extend(u32::try_from(page_number * PAGE_SERIES + slot));
                }
            }
        }
        empty
    }

    /// Recomputes the time of the earliest sample, none of which lies before `from_ms` any more. Only for the holder of
    /// the appender: a commit in between could be missed.
    fn narrow(&self, from_ms: i64) {
        let mut min_ms = i64::MAX;
        for page in self.pages().iter() {
            for entry in read_lock(&page.slots).iter().flatten() {
                if let Some(first) = entry.first_at_or_after(from_ms) {
                    min_ms = min_ms.min(first);
                }
            }
        }
        self.min_ms.store(min_ms, Ordering::Release);
    }

    /// Takes series that still have no sample out; gives them with their labels. Only for the holder of the appender.
    fn remove(&self, candidates: &[u32]) -> Vec<(u32, Labels)> {
        let pages = self.pages();
        let mut dead = Vec::new();
        for &series in candidates {
            let (page, slot) = place(series);
            let Some(page) = pages.get(page) else { continue };
            let mut slots = write_lock(&page.slots);
            let Some(entry) = slots.get_mut(slot) else {
                continue;
            };
            if entry.as_ref().is_some_and(Series::is_empty)
                && let Some(entry) = entry.take()
            {
                dead.push((series, entry.labels().clone()));
            }
            if slots.iter().all(Option::is_none) {
                *slots = Vec::new();
            }
        }
        write_lock(&self.postings).remove(&dead);
        self.series.fetch_sub(dead.len() as u64, Ordering::Relaxed);
        dead
    }

    /// Counts what is in memory. Walks all series.
    pub(crate) fn state(&self) -> HeadState {
        let mut state = HeadState::default();
        for page in self.pages().iter() {
            for entry in read_lock(&page.slots).iter().flatten() {
                let (chunks, samples, bytes) = entry.figures();
                state.series += 1;
                state.chunks += chunks;
                state.samples += samples;
                state.bytes += bytes;
            }
        }
        state
    }
}
