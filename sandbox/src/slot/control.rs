//! Suspending and ending a slot from any thread, and the time it has had in between.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use crate::platform::{Process, Signals};

/// What the handles of a slot and its driver share. Signals are sent at once, under the lock that
/// also guards which process they go to, so that a process started while the slot is suspended is
/// stopped too.
#[derive(Default)]
pub(crate) struct Control {
    state: Mutex<State>,
    /// The bits of an `f32`.
    progress: AtomicU32,
    /// The driver waits here for a change of suspension.
    pub(crate) changed: Notify,
}

#[derive(Default)]
struct State {
    signals: Option<Signals>,
    process_id: Option<u32>,
    suspended_since: Option<Instant>,
    /// The suspensions that are over, together.
    suspended: Duration,
    killed: bool,
}

impl Control {
    pub(crate) fn suspend(&self) {
        let mut state = self.lock();
        if state.suspended_since.is_none() {
            state.suspended_since = Some(Instant::now());
        }
        if let Some(signals) = &state.signals {
            signals.suspend();
        }
    }

    pub(crate) fn resume(&self) {
        let mut state = self.lock();
        if let Some(since) = state.suspended_since.take() {
            state.suspended += since.elapsed();
        }
        if let Some(signals) = &state.signals {
            signals.resume();
        }
        drop(state);
        self.changed.notify_one();
    }

    /// Ends the process at hand and every later one.
    pub(crate) fn kill(&self) {
        let mut state = self.lock();
        state.killed = true;
        if let Some(signals) = &state.signals {
            signals.kill();
        }
    }

    /// From here on, signals go to `process`.
    pub(crate) fn attach(&self, process: &Process) {
        let mut state = self.lock();
        let signals = process.signals();
        if state.killed {
            signals.kill();
        } else if state.suspended_since.is_some() {
            signals.suspend();
        }
        state.signals = Some(signals);
        state.process_id = Some(process.id());
    }

    /// There is no process.
    pub(crate) fn detach(&self) {
        let mut state = self.lock();
        state.signals = None;
        state.process_id = None;
    }

    pub(crate) fn process_id(&self) -> Option<u32> {
        self.lock().process_id
    }

    pub(crate) fn is_killed(&self) -> bool {
        self.lock().killed
    }

    pub(crate) fn is_suspended(&self) -> bool {
        self.lock().suspended_since.is_some()
    }

    /// The time since `start` without the time spent suspended; differences of it are the wall time
    /// that limits are about.
    pub(crate) fn active_since(&self, start: Instant) -> Duration {
        let state = self.lock();
        let now = Instant::now();
        let current = state.suspended_since.map_or(Duration::ZERO, |since| now - since);
        (now - start).saturating_sub(state.suspended + current)
    }

    pub(crate) fn progress(&self) -> f32 {
        f32::from_bits(self.progress.load(Ordering::Relaxed))
    }

    /// Takes any number a guest may have invented.
    pub(crate) fn set_progress(&self, fraction: f32) {
        let fraction = if fraction.is_nan() { 0.0 } else { fraction.clamp(0.0, 1.0) };
        self.progress.store(fraction.to_bits(), Ordering::Relaxed);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_stands_still_while_suspended() {
        let control = Control::default();
        let start = Instant::now();
        control.suspend();
        let stopped = control.active_since(start);
        let since = Instant::now();
        while since.elapsed() < Duration::from_millis(2) {
            assert_eq!(control.active_since(start), stopped);
        }
        control.suspend();
        assert_eq!(control.active_since(start), stopped, "suspending again changes nothing");
        control.resume();
        let resumed = Instant::now();
        while resumed.elapsed() < Duration::from_millis(2) {}
        assert!(control.active_since(start) >= stopped + Duration::from_millis(2));
        assert!(control.active_since(start) + Duration::from_millis(2) <= start.elapsed());
    }

    #[test]
    fn progress_is_between_0_and_1_whatever_a_guest_says() {
        let control = Control::default();
        for (said, kept) in [(0.25, 0.25), (7.0, 1.0), (-1.0, 0.0), (f32::NAN, 0.0)] {
            control.set_progress(said);
            assert_eq!(control.progress(), kept);
        }
    }
}
