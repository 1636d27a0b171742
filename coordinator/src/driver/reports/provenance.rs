//! `provenance.json`: what made a job's outputs, as far as that can be told afterwards.
//!
//! Its first line says of which job it is, and nothing that changes; so two of them can be told to be
//! of one job without reading them. Deliberately absent: whatever is a secret, and other submitters'
//! jobs and workers.

use std::collections::BTreeMap;

use gleaner_coordinator_core::{CutKind, JobEnd, JobSnapshot, KeptRun, StageSnapshot, StageState};
use gleaner_protocol::{
    JobId, JobSpec, OnFailure, ProjectRecord, Splitter, StageIndex, StageSpec, SubmissionId,
    TASK_INTERFACE_VERSION, UnitId,
};
use serde::Serialize;
use serde_json::{Value, json};

use super::work::{Entry, Gathering, HiddenEntry};
use super::{Report, ReportError};
use crate::driver::views;
use crate::http::BodyWriter;
use crate::store::Store;

/// The version of the file's shape.
const FORMAT: u32 = 1;

/// Told of the job that answered, where its reader may not see it.
const HIDDEN_JOB: &str = "an earlier job";

/// What may be told of the jobs from which answers were taken over; nothing of those that are absent.
pub(crate) type Sight = BTreeMap<JobId, JobSnapshot>;

/// What made the outputs of one job.
pub(crate) struct Provenance {
    pub(crate) project: ProjectRecord,
    pub(crate) submission: SubmissionId,
    pub(crate) submitter: Option<String>,
    pub(crate) spec: JobSpec,
    pub(crate) job: JobSnapshot,
    pub(crate) sight: Sight,
}

impl Report for Provenance {
    const NAME: &str = "provenance.json";

    async fn write(self, store: &Store, body: &mut BodyWriter) -> Result<(), ReportError> {
        body.write(self.head().as_bytes()).await?;
        for (position, (spec, stage)) in self.spec.stages.iter().zip(&self.job.stages).enumerate() {
            let comma = if position == 0 { "" } else { "," };
            let line = format!("{comma}\n{}", stage_told(spec, stage, self.spec.seed));
            body.write(line.as_bytes()).await?;
        }
        body.write(b"\n],\n\"units\":[").await?;
        let mut units = Units { store, body, is_first: true };
        for (index, stage) in (0..).map(StageIndex).zip(&self.job.stages) {
            self.units_of(index, stage, &mut units).await?;
        }
        body.write(b"\n]}\n").await?;
        Ok(())
    }
}

impl Provenance {
    /// All before the stages.
    fn head(&self) -> String {
        let Self { project, submission, submitter, spec, job, .. } = self;
        let identity = json!({
            "format": FORMAT,
            "job": job.job.to_string(),
            "project": {
                "fingerprint": project.project.fingerprint(),
                "id": project.project.to_string(),
                "name": project.name,
            },
            "submission": submission.to_string(),
        });
        let (state, failure) = match job.end.as_ref().map(|(end, _)| end) {
            None => ("running", None),
            Some(JobEnd::Done) => ("done", None),
            Some(JobEnd::Failed { reason, .. }) => ("failed", Some(reason)),
            Some(JobEnd::Cancelled) => ("cancelled", None),
        };
        let on_failure = spec.stages.first().map_or(OnFailure::Stop, |stage| stage.task.on_failure);
        let facts = json!({
            "gleaner": env!("CARGO_PKG_VERSION"),
            "name": spec.name,
            "retry_of": job.retry_of.map(|job| job.to_string()),
            "submitter": submitter,
            "submitted_at": views::rfc3339(job.submitted_at),
            "ended_at": job.end.as_ref().map(|(_, at)| views::rfc3339(*at)),
            "state": state,
            "failure": failure,
            "seed": spec.seed,
            "quorum": spec.quorum,
            "max_attempts": spec.max_attempts,
            "on_failure": on_failure,
            "answers": spec.answers,
        });
        let (identity, facts) = (identity.to_string(), facts.to_string());
        format!("{},\n{},\n\"stages\":[", open(&identity), &open(&facts)[1..])
    }

    async fn units_of(
        &self,
        stage: StageIndex,
        snapshot: &StageSnapshot,
        units: &mut Units<'_>,
    ) -> Result<(), ReportError> {
        let name = snapshot.name.as_str();
        let job = self.job.job;
        for run in units.store.kept_runs(job, stage).await? {
            self.kept(name, run, units).await?;
        }
        for cut in [CutKind::First, CutKind::Alone] {
            let own = |entry: Entry, first: u64| Told {
                stage: name,
                from: None,
                unit: Some(UnitId { job, number: first }.to_string()),
                entry: Work::Seen(entry),
            };
            units.of(job, stage, cut, (0, i64::MAX as u64), own).await?;
        }
        Ok(())
    }

