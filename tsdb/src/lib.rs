//! Storage: a write-ahead log, a head of open chunks, and blocks of columns on disk.
//!
//! ```text
//!   Batch --commit--> wal (record written before the call returns) --> head --cut--> block --compact--> block
//!                                                                      \--- Querier over head and blocks ---/
//! ```
//!
//! Synchronous, without a clock: `now_ms` is a parameter wherever it matters. Every write, fsync, rename and
//! delete goes through [`dir::Dir`], so that tests can make the n-th one fail.
//!
//! - [`Db`]: open, commit, sync, maintain, close; it is a [`model::Querier`].
//! - [`block`]: the files that hold history; [`wal`]: the log, its format and how a follower reads it.
//! - [`prometheus`]: Prometheus' own files; [`Db::import`] reads them into the store, [`export`] writes blocks from it.
//! - [`DbReadOnly`]: the store as it is at one moment, also beside a process that writes, [`store_files`] its files; [`verify`] checks all its bytes.
//! - [`sim`]: a folder in memory that fails on demand.

mod analyze;
pub mod block;
mod chunk;
mod copy;
mod db;
pub mod dir;
mod error;
mod export;
mod head;
mod import;
mod maintain;
mod merge;
mod open;
mod postings;
pub mod prometheus;
mod querier;
mod read_only;
mod retention;
pub mod sim;
mod verify;
pub mod wal;

pub use analyze::{Analysis, MetricUse};
pub use copy::{StoreFile, store_files};
pub use db::{Cardinality, Db, Options, Stats};
pub use error::{AppendError, Error, Warning};
pub use export::{Export, export};
pub use head::appender::{Committed, Rejected};
pub use head::series::RejectReason;
pub use import::{IMPORT_RANGE_MS, ImportStep, Imported};
pub use maintain::Maintenance;
pub use read_only::DbReadOnly;
pub use verify::{Verified, verify};
