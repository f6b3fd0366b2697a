//! The life of a deployed stack: looked at, checked, started, stopped, restarted, its logs, and its end.

use futures_util::stream::select_all;

use super::report::url;
use super::{ComponentStatus, Report, Stack, Status};
use crate::check::{self, CheckReport, Finding, Level, firewall};
use crate::engine::{Health, Inspected};
use crate::nodes::{self, NodeStatus, SeenService};
use crate::{
    Change, Component, Event, LogStream, NetworkName, Observed, OnEvent, Options, StackError, State, observe,
    plan, settle,
};

/// Where the base directory is mounted in Prometheus' container.
const CONFIG_IN_CONTAINER: &str = "/etc/prometheus/prometheus.yml";
/// Where Alertmanager's configuration is in its container.
const ROUTE_IN_CONTAINER: &str = "/etc/alertmanager/alertmanager.yml";
/// How long a file of findings may be.
const MAX_FINDING_LINES: usize = 6;

/// What is done to containers.
#[derive(Clone, Copy)]
enum Act {
    Start,
    Stop,
    Restart,
}

impl Act {
    fn word(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Stop => "stop",
            Self::Restart => "restart",
        }
    }
}

impl Stack {
    /// How the components are.
    ///
    /// # Errors
    /// No stack is set up, or the engine does not answer.
    pub async fn status(&self) -> Result<Status, StackError> {
        self.place
            .look("asking for the state of containers", async || {
                self.status_now().await
            })
            .await
    }

    async fn status_now(&self) -> Result<Status, StackError> {
        let options = self.kept().await?;
        let mut components = Vec::new();
        let seen = self.nodes_if_seen(&options).await?;
        for component in options.components() {
            match seen
                .services
                .iter()
                .find(|service| service.component == component)
            {
                Some(service) => components.push(service_status(service, &seen.status)),
                None if options.is_service(component) => components.push(unseen_service(component)),
                None => components.push(component_status(component, self.seen(component).await?.as_ref())),
            }
        }
        Ok(Status {
            warnings: nodes::warnings(&seen.nodes),
            nodes: seen.status,
            swarm_fault: seen.fault,
            base_dir: self.run.base_dir.clone(),
            url: url(&options),
            options,
            components,
        })
    }

    /// Checks everything. That something is wrong is no error but a finding.
    ///
    /// # Errors
    /// No stack is set up, or the engine does not answer.
    pub async fn check(&self) -> Result<CheckReport, StackError> {
        self.place
            .look("checking the stack", async || self.check_now().await)
            .await
    }

    async fn check_now(&self) -> Result<CheckReport, StackError> {
        let options = self.kept().await?;
        let about = self.engine.about();
        let mut findings = vec![Finding::ok(
            "engine",
            format!(
                "Docker {} behind {}",
                about.version,
                self.engine.socket().display()
            ),
        )];
        findings.push(self.check_settings().await);
        findings.extend(self.check_networks(&options).await?);
        let mut running = Vec::new();
        for component in options.containers() {
            let seen = self.seen(component).await?;
            if seen.as_ref().is_some_and(|seen| seen.state == State::Running) {
                running.push(component);
            }
            findings.extend(check::container(component, seen.as_ref()));
        }
        let nodes = self.nodes_if_seen(&options).await?;
        findings.extend(
            nodes
                .fault
                .map(|fault| Finding::problem("swarm", fault, "masthead setup")),
        );
        findings.extend(nodes::findings(&nodes.nodes, &nodes.status));
        if running.contains(&Component::Alertmanager) {
            findings.push(self.check_route().await);
        }
        if running.contains(&Component::Prometheus) {
            findings.push(self.check_config().await);
            findings.extend(self.check_prometheus(&options).await);
        }
        findings.push(self.check_versions().await);
        findings.push(self.check_disk(&options).await);
        if options
            .components()
            .any(|component| component == Component::Cadvisor)
            && let Some(open) = firewall::forwards(&firewall::rules(&self.place).await)
        {
            findings.push(Finding::new("forwarding", Level::Warning, open.found, open.cure));
        }
        Ok(CheckReport { findings })
    }

