//! Where things are: sources, build products, Cargo itself.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

/// The folders that chores work in.
pub struct Workspace {
    root: PathBuf,
    /// Where this program was built to, and with it every other.
    profile: PathBuf,
    cargo: PathBuf,
}

impl Workspace {
    /// The workspace that this program belongs to, built by the Cargo that runs it.
    pub fn find() -> Result<Self> {
        let manifest = env::var_os("CARGO_MANIFEST_DIR")
            .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
        let root = manifest.parent().context("xtask/ lies in the workspace")?.to_owned();
        let program = env::current_exe().context("cannot find where xtask was built")?;
        let profile = program.parent().context("a program lies in a folder")?.to_owned();
        let cargo = env::var_os("CARGO").map_or_else(|| PathBuf::from("cargo"), PathBuf::from);
        Ok(Self { root, profile, cargo })
    }

    /// The workspace's folder.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The target folder.
    pub fn target(&self) -> &Path {
        self.profile.parent().unwrap_or(&self.profile)
    }

    /// Where tasks are compiled to.
    pub fn tasks(&self) -> PathBuf {
        self.target().join("tasks")
    }

    /// The `gleaner` program.
    pub fn gleaner(&self) -> PathBuf {
        self.profile.join("gleaner").with_extension(env::consts::EXE_EXTENSION)
    }

    /// A command of Cargo's, run in the workspace.
    ///
    /// It does not see what Cargo says of this program's own package: build scripts (ring's) are
    /// run anew whenever that differs, and with them all that depends on them.
    pub fn cargo(&self) -> Command {
        let mut command = Command::new(&self.cargo);
        command.current_dir(&self.root);
        for (name, _) in env::vars_os() {
            let prefixes = ["CARGO_PKG_", "CARGO_MANIFEST_"];
            if name.to_str().is_some_and(|name| prefixes.iter().any(|p| name.starts_with(p))) {
                command.env_remove(&name);
            }
        }
        command
    }
}
