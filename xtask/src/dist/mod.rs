//! The program as users get it: one archive with one program that runs on any Linux of the last
//! years, and what belongs beside it.
//!
//! Rust's own compiler links against this machine's C library, which an older one refuses; Zig's
//! linker, which comes from PyPI, can be told how old the oldest is. The symbols' versions in the
//! program are read afterwards all the same. Deliberately absent: publishing.

mod check;
mod licences;
mod links;
mod symbols;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result, ensure};

use crate::workspace::Workspace;
use crate::{jobs, step};

/// The oldest C library that the program runs with: of 2018, in Debian 10 and Enterprise Linux 8.
const GLIBC: (u32, u32) = (2, 28);

const TARGET: &str = "x86_64-unknown-linux-gnu";

/// What is installed from PyPI into a folder of its own: Cargo's way to Zig, and Zig.
const TOOLS: [&str; 2] = ["cargo-zigbuild==0.24.1", "ziglang==0.17.1"];

/// What lies beside the program: where it lies there, and where in the workspace. The archive has a
/// README of its own: the repository's begins with sources.
const DOCUMENTS: [(&str, &str); 11] = [
    ("README.md", "xtask/src/dist/README.md"),
    ("CHANGELOG.md", "CHANGELOG.md"),
    ("LICENSE", "LICENSE"),
    ("LICENSE-APACHE", "LICENSE-APACHE"),
    ("LICENSE-MIT", "LICENSE-MIT"),
    ("docs/manifest.md", "docs/manifest.md"),
    ("docs/operating.md", "docs/operating.md"),
    ("docs/results.md", "docs/results.md"),
    ("docs/tasks.md", "sdk/README.md"),
    ("jobs/planets/README.md", "jobs/planets/README.md"),
    ("jobs/planets/job.toml", "jobs/planets/job.toml"),
];

/// What the example job needs besides, so that it is run without a compiler.
const EXAMPLE: [&str; 2] = ["jobs/planets/planets.wasm", "jobs/planets/data/hd164922.csv"];

/// Whose licences are whose: made when the archive is.
const LICENCES: &str = "THIRD-PARTY.txt";

/// Whether the archive is tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trial {
    /// In an old system, and on a lab's machines.
    Run,
    /// Not.
    Skip,
}

/// Builds the archive, in `target/dist`, and tries it if asked to.
///
/// # Errors
/// When something cannot be built or installed, or the program needs a newer system than promised.
pub fn run(workspace: &Workspace, trial: Trial) -> Result<()> {
    let start = Instant::now();
    // What a trial lacks is said before a quarter of an hour has passed.
    let system = match trial {
        Trial::Run => Some(check::old_system(workspace)?),
        Trial::Skip => None,
    };
    jobs::build(workspace)?;
    let program = build(workspace)?;
    step::announce("reading which C library it needs");
    let newest = symbols::newest_glibc(&program)?;
    ensure!(
        newest <= GLIBC,
        "the program needs glibc {}.{}; at most {}.{} is promised",
        newest.0,
        newest.1,
        GLIBC.0,
        GLIBC.1
    );
    eprintln!("glibc {}.{} or newer", newest.0, newest.1);
    let folder = gather(workspace, &program)?;
    let archive = pack(&folder)?;
    let bytes = fs::metadata(&archive).with_context(|| format!("no {}", archive.display()))?.len();
    let mebibytes = bytes as f64 / f64::from(1 << 20);
    println!("{}", archive.display());
    eprintln!("{mebibytes:.1} MiB, made in {:.0} s", start.elapsed().as_secs_f64());
    if let Some(system) = system {
        check::run(workspace, &system, &archive)?;
        eprintln!("\ntried and found good, {:.0} s in all", start.elapsed().as_secs_f64());
    }
    Ok(())
}

fn dist(workspace: &Workspace) -> PathBuf {
    workspace.target().join("dist")
}

