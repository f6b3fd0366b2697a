//! What must be refused, with words that name the thing and the cure.

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::http::{self, clip};
use crate::remote_write::{self, HEADERS, Series};
use crate::server::{self, Server, TempDir};

/// Longer than a start that fails takes.
const LIMIT: Duration = Duration::from_secs(10);

/// Runs a command that must fail by itself with all these words in what it says.
fn check_start(command: &mut Command, folder: &Path, words: &[&str]) -> Result<()> {
    let log = folder.join("refused.log");
    let mut server = Server::spawn(command, "", &log)?;
    let Some(status) = server.wait(LIMIT)? else {
        bail!(
            "it runs, though it should refuse to start:\n{}",
            server.log_tail()
        );
    };
    let text = server.log_text();
    if status.success() {
        bail!("it ended with success:\n{text}");
    }
    if text.contains("panicked") {
        bail!("it panicked:\n{text}");
    }
    match words.iter().find(|word| !text.contains(*word)) {
        Some(word) => bail!("its error does not say `{word}`:\n{text}"),
        None => Ok(()),
    }
}

pub(super) fn port_in_use() -> Result<()> {
    let folder = TempDir::new("port")?;
    let taken = TcpListener::bind("127.0.0.1:0")?;
    let port = taken.local_addr()?.port();
    let mut command = server::masthead_command(port, &folder.path().join("data"), &[]);
    check_start(
        &mut command,
        folder.path(),
        &[&format!("127.0.0.1:{port}"), "in use", "--listen"],
    )
}

pub(super) fn unwritable_folder() -> Result<()> {
    let folder = TempDir::new("unwritable")?;
    // Root may write everywhere, but nobody may make a folder below a file.
    let file = folder.path().join("file");
    fs::write(&file, "not a folder")?;
    let data = file.join("data");
    let mut command = server::masthead_command(server::free_port()?, &data, &[]);
    check_start(&mut command, folder.path(), &[&file.display().to_string()])
}

pub(super) fn second_instance() -> Result<()> {
    let folder = TempDir::new("second")?;
    let data = folder.path().join("data");
    let first = server::masthead(&data, &[])?;
    let mut command = server::masthead_command(server::free_port()?, &data, &[]);
    check_start(&mut command, folder.path(), &[&data.display().to_string()])?;
    let healthy = http::get(&first.address, "/-/healthy")?;
    if healthy.status != 200 {
        bail!("the first instance suffers from the second: {}", healthy.text());
    }
    Ok(())
}

pub(super) fn wrong_flag() -> Result<()> {
    let folder = TempDir::new("flag")?;
    let mut command = server::masthead_command(
        server::free_port()?,
        &folder.path().join("data"),
        &["--retention-tim", "1d"],
    );
    check_start(
        &mut command,
        folder.path(),
        &["--retention-tim", "--retention-time"],
    )
}

pub(super) fn wrong_key() -> Result<()> {
    let folder = TempDir::new("key")?;
    let config = folder.path().join("masthead.yml");
    fs::write(
        &config,
        "global:\n  scrape_interval: 15s\nscrape_configs:\n  - job_name: app\n    scrape_intervall: 5s\n",
    )?;
    let path = config.display().to_string();
    let mut command = server::masthead_command(
        server::free_port()?,
        &folder.path().join("data"),
        &["--config", &path],
    );
    check_start(
        &mut command,
        folder.path(),
        &[
            "masthead.yml",
            "scrape_intervall",
            "scrape_interval",
            "scrape_timeout",
        ],
    )?;
    let text = fs::read_to_string(folder.path().join("refused.log"))?;
    let in_words = text.contains("line 5") && text.contains("column 5");
    if !in_words && !text.contains(":5:5") {
        bail!("its error does not say line 5, column 5:\n{text}");
    }
    Ok(())
}

pub(super) fn beyond_loopback() -> Result<()> {
    let folder = TempDir::new("beyond")?;
    let port = server::free_port()?;
    let listen = format!("0.0.0.0:{port}");
    let data = folder.path().join("data");
    let mut command = listening(&listen, &data, &[]);
    check_start(&mut command, folder.path(), &["--web-config", "--insecure"])?;
    let log = folder.path().join("insecure.log");
    let mut server = Server::spawn(
        &mut listening(&listen, &data, &["--insecure"]),
        &format!("127.0.0.1:{port}"),
        &log,
    )?;
    server.wait_ready("/-/ready").map(|_| ())
}

fn listening(listen: &str, data: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(crate::shell::release_binary());
    command
        .args(["up", "--listen", listen, "--data-dir"])
        .arg(data)
        .args(args);
    command
}

/// bcrypt of `masthead test`, with the lowest cost.
const HASH: &str = "$2b$05$abcdefghijklmnopqrstuulV5/5QK24ceKLaOn.wK2GmDt1pM3nAO";

