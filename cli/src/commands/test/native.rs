//! A crate's functions run natively, by the test that the SDK's feature `native` adds beside each.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::{env, fs};

use anyhow::{Context as _, Result};
use gleaner_coordinator::rehearsal::trial::Trial;
use gleaner_protocol::{StageSpec, wire};
use gleaner_sandbox::Entry;
use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

use crate::failure::Hinted;
use crate::task_crate::TaskCrate;

/// The names by which a test is told its files. The SDK's `native.rs` is the other side of all in
/// this file.
const CALLS: &str = "GLEANER_NATIVE_CALLS";
const ANSWERS: &str = "GLEANER_NATIVE_ANSWERS";

#[derive(Serialize)]
struct Calls {
    parameters: ByteBuf,
    files: BTreeMap<String, PathBuf>,
    calls: Vec<Call>,
}

#[derive(Serialize)]
struct Call {
    item: u64,
    seed: u64,
    values: Vec<ByteBuf>,
}

/// What came of a call.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Answer {
    /// The output, one MessagePack value.
    Output(ByteBuf),
    /// The function gave an error, in these words.
    Failed(String),
    /// The function panicked, in these words.
    Panicked(String),
}

/// The tests of a crate, compiled.
pub(super) struct Native {
    program: PathBuf,
}

impl Native {
    /// Compiles them, optimised.
    ///
    /// # Errors
    /// When they do not compile; Cargo's own words go to stderr.
    pub(super) fn build(krate: &TaskCrate) -> Result<Self> {
        let arguments =
            ["test", "--release", "--lib", "--no-run", "--features", "gleaner-sdk/native"];
        let program = krate.compile_natively(&arguments).with_context(
            || "the crate's functions cannot be run natively (leave that out with --no-native)",
        )?;
        Ok(Self { program })
    }

    /// What each call of a trial gives.
    ///
    /// # Errors
    /// When the crate has no such function, or the process ends before it has answered.
    pub(super) fn answers(
        &self,
        stage: &StageSpec,
        files: &BTreeMap<String, PathBuf>,
        trial: &Trial,
    ) -> Result<Vec<Answer>> {
        let folder = tempfile::tempdir().context("cannot make a temporary folder")?;
        let (calls, answers) = (folder.path().join("calls"), folder.path().join("answers"));
        fs::write(&calls, wire::encode(&self.calls(stage, files, trial)?))
            .with_context(|| format!("cannot write {calls:?}"))?;
        let test = self.test_of(&trial.entry)?;
        let output = Command::new(&self.program)
            .args(["--exact", &test, "--test-threads=1", "--quiet"])
            .env(CALLS, &calls)
            .env(ANSWERS, &answers)
            .stdin(Stdio::null())
            .output()
            .with_context(|| format!("cannot start {:?}", self.program))?;
        let Ok(bytes) = fs::read(&answers) else {
            let said = String::from_utf8_lossy(&output.stderr);
            let last = said.lines().last().unwrap_or("it said nothing");
            let line = format!("natively, {} ended with {}: {last}", trial.entry, output.status);
            let hint = "run `cargo test`, or leave this out with --no-native";
            return Err(Hinted::new(line, hint.into()).into());
        };
        wire::decode(&bytes).context("the SDK in the crate answers in another way than this one")
    }

    fn calls(
        &self,
        stage: &StageSpec,
        files: &BTreeMap<String, PathBuf>,
        trial: &Trial,
    ) -> Result<Calls> {
        let here = env::current_dir().context("cannot tell where this is")?;
        let path = |(name, path): (&String, &PathBuf)| (name.clone(), here.join(path));
        let call = |call: &gleaner_coordinator::rehearsal::trial::Call| Call {
            item: call.item,
            seed: call.seed,
            values: call.values.clone(),
        };
        Ok(Calls {
            parameters: ByteBuf::from(wire::encode(&stage.task.parameters)),
            files: files.iter().map(path).collect(),
            calls: trial.calls.iter().map(call).collect(),
        })
    }

    /// The whole name of a function's test, which has its module's path before it.
    fn test_of(&self, entry: &Entry) -> Result<String> {
        let name = match entry {
            Entry::Task(name) => format!("gleaner_native_task_{name}"),
            Entry::Merge(name) => format!("gleaner_native_merge_{name}"),
            Entry::Split(name) => format!("gleaner_native_split_{name}"),
        };
        let output = Command::new(&self.program)
            .args(["--list", "--format", "terse"])
            .stdin(Stdio::null())
            .output()
            .with_context(|| format!("cannot start {:?}", self.program))?;
        let listed = String::from_utf8_lossy(&output.stdout);
        let tests = listed.lines().filter_map(|line| line.strip_suffix(": test"));
        let found = tests.into_iter().find(|test| test.rsplit("::").next() == Some(&name));
        found.map(str::to_owned).ok_or_else(|| {
            let line = format!("the crate beside the job has no {entry} to run natively");
            let hint = "its module may be another crate's; leave this out with --no-native";
            Hinted::new(line, hint.into()).into()
        })
    }
}
