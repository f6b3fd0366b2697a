//! [`Stack`]: the upstream stack of one engine and base directory, and all that can be done with it.
//!
//! What changes something takes the lock, needs root, and leaves what a later run can go on from, also when its future is dropped
//! half-way. What only looks does neither.

mod area;
mod backup;
mod life;
mod look;
mod moving;
mod reach;
mod report;
mod restore;
mod snapshot;
mod swarm;
mod upgrade;
mod work;

use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use crate::apply::{Site, apply};
use crate::check::{firewall, words};
use crate::engine::Engine;
use crate::link::Link;
use crate::place::{Lock, Place};
use crate::prometheus::{Prometheus, Target};
use crate::settle;
use crate::{
    Change, Component, Event, ObservedContainer, OnEvent, Options, Run, StackError, Step, nodes, observe,
    spec,
};

use look::View;

pub use backup::{BackupReport, Stamp};
pub(crate) use reach::engine as engine_of;
pub use report::{Access, ComponentStatus, Page, Planned, Report, Status};
pub use restore::{RestoreReport, read_backup};
pub use upgrade::{Upgrade, UpgradeReport};

/// Where Docker's socket is.
pub(crate) const DEFAULT_SOCKET: &str = "/var/run/docker.sock";
/// The folder of the self-hosted platform, whose stack lives below it.
const PLATFORM_DIR: &str = "/etc/dokploy";
/// What the images take once they are unpacked, and a bit.
const IMAGES_BYTES: u64 = 1 << 30;
/// What Grafana's takes beside all others.
const GRAFANA_BYTES: u64 = 1 << 30;
/// What the first hours take.
const DATA_BYTES: u64 = 128 << 20;

/// The upstream stack.
#[derive(Debug)]
pub struct Stack {
    engine: Engine,
    place: Place,
    run: Run,
    waits: bool,
}

/// The base directory where nobody says one.
#[must_use]
pub fn default_base_dir() -> PathBuf {
    let platform = Path::new(PLATFORM_DIR);
    match platform.is_dir() {
        true => platform.join("prometheus"),
        false => PathBuf::from("/etc/masthead/prometheus"),
    }
}

/// The base directory of a server: the one that is named, else the registered one, else the usual one there.
///
/// # Errors
/// The connection is gone.
pub async fn base_dir_over(link: &Link, named: Option<&Path>) -> Result<PathBuf, StackError> {
    if let Some(dir) = named.or(link.server().base_dir.as_deref()) {
        return Ok(dir.to_owned());
    }
    let said = link.output("test", &["-d", PLATFORM_DIR], &[]).await?;
    Ok(match said.code {
        0 => Path::new(PLATFORM_DIR).join("prometheus"),
        _ => PathBuf::from("/etc/masthead/prometheus"),
    })
}

/// How to ask the Prometheus of the stack on a server, without its engine. The port is the server's own: [`Link::port`] leads to it.
///
/// # Errors
/// No stack is set up there, its files may not be read, or the connection is gone.
pub async fn access_over(link: &Link, base_dir: &Path) -> Result<Access, StackError> {
    access(&Place::over(link).await?, base_dir).await
}

async fn access(place: &Place, base_dir: &Path) -> Result<Access, StackError> {
    let Some(options) = observe::kept_options(place, base_dir).await? else {
        return Err(StackError::NotSetUp {
            base_dir: base_dir.to_owned(),
        });
    };
    let path = base_dir.join(spec::password_file(Component::Prometheus));
    let password = place.read(&path).await?.ok_or_else(|| {
        StackError::file(
            "reading",
            &path,
            std::io::Error::from(std::io::ErrorKind::NotFound),
        )
    })?;
    Ok(Access::new(&options, &password))
}

fn check_base_dir(base_dir: &Path) -> Result<(), StackError> {
    match base_dir.is_absolute() && base_dir.parent().is_some() {
        true => Ok(()),
        false => Err(StackError::Invalid(format!(
            "the base directory {} does not do; it is an absolute path below / such as /etc/masthead/prometheus",
            base_dir.display()
        ))),
    }
}

impl Stack {
    /// Connects to the engine behind a unix socket, Docker's usual one without a path.
    ///
    /// # Errors
    /// There is no engine, it may not be used, it is none for Linux containers, or too old; the base directory is no absolute path.
    pub async fn connect(socket: Option<PathBuf>, run: Run) -> Result<Self, StackError> {
        check_base_dir(&run.base_dir)?;
        let socket = socket.unwrap_or_else(|| PathBuf::from(DEFAULT_SOCKET));
        Ok(Self {
            engine: Engine::connect(&socket).await?,
            place: Place::here(),
            run,
            waits: false,
        })
    }

    /// Connects to the engine of a server. Everything that is done to it is done there; here, nothing is written.
    ///
    /// # Errors
    /// As [`Stack::connect`]; the server forbids what is needed, or the connection is gone.
    pub async fn over(link: &Link, run: Run) -> Result<Self, StackError> {
        check_base_dir(&run.base_dir)?;
        Ok(Self {
            engine: reach::engine(link).await?,
            place: Place::over(link).await?,
            run,
            waits: false,
        })
    }

