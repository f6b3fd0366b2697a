//! A server that is reached over SSH: its name here, and how `ssh` finds it.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::ServerName;
use crate::value::ValueError;

/// A registered server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Server {
    /// Unique among the registered ones; the external label `server` of its stack follows it.
    pub name: ServerName,
    /// Where it is.
    pub address: Address,
    /// A private key to use and no other; the file is referred to, never copied.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity: Option<PathBuf>,
    /// Where the stack's files are there, if not at the usual place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base_dir: Option<PathBuf>,
    /// Docker's socket there, if not the usual one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub docker_socket: Option<PathBuf>,
}

/// `[user@]host[:port]`: what is not said, `ssh`'s own configuration says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Address {
    /// Whom to log in as.
    pub user: Option<String>,
    /// A name, an alias of `ssh`'s configuration, or an IP address, without brackets.
    pub host: String,
    /// The port of its sshd.
    pub port: Option<u16>,
}

impl FromStr for Address {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = |why: &str| ValueError {
            text: text.to_owned(),
            what: "address of a server",
            why: why.to_owned(),
            forms: "write it as root@203.0.113.7, deploy@web-2.example.com:2222, an alias of ~/.ssh/config, or root@[2001:db8::7]:22",
        };
        let (user, rest) = match text.rsplit_once('@') {
            Some((user, rest)) => (Some(user), rest),
            None => (None, text),
        };
        let (host, port) = match rest.strip_prefix('[') {
            Some(rest) => {
                let (host, after) = rest.split_once(']').ok_or_else(|| wrong("a ] is missing"))?;
                match after {
                    "" => (host, None),
                    after => (
                        host,
                        Some(
                            after
                                .strip_prefix(':')
                                .ok_or_else(|| wrong("only :PORT may follow ]"))?,
                        ),
                    ),
                }
            }
            // More than one colon is an IPv6 address without brackets.
            None => match rest.split_once(':') {
                Some((host, port)) if !port.contains(':') => (host, Some(port)),
                _ => (rest, None),
            },
        };
        let port = port
            .map(|port| {
                let is_number = port.bytes().all(|byte| byte.is_ascii_digit());
                let number = port.parse().ok().filter(|number| is_number && *number > 0);
                number.ok_or_else(|| wrong("the port is no number from 1 to 65535"))
            })
            .transpose()?;
        for (part, what) in user
            .map(|user| (user, "the user"))
            .into_iter()
            .chain([(host, "the host")])
        {
            if part.is_empty() {
                return Err(wrong(&format!("{what} is empty")));
            }
            // `ssh` would take it for an option, or the remote shell would read it.
            if part.starts_with('-') {
                return Err(wrong(&format!("{what} begins with -")));
            }
            let is_plain = |c: char| c.is_alphanumeric() || "-_.:%+".contains(c);
            if !part.chars().all(is_plain) {
                return Err(wrong(&format!("{what} has a character that no name has")));
            }
        }
        Ok(Self {
            user: user.map(ToOwned::to_owned),
            host: host.to_owned(),
            port,
        })
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(user) = &self.user {
            write!(f, "{user}@")?;
        }
        match (self.host.contains(':'), self.port) {
            (true, Some(port)) => write!(f, "[{}]:{port}", self.host),
            (true, None) => write!(f, "[{}]", self.host),
            (false, Some(port)) => write!(f, "{}:{port}", self.host),
            (false, None) => f.write_str(&self.host),
        }
    }
}

impl TryFrom<String> for Address {
    type Error = ValueError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<Address> for String {
    fn from(address: Address) -> Self {
        address.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_and_written_alike() {
        for (text, user, host, port) in [
            ("web", None, "web", None),
            ("root@203.0.113.7", Some("root"), "203.0.113.7", None),
            (
                "deploy@web-2.example.com:2222",
                Some("deploy"),
                "web-2.example.com",
                Some(2222),
            ),
            ("root@[2001:db8::7]:22", Some("root"), "2001:db8::7", Some(22)),
            ("[fe80::1%eth0]", None, "fe80::1%eth0", None),
        ] {
            let address: Address = text.parse().expect(text);
            assert_eq!(
                (address.user.as_deref(), address.host.as_str(), address.port),
                (user, host, port)
            );
            assert_eq!(address.to_string(), text);
        }
        let bare: Address = "2001:db8::7".parse().expect("IPv6");
        assert_eq!(bare.to_string(), "[2001:db8::7]");
    }

    #[test]
    fn what_ssh_or_a_shell_would_misread_is_refused() {
        for text in [
            "",
            "@web",
            "root@",
            "root@-oProxyCommand=x",
            "-l@web",
            "web:0",
            "web:65536",
            "web:+22",
            "web:",
            "a b",
            "web\n",
            "web;id",
            "$(id)@web",
            "[::1",
            "[::1]22",
            "root@[]",
            "`id`",
        ] {
            let error = text.parse::<Address>().expect_err(text).to_string();
            assert!(error.contains("root@203.0.113.7"), "{error}");
        }
    }
}
