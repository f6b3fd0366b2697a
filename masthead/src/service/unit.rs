//! The unit as text: from options, and back to them.
//!
//! ```text
//!  # Made by `masthead service install`; (what to do instead of editing it)
//!  # crc: 1a2b3c4d                               of all that follows, so that edits by hand are noticed
//!  # options: ["--listen","127.0.0.1:9090"]      what a later install keeps
//!  [Unit] ...                                    masthead.service beside this file, filled in
//! ```

use std::net::SocketAddr;
use std::path::Path;

use super::Places;
use super::options::Options;

const MADE_BY: &str = "# Made by `masthead service install`: run that again to change an option. What you want beside it belongs into\n\
                       # `systemctl edit masthead`, which is kept.\n";
const CRC: &str = "# crc: ";
const OPTIONS: &str = "# options: ";
const TEMPLATE: &str = include_str!("masthead.service");
/// Ports below this one want a capability.
const UNPRIVILEGED_PORT: u16 = 1024;

/// What a unit file is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// None is there.
    Absent,
    /// Ours, as it was written.
    Ours {
        /// Its whole text.
        text: String,
        /// What it carries.
        options: Options,
    },
    /// Ours, but changed by hand since.
    Edited,
    /// Somebody else's.
    Foreign,
}

/// The words that the unit runs, the program first.
#[must_use]
pub fn command(places: &Places, options: &Options) -> Vec<String> {
    let mut words = vec![
        places.binary.display().to_string(),
        "up".to_owned(),
        "--data-dir".to_owned(),
        places.data_dir.display().to_string(),
    ];
    words.extend(options.words());
    words
}

/// The unit for these options, which listens there.
#[must_use]
pub fn text(places: &Places, options: &Options, listen: SocketAddr) -> String {
    let exec: Vec<String> = command(places, options).iter().map(|word| quoted(word)).collect();
    let mut capabilities = "CAP_DAC_READ_SEARCH CAP_SYS_PTRACE".to_owned();
    let low_port = (1..UNPRIVILEGED_PORT).contains(&listen.port());
    if low_port {
        capabilities.push_str(" CAP_NET_BIND_SERVICE");
    }
    // Loopback and "all addresses" can be listened on at any time; one address alone has to be there first.
    let waits = !listen.ip().is_loopback() && !listen.ip().is_unspecified();
    let lines = TEMPLATE.lines().filter_map(|line| match line {
        "@NETWORK@" if waits => Some(
            "# The address that is listened on must be there.\nWants=network-online.target\nAfter=network-online.target"
                .to_owned(),
        ),
        "@CAP_NET@" if low_port => {
            Some("#   CAP_NET_BIND_SERVICE the listener's port is below 1024".to_owned())
        }
        "@NETWORK@" | "@CAP_NET@" => None,
        _ => Some(
            line.replace("@EXEC@", &exec.join(" "))
                .replace("@CAPABILITIES@", &capabilities),
        ),
    });
    let mut body = format!("{OPTIONS}{}\n", serde_json::Value::from(options.words()));
    for line in lines {
        body.push_str(&line);
        body.push('\n');
    }
    format!("{MADE_BY}{CRC}{}\n{body}", crc(&body))
}

fn crc(body: &str) -> String {
    format!("{:08x}", crc32fast::hash(body.as_bytes()))
}

/// What the text of a unit file is.
#[must_use]
pub fn read(text: &str) -> Found {
    let Some(rest) = text.strip_prefix(MADE_BY) else {
        return Found::Foreign;
    };
    let parsed = rest
        .strip_prefix(CRC)
        .and_then(|rest| rest.split_once('\n'))
        .filter(|(sum, body)| *sum == crc(body))
        .and_then(|(_, body)| body.strip_prefix(OPTIONS)?.split_once('\n'))
        .and_then(|(words, _)| serde_json::from_str::<Vec<String>>(words).ok())
        .and_then(|words| Options::of_words(&words));
    match parsed {
        Some(options) => Found::Ours {
            text: text.to_owned(),
            options,
        },
        None => Found::Edited,
    }
}

