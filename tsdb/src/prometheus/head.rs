//! What Prometheus had in memory when it was stopped, from its write-ahead logs, in the code of our own head: about 1.5 bytes a
//! sample.

use std::collections::{BTreeSet, HashMap};
use std::io;
use std::sync::Arc;

use foldhash::fast::FixedState;
use model::{Labels, Samples};

use crate::block::BlockError;
use crate::dir::Dir;
use crate::error::{Error, io_error};
use crate::head::series::{RejectReason, Series, Verdict};
use crate::head::table::Table;
use crate::merge::{self, SeriesStream};

use super::record::Records;
use super::tombstones::{Intervals, delete};
use super::wal::{self, TornLog};
use super::{Histograms, Survey};

/// One series.
#[derive(Debug)]
struct Entry {
    series: Series,
    /// What came out of order.
    late: Vec<(i64, f64)>,
    deleted: Intervals,
}

/// The series of the logs.
#[derive(Debug, Default)]
pub(crate) struct SourceHead {
    entries: Vec<Entry>,
    table: Table,
    /// The numbers of the log; one series may have several.
    numbers: HashMap<u64, u32, FixedState>,
    /// Entries in order of their labels.
    order: Vec<u32>,
    /// Samples of the log before this are in blocks.
    min_valid_ms: i64,
    /// Histograms may only be counted while the log is read, each once.
    histograms: Histograms,
    with_histograms: BTreeSet<u64>,
    /// Samples whose series the log does not name.
    pub(crate) orphans: u64,
    /// Ends of logs that are not whole.
    pub(crate) torn: Vec<TornLog>,
}

impl SourceHead {
    /// Reads `wal` and `wbl`. Samples before `min_valid_ms` are left out unless they came out of order.
    pub(crate) fn read(dir: &dyn Dir, min_valid_ms: i64) -> Result<Self, BlockError> {
        let mut head = Self {
            min_valid_ms: min_valid_ms.max(min_valid_time(dir)?),
            ..Self::default()
        };
        let torn = wal::read(dir, "wal", &mut head)?;
        head.torn.extend(torn);
        // Out of order is what is older than blocks, too.
        head.min_valid_ms = i64::MIN;
        let torn = wal::read(dir, "wbl", &mut head)?;
        head.torn.extend(torn);
        head.histograms.series = head.with_histograms.len() as u64;
        head.with_histograms.clear();
        let mut order: Vec<u32> = (0..).take(head.entries.len()).collect();
        let labels = |number: &u32| head.entry(*number).map(|entry| entry.series.labels());
        order.sort_unstable_by(|a, b| labels(a).cmp(&labels(b)));
        head.order = order;
        Ok(head)
    }

    /// Native histograms that the logs hold.
    pub(crate) fn histograms(&self) -> Histograms {
        self.histograms
    }

    fn entry(&self, number: u32) -> Option<&Entry> {
        self.entries.get(usize::try_from(number).ok()?)
    }

    fn entry_of(&mut self, number: u64) -> Option<&mut Entry> {
        let at = *self.numbers.get(&number)?;
        self.entries.get_mut(usize::try_from(at).ok()?)
    }

    /// Says what is there.
    pub(crate) fn survey(&self, slot_ms: i64, survey: &mut Survey) -> Result<(), Error> {
        let mut samples = Samples::default();
        for entry in &self.entries {
            samples.clear();
            entry.read(i64::MIN, i64::MAX, &mut samples)?;
            survey.series += u64::from(!samples.is_empty());
            let slots = samples
                .t_ms
                .chunk_by(|a, b| a.div_euclid(slot_ms) == b.div_euclid(slot_ms));
            survey
                .slots
                .extend(slots.filter_map(|slot| Some(slot.first()?.div_euclid(slot_ms))));
        }
        Ok(())
    }

    /// The series with their samples from `from_ms` to `to_ms`, both inclusive.
    pub(crate) fn walk(self: &Arc<Self>, from_ms: i64, to_ms: i64) -> SourceHeadWalk {
        SourceHeadWalk {
            head: Arc::clone(self),
            range: (from_ms, to_ms),
            at: 0,
        }
    }
}

