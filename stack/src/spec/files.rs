//! The files and folders of a wanted stack: whose they are, who may read them, what their change asks for.

use std::path::{Path, PathBuf};

use super::{
    DATA_FOLDER, OPTIONS_FILE, PENDING_FILE, PROMETHEUS_FILE, PROMTOOL_FILE, SECRETS_FOLDER, config,
    hash_file, password_file,
};
use crate::desired::{Access, FileKind, FileSpec, FolderKind, FolderSpec, OnChange};
use crate::{Component, Facts, Options, Secret};

/// Alertmanager's configuration, the user's.
pub(super) const ALERTMANAGER_FILE: &str = "alertmanager/alertmanager.yml";
/// Alertmanager's folder.
pub(super) const ALERTMANAGER_FOLDER: &str = "alertmanager";
pub(super) const ALERTMANAGER_DATA: &str = "alertmanager-data";
pub(super) const PUSHGATEWAY_DATA: &str = "pushgateway-data";
pub(super) const GRAFANA_DATA: &str = "grafana-data";
/// Grafana's data sources, provisioned.
pub(super) const GRAFANA_DATASOURCES: &str = "grafana/datasources";
/// Grafana's dashboards, provisioned.
pub(super) const GRAFANA_DASHBOARDS: &str = "grafana/dashboards";
/// Prometheus' password, for Grafana.
pub(super) const DATASOURCE_PASSWORD: &str = "secrets/grafana-datasource.password";
const DATASOURCE_FILE: &str = "grafana/datasources/masthead.yml";
const DASHBOARDS_FILE: &str = "grafana/dashboards/masthead.yml";
/// Our dashboards, which Grafana looks at again every ten seconds.
pub(super) const DASHBOARDS: [(&str, &str); 3] = [
    (
        "grafana/dashboards/host.json",
        include_str!("dashboards/host.json"),
    ),
    (
        "grafana/dashboards/containers.json",
        include_str!("dashboards/containers.json"),
    ),
    (
        "grafana/dashboards/apps.json",
        include_str!("dashboards/apps.json"),
    ),
];

const ROOT: u32 = 0;
/// A bcrypt hash of no known password: facts without a component's secret lock it.
const LOCKED: &str = "$2y$05$.....................................................";

fn access(mode: u32, uid: u32) -> Access {
    Access { mode, uid, gid: uid }
}

/// The folders of a component beside those that every stack has.
fn folders_of(component: Component) -> Vec<FolderSpec> {
    let folder = |path: &str, access, kind| FolderSpec {
        path: PathBuf::from(path),
        access,
        kind,
    };
    let own = |path| folder(path, access(0o755, ROOT), FolderKind::Ours);
    let users = |path| folder(path, access(0o755, ROOT), FolderKind::Users);
    let data = |path| folder(path, access(0o750, component.uid()), FolderKind::Data);
    match component {
        Component::Prometheus => vec![
            folder(SECRETS_FOLDER, access(0o700, component.uid()), FolderKind::Ours),
            data(DATA_FOLDER),
            users("conf.d"),
            users("rules"),
        ],
        Component::Alertmanager => {
            // A file that root makes in it gets its group: so Alertmanager can read it, and nobody else.
            let secrets = Access {
                mode: 0o2750,
                uid: ROOT,
                gid: component.uid(),
            };
            vec![
                own(ALERTMANAGER_FOLDER),
                folder("alertmanager/secrets", secrets, FolderKind::Users),
                users("alertmanager/templates"),
                data(ALERTMANAGER_DATA),
            ]
        }
        Component::Pushgateway => vec![data(PUSHGATEWAY_DATA)],
        Component::Grafana => vec![
            own("grafana"),
            own(GRAFANA_DATASOURCES),
            own(GRAFANA_DASHBOARDS),
            data(GRAFANA_DATA),
        ],
        Component::NodeExporter | Component::Cadvisor | Component::Discovery => Vec::new(),
    }
}

fn folders_for(components: impl Iterator<Item = Component>) -> Vec<FolderSpec> {
    let base = FolderSpec {
        path: PathBuf::new(),
        access: access(0o755, ROOT),
        kind: FolderKind::Ours,
    };
    // Prometheus' are those that every stack has.
    let optional = components.filter(|component| *component != Component::Prometheus);
    std::iter::once(base)
        .chain(folders_of(Component::Prometheus))
        .chain(optional.flat_map(folders_of))
        .collect()
}

/// The folders that hold data of a component.
pub(crate) fn data_folders_of(component: Component) -> Vec<PathBuf> {
    folders_of(component)
        .into_iter()
        .filter(|folder| folder.kind == FolderKind::Data)
        .map(|folder| folder.path)
        .collect()
}

/// The wanted folders, parents first; the first is the base directory itself.
pub(super) fn folders(options: &Options) -> Vec<FolderSpec> {
    folders_for(options.components())
}

/// The folders of every possible stack.
pub(crate) fn known_folders() -> Vec<FolderSpec> {
    folders_for(Component::ALL.into_iter())
}

/// The files of every possible stack, and [`PENDING_FILE`].
pub(crate) fn known_files() -> Vec<PathBuf> {
    let fixed = [OPTIONS_FILE, PENDING_FILE, PROMTOOL_FILE, PROMETHEUS_FILE].map(PathBuf::from);
    let secrets = Component::ALL
        .into_iter()
        .filter(|component| component.has_password())
        .flat_map(|component| std::iter::once(password_file(component)).chain(hash_file(component)));
    let optional = [
        ALERTMANAGER_FILE,
        DATASOURCE_PASSWORD,
        DATASOURCE_FILE,
        DASHBOARDS_FILE,
    ];
    fixed
        .into_iter()
        .chain(secrets)
        .chain(optional.map(PathBuf::from))
        .chain(DASHBOARDS.map(|(path, _)| PathBuf::from(path)))
        .collect()
}

