//! The upstream stack: the real Prometheus, node_exporter and cAdvisor (and, when asked, Alertmanager, Pushgateway, Grafana and a proxy
//! for discovery) as containers of one Docker host, deployed and looked after by a reconciler.
//!
//! ```text
//!   Options (what is wanted) --\
//!   Facts (what the host is) ---+--> spec: Desired --\
//!                                                     +--> plan: Vec<Step> --> apply
//!   engine, base directory --------> observe: Observed /                        \--> Event (progress)
//! ```
//!
//! `spec` and `plan` are pure: same input, same output, no clock, no engine, no files. What touches the host is `engine` (Docker)
//! and `place` (files); what ties them together is [`Stack`]. Invariants: nothing that does not carry our label is ever changed
//! or removed unless the user adopts it; a second plan after an applied one is empty; nothing is published beyond loopback.
//!
//! ```no_run
//! use stack::{Change, Pull, Run, Stack};
//!
//! # async fn example() -> Result<(), stack::StackError> {
//! let run = Run { base_dir: stack::default_base_dir(), pull: Pull::Missing, adopt: false };
//! let stack = Stack::connect(None, run).await?;
//! let report = stack.setup(&Change::default(), &|event| eprintln!("{event:?}")).await?;
//! println!("{} steps; Prometheus answers at {:?}", report.steps.len(), report.url);
//! for finding in stack.check().await?.findings {
//!     println!("{:?} {}: {}", finding.level, finding.name, finding.text);
//! }
//! # Ok(())
//! # }
//! ```

mod apply;
pub mod archive;
mod change;
mod check;
mod component;
pub mod desired;
mod engine;
mod error;
mod event;
mod facts;
mod link;
mod nodes;
mod observe;
mod observed;
mod options;
mod place;
pub mod plan;
pub mod ports;
mod prometheus;
pub mod range;
mod registry;
pub mod secrets;
mod server;
mod settle;
mod sightings;
pub mod spec;
mod stack;
mod step;
mod stream;
mod survey;
pub mod value;

pub use change::Change;
pub use check::{CheckReport, Finding, Level};
pub use component::{Component, Need, Reach, UnknownComponent};
pub use engine::{LogLine, LogStream};
pub use error::{ErrorKind, StackError};
pub use event::{Event, OnEvent};
pub use facts::{Facts, Range, Secret};
pub use link::{HostKeys, Link, LinkChild, LinkOutput};
pub use nodes::{ExporterStatus, NodeStatus};
pub use observed::{
    Observed, ObservedContainer, ObservedEntry, ObservedNetwork, ObservedOverlay, ObservedService,
    ObservedSwarm, Owner, State,
};
pub use options::{DEFAULT_RETENTION_TIME, DEFAULT_SCRAPE_INTERVAL, Options, Pull, Run, Swarm, port_of};
pub use plan::Refusal;
pub use prometheus::{Target, TargetHealth};
pub use registry::{Registry, SERVERS_VARIABLE};
pub use server::{Address, Server};
pub use sightings::{Sighting, Sightings};
pub use stack::{
    Access, BackupReport, ComponentStatus, Page, Planned, Report, RestoreReport, Stack, Stamp, Status,
    Upgrade, UpgradeReport, access_over, base_dir_over, default_base_dir, read_backup,
};
pub use step::Step;
pub use survey::{Survey, survey};
pub use value::{Duration, NetworkName, ServerName, Size, ValueError};
