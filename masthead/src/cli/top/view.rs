//! `masthead top` on the screen, and as one plain table.

use comfy_table::{CellAlignment, presets};
use ratatui::Frame;
use ratatui::layout::{Alignment, Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Cell, Paragraph, Row as TableRow, Table, TableState};

use crate::cli::top::model::{Connection, HostNow, Lines, Model, Row, Sort};
use crate::cli::words;

const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
/// A sparkline that never rises above this many cores stays low instead of showing noise as mountains.
const SPARK_FULL_CORES: f64 = 0.05;
/// Memory at this part of its limit is marked.
const NEARLY_FULL: f64 = 0.9;
const KEYS: &str = "q quit  tab apps/containers  / filter  sort: c cpu  m memory  n network  i i/o  a name  (again: turn round)";

/// How it looks.
#[derive(Debug, Clone, Copy)]
pub(super) struct Look {
    /// Without colours only bold and reversed text set things apart.
    pub(super) colour: bool,
}

impl Look {
    fn fg(self, colour: Color) -> Style {
        if self.colour {
            Style::new().fg(colour)
        } else {
            Style::new()
        }
    }

    fn quiet(self) -> Style {
        self.fg(Color::DarkGray)
    }

    fn warn(self) -> Style {
        self.fg(Color::Yellow).add_modifier(Modifier::BOLD)
    }
}

/// Draws everything.
pub(super) fn draw(frame: &mut Frame<'_>, model: &Model, server: &str, look: Look, state: &mut TableState) {
    let [title, host, table, help] = Layout::vertical([
        Constraint::Length(1),
        Constraint::Length(1),
        Constraint::Min(1),
        Constraint::Length(1),
    ])
    .areas(frame.area());
    draw_title(frame, title, model, server, look);
    frame.render_widget(Paragraph::new(host_line(&model.reading.host)), host);
    draw_table(frame, table, model, look, state);
    draw_help(frame, help, model, look);
}

fn draw_title(frame: &mut Frame<'_>, area: Rect, model: &Model, server: &str, look: Look) {
    let (text, style) = match &model.connection {
        Connection::Live => ("live".to_owned(), look.fg(Color::Green)),
        Connection::Waiting => ("waiting for the first reading".to_owned(), look.quiet()),
        Connection::Lost(why) => (format!("no connection, trying again: {why}"), look.warn()),
    };
    let line = Line::from(vec![
        Span::styled("masthead top", Style::new().add_modifier(Modifier::BOLD)),
        Span::raw(format!("  {server}  ")),
        Span::styled(text, style),
    ]);
    frame.render_widget(Paragraph::new(line), area);
}

/// The host in one line.
fn host_line(host: &HostNow) -> String {
    let memory = words::bytes_of(host.memory_used_bytes, host.memory_total_bytes);
    let swap = match host.swap_used_bytes {
        Some(used) if used > 0.0 => format!("  swap {}", words::bytes(Some(used))),
        _ => String::new(),
    };
    format!(
        "Host  CPU {}  load {}  memory {memory}{swap}  network {}  disk {}",
        words::percent(host.cpu_ratio),
        words::count(host.load1),
        two_ways(
            "↓",
            host.receive_bytes_per_second,
            "↑",
            host.transmit_bytes_per_second
        ),
        two_ways(
            "r",
            host.read_bytes_per_second,
            "w",
            host.written_bytes_per_second
        ),
    )
}

fn two_ways(one: &str, first: Option<f64>, other: &str, second: Option<f64>) -> String {
    if first.is_none() && second.is_none() {
        return words::UNKNOWN.to_owned();
    }
    format!("{one}{} {other}{}", words::rate(first), words::rate(second))
}

/// Columns that a width has room for.
struct Columns {
    spark: u16,
    /// Both directions apart, or their sum.
    both: bool,
    processes: bool,
}

impl Columns {
    fn of(width: u16) -> Self {
        Self {
            spark: match width {
                0..70 => 0,
                70..110 => 10,
                110..140 => 16,
                _ => 30,
            },
            both: width >= 120,
            processes: width >= 80,
        }
    }

    fn widths(&self) -> Vec<Constraint> {
        let rate = if self.both { 23 } else { 10 };
        let mut widths = vec![Constraint::Fill(1), Constraint::Length(4), Constraint::Length(7)];
        if self.spark > 0 {
            widths.push(Constraint::Length(self.spark));
        }
        widths.extend([
            Constraint::Length(17),
            Constraint::Length(rate),
            Constraint::Length(rate),
        ]);
        if self.processes {
            widths.push(Constraint::Length(5));
        }
        widths
    }