    /// Starts components, all without a name, and waits until they are well and the targets of all that run are up.
    ///
    /// # Errors
    /// No stack is set up, another run holds the lock, or a container does not start or is not well.
    pub async fn start(&self, components: &[Component], events: OnEvent<'_>) -> Result<Report, StackError> {
        self.act(Act::Start, components, events).await
    }

    /// Stops components, all without a name. They stay stopped, also when the machine restarts.
    ///
    /// # Errors
    /// No stack is set up, another run holds the lock, or a container cannot be stopped.
    pub async fn stop(&self, components: &[Component], events: OnEvent<'_>) -> Result<Report, StackError> {
        self.act(Act::Stop, components, events).await
    }

    /// Restarts components, all without a name, and waits until they are well.
    ///
    /// # Errors
    /// As [`Stack::start`].
    pub async fn restart(&self, components: &[Component], events: OnEvent<'_>) -> Result<Report, StackError> {
        self.act(Act::Restart, components, events).await
    }

    /// What a component, or each of them, has written: the last so many lines of each (all without a number), and with `follow` those
    /// to come.
    ///
    /// # Errors
    /// No stack is set up, or the engine does not answer.
    pub async fn logs(
        &self,
        component: Option<Component>,
        follow: bool,
        tail: Option<usize>,
    ) -> Result<LogStream, StackError> {
        let options = self.kept().await?;
        let wanted = match component {
            Some(component) => self.named(&[component], &options)?,
            None => options.components().collect(),
        };
        let services = nodes::services(&options);
        let streams: Vec<LogStream> = wanted
            .into_iter()
            .map(|component| {
                let of_it = services.iter().filter(|(of, _)| *of == component);
                let of_it: Vec<LogStream> = of_it
                    .map(|(_, service)| self.engine.service_logs(component, service, follow, tail))
                    .collect();
                match of_it.is_empty() {
                    true => self.engine.logs(component, follow, tail),
                    false => Box::pin(select_all(of_it)) as LogStream,
                }
            })
            .collect();
        Ok(Box::pin(select_all(streams)))
    }

    /// The steps that [`Stack::remove`] would carry out, in words.
    ///
    /// # Errors
    /// What is there cannot be read.
    pub async fn plan_removal(&self, purge_data: bool) -> Result<Vec<String>, StackError> {
        let observed = observe::observe(&self.engine, &self.place, &self.run.base_dir).await?;
        let steps = plan::removal(&observed, &self.run.base_dir, purge_data);
        Ok(steps.iter().map(ToString::to_string).collect())
    }

    /// Removes the stack: its containers, network and generated files; its data and the user's own files only with `purge_data`.
    ///
    /// # Errors
    /// Another run holds the lock, or a step failed; the next run goes on.
    pub async fn remove(&self, purge_data: bool, events: OnEvent<'_>) -> Result<Report, StackError> {
        let _lock = self.lock("remove", events).await?;
        self.recover(events).await?;
        let observed = observe::observe(&self.engine, &self.place, &self.run.base_dir).await?;
        if let Ok(Some(kept)) = observe::kept_options(&self.place, &self.run.base_dir).await
            && let Some(text) = self.left_in_swarm(&kept, &observed)
        {
            events(Event::Warning { text });
        }
        let steps = plan::removal(&observed, &self.run.base_dir, purge_data);
        let texts: Vec<String> = steps.iter().map(ToString::to_string).collect();
        events(Event::Planned { steps: texts.clone() });
        self.carry_out(&steps, events).await?;
        Ok(Report::of(texts))
    }

    pub(super) async fn kept(&self) -> Result<Options, StackError> {
        observe::kept_options(&self.place, &self.run.base_dir)
            .await?
            .ok_or_else(|| self.not_set_up())
    }

    /// A component's container. How it is, is asked where the engine has not asked yet: it does so half a minute after the start.
    async fn seen(&self, component: Component) -> Result<Option<Inspected>, StackError> {
        let name = component.container();
        let mut seen = self.engine.container(name).await?;
        if let Some(seen) = &mut seen
            && seen.health == Health::Starting
            && self.engine.is_healthy(name, seen).await
        {
            seen.health = Health::Healthy;
        }
        Ok(seen)
    }

