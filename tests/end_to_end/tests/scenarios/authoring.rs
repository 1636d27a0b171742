//! A task author's first steps, from nothing to a job's output, in a folder outside the repository
//! and without the internet.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use end_to_end::{Answer, Gleaner, workspace_folder};
use gleaner_toolchain::cargo_in;
use tempfile::TempDir;

/// The longest that Cargo may take, on a loaded machine that compiles the standard library too.
const COMPILE_LIMIT: Duration = Duration::from_secs(600);

/// A crate that `gleaner new` made.
struct Author {
    name: &'static str,
    gleaner: Gleaner,
    folder: TempDir,
}

impl Author {
    /// A crate of this name, one for each test: Cargo takes two of one name for the same.
    fn new(name: &'static str) -> Result<Self> {
        let author = Self { name, gleaner: Gleaner::find()?, folder: tempfile::tempdir()? };
        author.tell(&["new", name, "--path", &author.path()?])?;
        Ok(author)
    }

    fn krate(&self) -> PathBuf {
        self.folder.path().join(self.name)
    }

    fn path(&self) -> Result<String> {
        self.krate().to_str().map(str::to_owned).context("a path is text")
    }

    fn tell(&self, arguments: &[&str]) -> Result<String> {
        self.gleaner.tell(&self.folder.path().join("data"), arguments)
    }

    /// Compiles it to a module.
    fn build(&self) -> Result<String> {
        let target = target_folder()?;
        self.tell(&["build", &self.path()?, "--", "--offline", "--target-dir", &target])
    }

    /// Tries its functions in slots and natively. What `gleaner` asks of Cargo is told by the
    /// environment, as nothing else reaches it.
    fn test(&self) -> Result<String> {
        let answer = Answer::of(&mut self.test_command()?, COMPILE_LIMIT)?;
        ensure!(answer.code == 0, "{answer:?}");
        Ok(answer.stdout)
    }

    fn test_command(&self) -> Result<Command> {
        let mut command = self.gleaner.command(&self.folder.path().join("data"));
        command.args(["test", &self.path()?]);
        command.env("CARGO_NET_OFFLINE", "true").env("CARGO_TARGET_DIR", target_folder()?);
        Ok(command)
    }

    /// Runs a command of Cargo's in it, which must succeed.
    fn cargo(&self, arguments: &[&str]) -> Result<()> {
        let mut cargo = cargo_in(&self.krate(), Path::new("cargo"));
        cargo.args(arguments).args(["--offline", "--target-dir", &target_folder()?]);
        let answer = Answer::of(&mut cargo, COMPILE_LIMIT)?;
        ensure!(answer.code == 0, "cargo {arguments:?}: {}", answer.stderr);
        Ok(())
    }
}

/// One for every crate of these tests, so that what they depend on is compiled once.
fn target_folder() -> Result<String> {
    let folder = workspace_folder().canonicalize()?.join("target/authors");
    folder.to_str().map(str::to_owned).context("a path is text")
}

#[test]
fn a_new_crate_is_tested_built_checked_and_run() -> Result<()> {
    let author = Author::new("circle")?;
    author.cargo(&["test"])?;
    let built = author.build()?;
    ensure!(built.contains("circle.wasm") && built.contains("tasks   throw"), "{built}");
    ensure!(
        author.krate().join("circle.wasm").is_file(),
        "the module is not where the job expects it"
    );
    let checked = author.tell(&["check", &author.path()?])?;
    ensure!(checked.contains("imports") && checked.contains("throw"), "{checked}");

    let tried = author.test()?;
    ensure!(tried.contains("12 of 100") && tried.contains("add (merge)"), "{tried}");
    ensure!(tried.matches("the same bytes  the same").count() == 2, "{tried}");

    let output = author.gleaner.run(&author.krate().join("job.toml"))?;
    let hits: serde_json::Value = serde_json::from_slice(&output["throw/throw.json"])?;
    let count = |name: &str| hits[name].as_f64().context("a merged output has its fields");
    ensure!(count("thrown")? == 1e7, "{hits}");
    // Five standard deviations of ten million throws.
    let pi = 4.0 * count("inside")? / count("thrown")?;
    ensure!((pi - std::f64::consts::PI).abs() < 0.0026, "{hits}");
    Ok(())
}

#[test]
fn what_does_not_compile_is_said_in_cargos_words() -> Result<()> {
    let author = Author::new("waits")?;
    let source = author.krate().join("src/lib.rs");
    let text = std::fs::read_to_string(&source)?;
    std::fs::write(&source, text.replace("pub fn throw", "pub async fn throw"))?;
    let target = target_folder()?;
    let folder = author.path()?;
    let arguments = ["build", folder.as_str(), "--", "--offline", "--target-dir", &target];
    let answer = author.gleaner.ask(author.folder.path(), &arguments)?;
    ensure!(answer.code == 1, "{answer:?}");
    for words in ["remove `async`", "src/lib.rs:", "does not compile", "hint: "] {
        ensure!(answer.stderr.contains(words), "{words}: {answer:?}");
    }
    Ok(())
}

#[test]
fn a_function_that_gives_something_else_natively_is_told_with_the_place() -> Result<()> {
    let author = Author::new("differs")?;
    let source = author.krate().join("src/lib.rs");
    let text = std::fs::read_to_string(&source)?;
    let elsewhere = "inside: inside + u64::from(cfg!(not(target_arch = \"wasm32\")))";
    let text = text.replacen("Ok(Hits { inside,", &format!("Ok(Hits {{ {elsewhere},"), 1);
    ensure!(text.contains(elsewhere), "the template has changed");
    std::fs::write(&source, text)?;
    let answer = Answer::of(&mut author.test_command()?, COMPILE_LIMIT)?;
    ensure!(answer.code == 1, "{answer:?}");
    let said = "stage `throw`: item 0 differs at `inside`: ";
    ensure!(answer.stderr.contains(said), "{answer:?}");
    ensure!(answer.stdout.contains("the same bytes  differs"), "{answer:?}");
    Ok(())
}
