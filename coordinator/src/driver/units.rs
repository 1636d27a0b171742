//! Units as the control API shows them: what came back, from the store, and what is out, from the
//! core.

use std::collections::BTreeMap;

use gleaner_coordinator_core::{JobEnd, JobSnapshot, KeptRun, LeaseSnapshot};
use gleaner_protocol::api::{AttemptState, AttemptView, UnitState, UnitView, UnitsPage};
use gleaner_protocol::{AttemptId, ItemRange, JobId, OutcomeClass, StageIndex, UnitId};

use super::failures::first_items;
use super::views::rfc3339;
use crate::store::{StoredAttempt, StoredUnit, StoredUnits, Unanswered, UnitEntry};

/// What workers have of a job, as the core tells it.
pub(crate) struct Out {
    pub(crate) job: JobSnapshot,
    pub(crate) leases: Vec<LeaseSnapshot>,
    /// The unit after the last one told of, when there are more.
    pub(crate) next: Option<u64>,
}

/// A page of what the store told after the core did: what it says of an attempt is the newer.
pub(crate) fn page(out: &Out, stored: StoredUnits) -> UnitsPage {
    let mut leases: BTreeMap<u64, Vec<LeaseSnapshot>> = BTreeMap::new();
    for lease in &out.leases {
        leases.entry(lease.attempt.unit.number).or_default().push(*lease);
    }
    // Units behind the last lease told of come with the next page.
    let end = out.next.unwrap_or(u64::MAX);
    let mut units = Vec::new();
    for entry in stored.entries {
        match entry {
            UnitEntry::Told(unit) if unit.number < end => {
                let held = leases.remove(&unit.number).unwrap_or_default();
                units.push(told(out, unit, &held));
            }
            UnitEntry::Untold { first_unit, units: count, unit_items, stage, items } => {
                let run = Run {
                    first_unit,
                    end: (first_unit + count).min(end),
                    unit_items,
                    stage,
                    items,
                };
                run.split(out, &leases, &mut units);
            }
            UnitEntry::Uncut { stage, items } if out.next.is_none() => {
                units.push(uncut(out, stage, items));
            }
            UnitEntry::Kept(run) if out.next.is_none() => units.push(kept(out, &run)),
            UnitEntry::Told(_) | UnitEntry::Uncut { .. } | UnitEntry::Kept(_) => {}
        }
    }
    let next = [stored.next, out.next].into_iter().flatten().min();
    UnitsPage { units, next }
}

/// The job whose units answered these items, if an earlier one did.
pub(crate) fn source(unit: &UnitView) -> Option<JobId> {
    unit.unit.filter(|_| unit.state == UnitState::Kept).map(|unit| unit.job)
}

/// Leaves out which job answered: another submitter's looks like none.
pub(crate) fn hide_source(unit: &mut UnitView) {
    (unit.unit, unit.units) = (None, None);
}

/// How the attempts of a unit ended, the last few of them, in sentences.
pub(crate) fn attempts(job: JobId, unit: &StoredUnit) -> Vec<String> {
    const TOLD_MAX: usize = 5;
    let skipped = unit.attempts.len().saturating_sub(TOLD_MAX);
    let id = UnitId { job, number: unit.number };
    let told = unit.attempts.iter().skip(skipped).map(|attempt| {
        let log = if attempt.log_bytes > 0 { "; it left a log" } else { "" };
        let settled = match unit.settled_by == Some(attempt.number) {
            true => ", which settled it",
            false => "",
        };
        let attempt_id = AttemptId { unit: id, number: attempt.number };
        format!("{attempt_id} of {} came back: {}{settled}{log}", attempt.worker, attempt.words)
    });
    let before = (skipped > 0).then(|| format!("{skipped} attempts came back before these:"));
    before.into_iter().chain(told).collect()
}

