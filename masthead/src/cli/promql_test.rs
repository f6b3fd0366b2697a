//! `masthead promql test FILE...`: runs Prometheus' test scripts against this engine.

use std::path::PathBuf;

use promql::script::{self, MemoryStore};

use crate::cli::out;

pub(super) fn run(files: &[PathBuf], quiet: bool) -> anyhow::Result<()> {
    let (mut passed, mut failed) = (0, 0);
    for file in files {
        let text =
            std::fs::read_to_string(file).map_err(|e| anyhow::anyhow!("reading {}: {e}", file.display()))?;
        let report = script::run(&text, &mut MemoryStore::default());
        for failure in report.failures.iter().filter(|_| !quiet) {
            out::line(&format!("{}:{failure}", file.display()))?;
        }
        out::line(&format!(
            "{}: {} of {} evals passed",
            file.display(),
            report.passed,
            report.evals
        ))?;
        passed += report.passed;
        failed += report.failures.len();
    }
    out::line(&format!("{passed} passed, {failed} failed"))?;
    anyhow::ensure!(failed == 0, "{failed} evals failed");
    Ok(())
}
