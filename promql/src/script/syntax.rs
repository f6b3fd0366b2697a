//! A script's lines as commands.
//!
//! A command goes on to the next empty line; a line of comment counts as empty.

use regex::Regex;

use super::series::{Item, SeriesLine, parse_series};
use crate::parser::parse_duration;
use crate::parser::quote::unquote;

/// A command, or the words in which it cannot be understood.
pub(super) type Parsed = Result<Command, String>;

pub(super) enum Command {
    Clear,
    Load(Load),
    Eval(Box<Eval>),
}

/// Series to store.
pub(super) struct Load {
    pub(super) step_ms: i64,
    /// Classic histograms are stored as native ones too.
    pub(super) with_nhcb: bool,
    pub(super) series: Vec<SeriesLine>,
}

/// When an expression is evaluated.
#[derive(Clone, Copy)]
pub(super) enum Time {
    Instant(i64),
    Range { start: i64, end: i64, step: i64 },
}

/// What a message must look like.
pub(super) enum Pattern {
    Any,
    Exact(String),
    Regex(Regex),
}

impl Pattern {
    pub(super) fn matches(&self, text: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Exact(want) => want == text,
            Self::Regex(regex) => regex.is_match(text),
        }
    }

    pub(super) fn describe(&self) -> String {
        match self {
            Self::Any => "any message".to_owned(),
            Self::Exact(want) => format!("the message {want:?}"),
            Self::Regex(regex) => format!("a message like {:?}", regex.as_str()),
        }
    }
}

/// An expression with what is expected of it.
pub(super) struct Eval {
    pub(super) expr: String,
    pub(super) time: Time,
    pub(super) fail: Option<Pattern>,
    pub(super) ordered: bool,
    pub(super) warn: Vec<Pattern>,
    pub(super) no_warn: bool,
    pub(super) info: Vec<Pattern>,
    pub(super) no_info: bool,
    pub(super) string: Option<String>,
    /// Times of the samples of a range vector: start, end, step.
    pub(super) range_vector: Option<(i64, i64, i64)>,
    pub(super) scalar: Option<f64>,
    pub(super) series: Vec<SeriesLine>,
}

/// All commands with the lines (from 1) on which they start.
pub(super) fn parse(text: &str) -> Vec<(usize, Parsed)> {
    let lines: Vec<&str> = text
        .lines()
        .map(str::trim)
        .map(|line| if line.starts_with('#') { "" } else { line })
        .collect();
    let mut commands = Vec::new();
    let mut at = 0;
    while let Some(line) = lines.get(at) {
        let number = at + 1;
        at += 1;
        let word = line.split_whitespace().next().unwrap_or("").to_ascii_lowercase();
        if word.is_empty() {
            continue;
        }
        if word == "clear" {
            commands.push((number, Ok(Command::Clear)));
            continue;
        }
        let length = lines[at..]
            .iter()
            .position(|line| line.is_empty())
            .unwrap_or(lines.len() - at);
        let body = &lines[at..at + length];
        let command = if word.starts_with("load") {
            at += length;
            parse_load(line, body)
        } else if word.starts_with("eval") {
            parse_eval(line, body).map(|(eval, used)| {
                at += used;
                Command::Eval(Box::new(eval))
            })
        } else {
            Err(format!(
                "unknown command {word:?}; there are clear, load, load_with_nhcb and eval"
            ))
        };
        if command.is_err() && word.starts_with("eval") {
            at += length;
        }
        commands.push((number, command));
    }
    commands
}

/// Takes one word off a text.
fn take_word<'a>(text: &mut &'a str) -> &'a str {
    let trimmed = text.trim_start();
    let end = trimmed.find(char::is_whitespace).unwrap_or(trimmed.len());
    let (word, rest) = trimmed.split_at(end);
    *text = rest.trim_start();
    word
}

fn parse_load(line: &str, body: &[&str]) -> Parsed {
    let mut rest = line;
    let with_nhcb = match take_word(&mut rest) {
        "load" => false,
        "load_with_nhcb" => true,
        word => return Err(format!("unknown command {word:?}; write load or load_with_nhcb")),
    };
    let step_ms = parse_duration(rest).map_err(|e| format!("bad step of load {rest:?}: {e}"))?;
    let mut series = Vec::with_capacity(body.len());
    for line in body {
        if line
            .split_whitespace()
            .next()
            .is_some_and(|metric| metric.ends_with("@st"))
        {
            return Err(format!("start timestamps are not supported: {line:?}"));
        }
        series.push(parse_series(line)?);
    }
    Ok(Command::Load(Load {
        step_ms,
        with_nhcb,
        series,
    }))
}

/// An evaluation with the number of lines that belong to it.
fn parse_eval(line: &str, body: &[&str]) -> Result<(Eval, usize), String> {
    let mut rest = line;
    let word = take_word(&mut rest);
    let mut eval = Eval {
        expr: String::new(),
        time: Time::Instant(0),
        fail: None,
        ordered: false,
        warn: Vec::new(),
        no_warn: false,
        info: Vec::new(),
        no_info: false,
        string: None,
        range_vector: None,
        scalar: None,
        series: Vec::new(),
    };
    match word {
        "eval" => {}
        "eval_fail" => eval.fail = Some(Pattern::Any),
        "eval_warn" => eval.warn.push(Pattern::Any),
        "eval_info" => eval.info.push(Pattern::Any),
        "eval_ordered" => eval.ordered = true,
        _ => {
            return Err(format!(
                "unknown command {word:?}; write eval, eval_fail, eval_warn, eval_info or eval_ordered"
            ));
        }
    }
    eval.time = parse_time(&mut rest)?;
    rest.clone_into(&mut eval.expr);
    if rest.is_empty() {
        return Err("eval lacks an expression".to_owned());
    }
    for (at, line) in body.iter().enumerate() {
        if parse_expectation(&mut eval, line)? {
            return Ok((eval, at + 1));
        }
    }
    Ok((eval, body.len()))
}

