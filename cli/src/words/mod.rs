//! Jobs, stages and files in words, a file for each further subject. Pure: data in, lines out.

pub mod module;
pub mod plan;
pub mod submitters;
pub mod units;
pub mod workers;

use std::time::Duration;

use gleaner_protocol::api::{FailureCause, JobState, JobView, PartialStage, StageState, StageView};
use gleaner_protocol::{JobId, WorkerId};
use jiff::tz::TimeZone;
use jiff::{Timestamp, Unit};

/// The most that is shown of a job that is not done.
const NOT_DONE: f64 = 0.99;

/// The jobs as a table, those that run as long as they have by `now`.
pub fn jobs(jobs: &[JobView], now: Timestamp) -> Vec<String> {
    if jobs.is_empty() {
        return vec!["no jobs yet".into()];
    }
    let head = ["job", "name", "submitter", "state", "submitted", "took", "items", ""];
    let row = |job: &JobView| {
        let (job_id, state) = (job.job.to_string(), job_state(job.state).to_owned());
        let submitter = job.submitter.as_deref().unwrap_or("operator").to_owned();
        let submitted = local_time(&job.submitted_at);
        let (took, items, percent) = (took(job, now), job_items(job), percent(fraction(job)));
        vec![job_id, name_of(job), submitter, state, submitted, took, items, percent]
    };
    let mut rows = vec![head.map(String::from).to_vec()];
    rows.extend(jobs.iter().map(row));
    // Who sees but one submitter's jobs knows whose they are.
    if jobs.iter().all(|job| job.submitter == jobs[0].submitter) {
        rows.iter_mut().for_each(|row| drop(row.remove(2)));
    }
    table(&rows)
}

/// A job's name, and whose retry it is.
fn name_of(job: &JobView) -> String {
    match job.retry_of {
        None => job.name.clone(),
        Some(retried) => format!("{} (retries {retried})", job.name),
    }
}

/// A job with its stages.
pub fn job(job: &JobView, now: Timestamp) -> Vec<String> {
    let by = job.submitter.as_ref().map(|name| format!(" by {name}")).unwrap_or_default();
    let mut times = format!("submitted{by} {}", local_time(&job.submitted_at));
    if let Some(ended_at) = &job.ended_at {
        times = format!("{times}, ended {}", local_time(ended_at));
    }
    let time = match job.state {
        JobState::Running | JobState::Paused => format!("{times}, {} ago", took(job, now)),
        _ => format!("{times}, after {}", took(job, now)),
    };
    let (state, done) = (job_state(job.state), percent(fraction(job)));
    let mut lines = vec![format!("{}  {}  {state}  {done}", job.job, job.name), time];
    if let Some(retried) = job.retry_of {
        lines.push(format!("retries {retried}"));
    }
    if job.priority != 0 {
        lines.push(format!("priority {}", job.priority));
    }
    if let Some(failure) = &job.failure {
        lines.push(format!("it failed: {failure}"));
    }
    if job.lacks_answers() {
        lines.push(how_to_retry(job));
    }
    if let Some(until) = &job.kept_until {
        lines.push(format!("kept until {}", local_time(until)));
    }
    if let Some(failure) = &job.notify_failure {
        lines.push(format!("nobody was told: {failure}"));
    }
    let head = ["stage", "state", "items", "units", "running", "assigned", "retried", "CPU"];
    let head = head.map(String::from).to_vec();
    let row = |stage: &StageView| {
        vec![
            stage.name.clone(),
            stage_state(stage.state).to_owned(),
            items(stage),
            stage.units_settled.to_string(),
            stage.attempts_running.to_string(),
            stage.attempts_assigned.to_string(),
            stage.attempts_inconclusive.to_string(),
            format!("{:.1} s", stage.cpu_seconds),
        ]
    };
    for stage in job.stages.iter().filter(|stage| stage.items_kept > 0) {
        let (kept, name) = (stage.items_kept, &stage.name);
        lines.push(format!("{kept} items of {name} were answered by an earlier job"));
    }
    for stage in job.stages.iter().filter(|stage| stage.cpu_seconds_unanswered > 0.0) {
        let (lost, name) = (stage.cpu_seconds_unanswered, &stage.name);
        lines.push(format!("{lost:.1} s of the CPU time of {name} gave no answer"));
    }
    lines.push(String::new());
    lines.extend(table(&[vec![head], job.stages.iter().map(row).collect()].concat()));
    lines
}

