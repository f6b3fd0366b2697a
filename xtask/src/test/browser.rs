//! The `browser` step: the pages in Chromium against a real running server that watches real containers, light and dark and
//! narrow. The script is `ui/tests/browser.mjs`; it leaves its screenshots in `target/shots`. Where no engine can be had, the
//! pages are tested without containers, and that is said.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::{Selection, Tally, missing};
use crate::docker::{Docker, shop};
use crate::server::{self, Server, TempDir};
use crate::{http, shell, ui};

/// How many scrapes the pages want before charts have lines: a minute of them.
const SCRAPES: u32 = 5;

pub(super) fn run(_: &Selection) -> Result<Tally> {
    let chromium = ui::require_node()
        .and_then(|()| shell::obtain(&["chromium", "chromium-browser", "google-chrome"], "chromium"));
    let chromium = match chromium {
        Ok(path) => path,
        Err(why) => return Ok(missing("browser", &why)),
    };
    ui::install(&ui::dir())?;
    let folder = TempDir::new("browser")?;
    let mut tally = Tally::default();
    let docker = match Docker::start(&[]) {
        Ok(docker) => Some(docker),
        Err(why) => {
            tally.add(missing("browser: pages with containers", &why));
            None
        }
    };
    let mut args = Vec::new();
    if let Some(docker) = &docker {
        println!("project `shop` is made {}", shop::open(docker)?);
        args = vec!["--config".to_string(), write_config(folder.path(), docker)?];
    }
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let server = server::masthead(&folder.path().join("data"), &args)?;
    wait_for_scrapes(&server)?;
    let shots = shell::target_dir().join("shots");
    std::fs::create_dir_all(&shots).with_context(|| format!("cannot make {}", shots.display()))?;
    let mut command = Command::new("node");
    command
        .args([
            "tests/browser.mjs",
            "--url",
            &format!("http://{}", server.address),
            "--shots",
        ])
        .arg(&shots)
        .env("CHROMIUM", &chromium)
        .current_dir(ui::dir());
    if docker.is_some() {
        command.arg("--containers");
    }
    let run = shell::stream(&mut command, |_| true)?;
    tally.add(read_totals(&run.text, run.success));
    Ok(tally)
}

/// A configuration that asks this engine; all else as a user has it. Gives its path.
fn write_config(folder: &Path, docker: &Docker) -> Result<String> {
    let path = folder.join("masthead.yml");
    let text = format!(
        "masthead:\n  containers:\n    docker: unix://{}\n",
        docker.socket().display()
    );
    std::fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
    Ok(path.display().to_string())
}

fn wait_for_scrapes(server: &Server) -> Result<()> {
    let began = Instant::now();
    loop {
        let query = format!("count_over_time(node_load1[5m]) >= {SCRAPES}");
        let answer = http::post_form(&server.address, "/api/v1/query", &[("query", &query)])?.json()?;
        if answer["data"]["result"]
            .as_array()
            .is_some_and(|series| !series.is_empty())
        {
            return Ok(());
        }
        if began.elapsed() > Duration::from_secs(90) {
            bail!(
                "{SCRAPES} scrapes of the host did not come within 90 s:\n{}",
                server.log_tail()
            );
        }
        std::thread::sleep(Duration::from_millis(500));
    }
}

/// The script's checks, from the lines `ok NAME` and `FAILED NAME`; without any, the run counts as one.
fn read_totals(text: &str, success: bool) -> Tally {
    let mut tally = Tally::default();
    for line in text.lines().map(str::trim) {
        if line.starts_with("ok ") {
            tally.passed += 1;
        } else if let Some(name) = line.strip_prefix("FAILED ").map(str::trim_start) {
            tally.failed.push(format!("browser: {name}"));
        }
    }
    if !success && tally.failed.is_empty() {
        tally.failed.push("browser".to_string());
    } else if tally.passed == 0 && tally.failed.is_empty() {
        tally.passed = 1;
    }
    tally
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scripts_checks_are_counted() {
        let some = read_totals(
            "ok     overview\nok     explore\nFAILED phone: a console error\n2 passed, 1 failed, 0 skipped\n",
            false,
        );
        assert_eq!(some.to_string(), "2 passed, 1 failed, 0 skipped");
        assert_eq!(
            read_totals("crashed", false).to_string(),
            "0 passed, 1 failed, 0 skipped"
        );
        assert_eq!(
            read_totals("fine", true).to_string(),
            "1 passed, 0 failed, 0 skipped"
        );
    }
}
