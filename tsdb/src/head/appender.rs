//! The one writer of the store: judges a batch, logs what it takes, then applies it.
//!
//! The order is what makes a commit atomic: rows are resolved and samples judged first, which changes nothing that
//! others see; then one write puts the record into the log; only then pages and postings change, which cannot
//! fail. When the write fails, new labels are taken out of the table again and nothing has happened.

use std::sync::Arc;

use model::{Batch, Labels, SeriesKey, SeriesRef};

use crate::error::{AppendError, Error};
use crate::wal::{KIND_SAMPLES, KIND_SERIES, RecordWriter, SamplesEncoder, SeriesEncoder, Wal};

use super::series::{RejectReason, Series, Verdict, judge};
use super::table::Table;
use super::{Head, Page, Slots, place, read_lock, write_lock};

/// What became of a batch.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Committed {
    /// One reference a row of the batch, good for later batches until the store forgets the series.
    pub refs: Vec<SeriesRef>,
    /// Samples stored.
    pub appended: usize,
    /// Samples refused; the others of the batch are stored.
    pub rejected: Vec<Rejected>,
}

/// One sample that was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rejected {
    /// Number of its row.
    pub row: usize,
    /// Its time.
    pub t_ms: i64,
    /// Why.
    pub reason: RejectReason,
}

/// A sample that was judged good, between log and head.
#[derive(Debug, Clone, Copy)]
struct Staged {
    series: u32,
    row: u32,
    t_ms: i64,
    value: f64,
}

/// Times between which samples are taken, inclusive.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    /// Earlier ones belong to blocks.
    pub(crate) from_ms: i64,
    /// Later ones come from a wrong clock.
    pub(crate) to_ms: i64,
}

/// Scratch memory above which a buffer is given back after a commit.
const KEEP_BYTES: usize = 4 << 20;

/// See the module's text. Whoever holds it (there is one, behind a mutex) is the only writer.
#[derive(Debug)]
pub(crate) struct Appender {
    pub(crate) wal: Wal,
    pub(crate) table: Table,
    /// The number the next new series gets.
    pub(crate) next: u32,
    /// Samples before this belong to a block that is there or being written.
    pub(crate) floor_ms: i64,
    /// Samples stored since start.
    pub(crate) appended: u64,
    /// Series made since start.
    pub(crate) created: u64,
    /// Samples refused since start, by [`RejectReason::index`].
    pub(crate) rejected: [u64; RejectReason::ALL.len()],
    staged: Vec<Staged>,
    new: Vec<(u32, Labels)>,
    record: Vec<u8>,
}

impl Appender {
    pub(crate) fn new(wal: Wal, table: Table, next: u32, floor_ms: i64) -> Self {
        let rejected = [0; RejectReason::ALL.len()];
        let (staged, new, record) = (Vec::new(), Vec::new(), Vec::new());
        Self {
            wal,
            table,
            next,
            floor_ms,
            appended: 0,
            created: 0,
            rejected,
            staged,
            new,
            record,
        }
    }

    /// Takes a batch, see the module's text. `ceiling_ms` is the latest time that is believed.
    pub(crate) fn commit(
        &mut self,
        head: &Head,
        batch: &Batch,
        ceiling_ms: i64,
    ) -> Result<Committed, AppendError> {
        if let Some(reason) = self.wal.poisoned() {
            return Err(AppendError::Poisoned {
                reason: reason.to_owned(),
            });
        }
        self.staged.clear();
        self.new.clear();
        let first_new = self.next;
        let result = self.prepare(head, batch, ceiling_ms).and_then(|committed| {
            self.encode()?;
            if !self.record.is_empty() {
                self.wal.append(&self.record)?;
            }
            Ok(committed)
        });
        let mut committed = match result {
            Ok(committed) => committed,
            Err(error) => {
                self.new.iter().for_each(|(_, labels)| self.table.remove(labels));
                // A write that could not be cut off may come back after a crash, so its numbers stay used.
                if !self.wal.is_torn() {
                    self.next = first_new;
                }
                return Err(error);
            }
        };
        self.apply(head, &mut committed);
        self.appended += committed.appended as u64;
        self.created += self.new.len() as u64;
        committed
            .rejected
            .iter()
            .for_each(|rejected| self.rejected[rejected.reason.index()] += 1);
        self.give_back();
        if self.wal.wants_sync() {
            // A failure poisons the store; this commit itself is in the log file, as promised.
            let _ = self.wal.sync();
        }
        Ok(committed)
    }

