//! The store as its users see it: open, commit, query, maintain, close.
//!
//! ```text
//!   DIR/wal/      the log (see wal)
//!   DIR/blocks/   00000001.block ...   blocks (see block)
//!   *.damaged     what a start set aside; may be looked at and deleted
//! ```
//!
//! Three locks, taken in this order: `upkeep` (one maintenance at a time), `appender` (one writer at a time), then for moments those
//! of the head. A query takes only the last ones, and the view.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, RwLock};

use model::{Batch, Cancel};

use crate::block::BlockMeta;
use crate::dir::Dir;
use crate::error::{AppendError, Error, Warning};
use crate::head::appender::{Appender, Committed};
use crate::head::series::RejectReason;
use crate::head::{Head, lock, read_lock, write_lock};
use crate::maintain::{Maintenance, Upkeep};
use crate::open;
use crate::querier::View;

/// How the store behaves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// Blocks older than this, counted from the newest sample, are deleted; 0 keeps all.
    pub retention_ms: i64,
    /// When log and blocks are larger than this, the oldest blocks are deleted; 0 keeps all.
    pub retention_bytes: u64,
    /// Time range of a block that is cut from the head.
    pub block_range_ms: i64,
    /// A range is not cut while samples still arrive in it or before it, and for so long after: somebody loads history while
    /// others write the present. Bounded, see [`Db::maintain`]; 0 cuts at once.
    pub cut_quiet_ms: i64,
    /// A log segment that has grown to this size is followed by the next.
    pub wal_segment_bytes: u64,
    /// A commit syncs the log when so much was written since the last sync; [`Db::sync`] does it by time.
    pub wal_sync_bytes: u64,
    /// Samples further in the future than this, seen from the `now_ms` last told, are refused. At most half the block
    /// range, so that a cut never closes the present.
    pub max_ahead_ms: i64,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            retention_ms: 15 * 24 * 3_600_000,
            retention_bytes: 0,
            block_range_ms: 2 * 3_600_000,
            cut_quiet_ms: 0,
            wal_segment_bytes: 16 << 20,
            wal_sync_bytes: 1 << 20,
            max_ahead_ms: 3_600_000,
        }
    }
}

/// Figures about the store.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Stats {
    /// Series in the head.
    pub head_series: u64,
    /// Chunks in the head.
    pub head_chunks: u64,
    /// Samples in the head.
    pub head_samples: u64,
    /// Memory of series and chunks in the head, index and table left out.
    pub head_bytes: u64,
    /// Time of the first sample in the head, `None` when there is none.
    pub head_min_ms: Option<i64>,
    /// Time of the last sample in the head, `None` when there is none.
    pub head_max_ms: Option<i64>,
    /// Size of the log, checkpoint included.
    pub wal_bytes: u64,
    /// Segments of the log.
    pub wal_segments: u64,
    /// Syncs of the log since start.
    pub wal_syncs: u64,
    /// The blocks, by time.
    pub blocks: Vec<BlockMeta>,
    /// Samples stored since start.
    pub appended: u64,
    /// Samples refused since start.
    pub rejected: Vec<(RejectReason, u64)>,
    /// Series made since start.
    pub series_created: u64,
    /// Series forgotten since start.
    pub series_removed: u64,
    /// Blocks cut from the head since start.
    pub cuts: u64,
    /// Blocks that compaction made since start.
    pub compactions: u64,
    /// Blocks deleted by retention since start.
    pub blocks_deleted: u64,
    /// Why nothing more is written, after a failed fsync.
    pub poisoned: Option<String>,
}

/// Top lists of the head, as `/api/v1/status/tsdb` shows them; each sorted, largest first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Cardinality {
    /// Series by metric name.
    pub series_by_metric: Vec<(String, u64)>,
    /// Number of values by label name.
    pub values_by_label: Vec<(String, u64)>,
    /// Bytes of values, times the series that carry them, by label name.
    pub bytes_by_label: Vec<(String, u64)>,
    /// Series by `name=value`.
    pub series_by_pair: Vec<(String, u64)>,
    /// Number of different label pairs.
    pub label_pairs: u64,
}

