//! What a swarm's manager knows: nodes, services and their tasks, secrets, the overlay. An engine that manages none is not asked.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bollard::models::{
    NetworkCreateRequest, Node as ApiNode, SecretSpec as ApiSecret, Service as ApiService, Task as ApiTask,
    TaskState,
};
use bollard::query_parameters::{
    InspectNetworkOptions, ListNodesOptions, ListSecretsOptions, ListServicesOptions,
    ListTasksOptionsBuilder, UpdateServiceOptionsBuilder,
};

use super::service_body::{self, STOPPED};
use super::{Engine, is_absent, is_taken};
use crate::desired::{
    Attachment, LABEL_BASE_DIR, LABEL_NODE, LABEL_SPEC, LABEL_STACK, OverlaySpec, SecretSpec, ServiceSpec,
};
use crate::nodes::{Node, Task};
use crate::observed::{ObservedOverlay, ObservedService, ObservedSwarm, Owner};
use crate::plan::service_guest;
use crate::{StackError, spec};

/// The engine's option that encrypts an overlay.
const ENCRYPTED: &str = "encrypted";
/// How often it is looked whether the containers of removed services have ended, on all nodes: for a minute and a half.
const LEAVE_TRIES: u32 = 180;
/// How often it is tried to make an overlay, as one of the same name goes on being there for a moment after its removal.
const REMAKE_TRIES: u32 = 30;
/// Between two of them.
const LEAVE_PAUSE: Duration = Duration::from_millis(500);

impl Engine {
    /// All that the swarm has of our names, and of this stack.
    pub(crate) async fn swarm(
        &self,
        base_dir: &str,
        our_containers: &[String],
    ) -> Result<ObservedSwarm, StackError> {
        if !self.about.is_swarm_manager {
            return Ok(ObservedSwarm::default());
        }
        let services = self
            .docker
            .list_services(None::<ListServicesOptions>)
            .await
            .map_err(self.failed("listing the swarm's services"))?;
        let secrets = self
            .docker
            .list_secrets(None::<ListSecretsOptions>)
            .await
            .map_err(self.failed("listing the swarm's secrets"))?;
        let owner = |labels: Option<HashMap<String, String>>| {
            owner(&labels.unwrap_or_default(), &self.about.node_id, base_dir)
        };
        let mut found = ObservedSwarm::default();
        let mut overlay = self.overlay(base_dir, our_containers).await?;
        for service in services {
            let name = name_of(&service);
            let labels = service.spec.as_ref().and_then(|spec| spec.labels.clone());
            let owner = owner(labels);
            if let Some((overlay, id)) = &mut overlay
                && owner != Owner::This
                && is_in(&service, id)
            {
                overlay.guests.push(service_guest(&name));
            }
            if spec::SERVICES.contains(&name.as_str()) || owner == Owner::This {
                found.services.insert(name, observed(service, owner));
            }
        }
        for secret in secrets.into_iter().filter_map(|secret| secret.spec) {
            let owner = owner(secret.labels);
            if owner == Owner::This {
                found.secrets.insert(secret.name.unwrap_or_default(), owner);
            }
        }
        found.overlay = overlay.map(|(overlay, _)| overlay);
        Ok(found)
    }

    /// The network of our name, and its id.
    async fn overlay(
        &self,
        base_dir: &str,
        our_containers: &[String],
    ) -> Result<Option<(ObservedOverlay, String)>, StackError> {
        let name = spec::OVERLAY;
        let Some(network) = self.inspected_network(name).await? else {
            return Ok(None);
        };
        let is_guest = |container: &String| {
            // What the engine itself puts there, and the containers of our services.
            let is_engines = container.is_empty() || container.ends_with("-endpoint");
            let is_task = spec::SERVICES
                .iter()
                .any(|service| container.starts_with(&format!("{service}.")));
            !is_engines && !is_task && !our_containers.contains(container)
        };
        let containers = network.containers.unwrap_or_default().into_values();
        let mut guests: Vec<String> = containers
            .filter_map(|container| container.name)
            .filter(is_guest)
            .collect();
        guests.sort();
        let options = network.options.unwrap_or_default();
        let overlay = ObservedOverlay {
            owner: owner(&network.labels.unwrap_or_default(), &self.about.node_id, base_dir),
            attachable: network.driver.as_deref() == Some("overlay") && network.attachable == Some(true),
            encrypted: options.contains_key(ENCRYPTED),
            guests,
        };
        Ok(Some((overlay, network.id.unwrap_or_default())))
    }

