//! Where cgroups are: the mounted hierarchies, and the folder of a container in each.
//!
//! ```text
//!   /proc/self/mountinfo    31 .. / /sys/fs/cgroup/memory .. - cgroup cgroup rw,memory     v1: a controller, a tree
//!                           41 .. / /sys/fs/cgroup .. - cgroup2 cgroup2 rw                 v2: one tree for all
//!   /proc/PID/cgroup        4:memory:/docker/ID      0::/system.slice/docker-ID.scope
//! ```
//!
//! A controller is on one tree at a time. On a hybrid system v2 is mounted beside v1 and has no controller; its
//! pressure files are read where a container has a folder there.
//!
//! The path of a process may be of no use: relative to a cgroup namespace (`/../..`) when we run in a container, the
//! root, or of a process that is gone. Then the trees are searched for a folder with the container's id in its name,
//! which every driver puts there.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use super::files::Reader;
use super::format;
use crate::host::mountinfo::unescape;
use crate::options::Paths;

/// How deep folders are searched for an id; nested dockers put their containers about six deep.
const SEARCH_DEPTH: usize = 10;
/// Most folders that one search looks into.
const SEARCH_FOLDERS: usize = 20_000;

/// What files are of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Controller {
    Cpu,
    CpuAcct,
    Memory,
    Io,
    Pids,
}

/// All of them, with their names in v1 and in v2 (where accounting of processor time needs no controller).
const CONTROLLERS: [(Controller, &str, &str); 5] = [
    (Controller::Cpu, "cpu", "cpu"),
    (Controller::CpuAcct, "cpuacct", ""),
    (Controller::Memory, "memory", "memory"),
    (Controller::Io, "blkio", "io"),
    (Controller::Pids, "pids", "pids"),
];

/// The interface of a tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Version {
    V1,
    V2,
}

/// One mounted tree.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Tree {
    point: PathBuf,
    /// The part of the tree that is mounted: `/`, or a folder when a container was given its own alone.
    root: String,
    version: Version,
    /// v1: as in the mount's options.
    controllers: Vec<String>,
}

/// All mounted trees, and which of them has which controller.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Hierarchies {
    trees: Vec<Tree>,
    /// By controller: the number of its tree.
    of: [Option<usize>; CONTROLLERS.len()],
    unified: Option<usize>,
}

/// Where one cgroup is, in each tree.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Place {
    /// Its path in the tree: cAdvisor's `id`.
    pub(super) id: String,
    folders: [Option<(PathBuf, Version)>; CONTROLLERS.len()],
    /// Its folder in the v2 tree.
    pub(super) unified: Option<PathBuf>,
}

impl Place {
    /// Its folder for this controller.
    pub(super) fn folder(&self, controller: Controller) -> Option<(&Path, Version)> {
        self.folders[controller as usize]
            .as_ref()
            .map(|(path, version)| (path.as_path(), *version))
    }

    /// The folder whose processes are the cgroup's: that of `cpu`, as upstream, else any.
    pub(super) fn main_folder(&self) -> Option<&Path> {
        self.folders
            .iter()
            .flatten()
            .map(|(path, _)| path.as_path())
            .next()
            .or(self.unified.as_deref())
    }

    /// Its folders, each once.
    pub(super) fn all_folders(&self) -> impl Iterator<Item = &Path> {
        self.folders.iter().enumerate().filter_map(|(at, folder)| {
            let (path, _) = folder.as_ref()?;
            let seen = self.folders[..at].iter().flatten().any(|(p, _)| p == path);
            (!seen).then_some(path.as_path())
        })
    }
}

