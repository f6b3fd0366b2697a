//! The Docker Engine behind a unix socket, through bollard: typed requests, and errors that say the cure.
//!
//! Everything that is asked of the engine goes through [`Engine`]; the socket may as well be one that is forwarded from another
//! machine. Nothing here decides: what is to be done comes from a plan.

mod body;
mod containers;
mod fault;
mod images;
mod logs;
mod networks;
mod service_body;
mod swarm;

use std::path::{Path, PathBuf};

use bollard::{API_DEFAULT_VERSION, Docker};

use crate::StackError;

#[cfg(test)]
pub(crate) use containers::PublishedPort;
pub(crate) use containers::{Health, Inspected};
pub use logs::{LogLine, LogStream};

/// Longer than the engine takes for any request but a pull, whose answer begins at once; a stop waits for the program's end.
const TIMEOUT_S: u64 = 180;
/// The oldest API with what we ask for (Docker 20.10).
const OLDEST_API: (u32, u32) = (1, 41);

/// What the engine says about itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct About {
    /// Tells engines of one machine apart; may be empty.
    pub(crate) id: String,
    /// Its version.
    pub(crate) version: String,
    /// Such as `x86_64`.
    pub(crate) architecture: String,
    /// Its folder on the host.
    pub(crate) root: PathBuf,
    /// Processors.
    pub(crate) cpus: u32,
    /// Memory of its machine; 0 when it does not say.
    pub(crate) memory_bytes: u64,
    /// It manages a swarm.
    pub(crate) is_swarm_manager: bool,
    /// Its id in the swarm; empty where there is none.
    pub(crate) node_id: String,
    /// Where the managers are, such as `10.0.0.1:2377`, as far as it knows.
    pub(crate) managers: Vec<String>,
    /// Who holds its images.
    pub(crate) image_store: ImageStore,
}

/// Who holds the engine's images.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) enum ImageStore {
    /// The engine itself.
    #[default]
    Engine,
    /// containerd, at this socket where the engine says it.
    Containerd(Option<PathBuf>),
}

/// A connection to an engine.
#[derive(Debug, Clone)]
pub(crate) struct Engine {
    docker: Docker,
    socket: PathBuf,
    about: About,
}

impl Engine {
    /// Asks the engine behind a socket who it is.
    pub(crate) async fn connect(socket: &Path) -> Result<Self, StackError> {
        Self::connect_through(socket, socket).await
    }

    /// The same through a socket here that leads to the one of that path on the engine's machine.
    pub(crate) async fn connect_through(here: &Path, socket: &Path) -> Result<Self, StackError> {
        // bollard says of a socket only that it is not there; this says why it cannot be opened.
        tokio::net::UnixStream::connect(here)
            .await
            .map_err(|error| fault::socket(socket, &error))?;
        let attempt = "asking the Docker Engine who it is";
        let failed = |error: bollard::errors::Error| fault::of(socket, attempt, &error);
        let docker = Docker::connect_with_unix(&here.to_string_lossy(), TIMEOUT_S, API_DEFAULT_VERSION)
            .map_err(failed)?
            .negotiate_version()
            .await
            .map_err(failed)?;
        let info = docker.info().await.map_err(failed)?;
        let swarm = info.swarm.unwrap_or_default();
        let about = About {
            id: info.id.unwrap_or_default(),
            version: info.server_version.unwrap_or_default(),
            architecture: info.architecture.unwrap_or_default(),
            root: PathBuf::from(info.docker_root_dir.unwrap_or_default()),
            cpus: info.ncpu.and_then(|n| u32::try_from(n).ok()).unwrap_or(0).max(1),
            memory_bytes: info.mem_total.and_then(|n| u64::try_from(n).ok()).unwrap_or(0),
            is_swarm_manager: swarm.control_available.unwrap_or(false),
            node_id: swarm.node_id.unwrap_or_default(),
            managers: swarm
                .remote_managers
                .unwrap_or_default()
                .into_iter()
                .filter_map(|manager| manager.addr)
                .collect(),
            image_store: image_store(
                info.driver_status.as_deref().unwrap_or_default(),
                info.containerd.and_then(|known| known.address),
            ),
        };
        let os = info.os_type.unwrap_or_default();
        if os != "linux" {
            return Err(StackError::Architecture {
                what: "the Docker Engine".to_owned(),
                found: format!("containers of {os}"),
                wanted: "the stack is made of Linux containers".to_owned(),
                cure: "use an engine on Linux".to_owned(),
            });
        }
        let spoken = docker.client_version().to_string();
        if is_too_old(&spoken) {
            return Err(StackError::Engine {
                attempt: attempt.to_owned(),
                reason: format!("Docker {} speaks API {spoken}, which is too old", about.version),
                cure: "upgrade Docker to 20.10 or newer".to_owned(),
            });
        }
        Ok(Self {
            docker,
            socket: socket.to_owned(),
            about,
        })
    }

