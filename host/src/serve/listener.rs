//! Connections: taken up to a limit, with a deadline for the head of each request, and ended in order.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

use super::settings::{HEAD_DEADLINE, MAX_CONNECTIONS, STOP_DEADLINE};

/// Bytes of the head of a request.
const MAX_HEAD: usize = 64 * 1024;

/// Takes connections until it is to stop; then waits for those that are there, as long as it may.
pub async fn run(listener: TcpListener, router: Router, mut stopping: watch::Receiver<bool>) {
    let free = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let mut connections = JoinSet::new();
    loop {
        let accepted = async {
            let permit = Arc::clone(&free).acquire_owned().await.ok()?;
            Some((listener.accept().await, permit))
        };
        tokio::select! {
            _ = stopping.changed() => break,
            Some(_) = connections.join_next(), if !connections.is_empty() => {}
            accepted = accepted => match accepted {
                Some((Ok((socket, _)), permit)) => {
                    let serving = serve(socket, router.clone(), stopping.clone());
                    connections.spawn(async move {
                        serving.await;
                        drop(permit);
                    });
                }
                Some((Err(error), _)) => {
                    // No more files, most likely: some will be closed soon.
                    tracing::warn!(%error, "a connection could not be taken");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
                None => break,
            }
        }
    }
    drop(listener);
    let all = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout(STOP_DEADLINE, all).await.is_err() {
        tracing::warn!("some requests were still under way");
    }
}

async fn serve(socket: TcpStream, router: Router, mut stopping: watch::Receiver<bool>) {
    // Events are small and shall not wait for more.
    let _best_effort = socket.set_nodelay(true);
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_DEADLINE)
        .max_buf_size(MAX_HEAD)
        .serve_connection(TokioIo::new(socket), TowerToHyperService::new(router));
    let mut connection = std::pin::pin!(connection);
    let stop = async {
        // The borrowed value must not be held while one waits.
        let _stop = stopping.wait_for(|stop| *stop).await.map(|stop| *stop);
    };
    let ended = tokio::select! {
        ended = connection.as_mut() => Some(ended),
        () = stop => None,
    };
    let ended = match ended {
        Some(ended) => ended,
        None => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        // A client that went away, or spoke no HTTP.
        tracing::debug!(%error, "a connection ended");
    }
}
