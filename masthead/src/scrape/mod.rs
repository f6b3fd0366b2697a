//! Scraping.
pub mod exposition;
