//! The core's settings.

use std::time::Duration;

use gleaner_protocol::limits::LEASE_DURATION;

/// What an operator may set. The default is the recommendation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// How long a lease lasts unless a heartbeat extends it. Default 60 s: four heartbeats.
    pub lease_duration: Duration,
    /// After a restart, how long units that may be in a worker's hands wait for it to come back
    /// before others get them. Default 15 s: a worker's first few tries to reconnect.
    pub restart_grace: Duration,
    /// How long a unit of automatic size should take on one slot. Default 1 s: a thousand times
    /// what a unit costs the platform, and all that a lost worker loses.
    pub unit_duration_target: Duration,
    /// How long a worker that could not run a unit is given nothing of its stage, the first time;
    /// each time that it fails again it is twice as long. Default 1 s.
    pub unable_pause: Duration,
    /// The longest such pause: what fails costs little once in so long, and a worker that was mended
    /// is soon used again. Default 2 min.
    pub unable_pause_max: Duration,
    /// What is done about units that are late at the end of a stage. Default
    /// [`LateUnits::TriedAgain`]: what else idle slots would do is nothing.
    pub late_units: LateUnits,
}

/// What is done about units that are late at the end of a stage.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LateUnits {
    /// Slots that have nothing else to do make one more attempt; whichever answers first counts.
    #[default]
    TriedAgain,
    /// Nothing, while their leases stand.
    Awaited,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            lease_duration: LEASE_DURATION,
            restart_grace: Duration::from_secs(15),
            unit_duration_target: Duration::from_secs(1),
            unable_pause: Duration::from_secs(1),
            unable_pause_max: Duration::from_secs(120),
            late_units: LateUnits::default(),
        }
    }
}
