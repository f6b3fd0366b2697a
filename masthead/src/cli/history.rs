//! Figures over a range as a table: the smallest, mean, largest and newest value, and a line of blocks that shows their course.

use client::{AppRange, Column, ContainerRange, Range, Ranged, Starts, SystemMetrics, Usage};
use comfy_table::{CellAlignment, Table, presets};

use crate::cli::words;

/// Characters of the drawn course.
const SPARK_CHARS: usize = 24;
const BLOCKS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// How a value is said.
type Say = fn(Option<f64>) -> String;

/// A row: its name, its values, and how they are said.
type Row<'a> = (String, &'a Column, Say);

/// A host.
pub(super) fn system(one: &Ranged<SystemMetrics<Column>>) -> String {
    let of = &one.of;
    let has_swap = of.swap.total_bytes.max().is_some_and(|total| total > 0.0);
    let mut rows: Vec<Row<'_>> = vec![
        ("CPU used".to_owned(), &of.cpu.used_ratio, words::percent),
        (
            "CPU waiting for disks".to_owned(),
            &of.cpu.iowait_ratio,
            words::percent,
        ),
        ("Load, 1 minute".to_owned(), &of.load.load1, words::count),
        ("Memory used".to_owned(), &of.memory.used_bytes, words::bytes),
        (
            "Memory available".to_owned(),
            &of.memory.available_bytes,
            words::bytes,
        ),
    ];
    if has_swap {
        rows.push(("Swap used".to_owned(), &of.swap.used_bytes, words::bytes));
    }
    for disk in &of.file_systems {
        rows.push((
            format!("Space {} used", disk.mount_point),
            &disk.used_bytes,
            words::bytes,
        ));
    }
    for disk in &of.disks {
        let device = &disk.device;
        rows.push((
            format!("Disk {device} read"),
            &disk.read_bytes_per_second,
            words::rate,
        ));
        rows.push((
            format!("Disk {device} write"),
            &disk.written_bytes_per_second,
            words::rate,
        ));
        rows.push((format!("Disk {device} busy"), &disk.busy_ratio, words::percent));
    }
    for network in &of.network {
        let device = &network.device;
        let (receive, transmit) = (
            &network.receive_bytes_per_second,
            &network.transmit_bytes_per_second,
        );
        rows.push((format!("Network {device} receive"), receive, words::rate));
        rows.push((format!("Network {device} transmit"), transmit, words::rate));
    }
    let pressure = &of.pressure;
    rows.extend([
        (
            "Waiting for CPU".to_owned(),
            &pressure.cpu_ratio,
            words::percent as Say,
        ),
        (
            "Waiting for memory".to_owned(),
            &pressure.memory_ratio,
            words::percent,
        ),
        ("Waiting for disks".to_owned(), &pressure.io_ratio, words::percent),
    ]);
    table(&of.instance, &one.range, &rows)
}

/// An app.
pub(super) fn app(one: &Ranged<AppRange>) -> String {
    let of = &one.of;
    let mut rows: Vec<Row<'_>> = vec![("Running".to_owned(), &of.replicas, words::count)];
    rows.extend(usage(&of.usage));
    let text = table(&words::title(&of.name, &of.project), &one.range, &rows);
    text + &starts(of.starts)
}

/// A container.
pub(super) fn container(one: &Ranged<ContainerRange>) -> String {
    let of = &one.of;
    let text = table(
        &words::title(&of.name, &of.project),
        &one.range,
        &usage(&of.usage),
    );
    text + &starts(of.starts)
}

fn usage(of: &Usage<Column>) -> Vec<Row<'_>> {
    let rows: [(&str, &Column, Say); 10] = [
        ("CPU, cores", &of.cpu_cores, words::count),
        ("Memory", &of.memory_working_set_bytes, words::bytes),
        ("Memory limit", &of.memory_limit_bytes, words::bytes),
        ("Network receive", &of.receive_bytes_per_second, words::rate),
        ("Network transmit", &of.transmit_bytes_per_second, words::rate),
        ("Disk read", &of.read_bytes_per_second, words::rate),
        ("Disk write", &of.written_bytes_per_second, words::rate),
        ("Processes", &of.processes, words::count),
        ("Restarts since made", &of.restarts, words::count),
        ("OOM kills", &of.oom_kills, words::count),
    ];
    rows.into_iter()
        .map(|(name, column, say)| (name.to_owned(), column, say))
        .collect()
}

