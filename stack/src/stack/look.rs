//! One look at everything: what is wanted, what is there, and the steps between the two.

use std::collections::BTreeMap;

use super::{Access, Stack};
use crate::desired::Desired;
use crate::ports::{self, Listening, Wanted};
use crate::{
    Change, Component, Facts, Observed, Options, Owner, StackError, State, Step, observe, plan, spec,
};

/// The program that holds the socket of a published port; the engine knows for which container.
const PROXY: &str = "docker-proxy";
/// The one that holds it where the engine has no proxies.
const ENGINE: &str = "dockerd";

/// Images that components shall have, where that is neither the one that they have nor the pinned one.
pub(super) type Images = BTreeMap<Component, String>;

/// What a look showed.
pub(super) struct View {
    pub(super) options: Options,
    pub(super) facts: Facts,
    pub(super) desired: Desired,
    pub(super) steps: Vec<Step>,
    /// What stays behind that the steps cannot remove.
    pub(super) left: Option<String>,
}

impl View {
    /// How Prometheus is asked once the plan is carried out.
    pub(super) fn access(&self) -> Access {
        let secret = self
            .facts
            .secrets
            .iter()
            .find(|(component, _)| *component == Component::Prometheus)
            .map(|(_, secret)| secret.password.as_bytes())
            .unwrap_or_default();
        Access::new(&self.options, secret)
    }
}

impl Stack {
    /// Looks at everything, for the kept options with this change. What is there keeps the image that it has.
    pub(super) async fn look(&self, change: &Change) -> Result<View, StackError> {
        self.look_with(change, &Images::new()).await
    }

    /// The same with these images.
    pub(super) async fn look_with(&self, change: &Change, images: &Images) -> Result<View, StackError> {
        let base_dir = &self.run.base_dir;
        let kept = observe::kept_options(&self.place, base_dir).await?;
        let start = match &kept {
            Some(kept) => kept.clone(),
            None => Options::new(self.server_name()?),
        };
        let options = change.over(start)?;
        let mut observed = observe::observe(&self.engine, &self.place, base_dir).await?;
        self.can_have_swarm(&options, &observed)?;
        let facts = observe::facts(&self.engine, &self.place, base_dir, &options, &observed).await?;
        if let Some(absent) = change
            .join
            .iter()
            .find(|network| !facts.platform_networks.contains(&network.to_string()))
        {
            return Err(StackError::Invalid(format!(
                "--network {absent}: the engine has no such network that a container may join; `docker network ls` shows those it \
                 has, and an overlay has to be made with --attachable"
            )));
        }
        let mut desired = spec::desired(&options, &facts);
        for container in &mut desired.containers {
            let there = observed.containers.get(&container.name);
            let kept = there
                .filter(|there| self.is_of_this_stack(there) && !there.image.is_empty())
                .map(|there| &there.image);
            if let Some(image) = images.get(&container.component).or(kept) {
                container.image.clone_from(image);
            }
        }
        for service in desired.swarm.iter_mut().flat_map(|swarm| &mut swarm.services) {
            let there = observed.swarm.services.get(service.name());
            let kept = there.filter(|there| there.owner == Owner::This && !there.image.is_empty());
            let image = images.get(&service.container.component);
            if let Some(image) = image.or(kept.map(|there| &there.image)) {
                service.container.image.clone_from(image);
            }
        }
        // Of the images of a way back no container may be left that names them.
        for image in images.values() {
            if self.engine.image_architecture(image).await?.is_some() {
                observed.images.insert(image.clone());
            }
        }
        let steps = plan::plan(&desired, &observed, &self.run)?;
        self.check_ports(&options, kept.as_ref(), &facts, &observed)
            .await?;
        let leaves = kept.as_ref().filter(|_| options.swarm.is_none());
        Ok(View {
            left: leaves.and_then(|kept| self.left_in_swarm(kept, &observed)),
            options,
            facts,
            desired,
            steps,
        })
    }

