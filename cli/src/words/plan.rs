//! What would become of a job, in words.

use std::time::Duration;

use gleaner_protocol::api::RoomView;

use super::{bytes, items_after, span, table};
use crate::commands::dry_run::{Estimate, Plan, Present, SampleView, Sending, StagePlan};

/// The plan of a job that could be submitted.
pub fn lines(plan: &Plan) -> Vec<String> {
    let mut lines = vec![format!("{}: the job is sound; nothing was submitted", plan.job)];
    lines.push(String::new());
    let head = ["stage", "items", "units", "measured here"].map(String::from).to_vec();
    lines.extend(table(&[vec![head], plan.stages.iter().map(row).collect()].concat()));
    lines.push(String::new());
    let mut facts = Vec::new();
    if let Some(sending) = &plan.sending {
        facts.push(vec!["to send".into(), to_send(sending)]);
    }
    let place = if plan.sending.is_some() { "at the coordinator" } else { "here, for its time" };
    let disk = format!("about {} {place}", bytes(plan.disk_bytes));
    facts.push(vec![
        "disk".into(),
        format!("{disk}{}", plan.room.map(|room| free(plan, room)).unwrap_or_default()),
    ]);
    facts.extend(plan.room.and_then(quota));
    if let Some(workers) = &plan.workers {
        facts.push(vec!["workers".into(), present(workers, plan.quorum)]);
    }
    facts.push(vec!["time".into(), time(&plan.estimate)]);
    facts.extend(basis(&plan.estimate).map(|basis| vec![String::new(), basis]));
    lines.extend(table(&facts));
    lines
}

fn row(stage: &StagePlan) -> Vec<String> {
    let items = match (&stage.items, &stage.after) {
        (Some(items), _) => items.to_string(),
        (None, Some(earlier)) => items_after(earlier),
        (None, None) => "unknown".into(),
    };
    let units = match (stage.unit_items, stage.units) {
        (Some(_), Some(units)) | (None, Some(units @ 1)) => units.to_string(),
        (_, Some(units)) => format!("about {units}"),
        (_, None) => "as measured".into(),
    };
    let measured = match &stage.sample {
        None => "not measured: it takes an earlier stage's output".into(),
        Some(sample) => measured(sample),
    };
    vec![stage.stage.clone(), items, units, measured]
}

fn measured(sample: &SampleView) -> String {
    let mut parts = Vec::new();
    if let Some(each) = sample.cpu_seconds_each() {
        let output = bytes(sample.output_bytes / sample.items);
        let cpu = cost(each);
        let items = count(sample.items, "item");
        parts.push(format!("{items}: {cpu} of CPU and {output} of output each"));
    }
    if let Some(seconds) = sample.slow_seconds {
        parts.push(format!("an item takes more than {seconds} s"));
    }
    parts.extend(match sample.failures.as_slice() {
        [] => None,
        [failure] => Some(failure.clone()),
        failures => Some(format!("{} failed", count(failures.len() as u64, "item"))),
    });
    parts.join("; ")
}

/// A duration for people, of which an item may take very little.
fn cost(seconds: f64) -> String {
    match seconds {
        0.0..0.001 => format!("{:.0} µs", seconds * 1e6),
        0.001..1.0 => format!("{:.0} ms", seconds * 1e3),
        _ => span(Duration::from_secs_f64(seconds)),
    }
}

fn to_send(sending: &Sending) -> String {
    let held = match sending.files_held {
        0 => "the coordinator has none of it".into(),
        files => format!(
            "the coordinator has {} of {} already",
            count(files, "file"),
            bytes(sending.bytes_held)
        ),
    };
    match sending.files {
        0 => format!("nothing; {held}"),
        files => format!("{} of {}; {held}", count(files, "file"), bytes(sending.bytes)),
    }
}

/// What there is of the coordinator's disk, and what a job that needs more comes to.
fn free(plan: &Plan, room: RoomView) -> String {
    let free = format!(", where {} are free", bytes(room.disk_bytes_free));
    match plan.disk_bytes > room.disk_bytes_free {
        true => format!("{free}: the job would wait for room"),
        false => free,
    }
}

fn quota(room: RoomView) -> Option<Vec<String>> {
    let (used, max) = (room.storage_bytes, room.storage_bytes_max?);
    Some(vec!["quota".into(), format!("{} of {} are used", bytes(used), bytes(max))])
}

fn present(present: &Present, quorum: u32) -> String {
    if present.workers == 0 {
        return "none is connected: the job would wait for one".into();
    }
    let connected = format!(
        "{} connected with {}",
        count(present.workers, "worker"),
        count(present.slots, "slot")
    );
    let memory = bytes(present.memory_bytes);
    let able = match present.workers_able {
        0 => format!("none offers the {memory} of memory that a unit asks for"),
        able if able == present.workers => "all have the memory it asks for".into(),
        able => format!(
            "{} with {} offer the {memory} of memory that a unit asks for",
            able,
            count(present.slots_able, "slot")
        ),
    };
    if present.workers_able < u64::from(quorum) {
        return format!("{connected}; {able}; quorum = {quorum} waits for {quorum} such workers");
    }
    format!("{connected}; {able}")
}

fn time(estimate: &Estimate) -> String {
    let of = |seconds: f64| span(Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX));
    match (estimate.seconds, estimate.cpu_seconds) {
        (Some(seconds), Some(cpu)) => {
            let slots = count(estimate.slots, "slot");
            format!("about {}: {} of CPU on {slots}", of(seconds), of(cpu))
        }
        (None, Some(cpu)) => format!("{} of CPU, once a slot is there", of(cpu)),
        _ => "no estimate: no item was seen to its end here".into(),
    }
}

