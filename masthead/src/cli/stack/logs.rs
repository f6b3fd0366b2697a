//! `masthead logs`: what components have written, each line with its component.

use clap::Args;
use futures_util::StreamExt;
use futures_util::future::join_all;
use serde_json::json;
use stack::{Component, LogLine, Stack};

use super::outcome::{Interrupted, object};
use super::{Common, EXIT_CODES, Manner, Outcome, Progress, component, exit_code, registered, run_to_end};
use crate::cli::{error_text, out};

#[derive(Debug, Args)]
#[command(after_help = format!("Examples:
  masthead logs
  masthead logs prometheus --follow --tail 20
  masthead logs --all --follow                       of all registered servers

With --json each line is an object of its own: {{\"component\":\"prometheus\",\"text\":\"...\"}}, with a \"server\" under --all

{EXIT_CODES}"))]
pub(in crate::cli) struct LogsArgs {
    #[command(flatten)]
    common: Common,
    /// Which: prometheus, node-exporter, cadvisor; all without one
    #[arg(value_name = "COMPONENT", value_parser = component)]
    component: Option<Component>,
    /// Go on with lines as they come, until Ctrl-C
    #[arg(long, short)]
    follow: bool,
    /// The last so many lines of each
    #[arg(long, value_name = "LINES", default_value_t = 100)]
    tail: usize,
}

pub(super) fn run(args: &LogsArgs) -> anyhow::Result<()> {
    let progress = Progress::new();
    // The lines are the outcome; with --json there is no object after them but that of an error.
    let ended = run_to_end(false, &progress, async {
        match args.common.all {
            true => args.of_all().await,
            false => {
                let stack = args.common.stack(&Manner::default()).await?;
                args.show(&stack, None).await?;
                Ok(Outcome::done("", json!({})))
            }
        }
    });
    match ended {
        // That is how one stops following.
        Err(error) if error.is::<Interrupted>() => Ok(()),
        ended => ended,
    }
}

/// Whose lines they are, where they are of several servers.
struct Of {
    name: String,
    width: usize,
}

impl LogsArgs {
    /// The lines of all servers as they come. One that has none to give says so among them, and hides nobody's.
    async fn of_all(&self) -> anyhow::Result<Outcome> {
        let registry = registered()?;
        let names = || registry.servers().iter().map(|server| server.name.to_string());
        let width = names().map(|name| name.chars().count()).max().unwrap_or(0);
        let each = registry
            .servers()
            .iter()
            .zip(names())
            .map(async |(server, name)| {
                let of = Of { name, width };
                let ended = async {
                    let stack = self.common.stack_of(server, &Manner::default()).await?;
                    self.show(&stack, Some(&of)).await
                };
                let Err(error) = ended.await else { return Ok(0) };
                match self.common.json {
                    true => {
                        let mut line = object(false, json!({ "server": of.name }), Some(&error));
                        if let Some(line) = line.as_object_mut() {
                            line.remove("ok");
                        }
                        out::line(&line.to_string())?;
                    }
                    false => out::note(&format!("{}: {}", of.name, error_text(&error))),
                }
                Ok(exit_code(&error).0)
            });
        let codes: anyhow::Result<Vec<u8>> = join_all(each).await.into_iter().collect();
        Ok(Outcome {
            text: String::new(),
            fields: json!({}),
            code: codes?.into_iter().max().unwrap_or(0),
        })
    }

    async fn show(&self, stack: &Stack, of: Option<&Of>) -> anyhow::Result<()> {
        let mut lines = stack.logs(self.component, self.follow, Some(self.tail)).await?;
        let width = match self.component {
            Some(component) => component.name().len(),
            None => Component::ALL.iter().map(|c| c.name().len()).max().unwrap_or(0),
        };
        while let Some(line) = lines.next().await {
            out::line(&self.line(&line?, width, of)?)?;
        }
        Ok(())
    }

    fn line(&self, line: &LogLine, width: usize, of: Option<&Of>) -> anyhow::Result<String> {
        if self.common.json {
            let mut object = serde_json::to_value(line)?;
            if let Some(of) = of {
                object["server"] = of.name.as_str().into();
            }
            return Ok(object.to_string());
        }
        let text = format!("{:<width$} | {}", line.component.name(), line.text);
        Ok(match of {
            Some(Of { name, width }) => format!("{name:<width$} | {text}"),
            None => text,
        })
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        logs: LogsArgs,
    }

    #[test]
    fn a_line_names_its_component_and_where_there_are_several_its_server() {
        let line = LogLine {
            component: Component::Prometheus,
            text: "ready".to_owned(),
        };
        let of = Of {
            name: "db".to_owned(),
            width: 5,
        };
        for (words, of, want) in [
            (&["logs"][..], None, "prometheus    | ready"),
            (&["logs", "--all"], Some(&of), "db    | prometheus    | ready"),
            (
                &["logs", "--json"],
                None,
                r#"{"component":"prometheus","text":"ready"}"#,
            ),
            (
                &["logs", "--all", "--json"],
                Some(&of),
                r#"{"component":"prometheus","server":"db","text":"ready"}"#,
            ),
        ] {
            let args = Line::try_parse_from(words).expect("words").logs;
            assert_eq!(args.line(&line, 13, of).expect("a line"), want);
        }
    }
}
