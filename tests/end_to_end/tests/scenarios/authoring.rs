//! A task author's first steps, from nothing to a job's output, in a folder outside the repository
//! and without the internet.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context, Result, bail, ensure};
use end_to_end::{Gleaner, workspace_folder};
use gleaner_toolchain::cargo_in;
use tempfile::TempDir;

/// A crate that `gleaner new` made.
struct Author {
    gleaner: Gleaner,
    folder: TempDir,
}

impl Author {
    fn new() -> Result<Self> {
        let author = Self { gleaner: Gleaner::find()?, folder: tempfile::tempdir()? };
        author.tell(&["new", "pi", "--path", author.path("pi")?.as_str()])?;
        Ok(author)
    }

    fn path(&self, name: &str) -> Result<String> {
        self.folder.path().join(name).to_str().map(str::to_owned).context("a path is text")
    }

    fn krate(&self) -> PathBuf {
        self.folder.path().join("pi")
    }

    fn tell(&self, arguments: &[&str]) -> Result<String> {
        self.gleaner.tell(&self.folder.path().join("data"), arguments)
    }

    /// Compiles it to a module.
    fn build(&self) -> Result<String> {
        let target = target_folder()?;
        self.tell(&["build", &self.path("pi")?, "--", "--offline", "--target-dir", &target])
    }

    /// Runs a command of Cargo's in it, which must succeed.
    fn cargo(&self, arguments: &[&str]) -> Result<()> {
        let output = cargo_in(&self.krate(), Path::new("cargo"))
            .args(arguments)
            .args(["--offline", "--target-dir", &target_folder()?])
            .stdin(Stdio::null())
            .output()
            .context("cannot start cargo")?;
        if !output.status.success() {
            bail!("cargo {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        }
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
    let author = Author::new()?;
    author.cargo(&["test"])?;
    let built = author.build()?;
    ensure!(built.contains("pi.wasm") && built.contains("tasks   throw"), "{built}");
    ensure!(author.krate().join("pi.wasm").is_file(), "the module is not where the job expects it");
    let checked = author.tell(&["check", &author.path("pi")?])?;
    ensure!(checked.contains("imports") && checked.contains("throw"), "{checked}");

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
    let author = Author::new()?;
    let source = author.krate().join("src/lib.rs");
    let text = std::fs::read_to_string(&source)?;
    std::fs::write(&source, text.replace("pub fn throw", "pub async fn throw"))?;
    let target = target_folder()?;
    let folder = author.path("pi")?;
    let arguments = ["build", folder.as_str(), "--", "--offline", "--target-dir", &target];
    let answer = author.gleaner.ask(author.folder.path(), &arguments)?;
    ensure!(answer.code == 1, "{answer:?}");
    for words in ["remove `async`", "src/lib.rs:", "does not compile", "hint: "] {
        ensure!(answer.stderr.contains(words), "{words}: {answer:?}");
    }
    Ok(())
}
