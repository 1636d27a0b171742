//! The slots of a machine: what is in their pipes, and when the first of it ends.

use std::collections::VecDeque;
use std::time::Duration;

use gleaner_protocol::AttemptId;
use gleaner_worker_core::{Action, Event, RunId, SlotIndex};

use super::holding::{Answer, AnswerKind};
use super::{Host, Process, key};
use crate::nature::{AtHost, Life, Nature};

#[derive(Debug, Default)]
pub(super) struct Slot {
    pipe: VecDeque<(AttemptId, RunId)>,
    /// What the first in the pipe still needs, in full and when it was last looked at.
    left_us: u64,
    total_us: u64,
    since_us: u64,
    motion: Motion,
    /// Tells an end that was planned before a suspension from the one planned after.
    plans: u64,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Motion {
    #[default]
    Going,
    Suspended,
}

impl Host {
    pub(super) fn on_finished(
        &mut self,
        nature: &mut Nature,
        slot: SlotIndex,
        run: RunId,
        plan: u64,
    ) {
        let Some(process) = self.process.get_mut() else { return };
        let Some(there) = process.slot(slot).filter(|there| there.plans == plan) else { return };
        let Some((attempt, _)) = there.pipe.pop_front_if(|(_, first)| *first == run) else {
            return;
        };
        let elapsed = Duration::from_micros(there.total_us);
        nature.spent_us += there.total_us / self.slowness;
        self.begin_next(nature, slot);
        let Some(process) = self.process.get_mut() else { return };
        if process.leases.contains_key(&attempt) {
            let kind = match nature.goes_wrong(5) {
                true => AnswerKind::HostMemory,
                false => AnswerKind::Right,
            };
            process.answer = Some((attempt, Answer { kind, cpu: elapsed }));
        }
        self.tell(nature, Event::Finished { key: key(attempt), run, elapsed });
        if let Some(process) = self.process.get_mut() {
            process.answer = None;
        }
    }

    pub(super) fn carry_out_in_slot(&mut self, nature: &mut Nature, life: Life, action: Action) {
        let Some(process) = self.process.get_mut() else { return };
        match action {
            Action::StartSlot { slot, life: started, .. } => {
                process.put_slot(slot, Some(Slot::default()));
                if nature.goes_wrong(20) {
                    process.put_slot(slot, None);
                    nature.at_host(1_000, self.index, AtHost::SlotFailed(life, slot, started));
                }
            }
            Action::Run { slot, key, run } => {
                let Some(there) = process.slot(slot) else { return };
                there.pipe.push_back((key.attempt, run));
                if there.pipe.len() == 1 {
                    self.begin_next(nature, slot);
                }
            }
            Action::SuspendSlot { slot } => {
                if let Some(there) = process.slot(slot) {
                    there.suspend(nature.now_us);
                }
            }
            Action::ResumeSlot { slot } => {
                if let Some(there) = process.slot(slot) {
                    there.motion = Motion::Going;
                    self.plan_end(nature, slot);
                }
            }
            Action::EndSlot { slot } => {
                if let Some(there) = process.put_slot(slot, None) {
                    nature.spent_us += there.spent_us(nature.now_us) / self.slowness;
                }
            }
            other => unreachable!("{other:?} is not about a slot"),
        }
    }

    /// The first in a slot's pipe begins.
    fn begin_next(&mut self, nature: &mut Nature, slot: SlotIndex) {
        let Some(process) = self.process.get_mut() else { return };
        let Some(there) = process.slots.get_mut(slot.0 as usize).and_then(Option::as_mut) else {
            return;
        };
        let Some((attempt, _)) = there.pipe.front() else { return };
        // A lease that was taken back while it waited in the pipe is run for nothing.
        let items_us = process.leases.get(attempt).map_or(1, |holding| {
            holding.lease.claims.items.len() * holding.work.item_us() * self.slowness
        });
        there.total_us = items_us.max(1);
        there.left_us = there.total_us;
        self.plan_end(nature, slot);
    }

    fn plan_end(&mut self, nature: &mut Nature, slot: SlotIndex) {
        let Some(process) = self.process.get_mut() else { return };
        let life = process.life;
        let Some(there) = process.slot(slot) else { return };
        there.since_us = nature.now_us;
        there.plans = nature.random.number();
        let (Some((_, run)), Motion::Going) = (there.pipe.front(), there.motion) else { return };
        let what = AtHost::Finished(life, slot, *run, there.plans);
        nature.at_host(there.left_us, self.index, what);
    }
}

impl Process {
    fn slot(&mut self, slot: SlotIndex) -> Option<&mut Slot> {
        self.slots.get_mut(slot.0 as usize)?.as_mut()
    }

    /// Puts a slot in its place, or nothing: what was there.
    fn put_slot(&mut self, slot: SlotIndex, there: Option<Slot>) -> Option<Slot> {
        let place = slot.0 as usize;
        if self.slots.len() <= place {
            self.slots.resize_with(place + 1, || None);
        }
        std::mem::replace(&mut self.slots[place], there)
    }
}

impl Slot {
    /// What the first in the pipe took so far.
    pub(super) fn spent_us(&self, now_us: u64) -> u64 {
        let left_us = match self.motion {
            _ if self.pipe.is_empty() => self.total_us,
            Motion::Suspended => self.left_us,
            Motion::Going => self.left_us.saturating_sub(now_us - self.since_us),
        };
        self.total_us - left_us
    }

    fn suspend(&mut self, now_us: u64) {
        if self.motion == Motion::Going {
            self.motion = Motion::Suspended;
            self.plans = 0;
            self.left_us = self.left_us.saturating_sub(now_us - self.since_us).max(1);
        }
    }
}
