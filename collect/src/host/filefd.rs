//! `filefd`: open files of the whole system, from `/proc/sys/fs/file-nr`.

use super::Collector;
use crate::error::{CollectError, Fault};
use crate::input::{Input, Source, number};
use crate::options::Options;
use crate::output::Output;

/// `(allocated, maximum)`; between them stands a number that has been 0 since Linux 2.6.
pub(super) fn parse(text: &str) -> Result<(f64, f64), Fault> {
    let line = text.trim();
    let mut words = line.split_ascii_whitespace();
    let fault = || Fault::new(0, "three numbers", line);
    let (allocated, _, maximum) = (words.next(), words.next(), words.next());
    let value = |word: Option<&str>| word.and_then(number).ok_or_else(fault);
    Ok((value(allocated)?, value(maximum)?))
}

/// The collector.
#[derive(Debug)]
pub(super) struct FileFd {
    file: Source,
}

impl FileFd {
    pub(super) fn new(options: &Options) -> Self {
        Self {
            file: Source::new(options.paths.procfs.join("sys/fs/file-nr")),
        }
    }
}

impl Collector for FileFd {
    fn collect(&mut self, _now_ms: i64, input: &mut Input, out: &mut Output) -> Result<(), CollectError> {
        let (allocated, maximum) =
            parse(input.source(&mut self.file)?).map_err(|fault| fault.at(self.file.path()))?;
        out.gauge(
            "node_filefd_allocated",
            "File descriptor statistics: allocated.",
            allocated,
        );
        out.gauge(
            "node_filefd_maximum",
            "File descriptor statistics: maximum.",
            maximum,
        );
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_and_the_last_number_count() {
        assert_eq!(
            parse("1024\t0\t9223372036854775807\n"),
            Ok((1024.0, 9_223_372_036_854_775_807.0))
        );
        for bad in ["", "1 2", "a b c", "1 0 x"] {
            assert!(parse(bad).is_err(), "{bad:?}");
        }
    }
}
