//! `tsdb::Db` as the [`Sink`] that everything in front of it writes to.

use model::Batch;
use tsdb::{AppendError, RejectReason};

use crate::ingest::{CommitError, CommitOutcome, RejectKind, Sink};

impl Sink for tsdb::Db {
    fn commit(&self, batch: &Batch) -> Result<CommitOutcome, CommitError> {
        match Self::commit(self, batch) {
            Ok(committed) => Ok(CommitOutcome {
                appended: committed.appended,
                rejected: committed
                    .rejected
                    .iter()
                    .map(|r| (r.row, r.t_ms, r.reason.as_str().to_owned(), kind(r.reason)))
                    .collect(),
                refs: committed.refs,
            }),
            Err(AppendError::UnknownRef { .. }) => Err(CommitError::UnknownRef),
            Err(e) => Err(CommitError::Failed(e.to_string())),
        }
    }
}

fn kind(reason: RejectReason) -> RejectKind {
    match reason {
        RejectReason::OutOfOrder => RejectKind::OutOfOrder,
        RejectReason::DuplicateTimestamp => RejectKind::Duplicate,
        RejectReason::TooOld => RejectKind::TooOld,
        RejectReason::TooFarAhead | RejectReason::HistogramUnsupported => RejectKind::Other,
    }
}
