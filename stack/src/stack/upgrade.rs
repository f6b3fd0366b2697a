//! `upgrade`: what runs, to the images that this version of Masthead pins; and back, where one does not do.
//!
//! ```text
//! well before? -> images are here -> each component, Prometheus last: [snapshot] -> new image -> healthy, target up -> the next
//!                                                                                       \-> no: the former image, the former data
//! ```
//!
//! `setup` never changes the version of what runs: a container keeps the image that it was made from until it is upgraded. What a
//! run that was cut off has begun stands in a note, so that the next one knows what was there before.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::area::WORKING;
use super::look::{Images, View};
use super::{DATA_BYTES, IMAGES_BYTES, Stack, image_architecture};
use crate::desired::{Access, FolderKind};
use crate::options::Pull;
use crate::{Change, Component, Event, OnEvent, Refusal, StackError, spec};

/// In the base directory, while an upgrade is at work.
const NOTE: &str = ".masthead-upgrade";
/// In Prometheus' data folder: data that neither the new nor the former version could be started on.
const BROKEN: &str = ".masthead-broken";
/// In the base directory: what components other than Prometheus had stored.
const COPIES: &str = ".masthead-upgrade-data";

/// A component whose image is not the one that is pinned.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Upgrade {
    /// Which.
    pub component: Component,
    /// The image that it runs from.
    pub from: String,
    /// The image that this version of Masthead pins.
    pub to: String,
}

impl std::fmt::Display for Upgrade {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {} -> {}", self.component, self.from, self.to)
    }
}

/// What an upgrade did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct UpgradeReport {
    /// In the order in which they were carried out; none where there was nothing to do.
    pub upgrades: Vec<Upgrade>,
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct Note {
    /// Images of what is to be upgraded, before.
    former: BTreeMap<Component, String>,
    /// Name of Prometheus' snapshot.
    snapshot: Option<String>,
    /// Components whose data was copied.
    #[serde(default)]
    copied: BTreeSet<Component>,
}

impl Stack {
    /// What an upgrade would do. Nothing is changed.
    ///
    /// # Errors
    /// No stack is set up, or the engine does not answer.
    pub async fn plan_upgrade(&self) -> Result<Vec<Upgrade>, StackError> {
        let note = self.upgrade_note().await?.unwrap_or_default();
        let options = self.kept().await?;
        let services = self.services(&options).await?;
        let mut upgrades = Vec::new();
        for component in options.components() {
            let to = component.image().to_owned();
            let seen = match services.iter().find(|service| service.component == component) {
                Some(service) => Some(service.image.clone()).filter(|image| !image.is_empty()),
                None => {
                    let container = self.engine.container(component.container()).await?;
                    container.map(|container| container.image)
                }
            };
            // Of one that was cut off in the middle, the container is gone or new.
            let from = match (note.former.get(&component), seen) {
                (Some(former), _) => former.clone(),
                (None, Some(image)) => image,
                (None, None) => continue,
            };
            if from != to {
                upgrades.push(Upgrade { component, from, to });
            }
        }
        Ok(upgrades)
    }

    /// Takes each component to its pinned image, one after the other: the next only when the one before is healthy and its target up. One
    /// that does not do goes back to the image that it had.
    ///
    /// # Errors
    /// The stack is not well to begin with; another run holds the lock; an image cannot be had, or there is no room: then nothing was
    /// changed. [`StackError::Undone`]: a new version does not do; the components before it stay upgraded.
    pub async fn upgrade(&self, events: OnEvent<'_>) -> Result<UpgradeReport, StackError> {
        let _lock = self.lock("upgrade", events).await?;
        self.recover(events).await?;
        let upgrades = self.plan_upgrade().await?;
        let note = self.upgrade_note().await?;
        if upgrades.is_empty() {
            self.end_upgrade(&note.unwrap_or_default()).await?;
            return Ok(UpgradeReport { upgrades });
        }
        if note.is_none() {
            // What is not well before it would be laid at the new version's door.
            self.set_up(&Change::default(), events).await?;
        }
        self.prepare(&upgrades, events).await?;
        let mut note = note.unwrap_or_default();
        for upgrade in &upgrades {
            note.former.insert(upgrade.component, upgrade.from.clone());
        }
        self.write_upgrade_note(&note).await?;
        let mut done = Vec::new();
        for (index, upgrade) in upgrades.iter().enumerate() {
            let (at, of) = (index + 1, upgrades.len());
            let step = format!("upgrade {upgrade}");
            events(Event::Began {
                at,
                of,
                step: step.clone(),
            });
            self.upgrade_one(upgrade, &mut note, &done, events).await?;
            events(Event::Done { at, of, step });
            done.push(upgrade.component.name());
        }
        self.end_upgrade(&note).await?;
        Ok(UpgradeReport { upgrades })
    }

