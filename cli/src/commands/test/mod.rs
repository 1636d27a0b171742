//! `gleaner test`: a few items of each stage, run again and again in slots and once natively.
//!
//! In slots the bytes must be the same, in another process and cut into other units. Natively,
//! where the platform's own mathematics is used, numbers may differ by a tolerance.

mod compare;
mod native;

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::{Context as _, Result, anyhow};
use clap::Args;
use gleaner_client::{PreparedJob, hash_file};
use gleaner_coordinator::rehearsal::Rehearsal;
use gleaner_coordinator::rehearsal::trial::{
    Answer, Sampling, Trial, Trials, Verdict, failed_words,
};
use gleaner_protocol::{FailureKind, FileRef, OnFailure, Splitter, StageIndex, StageSpec};
use gleaner_sandbox::Entry;
use serde::Serialize;

use self::compare::{Agreement, compare};
use self::native::Native;
use super::check::manifest_at;
use super::prepare::{Source, prepare};
use super::{Context, dry_run};
use crate::failure::{Exit, Hinted, Interrupted};
use crate::operands::whole;
use crate::signals::unless_interrupted;
use crate::task_crate::TaskCrate;
use crate::words;

/// The most items of a stage that are tried: each runs several times.
const ITEMS_MAX: u64 = 10_000;

/// What `gleaner test` is told.
#[derive(Debug, Args)]
pub struct Arguments {
    /// The job's manifest, or the folder of its job.toml
    #[arg(value_name = "PATH", default_value = ".")]
    pub path: PathBuf,
    /// How many items of each stage to try
    #[arg(long, value_name = "N", default_value_t = 12, value_parser = whole(1, ITEMS_MAX))]
    pub items: u64,
    /// By how much of the larger a number may differ natively
    #[arg(long, value_name = "SHARE", default_value_t = 1e-9, value_parser = share)]
    pub tolerance: f64,
    /// The output of an earlier stage, to try those that come after it on
    #[arg(long = "after", value_name = "STAGE=FILE", value_parser = earlier_output)]
    pub outputs: Vec<(String, PathBuf)>,
    /// Try the module as it is, without building it first
    #[arg(long)]
    pub no_build: bool,
    /// Do not run the functions natively
    #[arg(long)]
    pub no_native: bool,
}

/// What came of a function of a stage.
#[derive(Debug, Serialize)]
pub struct Tried {
    /// The stage.
    pub stage: String,
    /// The function, and what it is.
    pub function: String,
    /// How many items, or pairs of values, were tried.
    pub tried: u64,
    /// Of how many.
    pub of: Option<u64>,
    /// What the slots gave.
    pub slots: String,
    /// What running natively gave.
    pub native: String,
    /// The items that failed, and that the job would go on without.
    pub failed: Vec<String>,
    /// What is wrong.
    pub fault: Option<Fault>,
}

/// What is wrong with a function, and what to do.
#[derive(Clone, Debug, Serialize)]
pub struct Fault {
    /// In a line.
    pub line: String,
    /// In a line.
    pub hint: String,
}

/// Tries a job's functions.
pub async fn run(context: &Context, arguments: Arguments) -> Result<Exit> {
    let manifest = manifest_at(&arguments.path)?;
    let krate = manifest
        .parent()
        .map(|folder| if folder.as_os_str().is_empty() { ".".as_ref() } else { folder })
        .filter(|folder| folder.join("Cargo.toml").is_file())
        .map(TaskCrate::at)
        .transpose()?;
    if let Some(krate) = krate.as_ref().filter(|_| !arguments.no_build) {
        let built = krate.build(&[])?;
        if built.places.is_empty() {
            let line = "no stage names this crate's module; those it names are tried as they are";
            context.printer.note(line);
        }
    }
    let native = match &krate {
        Some(krate) if !arguments.no_native => Some(Native::build(krate)?),
        _ => None,
    };
    let job = prepare(context, &Source { manifest, settings: Vec::new(), name: None })?;
    // It is too large to be moved and held whole in what awaits it.
    let trying = Box::pin(try_all(context, &arguments, &job, native.as_ref()));
    let tried = unless_interrupted(trying, || {
        let hint = "try fewer items with --items N";
        Interrupted::new("the test was interrupted".into(), hint.into())
    })
    .await?;
    conclude(context, &tried)
}

