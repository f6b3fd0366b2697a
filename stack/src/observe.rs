//! What is on the host now, read from the engine and the base directory; and the facts that the desired state depends on.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::desired::{LABEL_BASE_DIR, LABEL_SPEC, LABEL_STACK};
use crate::engine::{Engine, ImageStore, Inspected};
use crate::place::Place;
use crate::{
    Component, Facts, Observed, ObservedContainer, ObservedEntry, ObservedSwarm, Options, Range, Secret,
    StackError, range, secrets, spec,
};

/// Networks of platforms that Prometheus joins where they are.
const PLATFORM_NETWORKS: [&str; 1] = ["dokploy-network"];
/// Where containerd's socket is when the engine does not say it.
const CONTAINERD_SOCKET: &str = "/run/containerd/containerd.sock";
/// The end of the name of a file that is being written; a run that was killed may leave one.
const UNFINISHED: &str = ".masthead-new";

/// How often a swarm that does not answer is asked again.
const SWARM_TRIES: u32 = 3;
/// Before each time.
const SWARM_PAUSE: Duration = Duration::from_secs(1);

/// What is there, as far as the stack is concerned.
pub(crate) async fn observe(engine: &Engine, place: &Place, base_dir: &Path) -> Result<Observed, StackError> {
    let entries = entries(place, base_dir).await?;
    let containers = containers(engine, base_dir).await?;
    let ours: Vec<String> = containers
        .iter()
        .filter(|(_, container)| container.ours)
        .map(|(name, _)| name.clone())
        .collect();
    let mut networks = BTreeMap::new();
    for name in spec::NETWORKS {
        if let Some(network) = engine.network(name, &ours).await? {
            networks.insert(name.to_owned(), network);
        }
    }
    // A swarm that has lost its managers is in nobody's way who does not want one.
    let base = base_dir.to_string_lossy();
    let of_this = |container: &ObservedContainer| container.ours && container.base_dir == base;
    let ours: Vec<String> = containers
        .iter()
        .filter(|(_, container)| of_this(container))
        .map(|(name, _)| name.clone())
        .collect();
    let mut swarm = engine.swarm(&base, &ours).await;
    for _ in 0..SWARM_TRIES {
        if !matches!(swarm, Err(StackError::Engine { .. })) {
            break;
        }
        // Its managers may be about to choose a leader.
        tokio::time::sleep(SWARM_PAUSE).await;
        swarm = engine.swarm(&base, &ours).await;
    }
    let swarm = match swarm {
        Err(error @ StackError::Engine { .. }) => ObservedSwarm {
            fault: Some(error.to_string()),
            ..ObservedSwarm::default()
        },
        seen => seen?,
    };
    let mut images = BTreeSet::new();
    let pinned = Component::ALL.map(|component| component.image().to_owned());
    let used = containers.values().map(|container| container.image.clone());
    let of_services = swarm.services.values().map(|service| service.image.clone());
    for image in pinned
        .into_iter()
        .chain(used)
        .chain(of_services)
        .collect::<BTreeSet<_>>()
    {
        if !image.is_empty() && engine.image_architecture(&image).await?.is_some() {
            images.insert(image);
        }
    }
    Ok(Observed {
        swarm,
        networks,
        base_dir_is_foreign: is_foreign(place, base_dir).await?,
        entries,
        containers,
        images,
    })
}

/// What lies at the paths that the stack uses.
async fn entries(place: &Place, base_dir: &Path) -> Result<BTreeMap<PathBuf, ObservedEntry>, StackError> {
    let paths: Vec<PathBuf> = spec::known_paths().into_iter().collect();
    let absolute: Vec<PathBuf> = paths.iter().map(|path| below(base_dir, path)).collect();
    let found = place.entries(&absolute).await?;
    Ok(paths
        .into_iter()
        .zip(found)
        .filter_map(|(path, entry)| Some((path, entry?)))
        .collect())
}

