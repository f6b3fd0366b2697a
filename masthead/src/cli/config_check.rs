//! `masthead config check`: reads the file as `up` would.

use std::path::Path;

use crate::cli::out;
use crate::config::Config;

pub(super) fn run(file: &Path) -> anyhow::Result<()> {
    let config = Config::load(file)?;
    let targets: usize = config
        .scrape_configs
        .iter()
        .flat_map(|job| &job.static_configs)
        .map(|group| group.targets.len())
        .sum();
    let jobs = config.scrape_configs.len();
    out::line(&format!(
        "{} is fine: {jobs} scrape jobs with {targets} targets",
        file.display()
    ))
}
