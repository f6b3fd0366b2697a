//! A host, an app or a container at one moment, in plain words.

use std::fmt::Write as _;

use client::{AppMetrics, ContainerMetrics, SystemMetrics, Usage};
use comfy_table::{CellAlignment, Table, presets};

use crate::cli::words;
use crate::clock;

/// Lines of a name and what is to say; a line about nothing known is left out.
#[derive(Debug, Default)]
struct Lines(Vec<(String, String)>);

impl Lines {
    fn add(&mut self, name: &str, text: String) {
        if text != words::UNKNOWN {
            self.0.push((name.to_owned(), text));
        }
    }

    fn print(&self, title: &str) -> String {
        let width = self
            .0
            .iter()
            .map(|(name, _)| name.chars().count())
            .max()
            .unwrap_or(0);
        let mut text = title.to_owned();
        for (name, line) in &self.0 {
            // Writing to a String cannot fail.
            let _ = write!(text, "\n  {name:<width$}  {line}");
        }
        text
    }
}

/// Two values behind their words; `-` when neither is known.
fn both(
    one: &str,
    first: Option<f64>,
    other: &str,
    second: Option<f64>,
    say: fn(Option<f64>) -> String,
) -> String {
    if first.is_none() && second.is_none() {
        return words::UNKNOWN.to_owned();
    }
    format!("{one} {}, {other} {}", say(first), say(second))
}

/// A host.
pub(super) fn system(system: &SystemMetrics) -> String {
    let mut lines = Lines::default();
    let cpu = &system.cpu;
    if cpu.used_ratio.is_some() {
        let mut text = words::percent(cpu.used_ratio);
        if let Some(cores) = cpu.cores {
            let _ = write!(text, " of {} cores", words::count(Some(cores)));
        }
        let _ = write!(
            text,
            " (programs {}, kernel {}; waiting for disks {})",
            words::percent(cpu.user_ratio),
            words::percent(cpu.system_ratio),
            words::percent(cpu.iowait_ratio)
        );
        lines.add("CPU", text);
    }
    let load = &system.load;
    if load.load1.is_some() {
        let [one, five, fifteen] = [load.load1, load.load5, load.load15].map(words::count);
        lines.add("Load", format!("{one}, {five}, {fifteen} over 1, 5, 15 minutes"));
    }
    lines.add(
        "Memory",
        words::bytes_of(system.memory.used_bytes, system.memory.total_bytes),
    );
    if system.swap.total_bytes.is_some_and(|total| total > 0.0) {
        lines.add(
            "Swap",
            words::bytes_of(system.swap.used_bytes, system.swap.total_bytes),
        );
    }
    device_lines(&mut lines, system);
    let pressure = &system.pressure;
    if pressure.cpu_ratio.is_some() {
        let [cpu, memory, io] =
            [pressure.cpu_ratio, pressure.memory_ratio, pressure.io_ratio].map(words::percent);
        lines.add(
            "Waiting",
            format!("for CPU {cpu}, memory {memory}, disks {io} of the time"),
        );
    }
    lines.add("Up", words::duration(system.uptime_seconds));
    lines.print(&words::printable(&system.instance))
}

fn device_lines(lines: &mut Lines, system: &SystemMetrics) {
    for one in &system.file_systems {
        let left = format!(", {} left", words::bytes(one.available_bytes));
        let text = words::bytes_of(one.used_bytes, one.total_bytes);
        lines.add(
            &format!("Space {}", words::printable(&one.mount_point)),
            text + &left,
        );
    }
    for one in &system.disks {
        let text = both(
            "read",
            one.read_bytes_per_second,
            "write",
            one.written_bytes_per_second,
            words::rate,
        );
        let busy = format!(", busy {}", words::percent(one.busy_ratio));
        lines.add(&format!("Disk {}", words::printable(&one.device)), text + &busy);
    }
    for one in &system.network {
        let text = both(
            "receive",
            one.receive_bytes_per_second,
            "transmit",
            one.transmit_bytes_per_second,
            words::rate,
        );
        lines.add(&format!("Network {}", words::printable(&one.device)), text);
    }
}

