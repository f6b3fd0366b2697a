//! Expositions, right and wrong, as tables; properties; the fuzz corpus.

use std::fmt::Write as _;
use std::path::Path;

use proptest::prelude::*;

use super::*;

/// Writes down everything it is given, one line a call.
#[derive(Default)]
struct Log(String);

impl Sink for Log {
    fn sample(&mut self, sample: Sample<'_>) -> Result<(), String> {
        for pair in sample.pairs() {
            let (name, value) = pair?;
            let _ = write!(self.0, "{name}={value:?} ");
        }
        let _ = write!(self.0, "-> {:?}", sample.value);
        if let Some(t_ms) = sample.timestamp_ms {
            let _ = write!(self.0, " @{t_ms}");
        }
        self.0.push('\n');
        Ok(())
    }

    fn metadata(&mut self, metadata: Metadata<'_>) {
        let _ = writeln!(self.0, "{metadata:?}");
    }
}

fn check(format: Format, body: &str, want: Result<&str, (usize, &str)>) {
    let mut log = Log::default();
    let got = parse(body.as_bytes(), format, &mut log);
    match (got, want) {
        (Ok(()), Ok(want)) => assert_eq!(log.0.trim_end(), want.trim_end(), "{body:?}"),
        (Err(error), Err((line, part))) => {
            assert_eq!(error.line, line, "{body:?}: {error}");
            assert!(error.fault.contains(part), "{body:?}: {error}");
        }
        (got, want) => panic!("{body:?}: got {got:?} {}, want {want:?}", log.0),
    }
}

