//! Random traffic from one seed: workers that lie, lose, repeat and reconnect; a coordinator that
//! crashes with a store that has committed only some of its batches.

use std::time::Duration;

use gleaner_protocol::{
    BlobRef, ItemRange, NotifyTarget, Obstacle, Outcome, RecordSource, ReleaseReason, SubmitterId,
};
use proptest::prelude::*;

use super::recovery::recover;
use super::*;
use crate::{Occasion, Opening, StageOutput, UnfitInput};

#[derive(Clone, Debug)]
enum Step {
    Submit {
        owner: Owner,
        items: i64,
        unit_items: u32,
        quorum: u32,
        on_failure: OnFailure,
        kept: (u64, u64),
    },
    Connect {
        worker: u8,
        units: u32,
    },
    Disconnect {
        worker: u8,
    },
    OfferLate {
        worker: u8,
    },
    Forget {
        worker: u8,
    },
    Answer {
        worker: u8,
        nth: usize,
        honest: bool,
        repeat: bool,
    },
    Inconclusive {
        worker: u8,
        repeat: bool,
    },
    Release {
        worker: u8,
        reason: ReleaseReason,
    },
    Heartbeat {
        worker: u8,
        running: usize,
    },
    Pause {
        job: u64,
    },
    Resume {
        job: u64,
    },
    Cancel {
        job: u64,
    },
    Remove {
        job: u64,
    },
    Retry {
        job: u64,
        kept: (u64, u64),
        repeat: bool,
    },
    Prioritise {
        job: u64,
        priority: i32,
    },
    Reduced,
    Wait {
        seconds: u64,
    },
    Crash {
        committed: bool,
    },
}

const OWNERS: &[Owner] = &[Owner::Operator, Owner::Submitter(SubmitterId([1; 32]))];
const REASONS: &[ReleaseReason] =
    &[ReleaseReason::Owner, ReleaseReason::Unable(Obstacle::DiskFull)];
const ON_FAILURE: &[OnFailure] = &[OnFailure::Stop, OnFailure::Continue];

fn step() -> impl Strategy<Value = Step> {
    let worker = 1_u8..5;
    prop_oneof![
        1 => (
            prop::sample::select(OWNERS),
            1_i64..30,
            0_u32..4,
            1_u32..3,
            prop::sample::select(ON_FAILURE),
            (0_u64..30, 0_u64..30),
        )
            .prop_map(|(owner, items, unit_items, quorum, on_failure, kept)| Step::Submit {
                owner,
                items,
                unit_items,
                quorum,
                on_failure,
                kept,
            }),
        4 => (worker.clone(), 1_u32..6).prop_map(|(worker, units)| Step::Connect { worker, units }),
        1 => worker.clone().prop_map(|worker| Step::Disconnect { worker }),
        1 => worker.clone().prop_map(|worker| Step::OfferLate { worker }),
        1 => worker.clone().prop_map(|worker| Step::Forget { worker }),
        12 => (worker.clone(), 0_usize..4, prop::bool::weighted(0.9), any::<bool>())
            .prop_map(|(worker, nth, honest, repeat)| Step::Answer { worker, nth, honest, repeat }),
        2 => (worker.clone(), any::<bool>())
            .prop_map(|(worker, repeat)| Step::Inconclusive { worker, repeat }),
        2 => (worker.clone(), prop::sample::select(REASONS))
            .prop_map(|(worker, reason)| Step::Release { worker, reason }),
        3 => (worker, 0_usize..4)
            .prop_map(|(worker, running)| Step::Heartbeat { worker, running }),
        1 => (1_u64..5).prop_map(|job| Step::Pause { job }),
        1 => (1_u64..5).prop_map(|job| Step::Resume { job }),
        1 => (1_u64..5).prop_map(|job| Step::Cancel { job }),
        2 => (1_u64..7).prop_map(|job| Step::Remove { job }),
        3 => (1_u64..7, (0_u64..30, 0_u64..30), any::<bool>())
            .prop_map(|(job, kept, repeat)| Step::Retry { job, kept, repeat }),
        1 => (1_u64..5, -2_i32..3)
            .prop_map(|(job, priority)| Step::Prioritise { job, priority }),
        3 => Just(Step::Reduced),
        2 => (1_u64..90).prop_map(|seconds| Step::Wait { seconds }),
        1 => any::<bool>().prop_map(|committed| Step::Crash { committed }),
    ]
}