    /// The nodes, by their names.
    pub(crate) async fn nodes(&self) -> Result<Vec<Node>, StackError> {
        let list = self
            .docker
            .list_nodes(None::<ListNodesOptions>)
            .await
            .map_err(self.failed("listing the swarm's nodes"))?;
        let mut nodes: Vec<Node> = list.into_iter().map(node).collect();
        nodes.sort_by(|a, b| (&a.hostname, &a.id).cmp(&(&b.hostname, &b.id)));
        Ok(nodes)
    }

    /// The tasks of a service, the latest first.
    pub(crate) async fn tasks(&self, service: &str) -> Result<Vec<Task>, StackError> {
        let filters = HashMap::from([("service", vec![service])]);
        let options = ListTasksOptionsBuilder::new().filters(&filters).build();
        let mut list = match self.docker.list_tasks(Some(options)).await {
            Ok(list) => list,
            Err(error) if is_absent(&error) => return Ok(Vec::new()),
            Err(error) => {
                return Err(self.failed(&format!("listing the tasks of service {service}"))(
                    error,
                ));
            }
        };
        list.sort_by_key(|task| std::cmp::Reverse(task.created_at.clone()));
        Ok(list.into_iter().map(task).collect())
    }

    /// Are containers of a service being replaced?
    pub(crate) async fn is_updating(&self, service: &str) -> Result<bool, StackError> {
        use bollard::models::ServiceUpdateStatusStateEnum as State;
        let service = self.service(service).await?.unwrap_or_default();
        let state = service.update_status.and_then(|status| status.state);
        Ok(matches!(state, Some(State::UPDATING | State::ROLLBACK_STARTED)))
    }

    async fn service(&self, name: &str) -> Result<Option<ApiService>, StackError> {
        match self
            .docker
            .inspect_service(name, None::<bollard::query_parameters::InspectServiceOptions>)
            .await
        {
            Ok(service) => Ok(Some(service)),
            Err(error) if is_absent(&error) => Ok(None),
            Err(error) => Err(self.failed(&format!("asking about service {name}"))(error)),
        }
    }

    /// Makes the overlay.
    pub(crate) async fn create_overlay(&self, overlay: &OverlaySpec) -> Result<(), StackError> {
        let request = NetworkCreateRequest {
            name: overlay.name.clone(),
            driver: Some("overlay".to_owned()),
            scope: Some("swarm".to_owned()),
            attachable: Some(true),
            options: Some(match overlay.encrypted {
                true => HashMap::from([(ENCRYPTED.to_owned(), String::new())]),
                false => HashMap::new(),
            }),
            labels: Some(overlay.labels.clone().into_iter().collect()),
            ..Default::default()
        };
        let attempt = format!("creating network {} (overlay)", overlay.name);
        let mut tries = 0;
        loop {
            let Err(error) = self.docker.create_network(request.clone()).await else {
                return Ok(());
            };
            tries += 1;
            if tries > REMAKE_TRIES || !error.to_string().contains("already exists") {
                return Err(self.failed(&attempt)(error));
            }
            tokio::time::sleep(LEAVE_PAUSE).await;
        }
    }

    /// Removes the overlay as soon as the containers of removed services have left it; it may be gone already.
    pub(crate) async fn remove_overlay(&self, name: &str, leaving: &[&str]) -> Result<(), StackError> {
        self.await_leaving().await?;
        let mut tries = 0;
        loop {
            let Err(error) = self.remove_network(name, leaving).await else {
                return Ok(());
            };
            tries += 1;
            if tries > LEAVE_TRIES {
                return Err(match error {
                    StackError::Engine { attempt, reason, .. } => StackError::Engine {
                        attempt,
                        reason,
                        cure: format!(
                            "something on another node is still in it: `docker network inspect {name}` there shows what; remove it, and run \
                             this again"
                        ),
                    },
                    other => other,
                });
            }
            tokio::time::sleep(LEAVE_PAUSE).await;
        }
    }

    /// Makes a secret.
    pub(crate) async fn create_secret(&self, secret: &SecretSpec) -> Result<(), StackError> {
        let body = ApiSecret {
            name: Some(secret.name.clone()),
            labels: Some(secret.labels.clone().into_iter().collect()),
            data: Some(STANDARD.encode(&secret.content)),
            ..Default::default()
        };
        match self.docker.create_secret(body).await {
            // Asked for by a run that was killed: the name goes with the content and with whose it is.
            Err(error) if is_taken(&error) => Ok(()),
            made => made
                .map(drop)
                .map_err(self.failed(&format!("creating secret {}", secret.name))),
        }
    }

    /// Removes a secret; it may be gone already.
    pub(crate) async fn remove_secret(&self, name: &str) -> Result<(), StackError> {
        match self.docker.delete_secret(name).await {
            Err(error) if !is_absent(&error) => Err(self.failed(&format!("removing secret {name}"))(error)),
            _ => Ok(()),
        }
    }

