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
    Invitation, LeaseClaims, LeaseToken, ProjectId, RefusalWords, RefusedReason, ReleaseReason,
    ToCoordinator, ToWorker, WORK_PROTOCOL_VERSION, Wish, WorkerId,
};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::engine::Input;
use super::outbox::{OUTBOX_MESSAGES_MAX, Outbox, Outgoing, Supply};
use super::reception::Reception;
use super::results::{ResultViolation, Results};
use crate::store::{Admission, Denial, StoreError};

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
enum First {
    Hello(Hello),
    Inquiry(Caller, Wish),
}

/// What a worker says when it comes to work.
struct Hello {
    caller: Caller,
    held: Vec<(LeaseClaims, LeaseToken)>,
    refusals: RefusalWords,
}

/// Who comes, and by what right.
struct Caller {
    version: u16,
    project: ProjectId,
    invitation: Option<Invitation>,
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
    let hello = match receive_first(&mut receiver).await? {
        First::Hello(hello) => hello,
        First::Inquiry(caller, wish) => {
            return answer_inquiry(reception, worker, sender, &caller, wish).await;
        }
    };
    if let Some(reason) = refusal(reception, worker, &hello.caller, Wish::Join).await? {
        return refuse(sender, reason, hello.refusals).await;
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
    // One that was removed between its admission and here was not there to be expelled.
    let looked = refusal(reception, worker, &hello.caller, Wish::Look).await;
    if !matches!(looked, Ok(None)) {
        reception.engine.send(Input::Expel { worker }).await;
    }
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

async fn receive_first(receiver: &mut WorkReceiver) -> Result<First, SessionError> {
    let first = tokio::time::timeout(HELLO_TIME_MAX, receiver.receive()).await;
    match first.map_err(|_| SessionError::NoHello)?? {
        Some(ToCoordinator::Hello { version, project, invitation, held, refusals }) => {
            if held.len() > LEASES_HELD_MAX {
                return Err(SessionError::Violation("its hello names too many leases"));
            }
            let caller = Caller { version, project, invitation };
            Ok(First::Hello(Hello { caller, held, refusals }))
        }
        Some(ToCoordinator::Inquire { version, project, invitation, wish }) => {
            Ok(First::Inquiry(Caller { version, project, invitation }, wish))
        }
        _ => Err(SessionError::Violation("its first message is no hello")),
    }
}

/// Shows the project to a worker that would be taken, and ends the stream.
async fn answer_inquiry(
    reception: &Reception,
    worker: WorkerId,
    mut sender: WorkSender,
    caller: &Caller,
    wish: Wish,
) -> Result<(), SessionError> {
    if let Some(reason) = refusal(reception, worker, caller, wish).await? {
        return refuse(sender, reason, RefusalWords::Invitations).await;
    }
    match wish {
        Wish::Look => info!(%worker, "a worker asks about the project"),
        Wish::Join => info!(%worker, "a worker has joined"),
    }
    sender.send(&ToWorker::Introduction { record: reception.record.clone() }).await?;
    Ok(sender.close().await?)
}

async fn refuse(
    mut sender: WorkSender,
    reason: RefusedReason,
    words: RefusalWords,
) -> Result<(), SessionError> {
    sender.send(&ToWorker::Refused(reason.clone().told_in(words))).await?;
    sender.close().await?;
    Err(SessionError::Refused(reason))
}

async fn refusal(
    reception: &Reception,
    worker: WorkerId,
    caller: &Caller,
    wish: Wish,
) -> Result<Option<RefusedReason>, StoreError> {
    if caller.project != reception.project {
        return Ok(Some(RefusedReason::WrongProject));
    }
    if caller.version < WORK_PROTOCOL_VERSION {
        let (oldest, newest) = (WORK_PROTOCOL_VERSION, WORK_PROTOCOL_VERSION);
        return Ok(Some(RefusedReason::Version { oldest, newest }));
    }
    let (now, store) = (reception.clock.now(), &reception.store);
    let admission = match wish {
        Wish::Look => store.would_admit(worker, caller.invitation, now).await?,
        // A member that comes back asks for nothing to be written: it may while the disk is full.
        Wish::Join => match store.would_admit(worker, caller.invitation, now).await? {
            Admission::Admitted => store.admit(worker, caller.invitation, now).await?,
            known => known,
        },
    };
    Ok(match admission {
        Admission::Member | Admission::Admitted => None,
        Admission::Denied(denial) => Some(reason_of(denial)),
    })
}

fn reason_of(denial: Denial) -> RefusedReason {
    match denial {
        Denial::NotInvited => RefusedReason::NotInvited,
        Denial::Unknown => RefusedReason::InvitationUnknown,
        Denial::Expired => RefusedReason::InvitationExpired,
        Denial::UsedUp { uses_max } => RefusedReason::InvitationUsedUp { uses_max },
        Denial::Revoked => RefusedReason::InvitationRevoked,
    }
}

fn welcome(reception: &Reception, hello: &Hello) -> ToWorker {
    ToWorker::Welcome {
        version: WORK_PROTOCOL_VERSION.min(hello.caller.version),
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
            ToCoordinator::Hello { .. } | ToCoordinator::Inquire { .. } => {
                return Err(SessionError::Violation("it said hello twice"));
            }
            ToCoordinator::Request(capacity) => Event::CapacityOffered { worker, capacity },
            ToCoordinator::Heartbeat { attempts, running } => {
                let running = running.into_iter().map(|progress| progress.attempt).collect();
                Event::Heartbeat { worker, attempts, running }
            }
            ToCoordinator::Release { attempts, reason } => {
                if matches!(reason, ReleaseReason::Unable(_)) {
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
