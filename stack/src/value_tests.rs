//! Texts that are values, and texts that are none with the words of their errors.

use super::{Duration, NetworkName, ServerName, Size};

/// Each text with what it means, or with words of its error.
fn check<T>(cases: &[(&str, Result<u64, &str>)], value: impl Fn(&T) -> u64)
where
    T: std::str::FromStr<Err = super::ValueError> + std::fmt::Display,
{
    for (text, expected) in cases {
        match (text.parse::<T>(), expected) {
            (Ok(parsed), Ok(expected)) => {
                assert_eq!(value(&parsed), *expected, "{text}");
                assert_eq!(parsed.to_string(), *text, "the text stays");
            }
            (Err(error), Err(words)) => {
                let error = error.to_string();
                assert!(error.contains(words), "{text}: {error}");
                assert!(error.contains("write "), "{text}: {error} says no form that fits");
            }
            (Ok(parsed), Err(words)) => panic!("{text} was taken as {parsed}, expected: {words}"),
            (Err(error), Ok(_)) => panic!("{text}: {error}"),
        }
    }
}

#[test]
fn durations_are_those_of_prometheus_from_a_second_on() {
    check::<Duration>(
        &[
            ("15s", Ok(15_000)),
            ("15d", Ok(15 * 86_400_000)),
            ("1h30m", Ok(5_400_000)),
            ("1m500ms", Ok(60_500)),
            ("1500ms", Ok(1500)),
            (
                "1y1w1d1h1m1s1ms",
                Ok((365 + 7 + 1) * 86_400_000 + 3_600_000 + 60_000 + 1001),
            ),
            ("0d1s", Ok(1000)),
            ("292y", Ok(292 * 365 * 86_400_000)),
            ("293y", Err("longer than 292 years")),
            ("99999999999999999999s", Err("longer than 292 years")),
            ("", Err("empty")),
            ("0", Err("no unit after 0")),
            ("0s", Err("shorter than a second")),
            ("999ms", Err("shorter than a second")),
            ("15", Err("no unit after 15")),
            ("d", Err("no number before")),
            ("15 d", Err("is no unit")),
            ("15D", Err("is no unit")),
            ("1.5h", Err("is no unit")),
            ("-15s", Err("no number before")),
            ("30m1h", Err("after a shorter one")),
            ("1h1h", Err("twice")),
            ("15s\n", Err("is no unit")),
        ],
        Duration::millis,
    );
}

#[test]
fn sizes_are_those_of_prometheus_without_a_sign() {
    check::<Size>(
        &[
            ("1B", Ok(1)),
            ("512MB", Ok(512 << 20)),
            ("5GB", Ok(5 << 30)),
            ("5GiB", Ok(5 << 30)),
            ("1.5KB", Ok(1536)),
            (".5KB", Ok(512)),
            ("1GB512MB", Ok((1 << 30) + (512 << 20))),
            ("1KiB1B", Ok(1025)),
            ("7EB", Ok(7 << 60)),
            ("8EB", Err("more than 8EB")),
            ("", Err("empty")),
            ("0B", Err("less than a byte")),
            ("5", Err("no unit")),
            ("GB", Err("no number")),
            ("5 GB", Err("is no unit")),
            ("5gb", Err("is no unit")),
            ("5kB", Err("is no unit")),
            ("5G", Err("is no unit")),
            ("5iB", Err("is no unit")),
            ("1.2.3GB", Err("no number")),
            ("-5GB", Err("no number")),
            ("1GB1MiB", Err("mixes")),
        ],
        Size::bytes,
    );
}

#[test]
fn names_of_servers_are_printable() {
    let long = "a".repeat(129);
    for (text, expected) in [
        ("web-1", Ok(())),
        ("größe $HOME \"quoted\" \\ 東京", Ok(())),
        (&long[1..], Ok(())),
        ("", Err("empty")),
        (&long, Err("longer than 128")),
        (" web", Err("begins or ends")),
        ("we\nb", Err("control character")),
        ("we\u{85}b", Err("control character")),
    ] {
        match (text.parse::<ServerName>(), expected) {
            (Ok(name), Ok(())) => assert_eq!(name.to_string(), text),
            (Err(error), Err(words)) => assert!(error.to_string().contains(words), "{error}"),
            (got, expected) => panic!("{text:?}: {got:?}, expected {expected:?}"),
        }
    }
}

#[test]
fn a_kept_value_that_is_wrong_is_refused_as_it_is_read() {
    assert!(serde_json::from_str::<Duration>("\"15s\"").is_ok());
    let error = serde_json::from_str::<Duration>("\"15\"")
        .unwrap_err()
        .to_string();
    assert!(error.contains("is no duration"), "{error}");
    assert!(serde_json::from_str::<Size>("5").is_err());
}

#[test]
fn networks_are_those_that_containers_share_by_name() {
    for text in ["shop_default", "a", "dokploy-network", "1.b"] {
        assert_eq!(text.parse::<NetworkName>().unwrap().to_string(), text);
    }
    for (text, why) in [
        ("", "of letters"),
        ("-x", "begin with a letter"),
        ("a b", "of letters"),
        ("a/b", "of letters"),
        ("host", "no network that a container shares"),
        ("none", "no network that a container shares"),
        ("bridge", "no names in the default network"),
        ("masthead", "the stack's own"),
        ("masthead-discovery", "the stack's own"),
    ] {
        let error = text.parse::<NetworkName>().unwrap_err().to_string();
        assert!(
            error.contains(why) && error.contains("docker network ls"),
            "{text}: {error}"
        );
    }
}
