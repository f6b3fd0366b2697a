//! TCP sockets that listen on this machine, from `/proc/net/tcp` and `tcp6`, and the programs behind them, from `/proc/PID/fd`.

use std::collections::HashMap;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::Path;

use crate::StackError;
use crate::ports::Listening;

/// The kernel's number of the state `LISTEN`.
const LISTEN: &str = "0A";

pub(super) fn listening() -> Result<Vec<Listening>, StackError> {
    let table = Path::new("/proc/net/tcp");
    let mut text = fs::read_to_string(table).map_err(|error| StackError::file("reading", table, error))?;
    // Where IPv6 is off there is no such file.
    text.push_str(&fs::read_to_string("/proc/net/tcp6").unwrap_or_default());
    Ok(with_owners(&text, &programs()))
}

/// The sockets of these tables that listen, with their owners by inode.
pub(super) fn with_owners(tables: &str, owners: &HashMap<u64, String>) -> Vec<Listening> {
    parse(tables)
        .into_iter()
        .map(|(address, port, inode)| Listening {
            address,
            port,
            owner: owners.get(&inode).cloned(),
        })
        .collect()
}

/// Programs by the inodes of their sockets, from lines `/proc/PID/comm:NAME` and the listing of `ls -l /proc/PID/fd ...`.
pub(super) fn parse_owners(text: &str) -> HashMap<u64, String> {
    let mut names = HashMap::new();
    let mut owners = HashMap::new();
    let mut process = "";
    for line in text.lines() {
        let of_process = |end: &str| {
            line.strip_prefix("/proc/")
                .and_then(|rest| rest.strip_suffix(end))
        };
        if let Some((pid, name)) = line
            .strip_prefix("/proc/")
            .and_then(|rest| rest.split_once("/comm:"))
        {
            names.insert(pid, name);
        } else if let Some(pid) = of_process("/fd:") {
            process = pid;
        } else if let Some(inode) = line
            .split_once("socket:[")
            .and_then(|(_, rest)| rest.strip_suffix(']')?.parse().ok())
            && let Some(name) = names.get(process)
        {
            owners.insert(inode, (*name).to_owned());
        }
    }
    owners
}

/// Address, port and inode of each socket that listens.
fn parse(text: &str) -> Vec<(IpAddr, u16, u64)> {
    text.lines()
        .filter_map(|line| {
            let words: Vec<&str> = line.split_whitespace().collect();
            if words.get(3) != Some(&LISTEN) {
                return None;
            }
            let (address, port) = words.get(1)?.split_once(':')?;
            Some((
                address_of(address)?,
                u16::from_str_radix(port, 16).ok()?,
                words.get(9)?.parse().ok()?,
            ))
        })
        .collect()
}

/// Four bytes each are printed as one number in the machine's own order.
#[expect(clippy::host_endian_bytes, reason = "the kernel prints them so")]
fn address_of(word: &str) -> Option<IpAddr> {
    let mut bytes = Vec::with_capacity(16);
    for at in (0..word.len()).step_by(8) {
        let number = u32::from_str_radix(word.get(at..at + 8)?, 16).ok()?;
        bytes.extend(number.to_ne_bytes());
    }
    if let Ok(four) = <[u8; 4]>::try_from(bytes.as_slice()) {
        return Some(IpAddr::V4(Ipv4Addr::from(four)));
    }
    let sixteen = <[u8; 16]>::try_from(bytes.as_slice()).ok()?;
    Some(Ipv6Addr::from(sixteen).to_canonical())
}

/// Programs by the inodes of their sockets; of other users' programs only root sees them.
fn programs() -> HashMap<u64, String> {
    let mut programs = HashMap::new();
    for process in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let is_process = process.file_name().to_string_lossy().parse::<u32>().is_ok();
        if !is_process {
            continue;
        }
        let mut name = None;
        for file in fs::read_dir(process.path().join("fd"))
            .into_iter()
            .flatten()
            .flatten()
        {
            let Ok(target) = fs::read_link(file.path()) else {
                continue;
            };
            let target = target.to_string_lossy();
            let inode = target
                .strip_prefix("socket:[")
                .and_then(|rest| rest.strip_suffix(']'))
                .and_then(|inode| inode.parse().ok());
            if let Some(inode) = inode {
                let name = name.get_or_insert_with(|| {
                    fs::read_to_string(process.path().join("comm"))
                        .map(|name| name.trim().to_owned())
                        .unwrap_or_default()
                });
                programs.insert(inode, name.clone());
            }
        }
    }
    programs
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_tables_are_read() {
        let text = "\
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:2382 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 36208 1 0000000000000000 100 0 0 10 0
   1: 00000000:0016 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 21571 1 0000000000000000 100 0 0 10 0
   2: 0100007F:2382 0100007F:C350 01 00000000:00000000 00:00000000 00000000     0        0 40001 1 0000000000000000 20 4 30 10 -1
  sl  local_address                         remote_address                        st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 00000000000000000000000000000000:1F90 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 52001 1 0000000000000000 100 0 0 10 0
   1: 0000000000000000FFFF00000100007F:0050 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 52002 1 0000000000000000 100 0 0 10 0
torn: 01
";
        if cfg!(target_endian = "little") {
            let got: Vec<String> = parse(text)
                .into_iter()
                .map(|(address, port, inode)| format!("{address} {port} {inode}"))
                .collect();
            assert_eq!(
                got,
                [
                    "127.0.0.1 9090 36208",
                    "0.0.0.0 22 21571",
                    ":: 8080 52001",
                    "127.0.0.1 80 52002"
                ]
            );
        }
    }

    #[test]
    fn owners_are_read_from_listings() {
        let text = "\
/proc/1/comm:init
/proc/77/comm:docker-proxy
/proc/1/fd:
total 0
lrwx------ 1 root root 64 Nov 27 12:00 0 -> /dev/null
lrwx------ 1 root root 64 Nov 27 12:00 3 -> socket:[21571]
/proc/77/fd:
lrwx------ 1 root root 64 Nov 27 12:00 4 -> socket:[36208]
/proc/99/fd:
lrwx------ 1 root root 64 Nov 27 12:00 4 -> socket:[5]
";
        let owners = parse_owners(text);
        assert_eq!(owners.len(), 2);
        assert_eq!(owners.get(&36208).map(String::as_str), Some("docker-proxy"));
        assert_eq!(owners.get(&21571).map(String::as_str), Some("init"));
        assert!(parse_owners("odd").is_empty());
    }

    #[test]
    fn a_socket_of_our_own_is_found_with_our_name() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("bind");
        let port = listener.local_addr().expect("address").port();
        let found = listening().expect("tables");
        let ours = found.iter().find(|socket| socket.port == port).expect("ours");
        assert_eq!(ours.address, IpAddr::V4(Ipv4Addr::LOCALHOST));
        let comm = fs::read_to_string("/proc/self/comm").expect("comm");
        // A test runs in a thread with a name of its own; the process' name is what is wanted.
        assert!(
            ours.owner.as_deref().is_some_and(|name| !name.is_empty()),
            "{comm}"
        );
    }
}