/// How a job ended, or that it has not, in one line.
pub fn ending(job: &JobView) -> String {
    let settled = total(job.stages.iter().map(|stage| stage.items_settled));
    let kept = total(job.stages.iter().map(|stage| stage.items_kept));
    let kept = if kept == 0 { String::new() } else { format!(" ({kept} known before)") };
    let cpu: f64 = job.stages.iter().map(|stage| stage.cpu_seconds).sum();
    match job.state {
        JobState::Done => {
            let took = job.ended_at.as_deref().and_then(|end| elapsed(&job.submitted_at, end));
            let took = took.map(|took| format!(" in {}", span(took))).unwrap_or_default();
            let failed = failed(job.items_failed());
            format!("{} is done: {settled} items{failed}{kept}{took}, {cpu:.1} s of CPU", job.job)
        }
        JobState::Failed => {
            let reason = job.failure.as_deref().unwrap_or("the coordinator does not say why");
            format!("{} failed: {reason}", job.job)
        }
        JobState::Cancelled => format!("{} was cancelled", job.job),
        JobState::Running => format!("{} is running: {}", job.job, job_items(job)),
        JobState::Paused => format!("{} is paused: {}", job.job, job_items(job)),
    }
}

/// How to go on with a job that lacks answers, or which job goes on with it. What follows from its
/// inputs is the same in a retry.
pub fn how_to_retry(job: &JobView) -> String {
    if job.failure_cause == Some(FailureCause::Stage) {
        return "a retry would fail alike: mend that and submit the job anew, which takes over what \
                the change does not touch"
            .into();
    }
    match job.retried_by {
        None => format!("`gleaner retry {}` computes what is missing", job.job),
        Some(retry) => format!("{retry} retries it"),
    }
}

/// What a job that retries `retried` has from the beginning, or that it has ended.
pub fn retry(job: &JobView, retried: JobId) -> String {
    if job.state.is_final() {
        return format!("{}, which retries {retried}, has ended", job.job);
    }
    let kept = total(job.stages.iter().map(|stage| stage.items_kept));
    let items = total(job.stages.iter().filter_map(|stage| stage.items));
    format!(
        "{} retries {retried}, which stays as it was: {kept} of {items} items are known, the \
         others are computed",
        job.job
    )
}

/// How to go on with a job that retries another: it runs, or a repeat found that it has ended.
pub fn after_retry(job: &JobView) -> Vec<String> {
    if !job.state.is_final() {
        return vec![format!("follow it with `gleaner watch {}`", job.job)];
    }
    let mut lines = vec![ending(job)];
    if job.failure_cause == Some(FailureCause::Stage) {
        lines.push(how_to_retry(job));
    } else if job.lacks_answers() {
        lines.push(format!("`gleaner retry {}` goes on from there", job.job));
    }
    lines
}

/// How much there is of a stage that is not done.
pub fn partial_stage(stage: &PartialStage) -> String {
    let PartialStage { stage, items, items_settled, fault } = stage;
    match (items, fault) {
        (_, Some(fault)) => format!("{stage}: no preview: {fault}"),
        (None, None) => format!("{stage}: has not begun"),
        (Some(items), None) => {
            format!("{stage}: {} of {} items", grouped(*items_settled), grouped(*items))
        }
    }
}

