//! Compiles the example tasks to WebAssembly.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use gleaner_toolchain::TARGET;

use crate::workspace::Workspace;
use crate::{guest_toolchain, step};

/// The crates that hold tasks: the package, its module, and the folder that its manifest expects
/// the module in.
const TASKS: [(&str, &str, Option<&str>); 4] = [
    ("mersenne", "mersenne.wasm", Some("jobs/mersenne")),
    ("planets", "planets.wasm", Some("jobs/planets")),
    ("wordcount", "wordcount.wasm", Some("jobs/wordcount")),
    ("test-tasks", "test_tasks.wasm", None),
];

/// Compiles what changed of the tasks, into `target/tasks` and beside their manifests.
///
/// # Errors
/// When there is no compiler for WebAssembly and none can be installed, or a task does not compile.
pub fn build(workspace: &Workspace) -> Result<()> {
    step::announce("compiling the tasks to WebAssembly");
    let folder = workspace.tasks();
    let mut cargo = guest_toolchain::find_or_install(workspace)?.cargo(workspace.root());
    cargo.args(["build", "--profile", "task", "--target", TARGET, "--target-dir"]).arg(&folder);
    for (package, _, _) in TASKS {
        cargo.args(["--package", package]);
    }
    step::run(&mut cargo)?;
    for (_, module, beside_manifest) in TASKS {
        let built = folder.join(TARGET).join("task").join(module);
        copy_if_changed(&built, &folder.join(module))?;
        if let Some(job) = beside_manifest {
            copy_if_changed(&built, &workspace.root().join(job).join(module))?;
        }
    }
    Ok(())
}

fn copy_if_changed(from: &Path, to: &Path) -> Result<()> {
    let bytes = fs::read(from).with_context(|| format!("cannot read {}", from.display()))?;
    if fs::read(to).is_ok_and(|there| there == bytes) {
        return Ok(());
    }
    fs::write(to, bytes).with_context(|| format!("cannot write {}", to.display()))
}
