//! What a Prometheus API says: its envelope, and the four kinds of results, with native histograms and annotations.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{self, Deserializer, Visitor};
use serde::{Deserialize, Serialize};

/// The answer to a query.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// The result.
    pub data: Data,
    /// What may be wrong with the result, in the server's words: parts that could not be read, functions used on the wrong kind.
    pub warnings: Vec<String>,
    /// What may be wrong with the query, in the server's words.
    pub infos: Vec<String>,
}

/// A result; times are seconds since the epoch.
#[derive(Debug, Clone, PartialEq)]
pub enum Data {
    /// One sample a series.
    Vector(Vec<Series>),
    /// Many samples a series.
    Matrix(Vec<Series>),
    /// A number without labels.
    Scalar(f64, f64),
    /// A text without labels.
    String(f64, String),
}

impl Data {
    /// The series; a scalar is one without labels, a string has none.
    #[must_use]
    pub fn into_series(self) -> Vec<Series> {
        match self {
            Self::Vector(series) | Self::Matrix(series) => series,
            Self::Scalar(time_s, value) => vec![Series {
                points: vec![(time_s, value)],
                ..Series::default()
            }],
            Self::String(..) => Vec::new(),
        }
    }
}

/// One labelled series of an answer.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Series {
    /// Label pairs, sorted by name.
    pub labels: Vec<(String, String)>,
    /// `(seconds since the epoch, value)`, rising.
    pub points: Vec<(f64, f64)>,
    /// Native histograms beside or instead of floats, rising.
    pub histograms: Vec<(f64, Histogram)>,
}

impl Series {
    /// A label's value, empty when it has none.
    #[must_use]
    pub fn label(&self, name: &str) -> &str {
        self.labels
            .iter()
            .find(|(n, _)| n == name)
            .map_or("", |(_, value)| value.as_str())
    }

    /// The newest value, unless it is none.
    #[must_use]
    pub fn last(&self) -> Option<f64> {
        self.points
            .last()
            .map(|(_, value)| *value)
            .filter(|value| !value.is_nan())
    }
}

/// A native histogram.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
pub struct Histogram {
    /// Observations.
    #[serde(deserialize_with = "float")]
    pub count: f64,
    /// Their sum.
    #[serde(deserialize_with = "float")]
    pub sum: f64,
    /// Buckets with something in them, rising.
    #[serde(default)]
    pub buckets: Vec<Bucket>,
}

/// A bucket of a native histogram: which of its boundaries belong to it (0 the upper, 1 the lower, 2 none, 3 both), the lower one,
/// the upper one, and the observations in it.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(from = "(u8, Float, Float, Float)")]
pub struct Bucket {
    /// 0 to 3, as above.
    pub boundaries: u8,
    /// Lower boundary.
    pub lower: f64,
    /// Upper boundary.
    pub upper: f64,
    /// Observations.
    pub count: f64,
}

impl From<(u8, Float, Float, Float)> for Bucket {
    fn from((boundaries, lower, upper, count): (u8, Float, Float, Float)) -> Self {
        Self {
            boundaries,
            lower: lower.0,
            upper: upper.0,
            count: count.0,
        }
    }
}

/// A number that the API writes as a string, so that it can be `NaN` or infinite; a plain number will do.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Float(f64);

impl<'de> Deserialize<'de> for Float {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        float(deserializer).map(Self)
    }
}

fn float<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    struct Text;
    impl Visitor<'_> for Text {
        type Value = f64;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a number, as a string")
        }

        fn visit_str<E: de::Error>(self, text: &str) -> Result<f64, E> {
            text.parse()
                .map_err(|_| E::invalid_value(de::Unexpected::Str(text), &self))
        }

        fn visit_f64<E: de::Error>(self, value: f64) -> Result<f64, E> {
            Ok(value)
        }

        #[expect(clippy::cast_precision_loss, reason = "the API's numbers are floats")]
        fn visit_u64<E: de::Error>(self, value: u64) -> Result<f64, E> {
            Ok(value as f64)
        }

        #[expect(clippy::cast_precision_loss, reason = "the API's numbers are floats")]
        fn visit_i64<E: de::Error>(self, value: i64) -> Result<f64, E> {
            Ok(value as f64)
        }
    }
    deserializer.deserialize_any(Text)
}

/// What every answer of the API is wrapped in.
#[derive(Debug, Deserialize)]
pub(crate) struct Envelope<T> {
    pub(crate) status: Status,
    #[serde(default = "Option::default")]
    pub(crate) data: Option<T>,
    #[serde(default, rename = "errorType")]
    pub(crate) kind: String,
    #[serde(default)]
    pub(crate) error: String,
    #[serde(default)]
    pub(crate) warnings: Vec<String>,
    #[serde(default)]
    pub(crate) infos: Vec<String>,
}

/// How it went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Status {
    Success,
    Error,
}

/// The result as it is written.
#[derive(Debug, Deserialize)]
#[serde(tag = "resultType", content = "result", rename_all = "lowercase")]
pub(crate) enum RawData {
    Vector(Vec<RawSeries>),
    Matrix(Vec<RawSeries>),
    Scalar((f64, Float)),
    String((f64, String)),
}