/// A number with its digits in groups of three.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut grouped = String::with_capacity(digits.len() * 4 / 3);
    for (position, digit) in digits.chars().enumerate() {
        if position > 0 && (digits.len() - position).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// Where a stage stands in a few words.
pub fn stage(stage: &StageView) -> String {
    match stage.state {
        StageState::Blocked => "waits for an earlier stage".into(),
        StageState::Open => format!("{} items, {}", items(stage), attempts(stage)),
        StageState::Reducing => format!("{} items settled, output is put together", items(stage)),
        StageState::Done => {
            format!("done, {} items{}", stage.items_settled, failed(stage.items_failed))
        }
    }
}

/// What of a stage is with workers now, and how often that led to nothing.
pub fn attempts(stage: &StageView) -> String {
    let running = match stage.attempts_running {
        0 => "none running".to_owned(),
        running => format!("{running} running"),
    };
    let assigned = (stage.attempts_assigned, "assigned");
    let retried = (stage.attempts_inconclusive, "retried");
    let more = [assigned, retried].into_iter().filter(|(count, _)| *count > 0);
    let more = more.map(|(count, word)| format!("{count} {word}"));
    std::iter::once(running).chain(more).collect::<Vec<_>>().join(", ")
}

/// How many items of a stage were computed: those that an earlier job answered cost no time.
pub fn items_computed(stage: &StageView) -> u64 {
    stage.items_settled.saturating_sub(stage.items_kept)
}

/// A stage's progress in a line; `settled` of its items were seen to be settled in `time`.
pub fn progress(view: &StageView, settled: u64, time: Duration) -> String {
    let mut line = format!("{}: {}", view.name, stage(view));
    let rate = settled as f64 / time.as_secs_f64();
    if view.state == StageState::Open && settled > 0 && rate.is_finite() {
        line = format!("{line}, {rate:.1}/s");
        if let Some(items) = view.items {
            let left = items.saturating_sub(view.items_settled) as f64 / rate;
            let left = Duration::try_from_secs_f64(left).unwrap_or(Duration::MAX);
            line = format!("{line}, {} left", span(left));
        }
    }
    line
}

/// A duration for people: two units at most.
pub fn span(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match seconds {
        0..60 => format!("{:.1} s", duration.as_secs_f64()),
        60..3600 => format!("{} min {} s", seconds / 60, seconds % 60),
        3600..86_400 => format!("{} h {} min", seconds / 3600, seconds % 3600 / 60),
        _ => format!("{} d {} h", seconds / 86_400, seconds % 86_400 / 3600),
    }
}

/// An amount of bytes for people.
pub fn bytes(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["kB", "MB", "GB", "TB", "PB"];
    if bytes < 1000 {
        return format!("{bytes} B");
    }
    let (mut amount, mut unit) = (bytes as f64 / 1000.0, 0);
    // What would be printed as 1000.0 belongs to the next unit.
    while amount >= 999.95 && unit + 1 < UNITS.len() {
        amount /= 1000.0;
        unit += 1;
    }
    format!("{amount:.1} {}", UNITS[unit])
}

/// A time of the API's (RFC 3339, UTC) in local time, or as it came when it is none.
pub fn local_time(text: &str) -> String {
    local_time_in(text, TimeZone::system())
}

/// The same in UTC, which says so: for readers elsewhere.
pub fn utc(text: &str) -> String {
    match text.parse::<Timestamp>() {
        Ok(time) => time.strftime("%Y-%m-%d %H:%M:%S UTC").to_string(),
        Err(_) => text.to_owned(),
    }
}

/// Rows as lines, each column as wide as its widest cell.
pub fn table(rows: &[Vec<String>]) -> Vec<String> {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max()
    };
    let widths: Vec<_> = (0..columns).map(|column| width(column).unwrap_or(0)).collect();
    let line = |row: &Vec<String>| {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}"));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    rows.iter().map(line).collect()
}

fn local_time_in(text: &str, zone: TimeZone) -> String {
    let Ok(time) = text.parse::<Timestamp>() else { return text.to_owned() };
    time.to_zoned(zone).strftime("%Y-%m-%d %H:%M:%S").to_string()
}

/// How long a job took, or has taken by `now`.
fn took(job: &JobView, now: Timestamp) -> String {
    let now = now.to_string();
    let end = job.ended_at.as_deref().unwrap_or(&now);
    elapsed(&job.submitted_at, end).map(span).unwrap_or_default()
}

