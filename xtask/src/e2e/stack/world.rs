//! What is on a host that is not the stack's: containers, networks, images, volumes and a folder, taken down so that two moments can
//! be compared byte for byte.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::docker::{Docker, IMAGE};

/// A moment: a text for each thing, by its name.
#[derive(Debug, PartialEq)]
pub(super) struct World(BTreeMap<String, String>);

/// Makes what others have on a host: containers that run and that do not, a network, a volume, and a folder of files.
pub(super) fn make(docker: &Docker, folder: &Path) -> Result<()> {
    docker.cli(&["network", "create", "--subnet=10.77.0.0/24", "others"])?;
    docker.cli(&["volume", "create", "others"])?;
    docker.run(
        "others-web",
        &[
            "--network=others",
            "--volume=others:/data",
            "--publish=127.0.0.1:3456:80",
            "--label=keep=me",
        ],
        IMAGE,
        &["burn", "serve=80"],
    )?;
    docker.run("others-done", &["--network=none"], IMAGE, &["true"])?;
    docker.cli(&["wait", "others-done"])?;
    fs::create_dir_all(folder.join("deep/er"))?;
    for (name, text) in [("a.yml", "a: 1\n"), ("deep/b", ""), ("deep/er/c", "\0\u{1}")] {
        fs::write(folder.join(name), text)?;
    }
    std::os::unix::fs::symlink("a.yml", folder.join("link"))?;
    Ok(())
}

impl World {
    /// All that is there, but for the stack's own.
    pub(super) fn of(docker: &Docker, folder: &Path) -> Result<Self> {
        let mut things = BTreeMap::new();
        let lists: [(&str, &[&str]); 4] = [
            ("container", &["ps", "--all", "--format", "{{.Names}}"]),
            ("network", &["network", "ls", "--format", "{{.Name}}"]),
            ("volume", &["volume", "ls", "--format", "{{.Name}}"]),
            ("image", &["images", "--format", "{{.Repository}}:{{.Tag}}"]),
        ];
        for (kind, list) in lists {
            for name in docker.cli(list)?.lines().filter(|name| !is_ours(name)) {
                let mut json: Value = serde_json::from_str(&docker.cli(&[kind, "inspect", name])?)?;
                forget_passing(&mut json);
                things.insert(format!("{kind} {name}"), json.to_string());
            }
        }
        add_tree(folder, folder, &mut things)?;
        Ok(Self(things))
    }

    /// Fails with the names of what is not as it was.
    pub(super) fn is_as(&self, before: &Self) -> Result<()> {
        let names = self.0.keys().chain(before.0.keys());
        let changed: Vec<&String> = names
            .filter(|name| self.0.get(*name) != before.0.get(*name))
            .collect();
        if let Some(first) = changed.first() {
            bail!(
                "not ours, and not as it was: {changed:?}; {first} was\n{:?}\nand is\n{:?}",
                before.0.get(*first),
                self.0.get(*first)
            );
        }
        Ok(())
    }
}

fn is_ours(name: &str) -> bool {
    name == "masthead" || name.starts_with("masthead-") && !name.starts_with("masthead-test")
}

/// What is no change of a thing: the network `host` lists who uses it, and node_exporter does; an image tells when it was named last,
/// which a case does itself.
fn forget_passing(json: &mut Value) {
    if let Some(guests) = json[0]["Containers"].as_object_mut() {
        guests.retain(|_, guest| !guest["Name"].as_str().is_some_and(is_ours));
    }
    if let Some(image) = json[0].as_object_mut() {
        image.remove("Metadata");
    }
}

/// Each entry below a folder with its owner, mode, time of change and content.
fn add_tree(top: &Path, folder: &Path, things: &mut BTreeMap<String, String>) -> Result<()> {
    for entry in fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))? {
        let path = entry?.path();
        let meta = fs::symlink_metadata(&path)?;
        let content = match (meta.is_file(), meta.is_symlink()) {
            (true, _) => format!("{:?}", fs::read(&path)?),
            (_, true) => format!("{:?}", fs::read_link(&path)?),
            _ => String::new(),
        };
        things.insert(
            format!("file {}", path.strip_prefix(top).unwrap_or(&path).display()),
            format!(
                "{:o} {}:{} {}.{} {content}",
                meta.mode(),
                meta.uid(),
                meta.gid(),
                meta.mtime(),
                meta.mtime_nsec()
            ),
        );
        if meta.is_dir() {
            add_tree(top, &path, things)?;
        }
    }
    Ok(())
}
