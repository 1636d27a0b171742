//! Who gets what next.
//!
//! Workers that want units are served in rounds of one unit each, so that the last units of a job
//! are shared out. Each round asks the running jobs in the order of their turns (`turns.rs`), and
//! the stages of a job in order. The fastest workers are asked first. Slots for which there is
//! nothing then make one more attempt of units that are late (`tail.rs`).

use std::collections::BTreeMap;

use gleaner_protocol::{JobId, StageIndex, Timestamp, UnitId, WorkerId};

use crate::core::Core;
use crate::sizing::CutAdvice;
use crate::stage::Offer;
use crate::{Action, Block, Grant, LateUnits, Record};

/// How many idle workers are asked whether they may make one more attempt of a unit.
const IDLE_ASKED_MAX: usize = 16;

/// How many jobs are looked at for a unit that an idle worker would settle sooner.
const LAST_DUE_ASKED_MAX: usize = 16;

impl Core {
    /// Hands out units until nobody wants one or nobody can be given one.
    pub(crate) fn assign(&mut self, now: Timestamp) {
        self.roster.end_pauses(now);
        let mut granted: BTreeMap<WorkerId, Vec<Grant>> = BTreeMap::new();
        let mut served = self.serve_hungry(now, &mut granted);
        while !served.is_empty() && self.turns.least_need().is_some() {
            served.retain(|worker| self.serve(now, *worker, &mut granted));
        }
        if self.config.late_units == LateUnits::TriedAgain {
            self.attempt_late(now, &mut granted);
        }
        for (worker, grants) in granted {
            self.gate.speak(Action::Grant { worker, grants });
        }
    }

    /// When a unit is late, while a slot could make one more attempt of it.
    pub(crate) fn next_late(&self) -> Option<Timestamp> {
        let (at, _) = self.turns.next_late()?;
        let tries = self.config.late_units == LateUnits::TriedAgain && self.roster.has_idle();
        tries.then_some(at)
    }

    /// Gives slots that have nothing else to do one more attempt of units that are late, or that
    /// they would settle sooner.
    fn attempt_late(&mut self, now: Timestamp, granted: &mut BTreeMap<WorkerId, Vec<Grant>>) {
        while let Some(pace) = self.roster.fastest_idle().map(|(_, pace)| pace)
            && let Some((_, id)) = self.turns.next_late().filter(|(at, _)| *at <= now)
        {
            let mut stages = (0..).map(StageIndex).zip(&self.jobs[&id].stages);
            let late = stages.find(|(_, stage)| stage.late_at().is_some_and(|at| at <= now));
            let (stage, books) = late.expect("a job is filed as late by one of its stages");
            let speed = self.roster.speed();
            let taker = books.late(now, pace, speed).and_then(|number| {
                let worker = self.idle_for(now, id, stage, number)?;
                books.late(now, self.roster.get(worker)?.pace, speed)?;
                Some((number, worker))
            });
            match taker {
                Some((number, worker)) => {
                    let grant = self.grant(now, worker, UnitId { job: id, number }, stage);
                    granted.entry(worker).or_default().push(grant);
                }
                None => self.put_off(now, id, stage),
            }
            self.file(id);
        }
        while let Some((worker, unit, stage)) = self.outrun(now) {
            let grant = self.grant(now, worker, unit, stage);
            granted.entry(worker).or_default().push(grant);
        }
    }

    /// A worker with a slot that has nothing else to do, and a unit that it would settle sooner
    /// than those who have it.
    fn outrun(&self, now: Timestamp) -> Option<(WorkerId, UnitId, StageIndex)> {
        let (_, fastest) = self.roster.fastest_idle()?;
        self.turns.last_due().take(LAST_DUE_ASKED_MAX).find_map(|id| {
            let mut stages = (0..).map(StageIndex).zip(&self.jobs[&id].stages);
            stages.find_map(|(stage, books)| {
                let number = books.outrun(now, fastest)?;
                let worker = self.idle_for(now, id, stage, number)?;
                books.outrun(now, self.roster.get(worker)?.pace)?;
                Some((worker, UnitId { job: id, number }, stage))
            })
        })
    }