fn elapsed(start: &str, end: &str) -> Option<Duration> {
    let (start, end) = (start.parse::<Timestamp>().ok()?, end.parse::<Timestamp>().ok()?);
    let seconds = end.since(start).ok()?.total(Unit::Second).ok()?;
    Duration::try_from_secs_f64(seconds).ok()
}

/// How many items a stage has that cuts what the stage `earlier` gives.
pub fn items_after(earlier: &str) -> String {
    format!("known when {earlier} is done")
}

/// How much of a job is settled, from 0 to 1, which it is when it is done: an output that is still
/// to be put together is not. A stage whose items are not known yet counts as one
/// item: most take the whole output of an earlier one.
pub fn fraction(job: &JobView) -> f64 {
    if job.state == JobState::Done {
        return 1.0;
    }
    let items = total(job.stages.iter().map(|stage| stage.items.unwrap_or(1)));
    let settled = total(job.stages.iter().map(|stage| stage.items_settled));
    (settled as f64 / items.max(1) as f64).min(NOT_DONE)
}

/// Counts together; more than there are numbers for stay the largest there is, as a grid may have
/// nearly as many items.
pub fn total(counts: impl Iterator<Item = u64>) -> u64 {
    counts.fold(0, u64::saturating_add)
}

/// Enough of a worker's key to tell it from others: nine letters, 45 bits.
pub fn short(worker: WorkerId) -> String {
    worker.to_string().chars().take("worker-".len() + 9).collect()
}

/// A fraction in whole percent, rounded down: what is not done is not 100 %.
pub fn percent(fraction: f64) -> String {
    format!("{:.0} %", (fraction.clamp(0.0, 1.0) * 100.0).floor())
}

/// The items of a job that are settled, of all that are known.
pub fn job_items(job: &JobView) -> String {
    let settled = total(job.stages.iter().map(|stage| stage.items_settled));
    let known =
        job.stages.iter().try_fold(0, |sum: u64, stage| Some(sum.saturating_add(stage.items?)));
    let failed = failed(job.items_failed());
    match known {
        Some(items) => format!("{settled} of {items}{failed}"),
        None => format!("{settled} of ?{failed}"),
    }
}

fn items(stage: &StageView) -> String {
    let failed = failed(stage.items_failed);
    match stage.items {
        Some(items) => format!("{} of {items}{failed}", stage.items_settled),
        None => format!("{} of ?{failed}", stage.items_settled),
    }
}

/// What is added to a count of items when some of them failed.
fn failed(items: u64) -> String {
    match items {
        0 => String::new(),
        items => format!(" ({items} failed)"),
    }
}

/// A state in a word.
pub fn job_state(state: JobState) -> &'static str {
    match state {
        JobState::Running => "running",
        JobState::Paused => "paused",
        JobState::Done => "done",
        JobState::Failed => "failed",
        JobState::Cancelled => "cancelled",
    }
}

