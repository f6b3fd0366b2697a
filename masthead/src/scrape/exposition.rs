//! The text formats that targets expose: Prometheus' 0.0.4 and, tolerantly, OpenMetrics 1.0. Read in place, line by line.
//!
//! ```text
//!   # TYPE http_requests counter                            -> Sink::metadata
//!   http_requests_total{code="200",path="/a\"b"} 5 1700000000000
//!   '------------- series, raw -----------------' '     '- timestamp
//!                                                value      -> Sink::sample
//!   {"my.metric","a.b"="c"} 1                               UTF-8 names stand in quotes
//! ```
//!
//! The scan finds where a series' text ends and what its value is, nothing more: a sink that has seen that very text before needs
//! no labels. One that has not asks [`Sample::pairs`], and the label text is checked then. A fault in any line
//! ends the parse, as a scrape is taken whole or not at all (so does Prometheus).

use std::borrow::Cow;
use std::fmt;

use memchr::{memchr, memchr2, memchr3};
use model::{METRIC_NAME, MetricType};

/// The NaN that Prometheus stores for a `NaN` in the text; never the staleness marker.
const NORMAL_NAN: u64 = 0x7ff8_0000_0000_0001;

/// Which of the two formats a body is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// `text/plain; version=0.0.4` (and 1.0.0): timestamps in milliseconds.
    Text,
    /// `application/openmetrics-text`: timestamps in seconds, exemplars, a last line `# EOF`.
    OpenMetrics,
}

/// What is wrong, and in which line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {fault}")]
pub struct ParseError {
    /// From 1.
    pub line: usize,
    /// What is wrong there.
    pub fault: String,
}

/// One sample, borrowed from the body.
#[derive(Debug, Clone, Copy)]
pub struct Sample<'a> {
    /// Name and labels as they stand in the text. Equal text is the same series; the reverse need not hold.
    pub series: &'a str,
    /// The value.
    pub value: f64,
    /// The timestamp, if the target gave one.
    pub timestamp_ms: Option<i64>,
}

/// A line about a metric family.
#[derive(Debug, Clone, PartialEq)]
pub enum Metadata<'a> {
    /// `# TYPE`
    Type(&'a str, MetricType),
    /// `# HELP`, unescaped.
    Help(&'a str, Cow<'a, str>),
    /// `# UNIT`
    Unit(&'a str, &'a str),
}

