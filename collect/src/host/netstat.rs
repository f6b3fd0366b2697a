//! `netstat`: the protocols' counters, from `/proc/net/netstat`, `/proc/net/snmp` and `/proc/net/snmp6`.
//!
//! The first two have pairs of lines, names above values; the third has a name and a value a line.

use std::collections::HashMap;

use model::MetricType;

use super::Collector;
use crate::error::{CollectError, Fault};
use crate::input::{Input, Source, number};
use crate::options::{Filter, Options};
use crate::output::Output;

/// The filter's answers are kept for so many names; there are some 400.
const KNOWN_MAX: usize = 4096;

/// Calls `each(protocol, name, value)` for every counter of a file of pairs.
pub(super) fn parse<'a>(text: &'a str, mut each: impl FnMut(&'a str, &'a str, f64)) -> Result<(), Fault> {
    let mut lines = text.lines().enumerate();
    while let Some((index, names)) = lines.next() {
        if names.is_empty() {
            continue;
        }
        let values = lines.next().map(|(_, line)| line).unwrap_or_default();
        let mut names_left = names.split_ascii_whitespace();
        let mut values_left = values.split_ascii_whitespace();
        let protocol = names_left.next().and_then(|word| word.strip_suffix(':'));
        let protocol = protocol.ok_or_else(|| Fault::new(index, "a protocol and a colon", names))?;
        values_left.next();
        loop {
            match (names_left.next(), values_left.next()) {
                (Some(name), Some(value)) => {
                    let value = number(value).ok_or_else(|| Fault::new(index + 1, "a number", value))?;
                    each(protocol, name, value);
                }
                (None, None) => break,
                (Some(_), None) | (None, Some(_)) => {
                    return Err(Fault::new(
                        index + 1,
                        &format!("as many values of {protocol} as names"),
                        values,
                    ));
                }
            }
        }
    }
    Ok(())
}

/// Calls `each(protocol, name, value)` for the counters of `/proc/net/snmp6`: the protocol's name ends with the first
/// `6`. Lines without one, and values that are no numbers (there are addresses in some), are not counters.
pub(super) fn parse_v6<'a>(text: &'a str, mut each: impl FnMut(&'a str, &'a str, f64)) {
    for line in text.lines() {
        let mut words = line.split_ascii_whitespace();
        let (Some(key), Some(value)) = (words.next(), words.next()) else {
            continue;
        };
        let Some(six) = key.find('6') else { continue };
        let (protocol, name) = key.split_at(six + 1);
        if let Some(value) = number(value) {
            each(protocol, name, value);
        }
    }
}

/// The collector.
#[derive(Debug)]
pub(super) struct NetStat {
    files: [Source; 2],
    file_v6: Source,
    fields: Fields,
}

/// The filter of fields with its answers of earlier rounds, since an expression over 400 names costs more than all the
/// rest here.
#[derive(Debug)]
struct Fields {
    filter: Filter,
    known: HashMap<String, bool>,
    key: String,
}

impl Fields {
    fn add(&mut self, protocol: &str, name: &str, value: f64, out: &mut Output) {
        self.key.clear();
        self.key.push_str(protocol);
        self.key.push('_');
        self.key.push_str(name);
        let ignored = match self.known.get(&self.key) {
            Some(ignored) => *ignored,
            None => {
                let ignored = self.filter.ignores(&self.key);
                if self.known.len() < KNOWN_MAX {
                    self.known.insert(self.key.clone(), ignored);
                }
                ignored
            }
        };
        if !ignored {
            let help = format!("Statistic {protocol}{name}.");
            out.named(
                format!("node_netstat_{}", self.key),
                help,
                MetricType::Unknown,
                value,
            );
        }
    }
}

impl NetStat {
    pub(super) fn new(options: &Options) -> Self {
        let net = options.paths.procfs.join("net");
        Self {
            files: ["netstat", "snmp"].map(|name| Source::new(net.join(name))),
            file_v6: Source::new(net.join("snmp6")),
            fields: Fields {
                filter: options.filters.netstat_fields.clone(),
                known: HashMap::new(),
                key: String::new(),
            },
        }
    }
}

impl Collector for NetStat {
    fn collect(&mut self, _now_ms: i64, input: &mut Input, out: &mut Output) -> Result<(), CollectError> {
        for file in &mut self.files {
            parse(input.source(file)?, |protocol, name, value| {
                self.fields.add(protocol, name, value, out)
            })
            .map_err(|fault| fault.at(file.path()))?;
        }
        match input.source(&mut self.file_v6) {
            Ok(text) => parse_v6(text, |protocol, name, value| {
                self.fields.add(protocol, name, value, out)
            }),
            // A host without IPv6 has no such file.
            Err(error) if error.is_not_found() => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(text: &str) -> Result<Vec<(String, f64)>, Fault> {
        let mut got = Vec::new();
        parse(text, |protocol, name, value| {
            got.push((format!("{protocol}_{name}"), value))
        })?;
        Ok(got)
    }

    #[test]
    fn names_stand_above_values() {
        let text = "Ip: Forwarding DefaultTTL\nIp: 1 64\nTcp: MaxConn\nTcp: -1\n";
        let want = [
            ("Ip_Forwarding", 1.0),
            ("Ip_DefaultTTL", 64.0),
            ("Tcp_MaxConn", -1.0),
        ];
        assert_eq!(
            pairs(text).unwrap(),
            want.map(|(name, value)| (name.to_owned(), value))
        );
        for (bad, line) in [
            ("Ip Forwarding\nIp 1", 1),
            ("Ip: A B\nIp: 1", 2),
            ("Ip: A\n", 2),
            ("Ip: A\nIp: x\n", 2),
        ] {
            assert_eq!(pairs(bad).unwrap_err().line, line, "{bad:?}");
        }
    }

    #[test]
    fn version_6_names_carry_their_protocol() {
        let mut got = Vec::new();
        let text =
            "Ip6InReceives  \t7\nIcmp6InType134 4\nUdpLite6InErrors 0\nNothing 1\nIp6Short\nIp6Odd fe80::1\n";
        parse_v6(text, |protocol, name, value| {
            got.push((protocol.to_owned(), name.to_owned(), value))
        });
        let want = [
            ("Ip6", "InReceives", 7.0),
            ("Icmp6", "InType134", 4.0),
            ("UdpLite6", "InErrors", 0.0),
        ];
        assert_eq!(
            got,
            want.map(|(protocol, name, value)| (protocol.to_owned(), name.to_owned(), value))
        );
    }
}
