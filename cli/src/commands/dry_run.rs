//! `--dry-run` of `submit` and `run`: everything that a submission does up to the point where it
//! would change something, and what would come of it.

use std::path::PathBuf;

use anyhow::Result;
use gleaner_client::{Client, PreparedJob};
use gleaner_coordinator::rehearsal::{RehearsalError, Sample, SampleEnd, StageRehearsal, rehearse};
use gleaner_protocol::api::RoomView;
use gleaner_protocol::limits::ITEMS_PER_UNIT_MAX;
use gleaner_protocol::{BlobRef, JobSpec, OnFailure, StageSpec, UnitSize};
use serde::Serialize;

use super::Context;
use crate::failure::{Exit, Hinted, Interrupted};
use crate::signals::unless_interrupted;
use crate::words;

/// What would become of a job.
#[derive(Debug, Serialize)]
pub struct Plan {
    /// Its name.
    pub job: String,
    /// How many agreeing results settle a unit.
    pub quorum: u32,
    /// Its stages in order.
    pub stages: Vec<StagePlan>,
    /// What the coordinator has and lacks; none for a job that runs here.
    pub sending: Option<Sending>,
    /// What it takes on the coordinator's disk, or on this one's: what is sent, the results, and
    /// the output made of them.
    pub disk_bytes: u64,
    /// What the coordinator has room for; none for a job that runs here.
    pub room: Option<RoomView>,
    /// The workers connected; none for a job that runs here.
    pub workers: Option<Present>,
    /// How long it would take.
    pub estimate: Estimate,
}

/// What would become of a stage.
#[derive(Debug, Serialize)]
pub struct StagePlan {
    /// Its name.
    pub stage: String,
    /// The earlier stage whose output it takes.
    pub after: Option<String>,
    /// Its items; unknown before that stage is done when it cuts the output.
    pub items: Option<u64>,
    /// How many items go into a unit; none when that is learned as it runs.
    pub unit_items: Option<u32>,
    /// Its units; about so many when their size is learned, and unknown without a sample.
    pub units: Option<u64>,
    /// What running some of its items here showed.
    pub sample: Option<SampleView>,
}

/// What running some items showed.
#[derive(Debug, Serialize)]
pub struct SampleView {
    /// How many gave their output.
    pub items: u64,
    /// The CPU time they took together.
    pub cpu_seconds: f64,
    /// The length of their outputs together.
    pub output_bytes: u64,
    /// An item took longer than this and was not waited for.
    pub slow_seconds: Option<u64>,
    /// Items that failed, as they would on a worker: all of these where the job goes on then, else
    /// the first.
    pub failures: Vec<String>,
}

/// What the coordinator has and lacks of the files.
#[derive(Debug, Default, Serialize)]
pub struct Sending {
    /// Files to send.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Files that it holds.
    pub files_held: u64,
    /// Their bytes.
    pub bytes_held: u64,
}

/// The workers connected.
#[derive(Debug, Default, Serialize)]
pub struct Present {
    /// How many.
    pub workers: u64,
    /// Their slots.
    pub slots: u64,
    /// Those whose slots have the memory that the stages ask for.
    pub workers_able: u64,
    /// Their slots.
    pub slots_able: u64,
    /// The memory that the stages ask for.
    pub memory_bytes: u64,
}

/// How long a job would take: what was measured here, on the slots there are.
#[derive(Debug, Default, PartialEq, Serialize)]
pub struct Estimate {
    /// The slots it rests on.
    pub slots: u64,
    /// The items measured.
    pub items_measured: u64,
    /// The CPU time of the stages measured; none when nothing was.
    pub cpu_seconds: Option<f64>,
    /// The time of the stages measured; none without slots, or when nothing was measured.
    pub seconds: Option<f64>,
    /// Stages of which nothing is known.
    pub stages_unknown: Vec<String>,
}

/// Prints what would become of a job on the coordinator of `client`.
pub async fn submission(context: &Context, client: &Client, job: &PreparedJob) -> Result<Exit> {
    let sending = sending(client, job).await?;
    let workers = present(client, &job.spec).await?;
    let stages = stages(context, job).await?;
    let estimate = estimate(&stages, &job.spec, workers.slots_able);
    let disk_bytes = sending.bytes + results_bytes(&stages);
    let plan = Plan {
        sending: Some(sending),
        room: Some(client.room().await?),
        workers: Some(workers),
        ..plan(job, stages, disk_bytes, estimate)
    };
    conclude(context, job, plan)
}