/// Reads a unit file; a link is never ours (systemd masks a unit with one).
///
/// # Errors
/// When there is a file that cannot be read.
pub fn found(path: &Path) -> anyhow::Result<Found> {
    match std::fs::symlink_metadata(path) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Found::Absent),
        Ok(meta) if !meta.is_file() => return Ok(Found::Foreign),
        Ok(_) | Err(_) => {}
    }
    let bytes =
        std::fs::read(path).map_err(|e| anyhow::anyhow!("reading the unit {}: {e}", path.display()))?;
    Ok(read(&String::from_utf8_lossy(&bytes)))
}

/// A word as systemd reads it back: `%` and `$` mean something to it anywhere, and some bytes want quotes.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:,=@+[]*".contains(c);
    let doubled = word.replace('%', "%%").replace('$', "$$");
    if !word.is_empty() && word.chars().all(plain) {
        return doubled;
    }
    let mut text = String::from('"');
    for c in doubled.chars() {
        match c {
            '"' | '\\' => {
                text.push('\\');
                text.push(c);
            }
            '\n' => text.push_str("\\n"),
            '\t' => text.push_str("\\t"),
            _ => text.push(c),
        }
    }
    text.push('"');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(words: &[&str]) -> Options {
        Options::of_words(&words.iter().map(ToString::to_string).collect::<Vec<_>>()).unwrap()
    }

    fn of(words: &[&str], listen: &str) -> String {
        text(&Places::default(), &options(words), listen.parse().unwrap())
    }

    #[test]
    fn the_default_unit_asks_for_no_more_than_it_needs() {
        let unit = of(&[], "127.0.0.1:9090");
        for line in [
            "ExecStart=/usr/local/bin/masthead up --data-dir /var/lib/masthead",
            "CapabilityBoundingSet=CAP_DAC_READ_SEARCH CAP_SYS_PTRACE",
        ] {
            assert!(unit.lines().any(|l| l == line), "{line}\nin\n{unit}");
        }
        assert!(
            !unit.contains("network-online") && !unit.contains("\n@"),
            "{unit}"
        );
    }

    #[test]
    fn what_is_written_is_read_back() {
        let words = [
            "--listen",
            "10.0.0.5:80",
            "--config",
            "/etc/my \"files\"/100%$.yml",
        ];
        let written = of(&words, "10.0.0.5:80");
        let Found::Ours {
            text,
            options: read_back,
        } = read(&written)
        else {
            panic!("not ours: {written}")
        };
        assert_eq!((text, read_back), (written.clone(), options(&words)));
        for line in [
            "ExecStart=/usr/local/bin/masthead up --data-dir /var/lib/masthead --listen 10.0.0.5:80 --config \"/etc/my \\\"files\\\"/100%%$$.yml\"",
            "CapabilityBoundingSet=CAP_DAC_READ_SEARCH CAP_SYS_PTRACE CAP_NET_BIND_SERVICE",
            "Wants=network-online.target",
        ] {
            assert!(written.lines().any(|l| l == line), "{line}\nin\n{written}");
        }
        assert!(!written.contains("\n@"), "{written}");
    }

    #[test]
    fn edits_and_strangers_are_told_apart() {
        let ours = of(&[], "127.0.0.1:9090");
        assert_eq!(read(&ours.replace("RestartSec=5", "RestartSec=9")), Found::Edited);
        assert_eq!(
            read(&ours.replace("options: [", "options: [\"--x\"")),
            Found::Edited
        );
        assert_eq!(
            read("[Service]\nExecStart=/usr/bin/masthead up\n"),
            Found::Foreign
        );
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("masthead.service");
        assert_eq!(found(&path).unwrap(), Found::Absent);
        std::os::unix::fs::symlink("/dev/null", &path).unwrap();
        assert_eq!(found(&path).unwrap(), Found::Foreign);
    }
}
