//! Functions of time: the step's, a sample's, the query's, and the parts of a date (UTC, proleptic Gregorian).

use model::Labels;

use super::Grid;
use super::column::{ABSENT, Row, is_float, present};
use super::duration::ms_to_seconds;
use super::evaluator::{Data, Evaluator, Fallible, Hint};
use super::function::argument;
use crate::ast::{Call, ExprKind, Span};

/// The step's times in seconds.
fn times(grid: &Grid) -> Vec<f64> {
    (0..grid.steps())
        .map(|step| ms_to_seconds(grid.at(step)))
        .collect()
}

/// `time`
pub(crate) fn time(_: &mut Evaluator<'_>, _: &Call, _: Span, grid: &Grid) -> Fallible<Data> {
    Ok(Data::Scalar(times(grid)))
}

/// `start`: of the whole query.
pub(crate) fn start(ev: &mut Evaluator<'_>, _: &Call, _: Span, grid: &Grid) -> Fallible<Data> {
    Ok(Data::Scalar(vec![ms_to_seconds(ev.query.start_ms); grid.steps()]))
}

/// `end`: of the whole query.
pub(crate) fn end(ev: &mut Evaluator<'_>, _: &Call, _: Span, grid: &Grid) -> Fallible<Data> {
    Ok(Data::Scalar(vec![ms_to_seconds(ev.query.end_ms); grid.steps()]))
}

/// `range`: end minus start of the whole query.
pub(crate) fn range(ev: &mut Evaluator<'_>, _: &Call, _: Span, grid: &Grid) -> Fallible<Data> {
    Ok(Data::Scalar(vec![
        ms_to_seconds(
            ev.query.end_ms.saturating_sub(ev.query.start_ms)
        );
        grid.steps()
    ]))
}

/// `step`: of the whole query; 0 for an instant one.
pub(crate) fn step(ev: &mut Evaluator<'_>, _: &Call, _: Span, grid: &Grid) -> Fallible<Data> {
    let step_ms = if ev.instant { 0 } else { ev.query.step_ms };
    Ok(Data::Scalar(vec![ms_to_seconds(step_ms); grid.steps()]))
}

/// `timestamp`: of a selector's own samples; of anything else, the step's time.
pub(crate) fn timestamp(ev: &mut Evaluator<'_>, call: &Call, _: Span, grid: &Grid) -> Fallible<Data> {
    if let Some(arg) = call.args.first()
        && let ExprKind::Selector(selector) = &arg.without_parens().kind
    {
        let mut rows = Vec::new();
        ev.each_selected(selector, arg.span, grid, &Hint::default(), true, &mut |row| {
            if row.any() {
                rows.push(std::mem::take(row));
            }
            Ok(())
        })?;
        return Ok(Data::Vector(rows));
    }
    let times = times(grid);
    let mut rows = argument(ev, call, grid)?;
    for row in &mut rows {
        for (value, time) in row.values.iter_mut().zip(&times) {
            if present(*value) {
                *value = *time;
            }
        }
        row.histograms.clear();
        row.drop_name = true;
    }
    Ok(Data::Vector(rows))
}

/// `hour`, `year`, ...: of each value as seconds since the epoch, or of the step.
pub(crate) fn date(ev: &mut Evaluator<'_>, call: &Call, grid: &Grid, f: fn(i64) -> f64) -> Fallible<Data> {
    if call.args.is_empty() {
        let values = (0..grid.steps()).map(|step| f(grid.at(step) / 1000)).collect();
        return Ok(Data::Vector(vec![Row {
            labels: Labels::empty(),
            values,
            ..Row::default()
        }]));
    }
    let mut rows = argument(ev, call, grid)?;
    for row in &mut rows {
        for value in &mut row.values {
            *value = if is_float(*value) {
                f(whole_seconds(*value))
            } else {
                ABSENT
            };
        }
        row.histograms.clear();
        row.drop_name = true;
    }
    rows.retain(Row::any);
    Ok(Data::Vector(rows))
}

/// Seconds without their fraction. NaN and what does not fit become the least integer, as Go converts on amd64.
#[expect(
    clippy::cast_possible_truncation,
    reason = "the fraction is to go, and what does not fit was sorted out"
)]
fn whole_seconds(value: f64) -> i64 {
    const LIMIT: f64 = 9_223_372_036_854_775_808.0;
    if (-LIMIT..LIMIT).contains(&value) {
        value as i64
    } else {
        i64::MIN
    }
}

const DAY: i64 = 86_400;