/// An app, with a table of its containers when there are more.
pub(super) fn app(app: &AppMetrics) -> String {
    let mut lines = Lines::default();
    let replicas = if app.replicas == 1 {
        "container"
    } else {
        "containers"
    };
    lines.add("Running", format!("{} {replicas}", app.replicas));
    usage_lines(&mut lines, &app.usage);
    if let Some(text) = words::starts(app.last_hour) {
        lines.add("Last hour", text);
    }
    let text = lines.print(&words::title(&app.name, &app.project));
    if app.containers.len() < 2 {
        return text;
    }
    let mut table = Table::new();
    table.load_preset(presets::NOTHING).set_header([
        "CONTAINER",
        "CPU",
        "MEMORY",
        "PROCESSES",
        "RESTARTS",
        "OOM KILLS",
    ]);
    for one in &app.containers {
        let of = &one.usage;
        table.add_row([
            words::printable(&one.name),
            words::count(of.cpu_cores),
            words::bytes_of(of.memory_working_set_bytes, of.memory_limit_bytes),
            words::count(of.processes),
            words::count(of.restarts),
            words::count(of.oom_kills),
        ]);
    }
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    format!("{text}\n\n{table}")
}

fn usage_lines(lines: &mut Lines, of: &Usage) {
    lines.add("CPU", cores(of.cpu_cores));
    lines.add(
        "Memory",
        words::bytes_of(of.memory_working_set_bytes, of.memory_limit_bytes),
    );
    lines.add(
        "Network",
        both(
            "receive",
            of.receive_bytes_per_second,
            "transmit",
            of.transmit_bytes_per_second,
            words::rate,
        ),
    );
    lines.add(
        "Disk",
        both(
            "read",
            of.read_bytes_per_second,
            "write",
            of.written_bytes_per_second,
            words::rate,
        ),
    );
    lines.add("Processes", words::count(of.processes));
    lines.add(
        "Ended",
        both("restarts", of.restarts, "OOM kills", of.oom_kills, words::count),
    );
}

fn cores(value: Option<f64>) -> String {
    match value {
        Some(_) => format!("{} cores", words::count(value)),
        None => words::UNKNOWN.to_owned(),
    }
}

/// A container.
pub(super) fn container(one: &ContainerMetrics) -> String {
    let mut lines = Lines::default();
    lines.add("App", words::printable(&one.app));
    if !one.image.is_empty() {
        lines.add("Image", words::printable(&one.image));
    }
    usage_lines(&mut lines, &one.usage);
    #[expect(clippy::cast_precision_loss, reason = "milliseconds are far below 2^53")]
    let now_s = clock::now_ms() as f64 / 1000.0;
    let since = one.started_at.filter(|at| *at > 0.0).map(|at| now_s - at);
    lines.add("Up", words::duration(since));
    lines.print(&words::title(&one.name, &one.project))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_reads_in_plain_words() {
        let gb = 1024.0 * 1024.0 * 1024.0;
        let mut system = SystemMetrics {
            instance: "web1:9100".to_owned(),
            uptime_seconds: Some(90_061.0),
            ..SystemMetrics::default()
        };
        system.memory.used_bytes = Some(1.2 * gb);
        system.memory.total_bytes = Some(2.0 * gb);
        system.cpu.used_ratio = Some(0.125);
        system.cpu.cores = Some(2.0);
        let text = super::system(&system);
        assert!(text.starts_with("web1:9100\n"), "{text}");
        for words in ["Memory  1.2 of 2 GB", "12.5 % of 2 cores", "Up      1 d 1 h"] {
            assert!(text.contains(words), "{words:?} in {text}");
        }
        assert!(
            !text.contains("Swap") && !text.contains("Load"),
            "what is not known is left out: {text}"
        );
    }

    #[test]
    fn an_app_lists_its_containers_when_there_are_more() {
        let one = ContainerMetrics {
            name: "web.1.x".to_owned(),
            usage: Usage {
                cpu_cores: Some(0.25),
                ..Usage::default()
            },
            ..ContainerMetrics::default()
        };
        let mut app = AppMetrics {
            name: "web".to_owned(),
            project: "shop".to_owned(),
            replicas: 1,
            containers: vec![one.clone()],
            ..AppMetrics::default()
        };
        assert!(!super::app(&app).contains("web.1.x"));
        app.containers.push(one.clone());
        let text = super::app(&app);
        assert!(
            text.starts_with("web (project shop)\n") && text.contains("web.1.x"),
            "{text}"
        );
        assert!(container(&one).contains("CPU  0.25 cores"), "{}", container(&one));
    }
}