    /// Marks the column that the rows are sorted by.
    fn header(&self, model: &Model, look: Look) -> TableRow<'static> {
        let name = match model.lines {
            Lines::Apps => "APP",
            Lines::Containers => "CONTAINER",
        };
        let arrow = |sort: Sort| match (model.sort == sort, (sort == Sort::Name) == model.reversed) {
            (false, _) => "",
            (true, true) => "▾",
            (true, false) => "▴",
        };
        let right = |text: String| Cell::from(Line::from(text).alignment(Alignment::Right));
        let mut cells = vec![
            Cell::from(format!("{name}{}", arrow(Sort::Name))),
            right("REPL".to_owned()),
            right(format!("CPU{}", arrow(Sort::Cpu))),
        ];
        if self.spark > 0 {
            cells.push(Cell::from("LAST MINUTE"));
        }
        cells.extend([
            right(format!("MEMORY{}", arrow(Sort::Memory))),
            right(format!("NETWORK{}", arrow(Sort::Network))),
            right(format!("I/O{}", arrow(Sort::Io))),
        ]);
        if self.processes {
            cells.push(right("PROC".to_owned()));
        }
        TableRow::new(cells).style(look.fg(Color::Cyan).add_modifier(Modifier::BOLD))
    }

    fn row(&self, row: &Row, look: Look) -> TableRow<'static> {
        let right = |text: String| Cell::from(Line::from(text).alignment(Alignment::Right));
        let rates = |one, first: Option<f64>, other, second: Option<f64>| {
            if self.both {
                two_ways(one, first, other, second)
            } else {
                words::rate(sum(first, second))
            }
        };
        let full = row
            .memory_bytes
            .zip(row.memory_limit_bytes)
            .is_some_and(|(used, limit)| used >= limit * NEARLY_FULL);
        let memory = right(words::bytes_of(row.memory_bytes, row.memory_limit_bytes));
        let mut cells = vec![
            Cell::from(row.name.clone()),
            right(row.replicas.to_string()),
            right(words::count(row.cpu_cores)),
        ];
        if self.spark > 0 {
            cells.push(
                Cell::from(sparkline(&row.history, usize::from(self.spark))).style(look.fg(Color::Blue)),
            );
        }
        cells.extend([
            if full { memory.style(look.warn()) } else { memory },
            right(rates("↓", row.receive, "↑", row.transmit)),
            right(rates("r", row.read, "w", row.written)),
        ]);
        if self.processes {
            cells.push(right(words::count(row.processes)));
        }
        TableRow::new(cells)
    }
}

fn sum(first: Option<f64>, second: Option<f64>) -> Option<f64> {
    match (first, second) {
        (None, None) => None,
        _ => Some(first.unwrap_or(0.0) + second.unwrap_or(0.0)),
    }
}

fn draw_table(frame: &mut Frame<'_>, area: Rect, model: &Model, look: Look, state: &mut TableState) {
    let rows = model.rows();
    if rows.is_empty() {
        let text = match (&model.connection, model.filter.is_empty()) {
            (Connection::Waiting, _) => "",
            (_, false) => "no app or container fits the filter; esc clears it",
            (_, true) => "no containers: none run, or Masthead cannot reach Docker (see `masthead doctor`)",
        };
        frame.render_widget(Paragraph::new(text).style(look.quiet()), area);
        return;
    }
    let columns = Columns::of(area.width);
    state.select(Some(model.selected.min(rows.len().saturating_sub(1))));
    let table = Table::new(rows.iter().map(|row| columns.row(row, look)), columns.widths())
        .header(columns.header(model, look))
        .row_highlight_style(Style::new().add_modifier(Modifier::REVERSED));
    frame.render_stateful_widget(table, area, state);
}

fn draw_help(frame: &mut Frame<'_>, area: Rect, model: &Model, look: Look) {
    let line = if model.editing {
        Line::from(vec![
            Span::styled(
                format!("/{}", model.filter),
                Style::new().add_modifier(Modifier::BOLD),
            ),
            Span::raw("▏"),
            Span::styled("  enter keeps the filter, esc clears it", look.quiet()),
        ])
    } else if model.filter.is_empty() {
        Line::styled(KEYS, look.quiet())
    } else {
        Line::from(vec![
            Span::styled(format!("filter: {}  ", model.filter), look.warn()),
            Span::styled(KEYS, look.quiet()),
        ])
    };
    frame.render_widget(Paragraph::new(line), area);
}

/// The newest values as bars, right-aligned.
fn sparkline(history: &[f64], width: usize) -> String {
    let shown = history
        .get(history.len().saturating_sub(width)..)
        .unwrap_or(history);
    let most = shown.iter().copied().fold(SPARK_FULL_CORES, f64::max);
    let mut text = " ".repeat(width.saturating_sub(shown.len()));
    for value in shown {
        let level = (value / most * 7.0).round().clamp(0.0, 7.0);
        let at = (0u8..8).rev().find(|step| f64::from(*step) <= level).unwrap_or(0);
        text.push(BARS.get(usize::from(at)).copied().unwrap_or(' '));
    }
    text
}

