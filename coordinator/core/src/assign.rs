//! Who gets what next.
//!
//! Workers that want units are served in rounds of one unit each, so that the last units of a job
//! are shared out. Each round asks the running jobs, those of the submitter with the fewest leases for
//! its weight first and among them the one with the fewest, and the stages of a job in order.

use std::collections::BTreeMap;

use gleaner_protocol::limits::LEASES_HELD_MAX;
use gleaner_protocol::{AttemptId, JobId, StageIndex, Timestamp, UnitId, WorkerId};

use crate::core::Core;
use crate::sizing::CutAdvice;
use crate::stage::{Offer, Stage};
use crate::{Action, Block, Grant, Record};

impl Core {
    /// Hands out units until nobody wants one or nobody can be given one.
    pub(crate) fn assign(&mut self, now: Timestamp) {
        let mut hungry: Vec<WorkerId> = self
            .sessions
            .iter()
            .filter(|(_, session)| session.may_be_given_work(now))
            .map(|(worker, _)| *worker)
            .collect();
        let mut granted: BTreeMap<WorkerId, Vec<Grant>> = BTreeMap::new();
        while !hungry.is_empty() && !self.running.is_empty() {
            hungry.retain(|worker| match self.grant_one(now, *worker) {
                Some(grant) => {
                    granted.entry(*worker).or_default().push(grant);
                    self.sessions[worker].may_be_given_work(now)
                }
                None => false,
            });
        }
        for (worker, grants) in granted {
            self.gate.speak(Action::Grant { worker, grants });
        }
    }

    fn grant_one(&mut self, now: Timestamp, worker: WorkerId) -> Option<Grant> {
        let session = &self.sessions[&worker];
        if session.leases.len() >= LEASES_HELD_MAX {
            return None;
        }
        let memory_bytes = session.capacity.slot_memory_bytes;
        let (job, stage, offer) = self.find_work(worker, memory_bytes)?;
        let number = match offer {
            Offer::Unit(number) => number,
            Offer::Cut { items, unit_items, units } => {
                let first_unit = self.jobs[&job].next_unit;
                self.cut(job, Block { stage, first_unit, units, items, unit_items })
            }
        };
        let attempt = self.start_attempt(now, worker, UnitId { job, number }, stage);
        self.shares.note_turn(self.jobs[&job].owner);
        let session = self.sessions.get_mut(&worker).expect("the worker was just looked at");
        session.capacity.units -= 1;
        Some(self.grant(now, worker, attempt, stage))
    }

    fn find_work(&self, worker: WorkerId, memory_bytes: u64) -> Option<(JobId, StageIndex, Offer)> {
        let slots = self.sessions.values().map(|session| u64::from(session.capacity.slots)).sum();
        let unit_duration = self.config.unit_duration_target;
        let advice = CutAdvice { slots: u64::max(slots, 1), unit_duration };
        self.jobs_in_turn().into_iter().find_map(|job| {
            let stages = (0..).map(StageIndex).zip(&job.stages);
            stages
                .filter(|(_, stage)| stage.memory_bytes() <= memory_bytes)
                .find_map(|(index, stage)| {
                    Some((index, stage.offer(worker, self.able(stage), advice)?))
                })
                .map(|(stage, offer)| (job.id, stage, offer))
        })
    }

    /// The workers connected that have room for a stage's items.
    fn able(&self, stage: &Stage) -> impl Iterator<Item = &WorkerId> + Clone {
        let memory_bytes = stage.memory_bytes();
        self.connected.iter().filter(move |worker| {
            let capacity = &self.sessions[*worker].capacity;
            capacity.slots > 0 && capacity.slot_memory_bytes >= memory_bytes
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

    fn start_attempt(
        &mut self,
        now: Timestamp,
        worker: WorkerId,
        id: UnitId,
        stage: StageIndex,
    ) -> AttemptId {
        let expires_at = now + self.config.lease_duration;
        let job = self.jobs.get_mut(&id.job).expect("work was found in a known job");
        let quorum = job.quorum;
        let books = job.stage_mut(stage).expect("work was found in a known stage");
        let number = books.take(id.number).lease(worker, now, expires_at);
        books.refresh(id.number, quorum);
        let attempt = AttemptId { unit: id, number };
        if number > quorum {
            self.gate.record(Record::AttemptOpened { attempt });
        }
        attempt
    }
}
