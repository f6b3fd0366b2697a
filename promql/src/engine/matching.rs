//! Vectors with vectors: who meets whom is worked out once by labels, then columns are walked.
//!
//! Series fall into match groups by the labels of `on` or `ignoring`. Upstream decides step by step, so the errors
//! (two series on the one side, two results of one label set) arise only where both have a sample at the same step; here as well.

use hashbrown::HashMap;
use model::{Labels, LabelsBuilder, METRIC_NAME};

use super::Grid;
use super::annotation::go_labels;
use super::binary::{Operator, operator};
use super::column::{Row, is_float, merge_rows, present};
use super::evaluator::{Evaluator, Fallible, fail, same_labelset, unsupported};
use crate::ast::{Binary, BinaryOp, Cardinality, Matching, Span};

/// The series of both sides that share the matching labels.
#[derive(Debug, Default)]
struct MatchGroup {
    key: Labels,
    lhs: Vec<usize>,
    rhs: Vec<usize>,
}

/// What one operation needs at hand.
struct Operation<'o> {
    op: Operator,
    binary: &'o Binary,
    matching: &'o Matching,
    span: Span,
    steps: usize,
    /// Rows of the side that may have many partners' partners (`many`), and of the other (`one`).
    many: &'o [Row],
    one: &'o [Row],
    /// The one side is the left one (`group_right`).
    swapped: bool,
    out: Vec<Row>,
    found: HashMap<(Labels, bool), usize>,
}

impl Evaluator<'_> {
    /// An operator between two instant vectors.
    pub(crate) fn match_vectors(
        &mut self,
        binary: &Binary,
        span: Span,
        lhs: Vec<Row>,
        rhs: Vec<Row>,
        grid: &Grid,
    ) -> Fallible<Vec<Row>> {
        let plain = Matching {
            card: Cardinality::OneToOne,
            on: false,
            labels: Vec::new(),
            include: Vec::new(),
            fill_left: None,
            fill_right: None,
        };
        let matching = binary.matching.as_ref().unwrap_or(&plain);
        let groups = match_groups(&lhs, &rhs, matching);
        if binary.op.is_set() {
            return match merge_rows(set_operation(binary.op, lhs, rhs, &groups, grid.steps())) {
                Ok(rows) => Ok(rows),
                Err(_) => same_labelset(span),
            };
        }
        let Some(op) = operator(binary.op) else {
            return unsupported(span, format!("operator {}", binary.op.as_str()));
        };
        if lhs.iter().chain(&rhs).any(|row| !row.histograms.is_empty()) {
            return unsupported(span, "native histograms in binary operations");
        }
        let swapped = matching.card == Cardinality::OneToMany;
        let (many, one) = if swapped { (&rhs, &lhs) } else { (&lhs, &rhs) };
        let mut operation = Operation {
            op,
            binary,
            matching,
            span,
            steps: grid.steps(),
            many,
            one,
            swapped,
            out: Vec::new(),
            found: HashMap::new(),
        };
        for group in &groups {
            self.stop_if_asked()?;
            operation.run(group)?;
        }
        let mut out = operation.out;
        out.retain(Row::any);
        Ok(out)
    }
}

fn signature(labels: &Labels, names: &[&str], on: bool) -> Labels {
    if on {
        labels.only(names)
    } else {
        labels.without(names)
    }
}

fn match_groups(lhs: &[Row], rhs: &[Row], matching: &Matching) -> Vec<MatchGroup> {
    let mut names: Vec<&str> = matching.labels.iter().map(String::as_str).collect();
    if !matching.on {
        names.push(METRIC_NAME);
    }
    let mut found: HashMap<Labels, usize> = HashMap::with_capacity(lhs.len());
    let mut groups: Vec<MatchGroup> = Vec::new();
    for (side, rows) in [lhs, rhs].into_iter().enumerate() {
        for (at, row) in rows.iter().enumerate() {
            let key = signature(&row.labels, &names, matching.on);
            let group = *found.entry(key.clone()).or_insert_with(|| {
                groups.push(MatchGroup {
                    key,
                    ..MatchGroup::default()
                });
                groups.len() - 1
            });
            if side == 0 {
                groups[group].lhs.push(at);
            } else {
                groups[group].rhs.push(at);
            }
        }
    }
    groups
}

fn set_operation(
    op: BinaryOp,
    mut lhs: Vec<Row>,
    mut rhs: Vec<Row>,
    groups: &[MatchGroup],
    steps: usize,
) -> Vec<Row> {
    let here = |rows: &[Row], members: &[usize]| -> Vec<bool> {
        let mut here = vec![false; steps];
        for at in members {
            for (mark, value) in here.iter_mut().zip(&rows[*at].values) {
                *mark |= present(*value);
            }
        }
        here
    };
    for group in groups {
        if op == BinaryOp::Or {
            let left = here(&lhs, &group.lhs);
            for at in &group.rhs {
                rhs[*at].retain_steps(|step| !left[step]);
            }
        } else {
            let right = here(&rhs, &group.rhs);
            let wanted = op == BinaryOp::And;
            for at in &group.lhs {
                lhs[*at].retain_steps(|step| right[step] == wanted);
            }
        }
    }
    if op == BinaryOp::Or {
        lhs.append(&mut rhs);
    }
    lhs.retain(Row::any);
    lhs
}

