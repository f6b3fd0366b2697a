//! Runs a script's commands one after the other and keeps account.

use model::Cancel;

use super::compare::{self, Mismatch, Outcome, mismatch};
use super::syntax::{Command, Eval, Load, Pattern, Time};
use super::{Failure, ScriptReport, ScriptStore, at, nhcb, syntax};
use crate::ast::Expr;
use crate::engine::{self, Answer, EvalError, Grid, Options, QueryValue, Series};
use crate::parser::{ParseError, parse};
use crate::printer::format as print;

/// Around an instant evaluation a range of three steps is evaluated, this far apart.
const RANGE_STEP_MS: i64 = 60_000;

/// Runs a script against a store, which is cleared first. Never stops at a failure.
pub fn run(text: &str, store: &mut dyn ScriptStore) -> ScriptReport {
    let mut report = ScriptReport::default();
    store.clear();
    for (line, command) in syntax::parse(text) {
        let command_text = || text.lines().nth(line - 1).unwrap_or("").trim().to_owned();
        let (expression, outcome) = match command {
            Err(message) => {
                if command_text().to_ascii_lowercase().starts_with("eval") {
                    report.evals += 1;
                }
                (
                    command_text(),
                    mismatch("a command of the script language", message),
                )
            }
            Ok(Command::Clear) => {
                store.clear();
                continue;
            }
            Ok(Command::Load(load)) => {
                let done = load_into(&load, store);
                (
                    command_text(),
                    done.or_else(|message| mismatch("the series to be stored", message)),
                )
            }
            Ok(Command::Eval(eval)) => {
                report.evals += 1;
                let outcome = run_eval(&eval, store);
                report.passed += usize::from(outcome.is_ok());
                (eval.expr, outcome)
            }
        };
        if let Err(Mismatch { expected, got }) = outcome {
            report.failures.push(Failure {
                line,
                expression,
                expected,
                got,
            });
        }
    }
    report
}

fn load_into(load: &Load, store: &mut dyn ScriptStore) -> Result<(), String> {
    for line in &load.series {
        store
            .load(&line.labels, &load.samples(&line.items))
            .map_err(|e| e.to_string())?;
    }
    if load.with_nhcb {
        for (labels, samples) in nhcb::convert(load)? {
            store.load(&labels, &samples).map_err(|e| e.to_string())?;
        }
    }
    Ok(())
}

/// Why there is no answer, with the texts that a script may name.
enum Fault {
    Parse(ParseError),
    Eval(EvalError),
}

impl Fault {
    fn matches(&self, pattern: &Pattern) -> bool {
        match self {
            // Upstream's evaluator refuses some things that are refused by the parser here, without a place.
            Self::Parse(e) => pattern.matches(&e.to_string()) || pattern.matches(&e.message),
            Self::Eval(EvalError::Unsupported { .. }) => false,
            Self::Eval(e) => pattern.matches(&e.to_string()),
        }
    }

    fn show(&self) -> String {
        match self {
            Self::Parse(e) => format!("error: {e}"),
            Self::Eval(e) => format!("error: {e}"),
        }
    }
}

fn run_eval(eval: &Eval, store: &dyn ScriptStore) -> Outcome {
    let expr = match parse(&eval.expr) {
        Ok(expr) => expr,
        Err(e) => return failed(eval, &Fault::Parse(e)),
    };
    match (eval.time, eval.range_vector) {
        (Time::Range { start, end, step }, _) => {
            let grid = Grid {
                start_ms: start,
                end_ms: end,
                step_ms: step,
            };
            match evaluate(&expr, grid, false, store) {
                Err(fault) => failed(eval, &fault),
                Ok(answer) => check(eval, &answer),
            }
        }
        // A range vector is what a selector has within its range at the end of the expected times.
        (Time::Instant(_), Some((_, end, _))) => run_instant_everywhere(eval, &expr, end, store),
        (Time::Instant(t), None) => run_instant_everywhere(eval, &expr, t, store),
    }
}

