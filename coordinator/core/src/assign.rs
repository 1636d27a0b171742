//! Who gets what next.
//!
//! Workers that want units are served in rounds of one unit each, so that the last units of a job
//! are shared out. Each round asks the running jobs in the order of their turns (`turns.rs`), and
//! the stages of a job in order; one whose files the worker has may come before its turn
//! (`locality.rs`). The fastest workers are asked first. Slots for which there is nothing then make
//! one more attempt of units that are late (`tail.rs`).

use std::collections::BTreeMap;

use gleaner_protocol::{JobId, StageIndex, Timestamp, UnitId, WorkerId};

use crate::core::Core;
use crate::job::Job;
use crate::roster::Roster;
use crate::session::Session;
use crate::sizing::CutAdvice;
use crate::stage::{Offer, Stage};
use crate::{Action, Block, Grant, LateUnits, Record};

/// How many idle workers are asked whether they may make one more attempt of a unit.
const IDLE_ASKED_MAX: usize = 16;

/// How many jobs are looked at for a unit that an idle worker would settle sooner.
const LAST_DUE_ASKED_MAX: usize = 16;

/// A worker that is to be given something.
struct Asker<'a> {
    now: Timestamp,
    worker: WorkerId,
    session: &'a Session,
    roster: &'a Roster,
    advice: CutAdvice,
}

/// What it could be given.
struct Found {
    job: JobId,
    stage: StageIndex,
    offer: Offer,
    files: Files,
    turn: Turn,
}

/// Whether it is a job's turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Turn {
    Its,
    Anothers,
}

/// Where the large files are that a unit needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Files {
    /// It needs none.
    None,
    /// The worker has them.
    Had,
    /// The worker would have to fetch some.
    Missing,
}

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
        let Found { job, stage, offer, turn, .. } = self.find_work(now, worker)?;
        self.roster.update(worker, |session| match turn {
            Turn::Its => session.ahead_since = None,
            Turn::Anothers => drop(session.ahead_since.get_or_insert(now)),
        });
        let number = match offer {
            Offer::Unit(number) => number,
            Offer::Cut { items, unit_items, units } => {
                let first_unit = self.jobs[&job].next_unit;
                self.cut(job, Block { stage, first_unit, units, items, unit_items })
            }
        };
        Some(self.grant(now, worker, UnitId { job, number }, stage))
    }

    /// Something of the job whose turn it is; where its files would have to be fetched, of one near
    /// its turn whose files the worker has.
    fn find_work(&mut self, now: Timestamp, worker: WorkerId) -> Option<Found> {
        let Self { config, turns, jobs, roster, .. } = self;
        let session = roster.get(worker)?;
        let memory_bytes = session.capacity.slot_memory_bytes;
        let unit_duration = config.unit_duration_target;
        let advice = CutAdvice { slots: roster.slots().max(1), unit_duration };
        let asker = Asker { now, worker, session, roster, advice };
        let mut in_turn = turns.jobs(memory_bytes);
        let first = in_turn
            .find_map(|id| asker.offered_by(jobs.get_mut(&id).expect("its turn is known")))?;
        if first.files != Files::Missing || !session.may_go_ahead(now) {
            return Some(first);
        }
        let mut nearby = turns.near(first.job, memory_bytes, roster.slots());
        let local =
            nearby.find_map(|id| asker.had_of(jobs.get_mut(&id).expect("its turn is known")));
        local.or(Some(first))
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

impl Asker<'_> {
    /// What a job has for the worker in its turn: of its first stage that has something.
    fn offered_by(&self, job: &mut Job) -> Option<Found> {
        self.found_in(job, Turn::Its, |_| true)
    }

    /// What a job has for the worker that needs no files but what the worker has.
    fn had_of(&self, job: &mut Job) -> Option<Found> {
        self.found_in(job, Turn::Anothers, |files| files == Files::Had)
    }

    fn found_in(
        &self,
        job: &mut Job,
        turn: Turn,
        is_wanted: impl Fn(Files) -> bool,
    ) -> Option<Found> {
        let Self { now, worker, roster, .. } = *self;
        let id = job.id;
        (0..).map(StageIndex).zip(&mut job.stages).find_map(|(index, stage)| {
            let files = self.files_of(stage);
            if !self.may_run(id, index, stage) || !is_wanted(files) {
                return None;
            }
            let able = roster.able(stage.memory_bytes());
            let able = able.filter(|other| !roster.is_unable(now, *other, id, index));
            let offer = stage.offer(worker, able, self.advice)?;
            Some(Found { job: id, stage: index, offer, files, turn })
        })
    }

    fn may_run(&self, job: JobId, index: StageIndex, stage: &Stage) -> bool {
        stage.memory_bytes() <= self.session.capacity.slot_memory_bytes
            && self.session.unable.of(self.now, job, index).is_none()
    }

    fn files_of(&self, stage: &Stage) -> Files {
        let needed = stage.needed();
        match (needed.is_empty(), self.session.had.has_all(needed)) {
            (true, _) => Files::None,
            (false, true) => Files::Had,
            (false, false) => Files::Missing,
        }
    }
}
