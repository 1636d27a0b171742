//! How long workers take, compared with one another: learned from their results.
//!
//! A worker's pace is seen beside what such items usually take, and what they usually take is seen
//! beside the pace of those who computed them: so a stage is known by its first results, whoever
//! gave them, and a worker by its first result, of whichever stage it is. What claims more than its
//! lease stood is not learned from.

use std::time::Duration;

use crate::slot_time::SlotTime;

/// How many times longer than usual a worker's items take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Pace {
    /// In parts of [`USUAL`].
    factor: u32,
    class: u32,
    results: u32,
}

/// The factor of a worker of which nothing is known.
const USUAL: u32 = 1 << 10;

/// No worker counts as so many times faster or slower, whatever it says.
const FACTOR_MAX: u32 = 1 << 6;

/// How many of the last results decide about a worker's pace: a machine's load changes.
const PACE_OF: u32 = 8;

/// A worker leaves its class when its factor is out of it by more than one part in so many.
const CLASS_MARGIN: u32 = 8;

/// How many of the last results decide about what is usual.
const USUAL_OF: u32 = 256;

/// What takes less tells more of what a unit costs the platform than of its worker.
const TELLING_MIN: Duration = Duration::from_millis(1);

/// No item counts as taking less than the first, whatever its worker says, nor the first result of
/// a stage as taking more than the second.
const ITEM_MIN: Duration = Duration::from_micros(1);
/// See [`ITEM_MIN`].
const FIRST_ITEM_MAX: Duration = Duration::from_secs(60 * 60);

/// What a unit of which nothing is known counts as: about as long as most submitters make one.
const UNKNOWN_TAKES: Duration = Duration::from_secs(1);

/// What slots compute together, each as fast as its worker's class.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Speed {
    /// In parts of [`SPEED_USUAL`].
    sum: u64,
    squares: u64,
}

/// The speed of a slot of usual pace.
const SPEED_USUAL: u64 = 1 << 10;

/// How long an item usually takes.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Usual {
    per_item: Option<Duration>,
    results: u32,
    /// What items have taken at least that have not ended, while nothing else is known.
    least_per_item: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self { factor: USUAL, class: USUAL.ilog2(), results: 0 }
    }
}

impl Pace {
    /// A result took so long that usually takes `usual`.
    pub(crate) fn learn(&mut self, took: Duration, usual: Duration) {
        if usual < TELLING_MIN {
            return;
        }
        let seen = factor(took, usual);
        self.results = (self.results + 1).min(PACE_OF);
        self.set((self.factor * (self.results - 1) + seen) / self.results);
    }

    /// What usually takes `usual` has taken so long, and has not ended: a worker of which no result
    /// tells more takes no less. Of another one, the unit is as likely to be a long one.
    pub(crate) fn note_unfinished(&mut self, had: Duration, usual: Duration) {
        if !self.is_known() && self.of(usual) < had && usual >= TELLING_MIN {
            self.set(factor(had, usual));
        }
    }

    /// How long the worker takes for what usually takes so long.
    pub(crate) fn of(self, usual: Duration) -> Duration {
        usual.saturating_mul(self.factor) / USUAL
    }

    /// Workers of about one pace are in one class, the fastest in the least: those of a class take
    /// twice as long as those of the one before. A worker at the border stays where it is.
    pub(crate) fn class(self) -> u32 {
        self.class
    }

    fn set(&mut self, factor: u32) {
        self.factor = factor;
        let (first, last) = (1 << self.class, (2 << self.class) - 1);
        if factor < first - first / CLASS_MARGIN || factor > last + last / CLASS_MARGIN {
            self.class = factor.ilog2();
        }
    }

    fn is_known(self) -> bool {
        self.results > 0
    }
}

impl Speed {
    /// Adds the slots of a worker.
    pub(crate) fn add(&mut self, slots: u32, class: u32) {
        let (slots, speed) = (u64::from(slots), speed_of(class));
        self.sum += slots * speed;
        self.squares += slots * speed * speed;
    }

    /// Takes the slots of a worker out.
    pub(crate) fn remove(&mut self, slots: u32, class: u32) {
        let (slots, speed) = (u64::from(slots), speed_of(class));
        self.sum -= slots * speed;
        self.squares -= slots * speed * speed;
    }

    /// How long it takes those who do most of the work for what usually takes so long.
    pub(crate) fn of_most(&self, usual: Duration) -> Duration {
        scaled(usual, SPEED_USUAL.saturating_mul(self.sum), self.squares)
    }
}

/// The middle of a class, in parts of [`USUAL`].
const fn of_class(class: u32) -> u32 {
    (3 << class) / 2
}

/// How many times longer that is than usual, within bounds.
fn factor(took: Duration, usual: Duration) -> u32 {
    let seen = took.as_nanos().saturating_mul(USUAL.into()) / usual.as_nanos().max(1);
    let (least, most) = (USUAL / FACTOR_MAX, USUAL * FACTOR_MAX);
    u32::try_from(seen).unwrap_or(most).clamp(least, most)
}

fn speed_of(class: u32) -> u64 {
    SPEED_USUAL * u64::from(USUAL) / u64::from(of_class(class))
}

fn scaled(duration: Duration, times: u64, parts: u64) -> Duration {
    let nanos = duration.as_nanos().saturating_mul(times.into()) / u128::from(parts.max(1));
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}