/// Takes what the parser finds.
pub trait Sink {
    /// A sample. An error ends the parse and gets the line's number.
    ///
    /// # Errors
    /// Whatever the sink finds wrong with the sample.
    fn sample(&mut self, sample: Sample<'_>) -> Result<(), String>;

    /// A line about a family.
    fn metadata(&mut self, metadata: Metadata<'_>) {
        let _ = metadata;
    }
}

/// Reads a whole body.
///
/// # Errors
/// [`ParseError`] at the first line that is wrong; the sink has taken what came before it.
pub fn parse(body: &[u8], format: Format, sink: &mut impl Sink) -> Result<(), ParseError> {
    let text = std::str::from_utf8(body).map_err(|error| ParseError {
        line: memchr::memchr_iter(b'\n', &body[..error.valid_up_to()]).count() + 1,
        fault: "invalid UTF-8".to_owned(),
    })?;
    let mut rest = text;
    let mut line_number = 0;
    let mut ended = false;
    while !rest.is_empty() {
        line_number += 1;
        let at = |fault: String| ParseError {
            line: line_number,
            fault,
        };
        if ended {
            return Err(at("there is text after # EOF".to_owned()));
        }
        let (line, after) = match memchr(b'\n', rest.as_bytes()) {
            Some(end) => (&rest[..end], &rest[end + 1..]),
            None => (rest, ""),
        };
        rest = after;
        let line = skip_blanks(line);
        if line.is_empty() {
            if format == Format::OpenMetrics {
                return Err(at("an empty line, which OpenMetrics does not have".to_owned()));
            }
        } else if let Some(comment) = line.strip_prefix('#') {
            ended = comment_line(comment, format, sink).map_err(at)?;
        } else {
            sink.sample(sample_line(line, format).map_err(at)?).map_err(at)?;
        }
    }
    if format == Format::OpenMetrics && !ended {
        return Err(ParseError {
            line: line_number.max(1),
            fault: "the data does not end with # EOF; it was cut short".to_owned(),
        });
    }
    Ok(())
}

fn skip_blanks(text: &str) -> &str {
    text.trim_start_matches([' ', '\t'])
}

/// The next word and what follows it after white space.
fn split_word(text: &str) -> (&str, &str) {
    match memchr2(b' ', b'\t', text.as_bytes()) {
        Some(end) => (&text[..end], skip_blanks(&text[end..])),
        None => (text, ""),
    }
}

/// What follows a `#`. True when it was `# EOF`.
fn comment_line(comment: &str, format: Format, sink: &mut impl Sink) -> Result<bool, String> {
    let open_metrics = format == Format::OpenMetrics;
    if open_metrics && comment == " EOF" {
        return Ok(true);
    }
    let body = skip_blanks(comment);
    // `#HELP` without a blank is an ordinary comment.
    if body.len() == comment.len() {
        return Ok(false);
    }
    let (word, rest) = split_word(body);
    if !matches!(word, "TYPE" | "HELP" | "UNIT") || (word == "UNIT" && !open_metrics) {
        return Ok(false);
    }
    let (name, rest) = family_name(rest).ok_or_else(|| format!("# {word} without a valid metric name"))?;
    match word {
        "TYPE" => {
            let kind = rest.trim_end_matches([' ', '\t']);
            let typed = MetricType::from_word(kind);
            if typed == MetricType::Unknown && !matches!(kind, "untyped" | "unknown") {
                return Err(format!("{kind:?} is not a metric type"));
            }
            sink.metadata(Metadata::Type(name, typed));
        }
        "HELP" => sink.metadata(Metadata::Help(name, unescape(rest))),
        _ => sink.metadata(Metadata::Unit(name, rest.trim_end_matches([' ', '\t']))),
    }
    Ok(false)
}

/// A family's name after `# TYPE` and the like, bare or in quotes; quotes with escapes inside are kept as they are.
fn family_name(text: &str) -> Option<(&str, &str)> {
    if let Some(quoted) = text.strip_prefix('"') {
        let end = string_end(quoted).filter(|end| *end > 0)?;
        return Some((&quoted[..end], skip_blanks(&quoted[end + 1..])));
    }
    let (name, rest) = split_word(text);
    is_metric_name(name).then_some((name, rest))
}

/// Where the quote stands that ends a string, when `text` begins after the opening one.
fn string_end(text: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    let mut at = 0;
    loop {
        let found = at + memchr2(b'"', b'\\', bytes.get(at..)?)?;
        if bytes[found] == b'"' {
            return Some(found);
        }
        at = found + 2;
    }
}

/// Length of the series text at the start of a line: the bare name and the braces.
fn series_end(line: &str) -> Result<usize, String> {
    let bytes = line.as_bytes();
    let name_end =
        memchr3(b'{', b' ', b'\t', bytes).ok_or_else(|| format!("no value after {:?}", short(line)))?;
    let brace = name_end + (line.len() - name_end - skip_blanks(&line[name_end..]).len());
    if bytes.get(brace) != Some(&b'{') {
        return Ok(name_end);
    }
    let mut at = brace + 1;
    loop {
        let found =
            memchr2(b'}', b'"', &bytes[at..]).ok_or_else(|| "the brace { is not closed".to_owned())? + at;
        if bytes[found] == b'}' {
            return Ok(found + 1);
        }
        let end = string_end(&line[found + 1..]).ok_or_else(|| "a quoted string is not closed".to_owned())?;
        at = found + 1 + end + 1;
    }
}

fn sample_line(line: &str, format: Format) -> Result<Sample<'_>, String> {
    let end = series_end(line)?;
    let series = &line[..end];
    let (value, rest) = split_word(skip_blanks(&line[end..]));
    if value.is_empty() {
        return Err(format!("no value after {:?}", short(series)));
    }
    let value = parse_value(value).ok_or_else(|| format!("{:?} is not a number", short(value)))?;
    let rest = match format {
        Format::Text => rest,
        Format::OpenMetrics => before_exemplar(rest)?,
    };
    let (timestamp, rest) = split_word(rest);
    if !rest.is_empty() {
        return Err(format!("unexpected {:?} after the timestamp", short(rest)));
    }
    let timestamp_ms = match (timestamp, format) {
        ("", _) => None,
        (text, Format::Text) => Some(
            text.parse()
                .map_err(|_| format!("{:?} is not a timestamp in milliseconds", short(text)))?,
        ),
        (text, Format::OpenMetrics) => Some(
            parse_seconds(text).ok_or_else(|| format!("{:?} is not a timestamp in seconds", short(text)))?,
        ),
    };
    Ok(Sample {
        series,
        value,
        timestamp_ms,
    })
}