    /// Waits for the lock where another run holds it, instead of failing.
    #[must_use]
    pub fn waiting(mut self, waits: bool) -> Self {
        self.waits = waits;
        self
    }

    /// The steps that [`Stack::setup`] would carry out. Nothing is changed.
    ///
    /// # Errors
    /// The change cannot be, something is not ours, ports are taken, or something cannot be read.
    pub async fn plan(&self, change: &Change) -> Result<Planned, StackError> {
        let view = self
            .place
            .look("planning", async || self.look(change).await)
            .await?;
        Ok(Planned {
            options: view.options,
            steps: view.steps,
        })
    }

    /// Brings the stack to what the kept options with this change want, and waits until every container is well and every target up.
    ///
    /// # Errors
    /// As [`Stack::plan`]; another run holds the lock; a step failed (the error says which were done, and the next run goes on); a
    /// container is not well; a target is down.
    pub async fn setup(&self, change: &Change, events: OnEvent<'_>) -> Result<Report, StackError> {
        let _lock = self.lock("setup", events).await?;
        self.recover(events).await?;
        let report = self.set_up(change, events).await?;
        self.hint_at_upgrade(events).await?;
        Ok(report)
    }

    /// [`Stack::setup`] under the lock.
    async fn set_up(&self, change: &Change, events: OnEvent<'_>) -> Result<Report, StackError> {
        let view = self.look(change).await?;
        self.carry(view, events).await
    }

    /// Carries out what a look showed, and waits until all is well.
    async fn carry(&self, view: View, events: OnEvent<'_>) -> Result<Report, StackError> {
        let texts: Vec<String> = view.steps.iter().map(ToString::to_string).collect();
        events(Event::Planned { steps: texts.clone() });
        if let Some(text) = &view.left {
            events(Event::Warning { text: text.clone() });
        }
        if !view.steps.is_empty() {
            self.preflight(&view).await?;
        }
        let access = view.access();
        let prometheus = self.prometheus_of(&access).await?;
        let site = Site {
            engine: &self.engine,
            place: &self.place,
            base_dir: &self.run.base_dir,
            prometheus: Some(&prometheus),
        };
        apply(&site, &view.steps, events).await?;
        let components: Vec<Component> = view.options.containers().collect();
        settle::containers(&self.engine, &components, events).await?;
        self.settle_nodes(&view.options, events).await?;
        for target in self.settle_targets(&prometheus, &view, events).await? {
            events(Event::Warning {
                text: match target.error.as_str() {
                    "" => format!(
                        "target {} of job {} was not scraped yet",
                        target.instance, target.job
                    ),
                    error => format!(
                        "target {} of job {} is down: {error}",
                        target.instance, target.job
                    ),
                },
            });
        }
        Ok(Report {
            steps: texts,
            url: Some(access.url),
            user: Some(access.user),
            password_file: Some(self.password_file()),
            pages: Page::all(&view.options, &self.run.base_dir),
        })
    }

    /// Carries out steps that need no Prometheus to ask.
    async fn carry_out(&self, steps: &[Step], events: OnEvent<'_>) -> Result<(), StackError> {
        let site = Site {
            engine: &self.engine,
            place: &self.place,
            base_dir: &self.run.base_dir,
            prometheus: None,
        };
        apply(&site, steps, events).await
    }

    /// How to ask the deployed Prometheus.
    ///
    /// # Errors
    /// No stack is set up, or its files cannot be read.
    pub async fn access(&self) -> Result<Access, StackError> {
        access(&self.place, &self.run.base_dir).await
    }

    /// Checks what stands in the way of steps that are about to be carried out, before the first of them.
    async fn preflight(&self, view: &View) -> Result<(), StackError> {
        let engine = self.engine.about();
        for container in &view.desired.containers {
            let image = &container.image;
            let found = self.engine.image_architecture(image).await?.unwrap_or_default();
            let wanted = image_architecture(&engine.architecture);
            if !found.is_empty() && found != wanted {
                return Err(StackError::Architecture {
                    what: format!("image {image}"),
                    found,
                    wanted: format!("the engine's machine is {wanted}"),
                    cure: format!(
                        "remove it (`docker rmi {image}`) and run this again, or bring one for {wanted}"
                    ),
                });
            }
        }
        let pulled = view.steps.iter().filter_map(|step| match step {
            Step::PullImage { image } if image == Component::Grafana.image() => Some(GRAFANA_BYTES),
            Step::PullImage { .. } => Some(0),
            _ => None,
        });
        if let Some(most) = pulled.max() {
            self.has_room(&engine.root, "what images take", IMAGES_BYTES + most)
                .await?;
        }
        self.has_room(
            &self.run.base_dir,
            "Prometheus' data of the first hours",
            DATA_BYTES,
        )
        .await
    }

    async fn has_room(&self, path: &Path, what: &str, needed: u64) -> Result<(), StackError> {
        let free = self.place.space(path).await?.free;
        if free >= needed {
            return Ok(());
        }
        Err(StackError::NoSpace {
            path: path.to_owned(),
            free: words(free),
            what: what.to_owned(),
            needed: words(needed),
        })
    }