    /// Has all images here before the first container is touched.
    async fn prepare(&self, upgrades: &[Upgrade], events: OnEvent<'_>) -> Result<(), StackError> {
        let engine = self.engine.about();
        let mut missing = Vec::new();
        for upgrade in upgrades {
            if self.engine.image_architecture(&upgrade.to).await?.is_none() {
                missing.push(upgrade.to.clone());
            }
        }
        if !missing.is_empty() && self.run.pull == Pull::Never {
            return Err(Refusal::NoImage(missing).into());
        }
        if !missing.is_empty() {
            self.has_room(&engine.root, "what images take", IMAGES_BYTES)
                .await?;
        }
        for image in missing {
            events(Event::Waiting {
                what: format!("image {image}"),
            });
            self.engine
                .pull(&image, |done_bytes, total_bytes| {
                    events(Event::Pulling {
                        image: image.clone(),
                        done_bytes,
                        total_bytes,
                    });
                })
                .await?;
        }
        for upgrade in upgrades {
            let found = self
                .engine
                .image_architecture(&upgrade.to)
                .await?
                .unwrap_or_default();
            let wanted = image_architecture(&engine.architecture);
            if !found.is_empty() && found != wanted {
                return Err(StackError::Architecture {
                    what: format!("image {}", upgrade.to),
                    found,
                    wanted: format!("the engine's machine is {wanted}"),
                    cure: format!("remove it (`docker rmi {}`) and run this again", upgrade.to),
                });
            }
        }
        // Of a snapshot only the present takes room: the rest are second names of the same files.
        let mut present = DATA_BYTES;
        for folder in ["wal", "chunks_head"] {
            present += self.place.size(&self.data_dir().join(folder)).await?;
        }
        self.has_room(
            &self.data_dir(),
            "Prometheus' snapshot before the upgrade",
            present,
        )
        .await
    }

    async fn upgrade_one(
        &self,
        upgrade: &Upgrade,
        note: &mut Note,
        done: &[&str],
        events: OnEvent<'_>,
    ) -> Result<(), StackError> {
        let is_prometheus = upgrade.component == Component::Prometheus;
        if is_prometheus && note.snapshot.is_none() {
            events(Event::Waiting {
                what: "Prometheus' snapshot of its data".to_owned(),
            });
            let folder = self.take_snapshot().await?;
            note.snapshot = folder.file_name().map(|name| name.to_string_lossy().into_owned());
            self.write_upgrade_note(note).await?;
            self.adopt_snapshot().await?;
        }
        if !is_prometheus {
            self.keep_data(upgrade.component, note, events).await?;
        }
        // What comes later keeps the image that it has, also where a run was cut off.
        let mut images: Images = note.former.clone();
        for component in done.iter().filter_map(|name| name.parse().ok()) {
            images.remove(&component);
            images.insert(component, component.image().to_owned());
        }
        images.insert(upgrade.component, upgrade.to.clone());
        let Err(error) = self.bring_to(&images, events).await else {
            return Ok(());
        };
        events(Event::Warning {
            text: format!("{} does not do, the former image comes back: {error}", upgrade.to),
        });
        images.insert(upgrade.component, upgrade.from.clone());
        let mut back = self.bring_to(&images, events).await;
        let mut data = "";
        if back.is_err() && note.copied.contains(&upgrade.component) {
            back = self.put_data_back(upgrade.component, &images, events).await;
            data = ", with the data of before it";
        }
        if let (Err(_), true, Some(name)) = (&back, is_prometheus, note.snapshot.clone()) {
            back = self.put_snapshot_back(&name, &images, events).await;
            data = ", with the data of the snapshot before it (what was there after it lies in data/.masthead-broken)";
        }
        let undone = match back {
            Ok(()) => {
                self.end_upgrade(note).await?;
                format!("It is back at {}{data}, and every target is up", upgrade.from)
            }
            Err(further) => {
                let kept = match &note.snapshot {
                    None => String::new(),
                    Some(name) => format!(
                        "; Prometheus' data of before is in {}",
                        self.data_dir().join("snapshots").join(name).display()
                    ),
                };
                format!(
                    "And it could not be brought back to {}: {further}{kept}. Another `masthead upgrade` tries again",
                    upgrade.from
                )
            }
        };
        let before = match done {
            [] => String::new(),
            done => format!(". Upgraded before it: {}", done.join(", ")),
        };
        Err(StackError::Undone {
            attempt: format!("upgrading {upgrade}"),
            source: Box::new(error),
            undone: format!("{undone}{before}"),
        })
    }

    /// Brings the stack to these images, and waits until all of it is well.
    async fn bring_to(&self, images: &Images, events: OnEvent<'_>) -> Result<(), StackError> {
        let view: View = self.look_with(&Change::default(), images).await?;
        self.carry(view, events).await.map(drop)
    }

