//! Carries the steps of a plan out, one after the other. Each can be done again, so that a run which was cut off is finished by the
//! next one.

use std::path::Path;
use std::time::Duration;

use crate::engine::Engine;
use crate::observe::below;
use crate::place::Place;
use crate::prometheus::Prometheus;
use crate::{Component, Event, OnEvent, StackError, Step, spec};

/// A configuration that Prometheus has not taken by then, it does not take.
const RELOAD_LIMIT: Duration = Duration::from_secs(20);
/// When Prometheus took a configuration last, and whether the last attempt succeeded.
const RELOAD_METRICS: [&str; 2] = [
    "prometheus_config_last_reload_success_timestamp_seconds",
    "prometheus_config_last_reload_successful",
];
/// Between two looks at it.
const RELOAD_PAUSE: Duration = Duration::from_millis(200);

/// What steps are carried out on.
pub(crate) struct Site<'a> {
    pub(crate) engine: &'a Engine,
    pub(crate) place: &'a Place,
    pub(crate) base_dir: &'a Path,
    /// The Prometheus as it will be after the plan.
    pub(crate) prometheus: Option<&'a Prometheus>,
}

/// Carries them out.
pub(crate) async fn apply(site: &Site<'_>, steps: &[Step], events: OnEvent<'_>) -> Result<(), StackError> {
    let texts: Vec<String> = steps.iter().map(ToString::to_string).collect();
    for (index, (step, text)) in steps.iter().zip(&texts).enumerate() {
        let (at, of) = (index + 1, steps.len());
        events(Event::Began {
            at,
            of,
            step: text.clone(),
        });
        if let Err(source) = site.carry_out(step, events).await {
            // Not carried on over a new connection: the lock went with the old one, and somebody else may have taken it.
            let source = site.place.explained(source, text).await;
            return Err(StackError::Step {
                at,
                of,
                step: text.clone(),
                done: texts.iter().take(index).cloned().collect(),
                left: texts.iter().skip(at).cloned().collect(),
                source: Box::new(source),
            });
        }
        events(Event::Done {
            at,
            of,
            step: text.clone(),
        });
    }
    Ok(())
}

impl Site<'_> {
    async fn carry_out(&self, step: &Step, events: OnEvent<'_>) -> Result<(), StackError> {
        let (engine, place) = (self.engine, self.place);
        let path = |path: &Path| below(self.base_dir, path);
        match step {
            Step::PullImage { image } => {
                engine
                    .pull(image, |done_bytes, total_bytes| {
                        events(Event::Pulling {
                            image: image.clone(),
                            done_bytes,
                            total_bytes,
                        });
                    })
                    .await
            }
            Step::CreateNetwork(network) => engine.create_network(network).await,
            Step::RemoveNetwork { name } => {
                let leaving = Component::ALL.map(Component::container);
                engine.remove_network(name, &leaving).await
            }
            Step::MakeFolder(folder) => {
                place
                    .make_folder(&path(&folder.path), folder.access, folder.kind)
                    .await
            }
            Step::WriteFile { file, .. } => place.write(&path(&file.path), &file.content, file.access).await,
            Step::RemoveFile { path: file } => place.remove(&path(file)).await,
            Step::RemoveFolder {
                path: folder,
                with_content: true,
            } => place.remove(&path(folder)).await,
            Step::RemoveFolder {
                path: folder,
                with_content: false,
            } => place.remove_if_empty(&path(folder)).await,
            Step::RemoveContainer { name, ours, .. } => {
                engine.stop(name).await?;
                engine.remove(name, *ours).await
            }
            Step::CreateContainer(container) => engine.create(container, spec::NETWORK).await,
            Step::StartContainer { name } => engine.start(name).await,
            Step::RestartContainer { name } => engine.restart(name).await,
            Step::UnpauseContainer { name } => engine.unpause(name).await,
            Step::Reload { component } => self.reload(*component).await,
            Step::CreateOverlay(overlay) => engine.create_overlay(overlay).await,
            Step::RemoveOverlay { name } => {
                let leaving = Component::ALL.map(Component::container);
                engine.remove_overlay(name, &leaving).await
            }
            Step::CreateSecret(secret) => engine.create_secret(secret).await,
            Step::RemoveSecret { name } => engine.remove_secret(name).await,
            Step::CreateService(service) => engine.create_service(service).await,
            Step::UpdateService(service) => engine.update_service(service).await,
            Step::RemoveService { name, .. } => engine.remove_service(name).await,
            Step::Connect { container, network } => engine.join(container, network).await,
        }
    }

    /// Has a component read its configuration again, and of Prometheus finds out whether it took it.
    async fn reload(&self, component: Component) -> Result<(), StackError> {
        let container = component.container();
        let Some(prometheus) = self.prometheus.filter(|_| component == Component::Prometheus) else {
            return self.engine.hang_up(container).await;
        };
        // One that does not answer yet is starting, and reads the new configuration anyway.
        let Ok(before) = prometheus.metrics(RELOAD_METRICS).await else {
            return self.engine.hang_up(container).await;
        };
        self.engine.hang_up(container).await?;
        let outcome = async {
            loop {
                tokio::time::sleep(RELOAD_PAUSE).await;
                match prometheus.metrics(RELOAD_METRICS).await {
                    Ok(now) if now == before => {}
                    Ok([_, success]) => return success != Some(0.0),
                    // It went away over it; what becomes of it is seen when all is waited for.
                    Err(_) => return true,
                }
            }
        };
        // One that failed before and fails again changes nothing: that is seen by the limit alone.
        match tokio::time::timeout(RELOAD_LIMIT, outcome).await {
            Ok(true) => Ok(()),
            Ok(false) | Err(_) => Err(StackError::Container {
                container: container.to_owned(),
                what: "did not take its new configuration and goes on with the old one; what it says of files in conf.d and rules \
                       is to be mended there"
                    .to_owned(),
                log: self.engine.log_tail(container, 5).await,
            }),
        }
    }
}