    /// One of those who are idle that may make an attempt of a unit in flight. Few are asked:
    /// hardly any of them has tried it.
    fn idle_for(
        &self,
        now: Timestamp,
        job: JobId,
        stage: StageIndex,
        number: u64,
    ) -> Option<WorkerId> {
        let books = self.jobs[&job].stage(stage)?;
        let unit = books.unit(number)?;
        let may = |worker: &WorkerId| {
            let is_new = unit.is_new_to(*worker) && !unit.was_inconclusive_on(*worker);
            is_new && !self.roster.is_unable(now, *worker, job, stage)
        };
        self.roster.idle(books.memory_bytes()).take(IDLE_ASKED_MAX).find(may)
    }

    fn put_off(&mut self, now: Timestamp, job: JobId, stage: StageIndex) {
        let books = self.jobs.get_mut(&job).and_then(|job| job.stage_mut(stage));
        books.expect("a late unit is of a known stage").put_off(now);
    }

    /// The first round, over all who are hungry for as long as there is something: who were given a
    /// unit and want more. Whoever finds nothing takes part in what waits already, so that few do.
    fn serve_hungry(
        &mut self,
        now: Timestamp,
        granted: &mut BTreeMap<WorkerId, Vec<Grant>>,
    ) -> Vec<WorkerId> {
        let mut served = Vec::new();
        let mut after = None;
        while let Some(least_need) = self.turns.least_need()
            && let Some(place) = self.roster.next_hungry(least_need, after)
        {
            after = Some(place);
            let (_, _, worker) = place;
            if self.serve(now, worker, granted) {
                served.push(worker);
            }
        }
        served
    }

    /// Gives a worker a unit if there is one for it: whether there was and it wants more.
    fn serve(
        &mut self,
        now: Timestamp,
        worker: WorkerId,
        granted: &mut BTreeMap<WorkerId, Vec<Grant>>,
    ) -> bool {
        let Some(grant) = self.grant_one(now, worker) else {
            self.roster.rest_if_unable(now, worker);
            return false;
        };
        granted.entry(worker).or_default().push(grant);
        self.roster.is_hungry(worker)
    }

    fn grant_one(&mut self, now: Timestamp, worker: WorkerId) -> Option<Grant> {
        let (job, stage, offer) = self.find_work(now, worker)?;
        let number = match offer {
            Offer::Unit(number) => number,
            Offer::Cut { items, unit_items, units } => {
                let first_unit = self.jobs[&job].next_unit;
                self.cut(job, Block { stage, first_unit, units, items, unit_items })
            }
        };
        Some(self.grant(now, worker, UnitId { job, number }, stage))
    }

    fn find_work(
        &mut self,
        now: Timestamp,
        worker: WorkerId,
    ) -> Option<(JobId, StageIndex, Offer)> {
        let Self { config, turns, jobs, roster, .. } = self;
        let session = roster.get(worker)?;
        let memory_bytes = session.capacity.slot_memory_bytes;
        let unit_duration = config.unit_duration_target;
        let advice = CutAdvice { slots: roster.slots().max(1), unit_duration };
        turns.jobs(memory_bytes).find_map(|id| {
            let job = jobs.get_mut(&id).expect("whose turn it is is known");
            let stages = (0..).map(StageIndex).zip(&mut job.stages);
            let mut fitting = stages.filter(|(index, stage)| {
                stage.memory_bytes() <= memory_bytes && session.unable.of(now, id, *index).is_none()
            });
            fitting.find_map(|(index, stage)| {
                let able = roster.able(stage.memory_bytes());
                let able = able.filter(|other| !roster.is_unable(now, *other, id, index));
                Some((id, index, stage.offer(worker, able, advice)?))
            })
        })
    }

    /// Enters a new block: the number of its first unit.
    fn cut(&mut self, id: JobId, block: Block) -> u64 {
        let job = self.jobs.get_mut(&id).expect("work was found in a known job");
        job.next_unit = block.end_unit();
        job.stage_mut(block.stage).expect("work was found in a known stage").cut(block);
        self.gate.record(Record::BlockCut { job: id, block });
        block.first_unit
    }
}
