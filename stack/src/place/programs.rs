//! Programs of the host that are asked something.

use std::process::Stdio;
use std::time::Duration;

/// Longer than any program takes that only answers a question.
pub(super) const LIMIT: Duration = Duration::from_secs(20);

/// What a program came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Output {
    pub(crate) succeeded: bool,
    /// Standard output, then standard error.
    pub(crate) text: String,
}

pub(super) async fn run(program: &str, words: &[&str]) -> Option<Output> {
    let mut command = tokio::process::Command::new(program);
    command
        .args(words)
        .env("LC_ALL", "C")
        .stdin(Stdio::null())
        .kill_on_drop(true);
    let output = tokio::time::timeout(LIMIT, command.output()).await.ok()?.ok()?;
    let mut text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.push_str(&String::from_utf8_lossy(&output.stderr));
    Some(Output {
        succeeded: output.status.success(),
        text,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_a_program_says_and_whether_it_succeeded() {
        let output = run("sh", &["-c", "echo out; echo err >&2; exit 3"])
            .await
            .expect("a shell");
        assert_eq!(
            output,
            Output {
                succeeded: false,
                text: "out\nerr\n".to_owned()
            }
        );
        assert_eq!(run("no-such-program-of-anybody", &[]).await, None);
    }
}
