//! Progress on standard error: a spinner and bars on a terminal, one line a step otherwise.

use std::io::{IsTerminal, Write};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use stack::Event;

/// Between two turns of a spinner.
const TICK: Duration = Duration::from_millis(120);

/// Shows events, and remembers which steps are done.
#[derive(Debug)]
pub(in crate::cli) struct Progress {
    /// Nothing where standard error is no terminal.
    bar: Option<ProgressBar>,
    done: Mutex<Vec<String>>,
    /// Those of several servers together, each behind its server's name.
    all: Arc<Mutex<Vec<String>>>,
    /// Stands before each line: which server it is about.
    prefix: String,
    /// What is being copied: said once where nothing moves.
    copying: Mutex<String>,
}

impl Progress {
    pub(in crate::cli) fn new() -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
            bar.set_style(spinner());
            bar
        });
        Self {
            bar,
            done: Mutex::new(Vec::new()),
            all: Arc::default(),
            prefix: String::new(),
            copying: Mutex::default(),
        }
    }

    /// A line of its own for each of several servers; what is done on any of them is done for the whole, too.
    pub(super) fn side_by_side(&self, names: &[String]) -> Vec<Self> {
        let width = names.iter().map(|name| name.chars().count()).max().unwrap_or(0);
        let many = std::io::stderr().is_terminal().then(MultiProgress::new);
        names
            .iter()
            .map(|name| {
                let prefix = format!("{name:<width$}  ");
                Self {
                    bar: many.as_ref().map(|many| {
                        let bar = many.add(ProgressBar::new_spinner());
                        bar.set_style(spinner());
                        bar.set_prefix(prefix.clone());
                        bar.enable_steady_tick(TICK);
                        bar
                    }),
                    done: Mutex::new(Vec::new()),
                    all: Arc::clone(&self.all),
                    prefix,
                    copying: Mutex::default(),
                }
            })
            .collect()
    }

    /// What it came to, as the last word of its line.
    pub(super) fn end_with(&self, text: &str) {
        match &self.bar {
            Some(bar) => bar.finish_with_message(text.to_owned()),
            None => self.say(text),
        }
    }

    /// The steps that are done.
    pub(super) fn done(&self) -> Vec<String> {
        self.done.lock().map(|done| done.clone()).unwrap_or_default()
    }

    /// The steps that are done on all servers, each behind its server's name.
    pub(super) fn done_on_all(&self) -> Vec<String> {
        self.all.lock().map(|all| all.clone()).unwrap_or_default()
    }

    /// Takes what moves off the terminal.
    pub(super) fn end(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }

    fn say_once(&self, what: &str) {
        if let Ok(mut said) = self.copying.lock()
            && *said != what
        {
            what.clone_into(&mut said);
            self.say(&format!("reading {what}"));
        }
    }

    /// Shows an event.
    pub(in crate::cli) fn hear(&self, event: Event) {
        if let Event::Done { step, .. } = &event {
            if let Ok(mut done) = self.done.lock() {
                done.push(step.clone());
            }
            if let Ok(mut all) = self.all.lock()
                && !self.prefix.is_empty()
            {
                all.push(format!("{}: {step}", self.prefix.trim_end()));
            }
        }
        match (&self.bar, event) {
            (_, Event::Planned { .. }) | (None, Event::Pulling { .. } | Event::Done { .. }) => {}
            (None, Event::Copying { what, .. }) => self.say_once(&what),
            (Some(bar), Event::Began { at, of, step }) => {
                bar.enable_steady_tick(TICK);
                bar.set_message(format!("{at} of {of}: {step}"));
            }
            (
                Some(bar),
                Event::Pulling {
                    image,
                    done_bytes,
                    total_bytes,
                },
            ) => {
                bar.set_length(total_bytes);
                bar.set_position(done_bytes);
                bar.set_message(image);
                bar.set_style(bytes());
            }
            (
                Some(bar),
                Event::Copying {
                    what,
                    done_bytes,
                    total_bytes,
                },
            ) => {
                bar.set_length(total_bytes);
                bar.set_position(done_bytes);
                bar.set_message(what);
                bar.set_style(copying());
            }
            (Some(bar), Event::Done { step, .. }) => {
                bar.set_style(spinner());
                bar.println(format!("  {}{step}", self.prefix));
            }
            (Some(bar), Event::Waiting { what }) => {
                bar.set_style(spinner());
                bar.enable_steady_tick(TICK);
                bar.set_message(format!("waiting for {what}"));
            }
            (Some(bar), Event::Warning { text }) => bar.println(format!("{}warning: {text}", self.prefix)),
            (None, Event::Began { at, of, step }) => self.say(&format!("{at} of {of}: {step}")),
            (None, Event::Waiting { what }) => self.say(&format!("waiting for {what}")),
            (None, Event::Warning { text }) => self.say(&format!("warning: {text}")),
        }
    }

    fn say(&self, line: &str) {
        // Nothing can be done when standard error is closed.
        let _ = writeln!(std::io::stderr(), "{}{line}", self.prefix);
    }
}

fn spinner() -> ProgressStyle {
    ProgressStyle::with_template("{spinner} {prefix}{msg}")
        .unwrap_or_else(|_| ProgressStyle::default_spinner())
}

fn copying() -> ProgressStyle {
    ProgressStyle::with_template("{spinner} {prefix}{msg} {bar:24} {bytes} of {total_bytes}")
        .unwrap_or_else(|_| ProgressStyle::default_bar())
}

fn bytes() -> ProgressStyle {
    ProgressStyle::with_template("{spinner} {prefix}pulling {msg} {bar:24} {bytes} of {total_bytes}")
        .unwrap_or_else(|_| ProgressStyle::default_bar())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_templates_are_right_and_done_steps_are_remembered() {
        for template in [
            "{spinner} {prefix}{msg}",
            "{spinner} {prefix}pulling {msg} {bar:24} {bytes} of {total_bytes}",
            "{spinner} {prefix}{msg} {bar:24} {bytes} of {total_bytes}",
        ] {
            ProgressStyle::with_template(template).expect("a template");
        }
        let progress = Progress::new();
        for step in ["a", "b"] {
            progress.hear(Event::Done {
                at: 1,
                of: 2,
                step: step.to_owned(),
            });
        }
        assert_eq!(progress.done(), ["a", "b"]);
        let lines = progress.side_by_side(&["db".to_owned(), "web-1".to_owned()]);
        for line in &lines {
            line.hear(Event::Done {
                at: 1,
                of: 1,
                step: "c".to_owned(),
            });
        }
        assert_eq!(progress.done_on_all(), ["db: c", "web-1: c"]);
    }
}