    /// What it said about itself when it was connected to.
    pub(crate) fn about(&self) -> &About {
        &self.about
    }

    /// Its socket, on its own machine.
    pub(crate) fn socket(&self) -> &Path {
        &self.socket
    }

    fn failed(&self, attempt: &str) -> impl Fn(bollard::errors::Error) -> StackError {
        move |error| fault::of(&self.socket, attempt, &error)
    }
}

fn image_store(driver_status: &[Vec<String>], containerd: Option<String>) -> ImageStore {
    let is_snapshotter = |row: &Vec<String>| match row.as_slice() {
        [name, kind] => name == "driver-type" && kind.starts_with("io.containerd.snapshotter"),
        _ => false,
    };
    match driver_status.iter().any(is_snapshotter) {
        true => ImageStore::Containerd(containerd.filter(|path| !path.is_empty()).map(PathBuf::from)),
        false => ImageStore::Engine,
    }
}

fn is_too_old(api: &str) -> bool {
    let mut parts = api.split('.').map(|part| part.parse().unwrap_or(0));
    (parts.next().unwrap_or(0), parts.next().unwrap_or(0)) < OLDEST_API
}

/// Is it the answer that there is no such thing?
fn is_absent(error: &bollard::errors::Error) -> bool {
    matches!(
        error,
        bollard::errors::Error::DockerResponseServerError { status_code: 404, .. }
    )
}

/// Is it the answer that something of this name is there already?
fn is_taken(error: &bollard::errors::Error) -> bool {
    matches!(
        error,
        bollard::errors::Error::DockerResponseServerError { status_code: 409, .. }
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_as_numbers() {
        assert!(is_too_old("1.9"));
        assert!(is_too_old("1.40"));
        assert!(!is_too_old("1.41"));
        assert!(!is_too_old("1.53"));
        assert!(!is_too_old("2.0"));
    }

    #[test]
    fn containerds_image_store_is_known_by_its_driver() {
        let row = |name: &str, value: &str| vec![name.to_owned(), value.to_owned()];
        let older = [row("Backing Filesystem", "extfs"), row("Supports d_type", "true")];
        assert_eq!(
            image_store(&older, Some("/run/c.sock".to_owned())),
            ImageStore::Engine
        );
        let newer = [row("driver-type", "io.containerd.snapshotter.v1")];
        assert_eq!(image_store(&newer, None), ImageStore::Containerd(None));
        assert_eq!(
            image_store(&newer, Some("/run/c.sock".to_owned())),
            ImageStore::Containerd(Some(PathBuf::from("/run/c.sock")))
        );
    }

    #[tokio::test]
    async fn a_socket_that_is_not_there_or_nobody_listens_on_is_no_engine() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("docker.sock");
        let error = Engine::connect(&path).await.expect_err("nothing there");
        assert_eq!(error.kind(), crate::ErrorKind::NoEngine);
        drop(std::os::unix::net::UnixListener::bind(&path).expect("bind"));
        let error = Engine::connect(&path).await.expect_err("nobody listens");
        assert_eq!(error.kind(), crate::ErrorKind::NoEngine);
        assert!(error.to_string().contains("systemctl start docker"), "{error}");
    }
}