fn conclude(context: &Context, tried: &[Tried]) -> Result<Exit> {
    context.printer.result(&tried, || lines(tried))?;
    for tried in tried {
        for failed in &tried.failed {
            let line = format!("stage `{}`: {failed}", tried.stage);
            context.printer.note(&format!("{line}; the job would go on without this item"));
        }
    }
    let faults: Vec<_> = tried.iter().filter_map(|tried| tried.fault.as_ref()).collect();
    for fault in &faults {
        context.printer.failure(&fault.line, Some(&fault.hint));
    }
    Ok(match (faults.is_empty(), tried.iter().all(|tried| tried.failed.is_empty())) {
        (false, _) => Exit::Failed,
        (true, false) => Exit::ItemsFailed,
        (true, true) => Exit::Done,
    })
}

fn lines(tried: &[Tried]) -> Vec<String> {
    let head = ["stage", "function", "tried", "in slots", "natively"].map(String::from).to_vec();
    let row = |tried: &Tried| {
        let of = tried.of.map(|of| format!(" of {of}")).unwrap_or_default();
        let (slots, native) = (tried.slots.clone(), tried.native.clone());
        let count = format!("{}{of}", tried.tried);
        vec![tried.stage.clone(), tried.function.clone(), count, slots, native]
    };
    words::table(&[vec![head], tried.iter().map(row).collect()].concat())
}

async fn try_all(
    context: &Context,
    arguments: &Arguments,
    job: &PreparedJob,
    native: Option<&Native>,
) -> Result<Vec<Tried>> {
    let spec = &job.spec;
    for (name, _) in &arguments.outputs {
        if !spec.stages.iter().any(|stage| stage.name == *name) {
            let line = format!("--after names the stage {name:?}, which the job has not");
            let hint = "name a stage of the job and the file that it gave";
            return Err(Hinted::new(line, hint.into()).into());
        }
    }
    let files: Vec<_> = job.files.iter().map(|file| (file.blob, file.path.clone())).collect();
    let opened = Rehearsal::open(&context.program, spec, &files).await;
    let (rehearsal, _) = opened.map_err(dry_run::refusal)?;
    let trials = rehearsal.trials();
    let subject = Subject { arguments, job, native, trials };
    let mut tried = Vec::new();
    for index in (0..).map(StageIndex).take(spec.stages.len()) {
        context.printer.note(&format!("trying {}", spec.stages[index.0 as usize].name));
        tried.extend(subject.stage(index).await?);
    }
    Ok(tried)
}

/// What is tried, and how.
struct Subject<'a> {
    arguments: &'a Arguments,
    job: &'a PreparedJob,
    native: Option<&'a Native>,
    trials: Trials<'a>,
}