fn parse_time(rest: &mut &str) -> Result<Time, String> {
    let duration =
        |name: &str, text: &str| parse_duration(text).map_err(|e| format!("bad {name} {text:?}: {e}"));
    let keyword = |want: &str, rest: &mut &str| match take_word(rest) {
        got if got == want => Ok(()),
        got => Err(format!(
            "found {got:?} where {want:?} belongs; write eval instant at T EXPR, or eval range from T to T step D EXPR"
        )),
    };
    match take_word(rest) {
        "instant" => {
            keyword("at", rest)?;
            Ok(Time::Instant(duration("time", take_word(rest))?))
        }
        "range" => {
            keyword("from", rest)?;
            let start = duration("start", take_word(rest))?;
            keyword("to", rest)?;
            let end = duration("end", take_word(rest))?;
            keyword("step", rest)?;
            let step = duration("step", take_word(rest))?;
            if end < start || step <= 0 {
                return Err(
                    "the end of a range must not lie before its start, and its step must be positive"
                        .to_owned(),
                );
            }
            Ok(Time::Range { start, end, step })
        }
        word => Err(format!(
            "unknown kind of evaluation {word:?}; write instant or range"
        )),
    }
}

/// Reads one line under an `eval`; true when it must be the last.
fn parse_expectation(eval: &mut Eval, line: &str) -> Result<bool, String> {
    if eval.fail.is_some() {
        if let Some(message) = line.strip_prefix("expected_fail_message") {
            eval.fail = Some(Pattern::Exact(message.trim().to_owned()));
            return Ok(true);
        }
        if let Some(pattern) = line.strip_prefix("expected_fail_regexp") {
            eval.fail = Some(regex(pattern)?);
            return Ok(true);
        }
    }
    let mut rest = line;
    if take_word(&mut rest) == "expect" {
        return parse_expect(eval, rest).map(|()| false);
    }
    if let Some((value, "")) = super::series::take_number(line) {
        eval.scalar = Some(value);
        return Ok(true);
    }
    let series = parse_series(line)?;
    let instant = matches!(eval.time, Time::Instant(_)) && eval.range_vector.is_none();
    if instant && series.items.len() > 1 {
        return Err(format!("an instant vector has one value a series: {line:?}"));
    }
    // As upstream, a series that is named twice is expected as the second line says.
    eval.series.retain(|other| other.labels != series.labels);
    eval.series.push(series);
    Ok(false)
}

fn regex(pattern: &str) -> Result<Pattern, String> {
    let pattern = pattern.trim();
    Regex::new(pattern)
        .map(Pattern::Regex)
        .map_err(|e| format!("bad regular expression {pattern:?}: {e}"))
}

/// What stands after `expect`.
fn parse_expect(eval: &mut Eval, text: &str) -> Result<(), String> {
    let mut rest = text;
    let word = take_word(&mut rest);
    match word {
        "string" => {
            let quoted = rest.len() >= 2
                && ['"', '\'', '`']
                    .iter()
                    .any(|quote| rest.starts_with(*quote) && rest.ends_with(*quote));
            if !quoted {
                return Err(format!("expect string wants a quoted string, not {rest:?}"));
            }
            eval.string = Some(String::from_utf8_lossy(&unquote(rest)).into_owned());
            return Ok(());
        }
        "range" => {
            if take_word(&mut rest) != "vector" {
                return Err("write expect range vector from T to T step D".to_owned());
            }
            let with_kind = format!("range {rest}");
            let Time::Range { start, end, step } = parse_time(&mut with_kind.as_str())? else {
                return Err("write expect range vector from T to T step D".to_owned());
            };
            eval.range_vector = Some((start, end, step));
            return Ok(());
        }
        _ => {}
    }
    let pattern = if rest.is_empty() {
        Pattern::Any
    } else if let Some(message) = rest.strip_prefix("msg:") {
        Pattern::Exact(message.trim().to_owned())
    } else if let Some(pattern) = rest.strip_prefix("regex:") {
        regex(pattern)?
    } else {
        return Err(format!(
            "found {rest:?} after expect {word}, where msg: or regex: belongs"
        ));
    };
    match word {
        "ordered" => eval.ordered = true,
        "fail" => eval.fail = Some(pattern),
        "warn" => eval.warn.push(pattern),
        "no_warn" => eval.no_warn = true,
        "info" => eval.info.push(pattern),
        "no_info" => eval.no_info = true,
        _ => {
            return Err(format!(
                "unknown expectation {word:?}; there are ordered, fail, warn, no_warn, info, no_info, string and range vector"
            ));
        }
    }
    if (eval.no_warn && !eval.warn.is_empty()) || (eval.no_info && !eval.info.is_empty()) {
        return Err("a message cannot be both expected and not expected".to_owned());
    }
    Ok(())
}

impl Load {
    /// The samples of a line: one item a step, from time 0.
    pub(super) fn samples(&self, items: &[Item]) -> Vec<(i64, crate::engine::Value)> {
        let mut samples = Vec::with_capacity(items.len());
        let mut t = 0i64;
        for item in items {
            if let Some(value) = item.value() {
                samples.push((t, value));
            }
            t = t.saturating_add(self.step_ms);
        }
        samples
    }
}
