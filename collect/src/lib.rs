//! Host metrics with node_exporter's names, labels, types, help and default filters, read from `/proc` and `/sys`.
//!
//! - [`HostCollector`]: all collectors of a host behind one call; it keeps buffers and slow-changing lists.
//! - [`Options`], [`Paths`], [`Filter`]: what is read and what is left out.
//! - [`Pulse`]: the few figures of a live page; [`process`]: what single processes use, on demand.
//! - [`Collection`]: the families of one round, sorted as an exporter prints them, and how each collector fared.
//!
//! One row of the table in `host/mod.rs` is one collector, and one file beside it. Each file holds a parser, which is
//! a function from text to plain data and takes any bytes without a panic, and the collector around it.
//!
//! Nothing here reads a clock or the environment: time comes in as `now_ms`, the time zone through [`Options`].

mod container;
mod error;
mod host;
mod input;
mod options;
mod output;
pub mod process;

pub use container::{
    Container, ContainerCollection, ContainerCollector, ContainerFamily, ContainerOptions, Groups, Reading,
    container_families,
};
pub use error::CollectError;
pub use host::{Collection, HostCollector, Outcome, Pulse, PulseReading, fuzz_parsers};
pub use options::{CpuInfo, Filter, FilterError, Filters, Options, Paths, Zone};