    /// The registered name of a server, the own name of this host, as label `server`.
    fn server_name(&self) -> Result<crate::ServerName, StackError> {
        if let Some(link) = self.place.link() {
            return Ok(link.server().name.clone());
        }
        let hostname = self.place.hostname();
        hostname.parse().map_err(|error| {
            StackError::Invalid(format!(
                "the host's name does not do, name it with --server-label: {error}"
            ))
        })
    }

    /// Are the ports that are wanted free, or ours already?
    async fn check_ports(
        &self,
        options: &Options,
        kept: Option<&Options>,
        facts: &Facts,
        observed: &Observed,
    ) -> Result<(), StackError> {
        let runs = |component: Component| {
            observed
                .containers
                .get(component.container())
                .is_some_and(|container| {
                    matches!(
                        container.state,
                        State::Running | State::Paused | State::Restarting
                    )
                })
        };
        let ours: Vec<Wanted> = ports::wanted(kept.unwrap_or(options), facts)
            .into_iter()
            .filter(|wanted| runs(wanted.component))
            .collect();
        let published = self.engine.published().await;
        let sockets = self.place.listening().await?;
        let listening: Vec<Listening> = merge(published, sockets)
            .into_iter()
            // Containers of our names are replaced or refused by the plan.
            .filter(|socket| !is_of_our_names(socket))
            .collect();
        let taken = ports::taken(&ports::wanted(options, facts), &listening, &ours);
        match taken.is_empty() {
            true => Ok(()),
            false => Err(StackError::PortsTaken {
                texts: taken.iter().map(ToString::to_string).collect(),
            }),
        }
    }
}

fn is_of_our_names(socket: &Listening) -> bool {
    Component::ALL
        .into_iter()
        .any(|component| socket.owner.as_deref() == Some(&format!("container {}", component.container())))
}

/// Published ports, and the sockets that are not the engine's own for them.
fn merge(published: Vec<Listening>, sockets: Vec<Listening>) -> Vec<Listening> {
    let is_engines = |socket: &Listening| {
        matches!(socket.owner.as_deref(), Some(PROXY | ENGINE))
            && published.iter().any(|port| port.port == socket.port)
    };
    let mut sockets: Vec<Listening> = sockets.into_iter().filter(|socket| !is_engines(socket)).collect();
    for socket in &mut sockets {
        if socket.owner.as_deref() == Some(ENGINE) {
            // Seen: killed while it started a container, it held the port for good, and for no container.
            let owner =
                "dockerd (for a service of its swarm, or a port that it forgot: `systemctl restart docker`)";
            socket.owner = Some(owner.to_owned());
        }
    }
    published.into_iter().chain(sockets).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn socket(address: &str, port: u16, owner: Option<&str>) -> Listening {
        Listening {
            address: address.parse().expect("an address"),
            port,
            owner: owner.map(ToOwned::to_owned),
        }
    }

    #[test]
    fn a_published_port_is_its_containers_and_not_the_proxys() {
        let published = vec![
            socket("127.0.0.1", 9090, Some("container masthead-prometheus")),
            socket("0.0.0.0", 8080, Some("container shop")),
        ];
        let sockets = vec![
            socket("127.0.0.1", 9090, Some(PROXY)),
            socket("0.0.0.0", 8080, Some(ENGINE)),
            socket("0.0.0.0", 22, Some("sshd")),
            // A proxy of another engine on this machine.
            socket("0.0.0.0", 7000, Some(PROXY)),
            socket("0.0.0.0", 7001, Some(ENGINE)),
        ];
        let merged = merge(published, sockets);
        let owners: Vec<_> = merged.iter().filter_map(|s| s.owner.as_deref()).collect();
        assert_eq!(
            owners,
            [
                "container masthead-prometheus",
                "container shop",
                "sshd",
                PROXY,
                "dockerd (for a service of its swarm, or a port that it forgot: `systemctl restart docker`)"
            ]
        );
        assert!(is_of_our_names(&merged[0]) && !is_of_our_names(&merged[1]));
    }
}
