//! Remote write 1.0: a snappy-compressed protobuf body becomes a `Batch` and is committed.
//!
//! ```text
//!   body --snappy--> bytes --walk--> key --RawIndex--> ref, or labels checked and sorted --> Batch --commit--> refs --> RawIndex
//! ```
//!
//! A body that cannot be walked to its end is refused whole. Otherwise what can be stored is stored, and the answer is an error when
//! something could not: senders do not repeat a request that got a 400, so good samples are not lost to bad ones beside them.
//! No owned string is made for a sample of a known series; buffers are used again.

mod index;
pub mod walk;

use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use model::{Batch, LabelsError, METRIC_NAME, SeriesRef};

use crate::ingest::{CommitError, CommitOutcome, RejectKind, Sink};
use index::RawIndex;
use walk::{Item, LabelFault, Series, WalkError};

/// Largest uncompressed body.
pub const BODY_LIMIT_BYTES: usize = 64 << 20;
/// Memory for the keys of known series.
const INDEX_LIMIT_BYTES: usize = 64 << 20;
/// Buffers kept for the next requests, and the size from which one is given back instead.
const POOL_BUFFERS: usize = 4;
const POOL_BUFFER_BYTES: usize = 8 << 20;
/// No snappy element makes more than 64 bytes out of 3, so a length beyond this ratio is a lie.
const SNAPPY_MAX_RATIO: usize = 22;

/// What became of a request.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Received {
    /// Series in the request.
    pub series: usize,
    /// Samples stored.
    pub samples: usize,
    /// Exemplars in the request; they are not stored, as in a Prometheus without exemplar storage.
    pub exemplars: usize,
}

/// Why a request, or a part of it, was not stored. Each kind has one HTTP status, which the API knows.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReceiveError {
    /// The body makes no sense, or some series' labels do not. (400)
    #[error("{0}")]
    BadRequest(String),
    /// Larger than [`BODY_LIMIT_BYTES`] once uncompressed. (413)
    #[error("{0}")]
    TooLarge(String),
    /// Not remote write 1.0, or not snappy. (415)
    #[error("{0}")]
    UnsupportedMediaType(String),
    /// Samples were out of order, too old or there with another value; the others were stored. (400)
    #[error("{0}")]
    OutOfOrder(String),
    /// The store could not write; the sender should try again. (503)
    #[error("{0}")]
    StoreFailed(String),
}

/// What one request needs, kept for the next.
#[derive(Debug, Default)]
struct Scratch {
    decoded: Vec<u8>,
    batch: Batch,
    /// Label bytes of each row, for errors and for the index.
    rows: Vec<Range<usize>>,
    /// Rows whose series the index does not know yet.
    new_rows: Vec<usize>,
}

/// Counts of one walk.
#[derive(Debug, Default)]
struct Tally {
    received: Received,
    histograms: usize,
    bad_series: usize,
    /// The first series that was left out, and why.
    first_bad: Option<String>,
}

/// Takes remote-write requests. Shared by all connections; synchronous, so call it where blocking is allowed.
pub struct Receiver {
    sink: Arc<dyn Sink>,
    index: RawIndex,
    pool: Mutex<Vec<Scratch>>,
}

impl std::fmt::Debug for Receiver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Receiver")
            .field("index_bytes", &self.index.bytes())
            .finish_non_exhaustive()
    }
}

impl Receiver {
    /// A receiver that writes to `sink`.
    #[must_use]
    pub fn new(sink: Arc<dyn Sink>) -> Self {
        Self {
            sink,
            index: RawIndex::new(INDEX_LIMIT_BYTES),
            pool: Mutex::default(),
        }
    }

    /// Takes one request: the body as it came, with its two headers.
    ///
    /// # Errors
    /// [`ReceiveError`]. With [`ReceiveError::OutOfOrder`] and label faults the good samples were stored.
    pub fn receive(
        &self,
        body: &[u8],
        content_encoding: Option<&str>,
        content_type: Option<&str>,
    ) -> Result<Received, ReceiveError> {
        check_headers(content_encoding, content_type)?;
        let mut scratch = self
            .pool
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .pop()
            .unwrap_or_default();
        let result = self.receive_with(body, &mut scratch);
        if scratch.decoded.capacity() <= POOL_BUFFER_BYTES {
            let mut pool = self.pool.lock().unwrap_or_else(PoisonError::into_inner);
            if pool.len() < POOL_BUFFERS {
                pool.push(scratch);
            }
        }
        result
    }

