//! What one worker is told, in order: leases with their inputs, acknowledgements, withdrawals.

use std::collections::HashSet;
use std::sync::Arc;

use gleaner_coordinator_core::{Event, Grant};
use gleaner_network::{SendError, WorkSender};
use gleaner_protocol::limits::{LEASES_HELD_MAX, LEASES_PER_MESSAGE_MAX};
use gleaner_protocol::{
    JobId, Lease, LeaseClaims, Obstacle, Payload, ReleaseReason, StageIndex, StageTask, ToWorker,
    WorkerId,
};
use tokio::sync::mpsc;
use tracing::{debug, warn};

use super::engine::{Engine, Input};
use super::inputs::Inputs;
use super::served::Served;
use crate::split::SplitError;

/// How many messages may wait for a worker that reads slowly before its stream is given up.
pub(crate) const OUTBOX_MESSAGES_MAX: usize = 4096;

/// One thing to tell a worker.
#[derive(Debug)]
pub(crate) enum Outgoing {
    Message(ToWorker),
    Grants(Vec<Grant>),
    /// Tasks are sent again with the next leases: the worker has lost some.
    RepeatTasks,
}

pub(crate) struct Outbox {
    supply: Supply,
    sender: WorkSender,
    tasks_sent: HashSet<(JobId, StageIndex)>,
}

/// Where leases get their inputs.
pub(crate) struct Supply {
    pub(crate) worker: WorkerId,
    pub(crate) inputs: Arc<Inputs>,
    pub(crate) served: Arc<Served>,
    pub(crate) engine: Engine,
}

impl Outbox {
    pub(crate) fn new(supply: Supply, sender: WorkSender) -> Self {
        Self { supply, sender, tasks_sent: HashSet::new() }
    }

    /// Sends until the engine drops its end or the stream breaks.
    pub(crate) async fn run(mut self, mut queue: mpsc::Receiver<Outgoing>) {
        while let Some(first) = queue.recv().await {
            if let Err(error) = self.send_all(first, &mut queue).await {
                debug!(worker = %self.supply.worker, %error, "a worker's stream broke while sending");
                return;
            }
        }
        if let Err(error) = self.sender.close().await {
            debug!(worker = %self.supply.worker, %error, "a worker's stream broke while closing");
        }
    }

    /// Sends `first` and all that waits behind it, then flushes.
    async fn send_all(
        &mut self,
        first: Outgoing,
        queue: &mut mpsc::Receiver<Outgoing>,
    ) -> Result<(), SendError> {
        let mut next = Some(first);
        while let Some(mut outgoing) = next {
            next = queue.try_recv().ok();
            while let Some(behind) = next {
                next = outgoing.join(behind);
                if next.is_some() {
                    break;
                }
                next = queue.try_recv().ok();
            }
            match outgoing {
                Outgoing::Message(message) => self.sender.feed(&message).await?,
                Outgoing::Grants(grants) => self.feed_grants(grants).await?,
                Outgoing::RepeatTasks => self.tasks_sent.clear(),
            }
        }
        self.sender.flush().await
    }

    async fn feed_grants(&mut self, grants: Vec<Grant>) -> Result<(), SendError> {
        let mut leases = Vec::new();
        for grant in grants {
            let (job, stage) = (grant.claims.attempt.unit.job, grant.claims.stage);
            let Some(lease) = self.supply.lease(grant).await else { continue };
            self.feed_task(job, stage).await?;
            leases.push(lease);
            if leases.len() == LEASES_PER_MESSAGE_MAX {
                let leases = std::mem::take(&mut leases);
                self.sender.feed(&ToWorker::Leases { leases }).await?;
            }
        }
        match leases.is_empty() {
            true => Ok(()),
            false => self.sender.feed(&ToWorker::Leases { leases }).await,
        }
    }

    /// Sends a stage's task before its first lease, and lets its blobs be fetched with each.
    async fn feed_task(&mut self, job: JobId, stage: StageIndex) -> Result<(), SendError> {
        let Some(spec) = self.supply.inputs.spec(job) else { return Ok(()) };
        let task = &spec.stages[stage.0 as usize].task;
        self.supply.allow(task);
        if !self.tasks_sent.insert((job, stage)) {
            return Ok(());
        }
        self.sender.feed(&ToWorker::Task { job, stage, task: task.clone() }).await
    }
}

impl Outgoing {
    /// Takes in what waits behind it, where one message can say both; else gives it back.
    fn join(&mut self, behind: Self) -> Option<Self> {
        match (self, behind) {
            (
                Self::Message(ToWorker::Acknowledge { attempts }),
                Self::Message(ToWorker::Acknowledge { attempts: more }),
            ) if attempts.len() < LEASES_HELD_MAX => {
                attempts.extend(more);
                None
            }
            (_, behind) => Some(behind),
        }
    }
}

impl Supply {
    fn allow(&self, task: &StageTask) {
        self.served.allow(self.worker, task.module.hash);
        for file in &task.files {
            self.served.allow(self.worker, file.blob.hash);
        }
    }

    /// A job at fault ends; this host's disk may do better in a while.
    async fn give_up(&self, claims: &LeaseClaims, error: &SplitError) {
        let (job, stage) = (claims.attempt.unit.job, claims.stage);
        let event = if error.is_of_job() {
            Event::StageFailed { job, stage, reason: error.to_string() }
        } else {
            let attempts = vec![claims.attempt];
            let reason = ReleaseReason::Unable(Obstacle::InputsUnread);
            Event::Released { worker: self.worker, attempts, reason }
        };
        self.engine.send(Input::Event(event)).await;
    }

    /// The lease with its inputs; `None` when its job has ended, or ends now because the inputs
    /// cannot be had.
    async fn lease(&self, grant: Grant) -> Option<Lease> {
        let Grant { claims, token, duration } = grant;
        let (job, stage) = (claims.attempt.unit.job, claims.stage);
        let payload = match self.inputs.stage(job, stage).await? {
            Ok(input) => input.payload(claims.items).await,
            Err(error) => Err(error),
        };
        match payload {
            Ok(inputs) => {
                if let Payload::Blob(blob) = &inputs {
                    self.served.allow(self.worker, blob.hash);
                }
                Some(Lease { claims, token, inputs, duration })
            }
            Err(error) => {
                warn!(%job, %stage, %error, "a stage's input cannot be read");
                self.give_up(&claims, &error).await;
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use gleaner_protocol::{AttemptId, UnitId};

    use super::*;

    fn acknowledge(units: std::ops::Range<u64>) -> Outgoing {
        let attempt = |number| {
            let unit = UnitId { job: JobId(1), number };
            AttemptId { unit, number: 1 }
        };
        Outgoing::Message(ToWorker::Acknowledge { attempts: units.map(attempt).collect() })
    }

    fn units(outgoing: &Outgoing) -> usize {
        match outgoing {
            Outgoing::Message(ToWorker::Acknowledge { attempts }) => attempts.len(),
            other => panic!("no acknowledgement: {other:?}"),
        }
    }

    #[test]
    fn acknowledgements_in_a_row_are_one_message_of_a_bounded_length() {
        let mut first = acknowledge(0..1);
        assert!(first.join(acknowledge(1..3)).is_none());
        assert_eq!(units(&first), 3);
        assert!(first.join(Outgoing::RepeatTasks).is_some(), "what is between them stays there");
        let mut full = acknowledge(0..LEASES_HELD_MAX as u64);
        let behind = full.join(acknowledge(0..1)).expect("it is full");
        assert_eq!(units(&behind), 1);
    }
}
