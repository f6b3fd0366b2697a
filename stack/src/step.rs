//! One step of a plan, and what it is called for people.

use std::fmt;
use std::path::PathBuf;

use serde::Serialize;

use crate::Component;
use crate::desired::{
    ContainerSpec, FileSpec, FolderSpec, NetworkSpec, OverlaySpec, SecretSpec, ServiceSpec,
};

/// One change of the host. A step can be done again after a failure half-way.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "step", rename_all = "kebab-case")]
pub enum Step {
    /// Have the engine fetch an image.
    PullImage {
        /// With its tag.
        image: String,
    },
    /// Make the network.
    CreateNetwork(NetworkSpec),
    /// Remove the network, with containers of ours in it disconnected.
    RemoveNetwork {
        /// Its name.
        name: String,
    },
    /// Make a folder, or set its owner and mode.
    MakeFolder(FolderSpec),
    /// Write a file whole, with owner and mode, so that it is there in the old form or the new.
    WriteFile {
        /// What to write.
        #[serde(serialize_with = "path_only")]
        file: FileSpec,
        /// It is there already, with other content, owner or mode.
        is_there: bool,
    },
    /// Remove a file; that it is gone already is no failure.
    RemoveFile {
        /// Below the base directory.
        path: PathBuf,
    },
    /// Remove a folder; that it is gone already is no failure.
    RemoveFolder {
        /// Below the base directory; the base directory itself has the empty path.
        path: PathBuf,
        /// With all that is in it. Otherwise only when nothing is in it: that something is, is no failure.
        with_content: bool,
    },
    /// Stop a container and remove it, with its anonymous volumes if `ours`.
    RemoveContainer {
        /// Its name.
        name: String,
        /// Why.
        why: String,
        /// It carries our label; otherwise the user adopts it, and no volume goes with it.
        ours: bool,
    },
    /// Make a container.
    CreateContainer(Box<ContainerSpec>),
    /// Start it.
    StartContainer {
        /// Its name.
        name: String,
    },
    /// Stop it and start it again.
    RestartContainer {
        /// Its name.
        name: String,
    },
    /// Take it out of its pause.
    UnpauseContainer {
        /// Its name.
        name: String,
    },
    /// Have the program read its configuration again.
    Reload {
        /// Which.
        component: Component,
    },
    /// Make the network between Prometheus and the services of a swarm.
    CreateOverlay(OverlaySpec),
    /// Remove it once the containers of removed services have left it.
    RemoveOverlay {
        /// Its name.
        name: String,
    },
    /// Make a secret of the swarm.
    CreateSecret(SecretSpec),
    /// Remove one.
    RemoveSecret {
        /// Its name.
        name: String,
    },
    /// Make a service of the swarm.
    CreateService(Box<ServiceSpec>),
    /// Have its containers made anew, by another specification or after it was stopped.
    UpdateService(Box<ServiceSpec>),
    /// Remove one, with its containers on all nodes.
    RemoveService {
        /// Its name.
        name: String,
        /// Why.
        why: String,
    },
    /// Let a container into one more network.
    Connect {
        /// Its name.
        container: String,
        /// The network's name.
        network: String,
    },
}

fn path_only<S: serde::Serializer>(file: &FileSpec, serializer: S) -> Result<S::Ok, S::Error> {
    file.path.serialize(serializer)
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let base = |path: &PathBuf| match path.as_os_str().is_empty() {
            true => "the base directory".to_owned(),
            false => path.display().to_string(),
        };
        match self {
            Self::PullImage { image } => write!(f, "pull {image}"),
            Self::CreateNetwork(network) => write!(f, "create network {} ({})", network.name, network.subnet),
            Self::RemoveNetwork { name } => write!(f, "remove network {name}"),
            Self::MakeFolder(folder) => write!(
                f,
                "make folder {} ({:o}, owner {})",
                base(&folder.path),
                folder.access.mode,
                folder.access.uid
            ),
            Self::WriteFile { file, is_there } => {
                let verb = if *is_there { "update" } else { "write" };
                write!(f, "{verb} {}", base(&file.path))
            }
            Self::RemoveFile { path } => write!(f, "remove {}", base(path)),
            Self::RemoveFolder {
                path,
                with_content: true,
            } => write!(f, "remove {} with all that is in it", base(path)),
            Self::RemoveFolder {
                path,
                with_content: false,
            } => write!(f, "remove {} if nothing is in it", base(path)),
            Self::RemoveContainer { name, why, .. } => write!(f, "remove container {name} ({why})"),
            Self::CreateContainer(spec) => write!(f, "create container {} from {}", spec.name, spec.image),
            Self::StartContainer { name } => write!(f, "start container {name}"),
            Self::RestartContainer { name } => write!(f, "restart container {name}"),
            Self::UnpauseContainer { name } => write!(f, "unpause container {name}"),
            Self::Reload { component } => write!(f, "reload {component}"),
            Self::CreateOverlay(overlay) => {
                let how = if overlay.encrypted {
                    "encrypted overlay"
                } else {
                    "overlay"
                };
                write!(f, "create network {} ({how})", overlay.name)
            }
            Self::RemoveOverlay { name } => write!(f, "remove network {name}"),
            Self::CreateSecret(secret) => write!(f, "create secret {}", secret.name),
            Self::RemoveSecret { name } => write!(f, "remove secret {name}"),
            Self::CreateService(spec) => {
                write!(f, "create service {} from {}", spec.name(), spec.container.image)
            }
            Self::UpdateService(spec) => {
                write!(f, "update service {} to {}", spec.name(), spec.container.image)
            }
            Self::RemoveService { name, why } => write!(f, "remove service {name} ({why})"),
            Self::Connect { container, network } => write!(f, "connect {container} to network {network}"),
        }
    }
}