    fn receive_with(&self, body: &[u8], scratch: &mut Scratch) -> Result<Received, ReceiveError> {
        decompress(body, &mut scratch.decoded)?;
        let mut tally = self.fill(scratch, true)?;
        let outcome = match self.commit(scratch) {
            Err(CommitError::UnknownRef) => {
                // The store has forgotten series since: send labels, and learn the references anew.
                self.index.clear();
                tally = self.fill(scratch, false)?;
                self.commit(scratch)
            }
            outcome => outcome,
        };
        let outcome = outcome.map_err(|error| ReceiveError::StoreFailed(error.to_string()))?;
        for row in &scratch.new_rows {
            if let (Some(range), Some(series)) = (scratch.rows.get(*row), outcome.refs.get(*row))
                && !range.is_empty()
            {
                self.index
                    .insert(self.index.hash(&scratch.decoded[range.clone()]), *series);
            }
        }
        tally.received.samples = outcome.appended;
        answer(&tally, &outcome, scratch)
    }

    fn commit(&self, scratch: &Scratch) -> Result<CommitOutcome, CommitError> {
        if scratch.batch.is_empty() {
            Ok(CommitOutcome::default())
        } else {
            self.sink.commit(&scratch.batch)
        }
    }

    /// Walks the body into the batch.
    fn fill(&self, scratch: &mut Scratch, by_ref: bool) -> Result<Tally, ReceiveError> {
        let Scratch {
            decoded,
            batch,
            rows,
            new_rows,
        } = scratch;
        batch.clear();
        rows.clear();
        new_rows.clear();
        let mut tally = Tally::default();
        for item in walk::items(decoded) {
            let series = match item.map_err(broken)? {
                Item::Series(series) => series,
                Item::Metadata => continue,
            };
            tally.received.series += 1;
            tally.received.exemplars += series.exemplars;
            tally.histograms += series.histograms;
            let mut samples = series.samples().peekable();
            if samples.peek().is_none() {
                continue;
            }
            match self.known(&series, by_ref) {
                Some(series_ref) => batch.series_ref(series_ref),
                None => {
                    if let Err(fault) = push_labels(batch, &series) {
                        let fault = match fault {
                            LabelsFault::Broken(error) => return Err(broken(error)),
                            LabelsFault::Series(text) => text,
                        };
                        tally.bad_series += 1;
                        tally.first_bad.get_or_insert(fault);
                        // Its samples are walked too: a request is broken or not, whatever else is wrong with it.
                        samples
                            .try_for_each(|sample| sample.map(|_| ()))
                            .map_err(broken)?;
                        continue;
                    }
                    new_rows.push(rows.len());
                }
            }
            rows.push(series.key_range());
            for sample in samples {
                let (t_ms, value) = sample.map_err(broken)?;
                batch.push(t_ms, value);
            }
        }
        Ok(tally)
    }

    #[inline]
    fn known(&self, series: &Series<'_>, by_ref: bool) -> Option<SeriesRef> {
        let key = series.key().filter(|_| by_ref)?;
        self.index.get(self.index.hash(key))
    }
}

fn broken(error: WalkError) -> ReceiveError {
    ReceiveError::BadRequest(format!(
        "remote write: {error}; nothing of the request was stored"
    ))
}

fn check_headers(content_encoding: Option<&str>, content_type: Option<&str>) -> Result<(), ReceiveError> {
    let unsupported = |text: String| Err(ReceiveError::UnsupportedMediaType(text));
    let encoding = content_encoding.unwrap_or("").trim();
    if !encoding.is_empty() && !encoding.eq_ignore_ascii_case("snappy") {
        return unsupported(format!(
            "{encoding:?} is not supported as Content-Encoding of remote write; send snappy"
        ));
    }
    let content_type = content_type.unwrap_or("").trim();
    if content_type.is_empty() {
        return Ok(());
    }
    let mut parts = content_type.split(';').map(str::trim);
    if !parts
        .next()
        .is_some_and(|media| media.eq_ignore_ascii_case("application/x-protobuf"))
    {
        return unsupported(format!(
            "{content_type:?} is not supported as Content-Type of remote write; send application/x-protobuf"
        ));
    }
    let proto = parts
        .find_map(|part| part.strip_prefix("proto="))
        .map(|proto| proto.trim_matches('"'));
    match proto {
        None | Some("prometheus.WriteRequest") => Ok(()),
        Some(other) => unsupported(format!(
            "the remote write message {other:?} is not supported; send prometheus.WriteRequest (remote write 1.0)"
        )),
    }
}

