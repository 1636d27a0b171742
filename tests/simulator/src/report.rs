//! How a run goes and how it went.

use std::time::Duration;

/// How a run went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// Equal for equal runs.
    pub trace_hash: u64,
    /// The most that two submitters' shares were apart while both had something to be handed out, in
    /// parts of a hundred of what they may be.
    pub apart_most: u64,
    /// What happened and was decided.
    pub events: u64,
    /// Messages sent, both ways.
    pub messages: u64,
    /// About how many bytes these had, as frames of the work stream.
    pub message_bytes: u64,
    /// Units settled.
    pub units: u64,
    /// From the beginning to the last job's end.
    pub makespan: Duration,
    /// How long there was an item to compute.
    pub busy: Duration,
    /// What the items that were settled take one ordinary slot, as often as their quorum says.
    pub needed: Duration,
    /// What slots spent on attempts, those that came to nothing too, in the time of an ordinary one.
    pub spent: Duration,
    /// What all slots that might run could have done in that time, in the time of an ordinary one.
    pub supply: Duration,
}

impl Report {
    /// How long there would have been something to compute if no slot that was there had ever waited,
    /// nor computed what was not needed.
    pub fn ideal(&self) -> Duration {
        self.busy.mul_f64(self.needed.as_secs_f64() / self.supply.as_secs_f64().max(1e-6))
    }

    /// How many times as long as that there was something to compute.
    pub fn over_ideal(&self) -> f64 {
        self.busy.as_secs_f64() / self.ideal().as_secs_f64().max(1e-6)
    }

    /// Which part of what was computed nobody needed.
    pub fn wasted(&self) -> f64 {
        let (needed, spent) = (self.needed.as_secs_f64(), self.spent.as_secs_f64());
        (1.0 - needed / spent.max(1e-6)).max(0.0)
    }
}

/// How far a run is.
#[derive(Clone, Copy, Debug)]
pub struct Progress {
    /// What happened so far.
    pub events: u64,
    /// Virtual time since the beginning.
    pub now: Duration,
    /// Units settled.
    pub units: u64,
    /// Jobs that have ended.
    pub jobs_ended: usize,
}
