//! Units, their attempts and their logs in words.

use gleaner_protocol::api::{
    AttemptLog, AttemptState, AttemptView, FailedItemView, UnitLogs, UnitState, UnitView,
};
use serde_json::Value;

use super::{local_time, short};

/// Units as a table, with a line for each attempt.
pub fn table(units: &[UnitView]) -> Vec<String> {
    let head = ["unit", "stage", "items", "state", "CPU", "worker", "attempt"];
    let mut rows = vec![head.map(String::from).to_vec()];
    for unit in units {
        let failed = failed_items(unit.items_failed, &unit.failures).into_iter();
        let failed = failed.map(|line| vec![String::new(), String::new(), line]);
        let mut attempts = unit.attempts.iter().map(attempt).chain(failed);
        let mut row = vec![name(unit), unit.stage.clone(), unit.items.to_string()];
        row.push(state(unit.state).to_owned());
        row.extend(attempts.next().unwrap_or_default());
        rows.push(row);
        rows.extend(attempts.map(|attempt| [vec![String::new(); 4], attempt].concat()));
    }
    super::table(&rows)
}

/// What each attempt logged, below a line that says whose it was and how it ended; then the items
/// that failed.
pub fn logs(logs: &UnitLogs) -> Vec<String> {
    let failed = failed_items(logs.items_failed, &logs.failures);
    logs.attempts.iter().flat_map(log).chain(failed).collect()
}

/// A line for each failed item that is named, and one for those that are not.
fn failed_items(of: u64, failures: &[FailedItemView]) -> Vec<String> {
    let more = match of.saturating_sub(failures.len() as u64) {
        0 => None,
        1 => Some("1 more item failed".to_owned()),
        more => Some(format!("{more} more items failed")),
    };
    failures.iter().map(failed_item).chain(more).collect()
}

fn failed_item(failure: &FailedItemView) -> String {
    let FailedItemView { item, outcome, message, parameters } = failure;
    let why = if message.is_empty() { outcome } else { message };
    match parameters {
        Some(parameters) => {
            format!("item {item} failed: {why}  {}", Value::Object(parameters.clone()))
        }
        None => format!("item {item} failed: {why}"),
    }
}

fn name(unit: &UnitView) -> String {
    match (unit.unit, unit.units) {
        (Some(first), Some(units @ 2..)) => format!("{first} to {}", first.number + units - 1),
        (Some(unit), _) => unit.to_string(),
        (None, _) if unit.state == UnitState::Kept => "of an earlier job".into(),
        (None, _) => "not cut yet".into(),
    }
}

fn attempt(attempt: &AttemptView) -> Vec<String> {
    let cpu = attempt.cpu_seconds.map(|seconds| format!("{seconds:.1} s")).unwrap_or_default();
    let since = |at: &Option<String>| at.as_deref().map(local_time).unwrap_or_default();
    let words = match attempt.state {
        AttemptState::Assigned => format!("assigned since {}", since(&attempt.leased_at)),
        AttemptState::Running => format!("running since {}", since(&attempt.running_since)),
        AttemptState::Completed | AttemptState::Failed | AttemptState::Inconclusive => {
            attempt.outcome.clone().unwrap_or_default()
        }
    };
    let log = match attempt.log_bytes {
        0 => "",
        _ => " (has a log)",
    };
    vec![cpu, short(attempt.worker), format!("{words}{log}")]
}

fn log(attempt: &AttemptLog) -> Vec<String> {
    let head = format!("{}  {}  {}", attempt.attempt, short(attempt.worker), attempt.outcome);
    let lines = attempt.log.lines().map(|line| format!("  {line}"));
    let none = attempt.log.is_empty().then(|| "  (nothing was logged)".to_owned());
    std::iter::once(head).chain(lines).chain(none).collect()
}

