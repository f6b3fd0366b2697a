//! How a command ends: what it prints, and with which exit code. Ctrl-C and SIGTERM end it between two steps.

use std::future::Future;

use serde_json::{Map, Value, json};
use stack::{ErrorKind, StackError};
use tokio::signal::unix::{SignalKind, signal};

use super::Progress;
use crate::cli::out;

/// Something is wrong with the stack.
pub(in crate::cli) const FOUND: u8 = 3;
/// Wrong usage, as clap has it.
const USAGE: u8 = 2;

/// What ended a command is printed already; what is left is the exit code.
#[derive(Debug, thiserror::Error)]
#[error("exit code {0}")]
pub(in crate::cli) struct Printed(pub(in crate::cli) u8);

/// The command line asks for what cannot be done so.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(in crate::cli) struct Usage(pub(in crate::cli) &'static str);

/// Somebody ended it.
#[derive(Debug, thiserror::Error)]
#[error("interrupted; what was done stays, and the next run goes on from there")]
pub(in crate::cli) struct Interrupted;

/// The exit code of an error, and whether it is printed already.
pub(in crate::cli) fn exit_code(error: &anyhow::Error) -> (u8, bool) {
    if let Some(Printed(code)) = error.downcast_ref() {
        return (*code, true);
    }
    if error.is::<Usage>() {
        return (USAGE, false);
    }
    let code = match error.downcast_ref::<StackError>().map(StackError::kind) {
        None | Some(ErrorKind::Failed) => 1,
        Some(ErrorKind::NotOurs) => 4,
        Some(ErrorKind::Locked) => 5,
        Some(ErrorKind::NoEngine) => 6,
        Some(ErrorKind::NoServer) => 7,
    };
    (code, false)
}

/// What a command came to.
#[derive(Debug)]
pub(in crate::cli) struct Outcome {
    /// For people.
    pub(in crate::cli) text: String,
    /// For programs: the fields of the object, but for `ok` and `error`.
    pub(in crate::cli) fields: Value,
    /// The exit code.
    pub(in crate::cli) code: u8,
}

impl Outcome {
    pub(in crate::cli) fn done(text: impl Into<String>, fields: Value) -> Self {
        Self {
            text: text.into(),
            fields,
            code: 0,
        }
    }
}

/// Runs a command to its end and prints its outcome.
pub(in crate::cli) fn run_to_end<F>(json: bool, progress: &Progress, work: F) -> anyhow::Result<()>
where
    F: Future<Output = anyhow::Result<Outcome>>,
{
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let ended = runtime.block_on(async {
        let interruption = interruption()?;
        tokio::select! {
            ended = work => ended,
            interrupted = interruption => Err(interrupted),
        }
    });
    // File work that was begun is waited for here.
    drop(runtime);
    progress.end();
    match ended {
        Ok(outcome) => {
            if json {
                out::line(&object(outcome.code == 0, outcome.fields, None).to_string())?;
            } else if !outcome.text.is_empty() {
                out::line(&outcome.text)?;
            }
            match outcome.code {
                0 => Ok(()),
                code => Err(Printed(code).into()),
            }
        }
        Err(error) if json && error.downcast_ref::<Printed>().is_none() => {
            let steps = [progress.done(), progress.done_on_all()].concat();
            let fields = json!({ "steps": steps });
            out::line(&object(false, fields, Some(&error)).to_string())?;
            Err(Printed(exit_code(&error).0).into())
        }
        Err(error) => Err(error),
    }
}

/// Listens from when it is called, not only from when it is awaited.
fn interruption() -> anyhow::Result<impl Future<Output = anyhow::Error>> {
    let mut interrupted = signal(SignalKind::interrupt())?;
    let mut ended = signal(SignalKind::terminate())?;
    Ok(async move {
        tokio::select! {
            _heard = interrupted.recv() => {}
            _heard = ended.recv() => {}
        }
        Interrupted.into()
    })
}

/// `ok` first, then the fields, `error` last.
pub(in crate::cli) fn object(ok: bool, fields: Value, error: Option<&anyhow::Error>) -> Value {
    let mut object = Map::new();
    object.insert("ok".to_owned(), ok.into());
    if let Value::Object(fields) = fields {
        object.extend(fields);
    }
    let error = error.map_or(Value::Null, |error| {
        let kind = match error.downcast_ref::<StackError>() {
            Some(error) => json!(error.kind()),
            None if error.is::<Interrupted>() => "interrupted".into(),
            None if error.is::<Usage>() => "usage".into(),
            None => json!(ErrorKind::Failed),
        };
        json!({ "kind": kind, "text": crate::cli::error_text(error) })
    });
    object.insert("error".to_owned(), error);
    Value::Object(object)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn locked() -> StackError {
        StackError::Locked {
            holder: "`setup` in process 1".to_owned(),
        }
    }

    #[test]
    fn exit_codes_follow_the_kind() {
        let no_engine = StackError::NoEngine {
            socket: "/s".into(),
            reason: String::new(),
            cure: "",
        };
        for (error, want) in [
            (anyhow::anyhow!("odd"), (1, false)),
            (StackError::Invalid("odd".to_owned()).into(), (1, false)),
            (locked().into(), (5, false)),
            (no_engine.into(), (6, false)),
            (Interrupted.into(), (1, false)),
            (Usage("say --yes").into(), (2, false)),
            (Printed(FOUND).into(), (3, true)),
        ] {
            assert_eq!(exit_code(&error), want, "{error}");
        }
    }

    #[test]
    fn an_error_is_an_object_too() {
        let error = anyhow::Error::from(locked());
        let got = object(false, json!({ "steps": ["a"] }), Some(&error));
        assert_eq!(got["ok"], false);
        assert_eq!(got["steps"][0], "a");
        assert_eq!(got["error"]["kind"], "locked");
        assert!(
            got["error"]["text"]
                .as_str()
                .is_some_and(|text| text.contains("process 1"))
        );
        let got = object(true, json!({ "steps": [] }), None);
        assert_eq!(got.to_string(), r#"{"error":null,"ok":true,"steps":[]}"#);
    }

    #[test]
    fn a_command_that_is_interrupted_says_so() {
        let progress = Progress::new();
        let ended = run_to_end(false, &progress, async {
            rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::TERM)?;
            std::future::pending::<()>().await;
            Ok(Outcome::done("", json!({})))
        });
        let error = ended.expect_err("interrupted");
        assert!(error.is::<Interrupted>(), "{error}");
    }
}
