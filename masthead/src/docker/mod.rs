//! What the Docker Engine (or Podman's API of the same shape) knows of the containers: names, images, labels, state, health, and
//! what happens to them.

pub mod inventory;
pub mod marks;

use std::sync::{Arc, Mutex};

use collect::ContainerCollector;

use inventory::Inventory;
use marks::Marks;

/// Everything about containers that the tick, the API and the live pages share.
#[derive(Debug)]
pub struct Containers {
    /// Reads their cgroups. Locked for the time of one reading.
    pub collector: Mutex<ContainerCollector>,
    /// Which containers there are, kept fresh by the engine's events.
    pub inventory: Arc<Inventory>,
    /// What happened to them.
    pub marks: Arc<Marks>,
}
