//! What is said when a query cannot be had: refusals, certificates, the wrong server, nobody; and strings, which are no series.

use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use super::{Asked, HASH, PASSWORD, Rig, USER, printed, run, web_config};
use crate::peers;
use crate::server::{self, Server};

/// Asks with other flags and wants a failure with these words.
fn fails(words: &[&str], flags: &[&str], want: &[&str]) -> Result<()> {
    let asked = Asked {
        name: "",
        flags: flags.iter().map(ToString::to_string).collect(),
    };
    let output = run(&asked, words)?;
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    ensure!(!output.status.success(), "{flags:?} succeeded");
    for word in want {
        ensure!(text.contains(word), "{flags:?}: {word:?} is not in {text:?}");
    }
    Ok(())
}

/// All of it.
pub(super) fn check(rig: &Rig, upstream: &Asked) -> Result<()> {
    let text = printed(upstream, &["query", "\"a \\\"text\\\"\""])?;
    ensure!(text == "a \"text\"\n", "a string is printed as it is: {text:?}");
    let text = printed(upstream, &["query", "up", "--range", "20s"])?;
    ensure!(text.contains("job=\"cadvisor\""), "{text}");
    let https = format!("https://{}", rig.prometheus.address);
    let ca = ["--url", &https, "--ca-file", &rig.path("ca.pem")];
    let with = |more: &[&'static str]| [&ca[..], more].concat();
    let query = ["query", "up"];
    for words in [
        &query[..],
        &["metrics", "system"],
        &["metrics", "app", "x", "--range", "1h"],
    ] {
        fails(
            words,
            &with(&[]),
            &["wants a user and a password", "--user NAME --password-file FILE"],
        )?;
    }
    let wrong = rig.path("wrong");
    fs::write(&wrong, "wrong\n")?;
    let flags = [&ca[..], &["--user", USER, "--password-file", &wrong]].concat();
    fails(&query, &flags, &["refused user \"ann\""])?;
    fails(
        &query,
        &["--url", &https],
        &["TLS with", "not trusted", "--ca-file FILE"],
    )?;
    let other = rig.path("other.pem");
    let flags = ["--url", &https, "--ca-file", &other];
    fails(&query, &flags, &["TLS with", &other])?;
    let http = format!("http://{}", rig.prometheus.address);
    fails(&query, &["--url", &http], &["speaks TLS; write https://"])?;
    let plain = format!("https://{}", rig.exporter.address);
    fails(&query, &["--url", &plain], &["does not speak TLS; write http://"])?;
    fails(
        &query,
        &["--url", &rig.exporter.address],
        &["no Prometheus API", "--url"],
    )?;
    fails(
        &query,
        &["--url", &rig.agent.address],
        &["there is no /api/v1/query"],
    )?;
    let nobody = format!("127.0.0.1:{}", server::free_port()?);
    fails(
        &query,
        &["--url", &nobody],
        &["refused", "--url names another address"],
    )?;
    let flags = with(&["--range", "1h", "--step", "1ms"]);
    fails(&query, &flags, &["11,000 points", "--step"])?;
    trusting_anybody(rig, &https)?;
    by_base_dir(rig)
}

/// Without a look at the certificate, and with the password in the address.
fn trusting_anybody(rig: &Rig, https: &str) -> Result<()> {
    let url = https.replace("://", &format!("://{USER}:{}@", PASSWORD.replace(' ', "%20")));
    for flags in [
        vec!["--insecure-skip-verify".to_string()],
        vec!["--ca-file".to_string(), rig.path("ca.pem")],
    ] {
        let mut flags = flags;
        flags.extend(["--url".to_string(), url.clone()]);
        let asked = Asked { name: "", flags };
        let text = printed(&asked, &["query", "1 + 1"])?;
        ensure!(text.contains('2'), "{text}");
    }
    Ok(())
}

/// `--upstream`: another Prometheus, with a base directory as `masthead setup` leaves it.
fn by_base_dir(rig: &Rig) -> Result<()> {
    let base = rig.folder.path().join("base");
    fs::create_dir_all(base.join("secrets"))?;
    let port = server::free_port()?;
    let address = format!("127.0.0.1:{port}");
    fs::write(base.join("prometheus.yml"), "global: {}\n")?;
    let users = web_config().split("tls_server_config").next().map(str::to_string);
    let users = users.context("no users")?.replace(USER, "masthead");
    ensure!(users.contains(HASH), "{users}");
    fs::write(base.join("web.yml"), users)?;
    fs::write(base.join("secrets/prometheus.password"), PASSWORD)?;
    let options = format!(
        "{{\"ports\":{{\"prometheus\":{port}}},\"retention-time\":\"15d\",\"scrape-interval\":\"15s\",\"server\":\"web1\"}}"
    );
    fs::write(base.join("masthead-stack.json"), options)?;
    let mut command = Command::new(peers::program("prometheus")?);
    command
        .arg(format!("--web.listen-address={address}"))
        .args([
            "--config.file=prometheus.yml",
            "--web.config.file=web.yml",
            "--log.level=warn",
        ])
        .arg("--storage.tsdb.path=data")
        .current_dir(&base);
    let mut server = Server::spawn(&mut command, &address, &base.join("log"))?;
    let base = base.display().to_string();
    let asked = Asked {
        name: "the stack",
        flags: vec!["--upstream".to_string(), "--base-dir".to_string(), base.clone()],
    };
    let began = Instant::now();
    while run(&asked, &["query", "1 + 1"])?.stdout.is_empty() {
        ensure!(
            server.is_alive() && began.elapsed() < Duration::from_secs(30),
            "not reached by its base directory: {}\n{}",
            String::from_utf8_lossy(&run(&asked, &["query", "1 + 1"])?.stderr),
            server.log_tail()
        );
        std::thread::sleep(Duration::from_millis(100));
    }
    fails(
        &["metrics", "system"],
        &["--base-dir", &base],
        &["is node_exporter, or Masthead, among its targets?"],
    )?;
    fails(&["query", "1"], &["--base-dir", "/nowhere"], &["masthead setup"])?;
    Ok(())
}
