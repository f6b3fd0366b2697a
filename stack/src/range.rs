//! Choice of the network's range. Pure.

use std::net::Ipv4Addr;

use crate::Range;

/// Where a /24 is looked for, in this order. Docker's own pools begin at 172.17.0.0 and 192.168.0.0 and grow from there, so these
/// are the ones that it comes to last; the 10.x are there for hosts where private networks fill 172.16.0.0/12.
const SECTIONS: [(u8, u8); 7] = [
    (172, 29),
    (172, 30),
    (172, 31),
    (172, 28),
    (10, 213),
    (10, 87),
    (192, 168),
];
/// The third number of the first candidate in each section: people rarely choose it.
const FIRST: u8 = 241;
/// A route to more than this is a way out (`0.0.0.0/0`, or the two halves that VPNs set), no neighbour.
const SHORTEST_PREFIX: u8 = 8;

/// A /24 that overlaps none of the used ranges (`172.17.0.0/16`, or an address alone): those of the engine's networks, of the host's
/// interfaces and of its routes. What is no IPv4 range is passed over, and so are default routes. `None` when all candidates are used.
#[must_use]
pub fn free<S: AsRef<str>>(used: &[S]) -> Option<Range> {
    let used: Vec<(u32, u8)> = used.iter().filter_map(|text| parse(text.as_ref())).collect();
    let candidates = SECTIONS.iter().flat_map(|(first, second)| {
        (0..=u8::MAX).map(move |n| Ipv4Addr::new(*first, *second, FIRST.wrapping_add(n), 0))
    });
    candidates
        .into_iter()
        .find(|candidate| {
            !used
                .iter()
                .any(|range| overlaps(*range, (candidate.to_bits(), 24)))
        })
        .map(|candidate| Range {
            subnet: format!("{candidate}/24"),
            gateway: Ipv4Addr::from_bits(candidate.to_bits() + 1),
        })
}

/// Address and prefix length.
fn parse(text: &str) -> Option<(u32, u8)> {
    let (address, prefix) = text.trim().split_once('/').unwrap_or((text.trim(), "32"));
    let address: Ipv4Addr = address.parse().ok()?;
    let prefix: u8 = prefix.parse().ok().filter(|prefix| *prefix <= 32)?;
    (prefix >= SHORTEST_PREFIX).then_some((address.to_bits(), prefix))
}

/// Prefixes are 8 to 32.
fn overlaps(a: (u32, u8), b: (u32, u8)) -> bool {
    let mask = u32::MAX << (32 - a.1.min(b.1));
    a.0 & mask == b.0 & mask
}

#[cfg(test)]
mod tests {
    use super::free;

    #[test]
    fn the_first_range_that_nobody_uses() {
        for (used, expected) in [
            (&[][..], Some("172.29.241.0/24 172.29.241.1")),
            (
                &["172.17.0.0/16", "192.168.1.0/24"],
                Some("172.29.241.0/24 172.29.241.1"),
            ),
            (&["172.29.241.0/24"], Some("172.29.242.0/24 172.29.242.1")),
            // An interface's own address, a part of the candidate, a host without a prefix.
            (&["172.29.241.7/24"], Some("172.29.242.0/24 172.29.242.1")),
            (
                &["172.29.241.128/25", "172.29.242.9"],
                Some("172.29.243.0/24 172.29.243.1"),
            ),
            (&["172.29.0.0/16"], Some("172.30.241.0/24 172.30.241.1")),
            (&["172.16.0.0/12"], Some("10.213.241.0/24 10.213.241.1")),
            (
                &["172.16.0.0/12", "10.0.0.0/8"],
                Some("192.168.241.0/24 192.168.241.1"),
            ),
            // Counting goes round within the section.
            (&["172.29.240.0/20"], Some("172.29.0.0/24 172.29.0.1")),
            // No neighbours: the way out, a VPN's halves, IPv6, no range at all.
            (
                &[
                    "0.0.0.0/0",
                    "0.0.0.0/1",
                    "128.0.0.0/1",
                    "fd00::/8",
                    "",
                    "172.29.241.0/33",
                    "x",
                ],
                Some("172.29.241.0/24 172.29.241.1"),
            ),
            (&["172.16.0.0/12", "10.0.0.0/8", "192.168.0.0/16"], None),
        ] {
            let got = free(used).map(|range| format!("{} {}", range.subnet, range.gateway));
            assert_eq!(got.as_deref(), expected, "{used:?}");
        }
    }
}
