//! Containers: asked about, made, started, stopped, removed, and words run inside them.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use bollard::exec::{CreateExecOptions, StartExecOptions, StartExecResults};
use bollard::models::{
    ContainerInspectResponse, ContainerState, ContainerStateStatusEnum, EndpointSettings, HealthStatusEnum,
    NetworkConnectRequest, PortSummaryTypeEnum,
};
use bollard::query_parameters::{
    CreateContainerOptionsBuilder, InspectContainerOptions, KillContainerOptionsBuilder,
    ListContainersOptionsBuilder, RemoveContainerOptionsBuilder, RestartContainerOptions,
    StartContainerOptions, StopContainerOptions,
};
use futures_util::StreamExt;

use super::{Engine, body, is_absent, is_taken};
use crate::desired::{Attachment, ContainerSpec, LABEL_SPEC};
use crate::ports::Listening;
use crate::{StackError, State};

/// What is kept of the output of words that ran in a container.
const MAX_EXEC_BYTES: usize = 64 << 10;

/// What the engine's own questions to the program came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Health {
    /// It is not asked.
    None,
    /// Not known yet.
    Starting,
    /// Well.
    Healthy,
    /// Not well.
    Unhealthy,
}

/// An address of the host that leads into a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PublishedPort {
    /// On the host; empty for all addresses.
    pub(crate) host_ip: String,
    /// On the host.
    pub(crate) host_port: String,
    /// Such as `9090/tcp`.
    pub(crate) container_port: String,
}

/// A container as the engine describes it, as far as we look.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Inspected {
    pub(crate) id: String,
    /// The name that it was made from.
    pub(crate) image: String,
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) state: State,
    pub(crate) exit_code: i64,
    /// What the engine could not do when it started it.
    pub(crate) error: String,
    pub(crate) oom_killed: bool,
    /// How often the engine started it again by itself.
    pub(crate) restarts: i64,
    /// When it started last, RFC 3339; changes with each start.
    pub(crate) started_at: String,
    pub(crate) health: Health,
    /// The question, in the engine's form.
    pub(crate) health_command: Vec<String>,
    /// The output of the last one.
    pub(crate) health_output: String,
    pub(crate) networks: BTreeSet<String>,
    /// Its addresses in them.
    pub(crate) published: Vec<PublishedPort>,
}

impl Engine {
    /// A container by its name.
    pub(crate) async fn container(&self, name: &str) -> Result<Option<Inspected>, StackError> {
        match self
            .docker
            .inspect_container(name, None::<InspectContainerOptions>)
            .await
        {
            Ok(answer) => Ok(Some(inspected(answer))),
            Err(error) if is_absent(&error) => Ok(None),
            Err(error) => Err(self.failed(&format!("asking about container {name}"))(error)),
        }
    }

    /// Names of the containers that carry a label with this value.
    pub(crate) async fn labelled(&self, label: &str, value: &str) -> Result<Vec<String>, StackError> {
        let filters = HashMap::from([("label".to_owned(), vec![format!("{label}={value}")])]);
        let options = ListContainersOptionsBuilder::new()
            .all(true)
            .filters(&filters)
            .build();
        let list = self
            .docker
            .list_containers(Some(options))
            .await
            .map_err(self.failed("listing containers"))?;
        Ok(list
            .into_iter()
            .filter_map(|summary| name_of(summary.names))
            .collect())
    }

    /// TCP ports of the host that running containers are published at, with the containers' names. An engine without a proxy process
    /// has no socket for them.
    pub(crate) async fn published(&self) -> Vec<Listening> {
        let options = ListContainersOptionsBuilder::new().build();
        // The typed list fails over a single container in a state that it does not know (Podman's); the host's sockets, which are looked
        // at too, then have to do.
        let list = self
            .docker
            .list_containers(Some(options))
            .await
            .unwrap_or_default();
        list.into_iter()
            .flat_map(|summary| {
                let owner = name_of(summary.names).map(|name| format!("container {name}"));
                summary
                    .ports
                    .unwrap_or_default()
                    .into_iter()
                    .filter(|port| port.typ == Some(PortSummaryTypeEnum::TCP))
                    .filter_map(move |port| {
                        Some(Listening {
                            address: port.ip?.parse().ok()?,
                            port: port.public_port?,
                            owner: owner.clone(),
                        })
                    })
            })
            .collect()
    }

