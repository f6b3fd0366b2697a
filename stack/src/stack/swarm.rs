//! What a stack does about the nodes of a swarm: may it have one, are its exporters there, how are they.

use std::time::Duration;

use super::Stack;
use crate::nodes::{self, Node, NodeStatus, SeenService};
use crate::settle::Wanted;
use crate::{Component, Event, Observed, OnEvent, Options, StackError};

/// Containers that do not run on the nodes by then, images included, will not.
const NODES_LIMIT: Duration = Duration::from_secs(300);
/// What runs at so many looks in a row goes on running: a container that ends at once is not seen twice.
const WELL_LOOKS: u32 = 3;
/// What is rejected or has failed at so many looks is not about to come right: in 12 s the swarm has tried it twice.
const FAILING_LOOKS: u32 = 24;
/// So many looks in a row may see nothing.
const BLIND_LOOKS: u32 = 20;
/// Between two looks.
const PAUSE: Duration = Duration::from_millis(500);

/// What was seen of a swarm.
#[derive(Debug, Default)]
pub(super) struct SeenNodes {
    pub(super) services: Vec<SeenService>,
    pub(super) nodes: Vec<Node>,
    /// One a node, in their order.
    pub(super) status: Vec<NodeStatus>,
    /// Why nothing could be seen, with the cure.
    pub(super) fault: Option<String>,
}

impl Stack {
    /// Can the engine do what is wanted of a swarm?
    pub(super) fn can_have_swarm(&self, options: &Options, observed: &Observed) -> Result<(), StackError> {
        self.sees_swarm(options, observed)?;
        self.manages_swarm(options)
    }

    /// Does the engine manage a swarm, where one is wanted?
    pub(super) fn manages_swarm(&self, options: &Options) -> Result<(), StackError> {
        match self.lacks_swarm(options) {
            None => Ok(()),
            Some(why) => Err(StackError::Invalid(format!(
                "nothing was changed: --swarm needs an engine that manages a swarm, and {why}. `masthead setup --without-swarm` does without"
            ))),
        }
    }

    /// Why the engine manages no swarm, where one is wanted.
    fn lacks_swarm(&self, options: &Options) -> Option<String> {
        let about = self.engine.about();
        if options.swarm.is_none() || about.is_swarm_manager {
            return None;
        }
        Some(match about.managers.as_slice() {
            [] => "this engine is in no swarm; `docker swarm init` makes one of it".to_owned(),
            managers => format!(
                "this engine is a worker of its swarm; run it on a manager (at {}), or make this one a manager there (`docker node promote`)",
                managers.join(", ")
            ),
        })
    }

    /// What stays in a swarm that cannot be asked, or that this engine does not manage any more, when the stack leaves it.
    pub(super) fn left_in_swarm(&self, options: &Options, observed: &Observed) -> Option<String> {
        options.swarm?;
        let is_worker = !self.engine.about().managers.is_empty();
        let lacks = self.lacks_swarm(options).filter(|_| is_worker);
        let why = lacks.or_else(|| observed.swarm.fault.clone())?;
        let names: Vec<&str> = nodes::services(options)
            .into_iter()
            .map(|(_, name)| name)
            .collect();
        Some(format!(
            "services, secrets and the network of this stack stay in the swarm, since {why}; on a manager: `docker service rm {}`",
            names.join(" ")
        ))
    }

