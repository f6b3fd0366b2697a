//! Scraping: targets are read over HTTP, their text becomes batches.
//!
//! ```text
//!   Manager --a task a target--> fetch (HTTP) --> exposition (text) --> SourceTracker (labels, staleness) --> Sink
//!                                                                   \--> Targets (status and metadata, for the API)
//! ```

mod cache;
pub mod exposition;
mod fetch;
#[cfg(test)]
mod memory_store;
mod pool;
pub mod targets;
pub mod tracker;
mod tunnel;

pub(crate) use pool::{Beside, ScrapeLoop};
pub use pool::{Manager, SetupError};
pub use targets::{FamilyMetadata, Health, TargetHandle, TargetInfo, TargetStatus, Targets};
pub use tracker::{Report, Rules, SourceTracker};
pub(crate) use tunnel::{Round, Source, Tunnel, Way};

/// Reads the first target of a job once, for tests of what lies under scraping.
#[cfg(test)]
pub(crate) async fn fetch_once(job: &crate::config::ScrapeConfig) -> Result<Vec<u8>, String> {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let address = &job.static_configs[0].targets[0];
    let (_, url) = pool::target_info(job, &job.static_configs[0], address)?;
    let client = fetch::ClientKey::of(job).build()?;
    let mut body = Vec::new();
    fetch::Fetcher::new(client, url, job).fetch(&mut body).await?;
    Ok(body)
}
