//! What the worker's core wants done.

use gleaner_protocol::Capacity;
use gleaner_worker_core::Action;

use super::{Host, Process};
use crate::nature::{AtHost, Heartbeat, HostIndex, Nature, ToCoordinator};

impl Host {
    pub(super) fn carry_out(&mut self, nature: &mut Nature, action: Action) {
        let Some(process) = self.process.get_mut() else { return };
        let (life, index) = (process.life, self.index);
        match action {
            Action::Greet { held, .. } => {
                let held = held.into_iter().map(|lease| (lease.claims, lease.token)).collect();
                process.say(nature, index, ToCoordinator::Hello(held));
            }
            Action::Disconnect { .. } => {
                if let Some(stream) = process.stream.take() {
                    nature.break_stream(index, stream);
                }
                self.dial_later(nature);
            }
            Action::Request { slots, units, .. } => {
                let capacity = Capacity { slots, units, slot_memory_bytes: u64::MAX };
                process.say(nature, index, ToCoordinator::Request(capacity));
            }
            Action::Heartbeat { attempts, running, .. } => {
                let heartbeat = Heartbeat { held: attempts, running };
                process.say(nature, index, ToCoordinator::Heartbeat(Box::new(heartbeat)));
            }
            Action::SendResults { attempts, .. } => {
                let result = |attempt| process.leases.get(attempt)?.result();
                let results: Vec<_> = attempts.iter().filter_map(result).collect();
                process.say(nature, index, ToCoordinator::Results(results));
            }
            Action::Release { attempts, reason, .. } => {
                process.say(nature, index, ToCoordinator::Release(attempts, reason));
            }
            Action::Prepare { stage } => {
                let delay_us = nature.random.between(1_000, 500_000);
                nature.at_host(delay_us, index, AtHost::Prepared(life, stage.job, stage.stage));
            }
            Action::FetchInputs { key } => {
                let delay_us = nature.random.between(1_000, 300_000);
                nature.at_host(delay_us, index, AtHost::Inputs(life, key.attempt));
            }
            Action::Keep { key, .. } => {
                let (answered, answer) = process.answer.take().expect("an answer has just come");
                assert_eq!(answered, key.attempt, "the core keeps the answer that has just come");
                let holding = process.leases.get_mut(&answered).expect("an answer is of a lease");
                holding.answer = Some(answer);
                let delay_us = nature.random.between(100, 20_000);
                nature.at_host(delay_us, index, AtHost::Kept(life, answered));
            }
            Action::Discard { key } => {
                process.leases.remove(&key.attempt);
            }
            Action::Stopped => {
                self.kill(nature);
                let delay_us = nature.random.between(1_000_000, 60_000_000);
                nature.at_host(delay_us, index, AtHost::Starts);
            }
            Action::Rest { .. } | Action::ForgetStage { .. } => {}
            Action::AnswerRefused { key } => panic!("no module is refused, yet {key:?} was"),
            of_slot => self.carry_out_in_slot(nature, life, of_slot),
        }
    }
}

impl Process {
    fn say(&self, nature: &mut Nature, host: HostIndex, said: ToCoordinator) {
        if let Some(stream) = self.stream {
            nature.tell_coordinator(host, stream, said);
        }
    }
}
