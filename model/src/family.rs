//! What an exporter exposes: a metric family with its type, help and values.
//!
//! In-process collectors never pass through text: the same families become a `Batch` for the store and,
//! through [`encode_families`], the text on `/metrics`.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::num::NonZeroU64;

use crate::escape_label_value;

/// The type of a family, as the text formats name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum MetricType {
    /// Only rises, but for resets.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Classic buckets with sum and count.
    Histogram,
    /// Quantiles with sum and count.
    Summary,
    /// A constant 1 with labels (OpenMetrics).
    Info,
    /// One of a set of states (OpenMetrics).
    StateSet,
    /// Buckets that go up and down (OpenMetrics).
    GaugeHistogram,
    /// Nobody said.
    #[default]
    Unknown,
}

impl MetricType {
    /// The word of `/api/v1/metadata`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
            Self::Summary => "summary",
            Self::Info => "info",
            Self::StateSet => "stateset",
            Self::GaugeHistogram => "gaugehistogram",
            Self::Unknown => "unknown",
        }
    }

    /// The word after `# TYPE` in the text format 0.0.4, which knows fewer types.
    #[must_use]
    pub fn as_text_format(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge | Self::Info | Self::StateSet => "gauge",
            Self::Histogram | Self::GaugeHistogram => "histogram",
            Self::Summary => "summary",
            Self::Unknown => "untyped",
        }
    }

    /// From the word of either format; a word nobody knows is [`MetricType::Unknown`].
    #[must_use]
    pub fn from_word(word: &str) -> Self {
        match word {
            "counter" => Self::Counter,
            "gauge" => Self::Gauge,
            "histogram" => Self::Histogram,
            "summary" => Self::Summary,
            "info" => Self::Info,
            "stateset" => Self::StateSet,
            "gaugehistogram" => Self::GaugeHistogram,
            _ => Self::Unknown,
        }
    }
}

/// The value of one metric of a family.
#[derive(Debug, Clone, PartialEq)]
pub enum MetricValue {
    /// Counter, gauge, untyped.
    Float(f64),
    /// Classic histogram: cumulative counts by upper bound (the last one is the `+Inf` bound), sum.
    Histogram {
        /// `(upper bound, cumulative count)`, bounds rising, the last `+Inf`.
        buckets: Vec<(f64, f64)>,
        /// Sum of all observations.
        sum: f64,
    },
    /// Summary: `(quantile, value)`, sum, count.
    Summary {
        /// `(quantile, value)`.
        quantiles: Vec<(f64, f64)>,
        /// Sum of all observations.
        sum: f64,
        /// Number of observations.
        count: f64,
    },
}

/// One metric: labels and value.
#[derive(Debug, Clone, PartialEq)]
pub struct Metric {
    /// Pairs in the order in which the exporter writes them.
    pub labels: Vec<(Cow<'static, str>, Cow<'static, str>)>,
    /// The reading.
    pub value: MetricValue,
    /// Stands for the family's name and the labels, for a source that keeps them from round to round: the same number in the next
    /// round is the same series, and a number is never used for another one. Who stores the round then needs to look at no label of a float
    /// that it knows. `None` says nothing.
    pub number: Option<NonZeroU64>,
}

/// Label pairs of a metric.
type MetricLabels = [(Cow<'static, str>, Cow<'static, str>)];

impl Metric {
    /// A float without a number.
    #[must_use]
    pub fn float(labels: Vec<(Cow<'static, str>, Cow<'static, str>)>, value: f64) -> Self {
        Self {
            labels,
            value: MetricValue::Float(value),
            number: None,
        }
    }

    /// As [`Family::for_each_sample`], for this metric of a family with this name.
    pub fn for_each_sample(
        &self,
        name: &str,
        mut each: impl FnMut(&str, Option<(&str, &str)>, &MetricLabels, f64),
    ) {
        match &self.value {
            MetricValue::Float(value) => each(name, None, &self.labels, *value),
            MetricValue::Histogram { buckets, sum } => {
                let bucket = format!("{name}_bucket");
                for (bound, count) in buckets {
                    each(&bucket, Some(("le", &fmt_value(*bound))), &self.labels, *count);
                }
                each(&format!("{name}_sum"), None, &self.labels, *sum);
                let count = buckets.last().map_or(0.0, |(_, count)| *count);
                each(&format!("{name}_count"), None, &self.labels, count);
            }
            MetricValue::Summary {
                quantiles,
                sum,
                count,
            } => {
                for (quantile, value) in quantiles {
                    let quantile = fmt_value(*quantile);
                    each(name, Some(("quantile", &quantile)), &self.labels, *value);
                }
                each(&format!("{name}_sum"), None, &self.labels, *sum);
                each(&format!("{name}_count"), None, &self.labels, *count);
            }
        }
    }
}

/// A metric family: name, help, type and its metrics.
#[derive(Debug, Clone, PartialEq)]
pub struct Family {
    /// The metric's name, as upstream spells it.
    pub name: Cow<'static, str>,
    /// One sentence of help, as upstream words it.
    pub help: Cow<'static, str>,
    /// The type.
    pub kind: MetricType,
    /// The metrics; none means that the family is left out of the output.
    pub metrics: Vec<Metric>,
}

