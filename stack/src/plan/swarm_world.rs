//! What a swarm has, in the host to try plans on: refuses what a swarm would refuse.

use std::collections::{BTreeMap, BTreeSet};

use super::service_guest;
use super::tests::BASE;
use super::world::{Container, World};
use crate::Step;
use crate::desired::{Attachment, Desired, ServiceSpec};
use crate::observed::{ObservedOverlay, ObservedService, ObservedSwarm, Owner};
use crate::spec::OVERLAY;

#[derive(Debug, Clone, PartialEq)]
pub(super) struct Overlay {
    pub(super) id: u64,
    pub(super) owner: Owner,
    pub(super) encrypted: bool,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) struct Service {
    pub(super) owner: Owner,
    pub(super) fingerprint: String,
    pub(super) is_stopped: bool,
    pub(super) secrets: BTreeSet<String>,
    /// The id of the overlay that it is in.
    pub(super) overlay: Option<u64>,
}

#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Swarm {
    pub(super) overlay: Option<Overlay>,
    pub(super) secrets: BTreeMap<String, Owner>,
    pub(super) services: BTreeMap<String, Service>,
}

impl Swarm {
    pub(super) fn observe(&self, guests: Vec<String>) -> ObservedSwarm {
        ObservedSwarm {
            fault: None,
            overlay: self.overlay.as_ref().map(|overlay| ObservedOverlay {
                owner: overlay.owner.clone(),
                attachable: true,
                encrypted: overlay.encrypted,
                guests,
            }),
            secrets: self.secrets.clone(),
            services: self
                .services
                .iter()
                .map(|(name, service)| {
                    let observed = ObservedService {
                        owner: service.owner.clone(),
                        image: String::new(),
                        fingerprint: service.fingerprint.clone(),
                        generation: 0,
                        is_stopped: service.is_stopped,
                    };
                    (name.clone(), observed)
                })
                .collect(),
        }
    }

    fn of(&self, spec: &ServiceSpec) -> Service {
        for secret in &spec.secrets {
            assert!(
                self.secrets.contains_key(&secret.name),
                "no secret {}",
                secret.name
            );
        }
        let is_in_overlay = spec.container.attachment != Attachment::Host;
        Service {
            owner: Owner::This,
            fingerprint: spec.fingerprint(),
            is_stopped: false,
            secrets: spec.secrets.iter().map(|secret| secret.name.clone()).collect(),
            overlay: is_in_overlay.then(|| self.overlay.as_ref().expect("an overlay").id),
        }
    }
}

impl World {
    /// Containers and services in the overlay that are not ours.
    pub(super) fn guests_of_overlay(&self) -> Vec<String> {
        let services = self.swarm.services.iter();
        let others = services.filter(|(_, there)| there.overlay.is_some() && there.owner != Owner::This);
        let is_guest = |there: &Container| {
            !(there.ours && there.base_dir == BASE) && there.networks.contains_key(OVERLAY)
        };
        let containers = self.containers.iter().filter(|(_, there)| is_guest(there));
        let mut guests: Vec<String> = containers.map(|(name, _)| name.clone()).collect();
        guests.extend(others.map(|(name, _)| service_guest(name)));
        guests
    }

    pub(super) fn apply_to_swarm(&mut self, step: &Step) {
        match step {
            Step::CreateOverlay(spec) => {
                let id = self.next_id();
                let before = self.swarm.overlay.replace(Overlay {
                    id,
                    owner: Owner::This,
                    encrypted: spec.encrypted,
                });
                assert!(before.is_none(), "there is an overlay of this name");
            }
            Step::RemoveOverlay { name } => {
                let guests = self.guests_of_overlay();
                assert!(guests.is_empty(), "{guests:?} are in it");
                let users = self.swarm.services.values().any(|there| there.overlay.is_some());
                assert!(!users, "services are in it");
                assert!(self.swarm.overlay.take().is_some(), "no overlay to remove");
                for container in self.containers.values_mut() {
                    container.networks.remove(name);
                }
            }
            Step::CreateSecret(secret) => {
                let before = self.swarm.secrets.insert(secret.name.clone(), Owner::This);
                assert!(before.is_none(), "there is a secret {}", secret.name);
            }
            Step::RemoveSecret { name } => {
                let mut services = self.swarm.services.values();
                assert!(
                    !services.any(|there| there.secrets.contains(name)),
                    "{name} is used"
                );
                assert!(self.swarm.secrets.remove(name).is_some());
            }
            Step::CreateService(spec) => {
                let made = self.swarm.of(spec);
                let before = self.swarm.services.insert(spec.name().to_owned(), made);
                assert!(before.is_none(), "there is a service {}", spec.name());
            }
            Step::UpdateService(spec) => {
                let made = self.swarm.of(spec);
                let before = self.swarm.services.insert(spec.name().to_owned(), made);
                assert!(before.is_some_and(|before| before.owner == Owner::This));
            }
            Step::RemoveService { name, .. } => {
                assert!(self.swarm.services.remove(name).is_some(), "no service {name}");
            }
            other => unreachable!("{other}"),
        }
    }

    /// Of the swarm everything is as wanted, and nothing else is ours.
    pub(super) fn assert_swarm_is(&self, desired: &Desired) {
        let swarm = &self.swarm;
        let ours = |owner: &Owner| *owner == Owner::This;
        let services: BTreeMap<&String, &Service> = swarm
            .services
            .iter()
            .filter(|(_, there)| ours(&there.owner))
            .collect();
        let secrets: BTreeSet<&String> = swarm
            .secrets
            .iter()
            .filter(|(_, owner)| ours(owner))
            .map(|(name, _)| name)
            .collect();
        let Some(wanted) = &desired.swarm else {
            assert!(
                services.is_empty() && secrets.is_empty(),
                "{services:?} {secrets:?}"
            );
            let left = swarm.overlay.as_ref().is_some_and(|overlay| ours(&overlay.owner));
            assert!(
                !left || !self.guests_of_overlay().is_empty(),
                "the overlay is left"
            );
            return;
        };
        let overlay = swarm.overlay.as_ref().expect("an overlay");
        assert_eq!(overlay.encrypted, wanted.overlay.encrypted);
        assert!(ours(&overlay.owner));
        assert_eq!(services.len(), wanted.services.len());
        for spec in &wanted.services {
            let there = &swarm.services[spec.name()];
            assert_eq!(there.fingerprint, spec.fingerprint());
            assert!(!there.is_stopped);
            assert!(
                there.overlay.is_none_or(|id| id == overlay.id),
                "in a network that is gone"
            );
        }
        assert_eq!(
            secrets,
            wanted.secrets.iter().map(|secret| &secret.name).collect()
        );
    }
}
