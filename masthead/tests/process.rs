//! The program as a process: that it stops when it is told to, whatever became of its terminal.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that cannot go on should stop here"
)]

use std::io::Read;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

/// Ends the process when a test fails half-way.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn up(folder: &std::path::Path) -> Running {
    let child = Command::new(env!("CARGO_BIN_EXE_masthead"))
        .args([
            "up",
            "--listen",
            "127.0.0.1:0",
            "--log-level",
            "debug",
            "--data-dir",
        ])
        .arg(folder)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    Running(child)
}

/// Waits until the greeting is there.
fn wait_until_up(running: &mut Running) {
    let mut first = [0; 1];
    let stdout = running.0.stdout.as_mut().unwrap();
    stdout.read_exact(&mut first).unwrap();
}

fn terminate_and_wait(running: &mut Running) -> std::process::ExitStatus {
    kill_process(Pid::from_child(&running.0), Signal::TERM).unwrap();
    let started = masthead::clock::instant();
    loop {
        if let Some(status) = running.0.try_wait().unwrap() {
            return status;
        }
        assert!(
            started.elapsed() < Duration::from_secs(10),
            "still running after SIGTERM"
        );
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_signal_stops_it_and_the_log_is_kept() {
    let folder = tempfile::tempdir().unwrap();
    let mut running = up(folder.path());
    wait_until_up(&mut running);
    assert!(terminate_and_wait(&mut running).success());
    assert!(folder.path().join("wal").is_dir());
}

#[test]
fn a_closed_terminal_does_not_keep_it_from_stopping() {
    let folder = tempfile::tempdir().unwrap();
    let mut running = up(folder.path());
    wait_until_up(&mut running);
    drop((running.0.stdout.take(), running.0.stderr.take()));
    assert!(terminate_and_wait(&mut running).success());
}