/// 1 March of the year -292,277,022,400 in seconds since the epoch: where Go's calendar begins. It counts from there in
/// 64 bits, so that a time before it comes out 2^64 seconds later.
const CALENDAR_START: i64 = -9_223_372_028_741_760_000;

/// The day since the epoch and the second within it, by Go's calendar.
fn day_and_second(seconds: i64) -> (i64, i64) {
    let (day, second) = (seconds.div_euclid(DAY), seconds.rem_euclid(DAY));
    if seconds >= CALENDAR_START {
        return (day, second);
    }
    // 2^64 seconds are so many days and 25,216 seconds.
    let second = second + 25_216;
    (day + 213_503_982_334_601 + second / DAY, second % DAY)
}

/// The day since the epoch.
fn day_of(seconds: i64) -> i64 {
    day_and_second(seconds).0
}

/// Year, month (1 to 12) and day (1 to 31) of a day number since the epoch. Years are counted from March, so that the
/// leap day comes last; 146,097 days make 400 years.
fn civil(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let of_era = shifted.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

fn is_leap(year: i64) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

fn month_length(year: i64, month: i64) -> i64 {
    match month {
        2 => 28 + i64::from(is_leap(year)),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

#[expect(clippy::cast_precision_loss, reason = "parts of dates are small")]
fn part(value: i64) -> f64 {
    value as f64
}

/// `day_of_month`
pub(crate) fn day_of_month(seconds: i64) -> f64 {
    part(civil(day_of(seconds)).2)
}

/// `day_of_week`: Sunday is 0.
pub(crate) fn day_of_week(seconds: i64) -> f64 {
    part((day_of(seconds) + 4).rem_euclid(7))
}

/// `day_of_year`: from 1.
pub(crate) fn day_of_year(seconds: i64) -> f64 {
    let (year, month, day) = civil(day_of(seconds));
    part(day + (1..month).map(|m| month_length(year, m)).sum::<i64>())
}

/// `days_in_month`
pub(crate) fn days_in_month(seconds: i64) -> f64 {
    let (year, month, _) = civil(day_of(seconds));
    part(month_length(year, month))
}

/// `hour`
pub(crate) fn hour(seconds: i64) -> f64 {
    part(day_and_second(seconds).1 / 3600)
}

/// `minute`
pub(crate) fn minute(seconds: i64) -> f64 {
    part(day_and_second(seconds).1 % 3600 / 60)
}

/// `month`
pub(crate) fn month(seconds: i64) -> f64 {
    part(civil(day_of(seconds)).1)
}

/// `year`
pub(crate) fn year(seconds: i64) -> f64 {
    part(civil(day_of(seconds)).0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates() {
        for (seconds, want) in [
            (0, [1970.0, 1.0, 1.0, 4.0, 1.0, 31.0]),
            (951_782_400, [2000.0, 2.0, 29.0, 2.0, 60.0, 29.0]),
            (-1, [1969.0, 12.0, 31.0, 3.0, 365.0, 31.0]),
            (1_735_689_599, [2024.0, 12.0, 31.0, 2.0, 366.0, 31.0]),
            (4_107_542_400, [2100.0, 3.0, 1.0, 1.0, 60.0, 31.0]),
        ] {
            let got = [
                year(seconds),
                month(seconds),
                day_of_month(seconds),
                day_of_week(seconds),
                day_of_year(seconds),
                days_in_month(seconds),
            ];
            assert_eq!(got, want, "{seconds}");
        }
        assert_eq!((hour(-1), minute(-1)), (23.0, 59.0));
        assert_eq!(i128::from(213_503_982_334_601_i64) * 86_400 + 25_216, 1 << 64);
    }

    #[test]
    fn times_that_no_calendar_holds_are_those_of_go() {
        for (value, want) in [
            (-1.9, [1969.0, 12.0, 31.0, 23.0, 59.0]),
            (f64::NAN, [292_277_026_596.0, 12.0, 4.0, 15.0, 30.0]),
            (f64::INFINITY, [292_277_026_596.0, 12.0, 4.0, 15.0, 30.0]),
            (-1e300, [292_277_026_596.0, 12.0, 4.0, 15.0, 30.0]),
            (9e18, [285_198_648_531.0, 4.0, 21.0, 16.0, 0.0]),
        ] {
            let seconds = whole_seconds(value);
            let got = [
                year(seconds),
                month(seconds),
                day_of_month(seconds),
                hour(seconds),
                minute(seconds),
            ];
            assert_eq!(got, want, "{value}");
        }
    }
}
