//! Results as they come from one worker: checked, their large outputs fetched.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use gleaner_coordinator_core::Event;
use gleaner_protocol::limits::{
    FAILURE_MESSAGE_BYTES_MAX, ITEM_FAILURE_MESSAGE_BYTES_MAX, RESULTS_PER_MESSAGE_MAX,
    UNIT_LOG_BYTES_MAX,
};
use gleaner_protocol::{
    AttemptId, BlobRef, ItemFailure, ItemRange, Limits, OnFailure, Outcome, Payload, ToWorker,
    UnitResult, WithdrawReason, WorkerId,
};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::engine::Input;
use super::outbox::Outgoing;
use super::reception::Reception;

/// How many large results of one worker are fetched at a time; until one is here, nothing more is
/// read from that worker.
const FETCHES_MAX: usize = 4;

/// The longest words of a failure: a task's own, and what the worker says around them.
const WORDS_BYTES_MAX: usize = 4 * FAILURE_MESSAGE_BYTES_MAX;

/// The most CPU time that a result may claim: no unit is given more than 30 days of it, and what is
/// measured may be late.
const CPU_MAX: Duration = Duration::from_secs(366 * 24 * 60 * 60);
const _: () = assert!(CPU_MAX.as_secs() > 2 * Limits::TIME_MAX.as_secs());

/// The results of one stream. Dropped with it, fetches under way are given up: the worker sends
/// such results again.
pub(crate) struct Results {
    reception: Arc<Reception>,
    worker: WorkerId,
    outbox: mpsc::Sender<Outgoing>,
    fetches: JoinSet<AttemptId>,
    fetching: HashSet<AttemptId>,
}

/// How a result breaks the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct ResultViolation(&'static str);

impl Results {
    pub(crate) fn new(
        reception: Arc<Reception>,
        worker: WorkerId,
        outbox: mpsc::Sender<Outgoing>,
    ) -> Self {
        let (fetches, fetching) = (JoinSet::new(), HashSet::new());
        Self { reception, worker, outbox, fetches, fetching }
    }

    /// Passes results on to the engine; those whose outputs are a blob once it is here and durable.
    /// Of a message that breaks the protocol, none is taken.
    pub(crate) async fn take(&mut self, results: Vec<UnitResult>) -> Result<(), ResultViolation> {
        if results.len() > RESULTS_PER_MESSAGE_MAX {
            return Err(ResultViolation("it sent too many results in one message"));
        }
        for result in &results {
            check(result)?;
            self.check_tolerance(result)?;
        }
        let worker = self.worker;
        let (elsewhere, here): (Vec<_>, Vec<_>) =
            results.into_iter().partition(|result| blob_of(result).is_some());
        // The core verifies their tokens.
        if !here.is_empty() {
            let event = Event::ResultsReturned { worker, results: here };
            self.reception.engine.send(Input::Event(event)).await;
        }
        for result in elsewhere {
            self.fetch(result).await;
        }
        Ok(())
    }

    /// Fetches the outputs of a result, if it is of a lease of ours.
    async fn fetch(&mut self, result: UnitResult) {
        let Some(blob) = blob_of(&result) else { return };
        let worker = self.worker;
        let attempt = result.claims.attempt;
        let key = &self.reception.lease_key;
        if result.claims.worker != worker || !key.verifies(&result.claims, &result.token) {
            let (attempts, reason) = (vec![attempt], WithdrawReason::UnknownLease);
            let message = ToWorker::Withdraw { attempts, reason };
            // A full outbox ends the session by itself.
            let _ = self.outbox.try_send(Outgoing::Message(message));
            return;
        }
        self.make_room().await;
        if self.fetching.insert(attempt) {
            let reception = Arc::clone(&self.reception);
            self.fetches.spawn(async move {
                reception.fetch_outputs(worker, result, blob).await;
                attempt
            });
        }
    }

    /// Only where the job goes on may items of a completed unit have failed.
    fn check_tolerance(&self, result: &UnitResult) -> Result<(), ResultViolation> {
        let Outcome::Completed { failures, .. } = &result.outcome else { return Ok(()) };
        if failures.is_empty() {
            return Ok(());
        }
        let claims = &result.claims;
        let spec = self.reception.inputs.spec(claims.attempt.unit.job);
        let stage = spec.as_ref().and_then(|spec| spec.stages.get(claims.stage.0 as usize));
        match stage.is_some_and(|stage| stage.task.on_failure == OnFailure::Stop) {
            true => Err(ResultViolation("a result leaves items out, but its job stops at one")),
            false => Ok(()),
        }
    }

    /// Waits until one more fetch may start.
    async fn make_room(&mut self) {
        while let Some(done) = self.fetches.try_join_next() {
            self.forget(done);
        }
        while self.fetches.len() >= FETCHES_MAX {
            match self.fetches.join_next().await {
                Some(done) => self.forget(done),
                None => return,
            }
        }
    }

    fn forget(&mut self, done: Result<AttemptId, tokio::task::JoinError>) {
        match done {
            Ok(attempt) => drop(self.fetching.remove(&attempt)),
            // A fetch that panicked left its attempt behind; the worker sends the result again.
            Err(_) => self.fetching.clear(),
        }
    }
}

/// The blob of a result's outputs, if they are in one.
fn blob_of(result: &UnitResult) -> Option<BlobRef> {
    match &result.outcome {
        Outcome::Completed { outputs: Payload::Blob(blob), .. } => Some(*blob),
        _ => None,
    }
}

