//! `masthead setup --runtime embedded --server NAME`: this program as a service of a registered server, bound to its loopback.
//!
//! The program is copied over the link unless the same one is there, its sum is compared there, and `masthead service install` does the
//! rest on the server, where it knows systemd, units and what is not ours.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use stack::{Link, Registry, StackError};

use super::outcome::{Outcome, Usage};
use super::{Progress, host_keys, run_to_end};
use crate::cli::out;

/// Where a service's program is.
const PROGRAM: &str = "/usr/local/bin/masthead";
/// Says what has to be known of the server: architecture, systemd, and the sum of the program that is there.
const LOOK: &str = r#"uname -m; if [ -d /run/systemd/system ]; then echo systemd; else echo none; fi
if [ -f "$1" ]; then sha256sum < "$1"; fi"#;
/// Takes the program into a folder beside its place, which is on a file system that programs are run from. What an earlier run left
/// goes.
const TAKE: &str = r#"umask 022; mkdir -p /usr/local/bin && rm -rf /usr/local/bin/.masthead.?????? &&
d=$(mktemp -d /usr/local/bin/.masthead.XXXXXX) && cat > "$d/masthead" && chmod 755 "$d/masthead" && sha256sum < "$d/masthead" && echo "$d""#;

/// What is wanted.
#[derive(Debug)]
pub(super) struct Wanted<'a> {
    pub(super) server: &'a str,
    /// Another program than this one.
    pub(super) binary: Option<&'a Path>,
    /// For `masthead service install`.
    pub(super) options: Vec<String>,
    pub(super) accept_new_host_key: bool,
    pub(super) dry_run: bool,
    pub(super) json: bool,
}

/// A program for Linux.
struct Program {
    path: PathBuf,
    bytes: Vec<u8>,
    architecture: &'static str,
    sum: String,
}

/// What was found on the server.
struct Found {
    has_systemd: bool,
    sum: Option<String>,
}

pub(super) fn run(wanted: &Wanted<'_>) -> anyhow::Result<()> {
    run_to_end(wanted.json, &Progress::new(), async {
        let registry = Registry::load(&Registry::default_path())?;
        let server = registry.server(wanted.server)?;
        let link = Link::connect(server, host_keys(wanted.accept_new_host_key, true)).await?;
        anyhow::ensure!(
            link.is_root(),
            "installing a service on server {} is for root: register it as root@{}, or give its user `sudo` without a password",
            server.name,
            server.address.host
        );
        refuse_beside_stack(&link).await?;
        let program = Program::read(wanted.binary)?;
        let found = look(&link, &program).await?;
        anyhow::ensure!(found.has_systemd, "{}", without_systemd(wanted.server));
        install(&link, wanted, &program, &found).await
    })
}