/// Compiles the program as users have it.
fn build(workspace: &Workspace) -> Result<PathBuf> {
    let tools = install_tools(workspace)?;
    step::announce("building gleaner; a first release build takes a quarter of an hour");
    let mut path = tools.into_os_string();
    if let Some(rest) = std::env::var_os("PATH") {
        path.push(":");
        path.push(rest);
    }
    let target = format!("{TARGET}.{}.{}", GLIBC.0, GLIBC.1);
    let mut cargo = workspace.cargo();
    cargo.args(["zigbuild", "--release", "--locked", "--target", &target]);
    cargo.args(["--package", "gleaner-cli", "--bin", "gleaner"]).env("PATH", path);
    step::run(&mut cargo)?;
    Ok(workspace.target().join(TARGET).join("release/gleaner"))
}

/// The folder of the tools' programs; they are installed when they are not there.
fn install_tools(workspace: &Workspace) -> Result<PathBuf> {
    let folder = dist(workspace).join("tools");
    let programs = folder.join("bin");
    if programs.join("cargo-zigbuild").is_file() {
        return Ok(programs);
    }
    step::announce(&format!(
        "installing {} from PyPI into {}: a linker for older systems",
        TOOLS.join(" and "),
        folder.display()
    ));
    step::run(Command::new("python3").args(["-m", "venv"]).arg(&folder))?;
    step::run(Command::new(programs.join("pip")).args(["install", "--quiet"]).args(TOOLS))?;
    Ok(programs)
}

/// Puts everything into a fresh folder that has the archive's name.
fn gather(workspace: &Workspace, program: &Path) -> Result<PathBuf> {
    step::announce("gathering what belongs beside it");
    let name = format!("gleaner-{}-x86_64-linux", env!("CARGO_PKG_VERSION"));
    let folder = dist(workspace).join(name);
    if folder.exists() {
        fs::remove_dir_all(&folder)
            .with_context(|| format!("cannot empty {}", folder.display()))?;
    }
    copy(program, &folder.join("gleaner"))?;
    for file in EXAMPLE {
        copy(&workspace.root().join(file), &folder.join(file))?;
    }
    step::run(Command::new(folder.join("gleaner")).arg("manual").arg(&folder))?;
    copy_documents(workspace.root(), &licences::gather(workspace)?, &folder)?;
    Ok(folder)
}

/// Puts the documents into `folder`, and sees that their links lead somewhere there.
fn copy_documents(root: &Path, licences: &str, folder: &Path) -> Result<()> {
    for (place, source) in DOCUMENTS {
        copy(&root.join(source), &folder.join(place))?;
    }
    let third_party = folder.join(LICENCES);
    fs::write(&third_party, licences)
        .with_context(|| format!("cannot write {}", third_party.display()))?;
    let places = DOCUMENTS.map(|(place, _)| place);
    links::check(folder, places.into_iter().filter(|place| place.ends_with(".md")))
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    let parent = to.parent().context("a file lies in a folder")?;
    fs::create_dir_all(parent).with_context(|| format!("cannot make {}", parent.display()))?;
    fs::copy(from, to).with_context(|| format!("cannot copy {}", from.display()))?;
    Ok(())
}

/// Packs the folder, so that the same files give the same bytes, and writes the archive's checksum
/// beside it.
fn pack(folder: &Path) -> Result<PathBuf> {
    let parent = folder.parent().context("it lies in a folder")?;
    let name = folder.file_name().context("it has a name")?.to_string_lossy().into_owned();
    let archive = format!("{name}.tar.gz");
    step::announce(&format!("packing {archive}"));
    let mut tar = Command::new("tar");
    tar.current_dir(parent);
    tar.args(["--create", "--use-compress-program=gzip -n", "--file", &archive]);
    tar.args(["--sort=name", "--mtime=@0"]);
    tar.args(["--owner=0", "--group=0", "--numeric-owner", "--mode=u+rw,go=rX", &name]);
    step::run(&mut tar)?;
    let sum = step::output(Command::new("sha256sum").current_dir(parent).arg(&archive));
    let sum = sum.context("`sha256sum` failed")?;
    let sums = parent.join(format!("{archive}.sha256"));
    fs::write(&sums, format!("{sum}\n")).with_context(|| format!("cannot write {sums:?}"))?;
    Ok(parent.join(archive))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_link_of_the_archive_is_dead() {
        let folder = tempfile::tempdir().expect("a folder");
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("a workspace");
        copy_documents(root, "", folder.path()).expect("all lead somewhere");
    }
}
