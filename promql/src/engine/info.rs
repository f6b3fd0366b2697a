//! `info(v, {data labels})`: the labels of info series (`target_info` and the like) on the series of `v`.
//!
//! An info series belongs to a series when both have the same identifying labels, `job` and `instance`. Of several
//! with one name and the same identity, that with the newest sample counts at a step. The second argument, a bare
//! selector, says which labels are wanted and, by `__name__`, from which metrics. Which info series meet a series may
//! change from step to step, so that one series may become several rows. A name that was to go at the end is there again
//! behind `info`, as upstream has it where names go at the end.

use hashbrown::HashMap;
use model::{Labels, LabelsBuilder, METRIC_NAME, MatchOp, Matcher};

use super::Grid;
use super::annotation::go_labels;
use super::column::{Row, is_histogram, present};
use super::evaluator::{Data, Evaluator, Fallible, Hint, fail, same_labelset};
use super::function::argument;
use crate::ast::{Call, ExprKind, Modifiers, Selector, Span};

/// What makes an info series belong to a series. Upstream knows these two as well.
const IDENTIFYING: [&str; 2] = ["instance", "job"];

/// Whose labels are added when the query does not say.
const TARGET_INFO: &str = "target_info";

/// The second argument, taken apart.
struct Wanted {
    /// On `__name__`: which info metrics; never none.
    names: Vec<Matcher>,
    /// On all other labels; without any, all labels are taken over.
    data: Vec<Matcher>,
}

impl Wanted {
    fn of(call: &Call) -> Self {
        let matchers: &[Matcher] = match call.args.get(1).map(|arg| &arg.without_parens().kind) {
            Some(ExprKind::Selector(selector)) => &selector.matchers,
            _ => &[],
        };
        let (mut names, data): (Vec<Matcher>, Vec<Matcher>) = matchers
            .iter()
            .cloned()
            .partition(|matcher| matcher.name() == METRIC_NAME);
        if names.is_empty() {
            names.push(Matcher::equal(METRIC_NAME, TARGET_INFO));
        } else if names
            .iter()
            .all(|m| matches!(m.op(), MatchOp::NotEqual | MatchOp::NotRegex))
        {
            // Only what it must not be was said: then any info metric, and nothing that is none.
            names.extend(Matcher::new(METRIC_NAME, MatchOp::Regex, ".+_info"));
        }
        Self { names, data }
    }

    /// Is a series of this name an info series itself, which is left as it is?
    fn is_info(&self, name: &str) -> bool {
        self.names.iter().all(|matcher| matcher.matches(name))
    }

    fn takes(&self, label: &str) -> bool {
        self.data.is_empty() || self.data.iter().any(|matcher| matcher.name() == label)
    }

    /// Does a series stay that meets no info series?
    fn keeps_lonely(&self) -> bool {
        self.data.iter().all(Matcher::matches_empty)
    }
}

/// An info series, with the number of its name and identity.
struct InfoSeries {
    row: Row,
    key: usize,
}

/// All info series that may be met.
#[derive(Default)]
struct Found {
    series: Vec<InfoSeries>,
    /// Identity (the identifying labels) to the keys with it, one for each name.
    keys: HashMap<Labels, Vec<usize>>,
    key_count: usize,
}

impl Found {
    fn new(rows: Vec<Row>) -> Self {
        let mut found = Self::default();
        let mut by_name: HashMap<Labels, usize> = HashMap::new();
        for row in rows {
            let [instance, job] = IDENTIFYING;
            let key = *by_name
                .entry(row.labels.only(&[METRIC_NAME, instance, job]))
                .or_insert_with(|| {
                    let identity = row.labels.only(&IDENTIFYING);
                    found.keys.entry(identity).or_default().push(found.key_count);
                    found.key_count += 1;
                    found.key_count - 1
                });
            found.series.push(InfoSeries { row, key });
        }
        found
    }

    /// At each key, the info series with the newest sample at a step. Their values are the times of their samples.
    fn newest(&self, step: usize, span: Span, out: &mut Vec<Option<usize>>) -> Fallible<()> {
        out.clear();
        out.resize(self.key_count, None);
        let time = |at: usize| self.series[at].row.values[step];
        for (at, info) in self.series.iter().enumerate() {
            if !present(time(at)) {
                continue;
            }
            match out[info.key] {
                Some(other) if time(other) > time(at) => {}
                Some(other) if time(other) == time(at) => {
                    let show = |at: usize| {
                        let ms = (time(at) * 1000.0).round();
                        format!("{} @ {ms}", go_labels(&self.series[at].row.labels))
                    };
                    return fail(
                        span,
                        format!(
                            "found duplicate series for info metric: existing {}, new {}",
                            show(other),
                            show(at)
                        ),
                    );
                }
                _ => out[info.key] = Some(at),
            }
        }
        Ok(())
    }
}

