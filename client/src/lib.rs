//! Typed queries against any Prometheus API: Masthead's own, the real Prometheus, or an engine behind the same paths.
//!
//! ```no_run
//! use client::expr::Selector;
//! use client::{Client, ClientError, Data, Range};
//!
//! async fn look(password: &str) -> Result<(), ClientError> {
//!     let client = Client::builder("https://prometheus.example:9090")
//!         .basic_auth("masthead", password)
//!         .ca_file("/etc/masthead/ca.pem".as_ref())
//!         .build()?;
//!     assert!(client.health().await?.ready);
//!
//!     // Whatever a label's value is, it stays a value.
//!     let expr = Selector::metric("container_memory_rss").label("name", "it's \"web\"").to_string();
//!     if let Data::Vector(series) = client.query(&expr).await?.data {
//!         println!("{} series", series.len());
//!     }
//!
//!     let host = client.system_metrics(None).await?;
//!     println!("{}: {:?} of the CPU", host.instance, host.cpu.used_ratio);
//!
//!     // The same over an hour, a point a minute.
//!     let range = Range::new(1_800_000_000_000, 1_800_003_600_000, 60_000)?;
//!     let web = client.app_range("shop-web", range).await?;
//!     println!("at most {:?} bytes", web.of.usage.memory_working_set_bytes.max());
//!     Ok(())
//! }
//! ```
//!
//! # What is known where
//!
//! Figures come from node_exporter's and cAdvisor's metrics by their own names, so it does not matter which program made them. What
//! a server has no series for is `None` (or an unknown [`Column`]), never 0. Three things differ:
//!
//! - **Apps.** Masthead writes the label `app` on every container's series. Without it an app is, in this order, the swarm service,
//!   the compose project and service (cAdvisor's `container_label_...`), the part before `.1.<task>` of a name such as swarm gives
//!   to tasks, or the container's name.
//! - **Restarts.** [`Usage::restarts`] is the engine's count: Masthead has it as a metric, cAdvisor as the label
//!   `container_label_restartcount`, which is there only after the first restart and only where container labels are stored. cAdvisor's
//!   `container_start_time_seconds` is the time of *creation* and does not change with a restart. What the samples themselves
//!   show over a time is in [`Starts`]: containers that took each other's place, and restarts (counters that began anew or labels that
//!   changed): a lower bound, since two restarts between two scrapes are one.
//! - **Containers that are gone.** cAdvisor writes times on its samples, so that Prometheus goes on showing a removed container for five
//!   minutes. [`Client::app_metrics`] leaves out those whose newest sample is 90 s older than their neighbours'; series over a range
//!   show them as Prometheus does.

mod address;
mod answer;
mod api;
mod builder;
mod container;
mod error;
pub mod expr;
mod near;
mod range;
mod system;

pub use address::{full_url, without_password};
pub use answer::{Answer, Bucket, Data, Health, Histogram, Series, TargetHealth};
pub use api::Client;
pub use builder::ClientBuilder;
pub use container::{AppMetrics, AppRange, ContainerMetrics, ContainerRange, Starts, Usage};
pub use error::{ClientError, error_chain};
pub use expr::{RATE_WINDOW, RATE_WINDOW_S};
pub use range::{Column, Range, Ranged};
pub use system::{
    CpuMetrics, DiskMetrics, FileSystemMetrics, InterfaceMetrics, LoadMetrics, MemoryMetrics,
    PressureMetrics, SwapMetrics, SystemMetrics,
};