/// Prints what would become of a job that runs here, on `slots` slots.
pub async fn run(context: &Context, job: &PreparedJob, slots: u32) -> Result<Exit> {
    let stages = stages(context, job).await?;
    let estimate = estimate(&stages, &job.spec, slots.into());
    let inputs: u64 = job.files.iter().map(|file| file.blob.bytes).sum();
    let disk_bytes = inputs + results_bytes(&stages);
    conclude(context, job, plan(job, stages, disk_bytes, estimate))
}

/// The plan of a job without a coordinator.
fn plan(job: &PreparedJob, stages: Vec<StagePlan>, disk_bytes: u64, estimate: Estimate) -> Plan {
    let (name, quorum) = (job.spec.name.clone(), job.spec.quorum.get());
    let (sending, room, workers) = (None, None, None);
    Plan { job: name, quorum, stages, sending, disk_bytes, room, workers, estimate }
}

impl Plan {
    /// Why the coordinator would not take the job as it stands now, and what to do.
    fn lacks_room(&self) -> Option<(String, &'static str)> {
        let (sending, room) = (self.sending.as_ref()?.bytes, self.room?);
        let RoomView { jobs_running, storage_bytes: used, disk_bytes_free: free, .. } = room;
        if let Some(max) = room.jobs_max.filter(|max| jobs_running >= *max) {
            let line = format!("the quota of running jobs is used up: {jobs_running} of {max}");
            return Some((line, "wait for one to end (`gleaner jobs`), or cancel one"));
        }
        if let Some(max) = room.storage_bytes_max.filter(|max| used.saturating_add(sending) > *max)
        {
            let line = format!(
                "the quota for storage has no room for the {sending} bytes to send: {used} of {max} \
                 are used"
            );
            return Some((
                line,
                "submit what is smaller, or ask the coordinator's operator for more",
            ));
        }
        (sending > free).then(|| {
            let line = format!(
                "the coordinator's disk has no room for the {sending} bytes to send: {free} are free"
            );
            (line, "ask the coordinator's operator to make room")
        })
    }
}

/// A job that fails here would fail there, and one that goes on without items would there: that is
/// told as its end would be.
fn conclude(context: &Context, job: &PreparedJob, plan: Plan) -> Result<Exit> {
    context.printer.result(&plan, || words::plan::lines(&plan))?;
    if let Some((line, hint)) = plan.lacks_room() {
        context.printer.failure(&line, Some(hint));
        return Ok(Exit::Failed);
    }
    let mut exit = Exit::Done;
    for (spec, stage) in job.spec.stages.iter().zip(&plan.stages) {
        for failure in stage.sample.iter().flat_map(|sample| &sample.failures) {
            let line = format!("stage `{}`: {failure}", stage.stage);
            if spec.task.on_failure == OnFailure::Stop {
                context.printer.failure(&line, Some("the job would fail as this item did here"));
                return Ok(Exit::JobFailed);
            }
            context.printer.note(&format!("{line}; the job would go on without this item"));
            exit = Exit::ItemsFailed;
        }
    }
    Ok(exit)
}

async fn sending(client: &Client, job: &PreparedJob) -> Result<Sending> {
    let mut sending = Sending::default();
    for file in &job.files {
        let (files, bytes) = match client.holds_blob(file.blob.hash).await? {
            true => (&mut sending.files_held, &mut sending.bytes_held),
            false => (&mut sending.files, &mut sending.bytes),
        };
        *files += 1;
        *bytes += file.blob.bytes;
    }
    Ok(sending)
}

async fn present(client: &Client, spec: &JobSpec) -> Result<Present> {
    let memory = spec.stages.iter().map(|stage| stage.task.limits.memory_bytes);
    let mut present =
        Present { memory_bytes: memory.max().unwrap_or_default(), ..Present::default() };
    for worker in client.workers().await? {
        let slots = u64::from(worker.slots);
        present.workers += 1;
        present.slots += slots;
        if worker.slot_memory_bytes >= present.memory_bytes {
            present.workers_able += 1;
            present.slots_able += slots;
        }
    }
    Ok(present)
}

