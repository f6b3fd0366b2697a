//! How Prometheus finds the exporters of a swarm's nodes: the tasks of their services, under the names of the nodes.

use std::fmt::Write as _;

use super::apps::{SWARM, proxy};
use super::config::relabel;
use super::{OVERLAY, RELAY, scrape_port};
use crate::{Component, Options};

/// Writes where a component's targets come from, and what they are called.
///
/// A task that should end because its node is out of reach is still a target: else nothing would be left to see that it is down.
pub(super) fn targets(text: &mut String, component: Component, options: &Options) {
    let service = match component {
        Component::NodeExporter => RELAY,
        component => component.container(),
    };
    // Who wants figures more often wants to see a node come as soon.
    let refresh_s = (options.scrape_interval.millis() / 1000).clamp(5, 10);
    // Writing into a string cannot fail.
    let _ = write!(
        text,
        "    dockerswarm_sd_configs:
      - host: {}
        role: tasks
        refresh_interval: {refresh_s}s
        filters:
          - name: service
            values: [{service}]
    relabel_configs:
      - source_labels: [{SWARM}task_desired_state, {SWARM}task_state, {SWARM}node_status]
        regex: running;.*|shutdown;(running|orphaned);(down|unknown|disconnected)
        action: keep
      - source_labels: [{SWARM}network_name]
        regex: {OVERLAY}
        action: keep
",
        proxy()
    );
    let at = format!("$1:{}", scrape_port(component, options));
    relabel(text, "__address__", "([^:]+)(:[0-9]+)?", "__address__", &at);
    let hostname = format!("{SWARM}node_hostname");
    let instance = format!("$1:{}", component.port());
    relabel(text, &hostname, "(.+)", "instance", &instance);
    relabel(text, &hostname, "(.+)", "node", "");
}