    /// The components that are meant, in the order in which they are started.
    fn named(&self, components: &[Component], options: &Options) -> Result<Vec<Component>, StackError> {
        let there: Vec<Component> = options.components().collect();
        if let Some(absent) = components.iter().find(|component| !there.contains(component)) {
            return Err(StackError::Invalid(format!(
                "this stack is without {absent}; `masthead setup --with {absent}` adds it"
            )));
        }
        match components.is_empty() {
            true => Ok(there),
            false => Ok(there.into_iter().filter(|c| components.contains(c)).collect()),
        }
    }

    async fn act(
        &self,
        act: Act,
        components: &[Component],
        events: OnEvent<'_>,
    ) -> Result<Report, StackError> {
        let _lock = self.lock(act.word(), events).await?;
        self.recover(events).await?;
        let options = self.kept().await?;
        let mut components = self.named(components, &options)?;
        let observed = observe::observe(&self.engine, &self.place, &self.run.base_dir).await?;
        self.sees_swarm(&options, &observed)?;
        for component in components
            .iter()
            .filter(|component| !options.is_service(**component))
        {
            let container = observed.containers.get(component.container());
            if !container.is_some_and(|container| self.is_of_this_stack(container)) {
                return Err(StackError::Invalid(format!(
                    "there is no container {} of this stack; `masthead setup` makes it",
                    component.container()
                )));
            }
        }
        if matches!(act, Act::Stop) {
            // Prometheus first, so that it does not see the others go down.
            components.reverse();
        }
        let actions = actions(&components, &options);
        let mut done = Vec::new();
        for (index, (what, name)) in actions.iter().enumerate() {
            let step = format!("{} {what} {name}", act.word());
            let (at, of) = (index + 1, actions.len());
            events(Event::Began {
                at,
                of,
                step: step.clone(),
            });
            match (act, *what) {
                (Act::Start, SERVICE) => self.start_service(name, &observed).await?,
                (Act::Stop, SERVICE) => self.engine.turn_service(name, false).await?,
                (Act::Restart, SERVICE) => self.engine.turn_service(name, true).await?,
                (Act::Start, _) => self.engine.start(name).await?,
                (Act::Stop, _) => self.engine.stop(name).await?,
                (Act::Restart, _) => self.engine.restart(name).await?,
            }
            events(Event::Done {
                at,
                of,
                step: step.clone(),
            });
            done.push(step);
        }
        if !matches!(act, Act::Stop) {
            components.retain(|component| !options.is_service(*component));
            settle::containers(&self.engine, &components, events).await?;
            self.settle_nodes(&options, events).await?;
            self.settle_running(events).await?;
        }
        Ok(Report::of(done))
    }

    /// Starts a service that was stopped; one that runs is left alone.
    async fn start_service(&self, name: &str, observed: &Observed) -> Result<(), StackError> {
        match observed.swarm.services.get(name) {
            Some(there) if !there.is_stopped => Ok(()),
            _ => self.engine.turn_service(name, true).await,
        }
    }

    /// Waits for the targets of what runs, where Prometheus does: for some seconds after its start it knows of none.
    async fn settle_running(&self, events: OnEvent<'_>) -> Result<(), StackError> {
        // Where setup would refuse, that is no reason not to start what is there.
        let Ok(mut view) = self.look(&Change::default()).await else {
            return Ok(());
        };
        view.steps.clear();
        let mut prometheus_runs = true;
        // Of services it is known whether they run where their targets are asked for.
        let services: Vec<Component> = view.options.services().collect();
        for component in Component::ALL
            .into_iter()
            .filter(|component| !services.contains(component))
        {
            let seen = self.engine.container(component.container()).await?;
            if !seen.is_some_and(|seen| seen.state == State::Running) {
                view.options.leave_out(component);
                prometheus_runs &= component != Component::Prometheus;
            }
        }
        if !prometheus_runs {
            return Ok(());
        }
        let prometheus = self.prometheus_of(&view.access()).await?;
        self.settle_targets(&prometheus, &view, events).await.map(|_| ())
    }

