//! Faults at any step of a coordinator's life: what it has said to be safe is there afterwards, and
//! its jobs end with the right bytes.
//!
//! A few steps, drawn from a seed; `cargo xtask soak` asks for hundreds, in which
//! `GLEANER_CUTS` and `GLEANER_FAILURES` say how many. `GLEANER_STEP` names one step instead, as a
//! failure prints it: processes do not run twice alike, so that what stands at a step may differ.

use std::sync::OnceLock;

use anyhow::{Context, Result, ensure};
use end_to_end::{Draw, with_seeds};
use fault_tests::{AfterEnd, Counts, Disk, Failure, Jobs, Lab, Loss, Plan, Step, Story, Trouble};

/// The variable that names a step.
const STEP: &str = "GLEANER_STEP";

/// How many operations may fail, one of these: few enough that whoever tries each second sees the
/// disk mended while the test waits.
const FAILING: [u64; 4] = [1, 2, 10, 40];

/// Fewer trials say nothing of how many come to their steps.
const FEW: u64 = 10;

/// The lengths of sectors that writes are torn between.
const SECTORS: [usize; 2] = [512, 4096];

pub fn what_was_acknowledged_survives_a_power_cut_at_any_step() -> Result<()> {
    let Faultless { jobs, counts } = faultless()?;
    let mut begun = Begun::default();
    with_seeds("--test faults survives_a_power_cut", count("GLEANER_CUTS", 2), |draw| {
        let step = step(counts, draw)?;
        let loss = loss(draw);
        let plan = Plan { step, trouble: Trouble::PowerCut };
        begun.note(trial(jobs, plan, loss, AfterEnd::Start)?)
    })?;
    begun.check()
}

pub fn a_disk_that_fails_at_any_step_breaks_no_promise() -> Result<()> {
    let Faultless { jobs, counts } = faultless()?;
    let mut begun = Begun::default();
    with_seeds("--test faults a_disk_that_fails", count("GLEANER_FAILURES", 2), |draw| {
        let step = step(counts, draw)?;
        let loss = loss(draw);
        let error = if draw.below(3) == 0 { Failure::NoRoom } else { Failure::Io };
        let operations = FAILING[draw.below(FAILING.len() as u64) as usize];
        let after_end = if draw.below(2) == 0 { AfterEnd::PowerCut } else { AfterEnd::Start };
        let plan = Plan { step, trouble: Trouble::Fail { error, operations } };
        begun.note(trial(jobs, plan, loss, after_end)?)
    })?;
    begun.check()
}

/// In how many trials what was planned has begun.
#[derive(Default)]
struct Begun {
    begun: u64,
    of: u64,
}

impl Begun {
    /// Refuses a step that was named and did not come.
    fn note(&mut self, has_begun: bool) -> Result<()> {
        ensure!(has_begun || std::env::var(STEP).is_err(), "the run ended before its step");
        self.begun += u64::from(has_begun);
        self.of += 1;
        Ok(())
    }

    /// Runs differ in their lengths, so that one may end before a step that is drawn near the end of
    /// another; of a few, all may.
    fn check(&self) -> Result<()> {
        let Self { begun, of } = self;
        ensure!(*of < FEW || 2 * begun >= *of, "{begun} of {of} runs came to their steps");
        Ok(())
    }
}

/// The jobs, and how it is when nothing goes wrong.
struct Faultless {
    jobs: Jobs,
    counts: Counts,
}

/// The jobs, and how many operations there are when nothing goes wrong.
fn faultless() -> Result<&'static Faultless> {
    static FAULTLESS: OnceLock<Faultless> = OnceLock::new();
    if let Some(faultless) = FAULTLESS.get() {
        return Ok(faultless);
    }
    let jobs = Jobs::new()?;
    let lab = Lab::new(Disk::new(None), Loss::All, jobs.compiled())?;
    let mut story = Story::new(lab, &jobs, AfterEnd::Start);
    let counts = story.tell().context("nothing was to go wrong")?;
    eprintln!("without a fault: {counts}");
    Ok(FAULTLESS.get_or_init(|| Faultless { jobs, counts }))
}

/// Gives whether what was planned has begun.
fn trial(jobs: &Jobs, plan: Plan, loss: Loss, after_end: AfterEnd) -> Result<bool> {
    let Plan { step, trouble } = plan;
    eprintln!("at step {step}: {trouble:?}, {loss:?}, {after_end:?}");
    let lab = Lab::new(Disk::new(Some(plan)), loss, jobs.compiled())?;
    let mut story = Story::new(lab, jobs, after_end);
    let told = story.tell();
    told.with_context(|| {
        format!(
            "with {STEP}={step}, {trouble:?}, {loss:?}, {after_end:?}; the disk's last steps \
             before it:\n{}",
            story.troubled()
        )
    })?;
    let has_begun = story.has_begun();
    if !has_begun {
        eprintln!("step {step} did not come");
    }
    Ok(has_begun)
}

fn count(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|count| count.parse().ok()).unwrap_or(default)
}

/// One of all steps, or of those of a kind: there are many writes and few renames.
fn step(counts: &Counts, draw: &mut Draw) -> Result<Step> {
    let kinds: Vec<_> = counts.of_kind.keys().copied().collect();
    let kind = match draw.below(2) {
        0 => None,
        _ => Some(kinds[draw.below(kinds.len() as u64) as usize]),
    };
    let number = 1 + draw.below(counts.of(kind));
    match std::env::var(STEP) {
        Ok(step) => step.parse().with_context(|| format!("{STEP} is {step:?}")),
        Err(_) => Ok(Step { kind, number }),
    }
}

fn loss(draw: &mut Draw) -> Loss {
    let (sector, seed) = (SECTORS[draw.below(2) as usize], draw.below(u64::MAX));
    if draw.below(2) == 0 { Loss::All } else { Loss::Some { seed, sector } }
}
