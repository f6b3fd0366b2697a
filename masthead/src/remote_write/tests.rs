//! Requests built byte by byte, a store that remembers, and the same requests broken in every place.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use model::{Labels, SeriesKey};
use proptest::prelude::*;

use super::*;

fn varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(u8::try_from(value & 0x7f).unwrap() | 0x80);
        value >>= 7;
    }
    out.push(u8::try_from(value).unwrap());
}

fn field(out: &mut Vec<u8>, number: u64, bytes: &[u8]) {
    varint(out, number << 3 | 2);
    varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

fn label(name: &[u8], value: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    field(&mut out, 1, name);
    field(&mut out, 2, value);
    out
}

fn sample(t_ms: i64, value: f64) -> Vec<u8> {
    let mut out = vec![0x09];
    out.extend_from_slice(&value.to_le_bytes());
    out.push(0x10);
    varint(&mut out, t_ms.cast_unsigned());
    out
}

fn series(labels: &[(&str, &str)], samples: &[(i64, f64)]) -> Vec<u8> {
    let mut out = Vec::new();
    for (name, value) in labels {
        field(&mut out, 1, &label(name.as_bytes(), value.as_bytes()));
    }
    for (t_ms, value) in samples {
        field(&mut out, 2, &sample(*t_ms, *value));
    }
    out
}

fn request(all: &[Vec<u8>]) -> Vec<u8> {
    let mut out = Vec::new();
    for one in all {
        field(&mut out, 1, one);
    }
    out
}

fn pack(body: &[u8]) -> Vec<u8> {
    snap::raw::Encoder::new().compress_vec(body).unwrap()
}

/// A store in memory: refuses what is not newer, forgets references on demand.
#[derive(Default)]
struct Store {
    state: Mutex<State>,
    label_rows: AtomicUsize,
}

#[derive(Default)]
struct State {
    names: Vec<String>,
    data: BTreeMap<String, Vec<(i64, f64)>>,
    /// References below this number are forgotten.
    first_ref: u64,
    failing: bool,
}

impl Sink for Store {
    fn commit(&self, batch: &Batch) -> Result<CommitOutcome, CommitError> {
        let state = &mut *self.state.lock().unwrap();
        if state.failing {
            return Err(CommitError::Failed("the disk is full".into()));
        }
        let stale = |key: SeriesKey<'_>| matches!(key, SeriesKey::Ref(r) if r.0 < state.first_ref);
        if batch.rows().any(|row| stale(row.key)) {
            return Err(CommitError::UnknownRef);
        }
        let mut outcome = CommitOutcome::default();
        for (number, row) in batch.rows().enumerate() {
            let at = match row.key {
                SeriesKey::Ref(series) => usize::try_from(series.0 - state.first_ref).unwrap(),
                SeriesKey::Labels(encoded) => {
                    self.label_rows.fetch_add(1, Ordering::Relaxed);
                    let name = Labels::from_encoded(encoded).unwrap().to_string();
                    state.names.iter().position(|n| *n == name).unwrap_or_else(|| {
                        state.names.push(name);
                        state.names.len() - 1
                    })
                }
            };
            outcome.refs.push(SeriesRef(at as u64 + state.first_ref));
            let data = state.data.entry(state.names[at].clone()).or_default();
            for point in row.points {
                if data.last().is_some_and(|(t, _)| *t >= point.t_ms) {
                    outcome.rejected.push((
                        number,
                        point.t_ms,
                        "older than the newest".into(),
                        RejectKind::OutOfOrder,
                    ));
                } else {
                    data.push((point.t_ms, point.value));
                    outcome.appended += 1;
                }
            }
        }
        Ok(outcome)
    }
}

fn receiver() -> (Arc<Store>, Receiver) {
    let store = Arc::new(Store::default());
    (store.clone(), Receiver::new(store))
}

fn send(receiver: &Receiver, body: &[u8]) -> Result<Received, ReceiveError> {
    receiver.receive(&pack(body), Some("snappy"), Some("application/x-protobuf"))
}

fn stored(store: &Store) -> Vec<(String, Vec<(i64, f64)>)> {
    store.state.lock().unwrap().data.clone().into_iter().collect()
}

#[test]
fn known_series_go_by_reference() {
    let (store, receiver) = receiver();
    let body = |t: i64| {
        request(&[
            series(&[("__name__", "a"), ("x", "1")], &[(t, 1.0), (t + 1, 2.0)]),
            series(&[("__name__", "b")], &[(t, -3.5)]),
        ])
    };
    for t in [10, 20, 30] {
        assert_eq!(
            send(&receiver, &body(t)),
            Ok(Received {
                series: 2,
                samples: 3,
                exemplars: 0
            })
        );
    }
    assert_eq!(
        store.label_rows.load(Ordering::Relaxed),
        2,
        "only the first request brings labels"
    );
    let data = stored(&store);
    assert_eq!(data[0].0, "a{x=\"1\"}");
    assert_eq!(
        data[0].1,
        [(10, 1.0), (11, 2.0), (20, 1.0), (21, 2.0), (30, 1.0), (31, 2.0)]
    );
    assert_eq!(data[1].1.len(), 3);
}

#[test]
fn forgotten_references_are_learnt_again() {
    let (store, receiver) = receiver();
    let body = |t| request(&[series(&[("__name__", "a")], &[(t, 1.0)])]);
    send(&receiver, &body(1)).unwrap();
    store.state.lock().unwrap().first_ref = 1000;
    for t in [2, 3] {
        assert_eq!(send(&receiver, &body(t)).unwrap().samples, 1);
    }
    assert_eq!(store.label_rows.load(Ordering::Relaxed), 2);
    assert_eq!(stored(&store)[0].1.len(), 3);
}

#[test]
fn odd_but_valid_requests() {
    let mut apart = Vec::new();
    field(&mut apart, 1, &label(b"b", b"2"));
    field(&mut apart, 2, &sample(1, 5.0));
    field(&mut apart, 1, &label(b"__name__", b"apart"));
    field(&mut apart, 2, &sample(2, 6.0));
    let mut unknown = series(&[("__name__", "unknown_fields")], &[(1, 1.0)]);
    unknown.extend_from_slice(&[
        0x78, 0x05, 0x7d, 1, 2, 3, 4, 0x79, 1, 2, 3, 4, 5, 6, 7, 8, 0x7a, 1, 9,
    ]);
    let mut exemplar = series(&[("__name__", "exemplar")], &[(1, 1.0)]);
    field(&mut exemplar, 3, b"");
    let mut body = request(&[
        series(&[("z", "1"), ("__name__", "unsorted"), ("gone", "")], &[(1, 1.0)]),
        apart,
        unknown,
        exemplar,
        series(&[("__name__", "no_samples")], &[]),
        series(
            &[("__name__", "before_1970"), ("ü", "✓")],
            &[(-5, f64::from_bits(model::STALE_NAN))],
        ),
    ]);
    field(&mut body, 3, b"metadata, not looked at");
    let (store, receiver) = receiver();
    assert_eq!(
        send(&receiver, &body),
        Ok(Received {
            series: 6,
            samples: 6,
            exemplars: 1
        })
    );
    let names: Vec<String> = stored(&store).into_iter().map(|(name, _)| name).collect();
    assert_eq!(
        names,
        [
            "apart{b=\"2\"}",
            "before_1970{\"ü\"=\"✓\"}",
            "exemplar",
            "unknown_fields",
            "unsorted{z=\"1\"}"
        ]
    );
    let stale = stored(&store)[1].1[0];
    assert_eq!((stale.0, stale.1.to_bits()), (-5, model::STALE_NAN));
    assert_eq!(send(&receiver, b""), Ok(Received::default()));
}

#[test]
fn bad_series_are_left_out_and_named() {
    let mut no_utf8 = Vec::new();
    field(&mut no_utf8, 1, &label(b"__name__", b"m"));
    field(&mut no_utf8, 1, &label(b"x", b"\xff"));
    field(&mut no_utf8, 2, &sample(1, 1.0));
    let mut histogram = series(&[("__name__", "h")], &[]);
    field(&mut histogram, 4, b"");
    for (bad, part) in [
        (
            series(&[("__name__", "m"), ("a", "1"), ("a", "2")], &[(1, 1.0)]),
            "label \"a\" stands twice",
        ),
        (
            series(&[("__name__", "m"), ("", "1")], &[(1, 1.0)]),
            "empty label name",
        ),
        (
            series(&[("a", "1")], &[(1, 1.0)]),
            "no metric name (__name__) in {a=\"1\"}",
        ),
        (series(&[("__name__", "")], &[(1, 1.0)]), "no metric name"),
        (series(&[], &[(1, 1.0)]), "no metric name"),
        (no_utf8, "not valid UTF-8"),
        (histogram, "native histograms are not supported yet"),
    ] {
        let (store, receiver) = receiver();
        let body = request(&[bad, series(&[("__name__", "good")], &[(1, 1.0)])]);
        match send(&receiver, &body) {
            Err(ReceiveError::BadRequest(text)) => {
                assert!(text.contains(part) && text.contains("1 samples stored"), "{text}")
            }
            other => panic!("{part}: {other:?}"),
        }
        assert_eq!(stored(&store).len(), 1, "{part}");
    }
}

#[test]
fn refused_samples_are_told_and_the_others_stored() {
    let (store, receiver) = receiver();
    let body = request(&[
        series(&[("__name__", "a")], &[(5, 1.0), (4, 2.0), (6, 3.0)]),
        series(&[("__name__", "b"), ("x", "y")], &[(5, 1.0)]),
    ]);
    match send(&receiver, &body) {
        Err(ReceiveError::OutOfOrder(text)) => {
            assert!(text.starts_with("out of order sample: "), "{text}");
            assert!(
                text.contains("at 4 of {__name__=\"a\"}")
                    && text.contains("1 samples were refused, 3 stored"),
                "{text}"
            );
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(stored(&store).len(), 2);
    store.state.lock().unwrap().failing = true;
    assert_eq!(
        send(&receiver, &body),
        Err(ReceiveError::StoreFailed("the disk is full".into()))
    );
}

#[test]
fn headers() {
    let (_, receiver) = receiver();
    let body = pack(&request(&[series(&[("__name__", "a")], &[(1, 1.0)])]));
    for (encoding, media, ok) in [
        (Some("snappy"), Some("application/x-protobuf"), true),
        (None, None, true),
        (
            Some("snappy"),
            Some("application/x-protobuf;proto=prometheus.WriteRequest"),
            true,
        ),
        (
            Some("snappy"),
            Some("application/x-protobuf; proto=io.prometheus.write.v2.Request"),
            false,
        ),
        (Some("snappy"), Some("application/json"), false),
        (Some("gzip"), Some("application/x-protobuf"), false),
        (Some("zstd"), None, false),
    ] {
        let unsupported = matches!(
            receiver.receive(&body, encoding, media),
            Err(ReceiveError::UnsupportedMediaType(_))
        );
        assert_eq!(unsupported, !ok, "{encoding:?} {media:?}");
    }
}

#[test]
fn bodies_that_are_not_what_they_say() {
    let (store, receiver) = receiver();
    let good = request(&[series(&[("__name__", "a"), ("b", "c")], &[(1, 1.0)])]);
    let mut claims = Vec::new();
    varint(&mut claims, (BODY_LIMIT_BYTES + 1) as u64);
    assert!(matches!(
        receiver.receive(&claims, None, None),
        Err(ReceiveError::TooLarge(_))
    ));
    let mut claims = Vec::new();
    varint(&mut claims, 1 << 20);
    for body in [&claims[..], b"", b"not snappy at all", &[0xff; 20], &good] {
        assert!(
            matches!(
                receiver.receive(body, None, None),
                Err(ReceiveError::BadRequest(_))
            ),
            "{body:?}"
        );
    }
    for (bad, part) in [
        (&[0x0a, 0x05, 0x0a][..], "longer than its message"),
        (&[0x08, 0x01], "wrong wire type"),
        (&[0x00], "number 0"),
        (&[0x0b], "wrong wire type"),
        (&[0x23], "unknown wire type"),
        (&[0xff; 11], "more than 64 bits"),
        (&[0x80], "cut short"),
        (&[0x0a, 0x04, 0x12, 0x02, 0x09, 0x00], "cut short"),
        (&[0x0a, 0x04, 0x12, 0x02, 0x08, 0x00], "wrong wire type"),
    ] {
        match send(&receiver, bad) {
            Err(ReceiveError::BadRequest(text)) => assert!(text.contains(part), "{bad:?}: {text}"),
            other => panic!("{bad:?}: {other:?}"),
        }
    }
    assert!(stored(&store).is_empty(), "a broken body stores nothing");
}

#[test]
fn every_cut_and_every_flipped_bit_is_survived() {
    let good = request(&[
        series(&[("__name__", "a"), ("b", "c")], &[(1, 1.0), (1 << 40, 2.0)]),
        series(&[("__name__", "b")], &[(7, 1.0)]),
    ]);
    for cut in 0..good.len() {
        let (_, receiver) = receiver();
        let _ = send(&receiver, &good[..cut]);
    }
    for bit in 0..good.len() * 8 {
        let mut bad = good.clone();
        bad[bit / 8] ^= 1 << (bit % 8);
        let (_, receiver) = receiver();
        let _ = send(&receiver, &bad);
    }
}

#[test]
fn the_fuzz_corpus_does_not_panic() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus/remote_write");
    let mut files = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let body = std::fs::read(entry.unwrap().path()).unwrap();
        let (_, receiver) = receiver();
        let _ = receiver.receive(&body, None, None);
        let _ = send(&receiver, &body);
        files += 1;
    }
    assert!(files >= 4, "the corpus has {files} files");
}

proptest! {
    #[test]
    fn any_bytes_are_walked_or_refused(body in proptest::collection::vec(any::<u8>(), 0..300)) {
        let (_, receiver) = receiver();
        let _ = receiver.receive(&body, None, None);
        let _ = send(&receiver, &body);
    }

    #[test]
    fn what_is_sent_is_stored(
        all in proptest::collection::btree_map(
            proptest::collection::btree_map("[a-z]{1,4}", "[a-zü]{1,200}", 0..5),
            proptest::collection::btree_map(any::<i64>(), any::<f64>(), 1..5),
            1..8,
        ),
        reverse in any::<bool>(),
    ) {
        let (store, receiver) = receiver();
        let mut want = Vec::new();
        let mut parts = Vec::new();
        for (labels, samples) in &all {
            let mut pairs = vec![("__name__", "m")];
            pairs.extend(labels.iter().map(|(n, v)| (n.as_str(), v.as_str())));
            let points: Vec<(i64, f64)> = samples.iter().map(|(t, v)| (*t, *v)).collect();
            want.push((Labels::from_pairs(pairs.iter().copied()).to_string(), points.clone()));
            if reverse {
                pairs.reverse();
            }
            parts.push(series(&pairs, &points));
        }
        want.sort_by(|a, b| a.0.cmp(&b.0));
        send(&receiver, &request(&parts)).unwrap();
        let bits = |all: Vec<(String, Vec<(i64, f64)>)>| -> Vec<(String, Vec<(i64, u64)>)> {
            all.into_iter().map(|(n, p)| (n, p.into_iter().map(|(t, v)| (t, v.to_bits())).collect())).collect()
        };
        prop_assert_eq!(bits(stored(&store)), bits(want));
    }
}