/// Two that watch one machine would fight for the port, and `query` would ask the other one.
async fn refuse_beside_stack(link: &Link) -> anyhow::Result<()> {
    let base_dir = stack::base_dir_over(link, None).await?;
    match stack::access_over(link, &base_dir).await {
        Ok(_) => anyhow::bail!(
            "on server {name} a stack of containers is set up under {}; `masthead migrate embedded` on that machine takes its data over, or \
             `masthead remove --server {name}` removes it first",
            base_dir.display(),
            name = link.server().name
        ),
        Err(StackError::NotSetUp { .. }) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

impl Program {
    fn read(named: Option<&Path>) -> anyhow::Result<Self> {
        let path = match named {
            Some(path) => path.to_owned(),
            None => crate::service::observe::own_binary()?,
        };
        let bytes = fs::read(&path).with_context(|| format!("reading the program {}", path.display()))?;
        let architecture = architecture(&bytes).ok_or_else(|| {
            anyhow::anyhow!("{} is no program for Linux that is known here", path.display())
        })?;
        let sum = hex(&Sha256::digest(&bytes));
        Ok(Self {
            path,
            bytes,
            architecture,
            sum,
        })
    }
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing into a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// What an ELF file runs on, as `uname -m` calls it.
fn architecture(bytes: &[u8]) -> Option<&'static str> {
    let machine = bytes.get(18..20).filter(|_| bytes.starts_with(b"\x7fELF"))?;
    match u16::from_le_bytes(machine.try_into().ok()?) {
        0x3e => Some("x86_64"),
        0xb7 => Some("aarch64"),
        0x28 => Some("armv7l"),
        0xf3 => Some("riscv64"),
        _ => None,
    }
}

async fn look(link: &Link, program: &Program) -> anyhow::Result<Found> {
    let name = &link.server().name;
    let said = link.output("sh", &["-c", LOOK, "masthead", PROGRAM], &[]).await?;
    let text = String::from_utf8_lossy(&said.stdout).into_owned();
    let mut lines = text.lines();
    let there = lines.next().unwrap_or("").trim();
    anyhow::ensure!(
        !there.is_empty(),
        "server {name} does not say what it runs on (uname -m): {}",
        said.stderr.trim()
    );
    anyhow::ensure!(
        there == program.architecture,
        "server {name} is {there}, and {} is for {}: bring a program that fits with --binary FILE",
        program.path.display(),
        program.architecture
    );
    Ok(Found {
        has_systemd: lines.next() == Some("systemd"),
        sum: lines.next().and_then(first_word),
    })
}

fn first_word(line: &str) -> Option<String> {
    line.split_whitespace().next().map(str::to_owned)
}

fn without_systemd(server: &str) -> String {
    format!(
        "on server {server} systemd does not run the machine, so no service can be installed; nothing was changed. Copy the program there \
         (scp), and have whatever starts programs there (OpenRC, runit, s6, supervisord, cron's @reboot) run as root: \
         {PROGRAM} up --data-dir /var/lib/masthead; `masthead query --server {server}` and this machine's `masthead up` find it then"
    )
}

async fn install(
    link: &Link,
    wanted: &Wanted<'_>,
    program: &Program,
    found: &Found,
) -> anyhow::Result<Outcome> {
    let is_there = found.sum.as_deref() == Some(&program.sum);
    let copy = format!(
        "copy {} to the server ({} bytes, sha256 {})",
        program.path.display(),
        program.bytes.len(),
        program.sum
    );
    let options: Vec<&str> = wanted.options.iter().map(String::as_str).collect();
    if wanted.dry_run && !is_there {
        let then = ["masthead service install", &options.join(" ")].join(" ");
        let steps = [copy, then.trim().to_owned() + " there"];
        return Ok(Outcome::done(
            steps.join("\n"),
            json!({ "dry_run": true, "steps": steps }),
        ));
    }
    let mut words = vec!["service", "install", "--json"];
    words.extend(wanted.dry_run.then_some("--dry-run"));
    words.extend(options);
    if is_there {
        let said = service(link, PROGRAM, &words).await?;
        return Ok(outcome(wanted, Vec::new(), &said));
    }
    out::note(&copy);
    let folder = take(link, program).await?;
    let said = service(link, &format!("{folder}/masthead"), &words).await;
    // Its own copy is in its place, or the next run begins anew.
    let removed = link.output("rm", &["-rf", "--", &folder], &[]).await;
    let said = said?;
    removed?;
    Ok(outcome(wanted, vec![copy], &said))
}

/// Copies the program; gives the folder that it is in there.
async fn take(link: &Link, program: &Program) -> anyhow::Result<String> {
    let said = link.output("sh", &["-c", TAKE], &program.bytes).await?;
    let name = &link.server().name;
    let text = String::from_utf8_lossy(&said.stdout).into_owned();
    let mut lines = text.lines();
    let (sum, folder) = (lines.next().and_then(first_word), lines.next());
    let Some(folder) = folder.filter(|_| said.code == 0) else {
        anyhow::bail!("copying the program to server {name}: {}", said.stderr.trim());
    };
    if sum.as_deref() != Some(&program.sum) {
        link.output("rm", &["-rf", "--", folder], &[]).await?;
        anyhow::bail!(
            "copying the program to server {name}: what arrived is not what was sent; run it again"
        );
    }
    Ok(folder.to_owned())
}

async fn service(link: &Link, program: &str, words: &[&str]) -> anyhow::Result<Value> {
    let said = link.output(program, words, &[]).await?;
    let name = &link.server().name;
    let complaint = said.stderr.trim();
    anyhow::ensure!(said.code == 0, "on server {name}: {complaint}");
    serde_json::from_slice(&said.stdout).with_context(|| {
        format!("reading what `masthead service install` says on server {name} ({complaint})")
    })
}

fn outcome(wanted: &Wanted<'_>, mut steps: Vec<String>, said: &Value) -> Outcome {
    let texts = said["steps"].as_array().into_iter().flatten();
    steps.extend(texts.filter_map(|step| step["text"].as_str().map(str::to_owned)));
    let mut text = match steps.is_empty() {
        true => "nothing to do".to_owned(),
        false => steps.join("\n"),
    };
    if let Some(url) = said["url"].as_str().filter(|_| !wanted.dry_run) {
        text.push_str(&format!(
            "\nMasthead answers at {url} there; `masthead query --server {name}` and `masthead ui --server {name}` lead to it",
            name = wanted.server
        ));
    }
    Outcome::done(
        text,
        json!({ "dry_run": wanted.dry_run, "steps": steps, "url": said["url"], "kept": said["kept"] }),
    )
}

/// Refuses flags that mean nothing to a service.
pub(super) fn refuse(given: bool) -> anyhow::Result<()> {
    match given {
        true => Err(Usage(
            "--runtime embedded takes --server, --binary, --port prometheus=PORT, --retention-time, --retention-size, --adopt and --dry-run",
        )
        .into()),
        false => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn architectures_are_read_from_elf_files() {
        let elf = |machine: u16| {
            let mut bytes = b"\x7fELF".to_vec();
            bytes.resize(18, 0);
            bytes.extend(machine.to_le_bytes());
            bytes
        };
        assert_eq!(architecture(&elf(0x3e)), Some("x86_64"));
        assert_eq!(architecture(&elf(0xb7)), Some("aarch64"));
        assert_eq!(architecture(&elf(0x1)), None);
        assert_eq!(architecture(b"#!/bin/sh\nexit 0 and more"), None);
        assert_eq!(architecture(b"\x7fELF"), None);
        let own = Program::read(None).unwrap();
        assert_eq!((own.architecture, own.sum.len()), (std::env::consts::ARCH, 64));
    }

    #[test]
    fn the_answer_of_the_service_is_said_with_the_way_to_it() {
        let wanted = Wanted {
            server: "web-2",
            binary: None,
            options: Vec::new(),
            accept_new_host_key: false,
            dry_run: false,
            json: false,
        };
        let said = json!({ "steps": [{ "step": "start", "text": "systemctl start masthead" }], "url": "http://127.0.0.1:9090" });
        let done = outcome(&wanted, vec!["copy".into()], &said);
        assert!(
            done.text
                .starts_with("copy\nsystemctl start masthead\nMasthead answers at"),
            "{}",
            done.text
        );
        let nothing = outcome(&wanted, Vec::new(), &json!({ "steps": [], "url": null }));
        assert_eq!(nothing.text, "nothing to do");
    }
}
