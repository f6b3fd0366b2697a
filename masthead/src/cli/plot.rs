//! A line plot in the terminal, in braille dots: two by four points a character.
//!
//! ```text
//!   1.5 ┤⢀⡠⠤⠒⠉⠉
//!       ┤
//!   0.5 ┤⠁
//!       └──────────
//!       12:00         13:00
//!   ── {job="a"}   last 1.5  min 0.5  mean 0.9  max 1.5
//! ```

use std::fmt::Write as _;

use client::Series;

use crate::cli::query;

const ROWS: usize = 14;
/// Colours of the terminal's palette that stand apart: blue, yellow, cyan, magenta, green, red.
const COLOURS: [u8; 6] = [34, 33, 36, 35, 32, 31];
/// More lines than this are a carpet; the rest is summed up in a sentence.
const MOST_SERIES: usize = 12;

/// Draws the series between two times (seconds since the epoch), `width` characters wide.
#[must_use]
pub(super) fn plot(series: &[Series], start_s: i64, end_s: i64, width: usize) -> String {
    let mut shown: Vec<&Series> = series.iter().collect();
    shown.sort_by(|a, b| last(b).total_cmp(&last(a)));
    let hidden = shown.len().saturating_sub(MOST_SERIES);
    shown.truncate(MOST_SERIES);
    let finite = shown
        .iter()
        .flat_map(|s| s.points.iter().map(|p| p.1))
        .filter(|v| v.is_finite());
    let (low, high) = finite.fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), v| {
        (l.min(v), h.max(v))
    });
    if low > high {
        return "the series hold no finite values in this time".to_owned();
    }
    // A flat line gets room around it; one that is near zero starts there.
    let low = if low > 0.0 && low < high / 2.0 { 0.0 } else { low };
    let high = if high > low {
        high
    } else {
        low + low.abs().max(1.0)
    };
    let axis = [high, f64::midpoint(high, low), low].map(short);
    let margin = axis.iter().map(String::len).max().unwrap_or(0);
    let columns = width.saturating_sub(margin + 3).max(10);
    let mut canvas = Canvas::new(columns, ROWS);
    for (number, one) in shown.iter().enumerate() {
        canvas.line(one, (start_s, end_s), (low, high), number);
    }
    let mut out = canvas.draw(&axis, margin);
    let times = [start_s, end_s].map(clock_text);
    let gap = columns.saturating_sub(times[0].len() + times[1].len());
    let _ = writeln!(out, "{:margin$}  {}{:gap$}{}", "", times[0], "", times[1]);
    for (number, one) in shown.iter().enumerate() {
        let _ = writeln!(out, "{} {}", coloured("──", number), legend(one));
    }
    if hidden > 0 {
        let _ = writeln!(
            out,
            "and {hidden} more series; topk(5, ...) or sum by (...) shows fewer"
        );
    }
    out.truncate(out.trim_end().len());
    out
}

fn last(series: &Series) -> f64 {
    series.points.last().map_or(f64::NEG_INFINITY, |p| p.1)
}

fn legend(series: &Series) -> String {
    let values: Vec<f64> = series
        .points
        .iter()
        .map(|p| p.1)
        .filter(|v| v.is_finite())
        .collect();
    let low = values.iter().copied().fold(f64::INFINITY, f64::min);
    let high = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    #[expect(clippy::cast_precision_loss, reason = "the number of points of a plot")]
    let mean = values.iter().sum::<f64>() / values.len().max(1) as f64;
    let [last, low, mean, high] = [last(series), low, mean, high].map(short);
    format!(
        "{}  last {last}  min {low}  mean {mean}  max {high}",
        query::name(series)
    )
}

