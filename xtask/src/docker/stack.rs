//! The images of the upstream stack, made here since none can be pulled, under the very names that the stack pins: [`IMAGES`].
//!
//! Prometheus and node_exporter are the real programs (of the Debian archive, a few versions older), in images that keep what the
//! published ones promise: paths, user, entrypoint, data folder, busybox. cAdvisor cannot be had; `masthead agent` stands in for it
//! behind the same entrypoint, flags, port, password file and health check, reads the same mounts, and gives the labels that cAdvisor
//! gives (`bin/standin.rs`). It asks for the password on `/metrics`, where cAdvisor does not: so the password is proven to fit, and no
//! test may take it for what keeps others out.
//!
//! Of the optional components Alertmanager and Pushgateway are the real programs too. The proxy of the engine's socket and Grafana cannot
//! be had: for the proxy stands `bin/socketproxy.rs` behind the same port, variables and health check; for Grafana a script that starts as
//! its image does, fails where a file that Grafana reads cannot be read or its data cannot be written, and says that it is well. What
//! Grafana makes of its files no test here shows.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

use super::{Docker, image};
use crate::server::TempDir;
use crate::{peers, shell};

/// A component's image: the component's name, the image's, and what fills it.
struct Pinned {
    component: &'static str,
    name: &'static str,
    fill: fn(&Path) -> Result<()>,
    changes: &'static [&'static str],
}

/// All of them; a test holds the names against the stack's own.
const IMAGES: &[Pinned] = &[
    Pinned {
        component: "prometheus",
        name: "prom/prometheus:v3.14.0",
        fill: prometheus,
        changes: &[
            "USER nobody",
            "EXPOSE 9090",
            "VOLUME /prometheus",
            "WORKDIR /prometheus",
            "ENV PATH=/bin",
            "ENTRYPOINT [\"/bin/prometheus\"]",
            "CMD [\"--config.file=/etc/prometheus/prometheus.yml\",\"--storage.tsdb.path=/prometheus\"]",
        ],
    },
    Pinned {
        component: "node-exporter",
        name: "prom/node-exporter:v1.12.1",
        fill: node_exporter,
        changes: &[
            "USER nobody",
            "EXPOSE 9100",
            "ENV PATH=/bin",
            "ENTRYPOINT [\"/bin/node_exporter\"]",
        ],
    },
    Pinned {
        component: "cadvisor",
        name: "ghcr.io/google/cadvisor:v0.60.5",
        fill: cadvisor,
        changes: &[
            "EXPOSE 8080",
            "ENV PATH=/usr/bin:/bin",
            "HEALTHCHECK --interval=30s --timeout=3s CMD /usr/bin/healthcheck.sh || exit 1",
            "ENTRYPOINT [\"/usr/bin/entrypoint.sh\"]",
        ],
    },
];

/// The optional components', which only some cases need.
const OPTIONAL: &[Pinned] = &[
    Pinned {
        component: "alertmanager",
        name: "prom/alertmanager:v0.34.0",
        fill: alertmanager,
        changes: &[
            "USER nobody",
            "EXPOSE 9093",
            "VOLUME /alertmanager",
            "WORKDIR /alertmanager",
            "ENV PATH=/bin",
            "ENTRYPOINT [\"/bin/alertmanager\"]",
            "CMD [\"--config.file=/etc/alertmanager/alertmanager.yml\",\"--storage.path=/alertmanager\"]",
        ],
    },
    Pinned {
        component: "pushgateway",
        name: "prom/pushgateway:v1.11.3",
        fill: pushgateway,
        changes: &[
            "USER 65534",
            "EXPOSE 9091",
            "WORKDIR /pushgateway",
            "ENV PATH=/bin",
            "ENTRYPOINT [\"/bin/pushgateway\"]",
        ],
    },
    Pinned {
        component: "grafana",
        name: "grafana/grafana:13.2.3",
        fill: grafana,
        changes: &[
            "USER 472",
            "EXPOSE 3000",
            "WORKDIR /usr/share/grafana",
            "ENV PATH=/usr/share/grafana/bin:/bin",
            "ENV GF_PATHS_DATA=/var/lib/grafana",
            "ENV GF_PATHS_PROVISIONING=/etc/grafana/provisioning",
            "ENTRYPOINT [\"/run.sh\"]",
        ],
    },
    Pinned {
        component: "discovery",
        name: "tecnativa/docker-socket-proxy:v0.4.2",
        fill: discovery,
        changes: &[
            "USER root",
            "EXPOSE 2375",
            "ENV PATH=/usr/local/bin:/bin",
            "ENV CONTAINERS=0 EVENTS=1 IMAGES=0 INFO=0 NETWORKS=0 PING=1 POST=0 VERSION=1",
            // The first process of a container ends by no signal that it does not wait for.
            "CMD [\"sh\",\"-c\",\"trap 'exit 0' TERM; socketproxy & wait\"]",
        ],
    },
];