    /// Could the swarm be looked at, where something of it is wanted?
    pub(super) fn sees_swarm(&self, options: &Options, observed: &Observed) -> Result<(), StackError> {
        match (&observed.swarm.fault, options.swarm) {
            (Some(fault), Some(_)) => Err(StackError::Invalid(format!(
                "nothing was changed: {fault}; {}",
                fault_cure(fault)
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
                generation: there.map_or(0, |there| there.generation),
                tasks: match there {
                    Some(_) => self.engine.tasks(name).await?,
                    None => Vec::new(),
                },
            });
        }
        Ok(seen)
    }

    /// The nodes, and what runs on each; none where no swarm is wanted.
    async fn nodes(&self, options: &Options) -> Result<SeenNodes, StackError> {
        let services = self.services(options).await?;
        if services.is_empty() {
            return Ok(SeenNodes::default());
        }
        let nodes = self.engine.nodes().await?;
        Ok(SeenNodes {
            status: nodes::status(&nodes, &services),
            nodes,
            services,
            fault: None,
        })
    }

    /// The same, where that the swarm cannot be asked is a state and no failure.
    pub(super) async fn nodes_if_seen(&self, options: &Options) -> Result<SeenNodes, StackError> {
        let faulty = |fault: String| SeenNodes {
            fault: Some(fault),
            ..SeenNodes::default()
        };
        if let Some(why) = self.lacks_swarm(options) {
            return Ok(faulty(why));
        }
        match self.nodes(options).await {
            Err(error @ StackError::Engine { .. }) => Ok(faulty(error.to_string())),
            seen => seen,
        }
    }

    /// Waits until every node that is there runs every exporter, and names the others.
    pub(super) async fn settle_nodes(
        &self,
        options: &Options,
        events: OnEvent<'_>,
    ) -> Result<(), StackError> {
        let mut said = String::new();
        let settled = self.nodes_settled(options, &mut said, events);
        let outcome = tokio::time::timeout(NODES_LIMIT, settled).await;
        outcome.unwrap_or_else(|_| {
            Err(StackError::Invalid(format!(
                "after {} s there is still no {said}; `masthead status` shows the nodes",
                NODES_LIMIT.as_secs()
            )))
        })
    }

    /// `said` is what is waited for.
    async fn nodes_settled(
        &self,
        options: &Options,
        said: &mut String,
        events: OnEvent<'_>,
    ) -> Result<(), StackError> {
        // A container that ends again and again is seen running now and then.
        let (mut failing_looks, mut well_looks) = (0_u32, 0_u32);
        let mut blind_looks = 0;
        loop {
            let seen = async { Ok((self.nodes(options).await?, self.updating(options).await?)) };
            let (SeenNodes { nodes, status, .. }, updating) = match seen.await {
                // Where the managers choose a leader just now, nothing is known.
                Err(StackError::Engine { .. }) if blind_looks < BLIND_LOOKS => {
                    blind_looks += 1;
                    tokio::time::sleep(PAUSE).await;
                    continue;
                }
                seen => seen?,
            };
            blind_looks = 0;
            let waiting = status
                .iter()
                .zip(&nodes)
                .find(|(status, node)| node.is_expected() && !status.well);
            let Some(what) = waiting.map(|(node, _)| waited_for(node)).or(updating) else {
                well_looks += 1;
                if well_looks < WELL_LOOKS {
                    tokio::time::sleep(PAUSE).await;
                    continue;
                }
                for text in nodes::out_of_it(&nodes) {
                    events(Event::Warning { text });
                }
                return Ok(());
            };
            well_looks = 0;
            match nodes::failures(&status).first() {
                None => failing_looks = failing_looks.saturating_sub(1),
                Some((node, exporter)) if failing_looks >= FAILING_LOOKS => {
                    return Err(StackError::Service {
                        service: exporter.service.clone(),
                        node: node.hostname.clone(),
                        what: format!("is {}: {}", exporter.state, exporter.error),
                    });
                }
                Some(_) => failing_looks += 1,
            }
            if *said != what {
                said.clone_from(&what);
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

/// What to do about a swarm that cannot be looked at.
fn fault_cure(fault: &str) -> &'static str {
    let is_headless = ["does not have a leader", "has no leader", "deadline exceeded"]
        .iter()
        .any(|word| fault.contains(word));
    match is_headless {
        true => {
            "a swarm that has lost most of its managers decides nothing: bring them back (`docker node ls` on them); only where they are gone \
             for good, `docker swarm init --force-new-cluster` on this one"
        }
        false => {
            "see that `docker service ls` works here, and run it again; `masthead setup --without-swarm` does without"
        }
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