/// Four digits and a unit prefix: nobody reads twelve digits.
fn short(value: f64) -> String {
    const PREFIXES: [(f64, &str); 4] = [(1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")];
    if !value.is_finite() {
        return model::fmt_value(value);
    }
    let (scale, prefix) = PREFIXES
        .into_iter()
        .find(|(scale, _)| value.abs() >= *scale)
        .unwrap_or((1.0, ""));
    let scaled = value / scale;
    let magnitude = scaled.abs();
    let decimals = if magnitude >= 100.0 {
        0
    } else if magnitude >= 10.0 {
        1
    } else if magnitude >= 0.01 || magnitude == 0.0 {
        2
    } else {
        5
    };
    let text = format!("{scaled:.decimals$}");
    let text = if text.contains('.') {
        text.trim_end_matches('0').trim_end_matches('.')
    } else {
        &text
    };
    format!("{text}{prefix}")
}

fn clock_text(t_s: i64) -> String {
    let zone = jiff::tz::TimeZone::system();
    jiff::Timestamp::from_second(t_s).map_or_else(
        |_| String::new(),
        |t| t.to_zoned(zone).strftime("%m-%d %H:%M").to_string(),
    )
}

fn coloured(text: &str, number: usize) -> String {
    let colour = COLOURS.get(number % COLOURS.len()).copied().unwrap_or(37);
    if std::io::IsTerminal::is_terminal(&std::io::stdout()) {
        format!("\u{1b}[{colour}m{text}\u{1b}[0m")
    } else {
        text.to_owned()
    }
}

/// Dots in braille cells; each cell remembers the series that drew last, for its colour.
struct Canvas {
    columns: usize,
    rows: usize,
    cells: Vec<(u8, usize)>,
}

impl Canvas {
    fn new(columns: usize, rows: usize) -> Self {
        Self {
            columns,
            rows,
            cells: vec![(0, 0); columns * rows],
        }
    }

    /// Sets a dot; `x` counts half columns from the left, `y` quarter rows from the top.
    fn dot(&mut self, x: usize, y: usize, series: usize) {
        const BITS: [[u8; 4]; 2] = [[0x01, 0x02, 0x04, 0x40], [0x08, 0x10, 0x20, 0x80]];
        if x / 2 >= self.columns || y / 4 >= self.rows {
            return;
        }
        if let Some(cell) = self.cells.get_mut(y / 4 * self.columns + x / 2) {
            cell.0 |= BITS[x % 2][y % 4];
            cell.1 = series;
        }
    }

    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "positions are clamped to the canvas before they become integers"
    )]
    fn line(
        &mut self,
        series: &Series,
        (start_s, end_s): (i64, i64),
        (low, high): (f64, f64),
        number: usize,
    ) {
        let (wide, tall) = ((self.columns * 2 - 1) as f64, (self.rows * 4 - 1) as f64);
        let span = ((end_s - start_s) as f64).max(1.0);
        let place = |t: f64, v: f64| {
            let x = ((t - start_s as f64) / span * wide).clamp(0.0, wide);
            (x, (tall - (v - low) / (high - low) * tall).clamp(0.0, tall))
        };
        let step = series
            .points
            .windows(2)
            .map(|p| p[1].0 - p[0].0)
            .fold(f64::INFINITY, f64::min);
        let mut before: Option<(f64, f64, f64)> = None;
        for (t, v) in series.points.iter().filter(|p| p.1.is_finite()) {
            let (x, y) = place(*t, *v);
            // A gap in the data is a gap in the line.
            let joined = before.filter(|(last_t, _, _)| t - last_t <= step * 1.5);
            let (_, x0, y0) = joined.unwrap_or((*t, x, y));
            let dots = (x - x0).abs().max((y - y0).abs()).ceil().max(1.0);
            for i in 0..=(dots as usize) {
                let part = i as f64 / dots;
                self.dot(
                    (x0 + (x - x0) * part).round() as usize,
                    (y0 + (y - y0) * part).round() as usize,
                    number,
                );
            }
            before = Some((*t, x, y));
        }
    }

    fn draw(&self, axis: &[String; 3], margin: usize) -> String {
        let mut out = String::new();
        for (number, row) in self.cells.chunks(self.columns).enumerate() {
            let label = match number {
                0 => &axis[0],
                n if n == self.rows / 2 => &axis[1],
                n if n + 1 == self.rows => &axis[2],
                _ => "",
            };
            let _ = write!(out, "{label:>margin$} ┤");
            for (bits, series) in row {
                let dot = char::from_u32(0x2800 + u32::from(*bits)).unwrap_or(' ');
                if *bits == 0 {
                    out.push(' ');
                } else {
                    out.push_str(&coloured(&dot.to_string(), *series));
                }
            }
            out.truncate(out.trim_end_matches(' ').len());
            out.push('\n');
        }
        let _ = writeln!(out, "{:margin$} └{}", "", "─".repeat(self.columns));
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rising_line_goes_from_bottom_left_to_top_right() {
        let points = (0..60).map(|i| (f64::from(i), f64::from(i))).collect();
        let series = Series {
            labels: vec![("job".to_owned(), "a".to_owned())],
            points,
            ..Series::default()
        };
        let text = plot(&[series], 0, 59, 60);
        let lines: Vec<&str> = text.lines().collect();
        assert!(
            lines[0].trim_start().starts_with("59 ┤") && lines[0].chars().count() > 50,
            "{text}"
        );
        assert!(
            lines[ROWS - 1].contains("0 ┤⣀") || lines[ROWS - 1].contains("0 ┤⡠"),
            "{text}"
        );
        assert!(
            text.contains("{job=\"a\"}  last 59  min 0  mean 29.5  max 59"),
            "{text}"
        );
    }

    #[test]
    fn numbers_are_short() {
        for (value, want) in [
            (1_234_567.0, "1.23M"),
            (0.25, "0.25"),
            (12.0, "12"),
            (100.0, "100"),
            (0.0, "0"),
            (1024.0, "1.02k"),
        ] {
            assert_eq!(short(value), want);
        }
    }
}