    /// Waits for the targets; of one that stays down, says the cure.
    async fn settle_targets(
        &self,
        prometheus: &Prometheus,
        view: &View,
        events: OnEvent<'_>,
    ) -> Result<Vec<Target>, StackError> {
        let options = &view.options;
        let mut wanted = settle::wanted(options, view.facts.range.gateway);
        wanted.extend(self.wanted_of_nodes(options).await?);
        let interval_ms = options.scrape_interval.millis();
        let anew = needs_scrape(&view.steps);
        let down = match settle::targets(prometheus, &wanted, interval_ms, anew, events).await {
            Ok(later) => return Ok(later),
            Err(down) => down,
        };
        let block = self.firewall(&down, options).await;
        let text = |target: &Target| {
            let component = target.job.parse().unwrap_or(Component::Prometheus);
            if options.is_service(component) {
                let cure = nodes::target_cure(component, target, options);
                let Target {
                    job, instance, error, ..
                } = target;
                return format!("target {instance} of job {job} is down: {error}; {cure}");
            }
            let (found, cure) = crate::check::down(component, block.as_ref());
            format!(
                "target {} is down: {}{found}; run: {cure}",
                target.job, target.error
            )
        };
        Err(StackError::TargetsDown {
            texts: down.iter().map(text).collect(),
        })
    }

    /// What keeps Prometheus from a node_exporter that runs and listens, if that is so.
    async fn firewall(&self, targets: &[Target], options: &Options) -> Option<firewall::Block> {
        let is_down = targets.iter().any(|target| {
            target.job == Component::NodeExporter.name() && target.health == crate::TargetHealth::Down
        });
        // Of a swarm's nodes only one is here, and its node_exporter behind another bridge.
        if options.is_service(Component::NodeExporter) {
            return None;
        }
        let port = options.port(Component::NodeExporter);
        let listening = self.place.listening().await.unwrap_or_default();
        let listens = listening.iter().any(|socket| socket.port == port);
        if !is_down || !listens {
            return None;
        }
        firewall::block(&firewall::rules(&self.place).await, port)
    }

    /// Takes the lock of this engine for a command.
    async fn lock(&self, command: &'static str, events: OnEvent<'_>) -> Result<Lock, StackError> {
        if !self.place.is_root() {
            let cure = match self.place.link() {
                None => "run it with sudo".to_owned(),
                Some(link) => format!(
                    "on {} the user of the connection is not root, and sudo asks for a password: connect as root, or let this user use sudo \
                     without one (NOPASSWD in sudoers)",
                    link.server().name
                ),
            };
            return Err(StackError::NotRoot {
                attempt: command,
                cure,
            });
        }
        // By the engine and not by the base directory: it is the engine's names that two runs would both make. No two engines of a
        // machine share their root folder, while older ones take their id from a file of the machine.
        let engine = &self.engine.about().root;
        let engine = engine.to_string_lossy();
        let digest = Sha256::digest(engine.as_bytes());
        let name: String = digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
        let host = match self.place.link() {
            None => String::new(),
            Some(_) => format!(" of {}", Place::here().hostname()),
        };
        let who = format!("`{command}` in process {}{host}", std::process::id());
        self.place
            .lock(&format!("stack-{name}"), &who, self.waits, |holder| {
                events(Event::Waiting {
                    what: format!("another run to be done ({holder})"),
                });
            })
            .await
    }

    async fn prometheus_of(&self, access: &Access) -> Result<Prometheus, StackError> {
        let address = self.place.reach(access.port).await?;
        Ok(Prometheus::new(address, &access.user, &access.password))
    }

    fn password_file(&self) -> PathBuf {
        self.run.base_dir.join(spec::password_file(Component::Prometheus))
    }

    fn not_set_up(&self) -> StackError {
        StackError::NotSetUp {
            base_dir: self.run.base_dir.clone(),
        }
    }

    /// Is this container of the stack that we are about?
    fn is_of_this_stack(&self, container: &ObservedContainer) -> bool {
        container.ours && Path::new(&container.base_dir) == self.run.base_dir
    }
}

/// Did the steps change what is scraped, under a Prometheus that knew it before?
fn needs_scrape(steps: &[Step]) -> bool {
    let starts_prometheus = steps.iter().any(|step| match step {
        Step::StartContainer { name } | Step::RestartContainer { name } => {
            name == Component::Prometheus.container()
        }
        _ => false,
    });
    !starts_prometheus
        && steps.iter().any(|step| {
            matches!(
                step,
                Step::StartContainer { .. }
                    | Step::RestartContainer { .. }
                    | Step::UnpauseContainer { .. }
                    | Step::CreateService(_)
                    | Step::UpdateService(_)
                    | Step::Reload { .. }
            )
        })
}

/// The name that images have for the machine of an engine.
fn image_architecture(engine: &str) -> &str {
    match engine {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        "armv6l" | "armv7l" | "armv8l" => "arm",
        other => other,
    }
}
