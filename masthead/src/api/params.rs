//! Request parameters: query string and form body as one list, times and durations as Prometheus reads them.

use crate::api::error::ApiError;
use crate::config::parse_duration;

/// The earliest and latest times that a request can mean.
pub const EARLIEST_MS: i64 = i64::MIN / 4;
/// See [`EARLIEST_MS`].
pub const LATEST_MS: i64 = i64::MAX / 4;
/// 9999-12-31T23:59:59Z.
const LAST_DAY_MS: i64 = 253_402_300_799_000;

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

    /// The limit of metadata, where upstream takes 0 at its word: `None` for absence and for what is below 0.
    ///
    /// # Errors
    /// `bad_data` that names the parameter.
    pub fn metadata_limit(&self, name: &str) -> Result<Option<usize>, ApiError> {
        let Some(text) = self.get(name) else {
            return Ok(None);
        };
        let number: i64 = text
            .parse()
            .map_err(|_| ApiError::parameter(name, format!("{name} must be a number")))?;
        Ok(usize::try_from(number).ok())
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
/// A time as the API takes it: seconds or RFC 3339.
pub(crate) fn parse_time_ms(text: &str) -> Result<i64, String> {
    let fault = || format!("cannot parse \"{text}\" to a valid timestamp");
    if let Ok(seconds) = text.parse::<f64>() {
        return seconds_to_ms(seconds).ok_or_else(fault);
    }
    if let Ok(stamp) = text.parse::<jiff::Timestamp>() {
        return Ok(stamp.as_millisecond());
    }
    boundary_ms(text).ok_or_else(fault)
}

/// Times that clients write for "from the beginning" and "to the end" and that no calendar of ours holds.
fn boundary_ms(text: &str) -> Option<i64> {
    // The first two are how upstream prints its own boundaries; its client library sends them back.
    match text {
        "-292273086-05-16T16:47:06Z" => Some(EARLIEST_MS),
        "+292277025-08-18T07:12:54.999999999Z" => Some(LATEST_MS),
        // The last day of four digits is a common "never".
        _ if text.starts_with("9999-12-31T") => Some(LAST_DAY_MS),
        _ => None,
    }
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
            ("9999-12-31T23:59:59Z", Some(LAST_DAY_MS)),
            ("-292273086-05-16T16:47:06Z", Some(EARLIEST_MS)),
            ("+292277025-08-18T07:12:54.999999999Z", Some(LATEST_MS)),
            ("NaN", None),
            ("1e300", None),
            ("2015-06-03", None),
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