#[test]
fn samples() {
    for (line, want) in [
        ("up 1", "__name__=\"up\" -> 1.0"),
        ("  up\t 1  ", "__name__=\"up\" -> 1.0"),
        ("up 1 1700000000000", "__name__=\"up\" -> 1.0 @1700000000000"),
        ("up 1 -5", "__name__=\"up\" -> 1.0 @-5"),
        ("a:b{} 1.5e3", "__name__=\"a:b\" -> 1500.0"),
        (r#"m{a="1",b="2"} 3"#, r#"__name__="m" a="1" b="2" -> 3.0"#),
        (r#"m{a="1",}3"#, r#"__name__="m" a="1" -> 3.0"#),
        (r#"m { a = "1" , b="" } 3"#, r#"__name__="m" a="1" b="" -> 3.0"#),
        (
            r#"m{a="} 1 \"x\" \\ \n \q"} 3"#,
            "__name__=\"m\" a=\"} 1 \\\"x\\\" \\\\ \\n \\\\q\" -> 3.0",
        ),
        (
            r#"{"my.metric","a.b"="c",d="e"} 1"#,
            r#"__name__="my.metric" a.b="c" d="e" -> 1.0"#,
        ),
        (r#"{a="b","my.metric"} 1"#, r#"a="b" __name__="my.metric" -> 1.0"#),
        (r#"m{"a b"="ü✓"} 1"#, r#"__name__="m" a b="ü✓" -> 1.0"#),
        ("m NaN", "__name__=\"m\" -> NaN"),
        ("m +Inf", "__name__=\"m\" -> inf"),
        ("m -inf", "__name__=\"m\" -> -inf"),
        ("m 0.1", "__name__=\"m\" -> 0.1"),
        ("m 999999999999999", "__name__=\"m\" -> 999999999999999.0"),
        (
            "m 18446744073709551615",
            "__name__=\"m\" -> 1.8446744073709552e19",
        ),
        (
            "# a comment\n\n#HELP x\n# HELPER x\nm -1",
            "__name__=\"m\" -> -1.0",
        ),
    ] {
        check(Format::Text, line, Ok(want));
        check(Format::Text, &format!("{line}\n"), Ok(want));
    }
}

#[test]
fn metadata() {
    check(
        Format::Text,
        "# HELP m What \\\\ it\\n is \\\"x\n# TYPE m counter\n#\tTYPE n untyped \n# HELP o\n# TYPE \"a.b\" gauge\n",
        Ok(
            "Help(\"m\", \"What \\\\ it\\n is \\\"x\")\nType(\"m\", Counter)\nType(\"n\", Unknown)\nHelp(\"o\", \"\")\n\
            Type(\"a.b\", Gauge)",
        ),
    );
    check(
        Format::OpenMetrics,
        "# UNIT m_seconds seconds\n# EOF",
        Ok("Unit(\"m_seconds\", \"seconds\")"),
    );
}

#[test]
fn open_metrics() {
    for (body, want) in [
        ("m_total 1 1.5\n# EOF\n", "__name__=\"m_total\" -> 1.0 @1500"),
        (
            "m_total 1 1.5 # {trace=\"a b\"} 0.5 1.4\n# EOF",
            "__name__=\"m_total\" -> 1.0 @1500",
        ),
        (
            "m_bucket{le=\"1\"} 1 # {} 0.5\n# EOF",
            "__name__=\"m_bucket\" le=\"1\" -> 1.0",
        ),
        ("m 1 1e9\n# EOF", "__name__=\"m\" -> 1.0 @1000000000000"),
    ] {
        check(Format::OpenMetrics, body, Ok(want));
    }
    for (body, line, part) in [
        ("m 1\n", 1, "does not end with # EOF"),
        ("", 1, "does not end with # EOF"),
        ("# EOF\nm 1\n", 2, "after # EOF"),
        ("m 1\n\n# EOF\n", 2, "empty line"),
        ("m 1 nan\n# EOF\n", 1, "not a timestamp"),
        ("m 1 1e300\n# EOF\n", 1, "not a timestamp"),
        ("m 1 # x\n# EOF\n", 1, "exemplar"),
    ] {
        check(Format::OpenMetrics, body, Err((line, part)));
    }
}

#[test]
fn faults() {
    for (body, line, part) in [
        ("up", 1, "no value"),
        ("a 1\nup \n", 2, "no value"),
        ("up x", 1, "\"x\" is not a number"),
        ("up 0x10", 1, "not a number"),
        ("up 1_0", 1, "not a number"),
        ("up 1e999", 1, "not a number"),
        ("up -nan", 1, "not a number"),
        ("up 1 2 3", 1, "unexpected \"3\""),
        ("up 1 1.5", 1, "milliseconds"),
        ("up 1\r\n", 1, "not a number"),
        ("1up 1", 1, "not a metric name"),
        ("a-b 1", 1, "not a metric name"),
        ("m{a=\"1\" 1", 1, "not closed"),
        ("m{a=\"1} 1", 1, "not closed"),
        ("m{a=\"1\\", 1, "not closed"),
        ("m{a=1} 1", 1, "quoted value"),
        ("m{a} 1", 1, "expected ="),
        ("m{a\"x\"} 1", 1, "expected ="),
        ("m{=\"x\"} 1", 1, "label name"),
        ("m{1a=\"x\"} 1", 1, "label name"),
        ("m{a=\"x\"b=\"y\"} 1", 1, "expected ,"),
        ("m{,} 1", 1, "label name"),
        ("m{\"\"=\"y\"} 1", 1, "empty label name"),
        ("m{\"n\"} 1", 1, "second metric name"),
        ("m{__name__=\"n\"} 1", 1, "__name__"),
        ("{a=\"b\"} 1", 1, "without a metric name"),
        ("{\"\"} 1", 1, "empty metric name"),
        ("{} 1", 1, "without a metric name"),
        ("<html>", 1, "no value"),
        ("<!doctype html>\n", 1, "not a number"),
        ("# TYPE m thing\n", 1, "not a metric type"),
        ("# TYPE 1m counter\n", 1, "valid metric name"),
        ("# HELP\n", 1, "valid metric name"),
    ] {
        check(Format::Text, body, Err((line, part)));
    }
    let error = parse(b"a 1\nb{c=\"\xff\"} 1\n", Format::Text, &mut Log::default()).unwrap_err();
    assert_eq!((error.line, error.fault.as_str()), (2, "invalid UTF-8"));
}

#[test]
fn a_nan_is_never_the_staleness_marker() {
    struct Bits(u64);
    impl Sink for Bits {
        fn sample(&mut self, sample: Sample<'_>) -> Result<(), String> {
            self.0 = sample.value.to_bits();
            Ok(())
        }
    }
    let mut bits = Bits(0);
    parse(b"m nan\n", Format::Text, &mut bits).unwrap();
    assert_eq!(bits.0, NORMAL_NAN);
}

#[test]
fn families_written_by_us_are_read_back() {
    let mut family = model::Family::new("m", "H \\ \n x", MetricType::Gauge);
    family.push(vec![("a".into(), "q\"\\\n".into())], 0.25);
    let mut text = String::new();
    model::encode_families(&[family], &mut text);
    check(
        Format::Text,
        &text,
        Ok("Help(\"m\", \"H \\\\ \\n x\")\nType(\"m\", Gauge)\n__name__=\"m\" a=\"q\\\"\\\\\\n\" -> 0.25"),
    );
}

#[test]
fn real_expositions_are_read_whole() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/conformance");
    let mut seen = 0;
    for file in ["node/expected.prom", "cadvisor/golden.prom"] {
        let Ok(body) = std::fs::read(folder.join(file)) else {
            continue;
        };
        let mut log = Log::default();
        parse(&body, Format::Text, &mut log).unwrap();
        let text = String::from_utf8(body).unwrap();
        let samples = text
            .lines()
            .filter(|line| !line.is_empty() && !line.starts_with('#'))
            .count();
        assert_eq!(
            log.0.lines().filter(|line| line.contains(" -> ")).count(),
            samples,
            "{file}"
        );
        seen += 1;
    }
    if seen == 0 {
        eprintln!("SKIPPED real_expositions_are_read_whole: ../shared/conformance is not there");
    }
}

#[test]
fn the_fuzz_corpus_does_not_panic() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus/exposition");
    let mut files = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let body = std::fs::read(entry.unwrap().path()).unwrap();
        for format in [Format::Text, Format::OpenMetrics] {
            let _ = parse(&body, format, &mut Log::default());
        }
        files += 1;
    }
    assert!(files >= 5, "the corpus has {files} files");
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(body in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = parse(&body, Format::Text, &mut Log::default());
        let _ = parse(&body, Format::OpenMetrics, &mut Log::default());
    }

    #[test]
    fn near_valid_text_is_read_or_refused(body in "[a{}\"=,\\\\ \n#1TYPEHLO.e+-]{0,60}") {
        let _ = parse(body.as_bytes(), Format::Text, &mut Log::default());
        let _ = parse(body.as_bytes(), Format::OpenMetrics, &mut Log::default());
    }

    #[test]
    fn what_is_written_is_read(
        name in "[a-zA-Z_:][a-zA-Z0-9_:]{0,8}",
        labels in proptest::collection::btree_map("[a-zA-Z][a-zA-Z0-9_]{0,5}", any::<String>(), 0..4),
        value in any::<f64>().prop_filter("NaN is another test", |v| !v.is_nan()),
        t_ms in proptest::option::of(any::<i64>()),
    ) {
        let mut line = name.clone();
        line.push('{');
        for (label, text) in &labels {
            let _ = write!(line, "{label}=\"{}\",", model::escape_label_value(text));
        }
        let _ = write!(line, "}} {}", model::fmt_value(value));
        if let Some(t_ms) = t_ms {
            let _ = write!(line, " {t_ms}");
        }
        struct Check(Vec<(String, String)>, f64, Option<i64>, usize);
        impl Sink for Check {
            fn sample(&mut self, sample: Sample<'_>) -> Result<(), String> {
                let pairs: Result<Vec<_>, _> =
                    sample.pairs().map(|p| p.map(|(n, v)| (n.into_owned(), v.into_owned()))).collect();
                assert_eq!(pairs?, self.0);
                assert_eq!(sample.value.to_bits(), self.1.to_bits());
                assert_eq!(sample.timestamp_ms, self.2);
                self.3 += 1;
                Ok(())
            }
        }
        let mut want = vec![("__name__".to_owned(), name)];
        want.extend(labels);
        let mut check = Check(want, value, t_ms, 0);
        parse(line.as_bytes(), Format::Text, &mut check).unwrap();
        prop_assert_eq!(check.3, 1);
    }
}