impl Subject<'_> {
    async fn stage(&self, index: StageIndex) -> Result<Vec<Tried>> {
        let earlier = match self.trials.earlier_stage(index) {
            None => None,
            Some(earlier) => match self.output_of(&self.job.spec.stages[earlier.0 as usize].name) {
                Some(path) => {
                    let blob = hash_file(path).with_context(|| format!("cannot read {path:?}"))?;
                    Some(self.trials.earlier(blob, path.clone()).await.map_err(dry_run::refusal)?)
                }
                None => return Ok(vec![self.left_out(index, earlier)]),
            },
        };
        let sampling = Sampling { items: self.arguments.items, earlier };
        let mut tried = Vec::new();
        if let Some(split) = self.trials.split(index, earlier).await.map_err(dry_run::refusal)? {
            tried.push(self.judge(None, index, &split)?);
        }
        let (items, trial) = self.trials.tasks(index, sampling).await.map_err(dry_run::refusal)?;
        tried.push(self.judge(Some(items), index, &trial)?);
        let outputs: Vec<_> = trial.answers.iter().flatten().collect();
        if trial.verdict == Verdict::Alike
            && let Some(merges) =
                self.trials.merges(index, &outputs).await.map_err(dry_run::refusal)?
        {
            tried.push(self.judge(None, index, &merges)?);
        }
        Ok(tried)
    }

    fn output_of(&self, stage: &str) -> Option<&PathBuf> {
        let given = self.arguments.outputs.iter().find(|(name, _)| name == stage);
        given.map(|(_, path)| path)
    }

    /// The files that a stage's functions may open, by name; the output before it is the split
    /// function's.
    fn files(&self, spec: &StageSpec) -> BTreeMap<String, PathBuf> {
        let file = |file: &FileRef| {
            let local = self.job.files.iter().find(|local| local.blob == file.blob);
            let local = local.expect("the job's files were hashed");
            (file.name.clone(), local.path.clone())
        };
        let output = match &spec.splitter {
            Splitter::Split { after: Some(after), .. } => {
                self.output_of(&after.name).map(|path| (after.name.clone(), path.clone()))
            }
            _ => None,
        };
        spec.task.files.iter().map(file).chain(output).collect()
    }

    fn left_out(&self, index: StageIndex, earlier: StageIndex) -> Tried {
        let stages = &self.job.spec.stages;
        let stage = &stages[index.0 as usize];
        let earlier = &stages[earlier.0 as usize].name;
        Tried {
            stage: stage.name.clone(),
            function: stage.task.function.clone(),
            tried: 0,
            of: None,
            slots: format!("not tried: give the output of {earlier} with --after {earlier}=FILE"),
            native: String::new(),
            failed: Vec::new(),
            fault: None,
        }
    }

    /// What a trial showed, and what running its calls natively shows besides.
    fn judge(&self, of: Option<u64>, index: StageIndex, trial: &Trial) -> Result<Tried> {
        let spec = &self.job.spec.stages[index.0 as usize];
        let (slots, mut fault) = in_slots(spec, trial);
        let mut native = "not run".to_owned();
        if let Some(run) = self.native.filter(|_| fault.is_none()) {
            let answers = run.answers(spec, &self.files(spec), trial)?;
            (native, fault) = self.natively(&spec.name, trial, &answers)?;
        }
        let function = match &trial.entry {
            Entry::Task(name) => name.clone(),
            Entry::Merge(name) => format!("{name} (merge)"),
            Entry::Split(name) => format!("{name} (split)"),
        };
        let tried = trial.calls.len() as u64;
        let failed = trial.answers.iter().filter_map(|answer| answer.as_ref().err());
        let failed = failed.map(failed_words).collect();
        Ok(Tried { stage: spec.name.clone(), function, tried, of, slots, native, failed, fault })
    }

    fn natively(
        &self,
        stage: &str,
        trial: &Trial,
        answers: &[native::Answer],
    ) -> Result<(String, Option<Fault>)> {
        let tolerance = self.arguments.tolerance;
        let mut agreement = Agreement::default();
        for ((call, in_slot), answer) in trial.calls.iter().zip(&trial.answers).zip(answers) {
            let what = what(stage, &trial.entry, call.item);
            let fault = |line, hint: &str| {
                (String::from("differs"), Some(Fault { line, hint: hint.into() }))
            };
            let output = match (in_slot, answer) {
                (Ok(output), _) => output,
                (Err(failure), native::Answer::Output(_))
                    if failure.kind == FailureKind::Failed =>
                {
                    let words = &failure.message;
                    let line =
                        format!("{what} gives an output natively, and fails in a slot: {words}");
                    return Ok(fault(line, HINT_NATIVE));
                }
                // There are no limits natively, nor WebAssembly's rules.
                (Err(_), _) => continue,
            };
            let given = match answer {
                native::Answer::Output(given) => given,
                native::Answer::Failed(words) => {
                    let line =
                        format!("{what} gives an output in a slot, and fails natively: {words}");
                    return Ok(fault(line, HINT_NATIVE));
                }
                native::Answer::Panicked(words) => {
                    let line =
                        format!("{what} gives an output in a slot, and panics natively: {words}");
                    return Ok(fault(line, HINT_NATIVE));
                }
            };
            match compare(output, given, tolerance).map_err(|error| anyhow!("{what}: {error}"))? {
                Ok(agrees) => agreement = agreement.and(agrees),
                Err(difference) => {
                    let line = format!(
                        "{what} differs at {}: {} in a slot, {} natively",
                        difference.place, difference.left, difference.right
                    );
                    return Ok(fault(line, HINT_NATIVE));
                }
            }
        }
        Ok((agreement.to_string(), None))
    }
}

