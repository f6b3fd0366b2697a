//! Subqueries: the inner expression over a grid of its own, whose steps are multiples of the step since the epoch.

use super::Grid;
use super::evaluator::{Evaluator, Fallible};
use super::window::RangeSpec;
use crate::ast::Subquery;

impl Evaluator<'_> {
    /// The inner grid that serves all windows of an outer grid; the windows are open to the left.
    pub(crate) fn subquery_grid(&self, subquery: &Subquery, spec: RangeSpec, grid: &Grid) -> Fallible<Grid> {
        let step_ms = match &subquery.step {
            Some(step) => self.length(step)?,
            None => self.options.default_subquery_step_ms,
        }
        .max(1);
        let (first, last) = spec.shift.bounds(grid);
        let open = first.saturating_sub(spec.range_ms);
        // Division towards zero, as upstream divides; the correction makes both signs right.
        let mut start_ms = step_ms.saturating_mul(open / step_ms);
        if start_ms <= open {
            start_ms = start_ms.saturating_add(step_ms);
        }
        Ok(Grid {
            start_ms,
            end_ms: last,
            step_ms,
        })
    }
}
