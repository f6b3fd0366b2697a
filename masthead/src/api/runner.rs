//! Runs queries off the async threads, with their limits: how many at once, how long, and not longer than the client waits.
//!
//! The evaluator knows no clock; it looks at a [`Cancel`]. Two things set it: the time limit, and the drop of the
//! request's future, which the server does when the client hangs up.

use std::sync::Arc;
use std::time::Duration;

use model::{Cancel, CancelReason, Querier, QueryError};
use promql::ast::Expr;
use promql::engine::{Answer, Grid, Options};
use tokio::sync::Semaphore;

use crate::api::error::{ApiError, ErrorType};
use crate::clock;

/// Limits of the runner; the flags `--query-*` set them.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Queries that run at the same time; more wait.
    pub max_concurrency: usize,
    /// A query is ended after so long.
    pub timeout: Duration,
    /// The evaluator's own limits.
    pub engine: Options,
}

/// Evaluates expressions against one store.
pub struct Runner {
    querier: Arc<dyn Querier>,
    limits: Limits,
    running: Arc<Semaphore>,
}

impl std::fmt::Debug for Runner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Runner")
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

/// Sets the flag when the request's future is dropped before its answer is there.
struct HangUp(Arc<Cancel>);

impl Drop for HangUp {
    fn drop(&mut self) {
        // After a good answer nobody looks at the flag any more.
        self.0.cancel(CancelReason::HungUp);
    }
}

impl Runner {
    /// A runner over a store.
    #[must_use]
    pub fn new(querier: Arc<dyn Querier>, limits: Limits) -> Self {
        let running = Arc::new(Semaphore::new(limits.max_concurrency.max(1)));
        Self {
            querier,
            limits,
            running,
        }
    }

    /// The limits in force.
    #[must_use]
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Evaluates a parsed query; `text` is what it was parsed from, for the places in remarks. `timeout` can only shorten the limit, `lookback_ms` replaces the default.
    ///
    /// # Errors
    /// [`ApiError`] as upstream maps them: execution, timeout, canceled, internal.
    pub async fn eval(
        &self,
        expr: Expr,
        text: String,
        grid: Grid,
        instant: bool,
        timeout: Option<Duration>,
        lookback_ms: Option<i64>,
    ) -> Result<Answer, ApiError> {
        let mut options = self.limits.engine;
        if let Some(lookback_ms) = lookback_ms {
            options.lookback_ms = lookback_ms;
        }
        self.blocking(timeout, move |querier, cancel| {
            promql::engine::eval_text(&expr, &text, grid, instant, querier, &options, cancel)
                .map_err(ApiError::from)
        })
        .await
    }

    /// Runs a read of the store under the same limits.
    ///
    /// # Errors
    /// What the work gives, timeout and cancellation.
    pub async fn blocking<T: Send + 'static>(
        &self,
        timeout: Option<Duration>,
        work: impl FnOnce(&dyn Querier, &Cancel) -> Result<T, ApiError> + Send + 'static,
    ) -> Result<T, ApiError> {
        let cancel = Arc::new(Cancel::new());
        let _hang_up = HangUp(Arc::clone(&cancel));
        let limit = timeout.map_or(self.limits.timeout, |t| t.min(self.limits.timeout));
        let started = clock::instant();
        let wait_for_turn = Arc::clone(&self.running).acquire_owned();
        let permit = tokio::time::timeout(limit, wait_for_turn)
            .await
            .map_err(|_| {
                ApiError::new(
                    ErrorType::Timeout,
                    "query timed out while waiting for its turn in the queue",
                )
            })?
            .map_err(|_| ApiError::new(ErrorType::Unavailable, "the server is shutting down"))?;
        // The wait counts: a client is answered within its time, not within twice of it.
        let left = limit.saturating_sub(started.elapsed());
        if left.is_zero() {
            return Err(QueryError::Cancelled(CancelReason::TimedOut).into());
        }
        let querier = Arc::clone(&self.querier);
        let flag = Arc::clone(&cancel);
        let mut task = tokio::task::spawn_blocking(move || {
            // The permit lives in the work, so that a query whose client is gone still counts until it has stopped.
            let _permit = permit;
            work(&*querier, &flag)
        });
        let joined = match tokio::time::timeout(left, &mut task).await {
            Ok(joined) => joined,
            Err(_) => {
                cancel.cancel(CancelReason::TimedOut);
                task.await
            }
        };
        joined.map_err(|e| {
            ApiError::new(
                ErrorType::Internal,
                format!("the query's worker ended early: {e}"),
            )
        })?
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use promql::script::MemoryStore;

    fn runner() -> Runner {
        let limits = Limits {
            max_concurrency: 1,
            timeout: Duration::from_millis(50),
            engine: Options::default(),
        };
        Runner::new(Arc::new(MemoryStore::default()), limits)
    }

    /// Works until it is told to stop, and says why it was.
    fn until_cancelled(cancel: &Cancel) -> CancelReason {
        loop {
            if let Some(reason) = cancel.reason() {
                return reason;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_query_over_its_time_is_told_to_stop() {
        let reason = runner()
            .blocking(None, |_, cancel| Ok(until_cancelled(cancel)))
            .await
            .unwrap();
        assert_eq!(reason, CancelReason::TimedOut);
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn no_time_is_a_timeout_and_not_a_race() {
        let outcome = runner().blocking(Some(Duration::ZERO), |_, _| Ok(())).await;
        assert_eq!(outcome.unwrap_err().kind, ErrorType::Timeout);
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_client_that_hangs_up_ends_its_query() {
        let (tell, told) = std::sync::mpsc::channel();
        let limits = Limits {
            max_concurrency: 1,
            timeout: Duration::from_secs(60),
            engine: Options::default(),
        };
        let runner = Runner::new(Arc::new(MemoryStore::default()), limits);
        let request = runner.blocking(None, move |_, cancel| {
            let _ = tell.send(until_cancelled(cancel));
            Ok(())
        });
        // The server drops the future when the connection closes.
        assert!(
            tokio::time::timeout(Duration::from_millis(20), request)
                .await
                .is_err()
        );
        assert_eq!(
            told.recv_timeout(Duration::from_secs(5)),
            Ok(CancelReason::HungUp)
        );
    }
}
