//! What a stack does about the nodes of a swarm: may it have one, are its exporters there, how are they.

use std::time::Duration;

use super::Stack;
use crate::nodes::{self, Node, NodeStatus, SeenService};
use crate::settle::Wanted;
use crate::{Component, Event, Observed, OnEvent, Options, StackError};

/// Containers that do not run on the nodes by then, images included, will not.
const NODES_LIMIT: Duration = Duration::from_secs(300);
/// What was rejected or has failed in so many looks, for twelve seconds, is not about to come right: the swarm has tried it twice.
const FAILING_LOOKS: u32 = 24;
/// Between two looks.
const PAUSE: Duration = Duration::from_millis(500);

impl Stack {
    /// Can the engine do what is wanted of a swarm?
    pub(super) fn can_have_swarm(
        &self,
        options: &Options,
        kept: Option<&Options>,
        observed: &Observed,
    ) -> Result<(), StackError> {
        self.sees_swarm(options, observed)?;
        if let Some(kept) = kept {
            self.sees_swarm(kept, observed)?;
        }
        self.manages_swarm(options)
    }

    /// Does the engine manage a swarm, where one is wanted?
    pub(super) fn manages_swarm(&self, options: &Options) -> Result<(), StackError> {
        let about = self.engine.about();
        if options.swarm.is_none() || about.is_swarm_manager {
            return Ok(());
        }
        let why = match about.managers.as_slice() {
            [] => "this engine is in no swarm; `docker swarm init` makes one of it".to_owned(),
            managers => format!(
                "this engine is a worker of its swarm; run it on a manager (at {}), or make this one a manager there (`docker node promote`)",
                managers.join(", ")
            ),
        };
        Err(StackError::Invalid(format!(
            "nothing was changed: --swarm needs an engine that manages a swarm, and {why}. `masthead setup --without-swarm` does without"
        )))
    }

    /// Could the swarm be looked at, where something of it is wanted?
    pub(super) fn sees_swarm(&self, options: &Options, observed: &Observed) -> Result<(), StackError> {
        match (&observed.swarm.fault, options.swarm) {
            (Some(fault), Some(_)) => Err(StackError::Invalid(format!(
                "nothing was changed: {fault}; a swarm that has lost most of its managers decides nothing: bring them back, or on this one \
                 `docker swarm init --force-new-cluster`"
            ))),
            _ => Ok(()),
        }
    }

    /// What is expected of the nodes' exporters.
    pub(super) async fn wanted_of_nodes(&self, options: &Options) -> Result<Vec<Wanted>, StackError> {
        if options.services().next().is_none() {
            return Ok(Vec::new());
        }
        let nodes = self.engine.nodes().await?;
        let seen = self.services(options).await?;
        let runs = |component: Component| {
            let mut of_it = seen.iter().filter(|service| service.component == component);
            of_it.all(|service| !service.is_stopped)
        };
        Ok(options
            .services()
            .filter(|component| runs(*component))
            .flat_map(|component| {
                let there = nodes.iter().filter(|node| node.is_expected());
                there.map(move |node| Wanted::of_node(component, &node.hostname))
            })
            .collect())
    }

    /// The services of the exporters, with their tasks.
    pub(super) async fn services(&self, options: &Options) -> Result<Vec<SeenService>, StackError> {
        let base_dir = self.run.base_dir.to_string_lossy();
        let services = nodes::services(options);
        if services.is_empty() {
            return Ok(Vec::new());
        }
        let known = self.engine.swarm(&base_dir, &[]).await?.services;
        let mut seen = Vec::new();
        for (component, name) in services {
            let there = known.get(name);
            seen.push(SeenService {
                component,
                name: name.to_owned(),
                image: there.map(|there| there.image.clone()).unwrap_or_default(),
                is_stopped: there.is_some_and(|there| there.is_stopped),
                tasks: match there {
                    Some(_) => self.engine.tasks(name).await?,
                    None => Vec::new(),
                },
            });
        }
        Ok(seen)
    }

    /// The nodes, and what runs on each; none where no swarm is wanted.
    pub(super) async fn nodes(&self, options: &Options) -> Result<(Vec<Node>, Vec<NodeStatus>), StackError> {
        let services = self.services(options).await?;
        if services.is_empty() {
            return Ok((Vec::new(), Vec::new()));
        }
        let nodes = self.engine.nodes().await?;
        let status = nodes::status(&nodes, &services);
        Ok((nodes, status))
    }

    /// Waits until every node that is there runs every exporter, and names the others.
    pub(super) async fn settle_nodes(
        &self,
        options: &Options,
        events: OnEvent<'_>,
    ) -> Result<(), StackError> {
        let mut waiting = String::new();
        let settled = self.wait_for_nodes(options, &mut waiting, events);
        match tokio::time::timeout(NODES_LIMIT, settled).await {
            Ok(settled) => settled,
            Err(_) => Err(StackError::Invalid(format!(
                "after {} s there is still no {waiting}; `masthead status` shows the nodes",
                NODES_LIMIT.as_secs()
            ))),
        }
    }

    async fn wait_for_nodes(
        &self,
        options: &Options,
        waiting: &mut String,
        events: OnEvent<'_>,
    ) -> Result<(), StackError> {
        let mut failing_looks = 0;
        loop {
            let (nodes, status) = self.nodes(options).await?;
            let late = status
                .iter()
                .zip(&nodes)
                .find(|(status, node)| node.is_expected() && !status.well);
            let updating = self.updating(options).await?;
            let Some(what) = late.map(|(node, _)| waited_for(node)).or(updating) else {
                for text in nodes::out_of_it(&nodes) {
                    events(Event::Warning { text });
                }
                return Ok(());
            };
            failing_looks = match nodes::failures(&status).first() {
                None => 0,
                Some((node, exporter)) if failing_looks > FAILING_LOOKS => {
                    return Err(StackError::Service {
                        service: exporter.service.clone(),
                        node: node.hostname.clone(),
                        what: format!("is {}: {}", exporter.state, exporter.error),
                    });
                }
                Some(_) => failing_looks + 1,
            };
            if *waiting != what {
                waiting.clone_from(&what);
                events(Event::Waiting { what });
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// A service whose containers are being replaced.
    async fn updating(&self, options: &Options) -> Result<Option<String>, StackError> {
        for (_, name) in nodes::services(options) {
            if self.engine.is_updating(name).await? {
                return Ok(Some(format!(
                    "service {name} with its new containers on all nodes"
                )));
            }
        }
        Ok(None)
    }
}

fn waited_for(node: &NodeStatus) -> String {
    let exporter = node
        .exporters
        .iter()
        .find(|exporter| !matches!(exporter.state.as_str(), "running" | "stopped"));
    let service = exporter.map_or("exporter", |exporter| exporter.service.as_str());
    format!("{service} on node {}", node.hostname)
}