    /// Would `setup` change anything?
    async fn check_settings(&self) -> Finding {
        let name = "settings";
        match self.look(&Change::default()).await {
            Ok(view) if view.steps.is_empty() => Finding::ok(
                name,
                format!(
                    "files, network, {} containers and {} services are as wanted",
                    view.desired.containers.len(),
                    view.desired
                        .swarm
                        .as_ref()
                        .map_or(0, |swarm| swarm.services.len())
                ),
            ),
            Ok(view) => {
                let mut steps: Vec<String> = view.steps.iter().map(ToString::to_string).collect();
                let more = steps.len().saturating_sub(MAX_FINDING_LINES);
                steps.truncate(MAX_FINDING_LINES);
                if more > 0 {
                    steps.push(format!("{more} more"));
                }
                let text = format!("not as wanted; setup would: {}", steps.join(", "));
                Finding::problem(name, text, "masthead setup")
            }
            Err(error) => Finding::problem(name, error.to_string(), "masthead setup --dry-run"),
        }
    }

    /// Networks that Prometheus should be in and that are gone.
    async fn check_networks(&self, options: &Options) -> Result<Vec<Finding>, StackError> {
        let there = self.engine.networks().await?;
        let is_gone = |wanted: &&NetworkName| !there.iter().any(|network| network.name == wanted.to_string());
        let gone = options.networks.iter().filter(is_gone);
        Ok(gone
            .map(|wanted| {
                Finding::new(
                    "network",
                    Level::Warning,
                    format!("{wanted}, which Prometheus should be in, is gone"),
                    format!("make it and run masthead setup, or masthead setup --without-network {wanted}"),
                )
            })
            .collect())
    }

    /// Does promtool accept the configuration, with the user's own files?
    async fn check_config(&self) -> Finding {
        let name = "configuration";
        let words = ["promtool", "check", "config", CONFIG_IN_CONTAINER];
        match self.engine.exec(Component::Prometheus.container(), &words).await {
            Ok((0, _)) => Finding::ok(name, "promtool accepts it"),
            Ok((_, output)) => {
                let text = check::tool_complaint(&output);
                Finding::problem(
                    name,
                    format!("promtool: {text}"),
                    "mend the file in conf.d or rules that it names, then masthead restart prometheus",
                )
            }
            Err(error) => Finding::problem(name, error.to_string(), ""),
        }
    }

    /// Does amtool accept the user's configuration of Alertmanager?
    async fn check_route(&self) -> Finding {
        let name = "alertmanager.yml";
        let words = ["amtool", "check-config", ROUTE_IN_CONTAINER];
        match self
            .engine
            .exec(Component::Alertmanager.container(), &words)
            .await
        {
            Ok((0, _)) => Finding::ok(name, "amtool accepts it"),
            Ok((_, output)) => Finding::problem(
                name,
                format!("amtool: {}", check::tool_complaint(&output)),
                "mend alertmanager/alertmanager.yml, then masthead restart alertmanager",
            ),
            Err(error) => Finding::problem(name, error.to_string(), ""),
        }
    }

    async fn check_prometheus(&self, options: &Options) -> Vec<Finding> {
        let prometheus = match self.access().await {
            Ok(access) => self.prometheus_of(&access).await,
            Err(error) => Err(error),
        };
        let prometheus = match prometheus {
            Ok(prometheus) => prometheus,
            Err(error) => return vec![Finding::problem("password", error.to_string(), "run it as root")],
        };
        let mut findings = Vec::new();
        let successful = prometheus
            .metrics(["prometheus_config_last_reload_successful"])
            .await;
        if let Ok([Some(0.0)]) = successful {
            findings.push(Finding::problem(
                "configuration",
                "Prometheus did not take its files at the last reload and runs with what it read before",
                "masthead logs prometheus",
            ));
        }
        findings.push(match prometheus.stranger().status("/metrics").await {
            Ok(status) => check::password(status),
            Err(error) => Finding::problem("password", error.to_string(), "masthead logs prometheus"),
        });
        match prometheus.targets().await {
            Ok(targets) => {
                let block = self.firewall(&targets, options).await;
                findings.extend(check::targets(&targets, options, block.as_ref()));
            }
            Err(error) => findings.push(Finding::problem(
                "targets",
                error.to_string(),
                "masthead logs prometheus",
            )),
        }
        findings
    }

