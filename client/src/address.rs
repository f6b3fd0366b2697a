//! The address of an API: what people write, and what they may be shown.

/// `host:port` is an address too.
#[must_use]
pub fn full_url(url: &str) -> String {
    if url.contains("://") {
        url.to_owned()
    } else {
        format!("http://{url}")
    }
}

/// The address without the user and the password that may stand in it: for whatever people see.
#[must_use]
pub fn without_password(url: &str) -> String {
    let (scheme, rest) = match url.split_once("://") {
        // A password may hold anything, `://` too: what stands before must be a scheme.
        Some((scheme, rest))
            if scheme
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c)) =>
        {
            (scheme, rest)
        }
        _ => ("", url),
    };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    if scheme.is_empty() {
        format!("{host}{path}")
    } else {
        format!("{scheme}://{host}{path}")
    }
}

/// Is this the machine itself? It is asked without the proxy of the environment, as Go's programs do.
pub(crate) fn is_loopback(host: &str) -> bool {
    let host = host.trim_start_matches('[').trim_end_matches(']');
    host.eq_ignore_ascii_case("localhost")
        || host
            .parse::<std::net::IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_in_the_address_is_not_shown() {
        for (url, want) in [
            ("http://ann:secret@10.0.0.5:9090", "http://10.0.0.5:9090"),
            ("http://ann:sec@ret@10.0.0.5:9090/x@y", "http://10.0.0.5:9090/x@y"),
            ("http://10.0.0.5:9090/x", "http://10.0.0.5:9090/x"),
            ("ann:secret@host", "host"),
        ] {
            assert_eq!(without_password(url), want);
        }
        assert_eq!(full_url("10.0.0.5:9090"), "http://10.0.0.5:9090");
        assert_eq!(full_url("https://h"), "https://h");
    }

    #[test]
    fn the_machine_itself_is_known() {
        for (host, want) in [
            ("localhost", true),
            ("127.0.0.1", true),
            ("127.9.9.9", true),
            ("[::1]", true),
            ("10.0.0.5", false),
            ("localhost.example", false),
        ] {
            assert_eq!(is_loopback(host), want, "{host}");
        }
    }
}
