//! `vmstat`: counters of the memory management, from `/proc/vmstat`.

use model::MetricType;

use super::Collector;
use crate::error::{CollectError, Fault};
use crate::input::{Input, Source, number};
use crate::options::{Filter, Options};
use crate::output::Output;

/// Calls `each(key, value)` for every line.
pub(super) fn parse<'a>(text: &'a str, mut each: impl FnMut(&'a str, &'a str)) -> Result<(), Fault> {
    for (index, line) in text.lines().enumerate().filter(|(_, line)| !line.is_empty()) {
        let pair = line.split_once(' ').filter(|(key, _)| !key.is_empty());
        let (key, value) = pair.ok_or_else(|| Fault::new(index, "a key and a number", line))?;
        each(key, value);
    }
    Ok(())
}

/// The collector.
#[derive(Debug)]
pub(super) struct VmStat {
    file: Source,
    filter: Filter,
    /// The keys of the last round, and whether they are shown: a kernel writes the same ones in the same order always.
    known: Vec<(String, bool)>,
}

impl VmStat {
    pub(super) fn new(options: &Options) -> Self {
        let filter = options.filters.vmstat_fields.clone();
        Self {
            file: Source::new(options.paths.procfs.join("vmstat")),
            filter,
            known: Vec::new(),
        }
    }
}

impl Collector for VmStat {
    fn collect(&mut self, _now_ms: i64, input: &mut Input, out: &mut Output) -> Result<(), CollectError> {
        let mut at = 0;
        let mut bad = None;
        parse(input.source(&mut self.file)?, |key, value| {
            if self.known.get(at).is_none_or(|(known, _)| known != key) {
                self.known.truncate(at);
                self.known.push((key.to_owned(), !self.filter.ignores(key)));
            }
            let shown = self.known[at].1;
            at += 1;
            if !shown {
                return;
            }
            match number(value.trim()) {
                Some(value) => out.named(
                    format!("node_vmstat_{key}"),
                    format!("/proc/vmstat information field {key}."),
                    MetricType::Unknown,
                    value,
                ),
                None => bad = bad.take().or_else(|| Some(Fault::new(at - 1, "a number", value))),
            }
        })
        .map_err(|fault| fault.at(self.file.path()))?;
        bad.map_or(Ok(()), |fault| Err(fault.at(self.file.path())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_chosen_by_the_filter() {
        let dir = tempfile::tempdir().unwrap();
        let mut options = Options::default();
        options.paths.procfs = dir.path().to_path_buf();
        let mut collector = VmStat::new(&options);
        let mut round = |text: &str| {
            std::fs::write(dir.path().join("vmstat"), text).unwrap();
            let mut out = Output::default();
            let ok = collector.collect(0, &mut Input::default(), &mut out).is_ok();
            (
                ok,
                out.finish()
                    .iter()
                    .map(|f| f.name.clone().into_owned())
                    .collect::<Vec<_>>(),
            )
        };
        let all = ["node_vmstat_oom_kill", "node_vmstat_pgpgin"]
            .map(str::to_owned)
            .to_vec();
        assert_eq!(
            round("nr_free_pages 1\npgpgin 2\noom_kill 3\n"),
            (true, all.clone())
        );
        assert_eq!(
            round("pgpgin 2\nnr_free_pages 1\noom_kill 3\n"),
            (true, all.clone())
        );
        assert_eq!(round("pgpgin x\noom_kill 3\n"), (false, vec![all[0].clone()]));
        assert_eq!(round("pgpgin\n"), (false, vec![]));
    }
}