fn check(result: &UnitResult) -> Result<(), ResultViolation> {
    if result.cpu > CPU_MAX {
        return Err(ResultViolation("a result claims more CPU time than a unit may take"));
    }
    if result.log.len() > UNIT_LOG_BYTES_MAX {
        return Err(ResultViolation("a result's log is too long"));
    }
    let items = result.claims.items;
    if let Outcome::Completed { failures, .. } = &result.outcome {
        check_failures(failures, items)?;
    }
    let item = match &result.outcome {
        Outcome::Completed { outputs: Payload::Inline(outputs), .. } => {
            if outputs.len() as u64 != items.len() {
                return Err(ResultViolation("a result has not one output for each item"));
            }
            if !Payload::fits_inline(outputs) {
                return Err(ResultViolation("a result carries more outputs than fit in a message"));
            }
            None
        }
        Outcome::Failed { item, message } | Outcome::Trapped { item, message, .. } => {
            check_words(message)?;
            Some(*item)
        }
        Outcome::Refused { reason: words } | Outcome::SlotCrashed { status: words } => {
            check_words(words)?;
            None
        }
        Outcome::MemoryExceeded { item, .. }
        | Outcome::OutputExceeded { item, .. }
        | Outcome::LogExceeded { item, .. }
        | Outcome::HostCallsExceeded { item, .. }
        | Outcome::StackOverflow { item } => Some(*item),
        Outcome::Completed { outputs: Payload::Blob(_), .. }
        | Outcome::CpuExceeded { .. }
        | Outcome::WallExceeded { .. }
        | Outcome::HostMemory => None,
    };
    match item {
        Some(item) if !(items.start..items.end).contains(&item) => {
            Err(ResultViolation("a result speaks of an item that is not its unit's"))
        }
        _ => Ok(()),
    }
}

fn check_failures(failures: &[ItemFailure], items: ItemRange) -> Result<(), ResultViolation> {
    let is_of_unit = |failure: &ItemFailure| (items.start..items.end).contains(&failure.item);
    if !failures.iter().all(is_of_unit) {
        return Err(ResultViolation("a result speaks of an item that is not its unit's"));
    }
    if !failures.is_sorted_by(|one, next| one.item < next.item) {
        return Err(ResultViolation("a result's failed items are not in order"));
    }
    if failures.iter().any(|failure| failure.message.len() > ITEM_FAILURE_MESSAGE_BYTES_MAX) {
        return Err(ResultViolation("a result's words are too long"));
    }
    Ok(())
}

fn check_words(words: &str) -> Result<(), ResultViolation> {
    if words.len() > WORDS_BYTES_MAX {
        return Err(ResultViolation("a result's words are too long"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use gleaner_protocol::{
        BlobHash, Epoch, FailureKind, JobId, LeaseClaims, LeaseKey, StageIndex, UnitId,
    };

    use super::*;

    fn violation(outcome: Outcome) -> Option<&'static str> {
        check(&returned(outcome)).err().map(|violation| violation.0)
    }

    fn returned(outcome: Outcome) -> UnitResult {
        let claims = LeaseClaims {
            worker: WorkerId([1; 32]),
            attempt: AttemptId { unit: UnitId { job: JobId(1), number: 0 }, number: 1 },
            stage: StageIndex(0),
            items: ItemRange { start: 4, end: 6 },
            input: BlobHash([0; 32]),
            epoch: Epoch(1),
        };
        let token = LeaseKey::new([0; 32]).seal(&claims);
        let (cpu, log) = (Duration::ZERO, String::new());
        UnitResult { claims, token, outcome, cpu, log }
    }

    fn completed(outputs: &[usize]) -> Outcome {
        let outputs = outputs.iter().map(|bytes| vec![0; *bytes].into()).collect();
        Outcome::Completed { outputs: Payload::Inline(outputs), failures: Vec::new() }
    }

    fn but_for(items: &[u64], words: usize) -> Outcome {
        let Outcome::Completed { outputs, .. } = completed(&[1, 0]) else { unreachable!("it is") };
        let message = "x".repeat(words);
        let failure = |item: &u64| {
            let (item, kind) = (*item, FailureKind::Failed);
            ItemFailure { item, kind, message: message.clone() }
        };
        Outcome::Completed { outputs, failures: items.iter().map(failure).collect() }
    }

    #[test]
    fn what_an_honest_worker_sends_passes() {
        let failed = Outcome::Failed { item: 5, message: "no such star".into() };
        for outcome in [completed(&[1, 2]), failed, Outcome::HostMemory, but_for(&[4, 5], 256)] {
            assert_eq!(violation(outcome), None);
        }
    }

    #[test]
    fn no_result_takes_a_year() {
        let result = |cpu| UnitResult { cpu, ..returned(completed(&[1, 2])) };
        assert_eq!(check(&result(CPU_MAX)), Ok(()));
        for cpu in [CPU_MAX + Duration::from_millis(1), Duration::MAX] {
            assert!(check(&result(cpu)).is_err(), "{cpu:?}");
        }
    }

    #[test]
    fn counts_sizes_and_items_are_checked() {
        let long = "x".repeat(WORDS_BYTES_MAX + 1);
        let outcomes = [
            completed(&[1]),
            completed(&[40_000, 40_000]),
            Outcome::Failed { item: 6, message: String::new() },
            Outcome::StackOverflow { item: 3 },
            Outcome::Failed { item: 4, message: long.clone() },
            Outcome::SlotCrashed { status: long },
            but_for(&[6], 1),
            but_for(&[5, 4], 1),
            but_for(&[4, 4], 1),
            but_for(&[4], 257),
        ];
        for outcome in outcomes {
            assert!(violation(outcome.clone()).is_some(), "{outcome:.60}");
        }
    }
}