const HINT_NATIVE: &str = "maps whose order is random, usize and the platform's mathematics differ \
                           natively: use BTreeMap, u64 and the crate libm, or allow more with \
                           --tolerance";

/// What the slots gave in a few words, and what is wrong.
fn in_slots(spec: &StageSpec, trial: &Trial) -> (String, Option<Fault>) {
    let stage = &spec.name;
    let odd = "a task depends on its item, seed, parameters and files alone; if yours does, this \
               is a fault of Gleaner: please report it";
    let fault = |line: String, hint: &str| Some(Fault { line, hint: hint.into() });
    match &trial.verdict {
        Verdict::Alike => match trial.answers.iter().filter(|answer| answer.is_err()).count() {
            0 => ("the same bytes".into(), None),
            failed => (format!("the same bytes, {failed} failed"), None),
        },
        Verdict::Failed(outcome) => {
            let line = match &trial.entry {
                Entry::Merge(name) => format!("stage `{stage}`, merge `{name}`: {outcome}"),
                Entry::Split(name) => format!("stage `{stage}`, split `{name}`: {outcome}"),
                Entry::Task(_) => format!("stage `{stage}`: {outcome}"),
            };
            let hint = match (&trial.entry, spec.task.on_failure) {
                (Entry::Task(_), OnFailure::Continue) => {
                    "the job would try it elsewhere, and go on without the item in the end"
                }
                _ => "the job would fail as this item did here",
            };
            ("failed".into(), fault(line, hint))
        }
        Verdict::Differs { item, unit_items, answer } => {
            let what = what(stage, &trial.entry, *item);
            let first = trial.calls.iter().position(|call| call.item == *item);
            let first = first.and_then(|first| trial.answers.get(first));
            let place = first.and_then(|first| difference(first, answer)).unwrap_or_default();
            let line = format!("{what} differs in {}{place}", in_units(*unit_items));
            ("differs".into(), fault(line, odd))
        }
        Verdict::Ended { unit_items, outcome } => {
            let line = format!("stage `{stage}`, in {}: {outcome}", in_units(*unit_items));
            ("differs".into(), fault(line, odd))
        }
    }
}

/// Where two answers of one call differ, and in what.
fn difference(first: &Answer, then: &Answer) -> Option<String> {
    let outputs = match (first, then) {
        (Ok(first), Ok(then)) => (first, then),
        (Ok(_), Err(failure)) => return Some(format!(": it fails then: {}", failure.message)),
        (Err(failure), Ok(_)) => return Some(format!(": it fails alone: {}", failure.message)),
        (Err(first), Err(then)) => {
            return Some(format!(": it fails alone: {}; then: {}", first.message, then.message));
        }
    };
    let difference = compare(outputs.0, outputs.1, 0.0).ok()?.err()?;
    let (place, left, right) = (difference.place, difference.left, difference.right);
    Some(format!(" at {place}: {left} alone, {right} then"))
}

fn in_units(items: usize) -> String {
    match items {
        1 => "a second run".into(),
        usize::MAX => "units of many items".into(),
        items => format!("units of {items} items"),
    }
}

fn what(stage: &str, entry: &Entry, item: u64) -> String {
    match entry {
        Entry::Task(_) => format!("stage `{stage}`: item {item}"),
        Entry::Merge(name) => format!("stage `{stage}`: pair {item} of the merge `{name}`"),
        Entry::Split(name) => format!("stage `{stage}`: what the split `{name}` gives"),
    }
}

fn share(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(share) if (0.0..=1.0).contains(&share) => Ok(share),
        _ => Err("write a number from 0 to 1, such as 1e-9".into()),
    }
}

fn earlier_output(text: &str) -> Result<(String, PathBuf), String> {
    match text.split_once('=') {
        Some((stage, file)) if !stage.is_empty() && !file.is_empty() => {
            Ok((stage.to_owned(), PathBuf::from(file)))
        }
        _ => Err("write the stage's name, `=` and a file, such as search=found/search.csv".into()),
    }
}