async fn containers(
    engine: &Engine,
    base_dir: &Path,
) -> Result<BTreeMap<String, ObservedContainer>, StackError> {
    let mut names: BTreeSet<String> = Component::ALL.map(|c| c.container().to_owned()).into();
    names.extend(
        engine
            .labelled(LABEL_BASE_DIR, &base_dir.to_string_lossy())
            .await?,
    );
    let mut containers = BTreeMap::new();
    for name in names {
        if let Some(container) = engine.container(&name).await? {
            containers.insert(name, observed(&container));
        }
    }
    Ok(containers)
}

fn observed(container: &Inspected) -> ObservedContainer {
    let label = |name: &str| container.labels.get(name).cloned();
    ObservedContainer {
        id: container.id.clone(),
        ours: label(LABEL_STACK).is_some(),
        base_dir: label(LABEL_BASE_DIR).unwrap_or_default(),
        image: container.image.clone(),
        fingerprint: label(LABEL_SPEC).unwrap_or_default(),
        state: container.state,
        networks: container.networks.clone(),
    }
}

/// Is it a folder that holds something, but not our mark? What a run leaves that was cut off before it wrote the mark does not count:
/// folders of our names with nothing in them, and a file that was not finished.
pub(crate) async fn is_foreign(place: &Place, base_dir: &Path) -> Result<bool, StackError> {
    let names = place.list(base_dir).await?.unwrap_or_default();
    if names.iter().any(|name| name == spec::OPTIONS_FILE) {
        return Ok(false);
    }
    let folders: Vec<PathBuf> = spec::known_folders()
        .into_iter()
        .map(|folder| folder.path)
        .collect();
    let mut left: Vec<PathBuf> = names.into_iter().map(PathBuf::from).collect();
    while let Some(path) = left.pop() {
        if path.to_string_lossy().ends_with(UNFINISHED) {
            continue;
        }
        match place.list(&base_dir.join(&path)).await {
            Ok(Some(names)) if folders.contains(&path) => {
                left.extend(names.into_iter().map(|name| path.join(name)));
            }
            _ => return Ok(true),
        }
    }
    Ok(false)
}

/// The path below the base directory; the empty one is the base directory itself.
pub(crate) fn below(base_dir: &Path, path: &Path) -> PathBuf {
    match path.as_os_str().is_empty() {
        true => base_dir.to_owned(),
        false => base_dir.join(path),
    }
}

/// The kept options; `None` when there is no stack of ours.
pub(crate) async fn kept_options(place: &Place, base_dir: &Path) -> Result<Option<Options>, StackError> {
    let path = base_dir.join(spec::OPTIONS_FILE);
    let Some(content) = place.read(&path).await? else {
        return Ok(None);
    };
    spec::kept_options(&content)
        .map(Some)
        .map_err(|error| StackError::Kept {
            path,
            reason: error.to_string(),
        })
}

/// What the host is. Secrets and the network's range are those that are there, and new ones where there are none.
pub(crate) async fn facts(
    engine: &Engine,
    place: &Place,
    base_dir: &Path,
    options: &Options,
    observed: &Observed,
) -> Result<Facts, StackError> {
    let about = engine.about();
    let networks = engine.networks().await?;
    let is_wanted = |name: &str| {
        PLATFORM_NETWORKS.contains(&name) || options.networks.iter().any(|wanted| wanted.to_string() == name)
    };
    let mut platform_networks: Vec<String> = networks
        .iter()
        .filter(|network| network.attachable && is_wanted(&network.name))
        .map(|network| network.name.clone())
        .collect();
    // The engine lists them in no order of its own, and another one would be another container.
    platform_networks.sort();
    let mut used = place.routed_ranges().await?;
    used.extend(networks.into_iter().flat_map(|network| network.subnets));
    let mut range_of = |network: &str| -> Result<Range, StackError> {
        let range = match kept_range(observed, network) {
            Some(range) => range,
            None => range::free(&used).ok_or_else(|| StackError::Engine {
                attempt: format!("choosing a range for the network {network}"),
                reason: "every private range that it could have is in use by networks or routes".to_owned(),
                cure: "remove networks that nobody needs (`docker network prune`)".to_owned(),
            })?,
        };
        used.push(range.subnet.clone());
        Ok(range)
    };
    let range = range_of(spec::NETWORK)?;
    let discovery_range = range_of(spec::DISCOVERY_NETWORK)?;
    Ok(Facts {
        hostname: place.hostname(),
        memory_bytes: about.memory_bytes,
        cpus: about.cpus,
        base_dir: base_dir.to_owned(),
        range,
        discovery_range,
        platform_networks,
        secrets: kept_secrets(observed)?,
        docker_root: about.root.clone(),
        docker_socket: engine.socket().to_owned(),
        is_swarm_manager: about.is_swarm_manager,
        node_id: about.node_id.clone(),
        containerd_socket: containerd_socket(place, &about.image_store).await,
        root_is_shared: place.root_is_shared().await,
        has_kmsg: place.exists(Path::new("/dev/kmsg")).await,
        has_dev_disk: place.exists(Path::new("/dev/disk")).await,
    })
}

