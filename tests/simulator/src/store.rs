//! What is durable: the records of the coordinator's core, summed up as its SQLite store does.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use gleaner_coordinator_core::{
    Block, CutKind, Opinion, Record, Recovered, RecoveredJob, RecoveredStage, RemovedJob,
};
use gleaner_protocol::{
    AttemptId, ItemRange, JobId, OutcomeClass, StageIndex, SubmitterId, SubmitterTerms, UnitId,
    WorkerId,
};

use crate::kept::cut_after;
use crate::numbers::Numbers;

/// All that a crash leaves of a coordinator.
#[derive(Clone, Debug, Default)]
pub(crate) struct Store {
    jobs: BTreeMap<JobId, StoredJob>,
    submitters: Vec<(SubmitterId, SubmitterTerms)>,
    epoch: u64,
    jobs_ended: usize,
    /// Items of open stages that have no answer.
    items_open: u64,
}

/// A job's rows.
#[derive(Clone, Debug)]
pub(crate) struct StoredJob {
    row: RecoveredJob,
    stages: Vec<StoredStage>,
    /// Units of which something but their block is stored and that are not closed.
    open: BTreeMap<u64, StoredUnit>,
    presence: Presence,
}

/// Whether a job was removed. What it was is still here, for the checks and for those that took
/// answers of it over; the coordinator does not read it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Presence {
    Kept,
    Removed,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct StoredStage {
    /// Its sums, outputs and kept runs; what belongs to units is put in when it is recovered.
    sums: RecoveredStage,
    blocks: Vec<Block>,
    units_cut: u64,
    /// Units settled or replaced.
    closed: Numbers,
    /// Units settled by an answer in which no item failed.
    pub(crate) answered: Numbers,
    /// Units of which an item gave no output.
    failing: BTreeSet<u64>,
    /// Items that have their answer.
    pub(crate) items: Numbers,
}

/// How many units there are.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct UnitCounts {
    /// Cut and not closed.
    pub(crate) open: u64,
    pub(crate) closed: u64,
}

/// What is stored of one unit.
#[derive(Clone, Debug, Default)]
pub(crate) struct StoredUnit {
    pub(crate) opinions: Vec<Opinion>,
    pub(crate) inconclusive: Vec<(AttemptId, WorkerId)>,
    attempts: Vec<AttemptId>,
}

impl Store {
    pub(crate) fn with_submitters(submitters: Vec<(SubmitterId, SubmitterTerms)>) -> Self {
        Self { submitters, ..Self::default() }
    }

    /// Opens it once more: an epoch that no opening had before.
    pub(crate) fn open(&mut self) -> u64 {
        self.epoch += 1;
        self.epoch
    }

    pub(crate) fn job(&self, job: JobId) -> Option<&StoredJob> {
        self.jobs.get(&job)
    }

    pub(crate) fn jobs_ended(&self) -> usize {
        self.jobs_ended
    }

    /// Whether every job that was taken has ended.
    pub(crate) fn has_all_ended(&self) -> bool {
        self.jobs_ended == self.jobs.len()
    }

    pub(crate) fn items_open(&self) -> u64 {
        self.items_open
    }

    pub(crate) fn jobs(&self) -> impl Iterator<Item = &StoredJob> {
        self.jobs.values()
    }

    /// Writes one record.
    ///
    /// # Panics
    /// Where the real store would refuse a row.
    pub(crate) fn write(&mut self, record: &Record) {
        match record {
            Record::JobAccepted { job, submission, owner, spec, retry_of, at } => {
                let row = RecoveredJob {
                    job: *job,
                    submission: *submission,
                    owner: *owner,
                    spec: spec.clone(),
                    retry_of: *retry_of,
                    submitted_at: *at,
                    priority: None,
                    paused_at: None,
                    movement: None,
                    end: None,
                    stages: Vec::new(),
                };
                let stages = vec![StoredStage::default(); spec.stages.len()];
                let (open, presence) = (BTreeMap::new(), Presence::Kept);
                let stored = StoredJob { row, stages, open, presence };
                assert!(self.jobs.insert(*job, stored).is_none(), "{job} was taken twice");
            }
            Record::StageOpened { job, opening, .. } => {
                self.items_open += opening.items;
                let sums = &mut self.stage_mut(*job, opening.stage).sums;
                sums.items = Some(opening.items);
                sums.unit_items_max = opening.unit_items_max;
                sums.made = opening.made;
            }
            Record::StageDone { job, stage, outputs } => {
                self.stage_mut(*job, *stage).sums.outputs = Some(outputs.clone());
            }
            Record::JobPaused { job, at } => self.job_mut(*job).row.paused_at = Some(*at),
            Record::JobResumed { job } => self.job_mut(*job).row.paused_at = None,
            Record::PrioritySet { job, priority } => {
                self.job_mut(*job).row.priority = Some(*priority);
            }
            Record::JobEnded { job, end, at } => {
                let stages = self.job_mut(*job).stages.iter();
                self.items_open -= stages.map(StoredStage::items_open).sum::<u64>();
                let row = &mut self.job_mut(*job).row;
                row.end = Some((end.clone(), *at));
                row.paused_at = None;
                self.jobs_ended += 1;
            }
            Record::JobRemoved { job, .. } => self.job_mut(*job).presence = Presence::Removed,
            Record::AnswersKept { job, run } => {
                self.items_open -= run.items.len();
                let stage = self.stage_mut(*job, run.stage);
                let items = run.items.start..run.items.end;
                assert!(stage.items.insert(items), "{run:?} counts items twice");
                stage.sums.items_settled += run.items.len();
                stage.sums.kept.push(*run);
            }
            of_units => self.write_of_units(of_units),
        }
    }