impl Operation<'_> {
    fn run(&mut self, group: &MatchGroup) -> Fallible<()> {
        let (many, one) = if self.swapped {
            (&group.rhs, &group.lhs)
        } else {
            (&group.lhs, &group.rhs)
        };
        let partner = self.partners(group, one)?;
        let single = self.matching.card == Cardinality::OneToOne;
        // One to one, and several series on the many side: then no two may have a result at the same step.
        let mut taken = vec![false; if single && many.len() > 1 { self.steps } else { 0 }];
        for at in many {
            self.pair(group, *at, &partner, &mut taken)?;
        }
        let (fill_many, _) = self.fills();
        if let Some(fill) = fill_many {
            self.fill_missing_many(group, many, &partner, fill);
        }
        Ok(())
    }

    /// The fill values for a missing sample of the many side and of the one side.
    fn fills(&self) -> (Option<f64>, Option<f64>) {
        let (left, right) = (self.matching.fill_left, self.matching.fill_right);
        if self.swapped {
            (right, left)
        } else {
            (left, right)
        }
    }

    /// At each step, the row of the one side that has a sample.
    fn partners(&self, group: &MatchGroup, one: &[usize]) -> Fallible<Vec<Option<usize>>> {
        let mut partner: Vec<Option<usize>> = vec![None; self.steps];
        for at in one {
            for (step, value) in self.one[*at].values.iter().enumerate() {
                if !present(*value) {
                    continue;
                }
                match partner[step] {
                    None => partner[step] = Some(*at),
                    Some(other) if self.many.iter().any(|row| present(row.values[step])) => {
                        let side = if self.swapped { "left" } else { "right" };
                        return fail(
                            self.span,
                            format!(
                                "found duplicate series for the match group {} on the {side} hand-side of the operation: \
                                 [{}, {}];many-to-many matching not allowed: matching labels must be unique on one side",
                                go_labels(&group.key),
                                go_labels(&self.one[*at].labels),
                                go_labels(&self.one[other].labels),
                            ),
                        );
                    }
                    Some(_) => {}
                }
            }
        }
        Ok(partner)
    }

    /// One row of the many side with its partners.
    fn pair(
        &mut self,
        group: &MatchGroup,
        at: usize,
        partner: &[Option<usize>],
        taken: &mut [bool],
    ) -> Fallible<()> {
        let (_, fill_one) = self.fills();
        let (many, one) = (self.many, self.one);
        let mut target: Option<(Option<usize>, usize)> = None;
        for (step, mine) in many[at].values.iter().enumerate() {
            if !is_float(*mine) {
                continue;
            }
            let theirs = match (partner[step], fill_one) {
                (Some(row), _) => one[row].values[step],
                (None, Some(fill)) => fill,
                (None, None) => continue,
            };
            let value = self.result(*mine, theirs);
            if !present(value) {
                continue;
            }
            let row = match target {
                Some((row, out)) if row == partner[step] => out,
                _ => {
                    let other = partner[step].map_or(&group.key, |row| &one[row].labels);
                    let labels = self.labels(&many[at].labels, other);
                    let drop_name = self.binary.return_bool || many[at].drop_name;
                    let out = self.out_row(labels, drop_name);
                    target = Some((partner[step], out));
                    out
                }
            };
            if let Some(mark) = taken.get_mut(step)
                && std::mem::replace(mark, true)
            {
                return fail(
                    self.span,
                    "multiple matches for labels: many-to-one matching must be explicit (group_left/group_right)",
                );
            }
            let slot = &mut self.out[row].values[step];
            if present(*slot) {
                // Different match groups cannot meet here one to one: their labels differ.
                return fail(
                    self.span,
                    "multiple matches for labels: grouping labels must ensure unique matches",
                );
            }
            *slot = value;
        }
        Ok(())
    }

    /// Samples of the one side without any on the many side.
    fn fill_missing_many(
        &mut self,
        group: &MatchGroup,
        many: &[usize],
        partner: &[Option<usize>],
        fill: f64,
    ) {
        for (step, row) in partner.iter().enumerate() {
            let Some(row) = *row else { continue };
            if many.iter().any(|at| present(self.many[*at].values[step])) {
                continue;
            }
            let theirs = self.one[row].values[step];
            let value = self.result(fill, theirs);
            if present(value) {
                let labels = self.labels(&group.key, &self.one[row].labels);
                let out = self.out_row(labels, self.binary.return_bool);
                self.out[out].values[step] = value;
            }
        }
    }

    fn result(&self, many: f64, one: f64) -> f64 {
        let (lhs, rhs) = if self.swapped { (one, many) } else { (many, one) };
        // A filter keeps the left value, whichever side that is.
        self.op.apply(lhs, rhs, lhs, self.binary.return_bool)
    }

    fn out_row(&mut self, labels: Labels, drop_name: bool) -> usize {
        let next = self.out.len();
        let at = *self.found.entry((labels.clone(), drop_name)).or_insert(next);
        if at == next {
            self.out.push(Row::absent(labels, drop_name, self.steps));
        }
        at
    }

    /// The labels of a result: the many side's, cut down one to one, with those that `group_*` takes over.
    fn labels(&self, many: &Labels, one: &Labels) -> Labels {
        let mut labels = many.clone();
        if matches!(self.op, Operator::Arithmetic(_)) {
            labels = labels.without(&[METRIC_NAME]);
        }
        if self.matching.card == Cardinality::OneToOne {
            let names: Vec<&str> = self.matching.labels.iter().map(String::as_str).collect();
            labels = signature(&labels, &names, self.matching.on);
        }
        if self.matching.include.is_empty() {
            return labels;
        }
        let mut builder = LabelsBuilder::from_labels(&labels);
        for name in &self.matching.include {
            builder.set(name, one.get(name).unwrap_or(""));
        }
        builder.build()
    }
}
