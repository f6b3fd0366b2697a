//! Request parameters: query string and form body as one list, times and durations as Prometheus reads them.

use crate::api::error::ApiError;
use crate::config::parse_duration;

/// All pairs of a request, query string first. A name may stand several times (`match[]`).
#[derive(Debug, Clone, Default)]
pub struct Params(Vec<(String, String)>);

impl Params {
    /// From the raw query string and, for a POSTed form, its body.
    #[must_use]
    pub fn new(query: Option<&str>, form: Option<&[u8]>) -> Self {
        let query = form_urlencoded::parse(query.unwrap_or("").as_bytes());
        let form = form_urlencoded::parse(form.unwrap_or(b""));
        // Go's FormValue prefers the body.
        Self(
            form.chain(query)
                .map(|(k, v)| (k.into_owned(), v.into_owned()))
                .collect(),
        )
    }

    /// The first value of a name; an empty one counts as absent, as upstream.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0
            .iter()
            .find(|(n, _)| n == name)
            .map(|(_, v)| v.as_str())
            .filter(|v| !v.is_empty())
    }

    /// Every value of a name.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0
            .iter()
            .filter(move |(n, _)| n == name)
            .map(|(_, v)| v.as_str())
    }

    /// A time in milliseconds, or the default.
    ///
    /// # Errors
    /// `bad_data` that names the parameter.
    pub fn time_ms(&self, name: &str, default_ms: i64) -> Result<i64, ApiError> {
        self.get(name).map_or(Ok(default_ms), |text| {
            parse_time_ms(text).map_err(|e| ApiError::parameter(name, e))
        })
    }

    /// A duration in milliseconds, `None` when absent.
    ///
    /// # Errors
    /// `bad_data` that names the parameter.
    pub fn duration_ms(&self, name: &str) -> Result<Option<i64>, ApiError> {
        self.get(name)
            .map(|text| parse_duration_ms(text).map_err(|e| ApiError::parameter(name, e)))
            .transpose()
    }

    /// A limit: 0 and absence mean none.
    ///
    /// # Errors
    /// `bad_data` that names the parameter.
    pub fn limit(&self, name: &str) -> Result<usize, ApiError> {
        let Some(text) = self.get(name) else { return Ok(0) };
        text.parse()
            .map_err(|_| ApiError::parameter(name, "limit must be a non-negative number"))
    }
}

/// Seconds since the epoch (`1234.5`) or RFC 3339, in milliseconds.
fn parse_time_ms(text: &str) -> Result<i64, String> {
    let fault = || format!("cannot parse \"{text}\" to a valid timestamp");
    if let Ok(seconds) = text.parse::<f64>() {
        return seconds_to_ms(seconds).ok_or_else(fault);
    }
    let stamp: jiff::Timestamp = text.parse().map_err(|_| fault())?;
    Ok(stamp.as_millisecond())
}

/// Seconds (`15`, `0.5`) or Prometheus' notation (`1h30m`), in milliseconds.
fn parse_duration_ms(text: &str) -> Result<i64, String> {
    let fault = || format!("cannot parse \"{text}\" to a valid duration");
    if let Ok(seconds) = text.parse::<f64>() {
        return seconds_to_ms(seconds)
            .ok_or_else(|| format!("cannot parse \"{text}\" to a valid duration. It overflows int64"));
    }
    duration_ms(text).ok_or_else(fault)
}

/// A duration in Prometheus' notation (`1h30m`) in milliseconds; `None` when it is not one.
#[must_use]
pub fn duration_ms(text: &str) -> Option<i64> {
    i64::try_from(parse_duration(text).ok()?.as_millis()).ok()
}

/// Milliseconds of a number of seconds, `None` when it is not finite or too large.
#[expect(clippy::cast_possible_truncation, reason = "the bounds are checked before")]
fn seconds_to_ms(seconds: f64) -> Option<i64> {
    let ms = (seconds * 1000.0).round();
    (ms.abs() < 9e18).then_some(ms as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_seconds_or_rfc3339() {
        for (text, want) in [
            ("1", Some(1000)),
            ("1.5", Some(1500)),
            ("-2", Some(-2000)),
            ("2015-06-03T13:21:58.555Z", Some(1_433_337_718_555)),
            ("2015-06-03T14:21:58.555+01:00", Some(1_433_337_718_555)),
            ("NaN", None),
            ("1e300", None),
            ("soon", None),
        ] {
            assert_eq!(parse_time_ms(text).ok(), want, "{text}");
        }
    }

    #[test]
    fn durations_are_seconds_or_units() {
        for (text, want) in [
            ("15", Some(15_000)),
            ("0.1", Some(100)),
            ("1h30m", Some(5_400_000)),
            ("1d", Some(86_400_000)),
            ("10ms", Some(10)),
            ("5m5m", None),
            ("1s1h", None),
            ("h", None),
            ("", None),
            ("99999999999999y", None),
        ] {
            assert_eq!(parse_duration_ms(text).ok(), want, "{text}");
        }
    }

    #[test]
    fn the_form_wins_over_the_query_string() {
        let params = Params::new(Some("a=1&match[]=x&empty="), Some(b"a=2&match%5B%5D=y"));
        assert_eq!(params.get("a"), Some("2"));
        assert_eq!(params.all("match[]").collect::<Vec<_>>(), ["y", "x"]);
        assert_eq!(params.get("empty"), None);
    }
}