    /// Makes a service.
    pub(crate) async fn create_service(&self, service: &ServiceSpec) -> Result<(), StackError> {
        let attempt = format!("creating service {}", service.name());
        let body = self.service_body(service).await?;
        match self.docker.create_service(body, None).await {
            // Asked for by a run that was killed.
            Err(error) if is_taken(&error) && self.is_service_as_specified(service).await => Ok(()),
            made => made.map(drop).map_err(self.failed(&attempt)),
        }
    }

    /// Is there a service of the name that was made by this very specification?
    async fn is_service_as_specified(&self, service: &ServiceSpec) -> bool {
        let there = self.service(service.name()).await.ok().flatten();
        let labels = there.and_then(|there| there.spec?.labels).unwrap_or_default();
        labels.get(LABEL_SPEC) == Some(&service.fingerprint())
    }

    /// Brings a service to this specification, with new containers.
    pub(crate) async fn update_service(&self, service: &ServiceSpec) -> Result<(), StackError> {
        let body = self.service_body(service).await?;
        self.change_service(service.name(), "updating", move |spec| {
            let forced = force_of(spec);
            *spec = body.clone();
            if let Some(template) = &mut spec.task_template {
                template.force_update = Some(forced + 1);
            }
        })
        .await
    }

    /// Has its containers made anew, or run nowhere.
    pub(crate) async fn turn_service(&self, name: &str, runs: bool) -> Result<(), StackError> {
        let attempt = if runs { "starting" } else { "stopping" };
        self.change_service(name, attempt, |spec| {
            let forced = force_of(spec);
            if let Some(template) = &mut spec.task_template {
                template.force_update = Some(forced + 1);
                let placement = template.placement.get_or_insert_default();
                placement.constraints = Some(match runs {
                    true => Vec::new(),
                    false => vec![STOPPED.to_owned()],
                });
            }
        })
        .await
    }

    async fn change_service(
        &self,
        name: &str,
        attempt: &str,
        change: impl Fn(&mut bollard::models::ServiceSpec),
    ) -> Result<(), StackError> {
        let attempt = format!("{attempt} service {name}");
        let failed = self.failed(&attempt);
        let there = self
            .docker
            .inspect_service(name, None::<bollard::query_parameters::InspectServiceOptions>)
            .await
            .map_err(&failed)?;
        let version = there.version.and_then(|version| version.index).unwrap_or(0);
        let mut spec = there.spec.unwrap_or_default();
        change(&mut spec);
        let options = UpdateServiceOptionsBuilder::new()
            .version(i32::try_from(version).unwrap_or(i32::MAX))
            .build();
        self.docker
            .update_service(name, spec, options, None)
            .await
            .map(drop)
            .map_err(failed)
    }

    /// Removes a service; it may be gone already. Its containers end by and by: [`Engine::remove_overlay`] waits for those of all.
    pub(crate) async fn remove_service(&self, name: &str) -> Result<(), StackError> {
        match self.docker.delete_service(name).await {
            Err(error) if !is_absent(&error) => Err(self.failed(&format!("removing service {name}"))(error)),
            _ => Ok(()),
        }
    }

    /// Waits until the containers of removed services have ended, on all nodes that are there. Those of a node that is down end when it
    /// is back.
    async fn await_leaving(&self) -> Result<(), StackError> {
        // Tasks of a service that is gone are found by its labels alone.
        let filters = HashMap::from([("label", vec![LABEL_STACK])]);
        for _ in 0..LEAVE_TRIES {
            let options = ListTasksOptionsBuilder::new().filters(&filters).build();
            // Where the managers choose a leader just now, nothing is known.
            if let (Ok(tasks), Ok(nodes)) = (self.docker.list_tasks(Some(options)).await, self.nodes().await)
            {
                let is_left = |task: &ApiTask| {
                    let node = nodes.iter().find(|node| Some(&node.id) == task.node_id.as_ref());
                    task.desired_state == Some(TaskState::REMOVE)
                        && node.is_some_and(|node| node.state == "ready")
                };
                if !tasks.iter().any(is_left) {
                    break;
                }
            }
            tokio::time::sleep(LEAVE_PAUSE).await;
        }
        Ok(())
    }