    fn write_of_units(&mut self, record: &Record) {
        match record {
            Record::BlockCut { job, block } => {
                let stage = self.stage_mut(*job, block.stage);
                stage.blocks.push(*block);
                stage.units_cut += u64::from(block.units);
            }
            Record::AttemptOpened { attempt } => {
                self.unit_mut(attempt.unit).attempts.push(*attempt)
            }
            Record::ResultAccepted { opinion, .. } => {
                let opinions = &mut self.unit_mut(opinion.unit()).opinions;
                opinions.reserve_exact(1);
                opinions.push(*opinion);
            }
            Record::AttemptInconclusive { attempt, worker, cpu, .. } => {
                self.unit_mut(attempt.unit).inconclusive.push((*attempt, *worker));
                let stage = self.job_mut(attempt.unit.job).stage_of(attempt.unit.number);
                let stage = stage.expect("an attempt is of a unit that was cut");
                let sums = &mut self.stage_mut(attempt.unit.job, stage).sums;
                sums.attempts_inconclusive += 1;
                sums.cpu_unanswered += *cpu;
            }
            Record::UnitSettled { stage, items, attempt } => {
                self.settle(*stage, attempt.unit, *items, Some(attempt.number));
            }
            Record::ItemSettled { stage, item, unit, attempt } => {
                self.settle(*stage, *unit, ItemRange { start: *item, end: item + 1 }, *attempt);
            }
            Record::UnitReplaced { stage, unit } => self.close(*stage, *unit),
            Record::ItemsFailed { stage, unit, failed } => {
                let items: u64 = failed.iter().map(|failed| failed.items.len()).sum();
                let stage = self.stage_mut(unit.job, *stage);
                stage.sums.items_failed += items;
                stage.failing.insert(unit.number);
            }
            other => panic!("no event of the simulated world leads to {other:?}"),
        }
    }

    fn settle(&mut self, stage: StageIndex, unit: UnitId, items: ItemRange, attempt: Option<u32>) {
        let opinions = &self.unit_mut(unit).opinions;
        let chosen = attempt.map(|number| {
            let of_attempt = opinions.iter().find(|opinion| opinion.attempt.number == number);
            of_attempt.expect("a unit settles by an attempt whose result was accepted")
        });
        let completed = chosen.is_some_and(|opinion| opinion.class == OutcomeClass::Completed);
        let cpu = chosen.map_or(Duration::ZERO, |opinion| opinion.cpu);
        self.close(stage, unit);
        self.items_open -= items.len();
        let stage = self.stage_mut(unit.job, stage);
        assert!(stage.items.insert(items.start..items.end), "{unit}: items {items} counted twice");
        stage.sums.items_settled += items.len();
        stage.sums.units_settled += 1;
        stage.sums.cpu += cpu;
        if completed && !stage.failing.contains(&unit.number) {
            assert!(stage.answered.insert(unit.number..unit.number + 1), "{unit} settled twice");
        }
    }

    fn close(&mut self, stage: StageIndex, unit: UnitId) {
        self.job_mut(unit.job).open.remove(&unit.number);
        let closed = &mut self.stage_mut(unit.job, stage).closed;
        assert!(closed.insert(unit.number..unit.number + 1), "{unit} was closed twice");
    }

    /// Units of jobs that run, and how many of those are closed.
    pub(crate) fn units_of_running(&self) -> UnitCounts {
        let running = self.jobs.values().filter(|job| job.row.end.is_none());
        let stages = running.flat_map(|job| &job.stages);
        stages.fold(UnitCounts::default(), |counts, stage| UnitCounts {
            open: counts.open + stage.units_cut - stage.closed.len(),
            closed: counts.closed + stage.closed.len(),
        })
    }