    async fn check_disk(&self, options: &Options) -> Finding {
        let data = self.run.base_dir.join("data");
        let (space, bytes) = (self.place.space(&data).await, self.place.size(&data).await);
        match (space, bytes) {
            (Ok(space), Ok(bytes)) => check::disk(&data, space, bytes, options),
            (Err(error), _) | (_, Err(error)) => Finding::new("disk", Level::Warning, error.to_string(), ""),
        }
    }
}

/// A service of a swarm, among what is started and stopped.
const SERVICE: &str = "service";

/// What is started or stopped for these components, each with what it is.
fn actions(components: &[Component], options: &Options) -> Vec<(&'static str, &'static str)> {
    let services = nodes::services(options);
    components
        .iter()
        .flat_map(|component| {
            let mut of_it: Vec<(&str, &str)> = services
                .iter()
                .filter(|(of, _)| of == component)
                .map(|(_, name)| (SERVICE, *name))
                .collect();
            if of_it.is_empty() {
                of_it.push(("container", component.container()));
            }
            of_it
        })
        .collect()
}

impl Report {
    fn of(steps: Vec<String>) -> Self {
        Self {
            steps,
            url: None,
            user: None,
            password_file: None,
            pages: Vec::new(),
        }
    }
}

/// A service that nobody can be asked about.
fn unseen_service(component: Component) -> ComponentStatus {
    ComponentStatus {
        component,
        container: component.container().to_owned(),
        image: String::new(),
        state: "unknown".to_owned(),
        health: String::new(),
        restarts: 0,
        started_at: String::new(),
        well: false,
    }
}

/// A service on all nodes, in one row.
fn service_status(service: &SeenService, nodes: &[NodeStatus]) -> ComponentStatus {
    let expected = || {
        nodes
            .iter()
            .filter(|node| node.state == "ready" && node.availability == "active")
    };
    let runs = |node: &&NodeStatus| {
        let mut of_it = node
            .exporters
            .iter()
            .filter(|exporter| exporter.component == service.component);
        of_it.all(|exporter| exporter.state == "running")
    };
    let (running, all) = (expected().filter(runs).count(), expected().count());
    let state = match service.is_stopped {
        true => "stopped".to_owned(),
        false if all == 0 => "on no node".to_owned(),
        false if running == all => "running".to_owned(),
        false => format!("on {running} of {all} nodes"),
    };
    ComponentStatus {
        component: service.component,
        container: service.name.clone(),
        image: service.image.clone(),
        well: state == "running",
        state,
        health: String::new(),
        restarts: 0,
        started_at: String::new(),
    }
}

fn component_status(component: Component, seen: Option<&Inspected>) -> ComponentStatus {
    let state = match seen.map(|seen| seen.state) {
        None => "absent",
        Some(State::Created) => "created",
        Some(State::Running) => "running",
        Some(State::Restarting) => "restarting",
        Some(State::Paused) => "paused",
        Some(State::Exited) => "exited",
        Some(State::Dead) => "dead",
    };
    let health = match seen.map(|seen| seen.health) {
        None | Some(Health::None) => "",
        Some(Health::Starting) => "starting",
        Some(Health::Healthy) => "healthy",
        Some(Health::Unhealthy) => "unhealthy",
    };
    ComponentStatus {
        component,
        container: component.container().to_owned(),
        image: seen.map(|seen| seen.image.clone()).unwrap_or_default(),
        state: state.to_owned(),
        // What a container that ended said of its health before is no news.
        health: if state == "running" {
            health.to_owned()
        } else {
            String::new()
        },
        restarts: seen.map_or(0, |seen| seen.restarts),
        started_at: seen.map(|seen| seen.started_at.clone()).unwrap_or_default(),
        well: state == "running" && health != "unhealthy",
    }
}