impl Hierarchies {
    /// Finds the trees: in the mounts of this process, else at the usual places below `sysfs`.
    pub(super) fn find(paths: &Paths, reader: &mut Reader) -> Self {
        let mounts = reader
            .read_path(&paths.procfs.join("self/mountinfo"))
            .map(|bytes| String::from_utf8_lossy(bytes).into_owned())
            .unwrap_or_default();
        let mut trees = mounted_trees(&mounts, &paths.sysfs);
        trees.retain(|tree| tree.point.is_dir());
        if trees.is_empty() {
            trees = usual_trees(&paths.sysfs.join("fs/cgroup"));
        }
        let mut found = Self {
            unified: trees.iter().position(|tree| tree.version == Version::V2),
            trees,
            of: [None; CONTROLLERS.len()],
        };
        let available = found
            .unified
            .and_then(|at| reader.read_path(&found.trees[at].point.join("cgroup.controllers")))
            .map(|bytes| String::from_utf8_lossy(bytes).into_owned())
            .unwrap_or_default();
        for ((_, v1, v2), of) in CONTROLLERS.iter().zip(&mut found.of) {
            *of = found.trees.iter().position(|tree| {
                tree.version == Version::V1 && tree.controllers.iter().any(|name| name == v1)
            });
            if of.is_none() && available.split_ascii_whitespace().any(|name| name == *v2) {
                *of = found.unified;
            }
        }
        if found.trees.iter().all(|tree| tree.version == Version::V2) {
            // A controller that is off is simply no file there.
            found.of = [found.unified; CONTROLLERS.len()];
        } else if found.of[Controller::CpuAcct as usize].is_none() {
            // v2 counts processor time beside everything else of `cpu`.
            found.of[Controller::CpuAcct as usize] = found.of[Controller::Cpu as usize];
        }
        found
    }

    /// True when there is no tree at all.
    pub(super) fn is_empty(&self) -> bool {
        self.trees.is_empty()
    }

    /// The mount points of the trees that have a controller, each once.
    pub(super) fn points(&self) -> impl Iterator<Item = &Path> {
        self.trees
            .iter()
            .enumerate()
            .filter(|(at, _)| self.of.contains(&Some(*at)))
            .map(|(_, tree)| tree.point.as_path())
    }

    /// The cgroup with this path (`""` is the root), in every tree where it has a folder.
    pub(super) fn place(&self, path: &str) -> Option<Place> {
        self.place_by(path, |_| Some(path.to_owned()))
    }

    fn place_by(&self, id: &str, path_in: impl Fn(usize) -> Option<String>) -> Option<Place> {
        let folder = |at: usize| {
            let point = &self.trees[at].point;
            let path = path_in(at)?;
            let folder = if path.is_empty() {
                point.clone()
            } else {
                point.join(path.trim_start_matches('/'))
            };
            folder.is_dir().then_some(folder)
        };
        let folders = self
            .of
            .map(|of| of.and_then(|at| Some((folder(at)?, self.trees[at].version))));
        if folders.iter().all(Option::is_none) {
            return None;
        }
        Some(Place {
            id: if id.is_empty() {
                "/".to_owned()
            } else {
                id.to_owned()
            },
            folders,
            unified: self.unified.and_then(folder),
        })
    }

    /// The cgroup of a container's first process. `None` when the process does not tell, or nothing of use.
    pub(super) fn place_of(&self, id: &str, membership: &[u8]) -> Option<Place> {
        let mut paths: Vec<Option<String>> = vec![None; self.trees.len()];
        format::memberships(membership, |controllers, path| {
            let controllers = String::from_utf8_lossy(controllers);
            let path = String::from_utf8_lossy(path);
            for (tree, found) in self.trees.iter().zip(&mut paths) {
                let is_it = match tree.version {
                    Version::V1 => controllers
                        .split(',')
                        .any(|name| tree.controllers.iter().any(|c| c == name)),
                    Version::V2 => controllers.is_empty(),
                };
                if is_it && found.is_none() {
                    *found = own_path(&path, &tree.root, id);
                }
            }
        });
        let main = self.of.iter().flatten().find_map(|at| paths[*at].clone())?;
        // A tree that the process is not in by this name may have the container's folder nevertheless (hybrid).
        self.place_by(&main, |at| paths[at].clone().or_else(|| Some(main.clone())))
    }

    /// Searches the trees for folders with these ids in their names; paths by id.
    pub(super) fn search(&self, ids: &[&str]) -> HashMap<String, String> {
        let mut found = HashMap::new();
        for point in self.points() {
            if found.len() == ids.len() {
                break;
            }
            search_tree(point, ids, &mut found);
        }
        found
    }
}

