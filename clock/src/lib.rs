//! Time for the cores: it only goes forward, whatever is done to the machine's clock.
//!
//! Shared by the drivers of coordinator and worker. Deliberately absent: timers.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use gleaner_protocol::Timestamp;

/// Wall time when the clock was started plus the time since.
///
/// On Linux the time since counts the sleep of the machine (`CLOCK_BOOTTIME`), so that what was due
/// while it slept is due at once; elsewhere it is what the standard library's monotonic clock says.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    wall_at_start: Duration,
    start: platform::Monotonic,
}

impl Clock {
    /// A clock that shows wall time now.
    pub fn start() -> Self {
        let wall_at_start = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self { wall_at_start, start: platform::Monotonic::now() }
    }

    /// The time now: never earlier than any time it gave before.
    pub fn now(&self) -> Timestamp {
        Timestamp::ZERO + self.wall_at_start + self.start.elapsed()
    }
}

#[cfg(target_os = "linux")]
mod platform {
    use std::time::Duration;

    use rustix::time::{ClockId, clock_gettime};

    /// A moment as time since boot.
    #[derive(Clone, Copy, Debug)]
    pub(super) struct Monotonic(Duration);

    impl Monotonic {
        pub(super) fn now() -> Self {
            let time = clock_gettime(ClockId::Boottime);
            let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
            let nanos = u32::try_from(time.tv_nsec).unwrap_or(0);
            Self(Duration::new(seconds, nanos))
        }

        pub(super) fn elapsed(self) -> Duration {
            Self::now().0.saturating_sub(self.0)
        }
    }
}

#[cfg(not(target_os = "linux"))]
mod platform {
    use std::time::{Duration, Instant};

    /// A moment of the standard library's clock.
    #[derive(Clone, Copy, Debug)]
    pub(super) struct Monotonic(Instant);

    impl Monotonic {
        pub(super) fn now() -> Self {
            Self(Instant::now())
        }

        pub(super) fn elapsed(self) -> Duration {
            self.0.elapsed()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_starts_at_wall_time_and_only_goes_forward() {
        let clock = Clock::start();
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
        let apart = wall.abs_diff(Duration::from_millis(clock.now().as_millis()));
        assert!(apart < Duration::from_secs(60), "{apart:?} from wall time");
        let times: Vec<_> = (0..1000).map(|_| clock.now()).collect();
        assert!(times.is_sorted());
    }
}