    /// Makes a container, exactly as specified.
    pub(crate) async fn create(&self, spec: &ContainerSpec, network: &str) -> Result<(), StackError> {
        let further = match &spec.attachment {
            Attachment::Host | Attachment::Only(_) => &[],
            Attachment::Networks(further) => further.as_slice(),
        };
        let options = CreateContainerOptionsBuilder::new().name(&spec.name).build();
        let attempt = format!("creating container {}", spec.name);
        let body = body::of(spec, network);
        match self.docker.create_container(Some(options), body).await {
            // The engine goes on with what a run asked for that was killed meanwhile: then it is there after all.
            Err(error) if is_taken(&error) && self.is_as_specified(spec).await => {}
            made => drop(made.map_err(self.failed(&attempt))?),
        }
        for network in further {
            self.join(&spec.name, network).await?;
        }
        Ok(())
    }

    /// Is there a container of the name that was made by this very specification?
    async fn is_as_specified(&self, spec: &ContainerSpec) -> bool {
        let there = self.container(&spec.name).await.ok().flatten();
        there.is_some_and(|there| there.labels.get(LABEL_SPEC) == Some(&spec.fingerprint()))
    }

    /// Starts it; it may run already.
    pub(crate) async fn start(&self, name: &str) -> Result<(), StackError> {
        self.docker
            .start_container(name, None::<StartContainerOptions>)
            .await
            .map_err(self.failed(&format!("starting container {name}")))
    }

    /// Has it end in the time that its specification gives; it may have ended already, or be gone.
    pub(crate) async fn stop(&self, name: &str) -> Result<(), StackError> {
        match self
            .docker
            .stop_container(name, None::<StopContainerOptions>)
            .await
        {
            Err(error) if !is_absent(&error) => {
                Err(self.failed(&format!("stopping container {name}"))(error))
            }
            _ => Ok(()),
        }
    }

    /// Stops and starts it.
    pub(crate) async fn restart(&self, name: &str) -> Result<(), StackError> {
        self.docker
            .restart_container(name, None::<RestartContainerOptions>)
            .await
            .map_err(self.failed(&format!("restarting container {name}")))
    }

    /// Removes it, running or not, with its anonymous volumes if so; it may be gone already.
    pub(crate) async fn remove(&self, name: &str, with_volumes: bool) -> Result<(), StackError> {
        let options = RemoveContainerOptionsBuilder::new()
            .force(true)
            .v(with_volumes)
            .build();
        match self.docker.remove_container(name, Some(options)).await {
            Err(error) if !is_absent(&error) => {
                Err(self.failed(&format!("removing container {name}"))(error))
            }
            _ => Ok(()),
        }
    }

    /// Takes it out of its pause.
    pub(crate) async fn unpause(&self, name: &str) -> Result<(), StackError> {
        self.docker
            .unpause_container(name)
            .await
            .map_err(self.failed(&format!("unpausing container {name}")))
    }

    /// Has the program read its configuration again.
    pub(crate) async fn hang_up(&self, name: &str) -> Result<(), StackError> {
        let options = KillContainerOptionsBuilder::new().signal("SIGHUP").build();
        self.docker
            .kill_container(name, Some(options))
            .await
            .map_err(self.failed(&format!("sending SIGHUP to container {name}")))
    }

    /// Lets it into a network; it may be in it already.
    pub(crate) async fn join(&self, container: &str, network: &str) -> Result<(), StackError> {
        let request = NetworkConnectRequest {
            container: container.to_owned(),
            endpoint_config: Some(EndpointSettings::default()),
        };
        match self.docker.connect_network(network, request).await {
            Err(bollard::errors::Error::DockerResponseServerError { message, .. })
                if message.contains("already exists in network") =>
            {
                Ok(())
            }
            Err(error) => Err(self
                .failed(&format!("connecting {container} to network {network}"))(
                error
            )),
            Ok(()) => Ok(()),
        }
    }

    /// Asks a container how it is, as the engine does at intervals. `false` also where it cannot be asked.
    pub(crate) async fn is_healthy(&self, name: &str, container: &Inspected) -> bool {
        let words: Vec<&str> = container.health_command.iter().map(String::as_str).collect();
        let words = match words.as_slice() {
            ["CMD", words @ ..] if !words.is_empty() => words.to_vec(),
            ["CMD-SHELL", line] => vec!["/bin/sh", "-c", line],
            _ => return false,
        };
        matches!(self.exec(name, &words).await, Ok((0, _)))
    }

