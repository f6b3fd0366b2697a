//! Prometheus' PromQL test scripts: `load` series, `eval` expressions, `expect` results.
//!
//! ```text
//!   text --syntax--> commands --run--> store (load, clear) and engine (eval) --compare--> ScriptReport
//! ```
//!
//! A fault in one command is a failure of that command; the rest of the script still runs. As upstream, an
//! instant evaluation is also done as a range query around its time, and with `@` set on all its selectors at
//! other times, which must give the same.

mod at;
mod compare;
mod histogram;
mod nhcb;
mod run;
mod series;
mod store;
mod syntax;

#[cfg(test)]
mod tests;

use std::fmt;

use crate::engine::Value;
use model::{Labels, Querier, QueryError};

pub use run::run;
pub use store::MemoryStore;

/// Where a script keeps its series.
pub trait ScriptStore {
    /// Forgets everything.
    fn clear(&mut self);

    /// Adds samples, times rising, to a series; it may have some already.
    ///
    /// # Errors
    /// Whatever the store says when it cannot.
    fn load(&mut self, labels: &Labels, samples: &[(i64, Value)]) -> Result<(), QueryError>;

    /// The way to read what was loaded.
    fn querier(&self) -> &dyn Querier;
}

/// How a script went.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ScriptReport {
    /// Number of `eval` commands.
    pub evals: usize,
    /// Number of those that gave what was expected in every way they were evaluated.
    pub passed: usize,
    /// The others, and faults of other commands, in the order of the script.
    pub failures: Vec<Failure>,
}

impl ScriptReport {
    /// Nothing failed.
    #[must_use]
    pub fn is_success(&self) -> bool {
        self.failures.is_empty()
    }
}

/// A command that failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// Its line in the script, from 1.
    pub line: usize,
    /// The expression evaluated; the command itself when it is no evaluation.
    pub expression: String,
    /// What was to come out.
    pub expected: String,
    /// What came out.
    pub got: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "line {}: {}", self.line, self.expression)?;
        writeln!(f, "  expected: {}", self.expected)?;
        write!(f, "       got: {}", self.got)
    }
}

/// The expressions of a script's `eval` commands, each with its line and whether it is expected to fail.
#[must_use]
pub fn expressions(text: &str) -> Vec<(usize, String, bool)> {
    let evals = syntax::parse(text)
        .into_iter()
        .filter_map(|(line, command)| match command {
            Ok(syntax::Command::Eval(eval)) => Some((line, eval.expr, eval.fail.is_some())),
            _ => None,
        });
    evals.collect()
}
