//! A command on all registered servers at once: a line of progress each, what each came to, and a table at the end. One that is broken
//! hides none of the others.

use comfy_table::{Table, presets};
use futures_util::future::join_all;
use serde_json::{Map, Value};
use stack::Stack;

use super::outcome::{self, Outcome, Usage, object, run_to_end};
use super::{Common, Manner, Progress, registered};
use crate::cli::error_text;

/// What the command came to on a server.
struct Ended {
    name: String,
    /// Its text, or the error's.
    text: String,
    json: Value,
    code: u8,
}

/// Runs it on all of them, and prints what it came to.
pub(super) fn run(
    common: &Common,
    manner: &Manner,
    act: &impl AsyncFn(&Stack, &Progress) -> anyhow::Result<Outcome>,
) -> anyhow::Result<()> {
    let whole = Progress::new();
    run_to_end(common.json, &whole, async {
        let registry = registered()?;
        let servers = registry.servers();
        if servers.is_empty() {
            return Err(
                Usage("no server is registered; `masthead server add NAME USER@HOST` adds one").into(),
            );
        }
        let names: Vec<String> = servers.iter().map(|server| server.name.to_string()).collect();
        let lines = whole.side_by_side(&names);
        let each = servers.iter().zip(&lines).map(async |(server, progress)| {
            let ended = async {
                let stack = common.stack_of(server, manner).await?;
                act(&stack, progress).await
            };
            let ended = Ended::of(server.name.to_string(), ended.await, progress);
            progress.end_with(ended.word());
            ended
        });
        Ok(summary(join_all(each).await))
    })
}

impl Ended {
    fn of(name: String, ended: anyhow::Result<Outcome>, progress: &Progress) -> Self {
        match ended {
            Ok(outcome) => Self {
                name,
                json: object(outcome.code == 0, outcome.fields, None),
                text: outcome.text,
                code: outcome.code,
            },
            Err(error) => Self {
                name,
                json: object(
                    false,
                    serde_json::json!({ "steps": progress.done() }),
                    Some(&error),
                ),
                text: error_text(&error),
                code: outcome::exit_code(&error).0,
            },
        }
    }

    fn word(&self) -> &'static str {
        match self.code {
            0 => "ok",
            outcome::FOUND => "something is wrong",
            4 => "refused",
            5 => "busy",
            6 => "no Docker",
            7 => "out of reach",
            _ => "FAILED",
        }
    }
}

/// Everything, and a table at the end.
fn summary(all: Vec<Ended>) -> Outcome {
    let mut table = Table::new();
    table
        .load_preset(presets::NOTHING)
        .set_header(["SERVER", "RESULT", "EXIT CODE"]);
    let mut texts = Vec::new();
    let mut json = Map::new();
    let code = all.iter().map(|ended| ended.code).max().unwrap_or(0);
    for ended in all {
        table.add_row([&ended.name, ended.word(), &ended.code.to_string()]);
        texts.push(format!("{}:\n  {}", ended.name, ended.text.replace('\n', "\n  ")));
        json.insert(ended.name, ended.json);
    }
    let rows: Vec<String> = table.lines().map(|line| line.trim().to_owned()).collect();
    Outcome {
        text: format!("{}\n\n{}", texts.join("\n\n"), rows.join("\n")),
        fields: serde_json::json!({ "servers": json }),
        code,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_is_the_exit_code_and_nobody_is_hidden() {
        let progress = Progress::new();
        let all = vec![
            Ended::of(
                "db".to_owned(),
                Ok(Outcome::done(
                    "1 step done\nmore",
                    serde_json::json!({ "steps": ["a"] }),
                )),
                &progress,
            ),
            Ended::of("web".to_owned(), Err(anyhow::anyhow!("it broke")), &progress),
        ];
        let outcome = summary(all);
        assert_eq!(outcome.code, 1);
        assert_eq!(outcome.fields["servers"]["db"]["ok"], true);
        assert_eq!(outcome.fields["servers"]["web"]["error"]["text"], "it broke");
        for line in ["db:\n  1 step done\n  more", "web:\n  it broke", "FAILED"] {
            assert!(outcome.text.contains(line), "{}", outcome.text);
        }
    }
}
