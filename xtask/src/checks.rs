//! Builds and tests: everything at once, so that one build serves all.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::workspace::Workspace;
use crate::{jobs, step};

/// What `test` and `demo` build, so that Cargo unifies features alike and compiles nothing twice.
const BUILD_ALL: [&str; 6] = ["build", "--workspace", "--lib", "--bin", "gleaner", "--tests"];

/// Formatting, what `cargo deny` checks where it is installed, and every test of the workspace.
///
/// # Errors
/// The first step that fails.
pub fn test(workspace: &Workspace) -> Result<()> {
    formatting(workspace)?;
    dependencies(workspace)?;
    let (built, ran) = build_and_run(workspace, &[])?;
    eprintln!("\nall tests passed; built in {}, ran in {}", seconds(built), seconds(ran));
    Ok(())
}

/// What a soak does much of.
pub struct Counts {
    /// Runs of each example job in which workers are killed.
    pub runs: u32,
    /// Kills of a coordinator.
    pub restarts: u32,
    /// Power cuts of a coordinator's disk.
    pub cuts: u32,
    /// Failures of a coordinator's disk.
    pub failures: u32,
    /// What the moments of kills, cuts and failures are drawn from.
    pub seed: Option<u64>,
    /// Cases of each property test.
    pub cases: u32,
    /// Seeds of the simulator.
    pub simulations: u64,
    /// The program to start, where it is not the one that is built here.
    pub gleaner: Option<PathBuf>,
}

/// The tests with long counts: how often end-to-end tests kill processes, cut the power and have
/// disks fail, and how many cases property tests try.
///
/// # Errors
/// The first step that fails.
pub fn soak(workspace: &Workspace, counts: &Counts) -> Result<()> {
    let Counts { runs, restarts, cuts, failures, seed, cases, simulations, gleaner } = counts;
    let mut variables = vec![
        ("GLEANER_RUNS", runs.to_string().into()),
        ("GLEANER_RESTARTS", restarts.to_string().into()),
        ("GLEANER_CUTS", cuts.to_string().into()),
        ("GLEANER_FAILURES", failures.to_string().into()),
        ("PROPTEST_CASES", cases.to_string().into()),
        ("GLEANER_SIMULATIONS", simulations.to_string().into()),
    ];
    variables.extend(seed.map(|seed| ("GLEANER_SEED", seed.to_string().into())));
    if let Some(program) = gleaner {
        let whole = program.canonicalize();
        let whole = whole.with_context(|| format!("there is no program {}", program.display()))?;
        variables.push(("GLEANER_BIN", whole.into()));
    }
    let (built, ran) = build_and_run(workspace, &variables)?;
    eprintln!(
        "\nall tests passed with {runs} runs of each example, {restarts} restarts, {cuts} power cuts, \
         {failures} failures, {cases} cases and {simulations} simulations; built in {}, ran in {}",
        seconds(built),
        seconds(ran)
    );
    Ok(())
}

/// Builds the simulator alone and runs it: optimised, as a large world takes minutes, and with the
/// cores' own assertions.
///
/// # Errors
/// A build that fails, or a run that breaks a rule.
pub fn simulate(workspace: &Workspace, arguments: &[String]) -> Result<()> {
    let mut simulator = workspace.cargo();
    simulator.env("CARGO_PROFILE_RELEASE_DEBUG_ASSERTIONS", "true");
    simulator.args(["run", "--quiet", "--release", "--package", "gleaner-simulator", "--"]);
    simulator.args(arguments);
    step::run(&mut simulator).map(drop)
}

/// Formatting, Clippy's lints as errors, documentation, licences and bans.
///
/// # Errors
/// The first step that fails.
pub fn lint(workspace: &Workspace) -> Result<()> {
    formatting(workspace)?;
    step::announce("linting");
    let clippy = ["clippy", "--workspace", "--all-targets", "--", "--deny", "warnings"];
    step::run(workspace.cargo().args(clippy))?;
    dependencies(workspace)
}

fn build_and_run(
    workspace: &Workspace,
    variables: &[(&str, OsString)],
) -> Result<(Duration, Duration)> {
    let start = std::time::Instant::now();
    jobs::build(workspace)?;
    step::announce("building the workspace and its tests");
    step::run(workspace.cargo().args(BUILD_ALL))?;
    let built = start.elapsed();
    step::announce("running the tests");
    let mut tests = workspace.cargo();
    tests.args(["test", "--workspace"]);
    if !variables.is_empty() {
        // Long counts tell how far they are, which is captured otherwise.
        tests.args(["--", "--nocapture"]);
        tests.envs(variables.iter().map(|(name, value)| (name, value)));
    }
    let ran = step::run(&mut tests)?;
    Ok((built, ran))
}

fn formatting(workspace: &Workspace) -> Result<()> {
    if !step::is_installed("rustfmt") {
        eprintln!("rustfmt is not installed; formatting is not checked");
        return Ok(());
    }
    step::announce("checking the formatting");
    step::run(workspace.cargo().args(["fmt", "--all", "--check"])).map(drop)
}

fn dependencies(workspace: &Workspace) -> Result<()> {
    if !step::is_installed("cargo-deny") {
        eprintln!("cargo-deny is not installed; licences and bans are not checked");
        return Ok(());
    }
    step::announce("checking the dependencies' licences, and who may use what");
    let deny = ["deny", "check", "bans", "licenses", "sources"];
    step::run(workspace.cargo().args(deny)).map(drop)
}

fn seconds(duration: Duration) -> String {
    format!("{:.1} s", duration.as_secs_f64())
}
