//! Servers under test: Masthead and its peers as child processes on free loopback ports, with folders of their own.
//! A server that goes out of scope is killed, and its folder goes with it.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::{http, shell};

/// Longer than the slowest start of any of them.
const READY_TIMEOUT: Duration = Duration::from_secs(60);

/// A folder that goes when it goes out of scope.
#[derive(Debug)]
pub(crate) struct TempDir(PathBuf);

impl TempDir {
    /// A new, empty folder.
    pub(crate) fn new(name: &str) -> Result<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let unique = format!(
            "masthead-{name}-{}-{}",
            std::process::id(),
            COUNT.fetch_add(1, Ordering::Relaxed)
        );
        let path = std::env::temp_dir().join(unique);
        fs::create_dir_all(&path).with_context(|| format!("cannot make {}", path.display()))?;
        Ok(Self(path))
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for TempDir {
    fn drop(&mut self) {
        // What is left is in the system's folder for such things; a failed test must not fail twice.
        let _gone = fs::remove_dir_all(&self.0);
    }
}

/// A port on loopback that nobody listens on at this moment.
pub(crate) fn free_port() -> Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

/// A running server.
#[derive(Debug)]
pub(crate) struct Server {
    /// `127.0.0.1:port`.
    pub(crate) address: String,
    /// Its output, both streams.
    pub(crate) log: PathBuf,
    child: Child,
}

impl Server {
    /// Starts a program with its output in a file.
    pub(crate) fn spawn(command: &mut Command, address: &str, log: &Path) -> Result<Self> {
        let file = fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(log)
            .with_context(|| format!("cannot write {}", log.display()))?;
        let words = shell::words_of(command);
        let child = command
            .stdin(Stdio::null())
            .stdout(file.try_clone()?)
            .stderr(file)
            .spawn()
            .with_context(|| format!("cannot start `{words}`"))?;
        Ok(Self {
            address: address.to_string(),
            log: log.to_path_buf(),
            child,
        })
    }

    /// Waits until `path` is answered with 200.
    pub(crate) fn wait_ready(&mut self, path: &str) -> Result<Duration> {
        let began = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait()? {
                bail!("the server ended at its start ({status}):\n{}", self.log_tail());
            }
            if http::get(&self.address, path).is_ok_and(|response| response.status == 200) {
                return Ok(began.elapsed());
            }
            if began.elapsed() > READY_TIMEOUT {
                bail!(
                    "{path} on {} was not ready within {READY_TIMEOUT:?}:\n{}",
                    self.address,
                    self.log_tail()
                );
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// The process' id.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Is it still running?
    pub(crate) fn is_alive(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// `kill -9`.
    pub(crate) fn kill(&mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// Sends a signal by name and waits for the end; gives how long that took.
    pub(crate) fn stop(&mut self, signal: &str, limit: Duration) -> Result<(Duration, ExitStatus)> {
        let began = Instant::now();
        shell::output(
            Command::new("kill")
                .arg(format!("-{signal}"))
                .arg(self.pid().to_string()),
        )?;
        match self.wait(limit)? {
            Some(status) => Ok((began.elapsed(), status)),
            None => bail!(
                "the server did not end within {limit:?} of SIG{signal}:\n{}",
                self.log_tail()
            ),
        }
    }

    /// Waits for the process to end by itself.
    pub(crate) fn wait(&mut self, limit: Duration) -> Result<Option<ExitStatus>> {
        let began = Instant::now();
        while began.elapsed() < limit {
            if let Some(status) = self.child.try_wait()? {
                return Ok(Some(status));
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(None)
    }

    /// All that it has printed.
    pub(crate) fn log_text(&self) -> String {
        fs::read(&self.log)
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
            .unwrap_or_default()
    }

    /// The last lines that it has printed.
    pub(crate) fn log_tail(&self) -> String {
        let text = self.log_text();
        let lines: Vec<&str> = text.lines().collect();
        lines
            .iter()
            .skip(lines.len().saturating_sub(12))
            .copied()
            .collect::<Vec<_>>()
            .join("\n")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended already, which is as good.
        let _killed = self.child.kill();
        let _reaped = self.child.wait();
    }
}

/// `masthead up` on a port and a data folder, with more arguments.
pub(crate) fn masthead_command(port: u16, data: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(shell::release_binary());
    command
        .arg("up")
        .arg("--listen")
        .arg(format!("127.0.0.1:{port}"))
        .arg("--data-dir")
        .arg(data)
        .args(args);
    // What a developer has set for their own server must not reach into a test.
    for (name, _) in std::env::vars_os() {
        let ours = name.to_string_lossy();
        if ours.starts_with("MASTHEAD_") || ours == "DOCKER_HOST" {
            command.env_remove(name);
        }
    }
    command
}

/// Starts Masthead and waits until it is ready.
pub(crate) fn masthead(data: &Path, args: &[&str]) -> Result<Server> {
    let port = free_port()?;
    let address = format!("127.0.0.1:{port}");
    let log = data.with_extension("log");
    let mut server = Server::spawn(&mut masthead_command(port, data, args), &address, &log)?;
    server.wait_ready("/-/ready")?;
    Ok(server)
}

/// Starts VictoriaMetrics, with its query caches off, and waits until it is ready.
pub(crate) fn victoria_metrics(program: &Path, folder: &Path) -> Result<Server> {
    let address = format!("127.0.0.1:{}", free_port()?);
    let mut command = Command::new(program);
    command
        .arg(format!("-storageDataPath={}", folder.join("data").display()))
        .arg(format!("-httpListenAddr={address}"))
        .args(["-retentionPeriod=1", "-search.disableCache", "-loggerLevel=WARN"])
        .args(["-search.maxQueueDuration=60s", "-search.latencyOffset=0s"]);
    let mut server = Server::spawn(&mut command, &address, &folder.join("victoria-metrics.log"))?;
    server.wait_ready("/health")?;
    Ok(server)
}

/// Starts the real Prometheus, which scrapes nothing, and waits until it is ready.
pub(crate) fn prometheus(program: &Path, folder: &Path) -> Result<Server> {
    prometheus_on(program, folder, &folder.join("data"), "", &[])
}

/// As [`prometheus`], with its data where it is told, more configuration and more arguments.
pub(crate) fn prometheus_on(
    program: &Path,
    folder: &Path,
    data: &Path,
    more_config: &str,
    args: &[&str],
) -> Result<Server> {
    let port = free_port()?;
    let address = format!("127.0.0.1:{port}");
    let config = folder.join("prometheus.yml");
    fs::write(&config, format!("global:\n  scrape_interval: 15s\n{more_config}"))?;
    let mut command = Command::new(program);
    command
        .arg(format!("--config.file={}", config.display()))
        .arg(format!("--storage.tsdb.path={}", data.display()))
        .arg(format!("--web.listen-address={address}"))
        .args(["--web.enable-remote-write-receiver", "--log.level=warn"])
        .args(["--enable-feature=promql-experimental-functions,promql-delayed-name-removal"])
        .args(args)
        .current_dir(folder);
    let mut server = Server::spawn(&mut command, &address, &folder.join("prometheus.log"))?;
    server.wait_ready("/-/ready")?;
    Ok(server)
}