impl Lab {
    fn take(&mut self, step: Step) {
        match step {
            Step::Submit { owner, items, unit_items, quorum, on_failure, kept } => {
                let mut spec = job_spec(items, unit_items, quorum);
                // Some jobs have a module, or what comes out, in common.
                spec.stages[0].task.module = blob(items);
                spec.stages[0].task.on_failure = on_failure;
                if items % 5 == 0 {
                    spec.stages.push(stage_of_lines(&spec.stages[0]));
                }
                spec.keep = (items % 4 == 0).then_some(Duration::from_secs(60));
                let target = NotifyTarget::Command(vec!["tell".into()]);
                spec.notify.on_done = (items % 2 == 0).then(|| target.clone());
                spec.notify.on_stall = (items % 3 == 0).then_some(target);
                spec.notify.stall_after = Duration::from_secs(60);
                self.put(owner, spec, None, kept_runs(kept));
            }
            Step::Connect { worker, units } => {
                self.connect(worker, units);
            }
            Step::Disconnect { worker } => {
                self.feed(Event::WorkerDisconnected { worker: super::worker(worker) });
            }
            // On a stream that may have ended.
            Step::OfferLate { worker } => {
                let worker = super::worker(worker);
                let capacity = Capacity { slots: 1, units: 1, slot_memory_bytes: u64::MAX };
                self.feed(Event::CapacityOffered { worker, capacity });
            }
            Step::Forget { worker } => {
                self.held.remove(&super::worker(worker));
            }
            Step::Answer { worker, nth, honest, repeat } => {
                let Some(grant) = self.nth_lease(worker, nth) else { return };
                let outcome = if honest { self.honest(&grant) } else { wrong(&grant) };
                for _ in 0..=usize::from(repeat) {
                    self.answer(super::worker(worker), &grant, outcome.clone());
                }
            }
            Step::Inconclusive { worker, repeat } => {
                let Some(grant) = self.nth_lease(worker, 0) else { return };
                for _ in 0..=usize::from(repeat) {
                    self.answer(super::worker(worker), &grant, Outcome::HostMemory);
                }
            }
            Step::Release { worker, reason } => {
                let Some(grant) = self.nth_lease(worker, 0) else { return };
                let attempts = vec![grant.claims.attempt];
                self.feed(Event::Released { worker: super::worker(worker), attempts, reason });
            }
            Step::Heartbeat { worker, running } => {
                let held = self.held.get(&super::worker(worker)).cloned().unwrap_or_default();
                let attempts: Vec<_> = held.iter().map(|grant| grant.claims.attempt).collect();
                let running = attempts.iter().copied().take(running).collect();
                self.feed(Event::Heartbeat { worker: super::worker(worker), attempts, running });
            }
            Step::Pause { job } => self.pause(JobId(job)),
            Step::Resume { job } => self.resume(JobId(job)),
            Step::Cancel { job } => {
                let request = self.request();
                self.feed(Event::CancelRequested { request, job: JobId(job) });
            }
            Step::Remove { job } => drop(self.remove(JobId(job))),
            Step::Retry { job, kept, repeat } => {
                for _ in 0..=usize::from(repeat) {
                    self.retry_if_known(JobId(job), kept);
                }
            }
            Step::Prioritise { job, priority } => self.prioritise(JobId(job), priority),
            Step::Reduced => {
                for (job, stage) in std::mem::take(&mut self.reductions) {
                    let items = self.core.jobs.get(&job).map_or(0, |job| job.items_settled().0);
                    let output = |items| StageOutput {
                        name: format!("out-{items}").parse().expect("a name"),
                        blob: blob(items),
                    };
                    let items = i64::try_from(items).expect("a few");
                    let outputs = vec![output(items), output(items + 1), output(items + 2)];
                    let (next, kept) = (self.next_after(job, stage), Vec::new());
                    self.feed(Event::StageReduced { job, stage, outputs, next, kept });
                }
            }
            Step::Wait { seconds } => self.advance(Duration::from_secs(seconds)),
            Step::Crash { committed } => self.crash(committed),
        }
    }