impl Family {
    /// An empty family.
    #[must_use]
    pub fn new(
        name: impl Into<Cow<'static, str>>,
        help: impl Into<Cow<'static, str>>,
        kind: MetricType,
    ) -> Self {
        Self {
            name: name.into(),
            help: help.into(),
            kind,
            metrics: Vec::new(),
        }
    }

    /// A counter with one value and no labels.
    #[must_use]
    pub fn counter(
        name: impl Into<Cow<'static, str>>,
        help: impl Into<Cow<'static, str>>,
        value: f64,
    ) -> Self {
        let mut family = Self::new(name, help, MetricType::Counter);
        family.push(Vec::new(), value);
        family
    }

    /// A gauge with one value and no labels.
    #[must_use]
    pub fn gauge(name: impl Into<Cow<'static, str>>, help: impl Into<Cow<'static, str>>, value: f64) -> Self {
        let mut family = Self::new(name, help, MetricType::Gauge);
        family.push(Vec::new(), value);
        family
    }

    /// Adds a float with its labels.
    pub fn push(&mut self, labels: Vec<(Cow<'static, str>, Cow<'static, str>)>, value: f64) {
        self.metrics.push(Metric::float(labels, value));
    }

    /// Calls `each(name, extra, labels, value)` for every sample the family stands for: a histogram gives its `_bucket`s
    /// (with `extra = Some(("le", bound))`), `_sum` and `_count`, as the text format spells them out.
    pub fn for_each_sample(&self, mut each: impl FnMut(&str, Option<(&str, &str)>, &MetricLabels, f64)) {
        for metric in &self.metrics {
            metric.for_each_sample(&self.name, &mut each);
        }
    }
}

/// A float as Go's `strconv.FormatFloat(v, 'g', -1, 64)` and so every Prometheus exporter prints it:
/// `1`, `0.25`, `1e+06`, `1.5e-07`, `+Inf`, `-Inf`, `NaN`.
#[must_use]
pub fn fmt_value(value: f64) -> String {
    if value.is_nan() {
        return "NaN".to_owned();
    }
    if value.is_infinite() {
        return if value > 0.0 { "+Inf" } else { "-Inf" }.to_owned();
    }
    let magnitude = value.abs();
    // Go decides with a precision of 6 when it prints the shortest form: an exponent below -4 or from 6 on.
    if magnitude != 0.0 && !(1e-4..1e6).contains(&magnitude) {
        let text = format!("{value:e}");
        let Some((mantissa, exponent)) = text.split_once('e') else {
            return text;
        };
        let (sign, digits) = exponent
            .strip_prefix('-')
            .map_or(("+", exponent), |digits| ("-", digits));
        return format!("{mantissa}e{sign}{digits:0>2}");
    }
    format!("{value}")
}

/// Writes families in the text format 0.0.4, in the order given, each with `# HELP` and `# TYPE`.
/// Families without metrics are left out.
pub fn encode_families(families: &[Family], out: &mut String) {
    for family in families.iter().filter(|family| !family.metrics.is_empty()) {
        let help = family.help.replace('\\', "\\\\").replace('\n', "\\n");
        // Writing to a String cannot fail.
        let _ = writeln!(out, "# HELP {} {help}", family.name);
        let _ = writeln!(out, "# TYPE {} {}", family.name, family.kind.as_text_format());
        family.for_each_sample(|name, extra, labels, value| {
            out.push_str(name);
            let pairs = labels.iter().map(|(n, v)| (n.as_ref(), v.as_ref())).chain(extra);
            let mut open = false;
            for (label, label_value) in pairs {
                out.push(if open { ',' } else { '{' });
                open = true;
                let _ = write!(out, "{label}=\"{}\"", escape_label_value(label_value));
            }
            if open {
                out.push('}');
            }
            let _ = writeln!(out, " {}", fmt_value(value));
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_print_as_exporters_print_them() {
        for (value, want) in [
            (0.0, "0"),
            (1.0, "1"),
            (-0.5, "-0.5"),
            (1e-7, "1e-07"),
            (123_456.5, "123456.5"),
            (123_456_789.0, "1.23456789e+08"),
            (1e6, "1e+06"),
            (f64::INFINITY, "+Inf"),
            (f64::NAN, "NaN"),
        ] {
            assert_eq!(fmt_value(value), want);
        }
    }

    #[test]
    fn families_become_text() {
        let mut family = Family::new("m_seconds", "A \\ and\na newline.", MetricType::Histogram);
        family.metrics.push(Metric {
            labels: vec![("path".into(), "a\"b".into())],
            value: MetricValue::Histogram {
                buckets: vec![(0.5, 1.0), (f64::INFINITY, 3.0)],
                sum: 4.5,
            },
            number: None,
        });
        let mut out = String::new();
        encode_families(
            &[
                family,
                Family::gauge("g", "G.", 2.0),
                Family::new("none", "", MetricType::Gauge),
            ],
            &mut out,
        );
        let want = "# HELP m_seconds A \\\\ and\\na newline.\n# TYPE m_seconds histogram\n\
            m_seconds_bucket{path=\"a\\\"b\",le=\"0.5\"} 1\nm_seconds_bucket{path=\"a\\\"b\",le=\"+Inf\"} 3\n\
            m_seconds_sum{path=\"a\\\"b\"} 4.5\nm_seconds_count{path=\"a\\\"b\"} 3\n# HELP g G.\n# TYPE g gauge\ng 2\n";
        assert_eq!(out, want);
    }
}