/// The store. Shared behind an `Arc`; see the module's text.
#[derive(Debug)]
pub struct Db {
    pub(crate) dir: Arc<dyn Dir>,
    pub(crate) options: Options,
    head: Arc<Head>,
    view: RwLock<Arc<View>>,
    pub(crate) appender: Mutex<Appender>,
    pub(crate) upkeep: Mutex<Upkeep>,
    now_ms: AtomicI64,
    pub(crate) counters: Counters,
}

/// Counts of maintenance since start.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) removed: AtomicU64,
    pub(crate) cuts: AtomicU64,
    pub(crate) compactions: AtomicU64,
    pub(crate) deleted: AtomicU64,
}

/// What [`open::open`] found, ready to be used.
#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) head: Head,
    pub(crate) appender: Appender,
    pub(crate) view: View,
    pub(crate) upkeep: Upkeep,
}

impl Db {
    /// Opens the store, makes it when there is none, and replays the log. Damaged files are gone around and reported; no
    /// single one of them makes this fail.
    ///
    /// # Errors
    /// [`Error::Io`] when folders cannot be made or read, or the log cannot be written.
    pub fn open(dir: Arc<dyn Dir>, options: Options, now_ms: i64) -> Result<(Self, Vec<Warning>), Error> {
        let mut warnings = Vec::new();
        let Opened {
            head,
            appender,
            view,
            upkeep,
        } = open::open(&dir, &options, &mut warnings)?;
        let db = Self {
            dir,
            options,
            head: Arc::new(head),
            view: RwLock::new(Arc::new(view)),
            appender: Mutex::new(appender),
            upkeep: Mutex::new(upkeep),
            now_ms: AtomicI64::new(now_ms),
            counters: Counters::default(),
        };
        Ok((db, warnings))
    }

    /// Stores a batch. When this returns, its record is in the log file and its samples can be queried. Samples that
    /// do not fit (too late, twice) are refused one by one; anything else refuses the batch whole.
    ///
    /// # Errors
    /// [`AppendError`]; nothing of the batch is stored then.
    pub fn commit(&self, batch: &Batch) -> Result<Committed, AppendError> {
        let ceiling_ms = self
            .now_ms
            .load(Ordering::Relaxed)
            .saturating_add(self.options.max_ahead_ms);
        lock(&self.appender).commit(&self.head, batch, ceiling_ms)
    }

    /// Returns when everything committed is on the device. Free when nothing is new.
    ///
    /// # Errors
    /// [`Error::Poisoned`] when the device refuses, now or earlier.
    pub fn sync(&self) -> Result<(), Error> {
        lock(&self.appender).sync()
    }

    /// Cuts blocks, truncates the log, compacts and deletes what is too old or too much. Call it twice a minute; commits and
    /// queries go on meanwhile. After an error the rest was still attempted, and the next call tries again.
    ///
    /// A cut that [`Options::cut_quiet_ms`] puts off is made all the same after an hour, or when the log has grown to 384 MB or
    /// to a quarter of the retention size.
    ///
    /// # Errors
    /// The first [`Error`] met.
    pub fn maintain(&self, now_ms: i64, cancel: &Cancel) -> Result<Maintenance, Error> {
        self.now_ms.store(now_ms, Ordering::Relaxed);
        let mut upkeep = lock(&self.upkeep);
        upkeep.run(self, now_ms, cancel)
    }

