//! The API that a command asks: its address, credentials and certificates from flags, and errors with the flags that cure them.

use std::io::Read as _;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use client::{Client, ClientError};
use stack::Link;

use crate::api::params::duration_ms;
use crate::cli::tunnel;
use crate::cli::upstream::{self, Access};

const DEFAULT_URL: &str = "http://127.0.0.1:9090";
/// Names the server in the environment.
const URL_VARIABLE: &str = "MASTHEAD_URL";
/// Nobody's password is longer; a device or a wrong file may be.
const PASSWORD_BYTES_MAX: u64 = 4096;

/// Flags of commands that ask an API.
#[derive(Debug, Args)]
pub(super) struct ServerArgs {
    /// The API to ask; without it $MASTHEAD_URL or http://127.0.0.1:9090
    #[arg(long, global = true)]
    url: Option<String>,
    /// Ask the upstream stack that `masthead setup` made on this machine
    #[arg(long, global = true)]
    upstream: bool,
    /// Where the upstream stack has its files (implies --upstream)
    #[arg(long, value_name = "DIR", global = true)]
    base_dir: Option<PathBuf>,
    /// Ask the registered server of this name, through a tunnel: its upstream stack, else the Masthead that runs there
    #[arg(long, value_name = "NAME", global = true)]
    server: Option<String>,
    /// Take and remember the server's host key, if it is not known yet
    #[arg(long, global = true)]
    accept_new_host_key: bool,
    /// Log in as this user
    #[arg(long, value_name = "NAME", global = true)]
    user: Option<String>,
    /// The user's password is in this file; - stands for standard input
    #[arg(long, value_name = "FILE", global = true)]
    password_file: Option<PathBuf>,
    /// Trust the certificates in this PEM file, and no others
    #[arg(long, value_name = "FILE", global = true)]
    ca_file: Option<PathBuf>,
    /// Trust whoever answers: certificates are not looked at
    #[arg(long, global = true)]
    insecure_skip_verify: bool,
    /// Give up after so long
    #[arg(long, default_value = "30s", value_name = "DURATION", global = true)]
    timeout: String,
}

/// A positive duration of a flag.
pub(super) fn flag_ms(flag: &str, text: &str) -> anyhow::Result<i64> {
    duration_ms(text)
        .filter(|ms| *ms > 0)
        .ok_or_else(|| anyhow::anyhow!("--{flag} {text}: not a duration; write it as 15s, 5m, 1h30m or 7d"))
}

impl ServerArgs {
    fn is_upstream(&self) -> bool {
        self.upstream || self.base_dir.is_some()
    }