fn told(out: &Out, unit: StoredUnit, held: &[LeaseSnapshot]) -> UnitView {
    let failures = first_items(&unit.failures);
    let StoredUnit { number, stage, items, attempts: stored, settled_by, .. } = unit;
    let (unanswered, items_failed) = (unit.unanswered, unit.items_failed);
    let id = UnitId { job: out.job.job, number };
    let settled = settled_by.and_then(|by| stored.iter().find(|attempt| attempt.number == by));
    let returned = |lease: &&LeaseSnapshot| {
        !stored.iter().any(|attempt| attempt.number == lease.attempt.number)
    };
    let mut attempts: Vec<_> = stored.iter().map(|attempt| came_back(id, attempt)).collect();
    if settled.is_none() {
        attempts.extend(held.iter().filter(returned).map(leased));
    }
    attempts.sort_by_key(|attempt| attempt.attempt.number);
    let has = |state| attempts.iter().any(|attempt| attempt.state == state);
    let has_answer = stored.iter().any(|attempt| attempt.class != OutcomeClass::Inconclusive);
    let state = match settled {
        Some(settled) if settled.class == OutcomeClass::Failure => UnitState::Failed,
        Some(_) => UnitState::Settled,
        None if unanswered == Some(Unanswered::GivenUp) => UnitState::Failed,
        None if unanswered == Some(Unanswered::Replaced) => UnitState::Replaced,
        None if failed_of(&out.job, number) => UnitState::Failed,
        None if out.job.end.is_some() => UnitState::Dropped,
        None if has(AttemptState::Running) => UnitState::Running,
        None if has(AttemptState::Assigned) => UnitState::Assigned,
        None if has_answer => UnitState::Accepted,
        None => UnitState::Waiting,
    };
    let stage = stage_name(out, stage);
    UnitView {
        unit: Some(id),
        units: Some(1),
        stage,
        items,
        state,
        attempts,
        items_failed,
        failures,
    }
}

/// Whether the job failed of this unit.
fn failed_of(job: &JobSnapshot, unit: u64) -> bool {
    matches!(&job.end, Some((JobEnd::Failed { cause, .. }, _)) if cause.unit() == Some(unit))
}

/// Consecutive units of which nothing came back.
struct Run {
    first_unit: u64,
    end: u64,
    unit_items: u32,
    stage: StageIndex,
    items: ItemRange,
}

impl Run {
    /// Those that workers have one by one, those between them as runs that wait.
    fn split(
        self,
        out: &Out,
        leases: &BTreeMap<u64, Vec<LeaseSnapshot>>,
        units: &mut Vec<UnitView>,
    ) {
        let mut next = self.first_unit;
        for (number, held) in leases.range(self.first_unit..self.end.max(self.first_unit)) {
            self.waiting(out, next, *number, units);
            let state = match held.iter().any(|lease| lease.running_since.is_some()) {
                true => UnitState::Running,
                false => UnitState::Assigned,
            };
            let view = self.view(out, *number, number + 1, state);
            units.push(UnitView { attempts: held.iter().map(leased).collect(), ..view });
            next = number + 1;
        }
        self.waiting(out, next, self.end, units);
    }

    fn waiting(&self, out: &Out, first: u64, end: u64, units: &mut Vec<UnitView>) {
        if first < end {
            units.push(self.view(out, first, end, waiting_state(&out.job)));
        }
    }

    fn view(&self, out: &Out, first: u64, end: u64, state: UnitState) -> UnitView {
        let item = |unit: u64| {
            let offset = (unit - self.first_unit) * u64::from(self.unit_items);
            (self.items.start + offset).min(self.items.end)
        };
        UnitView {
            unit: Some(UnitId { job: out.job.job, number: first }),
            units: Some(end - first),
            stage: stage_name(out, self.stage),
            items: ItemRange { start: item(first), end: item(end) },
            state,
            attempts: Vec::new(),
            items_failed: 0,
            failures: Vec::new(),
        }
    }
}

fn uncut(out: &Out, stage: StageIndex, items: ItemRange) -> UnitView {
    UnitView {
        unit: None,
        units: None,
        stage: stage_name(out, stage),
        items,
        state: waiting_state(&out.job),
        attempts: Vec::new(),
        items_failed: 0,
        failures: Vec::new(),
    }
}

fn kept(out: &Out, run: &KeptRun) -> UnitView {
    UnitView {
        unit: Some(UnitId { job: run.source, number: run.first_unit }),
        units: Some(run.end_unit - run.first_unit),
        stage: stage_name(out, run.stage),
        items: run.items,
        state: UnitState::Kept,
        attempts: Vec::new(),
        items_failed: 0,
        failures: Vec::new(),
    }
}