/// An instant evaluation, and the same pinned to its time at other times.
fn run_instant_everywhere(eval: &Eval, expr: &Expr, t: i64, store: &dyn ScriptStore) -> Outcome {
    run_instant(eval, expr, t, store)?;
    let Some(pinned) = at::pinned(expr, t) else {
        return Ok(());
    };
    for other in at::other_times(t) {
        run_instant(eval, &pinned, other, store).map_err(|mismatch| Mismatch {
            expected: mismatch.expected,
            got: format!("{} (evaluated at {other} ms as {})", mismatch.got, print(&pinned)),
        })?;
    }
    Ok(())
}

fn run_instant(eval: &Eval, expr: &Expr, t: i64, store: &dyn ScriptStore) -> Outcome {
    let answer = match evaluate(expr, Grid::instant(t), true, store) {
        Err(fault) => return failed(eval, &fault),
        Ok(answer) => answer,
    };
    check(eval, &answer)?;
    // Range queries know no strings and no range vectors, and these functions give other numbers in them.
    let text = print(expr);
    let differs = ["start()", "end()", "step()", "range()"]
        .iter()
        .any(|call| text.contains(call));
    if eval.string.is_some() || eval.range_vector.is_some() || differs {
        return Ok(());
    }
    run_around(
        eval,
        expr,
        t,
        matches!(answer.value, QueryValue::Scalar(..)),
        store,
    )
    .map_err(|mismatch| Mismatch {
        expected: mismatch.expected,
        got: format!("{} (in range mode around {t} ms)", mismatch.got),
    })
}

/// The same as the middle step of a range query.
fn run_around(eval: &Eval, expr: &Expr, t: i64, scalar: bool, store: &dyn ScriptStore) -> Outcome {
    let grid = Grid {
        start_ms: t.saturating_sub(RANGE_STEP_MS),
        end_ms: t.saturating_add(RANGE_STEP_MS),
        step_ms: RANGE_STEP_MS,
    };
    let series = match evaluate(expr, grid, false, store) {
        Err(fault) => return mismatch("the same as for an instant query", fault.show()),
        Ok(Answer {
            value: QueryValue::Matrix(series),
            ..
        }) => series,
        Ok(answer) => return mismatch("a matrix", format!("{:?}", answer.value)),
    };
    if eval.ordered {
        // Range queries are sorted by labels.
        return Ok(());
    }
    if !series.is_sorted_by(|a, b| a.labels <= b.labels) {
        return mismatch("series sorted by labels", format!("{series:?}"));
    }
    let here: Vec<Series> = series
        .into_iter()
        .filter_map(|series| only_at(series, t))
        .collect();
    match here.as_slice() {
        [Series { points, .. }] if scalar => match points.as_slice() {
            [(t, engine::Value::Float(value))] => compare::value(eval, &QueryValue::Scalar(*t, *value)),
            _ => mismatch("a scalar", format!("{points:?}")),
        },
        _ if scalar => mismatch("a scalar", format!("{here:?}")),
        _ => compare::vector(eval, &here, false),
    }
}

/// The series with its point at one time, if it has one there.
fn only_at(mut series: Series, t: i64) -> Option<Series> {
    series.points.retain(|(at, _)| *at == t);
    (!series.points.is_empty()).then_some(series)
}

fn evaluate(expr: &Expr, grid: Grid, instant: bool, store: &dyn ScriptStore) -> Result<Answer, Fault> {
    let options = Options::default();
    engine::eval(expr, grid, instant, store.querier(), &options, &Cancel::new()).map_err(Fault::Eval)
}

fn failed(eval: &Eval, fault: &Fault) -> Outcome {
    match &eval.fail {
        Some(pattern) if fault.matches(pattern) => Ok(()),
        Some(pattern) => mismatch(format!("to fail with {}", pattern.describe()), fault.show()),
        None => mismatch("a result", fault.show()),
    }
}

fn check(eval: &Eval, answer: &Answer) -> Outcome {
    if let Some(pattern) = &eval.fail {
        return mismatch(
            format!("to fail with {}", pattern.describe()),
            format!("{:?}", answer.value),
        );
    }
    compare::annotations(eval, &answer.annotations)?;
    compare::value(eval, &answer.value)
}
