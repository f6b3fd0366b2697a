//! Binary operators: scalars with scalars, vectors with scalars. Vectors with vectors are in `matching.rs`.

use super::Grid;
use super::column::{ABSENT, Row, is_float, present};
use super::evaluator::{Data, Evaluator, Fallible, fail, unsupported};
use crate::ast::{Binary, BinaryOp, Span};

/// What an operator makes of two floats.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Operator {
    /// A number.
    Arithmetic(fn(f64, f64) -> f64),
    /// True or false: a filter, or 1 and 0 with `bool`.
    Comparison(fn(&f64, &f64) -> bool),
}

/// The operator for floats; `None` for set operators and for those of histograms.
pub(crate) fn operator(op: BinaryOp) -> Option<Operator> {
    Some(match op {
        BinaryOp::Add => Operator::Arithmetic(|a, b| a + b),
        BinaryOp::Sub => Operator::Arithmetic(|a, b| a - b),
        BinaryOp::Mul => Operator::Arithmetic(|a, b| a * b),
        BinaryOp::Div => Operator::Arithmetic(|a, b| a / b),
        BinaryOp::Mod => Operator::Arithmetic(|a, b| a % b),
        BinaryOp::Pow => Operator::Arithmetic(f64::powf),
        BinaryOp::Atan2 => Operator::Arithmetic(f64::atan2),
        BinaryOp::Equal => Operator::Comparison(f64::eq),
        BinaryOp::NotEqual => Operator::Comparison(f64::ne),
        BinaryOp::Less => Operator::Comparison(f64::lt),
        BinaryOp::LessEqual => Operator::Comparison(f64::le),
        BinaryOp::Greater => Operator::Comparison(f64::gt),
        BinaryOp::GreaterEqual => Operator::Comparison(f64::ge),
        BinaryOp::And | BinaryOp::Or | BinaryOp::Unless | BinaryOp::TrimUpper | BinaryOp::TrimLower => {
            return None;
        }
    })
}

impl Operator {
    /// The result for two floats: `kept` is what a passed filter gives.
    #[inline]
    pub(crate) fn apply(self, a: f64, b: f64, kept: f64, as_bool: bool) -> f64 {
        match self {
            Self::Arithmetic(f) => f(a, b),
            Self::Comparison(f) if as_bool => f64::from(u8::from(f(&a, &b))),
            Self::Comparison(f) if f(&a, &b) => kept,
            Self::Comparison(_) => ABSENT,
        }
    }

    /// Does the result lose the metric's name?
    pub(crate) fn drops_name(self, as_bool: bool) -> bool {
        as_bool || matches!(self, Self::Arithmetic(_))
    }
}

impl Evaluator<'_> {
    /// Any binary operation.
    pub(crate) fn binary(&mut self, binary: &Binary, span: Span, grid: &Grid) -> Fallible<Data> {
        let before = self.held_points();
        let lhs = self.eval(&binary.lhs, grid)?;
        let rhs = self.eval(&binary.rhs, grid)?;
        let result = match (lhs, rhs) {
            (Data::Scalar(a), Data::Scalar(b)) => {
                let Some(op) = operator(binary.op) else {
                    return fail(
                        span,
                        format!(
                            "set operator {:?} not allowed in binary scalar expression",
                            binary.op.as_str()
                        ),
                    );
                };
                // Between scalars only `bool` comparisons pass the parser.
                let pairs = a.iter().zip(&b);
                Data::Scalar(pairs.map(|(a, b)| op.apply(*a, *b, *a, true)).collect())
            }
            (Data::Vector(rows), Data::Scalar(scalar)) => {
                Data::Vector(with_scalar(rows, &scalar, binary, span, false)?)
            }
            (Data::Scalar(scalar), Data::Vector(rows)) => {
                Data::Vector(with_scalar(rows, &scalar, binary, span, true)?)
            }
            (Data::Vector(lhs), Data::Vector(rhs)) => {
                Data::Vector(self.match_vectors(binary, span, lhs, rhs, grid)?)
            }
            _ => {
                return fail(
                    span,
                    "binary expression must contain only scalar and instant vector types",
                );
            }
        };
        self.release_to(before);
        Ok(result)
    }
}

/// A vector with a scalar; `swapped` when the scalar stands on the left.
fn with_scalar(
    mut rows: Vec<Row>,
    scalar: &[f64],
    binary: &Binary,
    span: Span,
    swapped: bool,
) -> Fallible<Vec<Row>> {
    let Some(op) = operator(binary.op) else {
        return unsupported(
            span,
            format!("operator {} between a vector and a scalar", binary.op.as_str()),
        );
    };
    for row in &mut rows {
        if !row.histograms.is_empty() {
            return unsupported(span, "native histograms in binary operations");
        }
        for (value, scalar) in row.values.iter_mut().zip(scalar) {
            if is_float(*value) {
                let (a, b) = if swapped {
                    (*scalar, *value)
                } else {
                    (*value, *scalar)
                };
                *value = op.apply(a, b, *value, binary.return_bool);
            }
        }
        row.drop_name |= op.drops_name(binary.return_bool);
    }
    rows.retain(|row| row.values.iter().any(|v| present(*v)));
    Ok(rows)
}