async fn stages(context: &Context, job: &PreparedJob) -> Result<Vec<StagePlan>> {
    context.printer.note("running a few items here to see how long they take");
    let files: Vec<(BlobRef, PathBuf)> =
        job.files.iter().map(|file| (file.blob, file.path.clone())).collect();
    let rehearsing = async {
        let rehearsed = rehearse(&context.program, &job.spec, &files).await;
        rehearsed.map_err(refusal)
    };
    let told = || {
        let line = "the dry run was interrupted".into();
        Interrupted::new(line, "nothing was submitted; run it again".into())
    };
    let rehearsed = unless_interrupted(rehearsing, told).await?;
    let stages = job.spec.stages.iter().zip(rehearsed);
    Ok(stages.map(|(stage, rehearsed)| stage_plan(&job.spec, stage, rehearsed)).collect())
}

/// Why a job cannot be tried, with what to do.
pub(super) fn refusal(error: RehearsalError) -> anyhow::Error {
    match error {
        RehearsalError::Submission(error) => {
            let told = error.to_api();
            Hinted::new(told.error, told.hint.unwrap_or_default()).into()
        }
        other => other.into(),
    }
}

fn stage_plan(job: &JobSpec, spec: &StageSpec, rehearsed: StageRehearsal) -> StagePlan {
    let after = spec.splitter.earlier_stage();
    let after = after.map(|earlier| job.stages[earlier.0 as usize].name.clone());
    let sample = rehearsed.sample.map(SampleView::from);
    let items = rehearsed.items.or_else(|| spec.item_count());
    let (unit_items, per_unit) = match spec.unit_size {
        UnitSize::Fixed(items) => (Some(items.get()), Some(u64::from(items.get()))),
        UnitSize::Auto => (None, sample.as_ref().and_then(automatic_unit_items)),
    };
    let units = match items {
        Some(1) => Some(1),
        items => items.zip(per_unit).map(|(items, per_unit)| items.div_ceil(per_unit)),
    };
    StagePlan { stage: spec.name.clone(), after, items, unit_items, units, sample }
}

/// How many items an automatic unit comes to have.
fn automatic_unit_items(sample: &SampleView) -> Option<u64> {
    let recommended = gleaner_coordinator::Config::new(PathBuf::new(), PathBuf::new());
    let items = recommended.core.unit_duration_target.as_secs_f64() / sample.cpu_seconds_each()?;
    // Casting saturates, which is what is wanted of an item without a cost.
    Some((items as u64).clamp(1, ITEMS_PER_UNIT_MAX))
}

impl SampleView {
    /// What an item takes, if any was seen to its end.
    pub fn cpu_seconds_each(&self) -> Option<f64> {
        (self.items > 0).then(|| self.cpu_seconds / self.items as f64)
    }
}

impl From<Sample> for SampleView {
    fn from(sample: Sample) -> Self {
        let mut failures = sample.failures;
        let slow_seconds = match sample.ended_by {
            None => None,
            Some(SampleEnd::Slow(limit)) => Some(limit.as_secs()),
            Some(SampleEnd::Failed(words)) => {
                failures.push(words);
                None
            }
        };
        let (items, output_bytes) = (sample.items, sample.output_bytes);
        let cpu_seconds = sample.cpu.as_secs_f64();
        Self { items, cpu_seconds, output_bytes, slow_seconds, failures }
    }
}

/// What the results of the stages measured take: kept as they come, and once more as the output
/// that they are put together to.
fn results_bytes(stages: &[StagePlan]) -> u64 {
    let bytes = |stage: &StagePlan| {
        let sample = stage.sample.as_ref().filter(|sample| sample.items > 0)?;
        let results =
            u128::from(sample.output_bytes) * u128::from(stage.items?) / u128::from(sample.items);
        u64::try_from(results * 2).ok()
    };
    stages.iter().filter_map(bytes).fold(0, u64::saturating_add)
}

