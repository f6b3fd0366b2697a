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
//! - [`sim`]: a folder in memory that fails on demand.

pub mod block;
mod chunk;
mod db;
pub mod dir;
mod error;
mod head;
mod maintain;
mod open;
mod postings;
mod querier;
mod retention;
pub mod sim;
pub mod wal;

pub use db::{Cardinality, Db, Options, Stats};
pub use error::{AppendError, Error, Warning};
pub use head::appender::{Committed, Rejected};
pub use head::series::RejectReason;
pub use maintain::Maintenance;