    /// Retries a job, as its driver does for one that has ended in any way, and checks the answer.
    fn retry_if_known(&mut self, job: JobId, kept: (u64, u64)) {
        if !self.core.jobs.contains_key(&job) {
            return;
        }
        let spec = self.durable.iter().find_map(|record| match record {
            Record::JobAccepted { job: taken, spec, .. } if *taken == job => Some(spec.clone()),
            _ => None,
        });
        let spec = spec.expect("what is known was taken");
        let before = self.job(job);
        // Half of the runs name the job itself, as most answers of a retry do.
        let runs = kept_runs(kept).into_iter().zip([job, JobId(1)]);
        let runs = runs.map(|(run, source)| KeptRun { source, ..run }).collect();
        let reply = self.put(before.owner, spec, Some(job), runs);
        match (reply, before.end, before.retried_by) {
            (Reply::Job(told), None, None) => assert_eq!(told.job, job),
            (Reply::Submitted(retry), Some(_), Some(by)) => assert_eq!(retry, by, "a repeat"),
            (Reply::Submitted(retry), Some(_), None) => {
                assert_eq!(self.job(job).retried_by, Some(retry));
                assert_eq!(self.job(retry).retry_of, Some(job));
            }
            (reply, end, by) => panic!("{job}, {end:?}, retried by {by:?}: {reply:?}"),
        }
    }

    /// What every honest worker answers: where the job goes on, every third item fails.
    fn honest(&self, grant: &Grant) -> Outcome {
        let job = self.core.jobs.get(&grant.claims.attempt.unit.job);
        match job.map(|job| job.stages[0].on_failure()) {
            Some(OnFailure::Continue) => right_but_for_thirds(grant),
            Some(OnFailure::Stop) | None => right(grant),
        }
    }

    /// What the driver finds in the output of a stage: that of some jobs cannot be cut.
    fn next_after(&self, job: JobId, stage: StageIndex) -> Result<Vec<Opening>, UnfitInput> {
        let Some(job) = self.core.jobs.get(&job) else { return Ok(Vec::new()) };
        let items = job.stages[0].items_settled();
        let made = (items % 2 == 0).then(|| blob(1));
        let opening = |stage| Opening { stage, items, unit_items_max: NonZeroU32::new(3), made };
        match job.stages_after(stage).into_iter().map(opening).collect() {
            openings if items != 25 => Ok(openings),
            _ => Err(UnfitInput { reason: "no lines".into() }),
        }
    }

    fn nth_lease(&self, worker: u8, nth: usize) -> Option<Grant> {
        let held = self.held.get(&super::worker(worker))?;
        held.get(nth.checked_rem(held.len())?).cloned()
    }

    /// An event meets a crash: its batch is committed or lost, and nothing it said gets out.
    fn crash(&mut self, committed: bool) {
        let worker = super::worker(9);
        self.core.handle_event(self.now, Event::WorkerConnected { worker, held: Vec::new() });
        let capacity = Capacity { slots: 1, units: 3, slot_memory_bytes: u64::MAX };
        self.core.handle_event(self.now, Event::CapacityOffered { worker, capacity });
        while let Some(action) = self.core.poll_action() {
            if let (Action::Persist { records, .. }, true) = (action, committed) {
                self.durable.extend(records);
            }
        }
        let epoch = Epoch(self.core.epoch.0 + 1);
        let mut after = Self::recovered(recover(&self.durable), epoch, self.now);
        after.durable = std::mem::take(&mut self.durable);
        after.held = std::mem::take(&mut self.held);
        after.requests = self.requests;
        *self = after;
        self.drain();
    }