/// The time of the stages measured: all slots busy with all of it, but no faster than the slots
/// that a single stage can use.
fn estimate(stages: &[StagePlan], spec: &JobSpec, slots: u64) -> Estimate {
    let quorum = f64::from(spec.quorum.get());
    let mut estimate = Estimate { slots, ..Estimate::default() };
    let (mut cpu, mut longest) = (0.0, 0.0_f64);
    for stage in stages {
        let each = stage.sample.as_ref().and_then(SampleView::cpu_seconds_each);
        let Some((each, items)) = each.zip(stage.items) else {
            estimate.stages_unknown.push(stage.stage.clone());
            continue;
        };
        let stage_cpu = each * items as f64 * quorum;
        estimate.items_measured += stage.sample.as_ref().map_or(0, |sample| sample.items);
        cpu += stage_cpu;
        longest = longest.max(each * items.div_ceil(slots.max(1)) as f64);
    }
    if estimate.items_measured > 0 {
        estimate.cpu_seconds = Some(cpu);
        estimate.seconds = (slots > 0).then(|| (cpu / slots as f64).max(longest));
    }
    estimate
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stage_of(items: u64, sample: Option<SampleView>) -> StagePlan {
        StagePlan {
            stage: "s".into(),
            after: None,
            items: Some(items),
            unit_items: None,
            units: None,
            sample,
        }
    }

    fn spec() -> JobSpec {
        let text = r#"{"name": "j", "seed": 0, "quorum": 2, "max_attempts": 5, "stages": []}"#;
        serde_json::from_str(text).expect("a job without stages")
    }

    fn sample(items: u64, cpu_seconds: f64) -> SampleView {
        SampleView {
            items,
            cpu_seconds,
            output_bytes: 100,
            slow_seconds: None,
            failures: Vec::new(),
        }
    }

    #[test]
    fn an_estimate_rests_on_what_was_measured_and_on_the_slots_there_are() {
        let stages = [stage_of(100, Some(sample(10, 5.0))), stage_of(1, None)];
        let expected = Estimate {
            slots: 4,
            items_measured: 10,
            cpu_seconds: Some(100.0),
            seconds: Some(25.0),
            stages_unknown: vec!["s".into()],
        };
        assert_eq!(estimate(&stages, &spec(), 4), expected);
        let waiting = estimate(&stages, &spec(), 0);
        assert_eq!((waiting.cpu_seconds, waiting.seconds), (Some(100.0), None));
        let blind = estimate(&stages[1..], &spec(), 4);
        assert_eq!((blind.cpu_seconds, blind.seconds), (None, None));
    }

    #[test]
    fn a_job_that_would_be_refused_for_lack_of_room_is_told_so() {
        let room = RoomView {
            jobs_running: 1,
            jobs_max: Some(2),
            storage_bytes: 60,
            storage_bytes_max: Some(100),
            disk_bytes_free: 50,
        };
        let told = |bytes, room| {
            let job = PreparedJob { spec: spec(), files: Vec::new() };
            let sending = Some(Sending { bytes, ..Sending::default() });
            let plan = plan(&job, Vec::new(), 0, Estimate::default());
            Plan { sending, room: Some(room), ..plan }.lacks_room().map(|(line, _)| line)
        };
        assert_eq!(told(40, room), None);
        assert!(told(41, room).is_some_and(|line| line.contains("60 of 100")));
        let without = RoomView { storage_bytes_max: None, jobs_max: None, ..room };
        assert_eq!(told(50, without), None);
        assert!(told(51, without).is_some_and(|line| line.contains("50 are free")));
        let busy = RoomView { jobs_running: 2, ..room };
        assert!(told(0, busy).is_some_and(|line| line.contains("2 of 2")));
    }

    #[test]
    fn more_slots_than_items_do_not_help() {
        let stages = [stage_of(2, Some(sample(2, 20.0)))];
        assert_eq!(estimate(&stages, &spec(), 1000).seconds, Some(10.0));
    }

    #[test]
    fn results_are_extrapolated_and_counted_twice() {
        assert_eq!(results_bytes(&[stage_of(100, Some(sample(10, 5.0))), stage_of(1, None)]), 2000);
    }
}
