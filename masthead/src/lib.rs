//! Masthead: the async shell around the core crates.
//!
//! `cli` reads the command line, `app` wires a running process together, `api` and `web` serve it, `config`
//! reads `masthead.yml`, `scrape` and `remote_write` bring samples in, `live` reads every second while somebody looks,
//! `servers` brings in what registered servers measure, over SSH, `service` makes a unit of systemd. The only clock is [`clock`].

pub mod api;
pub mod app;
pub mod backup;
pub mod blocks;
pub mod cli;
pub mod clock;
pub mod config;
pub mod docker;
pub mod doctor;
pub mod ingest;
pub mod live;
pub mod migrate;
pub mod remote_write;
pub mod scrape;
pub mod servers;
pub mod service;
pub mod web;
pub mod web_config;

/// Makes rustls use ring. Called once at the start of whatever speaks TLS; a second call changes nothing.
pub fn install_tls_provider() {
    // An error only says that a provider is installed already.
    let _ = rustls::crypto::ring::default_provider().install_default();
}
