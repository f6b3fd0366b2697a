//! The upstream stack: the real Prometheus, node_exporter and cAdvisor as containers of one Docker host, deployed and looked
//! after by a reconciler.
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

mod component;
pub mod desired;
mod engine;
mod error;
mod event;
mod facts;
mod observed;
mod options;
mod place;
pub mod plan;
pub mod ports;
pub mod range;
pub mod secrets;
pub mod spec;
mod step;
pub mod value;

pub use component::{Component, UnknownComponent};
pub use engine::{LogLine, LogStream};
pub use error::{ErrorKind, StackError};
pub use event::Event;
pub use facts::{Facts, Range, Secret};
pub use observed::{Observed, ObservedContainer, ObservedEntry, ObservedNetwork, State};
pub use options::{DEFAULT_RETENTION_TIME, DEFAULT_SCRAPE_INTERVAL, Options, Pull, Run, port_of};
pub use plan::Refusal;
pub use step::Step;
pub use value::{Duration, ServerName, Size, ValueError};