/// The same as text, for a pipe.
pub(super) fn plain(model: &Model) -> String {
    let mut table = comfy_table::Table::new();
    let head = match model.lines {
        Lines::Apps => "APP",
        Lines::Containers => "CONTAINER",
    };
    table.load_preset(presets::NOTHING).set_header([
        head,
        "REPLICAS",
        "CPU",
        "MEMORY",
        "RECEIVE",
        "TRANSMIT",
        "READ",
        "WRITE",
        "PROCESSES",
    ]);
    for row in model.rows() {
        table.add_row([
            row.name.clone(),
            row.replicas.to_string(),
            words::count(row.cpu_cores),
            words::bytes_of(row.memory_bytes, row.memory_limit_bytes),
            words::rate(row.receive),
            words::rate(row.transmit),
            words::rate(row.read),
            words::rate(row.written),
            words::count(row.processes),
        ]);
    }
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    let rows = if model.reading.containers.is_empty() {
        "no containers: none run, or Masthead cannot reach Docker (see `masthead doctor`)".to_owned()
    } else {
        table.to_string()
    };
    format!("{}\n{rows}", host_line(&model.reading.host))
}

#[cfg(test)]
mod tests {
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;

    use super::*;
    use crate::cli::top::model::tests::model;

    fn screen(model: &Model, width: u16, height: u16, colour: bool) -> (String, bool) {
        let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
        terminal
            .draw(|frame| {
                draw(
                    frame,
                    model,
                    "127.0.0.1:9090",
                    Look { colour },
                    &mut TableState::default(),
                );
            })
            .unwrap();
        let buffer = terminal.backend().buffer();
        let coloured = buffer.content().iter().any(|cell| cell.fg != Color::Reset);
        let lines: Vec<String> = buffer
            .content()
            .chunks(usize::from(width))
            .map(|line| line.iter().map(ratatui::buffer::Cell::symbol).collect::<String>())
            .map(|line| line.trim_end().to_owned())
            .collect();
        (lines.join("\n"), coloured)
    }

    #[test]
    fn the_screen_has_the_host_the_apps_and_the_keys() {
        let (text, coloured) = screen(&model(), 120, 8, true);
        assert!(coloured);
        insta::assert_snapshot!(text, @r"
        masthead top  127.0.0.1:9090  live
        Host  CPU 12.5 %  load 0.5  memory 1.2 of 2 GB  network -  disk -
        APP                REPL    CPU▾ LAST MINUTE                 MEMORY                 NETWORK                     I/O  PROC
        web                   2     0.5                █             200 B         ↓200 B/s ↑0 B/s                       -     4
        db                    1     0.4                █       50 of 100 B          ↓50 B/s ↑0 B/s                       -     2
        cache                 1     0.1                █     900 of 1000 B         ↓900 B/s ↑0 B/s                       -     2

        q quit  tab apps/containers  / filter  sort: c cpu  m memory  n network  i i/o  a name  (again: turn round)
        ");
    }

    #[test]
    fn a_narrow_screen_leaves_out_what_has_no_room() {
        let (text, _) = screen(&model(), 60, 7, true);
        assert!(
            text.contains("web") && text.contains("0.5") && !text.contains("LAST MINUTE"),
            "{text}"
        );
        // Nothing panics however small.
        for (width, height) in [(1, 1), (3, 2), (20, 3), (300, 100)] {
            screen(&model(), width, height, true);
        }
    }

    #[test]
    fn without_colours_there_are_none() {
        assert!(!screen(&model(), 120, 10, false).1);
    }

    #[test]
    fn an_empty_table_says_why() {
        let mut model = model();
        model.filter = "zzz".to_owned();
        assert!(screen(&model, 100, 8, true).0.contains("esc clears it"));
        let mut empty = Model::default();
        empty.take(crate::cli::top::model::Reading::default());
        assert!(screen(&empty, 100, 8, true).0.contains("masthead doctor"));
        empty.connection = Connection::Lost("refused".to_owned());
        assert!(screen(&empty, 100, 8, true).0.contains("trying again: refused"));
    }

    #[test]
    fn sparklines_scale_to_their_largest() {
        assert_eq!(sparkline(&[0.0, 0.5, 1.0], 5), "  ▁▅█");
        assert_eq!(sparkline(&[0.001; 3], 2), "▁▁");
        assert_eq!(sparkline(&[], 2), "  ");
        assert_eq!(sparkline(&[f64::NAN], 1), "▁");
    }

    #[test]
    fn a_pipe_gets_a_plain_table() {
        let text = plain(&model());
        let web = text
            .lines()
            .find(|line| line.trim_start().starts_with("web"))
            .unwrap();
        assert!(
            web.split_whitespace().eq([
                "web", "2", "0.5", "200", "B", "200", "B/s", "0", "B/s", "-", "-", "4"
            ]),
            "{text}"
        );
        assert!(text.starts_with("Host  CPU 12.5 %"), "{text}");
    }
}
