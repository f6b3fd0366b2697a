//! Programs of the host that bytes go into or come out of.

use std::future::Future;
use std::pin::Pin;
use std::process::Stdio;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};

use crate::StackError;
use crate::link::Link;

/// What is kept of what a program says when it fails.
const MAX_SAID_BYTES: u64 = 4096;

/// How a program ended.
#[derive(Debug)]
pub(crate) struct Ended {
    /// `None` when a signal ended it.
    code: Option<i32>,
    said: String,
}

/// A program that runs. It is ended when this is dropped.
pub(crate) struct Pipe {
    words: String,
    /// What it reads; dropped, it reads the end.
    pub(crate) input: Option<Box<dyn AsyncWrite + Send + Unpin>>,
    /// What it writes.
    pub(crate) output: Option<Box<dyn AsyncRead + Send + Unpin>>,
    ended: Pin<Box<dyn Future<Output = std::io::Result<Ended>> + Send>>,
}

pub(super) fn start(program: &str, words: &[&str]) -> Result<Pipe, StackError> {
    let shown = std::iter::once(&program)
        .chain(words)
        .copied()
        .collect::<Vec<_>>()
        .join(" ");
    let failed = |reason: String| StackError::Program {
        words: shown.clone(),
        reason,
    };
    let mut child = tokio::process::Command::new(program)
        .args(words)
        .env("LC_ALL", "C")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| failed(format!("{error}; install {program}")))?;
    let (Some(input), Some(output), Some(mut said)) =
        (child.stdin.take(), child.stdout.take(), child.stderr.take())
    else {
        return Err(failed("it has no streams".to_owned()));
    };
    let ended = async move {
        let mut text = Vec::new();
        (&mut said).take(MAX_SAID_BYTES).read_to_end(&mut text).await?;
        // Read on, or it would wait for a reader.
        tokio::io::copy(&mut said, &mut tokio::io::sink()).await?;
        let status = child.wait().await?;
        Ok(Ended {
            code: status.code(),
            said: String::from_utf8_lossy(&text).trim().to_owned(),
        })
    };
    Ok(Pipe {
        words: shown,
        input: Some(Box::new(input)),
        output: Some(Box::new(output)),
        ended: Box::pin(ended),
    })
}

/// The same on a server. What the program says beside its output is not heard from there.
pub(super) async fn start_over(link: &Link, program: &str, words: &[&str]) -> Result<Pipe, StackError> {
    let shown = std::iter::once(&program)
        .chain(words)
        .copied()
        .collect::<Vec<_>>()
        .join(" ");
    let mut child = link.spawn(program, words).await?;
    let (Some(input), Some(output)) = (child.stdin().take(), child.stdout().take()) else {
        return Err(StackError::Program {
            words: shown,
            reason: "it has no streams".to_owned(),
        });
    };
    let server = link.server().name.to_string();
    let ended = async move {
        let status = child.wait().await.map_err(std::io::Error::other)?;
        Ok(Ended {
            said: match status.code() {
                Some(code) => format!("it ended with code {code} on server {server}"),
                None => format!("(on server {server})"),
            },
            code: status.code(),
        })
    };
    Ok(Pipe {
        words: shown,
        input: Some(Box::new(input)),
        output: Some(Box::new(output)),
        ended: Box::pin(ended),
    })
}

impl Pipe {
    /// Waits for its end; an error unless that is one of these codes. What it still writes is not read: take [`Pipe::output`] first
    /// where there is more than a few lines.
    pub(crate) async fn finish(mut self, codes: &[i32]) -> Result<i32, StackError> {
        drop(self.input.take());
        let output = self.output.take();
        let drained = async {
            match output {
                Some(mut output) => tokio::io::copy(&mut output, &mut tokio::io::sink())
                    .await
                    .map(drop),
                None => Ok(()),
            }
        };
        let (_, ended) = tokio::join!(drained, self.ended);
        let failed = |reason| StackError::Program {
            words: self.words.clone(),
            reason,
        };
        match ended {
            Ok(Ended { code: Some(code), .. }) if codes.contains(&code) => Ok(code),
            Ok(Ended { code, said }) => Err(failed(match (code, said.is_empty()) {
                (None, _) => format!("a signal ended it {said}"),
                (Some(code), true) => format!("it ended with code {code}"),
                (Some(_), false) => said,
            })),
            Err(error) => Err(failed(error.to_string())),
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt;

    use super::*;

    #[tokio::test]
    async fn bytes_go_in_and_come_out() {
        let mut pipe = start("cat", &[]).expect("cat");
        let mut input = pipe.input.take().expect("input");
        input.write_all(b"hello").await.expect("written");
        drop(input);
        let mut text = String::new();
        let mut output = pipe.output.take().expect("output");
        output.read_to_string(&mut text).await.expect("read");
        assert_eq!(text, "hello");
        assert_eq!(pipe.finish(&[0]).await.expect("well"), 0);
    }

    #[tokio::test]
    async fn a_failure_is_what_it_said() {
        let script = "yes | head -c 300000; echo wrong >&2; exit 3";
        let ended = |codes: &'static [i32]| async move {
            start("sh", &["-c", script]).expect("sh").finish(codes).await
        };
        assert_eq!(ended(&[0, 3]).await.expect("allowed"), 3);
        let error = ended(&[0]).await.expect_err("not allowed").to_string();
        assert!(
            error.contains("running `sh -c") && error.ends_with("wrong"),
            "{error}"
        );
        let error = start("no-such-program-of-anybody", &[])
            .map(drop)
            .expect_err("absent");
        assert!(error.to_string().contains("install no-such"), "{error}");
    }
}
