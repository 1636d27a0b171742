//! One worker's stream, from its hello to its end.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use futures::future::FusedFuture;
use gleaner_coordinator_core::Event;
use gleaner_network::{ReceiveError, SendError, WorkReceiver, WorkSender, WorkStream};
use gleaner_protocol::limits::{HEARTBEAT_INTERVAL, LEASES_HELD_MAX};
use gleaner_protocol::{
    Invitation, LeaseClaims, LeaseToken, ProjectId, RefusedReason, ReleaseReason, ToCoordinator,
    ToWorker, WORK_PROTOCOL_VERSION, WorkerId,
};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::engine::Input;
use super::outbox::{OUTBOX_MESSAGES_MAX, Outbox, Outgoing, Supply};
use super::reception::Reception;
use super::results::{ResultViolation, Results};
use crate::store::{Admission, StoreError};

/// How long a new stream may take to say hello.
const HELLO_TIME_MAX: Duration = Duration::from_secs(10);

/// How long what is queued for a worker that says goodbye may take to be sent.
const CLOSE_TIME_MAX: Duration = Duration::from_secs(2);

/// Why a session ended early.
#[derive(Debug, thiserror::Error)]
enum SessionError {
    #[error("it did not say hello in {} s", HELLO_TIME_MAX.as_secs())]
    NoHello,
    #[error(transparent)]
    Receive(#[from] ReceiveError),
    #[error(transparent)]
    Send(#[from] SendError),
    #[error("it broke the protocol: {0}")]
    Violation(&'static str),
    #[error("it broke the protocol: {0}")]
    Result(#[from] ResultViolation),
    #[error("it was refused: {0}")]
    Refused(RefusedReason),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What a worker said first.
struct Hello {
    version: u16,
    project: ProjectId,
    invitation: Option<Invitation>,
    held: Vec<(LeaseClaims, LeaseToken)>,
}

/// Serves one stream until it ends. A stream that breaks the protocol is closed without an answer.
pub(crate) async fn serve(reception: Arc<Reception>, worker: WorkerId, stream: WorkStream) {
    if let Err(error) = greet_and_serve(&reception, worker, stream).await {
        warn!(%worker, %error, "a worker's stream ended early");
    }
}

async fn greet_and_serve(
    reception: &Arc<Reception>,
    worker: WorkerId,
    stream: WorkStream,
) -> Result<(), SessionError> {
    let (mut sender, mut receiver) = stream.split();
    let hello = receive_hello(&mut receiver).await?;
    if let Some(reason) = refusal(reception, worker, &hello).await? {
        sender.send(&ToWorker::Refused(reason.clone())).await?;
        sender.close().await?;
        return Err(SessionError::Refused(reason));
    }
    sender.send(&welcome(reception, &hello)).await?;
    let (outbox, queue) = mpsc::channel(OUTBOX_MESSAGES_MAX);
    let number = reception.next_stream();
    info!(%worker, "worker connected");
    let end = CancellationToken::new();
    let guard = end.clone().drop_guard();
    let held = hello.held;
    let attach = Input::Attach { worker, stream: number, outbox: outbox.clone(), end: guard, held };
    reception.engine.send(attach).await;
    let mut sending = pin!(send_all(reception, worker, sender, queue).fuse());
    let ended = tokio::select! {
        ended = receive_all(reception, worker, &mut receiver, &outbox) => ended,
        () = &mut sending => Ok(()),
        () = end.cancelled() => Ok(()),
    };
    reception.engine.send(Input::Detach { worker, stream: number }).await;
    drop(outbox);
    if ended.is_ok() && !sending.is_terminated() {
        // What is still queued goes out, and the stream is closed; a worker that is gone already
        // needs neither.
        let _ = tokio::time::timeout(CLOSE_TIME_MAX, sending).await;
    }
    info!(%worker, "worker disconnected");
    ended
}

async fn receive_hello(receiver: &mut WorkReceiver) -> Result<Hello, SessionError> {
    let first = tokio::time::timeout(HELLO_TIME_MAX, receiver.receive()).await;
    match first.map_err(|_| SessionError::NoHello)?? {
        Some(ToCoordinator::Hello { version, project, invitation, held }) => {
            if held.len() > LEASES_HELD_MAX {
                return Err(SessionError::Violation("its hello names too many leases"));
            }
            Ok(Hello { version, project, invitation, held })
        }
        _ => Err(SessionError::Violation("its first message is no hello")),
    }
}

async fn refusal(
    reception: &Reception,
    worker: WorkerId,
    hello: &Hello,
) -> Result<Option<RefusedReason>, StoreError> {
    if hello.project != reception.project {
        return Ok(Some(RefusedReason::WrongProject));
    }
    if hello.version < WORK_PROTOCOL_VERSION {
        let (oldest, newest) = (WORK_PROTOCOL_VERSION, WORK_PROTOCOL_VERSION);
        return Ok(Some(RefusedReason::Version { oldest, newest }));
    }
    let now = reception.clock.now();
    let admission = reception.store.admit(worker, hello.invitation, now).await?;
    Ok((admission == Admission::NotInvited).then_some(RefusedReason::NotInvited))
}

fn welcome(reception: &Reception, hello: &Hello) -> ToWorker {
    ToWorker::Welcome {
        version: WORK_PROTOCOL_VERSION.min(hello.version),
        record: reception.record.clone(),
        epoch: reception.store.epoch(),
        heartbeat_interval: HEARTBEAT_INTERVAL,
    }
}

async fn send_all(
    reception: &Arc<Reception>,
    worker: WorkerId,
    sender: WorkSender,
    queue: mpsc::Receiver<Outgoing>,
) {
    let supply = Supply {
        worker,
        inputs: Arc::clone(&reception.inputs),
        served: Arc::clone(&reception.served),
        engine: reception.engine.clone(),
    };
    Outbox::new(supply, sender).run(queue).await;
}

async fn receive_all(
    reception: &Arc<Reception>,
    worker: WorkerId,
    receiver: &mut WorkReceiver,
    outbox: &mpsc::Sender<Outgoing>,
) -> Result<(), SessionError> {
    let mut returned = Results::new(Arc::clone(reception), worker, outbox.clone());
    while let Some(message) = receiver.receive().await? {
        let event = match message {
            ToCoordinator::Hello { .. } => {
                return Err(SessionError::Violation("it said hello twice"));
            }
            ToCoordinator::Request(capacity) => Event::CapacityOffered { worker, capacity },
            ToCoordinator::Heartbeat { attempts } => {
                let attempts = attempts.into_iter().map(|progress| progress.attempt).collect();
                Event::Heartbeat { worker, attempts }
            }
            ToCoordinator::Release { attempts, reason } => {
                if reason == ReleaseReason::InputsMissing {
                    // A full outbox ends the session by itself.
                    let _ = outbox.try_send(Outgoing::RepeatTasks);
                }
                Event::Released { worker, attempts, reason }
            }
            ToCoordinator::Results { results } => {
                returned.take(results).await?;
                continue;
            }
        };
        reception.engine.send(Input::Event(event)).await;
    }
    Ok(())
}