/// `info`
pub(crate) fn info(ev: &mut Evaluator<'_>, call: &Call, span: Span, grid: &Grid) -> Fallible<Data> {
    let wanted = Wanted::of(call);
    let mut rows = argument(ev, call, grid)?;
    for row in &mut rows {
        row.drop_name = false;
    }
    let (mut out, rows): (Vec<Row>, Vec<Row>) = rows
        .into_iter()
        .partition(|row| wanted.is_info(row.labels.metric_name()));
    let found = Found::new(fetch(ev, &rows, &wanted, span, grid)?);
    ev.check_load(found.key_count.saturating_mul(grid.steps()))?;
    let mut newest = Vec::with_capacity(grid.steps());
    for step in 0..grid.steps() {
        let mut here = Vec::new();
        found.newest(step, span, &mut here)?;
        newest.push(here);
    }
    let mut places: HashMap<Labels, usize> = HashMap::new();
    for (at, row) in out.iter().enumerate() {
        places.insert(row.labels.clone(), at);
    }
    for row in &rows {
        ev.stop_if_asked()?;
        let identity = row.labels.only(&IDENTIFYING);
        let keys = found.keys.get(&identity).map_or(&[][..], Vec::as_slice);
        // Steps that follow each other mostly meet the same info series.
        let mut last: Option<(Vec<usize>, Option<usize>)> = None;
        for (step, value) in row.values.iter().enumerate().filter(|(_, v)| present(**v)) {
            let met: Vec<usize> = keys.iter().filter_map(|key| newest[step][*key]).collect();
            let place = match &last {
                Some((before, place)) if *before == met => *place,
                _ => enriched(&row.labels, &met, &found, &wanted, span)?.map(|labels| {
                    let next = out.len();
                    let place = *places.entry(labels.clone()).or_insert(next);
                    if place == next {
                        out.push(Row::absent(labels, false, grid.steps()));
                    }
                    place
                }),
            };
            last = Some((met, place));
            let Some(place) = place else { continue };
            if present(out[place].values[step]) {
                return same_labelset(span);
            }
            out[place].values[step] = *value;
            if is_histogram(*value)
                && let Some(histogram) = row.histogram(step)
            {
                out[place].histograms.push((step, histogram.clone()));
            }
        }
    }
    for row in &mut out {
        row.histograms.sort_by_key(|(step, _)| *step);
    }
    Ok(Data::Vector(out))
}

/// The info series of all identities in `rows`; their values are the times of their samples.
fn fetch(
    ev: &mut Evaluator<'_>,
    rows: &[Row],
    wanted: &Wanted,
    span: Span,
    grid: &Grid,
) -> Fallible<Vec<Row>> {
    let mut matchers = wanted.names.clone();
    let names = matchers.len();
    for label in IDENTIFYING {
        let mut values: Vec<&str> = rows.iter().filter_map(|row| row.labels.get(label)).collect();
        values.sort_unstable();
        values.dedup();
        if values.is_empty() {
            continue;
        }
        let values: Vec<String> = values.into_iter().map(regex::escape).collect();
        match Matcher::new(label, MatchOp::Regex, values.join("|")) {
            Ok(matcher) => matchers.push(matcher),
            Err(error) => return fail(span, format!("cannot select info series: {error}")),
        }
    }
    if matchers.len() == names {
        return Ok(Vec::new());
    }
    matchers.extend(wanted.data.iter().cloned());
    let selector = Selector {
        name: None,
        matchers,
        modifiers: Modifiers::default(),
    };
    let hint = Hint {
        func: Some("info"),
        ..Hint::default()
    };
    let mut found = Vec::new();
    ev.each_selected(&selector, span, grid, &hint, true, &mut |row| {
        if row.any() {
            found.push(std::mem::take(row));
        }
        Ok(())
    })?;
    Ok(found)
}

/// A series' labels with those of the info series that it meets; `None` when it goes as it meets none.
fn enriched(
    base: &Labels,
    met: &[usize],
    found: &Found,
    wanted: &Wanted,
    span: Span,
) -> Fallible<Option<Labels>> {
    if met.is_empty() {
        return Ok(wanted.keeps_lonely().then(|| base.clone()));
    }
    let mut added: Vec<(&str, &str)> = Vec::new();
    for at in met {
        for (name, value) in found.series[*at].row.labels.iter() {
            if name == METRIC_NAME || !wanted.takes(name) {
                continue;
            }
            match added.iter().find(|(other, _)| *other == name) {
                Some((_, other)) if *other != value => {
                    return fail(span, format!("conflicting label: {name}"));
                }
                Some(_) => {}
                // What the series has already stays.
                None if base.get(name).is_some() => {}
                None => added.push((name, value)),
            }
        }
    }
    let mut builder = LabelsBuilder::from_labels(base);
    for (name, value) in added {
        builder.set(name, value);
    }
    Ok(Some(builder.build()))
}
