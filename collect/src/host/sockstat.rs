//! `sockstat`: sockets in use, from `/proc/net/sockstat` and `/proc/net/sockstat6`.

use model::MetricType;

use super::Collector;
use crate::error::{CollectError, Fault};
use crate::input::{Input, Source, number};
use crate::options::Options;
use crate::output::Output;

/// The states that upstream shows; what else a kernel writes is left out.
const STATES: [&str; 6] = ["inuse", "orphan", "tw", "alloc", "mem", "memory"];
const IN_USE: usize = 0;
const MEM: usize = 4;

/// One protocol's line.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Protocol<'a> {
    pub(super) name: &'a str,
    /// In the order of [`STATES`]; sockets in use are always there.
    pub(super) states: [Option<f64>; STATES.len()],
}

/// One file: sockets of all kinds, and protocols.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Sockets<'a> {
    pub(super) used: Option<f64>,
    pub(super) protocols: Vec<Protocol<'a>>,
}

/// One of the two files.
pub(super) fn parse(text: &str) -> Result<Sockets<'_>, Fault> {
    let mut sockets = Sockets::default();
    for (index, line) in text.lines().enumerate() {
        let mut words = line.split_ascii_whitespace();
        let Some(name) = words.next() else { continue };
        let fault = || Fault::new(index, "a protocol, states and numbers", line);
        let name = name.strip_suffix(':').ok_or_else(fault)?;
        let mut protocol = Protocol {
            name,
            states: [None; STATES.len()],
        };
        protocol.states[IN_USE] = Some(0.0);
        while let Some(state) = words.next() {
            let value = words.next().and_then(number).ok_or_else(fault)?;
            if name == "sockets" && state == "used" {
                sockets.used = Some(value);
            } else if let Some(at) = STATES.iter().position(|known| *known == state) {
                protocol.states[at] = Some(value);
            }
        }
        if name != "sockets" {
            sockets.protocols.push(protocol);
        }
    }
    Ok(sockets)
}

/// The collector.
#[derive(Debug)]
pub(super) struct SockStat {
    files: [Source; 2],
    page_bytes: f64,
}

impl SockStat {
    pub(super) fn new(options: &Options) -> Self {
        let net = options.paths.procfs.join("net");
        #[expect(clippy::cast_precision_loss, reason = "a page has a few thousand bytes")]
        let page_bytes = rustix::param::page_size() as f64;
        Self {
            files: ["sockstat", "sockstat6"].map(|name| Source::new(net.join(name))),
            page_bytes,
        }
    }
}

/// One protocol's families; memory, counted in pages, is shown in bytes too.
fn add(protocol: &Protocol<'_>, page_bytes: f64, out: &mut Output) {
    let name = protocol.name;
    let mut named = |state: &str, value: f64| {
        let help = format!("Number of {name} sockets in state {state}.");
        out.named(
            format!("node_sockstat_{name}_{state}"),
            help,
            MetricType::Gauge,
            value,
        );
    };
    for (state, value) in STATES.into_iter().zip(protocol.states) {
        if let Some(value) = value {
            named(state, value);
        }
    }
    if let Some(pages) = protocol.states[MEM] {
        named("mem_bytes", pages * page_bytes);
    }
}

impl Collector for SockStat {
    fn collect(&mut self, _now_ms: i64, input: &mut Input, out: &mut Output) -> Result<(), CollectError> {
        for file in &mut self.files {
            let text = match input.source(file) {
                Ok(text) => text,
                // A host without IPv4 or IPv6 lacks its file.
                Err(error) if error.is_not_found() => continue,
                Err(error) => return Err(error),
            };
            let sockets = parse(text).map_err(|fault| fault.at(file.path()))?;
            if let Some(used) = sockets.used {
                out.gauge(
                    "node_sockstat_sockets_used",
                    "Number of IPv4 sockets in use.",
                    used,
                );
            }
            for protocol in &sockets.protocols {
                add(protocol, self.page_bytes, out);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_are_pairs() {
        let got =
            parse("sockets: used 229\nTCP: inuse 4 orphan 0 tw 4 alloc 17 mem 1\nFRAG: memory 5 later 7\n\n")
                .unwrap();
        assert_eq!(got.used, Some(229.0));
        assert_eq!(
            got.protocols[0].states,
            [Some(4.0), Some(0.0), Some(4.0), Some(17.0), Some(1.0), None]
        );
        assert_eq!(
            got.protocols[1].states,
            [Some(0.0), None, None, None, None, Some(5.0)]
        );
        for bad in ["TCP inuse 4", "TCP: inuse", "TCP: inuse x"] {
            assert!(parse(bad).is_err(), "{bad:?}");
        }
    }
}
