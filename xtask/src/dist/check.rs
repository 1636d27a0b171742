//! Trying the archive: in a system of 2021, and on the machines of a lab.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::dist;
use crate::step;
use crate::workspace::Workspace;

/// Debian 11, with glibc 2.31: the oldest whose packages are still where they were.
const SYSTEM: &str = "bullseye";

/// The example job with few enough resamplings for a trial.
const RANGE: (&str, &str) = ("end = 2001", "end = 8");

/// Unpacks the archive into the old system at `root` and runs the program there: its version, and
/// the example job. Then the lab's path with it, on four machines.
///
/// # Errors
/// When this is not root, or anything fails there.
pub fn run(workspace: &Workspace, root: &Path, archive: &Path) -> Result<()> {
    step::announce(&format!("trying the archive in Debian {SYSTEM}"));
    let home = root.join("opt");
    step::run(
        Command::new("tar").arg("--extract").arg("--file").arg(archive).arg("-C").arg(&home),
    )?;
    let name = archive.file_name().context("an archive has a name")?.to_string_lossy();
    let name = name.strip_suffix(".tar.gz").context("it ends in .tar.gz")?;
    let unpacked = home.join(name);
    shorten(&unpacked.join("jobs/planets/job.toml"))?;
    let script = format!(
        "cd /opt/{name} && ./gleaner --version && \
         ./gleaner --data /tmp/gleaner run jobs/planets/job.toml -o /tmp/planets --force && \
         ls /tmp/planets/report"
    );
    // The mounts go with the namespace.
    let mounted = "mount -t proc proc \"$0/proc\" && mount --rbind /dev \"$0/dev\" && \
                   exec chroot \"$0\" /bin/sh -c \"$1\"";
    let mut trial = Command::new("unshare");
    trial.args(["--mount", "--fork", "sh", "-c", mounted]).arg(root).arg(script);
    // A folder of this system's is none of that one's.
    step::run(trial.env_remove("TMPDIR"))?;
    step::announce("walking the lab's path with it");
    let mut tests = workspace.cargo();
    // A test that cannot be run here is a failure of the trial, not skipped.
    tests.args(["test", "--workspace", "--test", "lan", "--", "--nocapture", "--include-ignored"]);
    tests.env("GLEANER_ARCHIVE", archive).env("GLEANER_BIN", unpacked.join("gleaner"));
    step::run(&mut tests)?;
    Ok(())
}

/// The folder of an old system, made by `debootstrap` when it is not there.
///
/// # Errors
/// When `debootstrap` is not installed, fails, or this is not root.
pub fn old_system(workspace: &Workspace) -> Result<PathBuf> {
    let root = dist(workspace).join(SYSTEM);
    if root.is_dir() {
        return Ok(root);
    }
    let unfinished = dist(workspace).join(format!("{SYSTEM}.unfinished"));
    if unfinished.exists() {
        fs::remove_dir_all(&unfinished)
            .with_context(|| format!("cannot remove {}", unfinished.display()))?;
    }
    if !step::is_installed("debootstrap") {
        bail!("`debootstrap` is not installed; on Debian: apt-get install debootstrap");
    }
    step::announce(&format!("making a root of Debian {SYSTEM} in {}", root.display()));
    // What it mounts goes with the namespace, even if it is interrupted.
    let mut make = Command::new("unshare");
    make.args(["--mount", "--fork", "debootstrap", "--variant=minbase", SYSTEM]);
    step::run(make.arg(&unfinished))?;
    fs::rename(&unfinished, &root)
        .with_context(|| format!("cannot rename {}", unfinished.display()))?;
    Ok(root)
}

fn shorten(manifest: &Path) -> Result<()> {
    let text = fs::read_to_string(manifest).with_context(|| format!("cannot read {manifest:?}"))?;
    if !text.contains(RANGE.0) {
        bail!("{} has no `{}` any more", manifest.display(), RANGE.0);
    }
    fs::write(manifest, text.replacen(RANGE.0, RANGE.1, 1))
        .with_context(|| format!("cannot write {manifest:?}"))
}