    /// The flag by which the address is not the user's own to say.
    fn reads_address(&self) -> Option<&'static str> {
        match (&self.server, self.is_upstream()) {
            (Some(_), _) => Some("--server"),
            (None, true) => Some("--upstream"),
            (None, false) => None,
        }
    }

    /// The client that the flags describe, and the tunnel that it needs.
    pub(super) async fn client(&self) -> anyhow::Result<(Client, Option<Link>)> {
        self.check()?;
        let (access, link) = match &self.server {
            Some(name) => {
                let (access, link) =
                    tunnel::open(name, self.base_dir.as_deref(), self.accept_new_host_key).await?;
                (Some(access), Some(link))
            }
            None => (self.access()?, None),
        };
        Ok((self.build(access.as_ref())?, link))
    }

    fn build(&self, access: Option<&Access>) -> anyhow::Result<Client> {
        let timeout = u64::try_from(flag_ms("timeout", &self.timeout)?)?;
        let url = match access {
            Some(access) => access.url.clone(),
            None => self.url(),
        };
        let mut builder = Client::builder(&client::full_url(&url))
            .timeout(Duration::from_millis(timeout))
            .insecure_skip_verify(self.insecure_skip_verify);
        if let Some(file) = &self.ca_file {
            builder = builder.ca_file(file);
        }
        if let Some(Access {
            login: Some((user, password)),
            ..
        }) = access
        {
            builder = builder.basic_auth(user, password);
        } else if let (Some(user), Some(file)) = (&self.user, &self.password_file) {
            builder = builder.basic_auth(user, &password(file)?);
        }
        builder.build().map_err(|error| self.explain(error))
    }

    /// What contradicts itself. Not left to clap: a flag may stand before a subcommand and its opposite behind it.
    fn check(&self) -> anyhow::Result<()> {
        if let Some(reads) = self.reads_address() {
            let is_masthead = self.server.is_some();
            let own = [
                ("--url", self.url.is_some()),
                // A Masthead there may want a user of its own.
                ("--user", self.user.is_some() && !is_masthead),
                ("--password-file", self.password_file.is_some() && !is_masthead),
            ];
            if let Some((flag, _)) = own.iter().find(|(_, given)| *given) {
                anyhow::bail!(
                    "{flag} beside {reads}: the stack's address, user and password are read from its base directory; leave one of the two out"
                );
            }
        }
        match (&self.user, &self.password_file) {
            (Some(user), None) => {
                anyhow::bail!("--user {user} wants a password: --password-file FILE, or - for standard input")
            }
            (None, Some(file)) => {
                anyhow::bail!("--password-file {} wants --user NAME", file.display())
            }
            _ => {}
        }
        if self.insecure_skip_verify && self.ca_file.is_some() {
            anyhow::bail!("--ca-file and --insecure-skip-verify: trust either those certificates or anybody");
        }
        Ok(())
    }

    fn access(&self) -> anyhow::Result<Option<Access>> {
        if !self.is_upstream() {
            return Ok(None);
        }
        let base_dir = self.base_dir.clone().unwrap_or_else(stack::default_base_dir);
        upstream::access(&base_dir).map(Some)
    }

    fn url(&self) -> String {
        let named = || std::env::var(URL_VARIABLE).ok().filter(|url| !url.is_empty());
        self.url
            .clone()
            .or_else(named)
            .unwrap_or_else(|| DEFAULT_URL.to_owned())
    }

    /// An error with the flag that cures it.
    pub(super) fn explain(&self, error: ClientError) -> anyhow::Error {
        match self.cure(&error) {
            Some(cure) => {
                let text = error.to_string();
                let between = if text.ends_with('?') { "" } else { ";" };
                anyhow::anyhow!("{text}{between} {cure}")
            }
            None => error.into(),
        }
    }

    fn cure(&self, error: &ClientError) -> Option<&'static str> {
        let is_upstream = self.is_upstream();
        let is_elsewhere = self.server.is_some();
        Some(match error {
            // Neither its address nor its password is the user's to say.
            ClientError::Connect { .. } | ClientError::NotPrometheus { .. } if is_elsewhere => {
                "`masthead check` with the same --server says what is wrong with the stack there"
            }
            ClientError::Unauthorized { user: None, .. } => {
                "give them with --user NAME --password-file FILE (or --upstream, for the stack of `masthead setup`)"
            }
            ClientError::Unauthorized { .. } if is_upstream => {
                "another server may listen on the stack's port: `masthead check` finds out"
            }
            ClientError::Unauthorized { .. } => "--user NAME and --password-file FILE name others",
            ClientError::Connect { .. } if is_upstream => {
                "`masthead check` says what is wrong with the stack"
            }
            ClientError::Connect { .. } => "--url names another address",
            ClientError::Timeout { .. } => "--timeout waits longer",
            ClientError::Tls { ca: None, .. } => {
                "--ca-file FILE names the CA that issued its certificate, --insecure-skip-verify trusts anybody"
            }
            ClientError::Tls { .. } => "--ca-file FILE names another CA",
            ClientError::NotPrometheus { .. } | ClientError::Redirect { .. } => {
                "--url names another address, with the path before /api/v1 if there is one"
            }
            ClientError::Range { .. } => "--range and --step set it",
            _ => return None,
        })
    }
}

