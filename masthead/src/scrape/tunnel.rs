//! Targets behind a tunnel: what is read there, and the way to it, which comes and goes.
//!
//! A loop of such a target keeps its beat while the way is shut: each round fails at once with the reason, so `up` is 0 and its
//! series are ended, as with a target that refuses connections. When the way opens the target is scraped at once.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use model::Labels;
use tokio::sync::{mpsc, watch};

use super::exposition::Format;
use super::fetch::Fetcher;
use super::tracker::Report;
use crate::config::{Auth, Limits, Scheme, ScrapeConfig, StaticConfig, TlsConfig};

/// The label that tells registered servers apart.
pub(crate) const SERVER_LABEL: &str = "server";

/// One target on a registered server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Source {
    /// The server's name.
    pub(crate) server: String,
    /// Value of the `job` label.
    pub(crate) job: String,
    /// Value of the `instance` label.
    pub(crate) instance: String,
    /// Where it is read there.
    pub(crate) path: &'static str,
    /// Series that are asked for; nothing for all.
    pub(crate) matches: Option<&'static str>,
    /// Between two scrapes.
    pub(crate) interval: Duration,
    /// After this a scrape has failed.
    pub(crate) timeout: Duration,
}

impl Source {
    /// It hands on what others have scraped, with their labels and times.
    fn is_federation(&self) -> bool {
        self.matches.is_some()
    }

    /// The scrape config that it would have in `masthead.yml`.
    pub(super) fn job(&self) -> ScrapeConfig {
        let params = self
            .matches
            .map(|matches| ("match[]".to_owned(), vec![matches.to_owned()]));
        ScrapeConfig {
            job_name: self.job.clone(),
            honor_labels: self.is_federation(),
            honor_timestamps: true,
            params: params.into_iter().collect::<BTreeMap<_, _>>(),
            scrape_interval: self.interval,
            scrape_timeout: self.timeout,
            metrics_path: self.path.to_owned(),
            scheme: Scheme::Http,
            enable_compression: true,
            follow_redirects: false,
            limits: Limits::default(),
            auth: None,
            // The connection underneath has proven who is there; the certificate is for another name than the tunnel's.
            tls: TlsConfig {
                insecure_skip_verify: true,
                ..TlsConfig::default()
            },
            static_configs: Vec::new(),
        }
    }

    /// Names the server in the target's URL, which takes fewer characters than a name.
    pub(super) fn host(&self) -> String {
        let fits = |c: char| {
            if c.is_ascii_alphanumeric() || c == '.' {
                c
            } else {
                '-'
            }
        };
        self.server.chars().map(fits).collect()
    }

    pub(super) fn group(&self) -> StaticConfig {
        StaticConfig {
            targets: Vec::new(),
            labels: Labels::from_pairs([
                ("instance", self.instance.as_str()),
                (SERVER_LABEL, self.server.as_str()),
            ]),
        }
    }
}

/// The way to a server just now.
#[derive(Debug, Clone)]
pub(crate) enum Way {
    /// Through the tunnel's end on this machine.
    Open {
        /// Which opening of the way it is, counted from 1.
        opening: u64,
        /// What is spoken there.
        scheme: Scheme,
        /// On this machine's loopback.
        address: SocketAddr,
        /// User and password.
        auth: Option<Auth>,
    },
    /// There is none; why.
    Shut(Arc<str>),
}

/// What a round over an open way came to.
#[derive(Debug)]
pub(crate) struct Round {
    /// The opening that it went over: of an earlier one it says nothing about the present.
    pub(crate) opening: u64,
    /// Good, or why not.
    pub(crate) outcome: Result<(), String>,
}

/// A loop's side of a tunnel.
#[derive(Debug, Clone)]
pub(crate) struct Tunnel {
    /// The way, as it changes.
    pub(crate) way: watch::Receiver<Way>,
    /// Hears of rounds over an open way; nobody needs to.
    pub(crate) rounds: Option<mpsc::Sender<Round>>,
    /// The target knows types and help texts; `/federate` makes up its own.
    pub(crate) has_metadata: bool,
    /// The opening that the last round went over; 0 where the way was shut.
    pub(crate) over: Arc<AtomicU64>,
}

impl Tunnel {
    /// Waits until the way opens, or leads elsewhere.
    pub(super) async fn opened(&mut self) {
        loop {
            if self.way.changed().await.is_err() {
                // Who knew the way is gone; the loop will be stopped.
                std::future::pending::<()>().await;
            }
            if matches!(*self.way.borrow_and_update(), Way::Open { .. }) {
                return;
            }
        }
    }

    pub(super) async fn fetch(&self, fetcher: &Fetcher, body: &mut Vec<u8>) -> Result<Format, String> {
        let way = self.way.borrow().clone();
        match way {
            Way::Open {
                opening,
                scheme,
                address,
                auth,
            } => {
                self.over.store(opening, Relaxed);
                fetcher.over(scheme, address, auth.as_ref())?.fetch(body).await
            }
            Way::Shut(reason) => {
                self.over.store(0, Relaxed);
                body.clear();
                Err(reason.to_string())
            }
        }
    }

    /// Says what a round came to. While the way is shut its keeper knows already.
    pub(super) fn tell(&self, report: &Report) {
        let opening = self.over.load(Relaxed);
        if let (Some(rounds), 1..) = (&self.rounds, opening) {
            let round = Round {
                opening,
                outcome: match &report.error {
                    None => Ok(()),
                    Some(reason) => Err(reason.clone()),
                },
            };
            // The keeper is busy with an earlier one: the next round will tell the same.
            let _full = rounds.try_send(round);
        }
    }
}