/// Uncompresses a snappy block after checking the length it claims.
fn decompress(body: &[u8], decoded: &mut Vec<u8>) -> Result<(), ReceiveError> {
    let bad = |error: snap::Error| {
        ReceiveError::BadRequest(format!("remote write: the body is not snappy: {error}"))
    };
    let len = snap::raw::decompress_len(body).map_err(bad)?;
    if len > BODY_LIMIT_BYTES {
        return Err(ReceiveError::TooLarge(format!(
            "remote write: the body has {len} bytes uncompressed, more than the limit of {BODY_LIMIT_BYTES}; \
             send smaller batches (max_samples_per_send)"
        )));
    }
    if len > body.len().saturating_mul(SNAPPY_MAX_RATIO) {
        return Err(ReceiveError::BadRequest(format!(
            "remote write: the body claims to hold {len} bytes, which {} bytes of snappy cannot",
            body.len()
        )));
    }
    decoded.resize(len, 0);
    let written = snap::raw::Decoder::new().decompress(body, decoded).map_err(bad)?;
    decoded.truncate(written);
    Ok(())
}

enum LabelsFault {
    /// The message is broken: the request is refused.
    Broken(WalkError),
    /// These labels are wrong: the series is left out.
    Series(String),
}

/// Starts a row for the series' labels: checked, and sorted when the sender did not.
fn push_labels(batch: &mut Batch, series: &Series<'_>) -> Result<(), LabelsFault> {
    let mut pairs: Vec<(&str, &str)> = Vec::with_capacity(16);
    let mut sorted = true;
    for pair in series.labels() {
        let (name, value) = pair.map_err(|fault| match fault {
            LabelFault::Broken(error) => LabelsFault::Broken(error),
            LabelFault::InvalidUtf8 => LabelsFault::Series(format!("{fault} in {}", describe(series))),
        })?;
        if name.is_empty() {
            return Err(LabelsFault::Series(format!(
                "an empty label name in {}",
                describe(series)
            )));
        }
        sorted &= pairs.last().is_none_or(|(last, _)| *last < name);
        pairs.push((name, value));
    }
    if !sorted {
        pairs.sort_by_key(|(name, _)| *name);
        if let Some(twice) = pairs.windows(2).find(|pair| pair[0].0 == pair[1].0) {
            return Err(LabelsFault::Series(format!(
                "the label {:?} stands twice in {}",
                twice[0].0,
                describe(series)
            )));
        }
    }
    // An empty value means that the label is not there.
    pairs.retain(|(_, value)| !value.is_empty());
    if !pairs.iter().any(|(name, _)| *name == METRIC_NAME) {
        return Err(LabelsFault::Series(format!(
            "no metric name (__name__) in {}",
            describe(series)
        )));
    }
    batch
        .series_from_sorted(pairs.into_iter())
        .map_err(|error: LabelsError| LabelsFault::Series(error.to_string()))
}

/// A series for an error text, as far as it can be read, and not too long.
fn describe(series: &Series<'_>) -> String {
    let pairs: Vec<String> = series
        .labels()
        .map_while(Result::ok)
        .take(12)
        .map(|(name, value)| format!("{name}={value:?}"))
        .collect();
    let mut text = format!("{{{}}}", pairs.join(", "));
    if text.len() > 400 {
        let cut = (0..=400).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
        text.truncate(cut);
        text.push_str("...");
    }
    text
}

/// The answer to the sender: an error when something was left out.
fn answer(tally: &Tally, outcome: &CommitOutcome, scratch: &Scratch) -> Result<Received, ReceiveError> {
    let stored = outcome.appended;
    if let Some((row, t_ms, reason, kind)) = outcome.rejected.first() {
        let series =
            nth_series(scratch, *row).map_or_else(String::new, |series| format!(" of {}", describe(&series)));
        let word = match kind {
            RejectKind::OutOfOrder => "out of order sample",
            RejectKind::Duplicate => "duplicate sample for timestamp",
            RejectKind::TooOld => "out of bounds",
            RejectKind::Other => "sample refused",
        };
        return Err(ReceiveError::OutOfOrder(format!(
            "{word}: {reason} (at {t_ms}{series}); {} samples were refused, {stored} stored",
            outcome.rejected.len()
        )));
    }
    if let Some(first) = &tally.first_bad {
        return Err(ReceiveError::BadRequest(format!(
            "remote write: {first}; {} series were left out, {stored} samples stored",
            tally.bad_series
        )));
    }
    if tally.histograms > 0 {
        return Err(ReceiveError::BadRequest(format!(
            "remote write: native histograms are not supported yet by this version; {} were left out, {stored} samples stored \
             (set send_native_histograms: false at the sender)",
            tally.histograms
        )));
    }
    Ok(tally.received)
}

/// The series of a row, found again by its label bytes.
fn nth_series(scratch: &Scratch, row: usize) -> Option<Series<'_>> {
    let range = scratch.rows.get(row).filter(|range| !range.is_empty())?;
    walk::items(&scratch.decoded)
        .filter_map(Result::ok)
        .find_map(|item| match item {
            Item::Series(series) if series.key_range() == *range => Some(series),
            Item::Series(_) | Item::Metadata => None,
        })
}

#[cfg(test)]
mod tests;
