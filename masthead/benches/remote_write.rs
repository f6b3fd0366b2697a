//! What it costs to receive a sample by remote write, in front of the store: snappy, walk, index, batch.
//!
//! `cargo bench -p masthead --bench remote_write`. A plain timing loop: the figure wanted is nanoseconds a sample.

#![allow(
    missing_docs,
    clippy::print_stderr,
    clippy::cast_possible_truncation,
    reason = "a benchmark prints its figures; its numbers are small"
)]

use std::hint::black_box;
use std::sync::Arc;

use masthead::clock;
use masthead::ingest::{CommitError, CommitOutcome, Sink};
use masthead::remote_write::Receiver;
use model::{Batch, SeriesKey, SeriesRef};

const SERIES: usize = 14_000;
const SERIES_PER_REQUEST: usize = 2_000;
const ROUNDS: usize = 200;

/// Takes everything at once and gives out references.
struct Void(std::sync::atomic::AtomicU64);

impl Sink for Void {
    fn commit(&self, batch: &Batch) -> Result<CommitOutcome, CommitError> {
        let mut outcome = CommitOutcome {
            appended: batch.samples_len(),
            ..CommitOutcome::default()
        };
        let new = batch
            .rows()
            .filter(|row| matches!(row.key, SeriesKey::Labels(_)))
            .count();
        if new > 0 {
            let first = self.0.fetch_add(new as u64, std::sync::atomic::Ordering::Relaxed);
            outcome.refs = (first..).take(batch.rows_len()).map(SeriesRef).collect();
        }
        Ok(outcome)
    }
}

fn varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn field(out: &mut Vec<u8>, number: u64, bytes: &[u8]) {
    varint(out, number << 3 | 2);
    varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// A request with labels as container metrics have them: some 400 bytes a series.
fn request(first: usize, t_ms: u64) -> Vec<u8> {
    let mut body = Vec::new();
    for n in first..first + SERIES_PER_REQUEST {
        let container = n / 60;
        let pairs = [
            (
                "__name__",
                format!("container_network_receive_packets_dropped_total_{}", n % 60),
            ),
            (
                "container_label_com_docker_compose_project",
                format!("project-{}", container % 12),
            ),
            (
                "container_label_com_docker_compose_service",
                format!("service-{container}"),
            ),
            ("id", format!("/system.slice/docker-{container:064x}.scope")),
            ("image", "registry.example.org/team/application:1.27.3".to_owned()),
            ("instance", "server-1:8080".to_owned()),
            ("job", "cadvisor".to_owned()),
            ("name", format!("application-{container}")),
        ];
        let mut series = Vec::new();
        for (name, value) in &pairs {
            let mut label = Vec::new();
            field(&mut label, 1, name.as_bytes());
            field(&mut label, 2, value.as_bytes());
            field(&mut series, 1, &label);
        }
        let mut sample = vec![0x09];
        sample.extend_from_slice(&(n as f64 * 1.25 + t_ms as f64).to_le_bytes());
        sample.push(0x10);
        varint(&mut sample, t_ms);
        field(&mut series, 2, &sample);
        field(&mut body, 1, &series);
    }
    snap::raw::Encoder::new()
        .compress_vec(&body)
        .expect("small enough")
}

fn main() {
    let receiver = Receiver::new(Arc::new(Void(1.into())));
    let bodies: Vec<Vec<u8>> = (0..SERIES / SERIES_PER_REQUEST)
        .map(|part| request(part * SERIES_PER_REQUEST, 1_700_000_000_000))
        .collect();
    let receive = |body: &[u8]| {
        receiver
            .receive(body, Some("snappy"), None)
            .expect("a good request")
            .samples
    };
    let start = clock::instant();
    bodies.iter().for_each(|body| {
        black_box(receive(body));
    });
    let new = start.elapsed();
    let start = clock::instant();
    let mut samples = 0;
    for _ in 0..ROUNDS {
        samples += bodies.iter().map(|body| receive(black_box(body))).sum::<usize>();
    }
    let known = start.elapsed();
    let mut decoded = Vec::new();
    let start = clock::instant();
    for _ in 0..ROUNDS {
        for body in &bodies {
            decoded.resize(snap::raw::decompress_len(body).expect("snappy"), 0);
            black_box(
                snap::raw::Decoder::new()
                    .decompress(body, &mut decoded)
                    .expect("snappy"),
            );
        }
    }
    let snappy = start.elapsed();
    let per = |time: std::time::Duration, count: usize| time.as_nanos() as f64 / count as f64;
    eprintln!("new series    {:7.1} ns a sample", per(new, SERIES));
    eprintln!(
        "known series  {:7.1} ns a sample, {:.1} of it snappy",
        per(known, samples),
        per(snappy, samples)
    );
}