/// What an estimate rests on, and what it leaves out.
fn basis(estimate: &Estimate) -> impl Iterator<Item = String> {
    let items = count(estimate.items_measured, "item");
    let rests = format!("estimated from {items} run here; other machines and items may differ");
    let rests = Some(rests).filter(|_| estimate.items_measured > 0);
    let unknown = &estimate.stages_unknown;
    let left_out = format!("left out, as it is not known: {}", unknown.join(", "));
    let left_out = Some(left_out).filter(|_| !unknown.is_empty() && estimate.items_measured > 0);
    rests.into_iter().chain(left_out)
}

fn count(number: u64, noun: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {noun}{plural}")
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::*;

    fn plan() -> Plan {
        let sample = SampleView {
            items: 16,
            cpu_seconds: 5.76,
            output_bytes: 22_400,
            slow_seconds: None,
            failures: Vec::new(),
        };
        let search = StagePlan {
            stage: "search".into(),
            after: None,
            items: Some(2001),
            unit_items: None,
            units: Some(1001),
            sample: Some(sample),
        };
        let report = StagePlan {
            stage: "report".into(),
            after: Some("search".into()),
            items: Some(1),
            unit_items: None,
            units: Some(1),
            sample: None,
        };
        Plan {
            job: "planets".into(),
            quorum: 1,
            stages: vec![search, report],
            sending: Some(Sending { files: 1, bytes: 300_000, files_held: 1, bytes_held: 41_000 }),
            disk_bytes: 5_902_800,
            room: Some(RoomView {
                jobs_running: 0,
                jobs_max: None,
                storage_bytes: 0,
                storage_bytes_max: None,
                disk_bytes_free: 40_000_000_000,
            }),
            workers: Some(Present {
                workers: 2,
                slots: 4,
                workers_able: 2,
                slots_able: 4,
                memory_bytes: 256 << 20,
            }),
            estimate: Estimate {
                slots: 4,
                items_measured: 16,
                cpu_seconds: Some(720.4),
                seconds: Some(180.1),
                stages_unknown: vec!["report".into()],
            },
        }
    }

    fn check(plan: &Plan, expected: Expect) {
        expected.assert_eq(&lines(plan).join("\n"));
    }

    #[test]
    fn a_plan_says_what_it_rests_on() {
        check(
            &plan(),
            expect![[r#"
                planets: the job is sound; nothing was submitted

                stage   items  units       measured here
                search  2001   about 1001  16 items: 360 ms of CPU and 1.4 kB of output each
                report  1      1           not measured: it takes an earlier stage's output

                to send  1 file of 300.0 kB; the coordinator has 1 file of 41.0 kB already
                disk     about 5.9 MB at the coordinator, where 40.0 GB are free
                workers  2 workers connected with 4 slots; all have the memory it asks for
                time     about 3 min 0 s: 12 min 0 s of CPU on 4 slots
                         estimated from 16 items run here; other machines and items may differ
                         left out, as it is not known: report"#]],
        );
    }

    #[test]
    fn what_is_missing_is_said() {
        let mut plan = plan();
        plan.quorum = 2;
        plan.sending = Some(Sending { files: 2, bytes: 341_000, ..Sending::default() });
        plan.room = plan.room.map(|room| RoomView {
            storage_bytes: 1_000_000,
            storage_bytes_max: Some(2_000_000),
            disk_bytes_free: 3_000_000,
            ..room
        });
        plan.workers = Some(Present {
            workers: 2,
            slots: 4,
            workers_able: 1,
            slots_able: 1,
            memory_bytes: 3 << 30,
        });
        let sample = plan.stages[0].sample.as_mut().expect("a sample");
        (sample.items, sample.slow_seconds) = (0, Some(30));
        plan.stages[0].units = None;
        plan.estimate = Estimate { slots: 1, ..Estimate::default() };
        check(
            &plan,
            expect![[r#"
                planets: the job is sound; nothing was submitted

                stage   items  units        measured here
                search  2001   as measured  an item takes more than 30 s
                report  1      1            not measured: it takes an earlier stage's output

                to send  2 files of 341.0 kB; the coordinator has none of it
                disk     about 5.9 MB at the coordinator, where 3.0 MB are free: the job would wait for room
                quota    1.0 MB of 2.0 MB are used
                workers  2 workers connected with 4 slots; 1 with 1 slot offer the 3.2 GB of memory that a unit asks for; quorum = 2 waits for 2 such workers
                time     no estimate: no item was seen to its end here"#]],
        );
        let sample = plan.stages[0].sample.as_mut().expect("a sample");
        sample.failures = vec!["item 3: it is odd".into()];
        assert!(lines(&plan).iter().any(|line| line.ends_with("30 s; item 3: it is odd")));
        let sample = plan.stages[0].sample.as_mut().expect("a sample");
        sample.failures.push("item 5: it is odd".into());
        assert!(lines(&plan).iter().any(|line| line.ends_with("30 s; 2 items failed")));
        plan.stages[1].items = None;
        plan.stages[1].units = None;
        let row =
            "report  known when search is done  as measured  not measured: it takes an earlier";
        assert!(lines(&plan).iter().any(|line| line.starts_with(row)), "{:#?}", lines(&plan));
        plan.workers = Some(Present::default());
        assert!(lines(&plan).iter().any(|line| line.contains("none is connected")));
    }
}