/// A series as it is written: `value` or `histogram` of an instant, `values` and `histograms` of a range.
#[derive(Debug, Deserialize)]
pub(crate) struct RawSeries {
    #[serde(default)]
    metric: BTreeMap<String, String>,
    #[serde(default)]
    value: Option<(f64, Float)>,
    #[serde(default)]
    values: Vec<(f64, Float)>,
    #[serde(default)]
    histogram: Option<(f64, Histogram)>,
    #[serde(default)]
    histograms: Vec<(f64, Histogram)>,
}

impl From<RawSeries> for Series {
    fn from(raw: RawSeries) -> Self {
        Self {
            labels: raw.metric.into_iter().collect(),
            points: raw
                .values
                .into_iter()
                .chain(raw.value)
                .map(|(time_s, value)| (time_s, value.0))
                .collect(),
            histograms: raw.histograms.into_iter().chain(raw.histogram).collect(),
        }
    }
}

impl From<RawData> for Data {
    fn from(raw: RawData) -> Self {
        let all = |list: Vec<RawSeries>| list.into_iter().map(Series::from).collect();
        match raw {
            RawData::Vector(list) => Self::Vector(all(list)),
            RawData::Matrix(list) => Self::Matrix(all(list)),
            RawData::Scalar((time_s, value)) => Self::Scalar(time_s, value.0),
            RawData::String((time_s, text)) => Self::String(time_s, text),
        }
    }
}

/// Is a server well, and what does it scrape?
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Health {
    /// It answers queries.
    pub ready: bool,
    /// What it says when it does not, such as that it is starting.
    pub reason: Option<String>,
    /// Its version, where it tells.
    pub version: Option<String>,
    /// The targets of its last scrapes, by job and instance; none where it does not scrape itself.
    pub targets: Vec<TargetHealth>,
}

impl Health {
    pub(crate) fn waits(reason: String) -> Self {
        Self {
            reason: Some(reason),
            ..Self::default()
        }
    }
}

/// A target of a scrape.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TargetHealth {
    /// Its job.
    pub job: String,
    /// Its instance.
    pub instance: String,
    /// Did the last scrape succeed?
    pub up: bool,
}

/// `data` of `/api/v1/status/buildinfo`.
#[derive(Debug, Deserialize)]
pub(crate) struct BuildInfo {
    #[serde(default)]
    pub(crate) version: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(json: &str, want: Data) {
        let raw: Envelope<RawData> = serde_json::from_str(json).expect("an envelope");
        let got = raw.data.map(Data::from);
        // NaN is not equal to itself; its text is.
        assert_eq!(format!("{got:?}"), format!("{:?}", Some(want)), "{json}");
    }

    #[test]
    fn the_four_kinds_of_results_are_read() {
        let labels = vec![("a".to_owned(), "b".to_owned())];
        check(
            r#"{"status":"success","data":{"resultType":"vector","result":[{"metric":{"a":"b"},"value":[1.5,"NaN"]}]}}"#,
            Data::Vector(vec![Series {
                labels: labels.clone(),
                points: vec![(1.5, f64::NAN)],
                ..Series::default()
            }]),
        );
        check(
            r#"{"data":{"result":[{"metric":{"a":"b"},"values":[[1,"+Inf"],[2,"-1e3"]]}],"resultType":"matrix"},"status":"success"}"#,
            Data::Matrix(vec![Series {
                labels,
                points: vec![(1.0, f64::INFINITY), (2.0, -1000.0)],
                ..Series::default()
            }]),
        );
        check(
            r#"{"status":"success","data":{"resultType":"scalar","result":[4,"2"]}}"#,
            Data::Scalar(4.0, 2.0),
        );
        check(
            r#"{"status":"success","data":{"resultType":"string","result":[4,"a \"text\""]}}"#,
            Data::String(4.0, "a \"text\"".to_owned()),
        );
    }

    #[test]
    fn native_histograms_are_read() {
        let json = r#"{"status":"success","data":{"resultType":"vector","result":[{"metric":{},
            "histogram":[1,{"count":"3","sum":"4.5","buckets":[[0,"0.5","1","2"],[3,"-0.001","0.001","1"]]}]}]}}"#;
        let bucket = |boundaries, lower, upper, count| Bucket {
            boundaries,
            lower,
            upper,
            count,
        };
        check(
            json,
            Data::Vector(vec![Series {
                histograms: vec![(
                    1.0,
                    Histogram {
                        count: 3.0,
                        sum: 4.5,
                        buckets: vec![bucket(0, 0.5, 1.0, 2.0), bucket(3, -0.001, 0.001, 1.0)],
                    },
                )],
                ..Series::default()
            }]),
        );
    }

    #[test]
    fn a_wrong_number_is_an_error() {
        for json in [
            r#"{"status":"success","data":{"resultType":"scalar","result":[4,"two"]}}"#,
            r#"{"status":"success","data":{"resultType":"tensor","result":[]}}"#,
            r#"{"status":"fine"}"#,
        ] {
            assert!(serde_json::from_str::<Envelope<RawData>>(json).is_err(), "{json}");
        }
    }
}