    /// Copies what a component other than Prometheus has stored: it is small.
    async fn keep_data(
        &self,
        component: Component,
        note: &mut Note,
        events: OnEvent<'_>,
    ) -> Result<(), StackError> {
        if note.copied.contains(&component) {
            return Ok(());
        }
        for folder in spec::data_folders_of(component) {
            let (from, copies) = (self.run.base_dir.join(&folder), self.run.base_dir.join(COPIES));
            if self.place.exists(&from).await {
                self.place
                    .make_folder(&copies, Access::ROOTS_FOLDER, FolderKind::Ours)
                    .await?;
                self.still_copy(&from, &copies.join(&folder), events).await?;
                note.copied.insert(component);
            }
        }
        self.write_upgrade_note(note).await
    }

    /// Starts the former version of such a component on what it had before.
    async fn put_data_back(
        &self,
        component: Component,
        images: &Images,
        events: OnEvent<'_>,
    ) -> Result<(), StackError> {
        self.engine.stop(component.container()).await?;
        for folder in spec::data_folders_of(component) {
            let data = self.run.base_dir.join(&folder);
            let copy = self.run.base_dir.join(COPIES).join(&folder);
            for name in self.place.list(&data).await?.unwrap_or_default() {
                self.place.remove(&data.join(&name)).await?;
            }
            for name in self.place.list(&copy).await?.unwrap_or_default() {
                // The folder may be a disk of its own.
                let (from, to) = (copy.join(&name), data.join(&name));
                let words = ["-a", "--", &*from.to_string_lossy(), &*to.to_string_lossy()];
                self.place.finish("cp", &words, &[0]).await?;
            }
        }
        self.bring_to(images, events).await
    }

    /// Starts the former version on what it had before.
    async fn put_snapshot_back(
        &self,
        name: &str,
        images: &Images,
        events: OnEvent<'_>,
    ) -> Result<(), StackError> {
        self.engine.stop(Component::Prometheus.container()).await?;
        let (data, broken) = (self.data_dir(), self.data_dir().join(BROKEN));
        self.place.remove(&broken).await?;
        self.place
            .make_folder(&broken, Access::ROOTS_FOLDER, FolderKind::Ours)
            .await?;
        let snapshot = data.join("snapshots").join(name);
        for (from, to) in [(&data, &broken), (&snapshot, &data)] {
            for name in self.place.list(from).await?.unwrap_or_default() {
                if name != "snapshots" && !name.starts_with(WORKING) {
                    self.place.rename(&from.join(&name), &to.join(&name)).await?;
                }
            }
        }
        self.bring_to(images, events).await
    }

    fn upgrade_note_path(&self) -> PathBuf {
        self.run.base_dir.join(NOTE)
    }

    async fn upgrade_note(&self) -> Result<Option<Note>, StackError> {
        let text = self.place.read(&self.upgrade_note_path()).await?;
        Ok(text.and_then(|text| serde_json::from_slice(&text).ok()))
    }

    async fn write_upgrade_note(&self, note: &Note) -> Result<(), StackError> {
        let json = serde_json::to_vec(note).map_err(|error| StackError::Invalid(error.to_string()))?;
        self.place
            .write(&self.upgrade_note_path(), &json, Access::ROOTS_FILE)
            .await
    }

    /// It is well: what was kept for the way back goes.
    async fn end_upgrade(&self, note: &Note) -> Result<(), StackError> {
        if let Some(name) = &note.snapshot {
            self.remove_snapshot(name).await?;
        }
        self.place.remove(&self.run.base_dir.join(COPIES)).await?;
        self.place.remove(&self.upgrade_note_path()).await
    }

    /// Says what an upgrade would change.
    pub(super) async fn hint_at_upgrade(&self, events: OnEvent<'_>) -> Result<(), StackError> {
        for upgrade in self.plan_upgrade().await? {
            events(Event::Warning {
                text: format!(
                    "{} runs {}, and this masthead has {}: `masthead upgrade` takes it there",
                    upgrade.component, upgrade.from, upgrade.to
                ),
            });
        }
        Ok(())
    }

    /// Is every component at its pinned image?
    pub(super) async fn check_versions(&self) -> crate::Finding {
        let name = "versions";
        match self.plan_upgrade().await {
            Ok(upgrades) if upgrades.is_empty() => {
                crate::Finding::ok(name, "every component has the version of this masthead")
            }
            Ok(upgrades) => {
                let texts: Vec<String> = upgrades.iter().map(ToString::to_string).collect();
                crate::Finding::new(
                    name,
                    crate::Level::Warning,
                    format!("not the versions of this masthead: {}", texts.join(", ")),
                    "masthead upgrade",
                )
            }
            Err(error) => crate::Finding::problem(name, error.to_string(), ""),
        }
    }
}
