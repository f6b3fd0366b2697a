//! Storage: a write-ahead log, a head of open chunks, and blocks of columns on disk.
//!
//! ```text
//!   Batch --commit--> wal (record written before the call returns) --> head --cut--> block --compact--> block
//!                                                                      \--- Querier over head and blocks ---/
//! ```
//!
//! Synchronous, without a clock: `now_ms` is a parameter wherever it matters. Every write, fsync, rename and
//! delete goes through [`Dir`], so that tests can make the n-th one fail.

pub mod block;
pub mod dir;