    /// What the coordinator reads when it starts.
    pub(crate) fn recovered(&self) -> Recovered {
        let (kept, removed): (Vec<_>, Vec<_>) =
            self.jobs.values().partition(|job| job.presence == Presence::Kept);
        let jobs = kept.into_iter().map(StoredJob::recovered).collect();
        let removed = removed.into_iter().map(StoredJob::remembered).collect();
        let mut recovered = Recovered { jobs, removed, ..Recovered::default() };
        recovered.submitters.clone_from(&self.submitters);
        recovered
    }

    /// What is known of a job that was taken.
    pub(crate) fn row(&self, job: JobId) -> &RecoveredJob {
        &self.jobs[&job].row
    }

    fn job_mut(&mut self, job: JobId) -> &mut StoredJob {
        self.jobs.get_mut(&job).expect("a record is of a job that was taken")
    }

    fn stage_mut(&mut self, job: JobId, stage: StageIndex) -> &mut StoredStage {
        &mut self.job_mut(job).stages[stage.0 as usize]
    }

    fn unit_mut(&mut self, unit: UnitId) -> &mut StoredUnit {
        self.job_mut(unit.job).open.entry(unit.number).or_default()
    }
}

impl StoredJob {
    pub(crate) fn row(&self) -> &RecoveredJob {
        &self.row
    }

    pub(crate) fn presence(&self) -> Presence {
        self.presence
    }

    pub(crate) fn stage(&self, stage: StageIndex) -> &StoredStage {
        &self.stages[stage.0 as usize]
    }

    pub(crate) fn stages(&self) -> &[StoredStage] {
        &self.stages
    }

    /// What is stored of a unit beside its block, while it is not closed.
    pub(crate) fn unit(&self, unit: u64) -> Option<&StoredUnit> {
        self.open.get(&unit)
    }

    /// The stage of a unit that was cut.
    pub(crate) fn stage_of(&self, unit: u64) -> Option<StageIndex> {
        let stages = (0..).map(StageIndex).zip(&self.stages);
        stages.into_iter().find(|(_, stage)| stage.block_of(unit).is_some()).map(|(index, _)| index)
    }

    fn remembered(&self) -> RemovedJob {
        let RecoveredJob { job, submission, owner, .. } = self.row;
        RemovedJob { job, submission, owner }
    }

    fn recovered(&self) -> RecoveredJob {
        let stages = self.stages.iter().map(|stage| match self.row.end {
            Some(_) => stage.sums.clone(),
            None => self.recovered_stage(stage),
        });
        RecoveredJob { stages: stages.collect(), ..self.row.clone() }
    }

    fn recovered_stage(&self, stage: &StoredStage) -> RecoveredStage {
        let mut recovered = stage.sums.clone();
        recovered.blocks.clone_from(&stage.blocks);
        recovered.settled = stage.closed.iter().collect();
        for (number, unit) in &self.open {
            if stage.block_of(*number).is_some() {
                recovered.opinions.extend(&unit.opinions);
                recovered.attempts.extend(&unit.attempts);
                recovered.inconclusive.extend(&unit.inconclusive);
            }
        }
        recovered
    }
}

impl StoredStage {
    pub(crate) fn sums(&self) -> &RecoveredStage {
        &self.sums
    }

    pub(crate) fn block_of(&self, unit: u64) -> Option<&Block> {
        let after = self.blocks.partition_point(|block| block.first_unit <= unit);
        self.blocks[..after].last().filter(|block| block.contains(unit))
    }

    /// The blocks in the order of their units.
    pub(crate) fn blocks(&self) -> &[Block] {
        &self.blocks
    }

    /// The blocks in the order of their units, and which cut each is of.
    pub(crate) fn blocks_by_cut(&self) -> impl Iterator<Item = (CutKind, &Block)> {
        self.blocks.iter().scan(0, |end, block| {
            let cut = cut_after(*end, block.items);
            *end = block.items.end.max(*end);
            Some((cut, block))
        })
    }

    /// Which cut a unit is of.
    pub(crate) fn cut_of(&self, unit: u64) -> Option<CutKind> {
        self.blocks_by_cut().find(|(_, block)| block.contains(unit)).map(|(cut, _)| cut)
    }

    /// Items that have no answer, once it is open.
    fn items_open(&self) -> u64 {
        self.sums.items.map_or(0, |items| items - self.sums.items_settled)
    }

    /// Items that it settled itself.
    pub(crate) fn items_computed(&self) -> u64 {
        let kept: u64 = self.sums.kept.iter().map(|run| run.items.len()).sum();
        self.sums.items_settled - kept
    }

    pub(crate) fn is_closed(&self, unit: u64) -> bool {
        self.closed.contains(unit)
    }
}

impl StoredUnit {
    /// Whether an attempt beyond the quorum's first ones was recorded before it was handed out.
    pub(crate) fn was_opened(&self, attempt: AttemptId) -> bool {
        self.attempts.contains(&attempt)
    }
}