/// Base64 of `admin:masthead test`.
const BASIC: &str = "Basic YWRtaW46bWFzdGhlYWQgdGVzdA==";

pub(super) fn password() -> Result<()> {
    let folder = TempDir::new("password")?;
    let config = folder.path().join("web.yml");
    fs::write(&config, format!("basic_auth_users:\n  admin: {HASH}\n"))?;
    let port = server::free_port()?;
    let address = format!("127.0.0.1:{port}");
    let path = config.display().to_string();
    let mut command = server::masthead_command(port, &folder.path().join("data"), &["--web-config", &path]);
    let mut server = Server::spawn(&mut command, &address, &folder.path().join("log"))?;
    let ask = |authorization: &str| {
        let headers: &[(&str, &str)] = &[("Authorization", authorization)];
        http::request(&address, "GET", "/api/v1/query?query=1", headers, b"").map(|response| response.status)
    };
    // Ready is behind the password too, so that it is asked until it answers at all.
    let began = std::time::Instant::now();
    while ask(BASIC).is_err() && server.is_alive() && began.elapsed() < LIMIT {
        std::thread::sleep(Duration::from_millis(20));
    }
    for (authorization, want) in [
        (BASIC, 200),
        ("", 401),
        ("Basic YWRtaW46d3Jvbmc=", 401),
        ("Bearer x", 401),
    ] {
        let got = ask(authorization).with_context(|| server.log_tail())?;
        if got != want {
            bail!("{authorization:?} was answered {got}, not {want}");
        }
    }
    Ok(())
}

/// Starts a server and wants this status for a body sent to the remote write endpoint.
fn check_write(name: &str, headers: &[(&str, &str)], body: &[u8], want: &[u16]) -> Result<()> {
    let folder = TempDir::new(name)?;
    let mut server = server::masthead(&folder.path().join("data"), &[])?;
    let mut all = HEADERS.to_vec();
    let own = format!("http://{}", server.address);
    all.extend(
        headers
            .iter()
            .map(|(key, value)| (*key, if *value == "OWN" { own.as_str() } else { *value })),
    );
    let response = http::request(&server.address, "POST", "/api/v1/write", &all, body)?;
    if !want.contains(&response.status) {
        bail!(
            "{name}: answered {}, not {want:?}: {}",
            response.status,
            clip(&response.text())
        );
    }
    if response.status >= 400 && response.text().trim().is_empty() {
        bail!("{name}: refused without a word");
    }
    if !server.is_alive() {
        bail!("{name}: the server ended:\n{}", server.log_tail());
    }
    Ok(())
}

pub(super) fn large_body() -> Result<()> {
    let folder = TempDir::new("large")?;
    let server = server::masthead(&folder.path().join("data"), &[])?;
    // The length alone is enough to refuse: nothing of the 2 GB is ever sent.
    let mut stream = TcpStream::connect(&server.address)?;
    stream.set_read_timeout(Some(LIMIT))?;
    let head = "POST /api/v1/write HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/x-protobuf\r\n\
                Content-Encoding: snappy\r\nContent-Length: 2147483648\r\n\r\n";
    stream.write_all(head.as_bytes())?;
    let mut answer = [0; 12];
    stream
        .read_exact(&mut answer)
        .context("no answer to a body over the limit")?;
    if !answer.ends_with(b"413") {
        bail!("answered {:?}", String::from_utf8_lossy(&answer));
    }
    Ok(())
}

pub(super) fn snappy_bomb() -> Result<()> {
    // The header says 4 GB less a byte; then a literal of one byte.
    check_write(
        "bomb",
        &[],
        &[0xff, 0xff, 0xff, 0xff, 0x0f, 0x00, 0x61],
        &[400, 413],
    )
}

pub(super) fn garbage_body() -> Result<()> {
    check_write("not snappy", &[], b"this is not snappy at all", &[400])?;
    check_write(
        "not protobuf",
        &[],
        &remote_write::compress(b"\xff\xff\xff\xff\xff\xff")?,
        &[400],
    )?;
    check_write(
        "cut protobuf",
        &[],
        &remote_write::compress(&[10, 200, 10, 1])?,
        &[400],
    )?;
    check_write("nothing", &[], b"", &[400])
}

pub(super) fn cross_site() -> Result<()> {
    let mut series = Series::new("from_a_site", &[]);
    series.samples.push((super::now_ms()?, 1.0));
    let body = remote_write::compress(&remote_write::encode(&[series]))?;
    check_write(
        "another origin",
        &[("Origin", "http://evil.example")],
        &body,
        &[403],
    )?;
    check_write(
        "cross-site",
        &[("Sec-Fetch-Site", "cross-site"), ("Origin", "null")],
        &body,
        &[403],
    )?;
    check_write("its own origin", &[("Origin", "OWN")], &body, &[200, 204])?;
    check_write("no browser", &[], &body, &[200, 204])
}
