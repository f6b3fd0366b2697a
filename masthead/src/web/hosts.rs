//! Which names a listener may be called by.
//!
//! A page of another site can have its own name point to 127.0.0.1 (DNS rebinding); the browser then takes our answers for that
//! site's own and lets its script read them. Such a request gives itself away by its `Host`: the other site's name.
//! So a listener without users answers only to names that cannot be somebody else's: addresses, `localhost`, this machine's
//! name, and names that the person allows. With users there is no need: the browser sends a password to no other name; with
//! `--insecure` something else guards the port.

use std::net::IpAddr;

/// The names that are answered to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Hosts {
    /// All.
    Any,
    /// Addresses, `localhost`, and these, in lower case.
    Only(Vec<String>),
}

impl Hosts {
    /// The names of a listener without users: this machine's own and those that were allowed; `*` allows all.
    #[must_use]
    pub fn of(hostname: &str, allowed: &[String]) -> Self {
        if allowed.iter().any(|name| name == "*") {
            return Self::Any;
        }
        let short = hostname.split('.').next().unwrap_or(hostname);
        let own = [hostname.to_owned(), short.to_owned(), format!("{short}.local")];
        Self::Only(
            own.iter()
                .chain(allowed)
                .map(|name| name.trim_end_matches('.').to_ascii_lowercase())
                .collect(),
        )
    }

    /// May a request with this `Host` (or `:authority`) be answered? Without one there is no browser behind it.
    #[must_use]
    pub fn allow(&self, host: Option<&str>) -> bool {
        let Self::Only(names) = self else { return true };
        let Some(host) = host else { return true };
        let name = name_of(host).trim_end_matches('.').to_ascii_lowercase();
        name.is_empty()
            || name.parse::<IpAddr>().is_ok()
            || name == "localhost"
            || name.ends_with(".localhost")
            || names.contains(&name)
    }
}

/// The host without its port and the brackets of an IPv6 address.
fn name_of(host: &str) -> &str {
    if let Some(rest) = host.strip_prefix('[') {
        return rest.split(']').next().unwrap_or(rest);
    }
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => name,
        _ => host,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_that_are_ours_are_answered_to() {
        let hosts = Hosts::of("Web1.example.org", &["Monitor.example.com".to_owned()]);
        for (host, want) in [
            (None, true),
            (Some(""), true),
            (Some("127.0.0.1:9090"), true),
            (Some("10.1.2.3"), true),
            (Some("[::1]:9090"), true),
            (Some("localhost:9090"), true),
            (Some("LOCALHOST"), true),
            (Some("app.localhost"), true),
            (Some("web1.example.org:9090"), true),
            (Some("web1"), true),
            (Some("web1.local"), true),
            (Some("web1."), true),
            (Some("monitor.example.com"), true),
            (Some("evil.example:9090"), false),
            (Some("localhost.evil.example"), false),
            (Some("127.0.0.1.evil.example"), false),
            (Some("web1.evil.example"), false),
            (Some("[not closed"), false),
        ] {
            assert_eq!(hosts.allow(host), want, "{host:?}");
        }
    }

    #[test]
    fn a_star_allows_all() {
        assert!(Hosts::of("web1", &["*".to_owned()]).allow(Some("evil.example")));
    }
}
