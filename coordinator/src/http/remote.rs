//! The door for submitters from elsewhere: the same routes over a stream between peers.
//!
//! Who calls is known before the first byte, by the key that the peer has proved; so there is no
//! token, and no browser that `Host` and `Origin` would tell. Deliberately absent: the greeting and
//! the list of submitters, which are the driver's.

use std::pin::pin;
use std::time::Duration;

use axum::{Extension, Router, middleware};
use gleaner_coordinator_core::Owner;
use gleaner_network::API_IDLE_MAX;
use gleaner_protocol::SubmitterId;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_util::sync::CancellationToken;
use tracing::debug;

use super::STOP_GRACE;
use super::routes::WAIT_MAX;
use super::walls::harden;

/// How long the head of a request may take to come.
const HEAD_TIME_MAX: Duration = Duration::from_secs(30);

// A stream that waits for a job to change is not idle.
const _: () = assert!(WAIT_MAX.as_secs() < API_IDLE_MAX.as_secs());

/// Serves streams between peers until the server stops.
#[derive(Clone, Debug)]
pub struct RemoteDoor {
    routes: Router,
    stop: CancellationToken,
}

impl RemoteDoor {
    pub(super) fn new(routes: Router, stop: CancellationToken) -> Self {
        Self { routes, stop }
    }

    /// Serves the requests that `submitter` sends on `stream`, until it ends, or at once when
    /// `removed` is cancelled: an answer under way is cut off then.
    pub async fn serve(
        &self,
        submitter: SubmitterId,
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
        removed: CancellationToken,
    ) {
        let caller = Extension(Owner::Submitter(submitter));
        let routes = self.routes.clone().layer(caller).layer(middleware::from_fn(harden));
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD_TIME_MAX)
            .serve_connection(TokioIo::new(stream), TowerToHyperService::new(routes));
        let mut connection = pin!(connection);
        let ended = tokio::select! {
            ended = connection.as_mut() => ended,
            () = removed.cancelled() => return,
            () = self.stop.cancelled() => {
                connection.as_mut().graceful_shutdown();
                tokio::time::timeout(STOP_GRACE, connection).await.unwrap_or(Ok(()))
            }
        };
        if let Err(error) = ended {
            debug!(%submitter, %error, "a submitter's stream ended early");
        }
    }
}
