//! What the worker's core wants done.

use std::rc::Rc;

use gleaner_protocol::{Capacity, UnitResult};
use gleaner_worker_core::{Action, AttemptKey};

use super::{Host, PROJECT, Process};
use crate::nature::{AtHost, HostIndex, Nature, ToCoordinator};

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
                process.say(nature, index, ToCoordinator::Heartbeat(attempts, running));
            }
            Action::SendResults { attempts, .. } => {
                let result = |attempt| {
                    let key = AttemptKey { project: PROJECT, attempt };
                    process.results.get(&key).map(|result| UnitResult::clone(result))
                };
                let results: Vec<_> = attempts.into_iter().filter_map(result).collect();
                process.say(nature, index, ToCoordinator::Results(results));
            }
            Action::Release { attempts, reason, .. } => {
                process.say(nature, index, ToCoordinator::Release(attempts, reason));
            }
            Action::Prepare { stage } => {
                let delay_us = nature.random.between(1_000, 500_000);
                nature.at_host(delay_us, index, AtHost::Prepared(life, stage));
            }
            Action::FetchInputs { key } => {
                let delay_us = nature.random.between(1_000, 300_000);
                nature.at_host(delay_us, index, AtHost::Inputs(life, key));
            }
            Action::Keep { key, .. } => {
                let (answered, result) = process.answer.take().expect("an answer has just come");
                assert_eq!(answered, key, "the core keeps the answer that has just come");
                process.results.insert(key, Rc::new(result));
                let delay_us = nature.random.between(100, 20_000);
                nature.at_host(delay_us, index, AtHost::Kept(life, key));
            }
            Action::Discard { key } => {
                process.leases.remove(&key);
                process.results.remove(&key);
                self.disk.remove(&key);
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