fn kept_range(observed: &Observed, network: &str) -> Option<Range> {
    let network = observed.networks.get(network).filter(|network| network.ours)?;
    Some(Range {
        subnet: Some(network.subnet.clone()).filter(|subnet| !subnet.is_empty())?,
        gateway: network.gateway?,
    })
}

fn kept_secrets(observed: &Observed) -> Result<Vec<(Component, Secret)>, StackError> {
    let content = |path: PathBuf| {
        observed
            .entries
            .get(&path)
            .and_then(|entry| entry.content.as_deref())
    };
    Component::ALL
        .into_iter()
        .filter(|component| component.has_password())
        .map(|component| {
            let password = content(spec::password_file(component));
            let hash = spec::hash_file(component).and_then(content);
            secrets::recall(password, hash)
                .map(|secret| (component, secret))
                .map_err(|error| StackError::Invalid(error.to_string()))
        })
        .collect()
}

async fn containerd_socket(place: &Place, store: &ImageStore) -> Option<PathBuf> {
    let ImageStore::Containerd(said) = store else {
        return None;
    };
    let path = said.clone().unwrap_or_else(|| PathBuf::from(CONTAINERD_SOCKET));
    place.exists(&path).await.then_some(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_folder_is_foreign_when_it_holds_something_that_is_not_ours() {
        let file =
            |name: &'static str| move |base: &Path| std::fs::write(base.join(name), "x").expect("file");
        type Fill = Box<dyn Fn(&Path)>;
        let cases: [(&str, Fill, bool); 8] = [
            ("nothing", Box::new(|_: &Path| {}), false),
            ("a file", Box::new(file("prometheus.yml")), true),
            ("our mark", Box::new(file("masthead-stack.json")), false),
            // All that a run leaves that was cut off before the mark was written.
            (
                "an unfinished file",
                Box::new(file(".masthead-stack.json.masthead-new")),
                false,
            ),
            (
                "an empty folder of ours",
                Box::new(|base: &Path| std::fs::create_dir(base.join("data")).expect("folder")),
                false,
            ),
            (
                "empty folders of ours, one in the other",
                Box::new(|base: &Path| {
                    std::fs::create_dir_all(base.join("alertmanager/secrets")).expect("folder")
                }),
                false,
            ),
            (
                "a file of our name in a folder of ours",
                Box::new(|base: &Path| {
                    std::fs::create_dir(base.join("alertmanager")).expect("folder");
                    std::fs::write(base.join("alertmanager/alertmanager.yml"), "x").expect("file");
                }),
                true,
            ),
            (
                "a folder of our name with something in it",
                Box::new(|base: &Path| {
                    std::fs::create_dir(base.join("data")).expect("folder");
                    std::fs::write(base.join("data/x"), "x").expect("file");
                }),
                true,
            ),
        ];
        let place = Place::here();
        for (what, fill, want) in cases {
            let base = tempfile::tempdir().expect("folder");
            fill(base.path());
            assert_eq!(
                is_foreign(&place, base.path()).await.expect("listed"),
                want,
                "{what}"
            );
        }
        let absent = is_foreign(&place, Path::new("/no/such/folder")).await;
        assert!(!absent.expect("listed"));
    }
}
