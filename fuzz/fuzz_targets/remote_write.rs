//! Remote-write bodies, as they come and as what a sender would have compressed: any bytes are taken or refused.
#![no_main]

use std::sync::Arc;

use libfuzzer_sys::fuzz_target;
use masthead::ingest::{CommitError, CommitOutcome, Sink};
use masthead::remote_write::Receiver;
use model::{Batch, SeriesKey, SeriesRef};

/// Takes everything; checks that labels are canonical.
struct Store;

impl Sink for Store {
    fn commit(&self, batch: &Batch) -> Result<CommitOutcome, CommitError> {
        let mut outcome = CommitOutcome {
            appended: batch.samples_len(),
            ..CommitOutcome::default()
        };
        for (number, row) in batch.rows().enumerate() {
            if let SeriesKey::Labels(encoded) = row.key {
                model::Labels::from_encoded(encoded).expect("a batch holds canonical labels");
            }
            outcome.refs.push(SeriesRef(number as u64));
        }
        Ok(outcome)
    }
}

fuzz_target!(|body: &[u8]| {
    let receiver = Receiver::new(Arc::new(Store));
    let _ = receiver.receive(body, None, None);
    let packed = snap::raw::Encoder::new()
        .compress_vec(body)
        .expect("small enough");
    let _ = receiver.receive(&packed, Some("snappy"), Some("application/x-protobuf"));
    let _ = receiver.receive(&packed, Some("snappy"), Some("application/x-protobuf"));
});
