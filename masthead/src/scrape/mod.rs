//! Scraping: targets are read over HTTP, their text becomes batches.
//!
//! ```text
//!   Manager --a task a target--> fetch (HTTP) --> exposition (text) --> SourceTracker (labels, staleness) --> Sink
//!                                                                   \--> Targets (status and metadata, for the API)
//! ```

pub mod exposition;
mod fetch;
#[cfg(test)]
mod memory_store;
mod pool;
pub mod targets;
pub mod tracker;

pub use pool::{Manager, SetupError};
pub use targets::{FamilyMetadata, Health, TargetHandle, TargetInfo, TargetStatus, Targets};
pub use tracker::{Report, Rules, SourceTracker};
