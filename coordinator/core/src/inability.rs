//! What a worker cannot run for now, why, and when it is asked again: after a pause that grows, up to
//! a limit, with each time that it fails again.
//!
//! It is known of one stage at a time, as most that a worker can lack is for one: what it can run it
//! is given meanwhile. A result of the stage, or a new stream, begins anew.

use std::collections::BTreeMap;

use gleaner_protocol::{JobId, Obstacle, StageIndex, Timestamp};

use crate::Config;

/// The most stages that are remembered of a worker; more would each fail once again.
const STAGES_MAX: usize = 256;

#[derive(Debug, Default)]
pub(crate) struct Inabilities {
    stages: BTreeMap<(JobId, StageIndex), Inability>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Inability {
    pub(crate) obstacle: Obstacle,
    /// When it is asked again.
    pub(crate) until: Timestamp,
    failures: u32,
}

impl Inabilities {
    /// A worker gave units of a stage back. Those that were on their way before the pause began fail
    /// of the same and do not lengthen it.
    pub(crate) fn note(
        &mut self,
        now: Timestamp,
        stage: (JobId, StageIndex),
        obstacle: Obstacle,
        config: &Config,
    ) {
        let known = self.stages.get(&stage).copied();
        if let Some(held) = known.filter(|known| known.until > now) {
            self.stages.insert(stage, Inability { obstacle, ..held });
            return;
        }
        let failures = known.map_or(0, |known| known.failures);
        let pause = config.unable_pause.saturating_mul(1 << failures.min(16));
        let until = now + pause.min(config.unable_pause_max);
        if self.stages.len() >= STAGES_MAX {
            let first = self.stages.iter().min_by_key(|(_, known)| known.until);
            let first = first.map(|(stage, _)| *stage).expect("it is full");
            self.stages.remove(&first);
        }
        let failures = failures.saturating_add(1);
        self.stages.insert(stage, Inability { obstacle, until, failures });
    }

    /// It has run some of the stage.
    pub(crate) fn forget(&mut self, job: JobId, stage: StageIndex) {
        if !self.stages.is_empty() {
            self.stages.remove(&(job, stage));
        }
    }

    /// Why it is given nothing of a stage now, if it is not.
    pub(crate) fn of(&self, now: Timestamp, job: JobId, stage: StageIndex) -> Option<Inability> {
        let known = self.stages.get(&(job, stage))?;
        (known.until > now).then_some(*known)
    }

    /// All that holds now.
    pub(crate) fn all(
        &self,
        now: Timestamp,
    ) -> impl Iterator<Item = (JobId, StageIndex, Inability)> {
        let held = self.stages.iter().filter(move |(_, known)| known.until > now);
        held.map(|((job, stage), known)| (*job, *stage, *known))
    }

    /// When the first of them is over.
    pub(crate) fn next_end(&self, now: Timestamp) -> Option<Timestamp> {
        self.all(now).map(|(_, _, known)| known.until).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STAGE: StageIndex = StageIndex(0);

    #[test]
    fn pauses_double_up_to_a_limit_and_a_result_ends_them() {
        let config = Config::default();
        let mut unable = Inabilities::default();
        let mut now = Timestamp::from_millis(1_000);
        let mut pauses = Vec::new();
        for _ in 0..9 {
            unable.note(now, (JobId(1), STAGE), Obstacle::DiskFull, &config);
            unable.note(now, (JobId(1), STAGE), Obstacle::Slot, &config);
            let held = unable.of(now, JobId(1), STAGE).expect("it has just failed");
            assert_eq!(held.obstacle, Obstacle::Slot, "what came last is told");
            assert_eq!(unable.next_end(now), Some(held.until));
            pauses.push(held.until.saturating_since(now).as_secs());
            now = held.until;
            assert_eq!((unable.of(now, JobId(1), STAGE), unable.next_end(now)), (None, None));
        }
        assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 64, 120, 120]);
        unable.forget(JobId(1), STAGE);
        unable.note(now, (JobId(1), STAGE), Obstacle::DiskFull, &config);
        assert_eq!(unable.next_end(now), Some(now + config.unable_pause));
    }

    #[test]
    fn of_many_stages_those_are_forgotten_that_are_asked_for_first() {
        let (config, mut unable) = (Config::default(), Inabilities::default());
        for job in 0..=STAGES_MAX as u64 {
            let now = Timestamp::from_millis(job);
            unable.note(now, (JobId(job), STAGE), Obstacle::DiskFull, &config);
        }
        let now = Timestamp::from_millis(STAGES_MAX as u64);
        assert_eq!(unable.all(now).count(), STAGES_MAX);
        assert_eq!(unable.of(now, JobId(0), STAGE), None);
    }
}