/// What stands before ` # {...} value`. Exemplars are not stored yet, so they are only looked at as far as they must open with a brace.
fn before_exemplar(rest: &str) -> Result<&str, String> {
    match rest.split_once('#') {
        None => Ok(rest),
        Some((before, exemplar)) if skip_blanks(exemplar).starts_with('{') => {
            Ok(before.trim_end_matches([' ', '\t']))
        }
        Some((_, exemplar)) => Err(format!(
            "an exemplar must have labels in braces, not {:?}",
            short(exemplar.trim())
        )),
    }
}

/// A piece of a line for an error text: its beginning, so that a huge line makes no huge error.
fn short(text: &str) -> &str {
    let mut end = text.len().min(80);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

/// A float as Go's `strconv.ParseFloat` takes it, without hexadecimal and underscores.
fn parse_value(text: &str) -> Option<f64> {
    let bytes = text.as_bytes();
    if bytes.len() <= 15 && bytes.iter().all(u8::is_ascii_digit) {
        let whole = bytes
            .iter()
            .fold(0u64, |sum, digit| sum * 10 + u64::from(digit - b'0'));
        #[expect(
            clippy::cast_precision_loss,
            reason = "15 digits fit the 53 bits of the mantissa"
        )]
        return Some(whole as f64);
    }
    let value: f64 = text.parse().ok()?;
    if value.is_nan() {
        // Go takes no sign before NaN; the payload is Prometheus' own, which is not the staleness marker's.
        return text.starts_with(['n', 'N']).then(|| f64::from_bits(NORMAL_NAN));
    }
    let says_infinity = text.trim_start_matches(['+', '-']).starts_with(['i', 'I']);
    (value.is_finite() || says_infinity).then_some(value)
}

fn parse_seconds(text: &str) -> Option<i64> {
    let ms = parse_value(text)? * 1000.0;
    // 2^53: beyond it milliseconds are no longer exact, and no clock says that.
    #[expect(
        clippy::cast_possible_truncation,
        reason = "the magnitude is checked beside it"
    )]
    (ms.abs() < 9_007_199_254_740_992.0).then(|| ms.round() as i64)
}

/// May this be a metric's name without quotes?
fn is_metric_name(name: &str) -> bool {
    is_bare(name, |b| b == b':')
}

fn is_bare(name: &str, also: impl Fn(u8) -> bool) -> bool {
    let first = name.as_bytes().first();
    first.is_some_and(|b| !b.is_ascii_digit())
        && name
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'_' || also(b))
}

/// `\\`, `\"` and `\n` resolved; any other backslash stays, as in Prometheus.
fn unescape(text: &str) -> Cow<'_, str> {
    let Some(first) = memchr(b'\\', text.as_bytes()) else {
        return Cow::Borrowed(text);
    };
    let mut out = String::with_capacity(text.len());
    out.push_str(&text[..first]);
    let mut rest = text[first..].chars();
    while let Some(c) = rest.next() {
        if c != '\\' {
            out.push(c);
            continue;
        }
        match rest.clone().next() {
            Some('n') => out.push('\n'),
            Some(c @ ('\\' | '"')) => out.push(c),
            _ => {
                out.push('\\');
                continue;
            }
        }
        rest.next();
    }
    Cow::Owned(out)
}

/// A label name and its value.
pub type Pair<'a> = (Cow<'a, str>, Cow<'a, str>);

impl<'a> Sample<'a> {
    /// The labels, the metric's name among them as `__name__`, in the text's order. They may hold a name twice.
    #[must_use]
    pub fn pairs(&self) -> Pairs<'a> {
        Pairs {
            rest: self.series,
            state: State::Name,
            named: false,
        }
    }
}

#[derive(Debug, Clone, Copy)]
enum State {
    /// At the bare name, or at the brace when there is none.
    Name,
    /// After the brace or a comma.
    Pair,
    /// After a pair: a comma or the closing brace.
    Next,
    Done,
}