/// The path of the container itself: within the mounted part, and without what it made below itself.
fn own_path(path: &str, root: &str, id: &str) -> Option<String> {
    // Relative to a cgroup namespace that is not ours.
    if path.split('/').any(|part| part == "..") {
        return None;
    }
    let inside = if root == "/" {
        path
    } else {
        path.strip_prefix(root)?
    };
    let mut end = inside.len();
    if !id.is_empty()
        && let Some(at) = inside.find(id)
    {
        end = inside[at..].find('/').map_or(inside.len(), |slash| at + slash);
    }
    let own = inside.get(..end)?.trim_end_matches('/');
    // A container without a cgroup of its own would show the machine's figures.
    (own.len() > 1 && own.starts_with('/')).then(|| own.to_owned())
}

fn search_tree(point: &Path, ids: &[&str], found: &mut HashMap<String, String>) {
    let mut level = vec![String::new()];
    let mut folders = 0;
    for _ in 0..SEARCH_DEPTH {
        let mut next = Vec::new();
        for path in level {
            folders += 1;
            if folders > SEARCH_FOLDERS || found.len() == ids.len() {
                return;
            }
            for name in folders_in(&point.join(path.trim_start_matches('/'))) {
                let below = format!("{path}/{name}");
                match ids.iter().find(|id| !id.is_empty() && name.contains(**id)) {
                    Some(id) => {
                        found.entry((*id).to_owned()).or_insert(below);
                    }
                    None => next.push(below),
                }
            }
        }
        level = next;
    }
}

/// Names of the folders in a folder, sorted; none when it cannot be read.
pub(super) fn folders_in(folder: &Path) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return Vec::new();
    };
    let mut names: Vec<String> = entries
        .filter_map(Result::ok)
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
        .filter_map(|entry| entry.file_name().into_string().ok())
        .collect();
    names.sort_unstable();
    names
}

/// The trees among these mounts; of several mounts of one tree, the one below `sysfs` that shows all of it.
fn mounted_trees(mounts: &str, sysfs: &Path) -> Vec<Tree> {
    let mut trees: Vec<(usize, Tree)> = Vec::new();
    for tree in mounts.lines().filter_map(|line| parse_tree(line, sysfs)) {
        let cost = usize::from(tree.root != "/") * 2 + usize::from(!tree.point.starts_with(sysfs));
        let same = |other: &Tree| other.version == tree.version && other.controllers == tree.controllers;
        match trees.iter_mut().find(|(_, other)| same(other)) {
            Some(kept) if cost < kept.0 => *kept = (cost, tree),
            Some(_) => {}
            None => trees.push((cost, tree)),
        }
    }
    trees.into_iter().map(|(_, tree)| tree).collect()
}

/// One line of mountinfo, when it is of a tree with controllers, or of v2.
fn parse_tree(line: &str, sysfs: &Path) -> Option<Tree> {
    let mut words = line.split_ascii_whitespace().skip(3);
    let root = unescape(words.next()?).into_owned();
    let point = unescape(words.next()?).into_owned();
    words.find(|word| *word == "-")?;
    let version = match words.next()? {
        "cgroup" => Version::V1,
        "cgroup2" => Version::V2,
        _ => return None,
    };
    let options = words.nth(1).unwrap_or_default();
    let controllers: Vec<String> = match version {
        Version::V2 => Vec::new(),
        Version::V1 => options
            .split(',')
            .filter(|option| CONTROLLERS.iter().any(|(_, v1, _)| v1 == option))
            .map(str::to_owned)
            .collect(),
    };
    if version == Version::V1 && controllers.is_empty() {
        return None;
    }
    Some(Tree {
        point: below_sysfs(point, sysfs),
        root,
        version,
        controllers,
    })
}

/// The place of a mount when `/sys` is elsewhere: the host's mounts, read from within a container or from a copy.
fn below_sysfs(point: String, sysfs: &Path) -> PathBuf {
    let path = PathBuf::from(point);
    if path.starts_with(sysfs) {
        return path;
    }
    match path.strip_prefix("/sys") {
        Ok(rest) if sysfs.join(rest).is_dir() => sysfs.join(rest),
        _ => path,
    }
}

