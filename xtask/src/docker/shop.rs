//! A small server's worth of containers for pages and dashboards: a compose project, and single containers in trouble.

use anyhow::Result;

use super::{Docker, IMAGE};
use crate::peers;

/// The services of the project: name, words of `burn`.
const SERVICES: &[(&str, &str)] = &[
    ("web", "serve=80, share=0.05, memory=24m"),
    ("db", "serve=5432, share=0.02, memory=60m"),
    (
        "worker",
        "share=0.12, memory=16m, 'drip=web:80,40k', 'drip=db:5432,90k'",
    ),
];

/// Starts project `shop` (services `web`, `db`, `worker`), `hog` (near its memory limit), `crash` (ends with 3, again and again)
/// and `sick` (unhealthy). Says in words how the project was made.
pub(crate) fn open(docker: &Docker) -> Result<&'static str> {
    let how = match peers::program("docker-compose") {
        Ok(_) => {
            docker.compose_up("shop", &compose_file())?;
            "by compose"
        }
        Err(_) => {
            by_hand(docker)?;
            "by hand with compose's labels, since compose cannot be had"
        }
    };
    let none = "--network=none";
    docker.burn(
        "hog",
        &[none, "--memory=64m", "--memory-swap=64m"],
        &["memory=57m"],
    )?;
    docker.burn("crash", &[none, "--restart=always"], &["wait=1", "exit=3"])?;
    docker.burn(
        "sick",
        &[
            none,
            "--health-cmd=false",
            "--health-interval=1s",
            "--health-retries=1",
        ],
        &[],
    )?;
    Ok(how)
}

fn compose_file() -> String {
    let mut text = String::from("services:\n");
    for (name, words) in SERVICES {
        text.push_str(&format!(
            "  {name}:\n    image: {IMAGE}\n    command: [burn, {words}]\n    stop_signal: SIGKILL\n"
        ));
    }
    text
}

/// The same containers without compose. They are on the default network, where names are not resolved, so nothing is sent.
fn by_hand(docker: &Docker) -> Result<()> {
    for (name, words) in SERVICES {
        let labels = compose_labels("shop", name);
        let flags: Vec<&str> = labels.iter().map(String::as_str).collect();
        let words: Vec<&str> = words.split(", ").filter(|word| !word.contains("drip")).collect();
        docker.burn(&format!("shop-{name}-1"), &flags, &words)?;
    }
    Ok(())
}

/// Labels that compose gives to the containers of a service, as flags of `docker run`.
pub(crate) fn compose_labels(project: &str, service: &str) -> Vec<String> {
    [
        ("project", project),
        ("service", service),
        ("container-number", "1"),
    ]
    .iter()
    .map(|(key, value)| format!("--label=com.docker.compose.{key}={value}"))
    .collect()
}