    async fn service_body(&self, service: &ServiceSpec) -> Result<bollard::models::ServiceSpec, StackError> {
        let list = self
            .docker
            .list_secrets(None::<ListSecretsOptions>)
            .await
            .map_err(self.failed("listing the swarm's secrets"))?;
        let ids: BTreeMap<String, String> = list
            .into_iter()
            .filter_map(|secret| Some((secret.spec?.name?, secret.id?)))
            .collect();
        // A service names networks by their ids; the name of the predefined one would be taken for that of an overlay.
        let network = match &service.container.attachment {
            Attachment::Host => "host",
            Attachment::Only(network) => network,
            Attachment::Networks(_) => spec::OVERLAY,
        };
        let known = self
            .docker
            .inspect_network(network, None::<InspectNetworkOptions>)
            .await
            .map_err(self.failed(&format!("asking about network {network}")))?;
        Ok(service_body::of(
            service,
            |name| ids.get(name).cloned(),
            known.id.unwrap_or_default(),
        ))
    }
}

fn force_of(spec: &bollard::models::ServiceSpec) -> u64 {
    let template = spec.task_template.as_ref();
    template.and_then(|template| template.force_update).unwrap_or(0)
}

fn owner(labels: &HashMap<String, String>, node: &str, base_dir: &str) -> Owner {
    let label = |name: &str| labels.get(name).cloned().unwrap_or_default();
    match labels.contains_key(LABEL_STACK) {
        false => Owner::Stranger,
        true if label(LABEL_NODE) == node && label(LABEL_BASE_DIR) == base_dir => Owner::This,
        true => Owner::Other {
            node: label(LABEL_NODE),
            base_dir: label(LABEL_BASE_DIR),
        },
    }
}

/// Is it in the network of this id?
fn is_in(service: &ApiService, network: &str) -> bool {
    let template = service.spec.as_ref().and_then(|spec| spec.task_template.as_ref());
    let networks = template.and_then(|template| template.networks.as_deref());
    let mut networks = networks.unwrap_or_default().iter();
    networks.any(|attached| attached.target.as_deref() == Some(network))
}

fn name_of(service: &ApiService) -> String {
    let name = service.spec.as_ref().and_then(|spec| spec.name.clone());
    name.unwrap_or_default()
}

fn observed(service: ApiService, owner: Owner) -> ObservedService {
    let spec = service.spec.unwrap_or_default();
    let generation = force_of(&spec);
    let template = spec.task_template.unwrap_or_default();
    let constraints = template.placement.and_then(|placement| placement.constraints);
    let image = template.container_spec.and_then(|container| container.image);
    ObservedService {
        owner,
        // With the digest behind it, where the client of somebody else has looked it up.
        image: image
            .unwrap_or_default()
            .split('@')
            .next()
            .unwrap_or_default()
            .to_owned(),
        fingerprint: spec
            .labels
            .unwrap_or_default()
            .remove(LABEL_SPEC)
            .unwrap_or_default(),
        generation,
        is_stopped: constraints.is_some_and(|all| all.iter().any(|one| one == STOPPED)),
    }
}

fn node(node: ApiNode) -> Node {
    let (spec, status) = (node.spec.unwrap_or_default(), node.status.unwrap_or_default());
    Node {
        id: node.id.unwrap_or_default(),
        hostname: node
            .description
            .and_then(|known| known.hostname)
            .unwrap_or_default(),
        role: spec.role.map(|role| role.to_string()).unwrap_or_default(),
        state: status.state.map(|state| state.to_string()).unwrap_or_default(),
        availability: spec
            .availability
            .map(|availability| availability.to_string())
            .unwrap_or_default(),
    }
}

fn task(task: ApiTask) -> Task {
    let status = task.status.unwrap_or_default();
    Task {
        node: task.node_id.unwrap_or_default(),
        desired: task
            .desired_state
            .map(|state| state.to_string())
            .unwrap_or_default(),
        state: status.state.map(|state| state.to_string()).unwrap_or_default(),
        error: status.err.unwrap_or_default(),
        generation: task.spec.and_then(|spec| spec.force_update).unwrap_or(0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_ours_is_told_by_label_node_and_folder() {
        let labels = |node: &str, base_dir: &str| {
            HashMap::from([
                (LABEL_STACK.to_owned(), "upstream".to_owned()),
                (LABEL_NODE.to_owned(), node.to_owned()),
                (LABEL_BASE_DIR.to_owned(), base_dir.to_owned()),
            ])
        };
        assert_eq!(owner(&HashMap::new(), "n1", "/b"), Owner::Stranger);
        assert_eq!(owner(&labels("n1", "/b"), "n1", "/b"), Owner::This);
        for (node, base_dir) in [("n2", "/b"), ("n1", "/c")] {
            let want = Owner::Other {
                node: node.to_owned(),
                base_dir: base_dir.to_owned(),
            };
            assert_eq!(owner(&labels(node, base_dir), "n1", "/b"), want);
        }
    }
}