/// Trees where every distribution mounts them.
fn usual_trees(base: &Path) -> Vec<Tree> {
    let v2 = |point: PathBuf| Tree {
        point,
        root: "/".to_owned(),
        version: Version::V2,
        controllers: Vec::new(),
    };
    if base.join("cgroup.controllers").exists() {
        return vec![v2(base.to_path_buf())];
    }
    let mut trees: Vec<Tree> = Vec::new();
    for name in folders_in(base) {
        let controllers: Vec<String> = name
            .split(',')
            .filter(|part| CONTROLLERS.iter().any(|(_, v1, _)| v1 == part))
            .map(str::to_owned)
            .collect();
        if name == "unified" {
            trees.push(v2(base.join(name)));
        } else if !controllers.is_empty() {
            trees.push(Tree {
                point: base.join(name),
                root: "/".to_owned(),
                version: Version::V1,
                controllers,
            });
        }
    }
    trees
}

/// Gives the text to the parsers of this file: none may panic.
pub(super) fn fuzz(text: &str) {
    let sysfs = Path::new("/sys");
    let trees = mounted_trees(text, sysfs);
    let hierarchies = Hierarchies {
        of: [(!trees.is_empty()).then_some(0); CONTROLLERS.len()],
        unified: None,
        trees,
    };
    for id in ["", "a", "/"] {
        let _ = own_path(text, "/", id);
    }
    // Membership alone; the folders of arbitrary paths are not looked for.
    let mut paths = 0;
    format::memberships(text.as_bytes(), |_, path| {
        let path = String::from_utf8_lossy(path);
        for tree in &hierarchies.trees {
            paths += usize::from(own_path(&path, &tree.root, "id").is_some());
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_own_path_is_that_of_the_container() {
        for (path, root, id, want) in [
            ("/docker/abc", "/", "abc", Some("/docker/abc")),
            (
                "/system.slice/docker-abc.scope",
                "/",
                "abc",
                Some("/system.slice/docker-abc.scope"),
            ),
            (
                "/system.slice/docker-abc.scope/init.scope",
                "/",
                "abc",
                Some("/system.slice/docker-abc.scope"),
            ),
            (
                "/machine.slice/libpod-abc.scope/container",
                "/",
                "abc",
                Some("/machine.slice/libpod-abc.scope"),
            ),
            (
                "/docker/out/docker/abc",
                "/docker/out",
                "abc",
                Some("/docker/abc"),
            ),
            ("/mine/x", "/", "abc", Some("/mine/x")),
            ("/", "/", "abc", None),
            ("", "/", "abc", None),
            ("/../abc", "/", "abc", None),
            ("/..", "/", "abc", None),
            ("/docker/abc", "/elsewhere", "abc", None),
        ] {
            assert_eq!(own_path(path, root, id).as_deref(), want, "{path} below {root}");
        }
    }

    #[test]
    fn trees_are_those_below_sysfs_that_show_all() {
        let mounts = "31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw\n\
            32 31 0:29 /docker/me /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n\
            33 31 0:29 / /host/sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n\
            34 31 0:30 / /sys/fs/cgroup/cpu,cpuacct rw shared:5 - cgroup cgroup rw,cpu,cpuacct\n\
            35 31 0:31 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,name=systemd\n\
            36 31 0:32 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\nshort\n";
        let trees = mounted_trees(mounts, Path::new("/sys"));
        let rows: Vec<_> = trees
            .iter()
            .map(|t| (t.point.to_str().unwrap(), t.controllers.join(",")))
            .collect();
        assert_eq!(
            rows,
            [
                ("/host/sys/fs/cgroup/memory", "memory".to_owned()),
                ("/sys/fs/cgroup/cpu,cpuacct", "cpu,cpuacct".to_owned()),
                ("/sys/fs/cgroup/unified", String::new()),
            ]
        );
    }

    #[test]
    fn folders_are_searched_for_ids() {
        let dir = tempfile::tempdir().unwrap();
        for folder in [
            "a/b/docker-111.scope/222",
            "docker/333",
            "x/docker/444/docker/555",
        ] {
            std::fs::create_dir_all(dir.path().join(folder)).unwrap();
        }
        let mut found = HashMap::new();
        search_tree(dir.path(), &["111", "222", "333", "555"], &mut found);
        let mut rows: Vec<_> = found
            .iter()
            .map(|(id, path)| (id.as_str(), path.as_str()))
            .collect();
        rows.sort_unstable();
        // What lies within a container that is searched for is its own affair.
        assert_eq!(
            rows,
            [
                ("111", "/a/b/docker-111.scope"),
                ("333", "/docker/333"),
                ("555", "/x/docker/444/docker/555"),
            ]
        );
    }
}