/// Whose a file of [`known_files`] is.
pub(crate) fn kind_of(path: &Path) -> FileKind {
    if path == Path::new(ALERTMANAGER_FILE) {
        FileKind::Users
    } else if path == password_file(Component::Grafana) {
        FileKind::Data
    } else {
        FileKind::Ours
    }
}

/// Is this still what was made of a file of the user's?
pub(crate) fn is_as_made(path: &Path, content: &[u8]) -> bool {
    path == Path::new(ALERTMANAGER_FILE) && content == config::alertmanager().as_bytes()
}

/// The wanted files, in the order in which they are written: the mark first, then what others point to.
pub(super) fn files(options: &Options, facts: &Facts) -> Vec<FileSpec> {
    let mut files = vec![plain(OPTIONS_FILE, kept(options), 0o600, OnChange::Nothing)];
    for component in options.components() {
        files.extend(secret_files(component, options, facts));
        files.extend(own_files(component, options, facts));
    }
    files.push(plain(PROMTOOL_FILE, config::promtool(), 0o644, OnChange::Nothing));
    files.push(plain(
        PROMETHEUS_FILE,
        config::prometheus(options, facts),
        0o644,
        OnChange::Reload(Component::Prometheus),
    ));
    files
}

fn file(path: PathBuf, content: String, access: Access, on_change: OnChange, secret: bool) -> FileSpec {
    FileSpec {
        kind: kind_of(&path),
        path,
        content: content.into_bytes(),
        access,
        on_change,
        secret,
    }
}

fn plain(path: &str, content: String, mode: u32, on_change: OnChange) -> FileSpec {
    file(PathBuf::from(path), content, access(mode, ROOT), on_change, false)
}

fn secret_of(component: Component, facts: &Facts) -> Option<&Secret> {
    let found = facts.secrets.iter().find(|(of, _)| *of == component);
    found.map(|(_, secret)| secret)
}

/// A component's password, and the hash of it that the component is given.
fn secret_files(component: Component, options: &Options, facts: &Facts) -> Vec<FileSpec> {
    if !component.has_password() {
        return Vec::new();
    }
    let secret = secret_of(component, facts);
    let password = secret.map_or(String::new(), |secret| secret.password.clone());
    let owner = match component {
        // Only Grafana itself reads it.
        Component::Grafana => component.uid(),
        // Prometheus and promtool read it at each request.
        _ => Component::Prometheus.uid(),
    };
    let mut files = vec![file(
        password_file(component),
        password,
        access(0o400, owner),
        OnChange::Nothing,
        true,
    )];
    let on_change = match component {
        // Its containers have it as a secret of the swarm.
        _ if options.is_service(component) => OnChange::Nothing,
        // Read at each request, through the folder's mount.
        Component::Prometheus | Component::Alertmanager => OnChange::Nothing,
        // Mounted alone: the container goes on seeing the replaced file until it is started again.
        Component::NodeExporter | Component::Pushgateway | Component::Cadvisor => {
            OnChange::Restart(component)
        }
        Component::Grafana | Component::Discovery => OnChange::Nothing,
    };
    let content = hash_content(component, facts);
    files.extend(
        hash_file(component).map(|path| file(path, content, access(0o400, component.uid()), on_change, true)),
    );
    files
}

/// What a component reads of its password: the hash, in its own form. Empty where it reads none.
pub(super) fn hash_content(component: Component, facts: &Facts) -> String {
    let hash = secret_of(component, facts).map_or(LOCKED, |secret| secret.hash.as_str());
    match component {
        Component::Prometheus
        | Component::Alertmanager
        | Component::NodeExporter
        | Component::Pushgateway => config::web(hash),
        Component::Cadvisor => config::htpasswd(hash),
        Component::Grafana | Component::Discovery => String::new(),
    }
}

/// What a component reads besides.
fn own_files(component: Component, options: &Options, facts: &Facts) -> Vec<FileSpec> {
    match component {
        Component::Alertmanager => vec![plain(
            ALERTMANAGER_FILE,
            config::alertmanager().to_owned(),
            0o644,
            OnChange::Nothing,
        )],
        Component::Grafana => {
            let secret = secret_of(Component::Prometheus, facts);
            let password = secret.map_or(String::new(), |secret| secret.password.clone());
            let restart = OnChange::Restart(component);
            let mut files = vec![
                file(
                    PathBuf::from(DATASOURCE_PASSWORD),
                    password,
                    access(0o400, component.uid()),
                    restart,
                    true,
                ),
                plain(
                    DATASOURCE_FILE,
                    config::grafana_datasource(options),
                    0o644,
                    restart,
                ),
                plain(DASHBOARDS_FILE, config::grafana_dashboards(), 0o644, restart),
            ];
            let dashboards = DASHBOARDS.iter();
            files.extend(
                dashboards.map(|(path, text)| plain(path, (*text).to_owned(), 0o644, OnChange::Nothing)),
            );
            files
        }
        Component::Prometheus
        | Component::NodeExporter
        | Component::Cadvisor
        | Component::Pushgateway
        | Component::Discovery => Vec::new(),
    }
}

fn kept(options: &Options) -> String {
    // Maps with string keys, numbers and text: there is no error to be had.
    let mut json = serde_json::to_string_pretty(options).unwrap_or_default();
    json.push('\n');
    json
}
