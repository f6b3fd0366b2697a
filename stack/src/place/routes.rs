//! Ranges that the host has routes to, from `/proc/net/route`: a network of ours must not take what already leads somewhere.

use std::net::Ipv4Addr;
use std::path::Path;

use crate::StackError;

pub(super) const TABLE: &str = "/proc/net/route";

pub(super) fn ranges() -> Result<Vec<String>, StackError> {
    let table = Path::new(TABLE);
    let text = std::fs::read_to_string(table).map_err(|error| StackError::file("reading", table, error))?;
    Ok(parse(&text))
}

/// Columns: interface, destination, gateway, flags, use counts, metric, mask; addresses as hexadecimal numbers in the machine's
/// own order of bytes.
pub(super) fn parse(text: &str) -> Vec<String> {
    let address = |word: &str| u32::from_str_radix(word, 16).ok().map(u32::to_ne_bytes);
    let mut ranges: Vec<String> = text
        .lines()
        .skip(1)
        .filter_map(|line| {
            let words: Vec<&str> = line.split_whitespace().collect();
            let destination = Ipv4Addr::from(address(words.get(1)?)?);
            let bits = u32::from_be_bytes(address(words.get(7)?)?).leading_ones();
            (bits > 0).then(|| format!("{destination}/{bits}"))
        })
        .collect();
    ranges.sort();
    ranges.dedup();
    ranges
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn routes_are_ranges_but_for_the_default_one() {
        let text = "\
Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT
eth0\t00000000\t0102A8C0\t0003\t0\t0\t100\t00000000\t0\t0\t0
eth0\t0002A8C0\t00000000\t0001\t0\t0\t100\t00FFFFFF\t0\t0\t0
docker0\t000011AC\t00000000\t0001\t0\t0\t0\t0000FFFF\t0\t0\t0
tun0\t0000000A\t00000000\t0001\t0\t0\t0\t000000FF\t0\t0\t0
tun0\t0000000A\t00000000\t0001\t0\t0\t0\t000000FF\t0\t0\t0
odd
";
        let want = ["10.0.0.0/8", "172.17.0.0/16", "192.168.2.0/24"];
        if cfg!(target_endian = "little") {
            assert_eq!(parse(text), want);
        }
        assert!(ranges().is_ok());
    }
}