fn state(state: UnitState) -> &'static str {
    match state {
        UnitState::Waiting => "waiting",
        UnitState::Assigned => "assigned",
        UnitState::Running => "running",
        UnitState::Accepted => "accepted",
        UnitState::Settled => "settled",
        UnitState::Failed => "failed",
        UnitState::Replaced => "replaced",
        UnitState::Dropped => "dropped",
        UnitState::Kept => "kept",
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use gleaner_protocol::{AttemptId, ItemRange, JobId, UnitId, WorkerId};
    use serde_json::json;

    use super::*;

    fn unit(number: u64) -> UnitId {
        UnitId { job: JobId(7), number }
    }

    fn view(number: u64, state: UnitState, attempts: Vec<AttemptView>) -> UnitView {
        UnitView {
            unit: Some(unit(number)),
            units: Some(1),
            stage: "search".into(),
            items: ItemRange { start: number * 4, end: number * 4 + 4 },
            state,
            attempts,
            items_failed: 0,
            failures: Vec::new(),
        }
    }

    fn ended(unit: UnitId, number: u32, state: AttemptState, words: &str) -> AttemptView {
        AttemptView {
            attempt: AttemptId { unit, number },
            worker: WorkerId([number as u8; 32]),
            state,
            outcome: Some(words.into()),
            leased_at: None,
            running_since: None,
            cpu_seconds: Some(1.26),
            log_bytes: u64::from(number) - 1,
        }
    }

    #[test]
    fn units_are_a_table_with_a_line_for_each_attempt() {
        let (leased_at, running_since) = ("2026-11-22T14:00:00Z", "2026-11-22T14:05:00Z");
        let assigned = AttemptView {
            outcome: None,
            leased_at: Some(leased_at.into()),
            cpu_seconds: None,
            ..ended(unit(1), 1, AttemptState::Assigned, "")
        };
        let running = AttemptView {
            attempt: AttemptId { unit: unit(2), number: 1 },
            state: AttemptState::Running,
            running_since: Some(running_since.into()),
            ..assigned.clone()
        };
        let tried = vec![
            ended(unit(0), 1, AttemptState::Inconclusive, "the host had no memory for the unit"),
            ended(unit(0), 2, AttemptState::Completed, "completed"),
        ];
        let units = [
            view(0, UnitState::Settled, tried),
            view(1, UnitState::Assigned, vec![assigned]),
            view(2, UnitState::Running, vec![running]),
            UnitView { units: Some(1021), ..view(3, UnitState::Waiting, vec![]) },
            UnitView { unit: None, units: None, ..view(9, UnitState::Waiting, vec![]) },
        ];
        let lines = table(&units).join("\n").replace(&local_time(leased_at), "LOCAL TIME");
        let lines = lines.replace(&local_time(running_since), "LATER");
        expect![[r#"
            unit              stage   items   state     CPU    worker            attempt
            unit-7.0          search  0..4    settled   1.3 s  worker-aeaqcaiba  the host had no memory for the unit
                                                        1.3 s  worker-aibaeaqca  completed (has a log)
            unit-7.1          search  4..8    assigned         worker-aeaqcaiba  assigned since LOCAL TIME
            unit-7.2          search  8..12   running          worker-aeaqcaiba  running since LATER
            unit-7.3 to 1023  search  12..16  waiting
            not cut yet       search  36..40  waiting"#]].assert_eq(&lines);
    }

    fn failure(item: u64, message: &str) -> FailedItemView {
        let parameters = json!({ "number": item }).as_object().cloned();
        FailedItemView { item, outcome: "disputed".into(), message: message.into(), parameters }
    }

    #[test]
    fn items_that_failed_are_named_below_the_attempts_of_their_unit() {
        let attempts = vec![ended(unit(0), 1, AttemptState::Completed, "completed")];
        let nameless = FailedItemView { parameters: None, ..failure(3, "") };
        let failed = UnitView {
            items_failed: 4,
            failures: vec![failure(1, "no star"), nameless],
            ..view(0, UnitState::Settled, attempts)
        };
        expect![[r#"
            unit      stage   items  state    CPU    worker            attempt
            unit-7.0  search  0..4   settled  1.3 s  worker-aeaqcaiba  completed
                                                                       item 1 failed: no star  {"number":1}
                                                                       item 3 failed: disputed
                                                                       2 more items failed"#]]
        .assert_eq(&table(&[failed]).join("\n"));
    }

    #[test]
    fn logs_stand_below_their_attempts() {
        let log = |number: u32, log: &str| AttemptLog {
            attempt: AttemptId { unit: unit(3), number },
            worker: WorkerId([number as u8; 32]),
            outcome: "completed".into(),
            log: log.into(),
        };
        let attempts = vec![log(1, ""), log(2, "item 12 info: one\nand more\nitem 13 warn: two\n")];
        let (items_failed, failures) = (1, vec![failure(12, "no star")]);
        let told = UnitLogs { unit: unit(3), attempts, items_failed, failures };
        let lines = logs(&told).join("\n");
        expect![[r#"
            attempt-7.3.1  worker-aeaqcaiba  completed
              (nothing was logged)
            attempt-7.3.2  worker-aibaeaqca  completed
              item 12 info: one
              and more
              item 13 warn: two
            item 12 failed: no star  {"number":12}"#]]
        .assert_eq(&lines);
    }
}
