//! Builds and tests: everything at once, so that one build serves all.

use std::time::Duration;

use anyhow::Result;

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
    /// Runs of the example job `planets` in which workers are killed.
    pub runs: u32,
    /// Kills of a coordinator.
    pub restarts: u32,
    /// What the moments of kills are drawn from.
    pub seed: Option<u64>,
    /// Cases of each property test.
    pub cases: u32,
}

/// The tests with long counts: how often end-to-end tests kill processes, and how many cases
/// property tests try.
///
/// # Errors
/// The first step that fails.
pub fn soak(workspace: &Workspace, counts: &Counts) -> Result<()> {
    let Counts { runs, restarts, seed, cases } = counts;
    let mut variables = vec![
        ("GLEANER_RUNS", runs.to_string()),
        ("GLEANER_RESTARTS", restarts.to_string()),
        ("PROPTEST_CASES", cases.to_string()),
    ];
    variables.extend(seed.map(|seed| ("GLEANER_SEED", seed.to_string())));
    let (built, ran) = build_and_run(workspace, &variables)?;
    eprintln!(
        "\nall tests passed with {runs} runs of planets, {restarts} restarts and {cases} \
         cases; built in {}, ran in {}",
        seconds(built),
        seconds(ran)
    );
    Ok(())
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

fn build_and_run(workspace: &Workspace, counts: &[(&str, String)]) -> Result<(Duration, Duration)> {
    let start = std::time::Instant::now();
    jobs::build(workspace)?;
    step::announce("building the workspace and its tests");
    step::run(workspace.cargo().args(BUILD_ALL))?;
    let built = start.elapsed();
    step::announce("running the tests");
    let mut tests = workspace.cargo();
    tests.args(["test", "--workspace"]).envs(counts.iter().map(|(name, count)| (name, count)));
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
