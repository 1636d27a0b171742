//! The connection to one project's coordinators: dialled, and dialled again, for as long as the
//! worker lives.
//!
//! Carries messages and judges none: the driver says what goes out and decides what came in.
//! Invariants: one stream at a time for each project; its [`Input::Closed`] comes before the next
//! one's [`Input::Opened`].

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use gleaner_network::{Backoff, Node, OpenError, ReceiveError, SendError, WorkSender, WorkStream};
use gleaner_protocol::{ProjectId, ToCoordinator, ToWorker, WorkerId};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use crate::input::Input;

/// How long a coordinator may take to hear the last words of a stream and close its own side.
const CLOSING_MAX: Duration = Duration::from_secs(1);

/// One stream of a project, distinct from those before and after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct StreamId(u64);

/// An open stream as the driver holds it; dropping it closes the stream after what was queued.
#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) id: StreamId,
    pub(crate) peer: WorkerId,
    pub(crate) outbox: mpsc::UnboundedSender<ToCoordinator>,
}

/// Where a project's coordinators are: asked before each round of calls, as it may have changed.
pub(crate) type Coordinators = Box<dyn Fn() -> Vec<(WorkerId, Vec<String>)> + Send + Sync>;

/// Keeps one project connected.
pub(crate) struct Connector {
    pub(crate) project: ProjectId,
    pub(crate) node: Node,
    pub(crate) coordinators: Coordinators,
    pub(crate) inputs: mpsc::Sender<Input>,
    /// Set by the driver when a coordinator has accepted the worker: only then a new stream may be
    /// tried soon after this one ends.
    pub(crate) welcomed: Arc<AtomicU64>,
    pub(crate) stop: CancellationToken,
}

impl Connector {
    /// Runs until the worker stops.
    pub(crate) async fn run(self) {
        let mut backoff = Backoff::new(random_seed());
        let mut streams = 0;
        while !self.stop.is_cancelled() {
            for (peer, addresses) in (self.coordinators)() {
                let opened = tokio::select! {
                    opened = self.node.open_work_stream(peer, &addresses) => opened,
                    () = self.stop.cancelled() => return,
                };
                match opened {
                    Ok(stream) => {
                        streams += 1;
                        let before = self.welcomed.load(Ordering::Relaxed);
                        self.carry(StreamId(streams), stream).await;
                        if self.welcomed.load(Ordering::Relaxed) != before {
                            backoff.reset();
                        }
                    }
                    Err(OpenError::Stopped) => return,
                    Err(error) => debug!(project = %self.project, %peer, %error, "not reached"),
                }
            }
            let pause = backoff.next();
            debug!(project = %self.project, ?pause, "calling again after a pause");
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = self.stop.cancelled() => return,
            }
        }
    }

    async fn carry(&self, id: StreamId, stream: WorkStream) {
        let (peer, project) = (stream.peer(), self.project);
        info!(%project, coordinator = %peer, "connected");
        let (outbox, outgoing) = mpsc::unbounded_channel();
        let opened = Input::Opened { project, link: Link { id, peer, outbox } };
        if self.inputs.send(opened).await.is_err() {
            return;
        }
        let (sender, mut receiver) = stream.split();
        let sending = send_all(sender, outgoing);
        tokio::pin!(sending);
        let ended = loop {
            tokio::select! {
                ended = &mut sending => break ended.map_err(|error| error.to_string()),
                received = receiver.receive::<ToWorker>() => {
                    match self.pass_on(id, received).await {
                        Ok(()) => {}
                        Err(reason) => break Err(reason),
                    }
                }
            }
        };
        match ended {
            Ok(()) => {
                debug!(%project, coordinator = %peer, "stream closed");
                // The connection must not go before what was sent has arrived.
                let heard =
                    async { while let Ok(Some(_)) = receiver.receive::<ToWorker>().await {} };
                let _ = tokio::time::timeout(CLOSING_MAX, heard).await;
            }
            Err(reason) => info!(%project, coordinator = %peer, %reason, "disconnected"),
        }
        // Nobody listens only when the worker stops.
        let _ = self.inputs.send(Input::Closed { project, id }).await;
    }

    async fn pass_on(
        &self,
        id: StreamId,
        received: Result<Option<ToWorker>, ReceiveError>,
    ) -> Result<(), String> {
        let project = self.project;
        match received {
            Ok(Some(message)) => {
                let input = Input::Received { project, id, message };
                self.inputs.send(input).await.map_err(|_| "the worker stops".to_owned())
            }
            Ok(None) => Err("the coordinator closed the stream".to_owned()),
            Err(ReceiveError::Violation(violation)) => {
                warn!(%project, %violation, "coordinator broke the protocol");
                Err(violation.to_string())
            }
            Err(error) => Err(error.to_string()),
        }
    }
}

/// Sends what the driver queues until it drops its end, then says that no more will come.
async fn send_all(
    mut sender: WorkSender,
    mut outgoing: mpsc::UnboundedReceiver<ToCoordinator>,
) -> Result<(), SendError> {
    while let Some(message) = outgoing.recv().await {
        sender.feed(&message).await?;
        while let Ok(message) = outgoing.try_recv() {
            sender.feed(&message).await?;
        }
        sender.flush().await?;
    }
    // A coordinator that has stopped reading must not hold the worker up.
    tokio::time::timeout(CLOSING_MAX, sender.close()).await.unwrap_or(Err(SendError::Stalled))
}

/// A seed that differs between workers, so that they do not come back at one moment.
fn random_seed() -> u64 {
    getrandom::u64().unwrap_or_else(|_| u64::from(std::process::id()))
}