/// The labels of a [`Sample`]; an `Err` says what is wrong with the text, and ends the walk.
#[derive(Debug, Clone)]
pub struct Pairs<'a> {
    rest: &'a str,
    state: State,
    named: bool,
}

impl<'a> Iterator for Pairs<'a> {
    type Item = Result<Pair<'a>, String>;

    fn next(&mut self) -> Option<Self::Item> {
        let item = self.step();
        if !matches!(item, Ok(Some(_))) {
            self.state = State::Done;
        }
        item.transpose()
    }
}

impl<'a> Pairs<'a> {
    fn step(&mut self) -> Result<Option<Pair<'a>>, String> {
        loop {
            self.rest = skip_blanks(self.rest);
            match self.state {
                State::Done => return Ok(None),
                State::Name => {
                    self.state = State::Pair;
                    if let Some(rest) = self.rest.strip_prefix('{') {
                        self.rest = rest;
                        continue;
                    }
                    return self.bare_name().map(Some);
                }
                State::Next => {
                    if let Some(rest) = self.rest.strip_prefix(',') {
                        self.rest = rest;
                        self.state = State::Pair;
                    } else if self.rest == "}" {
                        return self.end();
                    } else {
                        return Err(format!("expected , or }} at {:?}", short(self.rest)));
                    }
                }
                State::Pair if self.rest == "}" => return self.end(),
                State::Pair => {
                    self.state = State::Next;
                    return self.pair().map(Some);
                }
            }
        }
    }

    fn end(&self) -> Result<Option<Pair<'a>>, String> {
        if self.named {
            Ok(None)
        } else {
            Err("a sample without a metric name".to_owned())
        }
    }

    fn bare_name(&mut self) -> Result<Pair<'a>, String> {
        let end = memchr3(b'{', b' ', b'\t', self.rest.as_bytes()).unwrap_or(self.rest.len());
        let (name, rest) = self.rest.split_at(end);
        if !is_metric_name(name) {
            return Err(format!("{:?} is not a metric name", short(name)));
        }
        let rest = skip_blanks(rest);
        self.state = if rest.is_empty() { State::Done } else { State::Pair };
        // The scan has made sure that nothing but a brace can follow.
        self.rest = rest.strip_prefix('{').unwrap_or(rest);
        self.named = true;
        Ok((Cow::Borrowed(METRIC_NAME), Cow::Borrowed(name)))
    }

    fn quoted(&mut self) -> Result<Cow<'a, str>, String> {
        let inner = self
            .rest
            .strip_prefix('"')
            .ok_or_else(|| format!("expected a quoted value at {:?}", short(self.rest)))?;
        let end = string_end(inner).ok_or_else(|| "a quoted string is not closed".to_owned())?;
        self.rest = skip_blanks(&inner[end + 1..]);
        Ok(unescape(&inner[..end]))
    }

    fn pair(&mut self) -> Result<Pair<'a>, String> {
        let name = if self.rest.starts_with('"') {
            let text = self.quoted()?;
            if !self.rest.starts_with('=') {
                if self.named {
                    return Err(format!("a second metric name {text:?}"));
                }
                if text.is_empty() {
                    return Err("an empty metric name".to_owned());
                }
                self.named = true;
                return Ok((Cow::Borrowed(METRIC_NAME), text));
            }
            text
        } else {
            let end = self
                .rest
                .bytes()
                .position(|b| !(b.is_ascii_alphanumeric() || b == b'_'))
                .unwrap_or(self.rest.len());
            let (name, rest) = self.rest.split_at(end);
            if !is_bare(name, |_| false) {
                return Err(format!("expected a label name at {:?}", short(self.rest)));
            }
            self.rest = skip_blanks(rest);
            Cow::Borrowed(name)
        };
        if name.is_empty() {
            return Err("an empty label name".to_owned());
        }
        if name == METRIC_NAME {
            return Err("__name__ cannot be a label in the braces".to_owned());
        }
        let Some(rest) = self.rest.strip_prefix('=') else {
            return Err(format!("expected = after the label name {:?}", short(&name)));
        };
        self.rest = skip_blanks(rest);
        Ok((name, self.quoted()?))
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Text => "text format",
            Self::OpenMetrics => "OpenMetrics",
        })
    }
}

#[cfg(test)]
#[path = "exposition_tests.rs"]
mod tests;
