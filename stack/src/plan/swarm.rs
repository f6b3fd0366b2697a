//! The part of a plan that is about what a whole swarm has: secrets, the overlay, services.

use std::collections::BTreeSet;

use crate::desired::{Desired, OverlaySpec, SecretSpec, ServiceSpec, SwarmSpec};
use crate::observed::{ObservedOverlay, ObservedSwarm, Owner};
use crate::plan::refusal::Foreign;
use crate::spec::{OVERLAY, SERVICES};
use crate::{Run, Step};

/// Is the overlay that is there the one that is wanted?
pub(super) fn overlay_fits(wanted: &OverlaySpec, there: &ObservedOverlay) -> bool {
    there.owner == Owner::This && there.attachable && there.encrypted == wanted.encrypted
}

/// Is something in the way that is not ours?
pub(super) fn foreign(desired: &Desired, observed: &ObservedSwarm, run: &Run) -> Vec<Foreign> {
    let Some(wanted) = &desired.swarm else {
        return Vec::new();
    };
    let mut found = Vec::new();
    let not_ours = |what: &'static str, name: &str, owner: &Owner| match owner {
        Owner::This => None,
        Owner::Stranger => Some(Foreign::Swarm {
            what,
            name: name.to_owned(),
        }),
        Owner::Other { node, base_dir } => Some(Foreign::OtherNode {
            what,
            name: name.to_owned(),
            node: node.clone(),
            base_dir: base_dir.clone(),
        }),
    };
    if let Some(there) = &observed.overlay {
        let is_replaced = !overlay_fits(&wanted.overlay, there);
        if is_replaced && !there.guests.is_empty() {
            found.push(Foreign::NetworkInUse {
                name: wanted.overlay.name.clone(),
                guests: there.guests.clone(),
            });
        } else if !run.adopt {
            found.extend(not_ours("network", &wanted.overlay.name, &there.owner));
        }
    }
    if !run.adopt {
        found.extend(wanted.services.iter().filter_map(|service| {
            let there = observed.services.get(service.name())?;
            not_ours("service", service.name(), &there.owner)
        }));
    }
    found
}

/// What has to be there before the containers are. `anew` has the overlay's name where that has to be made (anew).
pub(super) fn before(desired: &Desired, observed: &ObservedSwarm, anew: &BTreeSet<String>) -> Vec<Step> {
    let Some(wanted) = &desired.swarm else {
        return Vec::new();
    };
    let mut steps: Vec<Step> = absent_secrets(wanted, observed)
        .cloned()
        .map(Step::CreateSecret)
        .collect();
    let overlay_is_anew = anew.contains(&wanted.overlay.name);
    if overlay_is_anew && observed.overlay.is_some() {
        // Whoever they belong to: the user said so, or they are ours.
        steps.extend(
            wanted
                .services
                .iter()
                .filter(|service| observed.services.contains_key(service.name()))
                .map(|service| remove(service.name(), "its network is made anew")),
        );
        steps.push(Step::RemoveOverlay {
            name: wanted.overlay.name.clone(),
        });
    }
    if overlay_is_anew {
        steps.push(Step::CreateOverlay(wanted.overlay.clone()));
    }
    let gone = overlay_is_anew && observed.overlay.is_some();
    for service in &wanted.services {
        steps.extend(service_steps(service, observed, gone));
    }
    steps
}

fn absent_secrets<'a>(
    wanted: &'a SwarmSpec,
    observed: &'a ObservedSwarm,
) -> impl Iterator<Item = &'a SecretSpec> {
    wanted
        .secrets
        .iter()
        .filter(|secret| !observed.secrets.contains_key(&secret.name))
}

fn service_steps(service: &ServiceSpec, observed: &ObservedSwarm, gone: bool) -> Vec<Step> {
    let create = Step::CreateService(Box::new(service.clone()));
    let there = observed.services.get(service.name()).filter(|_| !gone);
    match there {
        None => vec![create],
        Some(there) if there.owner != Owner::This => vec![remove(service.name(), "adopted"), create],
        Some(there) if there.fingerprint != service.fingerprint() || there.is_stopped => {
            vec![Step::UpdateService(Box::new(service.clone()))]
        }
        Some(_) => Vec::new(),
    }
}

/// What is of this stack and not wanted, when no container needs it any more.
pub(super) fn after(desired: &Desired, observed: &ObservedSwarm) -> Vec<Step> {
    let wanted = desired.swarm.as_ref();
    let keeps_service = |name: &str| {
        wanted.is_some_and(|wanted| wanted.services.iter().any(|service| service.name() == name))
    };
    let keeps_secret =
        |name: &str| wanted.is_some_and(|wanted| wanted.secrets.iter().any(|secret| secret.name == name));
    rest(
        observed,
        keeps_service,
        wanted.is_some(),
        keeps_secret,
        "no longer wanted",
    )
}

/// All that is of this stack.
pub(super) fn removal(observed: &ObservedSwarm) -> Vec<Step> {
    rest(observed, |_| false, false, |_| false, "the stack is removed")
}

fn rest(
    observed: &ObservedSwarm,
    keeps_service: impl Fn(&str) -> bool,
    keeps_overlay: bool,
    keeps_secret: impl Fn(&str) -> bool,
    why: &str,
) -> Vec<Step> {
    // The relay before what it leads to.
    let mut services: Vec<&String> = observed
        .services
        .iter()
        .filter(|(name, there)| there.owner == Owner::This && !keeps_service(name))
        .map(|(name, _)| name)
        .collect();
    services.sort_by_key(|name| std::cmp::Reverse(SERVICES.iter().position(|known| known == name)));
    let mut steps: Vec<Step> = services.into_iter().map(|name| remove(name, why)).collect();
    let overlay = observed
        .overlay
        .as_ref()
        .filter(|there| there.owner == Owner::This && there.guests.is_empty() && !keeps_overlay);
    steps.extend(overlay.map(|_| Step::RemoveOverlay {
        name: OVERLAY.to_owned(),
    }));
    let secrets = observed
        .secrets
        .iter()
        .filter(|(name, owner)| **owner == Owner::This && !keeps_secret(name));
    steps.extend(secrets.map(|(name, _)| Step::RemoveSecret { name: name.clone() }));
    steps
}

fn remove(name: &str, why: &str) -> Step {
    Step::RemoveService {
        name: name.to_owned(),
        why: why.to_owned(),
    }
}