    /// Faults have stopped: honest workers finish every job.
    fn finish(&mut self) {
        for job in self.core.running.clone() {
            self.resume(job);
        }
        for _ in 0..2000 {
            for worker in 11..16 {
                self.connect(worker, 8);
                while let Some(grant) = self.nth_lease(worker, 0) {
                    let outcome = self.honest(&grant);
                    self.answer(super::worker(worker), &grant, outcome);
                }
            }
            self.take(Step::Reduced);
            if self.core.running.is_empty() {
                return;
            }
            self.advance(Duration::from_secs(30));
        }
        panic!("jobs still run long after faults stopped: {:?}", self.core.running);
    }
}

/// One of three blobs.
fn blob(number: i64) -> BlobRef {
    match number % 3 {
        0 => BlobRef::of(b"one"),
        1 => BlobRef::of(b"other"),
        _ => BlobRef::of(b""),
    }
}

/// A stage whose items are lines of the first one's output.
fn stage_of_lines(first: &StageSpec) -> StageSpec {
    let (field, file) = ("line".into(), "search/out.csv".into());
    let splitter = Splitter::Lines { field, source: RecordSource::Stage(SEARCH), file };
    StageSpec { name: "report".into(), splitter, ..first.clone() }
}

/// Two runs that an earlier job answered, when there is one; those that overlap, or are of no job
/// that is known, are for the core to leave out.
fn kept_runs((first, second): (u64, u64)) -> Vec<KeptRun> {
    let run = |start| KeptRun {
        stage: SEARCH,
        items: ItemRange { start, end: start + 4 },
        source: JobId(1),
        source_stage: SEARCH,
        cut: CutKind::First,
        first_unit: 0,
        end_unit: 1,
    };
    vec![run(first.min(second)), run(first.max(second))]
}

proptest! {
    #[test]
    fn the_books_agree_and_every_job_ends(steps in prop::collection::vec(step(), 1..120)) {
        let mut lab = Lab::new();
        for step in steps {
            lab.take(step);
            lab.core.check_invariants();
        }
        lab.finish();
        // Summing up checks that no unit settles twice and no job ends twice.
        let recovered = recover(&lab.durable);
        for job in &recovered.jobs {
            let done = matches!(job.end, Some((JobEnd::Done, _)));
            for stage in &job.stages {
                prop_assert!(!done || stage.items == Some(stage.items_settled));
                prop_assert!(stage.items_failed <= stage.items.unwrap_or(0));
            }
        }
        // Each end is told once to whoever is to be told.
        for job in &recovered.jobs {
            let told = lab.durable.iter().filter(|record| {
                let Record::NoticeDue { job: of, notice } = record else { return false };
                *of == job.job && notice.occasion != Occasion::Stalled
            });
            prop_assert_eq!(told.count(), job.spec.notify.on_done.iter().count());
        }
        prop_assert_eq!(recovered.removed.len(), lab.core.removed.len());
        // What a restart would see is what the running core believes.
        for job in &recovered.jobs {
            let snapshot = lab.job(job.job);
            prop_assert_eq!(snapshot.paused_at, job.paused_at);
            prop_assert_eq!(snapshot.retry_of, job.retry_of);
            let retries = recovered.jobs.iter().filter(|retry| retry.retry_of == Some(job.job));
            prop_assert_eq!(snapshot.retried_by, retries.map(|retry| retry.job).next());
            prop_assert_eq!(snapshot.priority, job.priority.unwrap_or(job.spec.priority));
            for (seen, kept) in snapshot.stages.iter().zip(&job.stages) {
                prop_assert_eq!(seen.items_settled, kept.items_settled);
                prop_assert_eq!(seen.items_failed, kept.items_failed);
                prop_assert_eq!(seen.units_settled, kept.units_settled);
                prop_assert_eq!(seen.attempts_inconclusive, kept.attempts_inconclusive);
            }
        }
    }
}
