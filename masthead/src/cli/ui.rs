//! `masthead ui`: the page of a registered server in this machine's browser, through a tunnel that lasts until Ctrl-C.

use std::process::Stdio;
use std::time::Duration;

use clap::Args;
use stack::{Link, Registry};
use tokio_util::sync::CancellationToken;

use crate::cli::stack::host_keys;
use crate::cli::{error_text, out, serving};
use crate::servers::Kind;
use crate::servers::reach::{Reached, reach};

/// How often the tunnel is looked at.
const LOOK_INTERVAL: Duration = Duration::from_secs(5);

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  masthead ui --server web-2
  masthead ui --server web-2 --no-open --show-password

The tunnel ends on this machine's loopback, at the same address until Ctrl-C; when the connection breaks off it is made anew.
`masthead up` shows registered servers on its own page, without this.")]
pub(super) struct UiArgs {
    /// Which registered server (see `masthead server`)
    #[arg(long, value_name = "NAME")]
    server: String,
    /// Do not open a browser
    #[arg(long)]
    no_open: bool,
    /// Print the password of the page too
    #[arg(long)]
    show_password: bool,
    /// Take and remember the server's host key if it is not known yet; one that has changed is refused in any case
    #[arg(long)]
    accept_new_host_key: bool,
}

pub(super) fn run(args: &UiArgs) -> anyhow::Result<()> {
    serving::run(async |stop| {
        let registry = Registry::load(&Registry::default_path())?;
        let server = registry.server(&args.server)?;
        let opened = async {
            let link = Link::connect(server, host_keys(args.accept_new_host_key, true)).await?;
            let reached = reach(&link, None).await?;
            anyhow::Ok((link, reached))
        };
        let (link, reached) = tokio::select! {
            () = stop.cancelled() => return Ok(()),
            opened = opened => opened?,
        };
        out::line(&words(&reached, &args.server, args.show_password))?;
        if !args.no_open {
            open(&reached.url());
        }
        tokio::select! {
            () = stop.cancelled() => {}
            () = keep(&link, &stop) => {}
        }
        Ok(())
    })
}

/// Where the page is, and who gets in.
fn words(reached: &Reached, server: &str, show_password: bool) -> String {
    let what = match reached.kind {
        Kind::Upstream => "Prometheus",
        Kind::Embedded => "Masthead",
    };
    let mut text = format!("{what} of server {server}: {}/", reached.url());
    match &reached.login {
        Some((user, password)) if show_password => {
            text.push_str(&format!("\n  user {user}, password {password}"));
        }
        Some((user, _)) => text.push_str(&format!("\n  user {user}; --show-password prints its password")),
        None => {}
    }
    text.push_str("\n  until Ctrl-C");
    text
}

/// Opens a browser where somebody sits in front of one.
fn open(url: &str) {
    let has_desktop = ["DISPLAY", "WAYLAND_DISPLAY"]
        .iter()
        .any(|name| std::env::var_os(name).is_some_and(|value| !value.is_empty()));
    if !has_desktop {
        return;
    }
    let started = tokio::process::Command::new("xdg-open")
        .arg(url)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    if let Err(error) = started {
        out::note(&format!(
            "cannot open a browser (xdg-open: {error}); open the address yourself"
        ));
    }
}

/// Makes the connection anew whenever it breaks off.
async fn keep(link: &Link, stop: &CancellationToken) {
    while !stop.is_cancelled() {
        tokio::time::sleep(LOOK_INTERVAL).await;
        if link.is_alive().await {
            continue;
        }
        out::note("the connection broke off; connecting again");
        match link.come_back().await {
            Ok(()) => out::note("connected again, at the same address"),
            Err(error) => out::note(&error_text(&error.into())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_printed_when_it_is_asked_for() {
        let mut reached = Reached {
            kind: Kind::Upstream,
            is_https: false,
            address: "127.0.0.1:4000".parse().unwrap(),
            login: Some(("masthead".into(), "hush".into())),
        };
        let quiet = words(&reached, "web-2", false);
        assert!(
            quiet.starts_with("Prometheus of server web-2: http://127.0.0.1:4000/\n"),
            "{quiet}"
        );
        assert!(!quiet.contains("hush"), "{quiet}");
        assert!(words(&reached, "web-2", true).contains("user masthead, password hush"));
        reached.kind = Kind::Embedded;
        reached.login = None;
        assert_eq!(
            words(&reached, "web-2", true),
            "Masthead of server web-2: http://127.0.0.1:4000/\n  until Ctrl-C"
        );
    }
}
