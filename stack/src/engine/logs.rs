//! What containers have written: the last lines, or a stream.

use std::pin::Pin;

use bollard::container::LogOutput;
use bollard::query_parameters::{LogsOptions, LogsOptionsBuilder};
use futures_util::{Stream, StreamExt};

use super::Engine;
use crate::{Component, StackError};

/// A longer line is cut in pieces.
const MAX_LINE_BYTES: usize = 64 << 10;

/// A line of a container's log.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct LogLine {
    /// Whose.
    pub component: Component,
    /// Without its end.
    pub text: String,
}

/// Lines as they come.
pub type LogStream = Pin<Box<dyn Stream<Item = Result<LogLine, StackError>> + Send>>;

impl Engine {
    /// The last lines of a container's log, as far as they can be had.
    pub(crate) async fn log_tail(&self, name: &str, lines: usize) -> Vec<String> {
        let mut stream = std::pin::pin!(self.output(name, false, Some(lines)));
        let mut text = Lines::default();
        let mut tail = Vec::new();
        while let Some(Ok(piece)) = stream.next().await {
            tail.extend(text.cut(&piece.into_bytes()));
        }
        tail.extend(text.rest());
        tail.split_off(tail.len().saturating_sub(lines))
    }

    /// The lines of a component's log: the last so many (all without a number), and with `follow` those to come.
    pub(crate) fn logs(&self, component: Component, follow: bool, tail: Option<usize>) -> LogStream {
        let name = component.container();
        let attempt = format!("reading the log of container {name}");
        self.lines(component, attempt, self.output(name, follow, tail))
    }

    /// The same of a service of a swarm: the lines of all nodes.
    pub(crate) fn service_logs(
        &self,
        component: Component,
        service: &str,
        follow: bool,
        tail: Option<usize>,
    ) -> LogStream {
        let attempt = format!("reading the log of service {service}");
        let options = options(follow, tail);
        let (docker, name) = (self.docker.clone(), service.to_owned());
        let pieces =
            futures_util::stream::once(async move { docker.service_logs(&name, Some(options)) }).flatten();
        self.lines(component, attempt, pieces)
    }

    fn lines(
        &self,
        component: Component,
        attempt: String,
        pieces: impl Stream<Item = Result<LogOutput, bollard::errors::Error>> + Send + 'static,
    ) -> LogStream {
        let socket = self.socket.clone();
        let mut lines = Lines::default();
        let pieces = pieces.map(Some).chain(futures_util::stream::iter([None]));
        let stream = pieces.flat_map(move |piece| {
            let cut = match piece {
                Some(Ok(piece)) => lines.cut(&piece.into_bytes()),
                Some(Err(error)) => {
                    let error = super::fault::of(&socket, &attempt, &error);
                    return futures_util::stream::iter(vec![Err(error)]);
                }
                None => lines.rest().into_iter().collect(),
            };
            let lines = cut
                .into_iter()
                .map(|text| Ok(LogLine { component, text }))
                .collect();
            futures_util::stream::iter::<Vec<_>>(lines)
        });
        Box::pin(stream)
    }

    fn output(
        &self,
        name: &str,
        follow: bool,
        tail: Option<usize>,
    ) -> impl Stream<Item = Result<LogOutput, bollard::errors::Error>> + use<> {
        let options = options(follow, tail);
        let docker = self.docker.clone();
        let name = name.to_owned();
        futures_util::stream::once(async move { docker.logs(&name, Some(options)) }).flatten()
    }
}

fn options(follow: bool, tail: Option<usize>) -> LogsOptions {
    let tail = tail.map_or_else(|| "all".to_owned(), |lines| lines.to_string());
    LogsOptionsBuilder::new()
        .stdout(true)
        .stderr(true)
        .follow(follow)
        .tail(&tail)
        .build()
}

/// Pieces of output cut into lines.
#[derive(Debug, Default)]
struct Lines {
    begun: Vec<u8>,
}

impl Lines {
    fn cut(&mut self, piece: &[u8]) -> Vec<String> {
        let mut lines = Vec::new();
        for part in piece.split_inclusive(|byte| *byte == b'\n') {
            self.begun.extend_from_slice(part);
            if part.ends_with(b"\n") || self.begun.len() >= MAX_LINE_BYTES {
                lines.extend(self.rest());
            }
        }
        lines
    }

    fn rest(&mut self) -> Option<String> {
        if self.begun.is_empty() {
            return None;
        }
        let text = String::from_utf8_lossy(&self.begun)
            .trim_end_matches(['\n', '\r'])
            .to_owned();
        self.begun.clear();
        Some(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_put_together_from_pieces() {
        let mut lines = Lines::default();
        assert_eq!(lines.cut(b"one\ntw"), ["one"]);
        assert_eq!(lines.cut(b"o\r\n\nthree"), ["two", ""]);
        assert_eq!(lines.rest(), Some("three".to_owned()));
        assert_eq!(lines.rest(), None);
        assert_eq!(lines.cut(&vec![b'x'; MAX_LINE_BYTES + 1]).len(), 1);
    }
}
