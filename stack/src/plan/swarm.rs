//! The part of a plan that is about what a whole swarm has: secrets, the overlay, services.

use std::collections::BTreeSet;

use crate::desired::{Desired, OverlaySpec, SecretSpec, ServiceSpec, SwarmSpec};
use crate::observed::{ObservedOverlay, ObservedSwarm, Owner};
use crate::plan::refusal::Foreign;
use crate::spec::{OVERLAY, SERVICES};
use crate::{Run, Step};

/// What stands before the names of services among the guests of a network.
pub(super) const SERVICE_GUEST: &str = "service ";

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
        // What is of our names is adopted, so it is gone by then.
        let is_adopted = |guest: &String| {
            let mut names = wanted
                .services
                .iter()
                .map(|service| service_guest(service.name()));
            run.adopt && names.any(|name| name == *guest)
        };
        let mut guests = strangers(desired, there, run);
        guests.retain(|guest| !is_adopted(guest));
        if is_replaced && !guests.is_empty() {
            found.push(Foreign::NetworkInUse {
                name: wanted.overlay.name.clone(),
                guests,
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

/// What a service is called among the guests of a network, where a container may have the same name.
pub(crate) fn service_guest(name: &str) -> String {
    format!("{SERVICE_GUEST}{name}")
}

/// Who is in the overlay and not ours, nor will be.
fn strangers(desired: &Desired, there: &ObservedOverlay, run: &Run) -> Vec<String> {
    let is_adopted =
        |guest: &&String| run.adopt && desired.containers.iter().any(|spec| spec.name == **guest);
    let guests = there.guests.iter().filter(|guest| !is_adopted(guest));
    guests.cloned().collect()
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
    let gone = overlay_is_anew && observed.overlay.is_some();
    if gone {
        // Those that are not ours, the user lets us take.
        let is_wanted = |name: &str| wanted.services.iter().any(|service| service.name() == name);
        let leaving = observed
            .services
            .iter()
            .filter(|(name, there)| there.owner == Owner::This || is_wanted(name));
        steps.extend(leaving.map(|(name, _)| remove(name, "its network is made anew")));
        steps.push(Step::RemoveOverlay {
            name: wanted.overlay.name.clone(),
        });
    }
    if overlay_is_anew {
        steps.push(Step::CreateOverlay(wanted.overlay.clone()));
    }
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
pub(super) fn after(
    desired: &Desired,
    observed: &ObservedSwarm,
    anew: &BTreeSet<String>,
    run: &Run,
) -> Vec<Step> {
    let wanted = desired.swarm.as_ref();
    // With the overlay all of them went.
    let gone = observed.overlay.is_some() && anew.contains(OVERLAY);
    let keeps_service = |name: &str| {
        gone || wanted.is_some_and(|wanted| wanted.services.iter().any(|service| service.name() == name))
    };
    let keeps_secret =
        |name: &str| wanted.is_some_and(|wanted| wanted.secrets.iter().any(|secret| secret.name == name));
    let is_shared = |there: &ObservedOverlay| !strangers(desired, there, run).is_empty();
    rest(
        observed,
        keeps_service,
        |there| wanted.is_some() || is_shared(there),
        keeps_secret,
        "no longer wanted",
    )
}

/// All that is of this stack.
pub(super) fn removal(observed: &ObservedSwarm) -> Vec<Step> {
    rest(
        observed,
        |_| false,
        |there| !there.guests.is_empty(),
        |_| false,
        "the stack is removed",
    )
}

fn rest(
    observed: &ObservedSwarm,
    keeps_service: impl Fn(&str) -> bool,
    keeps_overlay: impl Fn(&ObservedOverlay) -> bool,
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
        .filter(|there| there.owner == Owner::This && !keeps_overlay(there));
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
