//! Networks: ours, and the ranges of all.

use std::collections::HashMap;

use bollard::models::{Ipam, IpamConfig, NetworkCreateRequest, NetworkDisconnectRequest, NetworkInspect};
use bollard::query_parameters::{InspectNetworkOptions, ListNetworksOptions};

use super::{Engine, is_absent};
use crate::desired::{LABEL_STACK, NetworkSpec};
use crate::{ObservedNetwork, StackError};

/// The engine's option for the name of a bridge interface.
const BRIDGE_NAME: &str = "com.docker.network.bridge.name";
/// Its option for a bridge on which the host has no address, so that what is in the network is out of the host's own users' reach.
const NO_HOST_ADDRESS: &str = "com.docker.network.bridge.inhibit_ipv4";

/// A network of the engine, whosever it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct KnownNetwork {
    pub(crate) name: String,
    pub(crate) subnets: Vec<String>,
    /// A container may join it: a bridge, or an overlay that says so.
    pub(crate) attachable: bool,
}

impl Engine {
    /// All networks.
    pub(crate) async fn networks(&self) -> Result<Vec<KnownNetwork>, StackError> {
        let list = self
            .docker
            .list_networks(None::<ListNetworksOptions>)
            .await
            .map_err(self.failed("listing networks"))?;
        Ok(list
            .into_iter()
            .map(|network| KnownNetwork {
                name: network.name.unwrap_or_default(),
                subnets: subnets(network.ipam),
                attachable: network.attachable.unwrap_or(false) || network.scope.as_deref() == Some("local"),
            })
            .collect())
    }

    /// A network by its name, with the containers in it that are not `ours`.
    pub(crate) async fn network(
        &self,
        name: &str,
        ours: &[String],
    ) -> Result<Option<ObservedNetwork>, StackError> {
        let Some(network) = self.inspected_network(name).await? else {
            return Ok(None);
        };
        let ipam = network
            .ipam
            .clone()
            .and_then(|ipam| ipam.config)
            .unwrap_or_default();
        let mut guests: Vec<String> = network
            .containers
            .unwrap_or_default()
            .into_values()
            .filter_map(|container| container.name)
            .filter(|container| !ours.contains(container))
            .collect();
        guests.sort();
        Ok(Some(ObservedNetwork {
            id: network.id.unwrap_or_default(),
            ours: network.labels.unwrap_or_default().contains_key(LABEL_STACK),
            gateway: ipam
                .first()
                .and_then(|first| first.gateway.as_deref())
                .and_then(|gateway| gateway.parse().ok()),
            subnet: subnets(network.ipam).into_iter().next().unwrap_or_default(),
            bridge: network
                .options
                .unwrap_or_default()
                .remove(BRIDGE_NAME)
                .unwrap_or_default(),
            internal: network.internal.unwrap_or(false),
            guests,
        }))
    }

    /// What the engine says of a network of this name.
    pub(super) async fn inspected_network(&self, name: &str) -> Result<Option<NetworkInspect>, StackError> {
        match self
            .docker
            .inspect_network(name, None::<InspectNetworkOptions>)
            .await
        {
            Ok(network) => Ok(Some(network)),
            Err(error) if is_absent(&error) => Ok(None),
            Err(error) => Err(self.failed(&format!("asking about network {name}"))(error)),
        }
    }

    /// Makes a network.
    pub(crate) async fn create_network(&self, spec: &NetworkSpec) -> Result<(), StackError> {
        let mut options = HashMap::from([(BRIDGE_NAME.to_owned(), spec.bridge.clone())]);
        if spec.internal {
            options.insert(NO_HOST_ADDRESS.to_owned(), "true".to_owned());
        }
        let request = NetworkCreateRequest {
            name: spec.name.clone(),
            driver: Some("bridge".to_owned()),
            ipam: Some(Ipam {
                driver: Some("default".to_owned()),
                config: Some(vec![IpamConfig {
                    subnet: Some(spec.subnet.clone()),
                    gateway: Some(spec.gateway.to_string()),
                    ..Default::default()
                }]),
                options: None,
            }),
            options: Some(options),
            internal: Some(spec.internal),
            labels: Some(spec.labels.clone().into_iter().collect()),
            ..Default::default()
        };
        self.docker
            .create_network(request)
            .await
            .map(|_| ())
            .map_err(self.failed(&format!("creating network {} ({})", spec.name, spec.subnet)))
    }

    /// Removes a network after these containers have left it; it may be gone already.
    pub(crate) async fn remove_network(&self, name: &str, leaving: &[&str]) -> Result<(), StackError> {
        for container in leaving {
            let request = NetworkDisconnectRequest {
                container: (*container).to_owned(),
                force: Some(true),
            };
            // A container that is not in it, or not there, has nothing to leave; the removal itself says what is wrong.
            let _left = self.docker.disconnect_network(name, request).await;
        }
        match self.docker.remove_network(name).await {
            Err(error) if !is_absent(&error) => Err(self.failed(&format!("removing network {name}"))(error)),
            _ => Ok(()),
        }
    }
}

fn subnets(ipam: Option<Ipam>) -> Vec<String> {
    ipam.and_then(|ipam| ipam.config)
        .unwrap_or_default()
        .into_iter()
        .filter_map(|config| config.subnet)
        .collect()
}
