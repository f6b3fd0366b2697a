//! Remarks on a query in Prometheus' wording, each once, with the place in the text.

use model::Labels;

use super::Annotations;
use crate::ast::Span;

/// Collects remarks; knows the query's text to say `line:column`.
#[derive(Debug)]
pub(crate) struct Notes<'a> {
    text: &'a str,
    found: Annotations,
}

impl<'a> Notes<'a> {
    /// `text` may be empty: then all is taken to stand in one line.
    pub(crate) fn new(text: &'a str) -> Self {
        Self {
            text,
            found: Annotations::default(),
        }
    }

    /// `PromQL warning: message (line:column)`.
    pub(crate) fn warn(&mut self, span: Span, message: &str) {
        let line = format!("PromQL warning: {message} ({})", self.place(span));
        if !self.found.warnings.contains(&line) {
            self.found.warnings.push(line);
        }
    }

    /// `PromQL info: message (line:column)`.
    pub(crate) fn info(&mut self, span: Span, message: &str) {
        let line = format!("PromQL info: {message} ({})", self.place(span));
        if !self.found.infos.contains(&line) {
            self.found.infos.push(line);
        }
    }

    /// Everything that was remarked.
    pub(crate) fn finish(self) -> Annotations {
        self.found
    }

    /// Upstream counts lines and, within a line, bytes from 1.
    fn place(&self, span: Span) -> String {
        let before = self.text.get(..span.start).unwrap_or("");
        match before.rfind('\n') {
            Some(newline) => {
                format!("{}:{}", before.matches('\n').count() + 1, span.start - newline)
            }
            None => format!("1:{}", span.start + 1),
        }
    }

    /// A quantile outside of 0 to 1.
    pub(crate) fn check_quantile(&mut self, q: f64, span: Span) {
        if !(0.0..=1.0).contains(&q) {
            self.warn(
                span,
                &format!("quantile value should be between 0 and 1, got {}", go_g(q)),
            );
        }
    }

    /// Floats and histograms in one range, where the function takes either alone.
    pub(crate) fn mixed(&mut self, name: &str, span: Span) {
        self.warn(
            span,
            &format!("encountered a mix of histograms and floats for metric name {name:?}"),
        );
    }

    /// Histograms in a range of which only the floats count.
    pub(crate) fn ignored_in_range(&mut self, name: &str, span: Span) {
        self.info(
            span,
            &format!(
                "ignored histograms in a range containing both floats and histograms for metric name {name:?}"
            ),
        );
    }

    /// Histograms under an aggregation that looks at floats only.
    pub(crate) fn ignored_in_aggregation(&mut self, op: &str, span: Span) {
        self.info(span, &format!("ignored histogram in {op} aggregation"));
    }
}

/// ` for metric name "x"`, or nothing for a series without a name.
pub(crate) fn for_metric(name: &str) -> String {
    if name.is_empty() {
        String::new()
    } else {
        format!(" for metric name {name:?}")
    }
}

/// A float as Go's `%g` prints it: exponents below -4 and from 6 digits up where the mantissa is short.
pub(crate) fn go_g(value: f64) -> String {
    go_float(value, 6)
}

/// A float in Go's shortest form with an exponent from `10^threshold` up.
pub(crate) fn go_float(value: f64, threshold: i32) -> String {
    if value.is_nan() {
        return "NaN".to_owned();
    }
    if value.is_infinite() {
        return if value > 0.0 { "+Inf" } else { "-Inf" }.to_owned();
    }
    let scientific = format!("{value:e}");
    let Some((mantissa, exponent)) = scientific.split_once('e') else {
        return scientific;
    };
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if value != 0.0 && (exponent < -4 || exponent >= threshold) {
        let sign = if exponent < 0 { '-' } else { '+' };
        return format!("{mantissa}e{sign}{:02}", exponent.abs());
    }
    format!("{value}")
}

/// A float in Go's shortest form without any exponent.
pub(crate) fn go_f(value: f64) -> String {
    if value.is_finite() {
        format!("{value}")
    } else {
        go_g(value)
    }
}

/// Labels as Go's `Labels.String` prints them, the name as a label like any other.
pub(crate) fn go_labels(labels: &Labels) -> String {
    let pairs: Vec<String> = labels
        .iter()
        .map(|(name, value)| format!("{name}={value:?}"))
        .collect();
    format!("{{{}}}", pairs.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floats_look_like_go() {
        for (value, want) in [
            (1.1, "1.1"),
            (-50.0, "-50"),
            (0.0, "0"),
            (1e6, "1e+06"),
            (1.5e-7, "1.5e-07"),
            (f64::NAN, "NaN"),
            (f64::INFINITY, "+Inf"),
            (f64::NEG_INFINITY, "-Inf"),
            (999_999.0, "999999"),
        ] {
            assert_eq!(go_g(value), want);
        }
        for (value, want) in [
            (0.000_01, "0.00001"),
            (1e21, "1000000000000000000000"),
            (f64::INFINITY, "+Inf"),
        ] {
            assert_eq!(go_f(value), want);
        }
    }

    #[test]
    fn places_count_lines_and_bytes() {
        let mut notes = Notes::new("sum(\n  rate(x[5m]))");
        notes.info(Span { start: 12, end: 13 }, "m");
        notes.info(Span { start: 12, end: 13 }, "m");
        notes.warn(Span { start: 0, end: 3 }, "w");
        let found = notes.finish();
        assert_eq!(found.infos, ["PromQL info: m (2:8)"]);
        assert_eq!(found.warnings, ["PromQL warning: w (1:1)"]);
    }
}
