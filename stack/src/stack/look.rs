//! One look at everything: what is wanted, what is there, and the steps between the two.

use std::collections::BTreeMap;
use std::path::Path;

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
        let services = desired.swarm.iter_mut().flat_map(|swarm| &mut swarm.services);
        let of_services = services.map(|service| &mut service.container);
        for container in desired.containers.iter_mut().chain(of_services) {
            let kept = kept_image(&observed, base_dir, container.component, &container.name);
            if let Some(image) = images.get(&container.component).or(kept) {
                container.image.clone_from(image);
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

/// The image that a component of this stack has, by the name of its container or service; also where it is the other of the two, so
/// that the way into a swarm and out of it changes no version.
fn kept_image<'a>(
    observed: &'a Observed,
    base_dir: &Path,
    component: Component,
    name: &str,
) -> Option<&'a String> {
    let service = |name: &str| {
        let there = observed.swarm.services.get(name);
        there
            .filter(|there| there.owner == Owner::This)
            .map(|there| &there.image)
    };
    let container = observed.containers.get(component.container());
    let container = container
        .filter(|there| there.ours && Path::new(&there.base_dir) == base_dir)
        .map(|there| &there.image);
    let known = [service(name), container, service(component.container())];
    known.into_iter().flatten().find(|image| !image.is_empty())
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
    use crate::{ObservedContainer, ObservedService};

    fn socket(address: &str, port: u16, owner: Option<&str>) -> Listening {
        Listening {
            address: address.parse().expect("an address"),
            port,
            owner: owner.map(ToOwned::to_owned),
        }
    }

    #[test]
    fn a_component_keeps_its_image_as_container_and_as_service() {
        let base = Path::new("/b");
        let component = Component::NodeExporter;
        let of = |observed: &Observed, name: &str| kept_image(observed, base, component, name).cloned();
        let service = |owner, image: &str| ObservedService {
            owner,
            image: image.to_owned(),
            fingerprint: String::new(),
            generation: 0,
            is_stopped: false,
        };
        let container = |base_dir: &str| ObservedContainer {
            id: String::new(),
            ours: true,
            base_dir: base_dir.to_owned(),
            image: "n:1".to_owned(),
            fingerprint: String::new(),
            state: State::Running,
            networks: [].into(),
        };
        let name = component.container();
        let mut observed = Observed::default();
        assert_eq!(of(&observed, name), None);
        observed.containers.insert(name.to_owned(), container("/other"));
        assert_eq!(of(&observed, name), None, "another stack's");
        observed.containers.insert(name.to_owned(), container("/b"));
        // Into the swarm: both services have what the container has.
        assert_eq!(of(&observed, name).as_deref(), Some("n:1"));
        assert_eq!(of(&observed, spec::RELAY).as_deref(), Some("n:1"));
        // Out of it.
        observed.containers.clear();
        let services = &mut observed.swarm.services;
        services.insert(name.to_owned(), service(Owner::Stranger, "n:2"));
        assert_eq!(of(&observed, name), None, "a stranger's");
        let services = &mut observed.swarm.services;
        services.insert(name.to_owned(), service(Owner::This, "n:2"));
        assert_eq!(of(&observed, name).as_deref(), Some("n:2"));
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
