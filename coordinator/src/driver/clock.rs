//! Time for the core: it only goes forward, whatever is done to the machine's clock.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use gleaner_protocol::Timestamp;
use rustix::time::{ClockId, clock_gettime};

/// Wall time when the clock was started plus the time since, sleep of the machine included.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    wall_at_start: Duration,
    boot_at_start: Duration,
}

impl Clock {
    pub(crate) fn start() -> Self {
        let wall_at_start = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self { wall_at_start, boot_at_start: time_since_boot() }
    }

    pub(crate) fn now(&self) -> Timestamp {
        let elapsed = time_since_boot().saturating_sub(self.boot_at_start);
        Timestamp::ZERO + self.wall_at_start + elapsed
    }
}

fn time_since_boot() -> Duration {
    let time = clock_gettime(ClockId::Boottime);
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    let nanos = u32::try_from(time.tv_nsec).unwrap_or(0);
    Duration::new(seconds, nanos)
}