    /// Resolves rows and judges samples. Fills `staged` and `new`, and touches nothing that others see.
    fn prepare(&mut self, head: &Head, batch: &Batch, ceiling_ms: i64) -> Result<Committed, AppendError> {
        let bounds = Bounds {
            from_ms: self.floor_ms,
            to_ms: ceiling_ms,
        };
        let mut refs = Vec::with_capacity(batch.rows_len());
        for (row, entry) in batch.rows().enumerate() {
            let series = match entry.key {
                SeriesKey::Ref(series) => {
                    u32::try_from(series.0).map_err(|_| AppendError::UnknownRef { row })?
                }
                SeriesKey::Labels(encoded) => self.resolve(row, encoded)?,
            };
            refs.push(SeriesRef(u64::from(series)));
        }
        let mut rejected = Vec::new();
        let pages = head.pages();
        let mut cursor = PageReader {
            pages: &pages,
            held: None,
        };
        let first_new = self.new.first().map_or(u32::MAX, |(series, _)| *series);
        for (row, (entry, series)) in batch.rows().zip(&refs).enumerate() {
            let series = u32::try_from(series.0).map_err(|_| AppendError::UnknownRef { row })?;
            let known = cursor.last_of(series);
            let (mut last_ms, mut last_bits) = match (known, entry.key) {
                (Some(last), _) => last,
                (None, SeriesKey::Labels(_)) if series >= first_new => (i64::MIN, 0),
                (None, _) => return Err(AppendError::UnknownRef { row }),
            };
            for point in entry.points {
                match judge_within(bounds, last_ms, last_bits, point.t_ms, point.value) {
                    Verdict::Append => {
                        (last_ms, last_bits) = (point.t_ms, point.value.to_bits());
                        let row = u32::try_from(row).unwrap_or(u32::MAX);
                        self.staged.push(Staged {
                            series,
                            row,
                            t_ms: point.t_ms,
                            value: point.value,
                        });
                    }
                    Verdict::Known => {}
                    Verdict::Reject(reason) => rejected.push(Rejected {
                        row,
                        t_ms: point.t_ms,
                        reason,
                    }),
                }
            }
        }
        rejected.extend(batch.histograms().iter().map(|(row, t_ms, _)| Rejected {
            row: *row,
            t_ms: *t_ms,
            reason: RejectReason::HistogramUnsupported,
        }));
        Ok(Committed {
            refs,
            appended: 0,
            rejected,
        })
    }

    fn resolve(&mut self, row: usize, encoded: &str) -> Result<u32, AppendError> {
        let next = self.next;
        let (series, labels) = self
            .table
            .get_or_insert(encoded, next)
            .map_err(|source| AppendError::BadLabels { row, source })?;
        if let Some(labels) = labels {
            self.new.push((next, labels));
            self.next = next
                .checked_add(1)
                .filter(|next| *next < u32::MAX)
                .ok_or_else(|| AppendError::TooLarge {
                    what: "all 4,294,967,294 series numbers are used; restart after the next checkpoint"
                        .to_owned(),
                })?;
        }
        Ok(series)
    }

    /// Writes the records of `new` and `staged` into `record`.
    fn encode(&mut self) -> Result<(), AppendError> {
        let too_large = || AppendError::TooLarge {
            what: "a record of the log holds 256 MB".to_owned(),
        };
        let out = &mut self.record;
        out.clear();
        if !self.new.is_empty() {
            let record = RecordWriter::begin(out, KIND_SERIES);
            let mut encoder = SeriesEncoder::default();
            for (series, labels) in &self.new {
                encoder.push(out, *series, labels.encoded());
            }
            record.end(out).ok_or_else(too_large)?;
        }
        if let Some(first) = self.staged.first() {
            let record = RecordWriter::begin(out, KIND_SAMPLES);
            let mut encoder = SamplesEncoder::begin(out, first.t_ms);
            for sample in &self.staged {
                encoder.push(out, sample.series, sample.t_ms, sample.value);
            }
            record.end(out).ok_or_else(too_large)?;
        }
        Ok(())
    }

