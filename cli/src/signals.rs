//! The signals that ask a service, or a command that takes long, to stop.

use anyhow::{Context, Result};

use crate::failure::Interrupted;

/// The first request to stop; a second one ends the program at once.
pub struct StopRequests {
    #[cfg(unix)]
    terminate: tokio::signal::unix::Signal,
    #[cfg(unix)]
    interrupt: tokio::signal::unix::Signal,
}

impl StopRequests {
    /// Begins to listen: from here on a signal does not end the program by itself.
    ///
    /// # Errors
    /// When the system refuses.
    #[cfg(unix)]
    pub fn listen() -> Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        let listen = |kind| signal(kind).context("cannot listen to signals");
        Ok(Self {
            terminate: listen(SignalKind::terminate())?,
            interrupt: listen(SignalKind::interrupt())?,
        })
    }

    /// Begins to listen: from here on Ctrl-C does not end the program by itself.
    ///
    /// # Errors
    /// When the system refuses.
    #[cfg(not(unix))]
    pub fn listen() -> Result<Self> {
        Ok(Self {})
    }

    /// Waits for the next request.
    ///
    /// # Errors
    /// When the system has none to tell of.
    #[cfg(unix)]
    pub async fn next(&mut self) -> Result<()> {
        let asked = tokio::select! {
            asked = self.terminate.recv() => asked,
            asked = self.interrupt.recv() => asked,
        };
        asked.context("signals cannot be received any more")
    }

    /// Waits for the next request.
    ///
    /// # Errors
    /// When the system has none to tell of.
    #[cfg(not(unix))]
    pub async fn next(&mut self) -> Result<()> {
        tokio::signal::ctrl_c().await.context("Ctrl-C cannot be received")
    }

    /// Runs `stopping` to its end, unless another request comes first.
    pub async fn or_at_once(mut self, stopping: impl Future<Output = ()>) {
        tokio::select! {
            () = stopping => {}
            _ = self.next() => {}
        }
    }
}

/// What `work` gives, unless it is interrupted first by Ctrl-C or a request to stop: then what
/// `told` says of it.
///
/// # Errors
/// Those of `work`, or [`Interrupted`].
pub async fn unless_interrupted<T>(
    work: impl Future<Output = Result<T>>,
    told: impl FnOnce() -> Interrupted,
) -> Result<T> {
    let mut stop = StopRequests::listen()?;
    tokio::select! {
        ended = work => ended,
        asked = stop.next() => {
            asked?;
            Err(told().into())
        }
    }
}