/// The first line of a file: passwords are kept in files with and without a line's end.
fn password(file: &std::path::Path) -> anyhow::Result<String> {
    let wrong = |why: String| anyhow::anyhow!("--password-file {}: {why}", file.display());
    let mut text = String::new();
    let read = if file.as_os_str() == "-" {
        std::io::stdin()
            .lock()
            .take(PASSWORD_BYTES_MAX)
            .read_to_string(&mut text)
    } else {
        std::fs::File::open(file).and_then(|file| file.take(PASSWORD_BYTES_MAX).read_to_string(&mut text))
    };
    read.map_err(|e| wrong(e.to_string()))?;
    let line = text.lines().next().unwrap_or_default();
    if line.is_empty() {
        return Err(wrong("there is no password in its first line".to_owned()));
    }
    Ok(line.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        server: ServerArgs,
    }

    fn client(words: &[&str]) -> anyhow::Result<Client> {
        let all = std::iter::once("test").chain(words.iter().copied());
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let args = Line::try_parse_from(all)?;
        runtime.block_on(args.server.client()).map(|(client, _)| client)
    }

    #[test]
    fn flags_that_contradict_each_other_are_named() {
        for (words, want) in [
            (&["--upstream", "--url", "x"][..], "--url beside --upstream"),
            (&["--base-dir", "/x", "--user", "a"], "--user beside --upstream"),
            (&["--server", "web", "--url", "x"], "--url beside --server"),
            (&["--user", "ann"], "--user ann wants a password"),
            (&["--password-file", "x"], "wants --user"),
            (&["--ca-file", "x", "--insecure-skip-verify"], "either"),
            (&["--timeout", "soon"], "--timeout soon"),
            (
                &["--user", "a", "--password-file", "/nowhere"],
                "--password-file /nowhere",
            ),
            (&["--base-dir", "/nowhere"], "no upstream stack in /nowhere"),
        ] {
            let error = client(words).expect_err(want).to_string();
            assert!(error.contains(want), "{want:?} in {error}");
        }
    }

    #[test]
    fn the_first_line_of_a_file_is_the_password() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("password");
        for (text, want) in [("hush", "hush"), ("hush\n", "hush"), ("hush\r\nmore\n", "hush")] {
            std::fs::write(&file, text).unwrap();
            assert_eq!(password(&file).unwrap(), want);
        }
        std::fs::write(&file, "\nhush").unwrap();
        assert!(password(&file).is_err());
    }

    #[test]
    fn of_a_server_nobody_is_told_to_name_another_address() {
        let url = "http://127.0.0.1:40001".to_owned();
        let refused = || ClientError::Connect {
            url: url.clone(),
            reason: "refused".to_owned(),
        };
        for (words, want) in [
            (&["test"][..], "--url names"),
            (&["test", "--upstream"], "`masthead check` says"),
            (&["test", "--server", "web"], "with the same --server"),
        ] {
            let args = Line::try_parse_from(words).unwrap().server;
            let text = args.explain(refused()).to_string();
            assert!(text.contains(want), "{want:?} in {text}");
        }
    }

    #[test]
    fn errors_name_the_flag_that_cures_them() {
        let args = Line::try_parse_from(["test"]).unwrap().server;
        let url = "https://h".to_owned();
        let tls = |ca| ClientError::Tls {
            url: url.clone(),
            reason: "x".to_owned(),
            ca,
        };
        let refused = |user| ClientError::Unauthorized {
            url: url.clone(),
            user,
            status: 401,
        };
        for (error, want) in [
            (refused(None), "--user NAME --password-file FILE"),
            (refused(Some("ann".to_owned())), "user \"ann\""),
            (tls(None), "--ca-file FILE"),
            (tls(Some(PathBuf::from("/my/ca.pem"))), "/my/ca.pem"),
        ] {
            let text = args.explain(error).to_string();
            assert!(text.contains(want), "{want:?} in {text}");
        }
    }
}
