//! What the commands that serve (`up`, `agent`) share: logging, flags, the runtime, and the way to the end by a signal.

use std::net::{SocketAddr, ToSocketAddrs};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context;
use tokio_util::sync::CancellationToken;

use crate::api::params::duration_ms;
use crate::config::Config;
use crate::web_config::WebConfig;

/// Logs to standard error.
pub(super) fn init_logging(level: tracing::Level) {
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_max_level(level)
        .with_target(false)
        // A closed standard error (`masthead up 2>&1 | head`) would end the thread that has something to say.
        .log_internal_errors(false)
        .with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr()))
        .init();
}

/// A duration of a flag, above zero.
pub(super) fn positive_ms(flag: &str, text: &str) -> anyhow::Result<i64> {
    duration_ms(text)
        .filter(|ms| *ms > 0)
        .ok_or_else(|| anyhow::anyhow!("--{flag} {text}: not a duration; write it as 15s, 5m, 12h or 15d"))
}

/// The address of `--listen`.
pub(super) fn listen_address(text: &str) -> anyhow::Result<SocketAddr> {
    let full = if text.starts_with(':') {
        format!("0.0.0.0{text}")
    } else {
        text.to_owned()
    };
    let mut found = full.to_socket_addrs().map_err(|e| {
        anyhow::anyhow!("--listen {text}: {e}; write it as HOST:PORT, such as 127.0.0.1:9090")
    })?;
    found
        .next()
        .ok_or_else(|| anyhow::anyhow!("--listen {text}: that name has no address"))
}

/// The file of `--config`, or the defaults.
pub(super) fn config(file: Option<&PathBuf>) -> anyhow::Result<Config> {
    Ok(match file {
        Some(file) => Config::load(file)?,
        None => Config::default(),
    })
}

/// The file of `--web-config`; what is odd about it is logged.
pub(super) fn web_config(file: Option<&Path>) -> anyhow::Result<Option<Arc<WebConfig>>> {
    let web_config = file.map(WebConfig::load).transpose()?.map(Arc::new);
    for warning in web_config.iter().flat_map(|web| web.warnings()) {
        tracing::warn!("{warning}");
    }
    Ok(web_config)
}

/// Runs what serves until it ends; `serve` gets the token that a signal cancels.
pub(super) fn run<F>(serve: impl FnOnce(CancellationToken) -> F) -> anyhow::Result<()>
where
    F: Future<Output = anyhow::Result<()>>,
{
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(std::thread::available_parallelism().map_or(2, |n| n.get().min(4)))
        .max_blocking_threads(64)
        .enable_all()
        .build()
        .context("starting the async runtime")?;
    let stop = CancellationToken::new();
    runtime.spawn(until_signal(stop.clone()));
    let outcome = runtime.block_on(serve(stop));
    // A query that is still running has been told to stop; nobody waits for it.
    runtime.shutdown_background();
    outcome
}

/// Stops at the first signal; a second one does not wait for the end of that.
async fn until_signal(stop: CancellationToken) {
    use tokio::signal::unix::{SignalKind, signal};
    let (Ok(mut interrupt), Ok(mut terminate)) =
        (signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
    else {
        tracing::error!("signals cannot be handled; Ctrl-C will end the process without a last sync");
        return;
    };
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    stop.cancel();
    tracing::info!("stopping");
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    tracing::warn!("ended at the second signal; the next start reads the write-ahead log");
    std::process::exit(130);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_that_are_wrong_say_how_they_are_written() {
        assert!(
            positive_ms("retention-time", "fifteen")
                .unwrap_err()
                .to_string()
                .contains("15d")
        );
        assert!(
            listen_address("nowhere")
                .unwrap_err()
                .to_string()
                .contains("HOST:PORT")
        );
        assert_eq!(listen_address(":80").unwrap().to_string(), "0.0.0.0:80");
    }
}