fn waiting_state(job: &JobSnapshot) -> UnitState {
    if job.end.is_some() { UnitState::Dropped } else { UnitState::Waiting }
}

fn stage_name(out: &Out, stage: StageIndex) -> String {
    out.job.stages[stage.0 as usize].name.clone()
}

fn came_back(unit: UnitId, attempt: &StoredAttempt) -> AttemptView {
    AttemptView {
        attempt: AttemptId { unit, number: attempt.number },
        worker: attempt.worker,
        state: match attempt.class {
            OutcomeClass::Completed => AttemptState::Completed,
            OutcomeClass::Failure => AttemptState::Failed,
            OutcomeClass::Inconclusive => AttemptState::Inconclusive,
        },
        outcome: Some(attempt.words.clone()),
        leased_at: None,
        running_since: None,
        cpu_seconds: attempt.cpu.map(|cpu| cpu.as_secs_f64()),
        log_bytes: attempt.log_bytes,
    }
}

fn leased(lease: &LeaseSnapshot) -> AttemptView {
    AttemptView {
        attempt: lease.attempt,
        worker: lease.worker,
        state: match lease.running_since {
            Some(_) => AttemptState::Running,
            None => AttemptState::Assigned,
        },
        outcome: None,
        leased_at: Some(rfc3339(lease.leased_at)),
        running_since: lease.running_since.map(rfc3339),
        cpu_seconds: None,
        log_bytes: 0,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use gleaner_coordinator_core::{FailureCause, Owner, StageSnapshot, StageState};
    use gleaner_protocol::{Timestamp, WorkerId};

    use super::*;

    fn out(end: Option<JobEnd>, leases: &[(u64, u32)], next: Option<u64>) -> Out {
        let job = JobId(7);
        let stage = StageSnapshot {
            name: "search".into(),
            state: StageState::Open,
            items: Some(100),
            items_kept: 0,
            items_failed: 0,
            items_settled: 0,
            units_settled: 0,
            attempts_leased: 0,
            attempts_running: 0,
            attempts_inconclusive: 0,
            cpu: Duration::ZERO,
            cpu_unanswered: Duration::ZERO,
            made: None,
            outputs: Vec::new(),
        };
        let lease = |(unit, number): &(u64, u32)| LeaseSnapshot {
            attempt: AttemptId { unit: UnitId { job, number: *unit }, number: *number },
            worker: WorkerId([*number as u8; 32]),
            leased_at: Timestamp::ZERO,
            running_since: (*number > 1).then_some(Timestamp::ZERO),
        };
        Out {
            job: JobSnapshot {
                job,
                owner: Owner::Operator,
                name: "planets".into(),
                retry_of: None,
                retried_by: None,
                version: 1,
                submitted_at: Timestamp::ZERO,
                priority: 0,
                paused_at: None,
                end: end.map(|end| (end, Timestamp::ZERO)),
                kept_until: None,
                stages: vec![stage],
            },
            leases: leases.iter().map(lease).collect(),
            next,
        }
    }

    fn attempt(number: u32, class: OutcomeClass) -> StoredAttempt {
        StoredAttempt {
            number,
            worker: WorkerId([number as u8; 32]),
            class,
            words: "as it ended".into(),
            cpu: None,
            log_bytes: 0,
        }
    }

    fn told(number: u64, attempts: Vec<StoredAttempt>, settled_by: Option<u32>) -> UnitEntry {
        let items = ItemRange { start: number * 2, end: number * 2 + 2 };
        UnitEntry::Told(StoredUnit {
            number,
            stage: StageIndex(0),
            items,
            attempts,
            settled_by,
            unanswered: None,
            items_failed: 0,
            failures: Vec::new(),
        })
    }

    /// Each view in a line: first unit, how many, items, state, attempts.
    fn lines(out: &Out, entries: Vec<UnitEntry>, next: Option<u64>) -> Vec<String> {
        let page = page(out, StoredUnits { entries, next });
        let line = |view: &UnitView| {
            let first = view.unit.map_or("-".into(), |unit| unit.number.to_string());
            let count = view.units.map_or("-".into(), |units| units.to_string());
            let attempts: Vec<_> = view
                .attempts
                .iter()
                .map(|attempt| format!("{} {:?}", attempt.attempt.number, attempt.state))
                .collect();
            format!("{first} {count} {} {:?} {attempts:?}", view.items, view.state)
        };
        page.units.iter().map(line).chain(page.next.map(|next| format!("next {next}"))).collect()
    }

    fn untold(first_unit: u64, units: u64) -> UnitEntry {
        let items = ItemRange { start: first_unit * 2, end: (first_unit + units) * 2 };
        UnitEntry::Untold { first_unit, units, unit_items: 2, stage: StageIndex(0), items }
    }

    #[test]
    fn a_unit_stands_where_its_attempts_leave_it() {
        use OutcomeClass::{Completed, Failure, Inconclusive};
        let entries = || {
            vec![
                told(0, vec![attempt(1, Completed)], Some(1)),
                told(1, vec![attempt(1, Failure)], Some(1)),
                told(2, vec![attempt(1, Completed)], None),
                told(3, vec![attempt(1, Inconclusive)], None),
                told(4, vec![attempt(1, Inconclusive)], None),
            ]
        };
        // Of unit 4 the first attempt is back, though the core had not heard of it.
        let now = out(None, &[(4, 1), (4, 2)], None);
        let expected = [
            "0 1 0..2 Settled [\"1 Completed\"]",
            "1 1 2..4 Failed [\"1 Failed\"]",
            "2 1 4..6 Accepted [\"1 Completed\"]",
            "3 1 6..8 Waiting [\"1 Inconclusive\"]",
            "4 1 8..10 Running [\"1 Inconclusive\", \"2 Running\"]",
        ];
        assert_eq!(lines(&now, entries(), None), expected);
        let cause = FailureCause::NoAnswer { unit: 3 };
        let end = JobEnd::Failed { reason: "no answer".into(), cause };
        let ended = out(Some(end), &[], None);
        let states = lines(&ended, entries(), None).into_iter();
        let states: Vec<_> = states.map(|line| line.split(' ').nth(3).map(str::to_owned)).collect();
        let expected = ["Settled", "Failed", "Dropped", "Failed", "Dropped"];
        assert_eq!(states, expected.map(|state| Some(state.to_owned())));
    }

    #[test]
    fn units_that_workers_have_are_cut_out_of_the_runs_that_wait() {
        let uncut =
            UnitEntry::Uncut { stage: StageIndex(0), items: ItemRange { start: 20, end: 100 } };
        let now = out(None, &[(0, 1), (3, 1), (3, 2), (9, 1)], None);
        let expected = [
            "0 1 0..2 Assigned [\"1 Assigned\"]",
            "1 2 2..6 Waiting []",
            "3 1 6..8 Running [\"1 Assigned\", \"2 Running\"]",
            "4 5 8..18 Waiting []",
            "9 1 18..20 Assigned [\"1 Assigned\"]",
            "- - 20..100 Waiting []",
        ];
        assert_eq!(lines(&now, vec![untold(0, 10), uncut], None), expected);
    }

    #[test]
    fn the_last_attempts_are_told_in_sentences() {
        let unit = |count: u32| StoredUnit {
            number: 3,
            stage: StageIndex(0),
            items: ItemRange { start: 0, end: 1 },
            attempts: (1..=count).map(|n| attempt(n, OutcomeClass::Inconclusive)).collect(),
            settled_by: Some(2),
            unanswered: None,
            items_failed: 0,
            failures: Vec::new(),
        };
        let worker = WorkerId([2; 32]);
        let expected =
            format!("attempt-7.3.2 of {worker} came back: as it ended, which settled it");
        assert_eq!(attempts(JobId(7), &unit(2))[1], expected);
        let many = attempts(JobId(7), &unit(9));
        assert_eq!((many.len(), many[0].as_str()), (6, "4 attempts came back before these:"));
    }

    #[test]
    fn a_page_ends_where_the_core_stopped_telling() {
        let now = out(None, &[(1, 1)], Some(5));
        let entries = vec![untold(0, 4), told(4, Vec::new(), None), untold(5, 9)];
        let expected = [
            "0 1 0..2 Waiting []",
            "1 1 2..4 Assigned [\"1 Assigned\"]",
            "2 2 4..8 Waiting []",
            "4 1 8..10 Waiting []",
            "next 5",
        ];
        assert_eq!(lines(&now, entries, Some(14)), expected);
    }
}