    /// Figures for our own metrics. Walks the head's series, a millisecond for some ten thousand.
    #[must_use]
    pub fn stats(&self) -> Stats {
        let head = self.head.state();
        let view = self.view();
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let (min_ms, max_ms) = (self.head.min_ms(), self.head.max_ms());
        let some = (min_ms <= max_ms).then_some((min_ms.max(view.head_from_ms), max_ms));
        let appender = lock(&self.appender);
        let wal = appender.wal.state();
        Stats {
            head_series: head.series,
            head_chunks: head.chunks,
            head_samples: head.samples,
            head_bytes: head.bytes,
            head_min_ms: some.map(|(min_ms, _)| min_ms),
            head_max_ms: some.map(|(_, max_ms)| max_ms),
            wal_bytes: wal.bytes,
            wal_segments: wal.segments,
            wal_syncs: wal.syncs,
            blocks: view.blocks.iter().map(|block| block.meta().clone()).collect(),
            appended: appender.appended,
            rejected: RejectReason::ALL.into_iter().zip(appender.rejected).collect(),
            series_created: appender.created,
            series_removed: count(&self.counters.removed),
            cuts: count(&self.counters.cuts),
            compactions: count(&self.counters.compactions),
            blocks_deleted: count(&self.counters.deleted),
            poisoned: appender.wal.poisoned().map(str::to_owned),
        }
    }

    /// The `limit` largest of each list.
    #[must_use]
    pub fn head_cardinality(&self, limit: usize) -> Cardinality {
        let postings = self.head.postings();
        let mut out = Cardinality::default();
        for name in postings.names() {
            let (mut values, mut bytes) = (0u64, 0u64);
            for (value, series) in postings.values(name) {
                values += 1;
                bytes += (value.len() * series) as u64;
                if name == model::METRIC_NAME {
                    out.series_by_metric.push((value.to_owned(), series as u64));
                }
                // Only candidates are kept, or the list would be as long as the index.
                out.series_by_pair
                    .push((format!("{name}={value}"), series as u64));
                if out.series_by_pair.len() > 4 * limit + 1024 {
                    largest(&mut out.series_by_pair, limit);
                }
            }
            out.label_pairs += values;
            out.values_by_label.push((name.to_owned(), values));
            out.bytes_by_label.push((name.to_owned(), bytes));
        }
        for list in [
            &mut out.series_by_metric,
            &mut out.values_by_label,
            &mut out.bytes_by_label,
            &mut out.series_by_pair,
        ] {
            largest(list, limit);
        }
        out
    }

    /// Number of series in the head, without a walk.
    #[must_use]
    pub fn head_series(&self) -> u64 {
        self.head.series_len()
    }

    /// Time of the first and the last sample in the store, `None` when it is empty.
    #[must_use]
    pub fn time_range(&self) -> Option<(i64, i64)> {
        let view = self.view();
        let blocks = view
            .blocks
            .iter()
            .map(|block| (block.meta().min_ms, block.meta().max_ms));
        let (min_ms, max_ms) = (self.head.min_ms(), self.head.max_ms());
        blocks
            .chain((min_ms <= max_ms).then_some((min_ms, max_ms)))
            .reduce(|a, b| (a.0.min(b.0), a.1.max(b.1)))
    }

    /// Syncs everything. The store can be dropped then; one that is dropped without has lost nothing but this sync.
    ///
    /// # Errors
    /// [`Error::Poisoned`] when the device refuses.
    pub fn close(&self, now_ms: i64) -> Result<(), Error> {
        self.now_ms.store(now_ms, Ordering::Relaxed);
        self.sync()
    }

    pub(crate) fn head(&self) -> &Arc<Head> {
        &self.head
    }

    pub(crate) fn view(&self) -> Arc<View> {
        Arc::clone(&read_lock(&self.view))
    }

    /// Puts a new view in place; gives the one before.
    pub(crate) fn set_view(&self, view: View) -> Arc<View> {
        std::mem::replace(&mut *write_lock(&self.view), Arc::new(view))
    }
}

fn largest(list: &mut Vec<(String, u64)>, limit: usize) {
    list.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    list.truncate(limit);
}
