//! The `ui` step: lint, tests, build and size of the web interface, each by the script of `ui/package.json`.

use std::process::Command;

use anyhow::Result;

use super::{Selection, Tally, missing, tally};
use crate::{shell, ui};

pub(super) fn run(_: &Selection) -> Result<Tally> {
    if let Err(why) = ui::require_node() {
        return Ok(missing("ui", &why));
    }
    let dir = ui::dir();
    ui::install(&dir)?;
    let npm = |script: &str| {
        let mut command = Command::new("npm");
        command.args(["run", "--silent", script]).current_dir(&dir);
        command
    };
    let mut total = Tally::of("ui lint", shell::run(&mut npm("lint")));
    let run = shell::stream(&mut npm("test"), |_| true)?;
    total.add(tally::of_vitest("ui", &run.text, run.success));
    total.add(Tally::of("ui build", shell::run(&mut npm("build"))));
    total.add(Tally::of("ui size", shell::run(&mut npm("size"))));
    Ok(total)
}
