//! A compiler for WebAssembly, installed and said so where there is none.
//!
//! In order: what `gleaner-toolchain` finds; `rustup target add`; Debian's packages.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Result, bail};
use gleaner_toolchain::{DEBIAN_PACKAGES, Missing, TARGET, Toolchain};

use crate::step;
use crate::workspace::Workspace;

/// The first compiler that works, in the order above.
///
/// # Errors
/// When there is none and none can be installed; says what to do by hand.
pub fn find_or_install(workspace: &Workspace) -> Result<Toolchain> {
    let cargo = PathBuf::from(workspace.cargo().get_program());
    let find = || Toolchain::find(&cargo, workspace.root());
    let missing = match find() {
        Ok(toolchain) => return Ok(toolchain),
        Err(missing) => missing,
    };
    for install in [add_target_by_rustup, install_debian_packages] {
        if install()
            && let Ok(toolchain) = find()
        {
            return Ok(toolchain);
        }
    }
    refuse(&missing)
}

fn refuse(missing: &Missing) -> Result<Toolchain> {
    bail!("{missing}, and none could be installed\n{}; then run this command again", missing.hint())
}

fn add_target_by_rustup() -> bool {
    if !step::is_installed("rustup") {
        return false;
    }
    eprintln!("Tasks are WebAssembly, and this Rust cannot compile it yet.");
    eprintln!("Installing its standard library for that: rustup target add {TARGET}");
    step::run(Command::new("rustup").args(["target", "add", TARGET])).is_ok()
}

fn install_debian_packages() -> bool {
    if !step::is_installed("apt-get") {
        return false;
    }
    eprintln!("Tasks are WebAssembly, and there is no Rust here that can compile it.");
    eprintln!("Installing Debian's (it stays beside yours): {}", DEBIAN_PACKAGES.join(" "));
    let install = ["install", "-y", "--no-install-recommends"];
    let Some(mut update) = as_root("apt-get") else { return false };
    let Some(mut install_packages) = as_root("apt-get") else { return false };
    step::run(update.arg("update")).is_ok()
        && step::run(install_packages.args(install).args(DEBIAN_PACKAGES)).is_ok()
}

/// `program` as root, if that needs no password.
fn as_root(program: &str) -> Option<Command> {
    if step::output(Command::new("id").arg("-u"))? == "0" {
        return Some(Command::new(program));
    }
    step::output(Command::new("sudo").args(["-n", "true"]))?;
    let mut command = Command::new("sudo");
    command.args(["-n", program]);
    Some(command)
}
