//! What messages take as they would be sent: frames of the work stream.
//!
//! Every so many messages one is encoded and stands for the others, so that a long run does not
//! encode them all. Those that are sent once on a stream, or once a stage, count as nothing.

use std::collections::BTreeMap;

use gleaner_coordinator_core::Grant;
use gleaner_protocol::wire::{FRAME_HEADER_BYTES, encode};
use gleaner_protocol::{
    AttemptId, AttemptProgress, ItemRange, Lease, Payload, ToCoordinator as FromWorker,
    ToWorker as FromCoordinator,
};

use crate::nature::{Heartbeat, ToCoordinator, ToWorker};

/// One message in so many is encoded.
const SAMPLED_EACH: u64 = 61;

/// Counts messages and about how many bytes they have.
#[derive(Debug, Default)]
pub(crate) struct Traffic {
    pub(crate) messages: u64,
    sampled_bytes: u64,
}

impl Traffic {
    pub(crate) fn note_to_coordinator(&mut self, said: &ToCoordinator) {
        if self.is_sampled() {
            let message = match said {
                ToCoordinator::Hello(_) => return,
                ToCoordinator::Request(capacity) => encode(&FromWorker::Request(*capacity)),
                ToCoordinator::Heartbeat(heartbeat) => {
                    let Heartbeat { held, running } = &**heartbeat;
                    let attempts = held.clone();
                    let running = running.iter().map(|attempt| progress(*attempt)).collect();
                    encode(&FromWorker::Heartbeat { attempts, running })
                }
                ToCoordinator::Results(results) => {
                    let results = results.clone();
                    encode(&FromWorker::Results { results })
                }
                ToCoordinator::Release(attempts, reason) => {
                    let (attempts, reason) = (attempts.clone(), *reason);
                    encode(&FromWorker::Release { attempts, reason })
                }
            };
            self.sampled_bytes += frame_bytes(&message);
        }
    }

    pub(crate) fn note_to_worker(&mut self, said: &ToWorker) {
        if self.is_sampled() {
            let message = match said {
                ToWorker::Welcome | ToWorker::Task(..) => return,
                ToWorker::Leases(leases) => {
                    let leases = leases.iter().map(|(grant, _)| lease(grant)).collect();
                    encode(&FromCoordinator::Leases { leases })
                }
                ToWorker::Acknowledge(attempts) => {
                    let attempts = attempts.clone();
                    encode(&FromCoordinator::Acknowledge { attempts })
                }
                ToWorker::Withdraw(attempts, reason) => {
                    let (attempts, reason) = (attempts.clone(), *reason);
                    encode(&FromCoordinator::Withdraw { attempts, reason })
                }
            };
            self.sampled_bytes += frame_bytes(&message);
        }
    }

    /// About how many bytes all messages had.
    pub(crate) fn bytes(&self) -> u64 {
        self.sampled_bytes * SAMPLED_EACH
    }

    fn is_sampled(&mut self) -> bool {
        self.messages += 1;
        self.messages.is_multiple_of(SAMPLED_EACH)
    }
}

fn frame_bytes(message: &[u8]) -> u64 {
    (FRAME_HEADER_BYTES + message.len()) as u64
}

fn progress(attempt: AttemptId) -> AttemptProgress {
    AttemptProgress { attempt, fraction: 0.5 }
}

fn lease(grant: &Grant) -> Lease {
    let Grant { claims, token, duration } = grant.clone();
    let inputs = inputs(claims.items);
    Lease { claims, token, inputs, duration }
}

/// What a splitter of a range of numbers gives for these items.
fn inputs(items: ItemRange) -> Payload {
    let input = |item| encode(&BTreeMap::from([("index", item)])).into();
    Payload::Inline((items.start..items.end).map(input).collect())
}
