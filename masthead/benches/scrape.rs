//! What it costs to take in a scrape, in front of the store: text scan, series cache, batch.
//!
//! `cargo bench -p masthead --bench scrape`. A plain timing loop: the figure wanted is nanoseconds a sample.
#![allow(missing_docs, clippy::print_stderr, reason = "a benchmark prints its figures")]

use std::fmt::Write as _;

use masthead::clock;
use masthead::ingest::{CommitError, CommitOutcome, Sink};
use masthead::scrape::exposition::{self, Format, Sample};
use masthead::scrape::tracker::Round;
use masthead::scrape::{Rules, SourceTracker};
use model::{Batch, Labels, SeriesRef};

const SAMPLES: usize = 10_000;
const ROUNDS: i64 = 100;

/// Takes everything; row and reference are the same number.
struct Void;

impl Sink for Void {
    fn commit(&self, batch: &Batch) -> Result<CommitOutcome, CommitError> {
        let refs = (0..batch.rows_len() as u64).map(SeriesRef).collect();
        Ok(CommitOutcome {
            refs,
            appended: batch.samples_len(),
            rejected: Vec::new(),
        })
    }
}

struct Feed<'a, 'b>(&'a mut Round<'b>);

impl exposition::Sink for Feed<'_, '_> {
    fn sample(&mut self, sample: Sample<'_>) -> Result<(), String> {
        self.0
            .add(sample.series, sample.value, sample.timestamp_ms, |out| {
                for pair in sample.pairs() {
                    out.push(pair?);
                }
                Ok(())
            })
    }
}

fn main() {
    let mut body = String::new();
    for n in 0..SAMPLES {
        let _ = writeln!(
            body,
            "container_network_receive_bytes_total{{id=\"/docker/{n:064x}\",image=\"registry.example.org/app:1.2\",\
             interface=\"eth0\",name=\"app-{n}\"}} {}.5e+06",
            n % 977
        );
    }
    let mut tracker = SourceTracker::new(
        Labels::from_pairs([("job", "j"), ("instance", "i")]),
        Rules::default(),
    );
    for (name, rounds) in [("first round ", 1), ("later rounds", ROUNDS)] {
        let start = clock::instant();
        for t_ms in 0..rounds {
            let report = tracker.round(&Void, t_ms, clock::instant(), |round| {
                exposition::parse(body.as_bytes(), Format::Text, &mut Feed(round))
                    .map_err(|error| error.to_string())
            });
            assert!(report.up && report.added == SAMPLES);
        }
        let ns = start.elapsed().as_nanos() as f64 / (SAMPLES as f64 * rounds as f64);
        eprintln!("{name}  {ns:7.1} ns a sample");
    }
}