    /// The units of an earlier job that answered some items.
    async fn kept(
        &self,
        stage: &str,
        run: KeptRun,
        units: &mut Units<'_>,
    ) -> Result<(), ReportError> {
        let KeptRun { source, source_stage, cut, .. } = run;
        let from = self.sight.get(&source).map(|job| {
            let stage = job.stages.get(source_stage.0 as usize).map(|stage| stage.name.as_str());
            json!({"job": source.to_string(), "name": job.name, "stage": stage})
        });
        let told = |entry: Entry, first: u64| match &from {
            Some(from) => Told {
                stage,
                from: Some(from.clone()),
                unit: Some(UnitId { job: source, number: first }.to_string()),
                entry: Work::Seen(entry),
            },
            None => {
                let (from, entry) = (Some(HIDDEN_JOB.into()), Work::Hidden(entry.into()));
                Told { stage, from, unit: None, entry }
            }
        };
        units.of(source, source_stage, cut, run.place(), told).await
    }
}

/// A JSON object without its closing brace.
fn open(object: &str) -> &str {
    object.strip_suffix('}').expect("an object ends with a brace")
}

/// An entry of the list of units.
#[derive(Serialize)]
struct Told<'a> {
    stage: &'a str,
    /// The job that answered, where an earlier one did.
    #[serde(skip_serializing_if = "Option::is_none")]
    from: Option<Value>,
    /// The first unit.
    #[serde(skip_serializing_if = "Option::is_none")]
    unit: Option<String>,
    #[serde(flatten)]
    entry: Work,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Work {
    Seen(Entry),
    Hidden(HiddenEntry),
}

/// Writes the list of units.
struct Units<'a> {
    store: &'a Store,
    body: &'a mut BodyWriter,
    is_first: bool,
}

impl Units<'_> {
    async fn of<'t>(
        &mut self,
        job: JobId,
        stage: StageIndex,
        cut: CutKind,
        (mut first, end): (u64, u64),
        told: impl Fn(Entry, u64) -> Told<'t>,
    ) -> Result<(), ReportError> {
        let mut gathering = Gathering::default();
        loop {
            let page = self.store.work(job, stage, cut, first, end).await?;
            let Some(last) = page.last() else { break };
            first = match cut {
                CutKind::First => last.unit + 1,
                CutKind::Alone => last.items.end,
            };
            for work in page {
                if let Some(entry) = gathering.push(work) {
                    self.write(entry, &told).await?;
                }
            }
        }
        match gathering.finish() {
            Some(entry) => self.write(entry, &told).await,
            None => Ok(()),
        }
    }

    async fn write<'t>(
        &mut self,
        entry: Entry,
        told: &impl Fn(Entry, u64) -> Told<'t>,
    ) -> Result<(), ReportError> {
        let comma = if self.is_first { "\n" } else { ",\n" };
        self.is_first = false;
        self.body.write(comma.as_bytes()).await?;
        let first = entry.first_unit();
        let told = serde_json::to_vec(&told(entry, first)).expect("our types have text keys");
        Ok(self.body.write(&told).await?)
    }
}

fn stage_told(spec: &StageSpec, stage: &StageSnapshot, seed: u64) -> String {
    let (task, limits) = (&spec.task, &spec.task.limits);
    let files: Vec<_> = task
        .files
        .iter()
        .map(|file| json!({"name": file.name, "hash": file.blob.hash, "bytes": file.blob.bytes}))
        .collect();
    let outputs: Vec<_> = stage
        .outputs
        .iter()
        .map(|output| {
            let blob = output.blob;
            json!({"name": output.name, "hash": blob.hash, "bytes": blob.bytes})
        })
        .collect();
    let mut splitter = spec.splitter.clone();
    if let (Splitter::Split { items, .. }, Some(made)) = (&mut splitter, stage.made) {
        *items = Some(made);
    }
    let told = json!({
        "name": stage.name,
        "state": match stage.state {
            StageState::Blocked => "blocked",
            StageState::Open => "open",
            StageState::Reducing => "reducing",
            StageState::Done => "done",
        },
        "module": {"hash": task.module.hash, "bytes": task.module.bytes},
        "interface": TASK_INTERFACE_VERSION,
        "function": task.function,
        "floats": task.floats,
        "seed": seed,
        "parameters": task.parameters,
        "files": files,
        "limits": {
            "memory_bytes": limits.memory_bytes,
            "output_bytes": limits.output_bytes,
            "log_bytes": limits.log_bytes,
            "host_calls": limits.host_calls,
            "cpu_seconds": limits.cpu.as_secs_f64(),
            "wall_seconds": limits.wall.as_secs_f64(),
        },
        "splitter": splitter,
        "unit_size": spec.unit_size,
        "reducer": spec.reducer,
        "items": stage.items,
        "items_settled": stage.items_settled,
        "items_kept": stage.items_kept,
        "items_failed": stage.items_failed,
        "cpu_seconds": stage.cpu_in_all().as_secs_f64(),
        "outputs": outputs,
    });
    told.to_string()
}
