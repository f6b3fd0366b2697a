//! `masthead service`: flags to a plan, and what is printed of it.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use serde_json::json;

use crate::cli::{out, up};
use crate::service::observe::{self, Observed};
use crate::service::options::Options;
use crate::service::plan::{self, Step};
use crate::service::unit::{self, Found};
use crate::service::{Places, apply, elsewhere, health};

/// `status` of a service that is installed and not ready, as `systemctl status` has it.
const EXIT_NOT_RUNNING: i32 = 3;
/// `status` of a service that is not installed.
const EXIT_NOT_INSTALLED: i32 = 4;

#[derive(Debug, Subcommand)]
pub(super) enum ServiceCommand {
    /// Put the program, its unit and its data folder in place, and start it; again, to change an option or the version
    #[command(after_help = "Examples:
  masthead service install --dry-run
  masthead service install --retention-time 90d
  masthead service install --listen 0.0.0.0:9090 --web-config /etc/masthead/web.yml

A second install changes nothing. Options that are not given again stay as they are; --reset begins with the defaults.
Data is kept in /var/lib/masthead. Lines of your own belong into `systemctl edit masthead`.")]
    Install(InstallArgs),
    /// Say what is installed and whether it is ready; the exit code is 0 when it is, 3 when not, 4 when nothing is installed
    Status {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Stop it and remove the unit and the program; data is kept
    Uninstall {
        /// Remove all samples and marks too
        #[arg(long)]
        purge_data: bool,
        /// Print what would be done, and do nothing
        #[arg(long)]
        dry_run: bool,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Print the unit that `install` would write
    Unit(UnitArgs),
}

/// Options of `up` that the unit carries.
#[derive(Debug, Args)]
pub(super) struct UnitArgs {
    /// Address of the page and the API [default: 127.0.0.1:9090]
    #[arg(long, value_name = "HOST:PORT")]
    listen: Option<String>,
    /// Configuration [default: none]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Users and TLS, in the format of Prometheus' web.yml [default: none]
    #[arg(long, value_name = "FILE")]
    web_config: Option<PathBuf>,
    /// Keep samples so long [default: 15d]
    #[arg(long, value_name = "DURATION")]
    retention_time: Option<String>,
    /// Keep at most so much [default: 5 % of the disk, at least 1GB]
    #[arg(long, value_name = "SIZE")]
    retention_size: Option<String>,
    /// Listen beyond loopback without a password
    #[arg(long)]
    insecure: bool,
    /// Without users, answer to this name too: the one under which a reverse proxy asks; `*` for any
    #[arg(long, value_name = "NAME")]
    allow_host: Vec<String>,
}

#[derive(Debug, Args)]
pub(super) struct InstallArgs {
    #[command(flatten)]
    unit: UnitArgs,
    /// Begin with the defaults instead of the options that are installed
    #[arg(long)]
    reset: bool,
    /// Replace a unit or a program of that name that is not Masthead's; it is kept as NAME.replaced
    #[arg(long)]
    adopt: bool,
    /// Print what would be done, and do nothing
    #[arg(long)]
    dry_run: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl UnitArgs {
    /// As options whose paths hold wherever they are read.
    fn options(&self) -> anyhow::Result<Options> {
        let mut options = Options::default();
        let mut set = |name, value: Option<String>| {
            if let Some(value) = value {
                options.set(name, vec![value]);
            }
        };
        set("listen", self.listen.clone());
        set("config", full_path("config", self.config.as_deref())?);
        set("web-config", full_path("web-config", self.web_config.as_deref())?);
        set("retention-time", self.retention_time.clone());
        set("retention-size", self.retention_size.clone());
        set("insecure", self.insecure.then(String::new));
        if !self.allow_host.is_empty() {
            options.set("allow-host", self.allow_host.clone());
        }
        Ok(options)
    }
}

fn full_path(flag: &str, path: Option<&Path>) -> anyhow::Result<Option<String>> {
    let Some(path) = path else { return Ok(None) };
    let full = std::path::absolute(path).map_err(|e| anyhow::anyhow!("--{flag} {}: {e}", path.display()))?;
    full.into_os_string().into_string().map(Some).map_err(|path| {
        anyhow::anyhow!(
            "--{flag} {}: the path is not UTF-8, which a unit must be; rename it",
            path.display()
        )
    })
}

/// The unit's text, after everything that `up` would refuse has been refused.
fn unit_text(places: &Places, options: &Options) -> anyhow::Result<String> {
    let command = unit::command(places, options);
    let listen = up::check_words(&command)?;
    Ok(unit::text(places, options, listen))
}

pub(super) fn run(command: ServiceCommand) -> anyhow::Result<()> {
    let places = Places::default();
    match command {
        ServiceCommand::Install(args) => install(&args, &places),
        ServiceCommand::Status { json } => status(json, &places),
        ServiceCommand::Uninstall {
            purge_data,
            dry_run,
            json,
        } => uninstall(purge_data, &Run { dry_run, json }, &places),
        ServiceCommand::Unit(args) => {
            let text = unit_text(&places, &args.options()?)?;
            out::bytes(text.as_bytes())
        }
    }
}

/// Can a service be installed here?
pub(super) fn is_possible() -> bool {
    observe::has_systemd(&Places::default()) && rustix::process::geteuid().is_root()
}

/// What the installed service is started with; nothing where there is none of ours.
pub(super) fn installed() -> anyhow::Result<Options> {
    match unit::found(&Places::default().unit)? {
        Found::Ours { options, .. } => Ok(options),
        Found::Absent | Found::Edited | Found::Foreign => Ok(Options::default()),
    }
}

/// Installs the service with these options beside those that it has, and waits until it is ready.
pub(super) fn put(mut options: Options) -> anyhow::Result<()> {
    let places = Places::default();
    let _guard = apply::Guard::take()?;
    let observed = observe::observe(&places)?;
    options.keep(&installed()?);
    let text = unit_text(&places, &options)?;
    for step in plan::install(&observed, &text, false, &places)? {
        apply::step(step, &places, &text)?;
    }
    Ok(())
}

/// How a plan is done and told.
#[derive(Debug)]
struct Run {
    dry_run: bool,
    json: bool,
}

fn install(args: &InstallArgs, places: &Places) -> anyhow::Result<()> {
    let mut options = args.unit.options()?;
    if !observe::has_systemd(places) {
        unit_text(places, &options)?;
        let mut command = unit::command(places, &options);
        command[0] = observe::own_binary()?.display().to_string();
        return no_systemd(&command, args.json);
    }
    let run = Run {
        dry_run: args.dry_run,
        json: args.json,
    };
    let _guard = run.guard("install")?;
    let observed = observe::observe(places)?;
    let kept = match &observed.unit {
        Found::Ours {
            options: installed, ..
        } if !args.reset => options.keep(installed),
        _ => Vec::new(),
    };
    let text = unit_text(places, &options)?;
    let steps = plan::install(&observed, &text, args.adopt, places)?;
    if !run.json && !kept.is_empty() && !steps.is_empty() {
        out::line(&format!("kept as installed: {}", kept.join(" ")))?;
    }
    run.steps(&steps, places, &text)?;
    run.end(&steps, places, &kept)
}

fn uninstall(purge: bool, run: &Run, places: &Places) -> anyhow::Result<()> {
    if !observe::has_systemd(places) {
        anyhow::bail!(
            "removing the service: systemd does not run this machine (there is no {}), so none is installed",
            places.booted.display()
        );
    }
    let _guard = run.guard("uninstall")?;
    let observed = observe::observe(places)?;
    let has_data = places.data_dir.exists();
    let steps = plan::uninstall(&observed, purge, has_data, places)?;
    run.steps(&steps, places, "")?;
    run.end(&steps, places, &[])
}

impl Run {
    /// What changes something is for root, one at a time.
    fn guard(&self, what: &str) -> anyhow::Result<Option<apply::Guard>> {
        if self.dry_run {
            return Ok(None);
        }
        anyhow::ensure!(
            rustix::process::geteuid().is_root(),
            "`masthead service {what}` writes to /etc and /usr/local, which is for root: `sudo masthead service {what} ...`; \
             with --dry-run anybody sees what it would do"
        );
        apply::Guard::take().map(Some)
    }

    fn steps(&self, steps: &[Step], places: &Places, unit: &str) -> anyhow::Result<()> {
        for (number, step) in steps.iter().enumerate() {
            if !self.json {
                let word = if self.dry_run { "would " } else { "" };
                out::line(&format!("{word}{}", step.text(places)))?;
            }
            if !self.dry_run {
                apply::step(*step, places, unit).map_err(|e| {
                    e.context(format!(
                        "step {} of {} ({}) failed, those before it are done and the next run goes on from here",
                        number + 1,
                        steps.len(),
                        step.name()
                    ))
                })?;
            }
        }
        Ok(())
    }

    fn end(&self, steps: &[Step], places: &Places, kept: &[String]) -> anyhow::Result<()> {
        let url = health::ready(&places.data_dir).ok().map(|user| user.url);
        let keeps_data = !steps.contains(&Step::PurgeData) && places.data_dir.exists();
        if self.json {
            let steps: Vec<_> = steps
                .iter()
                .map(|step| json!({ "step": step.name(), "text": step.text(places) }))
                .collect();
            return out::line(&serde_json::to_string_pretty(&json!({
                "dryRun": self.dry_run, "changed": !self.dry_run && !steps.is_empty(), "steps": steps,
                "kept": kept, "url": url, "dataDir": places.data_dir, "dataKept": keeps_data,
            }))?);
        }
        if steps.is_empty() {
            return out::line("nothing to do");
        }
        match (steps.last(), url) {
            (Some(Step::WaitReady), Some(url)) if !self.dry_run => out::line(&format!("ready at {url}/")),
            (Some(Step::Reload), _) if keeps_data => out::line(&format!(
                "the data stays in {}; --purge-data removes it",
                places.data_dir.display()
            )),
            _ => Ok(()),
        }
    }
}

fn no_systemd(command: &[String], json: bool) -> anyhow::Result<()> {
    if json {
        let ways: serde_json::Map<_, _> = elsewhere::ways(command)
            .into_iter()
            .map(|(name, _, text)| (name.to_owned(), text.into()))
            .collect();
        out::line(&serde_json::to_string_pretty(
            &json!({ "systemd": false, "changed": false, "instead": ways }),
        )?)?;
    } else {
        out::line(&elsewhere::text(command))?;
    }
    anyhow::bail!("installing the service: systemd does not run this machine; nothing was changed")
}

/// Is the service ready?
#[derive(Debug, PartialEq, Eq)]
enum Ready {
    /// It answers there.
    At(String),
    /// It has told systemd so; its address is in the data folder, which is for root.
    Told,
    No,
}

impl Ready {
    fn of(observed: &Observed, places: &Places) -> Self {
        match health::ready(&places.data_dir) {
            Ok(user) if user.pid == observed.systemd.pid => Self::At(user.url),
            Err(_) if !rustix::process::geteuid().is_root() && observed.systemd.active == "active" => {
                Self::Told
            }
            Ok(_) | Err(_) => Self::No,
        }
    }
}

fn status(as_json: bool, places: &Places) -> anyhow::Result<()> {
    let (text, value, code) = if observe::has_systemd(places) {
        let observed = observe::observe(places)?;
        let ready = Ready::of(&observed, places);
        let code = match (&observed.unit, &ready) {
            (Found::Absent, _) => EXIT_NOT_INSTALLED,
            (_, Ready::At(_) | Ready::Told) => 0,
            (_, Ready::No) => EXIT_NOT_RUNNING,
        };
        (
            status_text(&observed, &ready, places),
            status_json(&observed, &ready, places),
            code,
        )
    } else {
        let text = "not installed: systemd does not run this machine; `masthead service install` says what to do instead";
        (text.to_owned(), json!({ "systemd": false }), EXIT_NOT_INSTALLED)
    };
    if as_json {
        out::line(&serde_json::to_string_pretty(&value)?)?;
    } else {
        out::line(&text)?;
    }
    if code != 0 {
        std::process::exit(code);
    }
    Ok(())
}

fn unit_word(unit: &Found) -> &'static str {
    match unit {
        Found::Absent => "absent",
        Found::Ours { .. } => "ours",
        Found::Edited => "edited",
        Found::Foreign => "foreign",
    }
}

fn status_text(observed: &Observed, ready: &Ready, places: &Places) -> String {
    let systemd = &observed.systemd;
    let unit = match &observed.unit {
        Found::Absent => "not installed".to_owned(),
        Found::Ours { .. } => places.unit.display().to_string(),
        Found::Edited => format!("{} (changed by hand)", places.unit.display()),
        Found::Foreign => format!("{} (not made by Masthead)", places.unit.display()),
    };
    let program = match &observed.binary {
        observe::Binary::Absent => "not installed".to_owned(),
        observe::Binary::Same => format!(
            "{} (this version, {})",
            places.binary.display(),
            env!("CARGO_PKG_VERSION")
        ),
        observe::Binary::Other(version) => format!("{} (version {version})", places.binary.display()),
        observe::Binary::Foreign => format!("{} (not Masthead)", places.binary.display()),
    };
    let mut text = format!("unit      {unit}\nprogram   {program}");
    // Writing to a String cannot fail.
    if observed.unit == Found::Absent {
        return text;
    }
    if let Found::Ours { options, .. } = &observed.unit {
        let words = options.words();
        let shown = if words.is_empty() {
            "the defaults".to_owned()
        } else {
            words.join(" ")
        };
        let _ = write!(text, "\noptions   {shown}");
    }
    for drop_in in &systemd.drop_ins {
        let _ = write!(text, "\ndrop-in   {drop_in}");
    }
    let _ = write!(
        text,
        "\nat boot   {}\nstate     {} ({}), since {}",
        if systemd.enabled {
            "starts"
        } else {
            "does not start"
        },
        systemd.active,
        systemd.sub,
        systemd.since
    );
    if systemd.restarts > 0 {
        let _ = write!(
            text,
            ", started anew {} times after {}",
            systemd.restarts, systemd.result
        );
    }
    if systemd.runs_old_binary {
        text.push_str(
            "\n          it runs another program than the one installed: `systemctl restart masthead`",
        );
    }
    match ready {
        Ready::At(url) => {
            let _ = write!(text, "\nready     {url}/");
        }
        Ready::Told => text.push_str("\nready     yes, says systemd; root sees the address"),
        Ready::No => text.push_str("\nready     no; `journalctl -u masthead` says why"),
    }
    let _ = write!(text, "\ndata      {}", places.data_dir.display());
    text
}

fn status_json(observed: &Observed, ready: &Ready, places: &Places) -> serde_json::Value {
    let systemd = &observed.systemd;
    let options = match &observed.unit {
        Found::Ours { options, .. } => options.words(),
        Found::Absent | Found::Edited | Found::Foreign => Vec::new(),
    };
    let version = match &observed.binary {
        observe::Binary::Same => Some(env!("CARGO_PKG_VERSION")),
        observe::Binary::Other(version) => Some(version.as_str()),
        observe::Binary::Absent | observe::Binary::Foreign => None,
    };
    let url = match ready {
        Ready::At(url) => Some(url),
        Ready::Told | Ready::No => None,
    };
    json!({
        "systemd": true, "unit": unit_word(&observed.unit), "unitFile": places.unit, "program": places.binary,
        "version": version, "options": options, "dropIns": systemd.drop_ins, "enabled": systemd.enabled,
        "active": systemd.active, "sub": systemd.sub, "result": systemd.result, "restarts": systemd.restarts,
        "pid": systemd.pid, "ready": *ready != Ready::No, "url": url, "dataDir": places.data_dir,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::service::observe::{Binary, Systemd};

    #[test]
    fn the_unit_is_refused_where_up_would_refuse() {
        let places = Places::default();
        let text = |words: &[&str]| {
            let words: Vec<String> = words.iter().map(ToString::to_string).collect();
            unit_text(&places, &Options::of_words(&words).unwrap()).map_err(|e| e.to_string())
        };
        assert!(text(&[]).unwrap().contains("up --data-dir /var/lib/masthead\n"));
        for (words, want) in [
            (&["--retention-time", "long"][..], "15d"),
            (&["--listen", "0.0.0.0:9090"], "--insecure"),
            (&["--config", "/no/such.yml"], "/no/such.yml"),
        ] {
            let error = text(words).unwrap_err();
            assert!(error.contains(want), "{error}");
        }
    }

    #[test]
    fn the_state_is_said() {
        let mut observed = Observed {
            unit: Found::Ours {
                text: String::new(),
                options: Options::of_words(&["--insecure".to_owned()]).unwrap(),
            },
            binary: Binary::Other("0.0.1".to_owned()),
            systemd: Systemd {
                active: "activating".to_owned(),
                sub: "auto-restart".to_owned(),
                result: "exit-code".to_owned(),
                restarts: 2,
                since: "today".to_owned(),
                ..Systemd::default()
            },
        };
        let places = Places::default();
        let text = status_text(&observed, &Ready::No, &places);
        for want in [
            "version 0.0.1",
            "options   --insecure",
            "does not start",
            "activating (auto-restart), since today, started anew 2 times after exit-code",
            "ready     no",
        ] {
            assert!(text.contains(want), "{want} in\n{text}");
        }
        assert_eq!(status_json(&observed, &Ready::No, &places)["ready"], false);
        observed.unit = Found::Absent;
        assert!(status_text(&observed, &Ready::No, &places).starts_with("unit      not installed"));
    }
}