/// `root` is in the published images' list of users too; `nobody` is who they run as.
const PASSWD: &str = "root:x:0:0:root:/:/bin/sh\nnobody:x:65534:65534:nobody:/home:/bin/false\n\
                      grafana:x:472:0:grafana:/usr/share/grafana:/bin/sh\n";
const GROUP: &str = "root:x:0:\nnobody:x:65534:\n";

/// The stand-in's entrypoint: cAdvisor's flags to `masthead agent`'s. What it does not know must be a flag of cAdvisor's that needs
/// no counterpart: any other is refused, as cAdvisor itself refuses it.
const ENTRYPOINT: &str = r#"#!/bin/sh
set -e
port=8080 ip= users=
for word in "$@"; do
    flag="${word#-}"; flag="-${flag#-}"
    case "$flag" in
        -port=*) port="${flag#*=}" ;;
        -listen_ip=*) ip="${flag#*=}" ;;
        -http_auth_file=*) users="${flag#*=}" ;;
        -http_auth_realm=*|-docker_only=*|-logtostderr|-housekeeping_interval=*|-max_housekeeping_interval=*|\
        -global_housekeeping_interval=*|-allow_dynamic_housekeeping=*|-store_container_labels=*|-storage_duration=*|\
        -whitelisted_container_labels=*|-disable_metrics=*|-enable_metrics=*|-disable_root_cgroup_stats=*|-docker=*|\
        -event_storage_age_limit=*|-event_storage_event_limit=*) ;;
        *) echo "flag provided but not defined: $word" >&2; exit 2 ;;
    esac
done
web=
if [ -n "$users" ]; then
    # A line of htpasswd is a line of web.yml but for the quotes.
    { echo 'basic_auth_users:'; sed "s/^\([^:]*\):\(.*\)$/  '\1': '\2'/" "$users"; } > /dev/shm/web.yml
    web="--web-config=/dev/shm/web.yml"
fi
echo "$port" > /dev/shm/port
/usr/bin/standin "${ip:-0.0.0.0}:$port" 127.0.0.1:65000 &
exec /usr/bin/cadvisor agent --metrics containers --config /etc/cadvisor/masthead.yml --listen 127.0.0.1:65000 $web
"#;

/// As cAdvisor's own asks the port that cAdvisor was started with.
const HEALTHCHECK: &str =
    "#!/bin/sh\nwget -q -T 2 -O /dev/null \"http://localhost:$(cat /dev/shm/port)/healthz\" || exit 1\n";

/// Where cAdvisor looks too: the host's root below `/rootfs`, its sysfs and its engine's socket at their own places.
const AGENT_CONFIG: &str = "masthead:\n  collect: {procfs: /rootfs/proc, sysfs: /sys, rootfs: /rootfs}\n  \
                            containers: {docker: 'unix:///var/run/docker.sock'}\n";

