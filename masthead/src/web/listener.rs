//! Accepts connections, with TLS where it is configured, and serves each with HTTP/1.1.
//!
//! A client that is slow or only half there costs one socket for a bounded time: headers must arrive within
//! [`HEADER_TIMEOUT`], idle connections too, an answer must be taken ([`STALL_TIMEOUT`]), and at most [`MAX_CONNECTIONS`] are held. On shutdown idle connections are
//! closed and running requests get [`GRACE`].

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use crate::web::stall::Stalling;

/// From the connection's start, or the end of the request before, to the end of the next headers.
const HEADER_TIMEOUT: Duration = Duration::from_secs(30);
/// A TLS handshake takes no longer.
const TLS_TIMEOUT: Duration = Duration::from_secs(10);
/// Connections held at once; upstream's `--web.max-connections` has the same default.
const MAX_CONNECTIONS: usize = 512;
/// A client that reads nothing of its answer for so long is cut off: the answer takes memory.
const STALL_TIMEOUT: Duration = Duration::from_secs(60);
/// How long running requests may go on after the signal to stop.
const GRACE: Duration = Duration::from_millis(800);

/// Binds the address.
///
/// # Errors
/// Says which address, why, and what to do about it.
pub async fn bind(address: SocketAddr) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).await.map_err(|e| {
        let cure = match e.kind() {
            io::ErrorKind::AddrInUse => "another program listens there (is Prometheus or another masthead running?); stop it, or choose another port with --listen",
            io::ErrorKind::PermissionDenied => "ports below 1024 need root; choose a higher one with --listen",
            io::ErrorKind::AddrNotAvailable => "this machine has no such address; see `ip addr`",
            _ => "check the address given with --listen",
        };
        anyhow::anyhow!("listening on {address}: {e}; {cure}")
    })
}

/// Serves until `stop`, then gives running requests their grace.
pub async fn serve(listener: TcpListener, router: Router, tls: Option<TlsAcceptor>, stop: CancellationToken) {
    serve_at_most(MAX_CONNECTIONS, listener, router, tls, stop).await;
}

async fn serve_at_most(
    connections: usize,
    listener: TcpListener,
    router: Router,
    tls: Option<TlsAcceptor>,
    stop: CancellationToken,
) {
    let graceful = GracefulShutdown::new();
    let slots = Arc::new(Semaphore::new(connections));
    loop {
        // While all slots are taken, by clients that may never say a word, the stop must still be heard.
        let slot = tokio::select! {
            Ok(slot) = Arc::clone(&slots).acquire_owned() => slot,
            () = stop.cancelled() => break,
        };
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stop.cancelled() => break,
        };
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(e) => {
                // Most often too many open files: wait for some to close instead of spinning.
                tracing::warn!("accepting a connection: {e}; trying again in 100 ms");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        // Small answers must not wait for more data; a socket that refuses the option still works.
        let _ = stream.set_nodelay(true);
        let watcher = graceful.watcher();
        let (router, tls) = (router.clone(), tls.clone());
        tokio::spawn(async move {
            let _slot = slot;
            match tls {
                None => connection(stream, router, watcher).await,
                Some(acceptor) => {
                    if let Some(stream) = handshake(&acceptor, stream).await {
                        connection(stream, router, watcher).await;
                    }
                }
            }
        });
    }
    drop(listener);
    if tokio::time::timeout(GRACE, graceful.shutdown()).await.is_err() {
        tracing::info!(
            "requests were still running {} ms after the signal to stop; they are cut off",
            GRACE.as_millis()
        );
    }
}

async fn handshake(
    acceptor: &TlsAcceptor,
    stream: TcpStream,
) -> Option<tokio_rustls::server::TlsStream<TcpStream>> {
    match tokio::time::timeout(TLS_TIMEOUT, acceptor.accept(stream)).await {
        Ok(Ok(stream)) => Some(stream),
        Ok(Err(e)) => {
            tracing::debug!("TLS handshake: {e}");
            None
        }
        Err(_) => None,
    }
}

async fn connection<S>(stream: S, router: Router, watcher: hyper_util::server::graceful::Watcher)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let mut http = hyper::server::conn::http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .max_headers(64);
    let served = http.serve_connection(
        TokioIo::new(Stalling::new(stream, STALL_TIMEOUT)),
        TowerToHyperService::new(router),
    );
    if let Err(e) = watcher.watch(served).await {
        // The other side's business: hung up, sent no HTTP, took too long.
        tracing::debug!("connection: {e}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::AsyncWriteExt;

    #[tokio::test]
    async fn silent_clients_do_not_hold_up_the_stop() {
        let listener = bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
        let address = listener.local_addr().unwrap();
        let stop = CancellationToken::new();
        let served = tokio::spawn(serve_at_most(2, listener, Router::new(), None, stop.clone()));
        let mut silent = Vec::new();
        for _ in 0..4 {
            let mut client = TcpStream::connect(address).await.unwrap();
            client.write_all(b"GET / HT").await.unwrap();
            silent.push(client);
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
        stop.cancel();
        tokio::time::timeout(GRACE + Duration::from_secs(1), served)
            .await
            .unwrap()
            .unwrap();
    }

    #[tokio::test]
    async fn a_port_in_use_is_said_with_the_cure() {
        let first = bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
        let error = bind(first.local_addr().unwrap()).await.unwrap_err().to_string();
        assert!(
            error.contains("--listen") && error.contains("another program"),
            "{error}"
        );
    }
}