fn stage_state(state: StageState) -> &'static str {
    match state {
        StageState::Blocked => "blocked",
        StageState::Open => "open",
        StageState::Reducing => "reducing",
        StageState::Done => "done",
    }
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::*;

    fn view(state: JobState) -> JobView {
        let search = StageView {
            name: "search".into(),
            state: StageState::Open,
            items: Some(2001),
            items_settled: 1200,
            items_kept: 0,
            items_failed: 0,
            units_settled: 150,
            attempts_running: 2,
            attempts_assigned: 5,
            attempts_inconclusive: 1,
            cpu_seconds: 12.34,
            cpu_seconds_unanswered: 1.5,
        };
        let report = StageView {
            name: "report".into(),
            state: StageState::Blocked,
            items: None,
            items_settled: 0,
            items_kept: 0,
            items_failed: 0,
            units_settled: 0,
            attempts_running: 0,
            attempts_assigned: 0,
            attempts_inconclusive: 0,
            cpu_seconds: 0.0,
            cpu_seconds_unanswered: 0.0,
        };
        JobView {
            job: JobId(7),
            name: "planets".into(),
            retry_of: None,
            retried_by: None,
            submitter: None,
            state,
            priority: 0,
            version: 3,
            submitted_at: "2026-11-22T14:00:00Z".into(),
            ended_at: state.is_final().then(|| "2026-11-22T14:01:05Z".into()),
            failure: (state == JobState::Failed).then(|| "item 3 trapped".into()),
            failure_cause: (state == JobState::Failed).then_some(FailureCause::Task),
            kept_until: None,
            notify_failure: None,
            stages: vec![search, report],
        }
    }

    fn now() -> Timestamp {
        "2026-11-22T14:02:00Z".parse().expect("a time")
    }

    fn check(lines: &[String], expected: Expect) {
        let local = local_time("2026-11-22T14:00:00Z");
        expected.assert_eq(&lines.join("\n").replace(&local, "LOCAL TIME"));
    }

    #[test]
    fn what_is_put_together_is_not_done_and_counts_have_an_end() {
        let mut job = view(JobState::Running);
        for stage in &mut job.stages {
            (stage.state, stage.items, stage.items_settled) =
                (StageState::Reducing, Some(u64::MAX - 1), u64::MAX - 1);
        }
        assert_eq!(percent(fraction(&job)), "99 %");
        assert_eq!(job_items(&job), format!("{0} of {0}", u64::MAX));
        job.state = JobState::Done;
        assert_eq!(percent(fraction(&job)), "100 %");
    }

    #[test]
    fn jobs_are_a_table() {
        check(&jobs(&[], now()), expect!["no jobs yet"]);
        check(
            &jobs(&[view(JobState::Running)], now()),
            expect![[r#"
                job    name     state    submitted            took       items
                job-7  planets  running  LOCAL TIME  2 min 0 s  1200 of ?  59 %"#]],
        );
    }

    #[test]
    fn the_jobs_of_several_submitters_say_whose_they_are() {
        let adas = JobView { submitter: Some("ada".into()), ..view(JobState::Running) };
        check(
            &jobs(&[adas.clone(), view(JobState::Done)], now()),
            expect![[r#"
            job    name     submitter  state    submitted            took       items
            job-7  planets  ada        running  LOCAL TIME  2 min 0 s  1200 of ?  59 %
            job-7  planets  operator   done     LOCAL TIME  1 min 5 s  1200 of ?  100 %"#]],
        );
        check(
            &jobs(std::slice::from_ref(&adas), now()),
            expect![[r#"
            job    name     state    submitted            took       items
            job-7  planets  running  LOCAL TIME  2 min 0 s  1200 of ?  59 %"#]],
        );
        check(
            &job(&adas, now())[..2],
            expect![[r#"
            job-7  planets  running  59 %
            submitted by ada LOCAL TIME, 2 min 0 s ago"#]],
        );
    }

    #[test]
    fn a_job_tells_of_its_stages() {
        check(
            &job(&view(JobState::Running), now()),
            expect![[r#"
                job-7  planets  running  59 %
                submitted LOCAL TIME, 2 min 0 s ago
                1.5 s of the CPU time of search gave no answer

                stage   state    items         units  running  assigned  retried  CPU
                search  open     1200 of 2001  150    2        5         1        12.3 s
                report  blocked  0 of ?        0      0        0         0        0.0 s"#]],
        );
    }

    #[test]
    fn an_ending_is_one_line() {
        check(
            &[ending(&view(JobState::Done))],
            expect!["job-7 is done: 1200 items in 1 min 5 s, 12.3 s of CPU"],
        );
        check(&[ending(&view(JobState::Failed))], expect!["job-7 failed: item 3 trapped"]);
        check(&[ending(&view(JobState::Cancelled))], expect!["job-7 was cancelled"]);
        check(&[ending(&view(JobState::Running))], expect!["job-7 is running: 1200 of ?"]);
    }

    #[test]
    fn a_retry_says_of_what() {
        let mut job = JobView { retry_of: Some(JobId(3)), ..view(JobState::Running) };
        job.stages[0].items_kept = 1200;
        let told = |job: &JobView| [vec![retry(job, JobId(3))], after_retry(job)].concat();
        check(
            &told(&job),
            expect![[r#"
                job-7 retries job-3, which stays as it was: 1200 of 2001 items are known, the others are computed
                follow it with `gleaner watch job-7`"#]],
        );
        job.state = JobState::Cancelled;
        check(
            &told(&job),
            expect![[r#"
                job-7, which retries job-3, has ended
                job-7 was cancelled
                `gleaner retry job-7` goes on from there"#]],
        );
        check(
            &told(&view(JobState::Done)),
            expect![[r#"
                job-7, which retries job-3, has ended
                job-7 is done: 1200 items in 1 min 5 s, 12.3 s of CPU"#]],
        );
        check(
            &super::job(&job, now())[2..5],
            expect![[r#"
                retries job-3
                `gleaner retry job-7` computes what is missing
                1200 items of search were answered by an earlier job"#]],
        );
        job.retried_by = Some(JobId(9));
        check(
            &super::job(&job, now())[2..4],
            expect![[r#"
                retries job-3
                job-9 retries it"#]],
        );
        assert!(jobs(&[job], now())[1].contains("planets (retries job-3)"));
    }

    #[test]
    fn no_retry_is_recommended_where_it_would_fail_alike() {
        let mut job = view(JobState::Failed);
        let is_recommended = |job: &JobView| {
            let told = [super::job(job, now()), after_retry(job)].concat().join("\n");
            told.matches("`gleaner retry job-7`").count()
        };
        assert_eq!(is_recommended(&job), 2);
        job.failure_cause = Some(FailureCause::Stage);
        assert_eq!(is_recommended(&job), 0);
        check(
            &[how_to_retry(&job)],
            expect![
                "a retry would fail alike: mend that and submit the job anew, which takes over \
                 what the change does not touch"
            ],
        );
    }

    #[test]
    fn items_that_failed_are_told_of_everywhere() {
        let mut job = view(JobState::Done);
        job.stages[0].items_failed = 3;
        check(
            &[ending(&job)],
            expect!["job-7 is done: 1200 items (3 failed) in 1 min 5 s, 12.3 s of CPU"],
        );
        let progress = progress(&job.stages[0], 0, Duration::ZERO);
        check(
            &[progress],
            expect!["search: 1200 of 2001 (3 failed) items, 2 running, 5 assigned, 1 retried"],
        );
        assert!(super::job(&job, now()).join("").contains("1200 of 2001 (3 failed)"));
        assert!(jobs(&[job], now())[1].contains("1200 of ? (3 failed)"));
    }

    #[test]
    fn progress_has_rate_and_time_left_once_they_are_known() {
        let [search, report] = &view(JobState::Running).stages[..] else { panic!("two stages") };
        let minute = Duration::from_secs(60);
        check(
            &[progress(search, 600, minute)],
            expect![
                "search: 1200 of 2001 items, 2 running, 5 assigned, 1 retried, 10.0/s, 1 min 20 s left"
            ],
        );
        check(
            &[progress(search, 0, Duration::ZERO)],
            expect!["search: 1200 of 2001 items, 2 running, 5 assigned, 1 retried"],
        );
        check(&[progress(report, 0, minute)], expect!["report: waits for an earlier stage"]);
    }

    #[test]
    fn spans_have_two_units_at_most() {
        let spans = [0, 59, 61, 3700, 90_000].map(|seconds| span(Duration::from_secs(seconds)));
        check(
            &spans,
            expect![[r#"
            0.0 s
            59.0 s
            1 min 1 s
            1 h 1 min
            1 d 1 h"#]],
        );
    }

    #[test]
    fn bytes_are_rounded_to_a_unit() {
        let amounts = [0, 999, 1000, 999_949, 999_950, 5_902_800, u64::MAX].map(bytes);
        check(
            &amounts,
            expect![[r#"
            0 B
            999 B
            1.0 kB
            999.9 kB
            1.0 MB
            5.9 MB
            18446.7 PB"#]],
        );
    }

    #[test]
    fn times_are_local_and_what_is_no_time_stays() {
        let zone = TimeZone::fixed(jiff::tz::offset(2));
        assert_eq!(local_time_in("2026-11-22T23:00:00Z", zone.clone()), "2026-11-23 01:00:00");
        assert_eq!(local_time_in("soon", zone), "soon");
    }
}