/// The file beside the log in which newer versions say what the log was truncated to.
fn min_valid_time(dir: &dyn Dir) -> Result<i64, BlockError> {
    const NAME: &str = "wal/min-valid-time";
    let io = |source| BlockError::Io {
        action: "reading",
        path: dir.display(NAME),
        source,
    };
    let file = match dir.open(NAME) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(i64::MIN),
        Err(error) => return Err(io(error)),
    };
    let mut bytes = vec![0; usize::try_from(file.len().map_err(io)?.min(64)).unwrap_or(0)];
    file.read_exact_at(&mut bytes, 0).map_err(io)?;
    let number = String::from_utf8_lossy(&bytes).trim().parse();
    number.map_err(|_| BlockError::Corrupt {
        path: dir.display(NAME),
        offset: 0,
        reason: "this is not a time in milliseconds".to_owned(),
    })
}

impl Records for SourceHead {
    fn series(&mut self, number: u64, encoded: &str) -> bool {
        let Ok(next) = u32::try_from(self.entries.len()) else {
            return false;
        };
        let Ok((at, new)) = self.table.get_or_insert(encoded, next) else {
            return false;
        };
        if let Some(labels) = new {
            self.entries.push(Entry {
                series: Series::new(labels),
                late: Vec::new(),
                deleted: Vec::new(),
            });
        }
        self.numbers.insert(number, at);
        true
    }

    fn sample(&mut self, number: u64, t_ms: i64, value: f64) {
        if t_ms < self.min_valid_ms {
            return;
        }
        let Some(entry) = self.entry_of(number) else {
            self.orphans += 1;
            return;
        };
        match entry.series.append(t_ms, value) {
            // A second value at one time was refused by Prometheus too.
            Verdict::Append | Verdict::Known | Verdict::Reject(RejectReason::DuplicateTimestamp) => {}
            Verdict::Reject(_) => entry.late.push((t_ms, value)),
        }
    }

    fn tombstone(&mut self, number: u64, first_ms: i64, last_ms: i64) {
        let Some(entry) = self.entry_of(number) else {
            return;
        };
        if (first_ms, last_ms) == (i64::MIN, i64::MAX) {
            // The series was given up at this point, its samples are in a block; it may come back later in the log.
            entry.series = Series::new(entry.series.labels().clone());
            entry.late.clear();
        } else {
            entry.deleted.push((first_ms, last_ms));
        }
    }

    fn histogram(&mut self, number: u64, t_ms: i64) {
        if t_ms >= self.min_valid_ms {
            self.histograms.samples += 1;
            self.with_histograms.insert(number);
        }
    }

    fn min_valid_time(&mut self, t_ms: i64) {
        self.min_valid_ms = self.min_valid_ms.max(t_ms);
    }
}

impl Entry {
    /// Appends to `out`, which is empty.
    fn read(&self, from_ms: i64, to_ms: i64, out: &mut Samples) -> Result<(), Error> {
        let read = self.series.read(from_ms, to_ms, out);
        let labels = self.series.labels();
        read.map_err(|e| io_error("reading", format!("the series {labels}"))(io::Error::other(e)))?;
        let late = self
            .late
            .iter()
            .filter(|(t_ms, _)| (from_ms..=to_ms).contains(t_ms));
        let before = out.len();
        late.for_each(|(t_ms, value)| out.push(*t_ms, *value));
        if out.len() > before {
            merge::sort(out);
        }
        delete(&self.deleted, out);
        Ok(())
    }
}

/// See [`SourceHead::walk`].
#[derive(Debug)]
pub(crate) struct SourceHeadWalk {
    head: Arc<SourceHead>,
    range: (i64, i64),
    at: usize,
}

impl SeriesStream for SourceHeadWalk {
    fn peek(&mut self) -> Result<Option<&Labels>, Error> {
        let entry = self
            .head
            .order
            .get(self.at)
            .and_then(|number| self.head.entry(*number));
        Ok(entry.map(|entry| entry.series.labels()))
    }

    fn take(&mut self, out: &mut Samples) -> Result<(), Error> {
        let entry = self
            .head
            .order
            .get(self.at)
            .and_then(|number| self.head.entry(*number));
        let Some(entry) = entry else { return Ok(()) };
        self.at += 1;
        let mut one = Samples::default();
        entry.read(self.range.0, self.range.1, &mut one)?;
        merge::append(out, &one);
        Ok(())
    }
}