impl Usual {
    /// A worker of this pace took so long for so many items.
    pub(crate) fn learn(&mut self, took: Duration, items: u64, pace: Pace) {
        let items = u32::try_from(items.max(1)).unwrap_or(u32::MAX);
        let seen = ((took / items).saturating_mul(USUAL) / pace.factor).max(ITEM_MIN);
        let (known, seen) = match self.per_item {
            Some(_) if !pace.is_known() => return,
            Some(known) => {
                (known, seen.clamp(known / FACTOR_MAX, known.saturating_mul(FACTOR_MAX)))
            }
            None => (Duration::ZERO, seen.min(FIRST_ITEM_MAX)),
        };
        self.results = (self.results + 1).min(USUAL_OF);
        let sum = known.saturating_mul(self.results - 1).saturating_add(seen);
        self.per_item = Some(sum / self.results);
    }

    /// How long so many items usually take, once anything is known.
    pub(crate) fn of(self, items: u64) -> Option<Duration> {
        let items = u32::try_from(items).unwrap_or(u32::MAX);
        Some(self.per_item?.saturating_mul(items))
    }

    /// So many items have taken so long, and have not ended.
    pub(crate) fn note_unfinished(&mut self, had: SlotTime, items: u64) {
        if self.per_item.is_none() {
            self.least_per_item = self.least_per_item.max(had.each(items));
        }
    }

    /// What is expected of so many items while nobody knows how long they take.
    pub(crate) fn unknown(self, items: u64) -> Duration {
        let items = u32::try_from(items).unwrap_or(u32::MAX);
        self.least_per_item.saturating_mul(items).max(UNKNOWN_TAKES)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_pace_comes_near_what_is_seen_and_stays_within_bounds() {
        let mut pace = Pace::default();
        assert_eq!(pace.of(SECOND), SECOND);
        pace.learn(4 * SECOND, SECOND);
        assert_eq!(pace.of(SECOND), 4 * SECOND);
        assert_eq!(pace.class(), Pace::default().class() + 2);
        for (took, usual, expected) in [
            (Duration::MAX, SECOND, 60 * SECOND..=64 * SECOND),
            (Duration::ZERO, SECOND, SECOND / 64..=SECOND / 50),
        ] {
            for _ in 0..100 {
                pace.learn(took, usual);
            }
            assert!(expected.contains(&pace.of(SECOND)), "{pace:?}");
        }
    }

    #[test]
    fn a_pace_at_the_border_of_its_class_stays_in_it() {
        let mut pace = Pace::default();
        let class = pace.class();
        for took in [95, 110, 90, 105] {
            pace.learn(took * SECOND, 100 * SECOND);
            assert_eq!(pace.class(), class, "{pace:?}");
        }
        for (took, expected) in [(50, class - 1), (100, class - 1), (300, class + 1)] {
            for _ in 0..100 {
                pace.learn(took * SECOND, 100 * SECOND);
            }
            assert_eq!(pace.class(), expected, "{pace:?}");
        }
    }

    #[test]
    fn what_has_not_ended_tells_of_a_worker_without_results_alone() {
        let mut pace = Pace::default();
        pace.note_unfinished(20 * SECOND, SECOND);
        assert_eq!(pace.of(SECOND), 20 * SECOND);
        pace.learn(2 * SECOND, SECOND);
        pace.note_unfinished(20 * SECOND, SECOND);
        assert_eq!(pace.of(SECOND), 2 * SECOND);
    }

    #[test]
    fn what_is_usual_does_not_depend_on_who_answered_first() {
        let (mut slow, mut fast, mut first) = (Pace::default(), Pace::default(), Usual::default());
        for (pace, took) in [(&mut fast, SECOND), (&mut slow, 8 * SECOND)] {
            first.learn(took, 1, *pace);
            pace.learn(took, first.of(1).expect("it has just been learned"));
        }
        for (pace, took) in [(slow, 16 * SECOND), (fast, 2 * SECOND)] {
            let mut second = Usual::default();
            second.learn(took, 1, pace);
            assert_eq!(second.of(3), Some(6 * SECOND));
        }
    }

    #[test]
    fn most_of_the_work_is_done_by_the_fast() {
        let mut speed = Speed::default();
        let usual = Pace::default().class();
        for _ in 0..8 {
            speed.add(1, usual);
            speed.add(1, usual + 3);
        }
        let near = |found: Duration, expected: f64| {
            assert!(
                (found.as_secs_f64() / expected - 1.0).abs() < 0.01,
                "{found:?}, not {expected}"
            );
        };
        near(speed.of_most(SECOND), 1.5 * 1.125 / 1.015_625);
        for _ in 0..8 {
            speed.remove(1, usual + 3);
        }
        near(speed.of_most(SECOND), 1.5);
    }

    #[test]
    fn one_result_does_not_change_what_is_usual_by_much() {
        let mut usual = Usual::default();
        let mut pace = Pace::default();
        pace.learn(SECOND, SECOND);
        for _ in 0..USUAL_OF {
            usual.learn(SECOND, 1, pace);
        }
        usual.learn(Duration::MAX, 1, pace);
        assert!(usual.of(1).is_some_and(|usual| usual < 2 * SECOND), "{usual:?}");
    }

    #[test]
    fn a_first_result_that_is_a_lie_is_outweighed_by_those_that_follow() {
        for lie in [Duration::ZERO, Duration::MAX] {
            let (mut usual, mut pace) = (Usual::default(), Pace::default());
            usual.learn(lie, 1, pace);
            pace.learn(SECOND, SECOND);
            let mut seen = 0;
            while usual.of(1).is_none_or(|usual| usual < SECOND / 2 || usual > 2 * SECOND) {
                usual.learn(SECOND, 1, pace);
                seen += 1;
                assert!(seen < 10_000, "after {lie:?}: {usual:?}");
            }
        }
    }

    #[test]
    fn units_that_are_over_at_once_tell_nothing_of_a_worker() {
        let mut pace = Pace::default();
        pace.learn(Duration::ZERO, TELLING_MIN - Duration::from_nanos(1));
        assert_eq!(pace, Pace::default());
    }
}
