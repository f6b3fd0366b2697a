//! Progress on standard error: a spinner and bars on a terminal, one line a step otherwise.

use std::io::{IsTerminal, Write};
use std::sync::Mutex;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use stack::Event;

/// Shows events, and remembers which steps are done.
#[derive(Debug)]
pub(super) struct Progress {
    /// Nothing where standard error is no terminal.
    bar: Option<ProgressBar>,
    done: Mutex<Vec<String>>,
}

impl Progress {
    pub(super) fn new() -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
            bar.set_style(spinner());
            bar
        });
        Self {
            bar,
            done: Mutex::new(Vec::new()),
        }
    }

    /// The steps that are done.
    pub(super) fn done(&self) -> Vec<String> {
        self.done.lock().map(|done| done.clone()).unwrap_or_default()
    }

    /// Takes what moves off the terminal.
    pub(super) fn end(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }

    /// Shows an event.
    pub(super) fn hear(&self, event: Event) {
        if let Event::Done { step, .. } = &event
            && let Ok(mut done) = self.done.lock()
        {
            done.push(step.clone());
        }
        match (&self.bar, event) {
            (_, Event::Planned { .. })
            | (None, Event::Pulling { .. } | Event::Copying { .. } | Event::Done { .. }) => {}
            (Some(bar), Event::Began { at, of, step }) => {
                bar.enable_steady_tick(Duration::from_millis(120));
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
                bar.println(format!("  {step}"));
            }
            (Some(bar), Event::Waiting { what }) => {
                bar.set_style(spinner());
                bar.enable_steady_tick(Duration::from_millis(120));
                bar.set_message(format!("waiting for {what}"));
            }
            (Some(bar), Event::Warning { text }) => bar.println(format!("warning: {text}")),
            (None, Event::Began { at, of, step }) => say(&format!("{at} of {of}: {step}")),
            (None, Event::Waiting { what }) => say(&format!("waiting for {what}")),
            (None, Event::Warning { text }) => say(&format!("warning: {text}")),
        }
    }
}

fn say(line: &str) {
    // Nothing can be done when standard error is closed.
    let _ = writeln!(std::io::stderr(), "{line}");
}

fn spinner() -> ProgressStyle {
    ProgressStyle::with_template("{spinner} {msg}").unwrap_or_else(|_| ProgressStyle::default_spinner())
}

fn copying() -> ProgressStyle {
    ProgressStyle::with_template("{spinner} {msg} {bar:24} {bytes} of {total_bytes}")
        .unwrap_or_else(|_| ProgressStyle::default_bar())
}

fn bytes() -> ProgressStyle {
    ProgressStyle::with_template("{spinner} pulling {msg} {bar:24} {bytes} of {total_bytes}")
        .unwrap_or_else(|_| ProgressStyle::default_bar())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_templates_are_right_and_done_steps_are_remembered() {
        for template in [
            "{spinner} {msg}",
            "{spinner} pulling {msg} {bar:24} {bytes} of {total_bytes}",
            "{spinner} {msg} {bar:24} {bytes} of {total_bytes}",
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
    }
}