/// As Grafana's own script starts: passwords are read from files, plugins get their folder. What Grafana itself would read and write is
/// read and written.
const GRAFANA: &str = r#"#!/bin/sh
set -e
mkdir -p "$GF_PATHS_DATA/plugins"
: > "$GF_PATHS_DATA/grafana.db"
: > /tmp/scratch
[ -n "$(cat "$GF_SECURITY_ADMIN_PASSWORD__FILE")" ]
sed -n 's/.*\$__file{\(.*\)}.*/\1/p' "$GF_PATHS_PROVISIONING"/datasources/*.yml | while read -r file; do
    [ -n "$(cat "$file")" ]
done
path="$(sed -n 's/^ *path: *//p' "$GF_PATHS_PROVISIONING"/dashboards/*.yml)"
for file in "$path"/*.json; do
    [ -s "$file" ]
done
mkdir -p /tmp/www/api
echo '{"database": "ok"}' > /tmp/www/api/health
trap 'exit 0' TERM
httpd -f -p 3000 -h /tmp/www &
wait
"#;

/// Makes the images of the components that are there by default in an engine.
pub(crate) fn load(docker: &Docker) -> Result<()> {
    load_all(docker, IMAGES)
}

/// Makes those of the optional ones.
pub(crate) fn load_optional(docker: &Docker) -> Result<()> {
    load_all(docker, OPTIONAL)
}

/// Makes that of one component.
pub(crate) fn load_one(docker: &Docker, component: &str) -> Result<()> {
    let of = |pinned: &&Pinned| pinned.component == component;
    load_all(docker, IMAGES.iter().chain(OPTIONAL).filter(of))
}

fn load_all<'a>(docker: &Docker, images: impl IntoIterator<Item = &'a Pinned>) -> Result<()> {
    let commands = shell::output(Command::new("busybox").arg("--list"))?;
    for pinned in images {
        let folder = TempDir::new("stack-image")?;
        let root = folder.path();
        for sub in ["etc", "tmp", "home", "bin"] {
            fs::create_dir_all(root.join(sub))?;
        }
        // A folder in memory over it gets its mode.
        fs::set_permissions(root.join("tmp"), fs::Permissions::from_mode(0o1777))?;
        fs::write(root.join("etc/passwd"), PASSWD)?;
        fs::write(root.join("etc/group"), GROUP)?;
        // All of its commands, as in the published images.
        image::add_busybox(root, &commands.lines().collect::<Vec<_>>())?;
        (pinned.fill)(root).with_context(|| format!("the image of {}", pinned.component))?;
        image::import(docker, root, pinned.changes, pinned.name)?;
    }
    Ok(())
}

/// The name of a component's image.
pub(crate) fn name(component: &str) -> Result<&'static str> {
    let mut all = IMAGES.iter().chain(OPTIONAL);
    let pinned = all.find(|pinned| pinned.component == component);
    pinned
        .map(|pinned| pinned.name)
        .with_context(|| format!("no image of {component}"))
}

fn prometheus(root: &Path) -> Result<()> {
    image::add_program(root, &peers::program("prometheus")?, "bin/prometheus")?;
    image::add_program(root, &peers::program("promtool")?, "bin/promtool")?;
    fs::create_dir_all(root.join("etc/prometheus"))?;
    fs::write(root.join("etc/prometheus/prometheus.yml"), "global: {}\n")?;
    owned(root, "prometheus", 65534)
}

/// A folder that belongs to the image's user.
fn owned(root: &Path, name: &str, uid: u32) -> Result<()> {
    let folder = root.join(name);
    fs::create_dir_all(&folder)?;
    chown(&folder, Some(uid), Some(uid)).with_context(|| format!("cannot give away {}", folder.display()))
}

fn alertmanager(root: &Path) -> Result<()> {
    image::add_program(root, &peers::program("alertmanager")?, "bin/alertmanager")?;
    image::add_program(root, &peers::program("amtool")?, "bin/amtool")?;
    fs::create_dir_all(root.join("etc/alertmanager"))?;
    // Compiled into the published program; the archive's reads them from where its package puts them.
    let templates = Path::new("usr/share/prometheus/alertmanager");
    fs::create_dir_all(root.join(templates))?;
    for name in ["default.tmpl", "email.tmpl"] {
        let file = templates.join(name);
        fs::copy(peers::unpacked(&file), root.join(&file)).with_context(|| format!("no {name}"))?;
    }
    owned(root, "alertmanager", 65534)
}

fn pushgateway(root: &Path) -> Result<()> {
    image::add_program(root, &peers::program("pushgateway")?, "bin/pushgateway")?;
    owned(root, "pushgateway", 65534)
}

fn grafana(root: &Path) -> Result<()> {
    for kind in ["datasources", "dashboards"] {
        fs::create_dir_all(root.join("etc/grafana/provisioning").join(kind))?;
    }
    fs::create_dir_all(root.join("usr/share/grafana"))?;
    script(&root.join("run.sh"), GRAFANA)?;
    owned(root, "var/lib/grafana", 472)
}

fn discovery(root: &Path) -> Result<()> {
    image::add_program(root, &image::build("socketproxy")?, "usr/local/bin/socketproxy")?;
    for folder in ["run", "var"] {
        fs::create_dir_all(root.join(folder))?;
    }
    symlink("../run", root.join("var/run")).context("cannot link /var/run")
}

fn script(path: &Path, text: &str) -> Result<()> {
    fs::write(path, text)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).context("cannot make a script")
}

fn node_exporter(root: &Path) -> Result<()> {
    image::add_program(root, &peers::program("node_exporter")?, "bin/node_exporter")
}

fn cadvisor(root: &Path) -> Result<()> {
    image::add_program(root, &shell::release_binary(), "usr/bin/cadvisor")?;
    image::add_program(root, &image::build("standin")?, "usr/bin/standin")?;
    fs::create_dir_all(root.join("etc/cadvisor"))?;
    fs::write(root.join("etc/cadvisor/masthead.yml"), AGENT_CONFIG)?;
    for (name, text) in [("entrypoint.sh", ENTRYPOINT), ("healthcheck.sh", HEALTHCHECK)] {
        script(&root.join("usr/bin").join(name), text)?;
    }
    fs::create_dir_all(root.join("run"))?;
    fs::create_dir_all(root.join("var"))?;
    symlink("../run", root.join("var/run")).context("cannot link /var/run")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_images_have_the_names_that_the_stack_pins() {
        let file = shell::root().join("stack/src/component.rs");
        let text = fs::read_to_string(&file).expect("the stack's table of images");
        let function = text.split("pub fn image(").nth(1).expect("fn image");
        let body = function.split("pub fn ").next().expect("its body");
        let pinned: Vec<&str> = body.split('"').skip(1).step_by(2).collect();
        let ours: Vec<&str> = IMAGES.iter().chain(OPTIONAL).map(|pinned| pinned.name).collect();
        assert_eq!(ours, pinned);
    }
}