    /// Runs words in a container: the exit code, and the end of what they printed.
    pub(crate) async fn exec(&self, container: &str, words: &[&str]) -> Result<(i64, String), StackError> {
        let attempt = format!("running {} in container {container}", words.join(" "));
        let options = CreateExecOptions {
            attach_stdout: Some(true),
            attach_stderr: Some(true),
            cmd: Some(words.to_vec()),
            ..Default::default()
        };
        let exec = self
            .docker
            .create_exec(container, options)
            .await
            .map_err(self.failed(&attempt))?;
        let started = self
            .docker
            .start_exec(&exec.id, None::<StartExecOptions>)
            .await
            .map_err(self.failed(&attempt))?;
        let mut output = String::new();
        if let StartExecResults::Attached {
            output: mut pieces, ..
        } = started
        {
            while let Some(piece) = pieces.next().await {
                let bytes = piece.map_err(self.failed(&attempt))?.into_bytes();
                if output.len() < MAX_EXEC_BYTES {
                    output.push_str(&String::from_utf8_lossy(&bytes));
                }
            }
        }
        let ended = self
            .docker
            .inspect_exec(&exec.id)
            .await
            .map_err(self.failed(&attempt))?;
        Ok((ended.exit_code.unwrap_or(-1), output))
    }
}

fn name_of(names: Option<Vec<String>>) -> Option<String> {
    let name = names?.into_iter().next()?;
    Some(name.trim_start_matches('/').to_owned())
}

fn inspected(answer: ContainerInspectResponse) -> Inspected {
    let state = answer.state.unwrap_or_default();
    let config = answer.config.unwrap_or_default();
    let network = answer.network_settings.unwrap_or_default();
    let health = state.health.clone().unwrap_or_default();
    let health_output = health
        .log
        .and_then(|mut log| log.pop())
        .and_then(|last| last.output)
        .unwrap_or_default();
    let published = answer
        .host_config
        .and_then(|host| host.port_bindings)
        .into_iter()
        .flatten()
        .flat_map(|(container_port, bindings)| {
            bindings
                .unwrap_or_default()
                .into_iter()
                .map(move |binding| PublishedPort {
                    host_ip: binding.host_ip.unwrap_or_default(),
                    host_port: binding.host_port.unwrap_or_default(),
                    container_port: container_port.clone(),
                })
        })
        .collect();
    Inspected {
        id: answer.id.unwrap_or_default(),
        image: config.image.unwrap_or_default(),
        labels: config.labels.unwrap_or_default().into_iter().collect(),
        state: state_of(&state),
        exit_code: state.exit_code.unwrap_or(0),
        error: state.error.unwrap_or_default(),
        oom_killed: state.oom_killed.unwrap_or(false),
        restarts: answer.restart_count.unwrap_or(0),
        started_at: state.started_at.unwrap_or_default(),
        health: match health.status {
            None | Some(HealthStatusEnum::EMPTY | HealthStatusEnum::NONE) => Health::None,
            Some(HealthStatusEnum::STARTING) => Health::Starting,
            Some(HealthStatusEnum::HEALTHY) => Health::Healthy,
            Some(HealthStatusEnum::UNHEALTHY) => Health::Unhealthy,
        },
        health_command: config
            .healthcheck
            .and_then(|health| health.test)
            .unwrap_or_default(),
        health_output: health_output.trim().to_owned(),
        networks: network.networks.unwrap_or_default().into_keys().collect(),
        published,
    }
}

fn state_of(state: &ContainerState) -> State {
    match state.status {
        Some(ContainerStateStatusEnum::CREATED) => State::Created,
        Some(ContainerStateStatusEnum::RUNNING) => State::Running,
        Some(ContainerStateStatusEnum::RESTARTING) => State::Restarting,
        Some(ContainerStateStatusEnum::PAUSED) => State::Paused,
        Some(ContainerStateStatusEnum::EXITED | ContainerStateStatusEnum::STOPPING) => State::Exited,
        None
        | Some(
            ContainerStateStatusEnum::EMPTY
            | ContainerStateStatusEnum::REMOVING
            | ContainerStateStatusEnum::DEAD,
        ) => State::Dead,
    }
}