    /// Puts what was logged into the head. Rows of one series in one batch meet here for the first time, so
    /// order is judged again; a replay of the record judges in the same way.
    fn apply(&mut self, head: &Head, committed: &mut Committed) {
        head.add(&self.new);
        let pages = head.pages();
        let mut cursor = PageWriter {
            pages: &pages,
            held: None,
        };
        let (mut min_ms, mut max_ms) = (i64::MAX, i64::MIN);
        for sample in &self.staged {
            let Some(series) = cursor.series(sample.series) else {
                continue;
            };
            match series.append(sample.t_ms, sample.value) {
                Verdict::Append => {
                    committed.appended += 1;
                    min_ms = min_ms.min(sample.t_ms);
                    max_ms = max_ms.max(sample.t_ms);
                }
                Verdict::Known => {}
                Verdict::Reject(reason) => {
                    let row = usize::try_from(sample.row).unwrap_or(usize::MAX);
                    committed.rejected.push(Rejected {
                        row,
                        t_ms: sample.t_ms,
                        reason,
                    });
                }
            }
        }
        drop(cursor);
        if min_ms <= max_ms {
            head.widen(min_ms, max_ms);
        }
    }

    /// A huge batch must not keep its buffers for ever.
    fn give_back(&mut self) {
        if self.record.capacity() > KEEP_BYTES {
            self.record = Vec::new();
        }
        if self.staged.capacity() * size_of::<Staged>() > KEEP_BYTES {
            self.staged = Vec::new();
        }
        self.new = Vec::new();
    }

    /// From now on samples before `floor_ms` are refused, so that a block up to there can be written.
    pub(crate) fn raise_floor(&mut self, floor_ms: i64) {
        self.floor_ms = self.floor_ms.max(floor_ms);
    }

    /// Syncs the log; see [`Wal::sync`].
    pub(crate) fn sync(&mut self) -> Result<(), Error> {
        self.wal.sync()
    }

    /// Forgets series that have no sample; gives how many.
    pub(crate) fn forget(&mut self, head: &Head, candidates: &[u32]) -> usize {
        let dead = head.remove(candidates);
        dead.iter().for_each(|(_, labels)| self.table.remove(labels));
        if dead.len() > 1000 {
            self.table.shrink();
        }
        dead.len()
    }

    /// The head answers for times from `from_ms` on only.
    pub(crate) fn narrow(&self, head: &Head, from_ms: i64) {
        head.narrow(from_ms);
    }
}

fn judge_within(bounds: Bounds, last_ms: i64, last_bits: u64, t_ms: i64, value: f64) -> Verdict {
    if t_ms > bounds.to_ms {
        return Verdict::Reject(RejectReason::TooFarAhead);
    }
    match judge(last_ms, last_bits, t_ms, value) {
        Verdict::Append | Verdict::Reject(RejectReason::OutOfOrder) if t_ms < bounds.from_ms => {
            Verdict::Reject(RejectReason::TooOld)
        }
        verdict => verdict,
    }
}

/// Reads series one after the other and keeps the page of the last one locked.
struct PageReader<'a> {
    pages: &'a [Arc<Page>],
    held: Option<(usize, std::sync::RwLockReadGuard<'a, Slots>)>,
}

impl PageReader<'_> {
    /// Time and bits of the last sample; `None` when there is no such series.
    fn last_of(&mut self, series: u32) -> Option<(i64, u64)> {
        let (page, slot) = place(series);
        if self.held.as_ref().is_none_or(|(held, _)| *held != page) {
            self.held = None;
            self.held = Some((page, read_lock(&self.pages.get(page)?.slots)));
        }
        let (_, slots) = self.held.as_ref()?;
        slots.get(slot)?.as_ref().map(Series::last)
    }
}

/// The same for writing.
struct PageWriter<'a> {
    pages: &'a [Arc<Page>],
    held: Option<(usize, std::sync::RwLockWriteGuard<'a, Slots>)>,
}

impl PageWriter<'_> {
    fn series(&mut self, series: u32) -> Option<&mut Series> {
        let (page, slot) = place(series);
        if self.held.as_ref().is_none_or(|(held, _)| *held != page) {
            self.held = None;
            self.held = Some((page, write_lock(&self.pages.get(page)?.slots)));
        }
        self.held.as_mut()?.1.get_mut(slot)?.as_mut()
    }
}
