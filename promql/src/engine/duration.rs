//! Durations with the query's own step and range in them, to milliseconds.

use super::Grid;
use crate::ast::{BinaryOp, DurationExpr, DurationKind, UnaryOp};

/// The milliseconds of a range or a step: must be more than 0.
pub(crate) fn positive_ms(expr: &DurationExpr, query: &Grid) -> Result<i64, String> {
    let seconds = seconds(expr, query)?;
    if seconds <= 0.0 {
        return Err("duration must be greater than 0".to_owned());
    }
    to_ms(seconds)
}

/// The milliseconds of an offset: any sign.
pub(crate) fn any_ms(expr: &DurationExpr, query: &Grid) -> Result<i64, String> {
    to_ms(seconds(expr, query)?)
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "the value is checked to lie within 2^63 nanoseconds first"
)]
fn to_ms(seconds: f64) -> Result<i64, String> {
    // Upstream holds nanoseconds in an i64; NaN fails the comparison as well.
    if seconds.abs() <= 9_223_372_036.0 {
        // A literal such as 1.001 is a hair below its milliseconds in binary.
        let ms = seconds * 1000.0;
        let near = ms.round();
        return Ok(if (ms - near).abs() < 1e-6 {
            near as i64
        } else {
            ms as i64
        });
    }
    Err("duration is out of range".to_owned())
}

fn seconds(expr: &DurationExpr, query: &Grid) -> Result<f64, String> {
    Ok(match &expr.kind {
        DurationKind::Literal { seconds, .. } => *seconds,
        DurationKind::Step => {
            if query.start_ms == query.end_ms {
                0.0
            } else {
                ms_to_seconds(query.step_ms)
            }
        }
        DurationKind::Range => ms_to_seconds(query.end_ms.saturating_sub(query.start_ms)),
        DurationKind::Min(a, b) => seconds(a, query)?.min(seconds(b, query)?),
        DurationKind::Max(a, b) => seconds(a, query)?.max(seconds(b, query)?),
        DurationKind::Unary(UnaryOp::Plus, inner) | DurationKind::Paren(inner) => seconds(inner, query)?,
        DurationKind::Unary(UnaryOp::Minus, inner) => -seconds(inner, query)?,
        DurationKind::Binary(op, a, b) => {
            let (a, b) = (seconds(a, query)?, seconds(b, query)?);
            match op {
                BinaryOp::Add => a + b,
                BinaryOp::Sub => a - b,
                BinaryOp::Mul => a * b,
                BinaryOp::Div if b == 0.0 => return Err("division by zero".to_owned()),
                BinaryOp::Div => a / b,
                BinaryOp::Mod if b == 0.0 => return Err("modulo by zero".to_owned()),
                BinaryOp::Mod => a % b,
                BinaryOp::Pow => a.powf(b),
                other => {
                    return Err(format!(
                        "unexpected duration expression operator {:?}",
                        other.as_str()
                    ));
                }
            }
        }
    })
}

/// Milliseconds as seconds; exact for every time within 285,000 years of the epoch.
#[expect(
    clippy::cast_precision_loss,
    reason = "times and durations lie far below 2^53 milliseconds"
)]
pub(crate) fn ms_to_seconds(ms: i64) -> f64 {
    ms as f64 / 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ast::Span;

    fn d(kind: DurationKind) -> DurationExpr {
        DurationExpr {
            kind,
            span: Span::default(),
        }
    }

    fn lit(seconds: f64) -> Box<DurationExpr> {
        Box::new(d(DurationKind::Literal { seconds, units: true }))
    }

    #[test]
    fn expressions_and_their_faults() {
        let grid = Grid {
            start_ms: 0,
            end_ms: 60_000,
            step_ms: 15_000,
        };
        for (kind, want) in [
            (DurationKind::Step, Ok(15_000)),
            (DurationKind::Range, Ok(60_000)),
            (
                DurationKind::Binary(BinaryOp::Add, lit(60.0), lit(0.5)),
                Ok(60_500),
            ),
            (
                DurationKind::Binary(BinaryOp::Div, lit(60.0), lit(0.0)),
                Err("division by zero"),
            ),
            (
                DurationKind::Binary(BinaryOp::Mod, lit(60.0), lit(0.0)),
                Err("modulo by zero"),
            ),
            (
                DurationKind::Binary(BinaryOp::Pow, lit(60.0), lit(60.0)),
                Err("duration is out of range"),
            ),
            (
                DurationKind::Unary(UnaryOp::Minus, lit(1.0)),
                Err("duration must be greater than 0"),
            ),
            (DurationKind::Min(lit(1.0), lit(2.0)), Ok(1000)),
            (DurationKind::Max(lit(1.0), lit(2.001)), Ok(2001)),
        ] {
            assert_eq!(positive_ms(&d(kind), &grid), want.map_err(str::to_owned));
        }
    }
}
