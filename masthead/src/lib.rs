//! Masthead: the asynchronous shell around the core crates.

pub mod clock;
pub mod config;
pub mod ingest;
pub mod remote_write;
pub mod scrape;
pub mod web_config;