fn starts(starts: Starts) -> String {
    match words::starts(starts) {
        Some(text) => format!("\n{text}"),
        None => String::new(),
    }
}

/// A row of which nothing is known is left out.
fn table(title: &str, range: &Range, rows: &[Row<'_>]) -> String {
    let mut table = Table::new();
    table
        .load_preset(presets::NOTHING)
        .set_header(["", "MIN", "MEAN", "MAX", "LAST", ""]);
    for (name, column, say) in rows.iter().filter(|(_, column, _)| !column.is_unknown()) {
        table.add_row([
            words::printable(name),
            say(column.min()),
            say(column.mean()),
            say(column.max()),
            say(column.last()),
            spark(column, *say),
        ]);
    }
    for column in table.column_iter_mut().skip(1).take(4) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    #[expect(clippy::cast_precision_loss, reason = "milliseconds are far below 2^53")]
    let seconds = |ms: i64| Some(ms as f64 / 1000.0);
    format!(
        "{title}, the last {} in steps of {}\n{table}",
        words::duration(seconds(range.end_ms() - range.start_ms())),
        words::duration(seconds(range.step_ms()))
    )
}

/// The course of a column in blocks; a place without values is empty. The line starts at 0 unless the values lie far above it, and is
/// flat where all values are said in the same words.
fn spark(column: &Column, say: Say) -> String {
    let (Some(low), Some(high)) = (column.min(), column.max()) else {
        return String::new();
    };
    let low = if low > 0.0 && low < high / 2.0 { 0.0 } else { low };
    let is_flat = say(column.min()) == say(column.max());
    let span = if is_flat { 0.0 } else { high - low };
    let count = column.0.len();
    let width = count.min(SPARK_CHARS);
    (0..width)
        .map(|at| {
            let (from, to) = (at * count / width, (at + 1) * count / width);
            let place = Column(column.0.get(from..to).unwrap_or_default().to_vec());
            // The peak of a place is what somebody looks for.
            place.max().map_or(' ', |value| block(value - low, span))
        })
        .collect()
}

/// The block for a part of a whole.
fn block(part: f64, whole: f64) -> char {
    let share = if whole > 0.0 { part / whole } else { 0.0 };
    let steps = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0];
    let at = steps.iter().filter(|step| share * 8.0 >= **step).count();
    BLOCKS.get(at).copied().unwrap_or(' ')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_course_is_drawn_in_blocks() {
        let column = |values: &[f64]| Column(values.iter().map(|v| Some(*v)).collect());
        assert_eq!(spark(&column(&[0.0, 1.0, 2.0, 4.0]), words::count), "▁▃▅█");
        assert_eq!(spark(&column(&[100.0, 101.0]), words::count), "▁█");
        assert_eq!(spark(&column(&[3.0, 3.0]), words::count), "▁▁");
        assert_eq!(
            spark(&Column(vec![Some(0.0), None, Some(1.0)]), words::count),
            "▁ █"
        );
        assert_eq!(spark(&Column(vec![None]), words::count), "");
        assert_eq!(spark(&column(&[0.0, 0.00001]), words::percent), "▁▁");
        let long: Vec<f64> = (0..1000).map(f64::from).collect();
        assert_eq!(spark(&column(&long), words::count).chars().count(), SPARK_CHARS);
    }

    #[test]
    fn a_table_says_what_is_known() {
        let usage = Usage {
            cpu_cores: Column(vec![Some(0.5), None, Some(1.5)]),
            ..Usage::default()
        };
        let app = AppRange {
            name: "web".to_owned(),
            project: "shop".to_owned(),
            replicas: Column(vec![Some(2.0); 3]),
            usage,
            starts: Starts {
                containers: Some(3.0),
                restarts: Some(1.0),
            },
            ..AppRange::default()
        };
        let range = Range::new(0, 120_000, 60_000).unwrap();
        let text = super::app(&Ranged { range, of: app });
        assert!(
            text.starts_with("web (project shop), the last 2 min in steps of 1 min\n"),
            "{text}"
        );
        let row = text.lines().find(|line| line.contains("CPU")).unwrap();
        let words: Vec<&str> = row.split_whitespace().collect();
        assert_eq!(
            words,
            ["CPU,", "cores", "0.5", "1", "1.5", "1.5", "▃", "█"],
            "{text}"
        );
        assert!(!text.contains("Memory"), "{text}");
        assert!(text.ends_with("3 containers ran, 1 restart"), "{text}");
    }
}
