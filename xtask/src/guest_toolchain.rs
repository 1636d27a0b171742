//! Finds a compiler for WebAssembly, or installs one and says so.
//!
//! In order: the Rust in use, when it has the target already; Debian's Rust, when it is there and
//! new enough; `rustup target add`; Debian's packages. Debian's compiler has no ready-made standard
//! library for WebAssembly and compiles it from source, once. It does not disturb a Rust from
//! rustup, which stays first on the path.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, bail};

use crate::step;
use crate::workspace::Workspace;

/// The target that tasks are compiled for.
pub const TARGET: &str = "wasm32-unknown-unknown";

/// 128-bit vectors make numerical tasks up to 3.7 times as fast, and every Gleaner worker runs
/// them.
const TASK_FLAGS: &str = "-Ctarget-feature=+simd128";

/// Debian's compiler, its source of the standard library, and a linker for WebAssembly.
const DEBIAN_PACKAGES: [&str; 5] =
    ["rustc-web", "cargo-web", "rust-web-src", "rust-web-llvm", "lld-22"];
const DEBIAN_CARGO: &str = "/usr/bin/cargo";
const DEBIAN_RUSTC: &str = "/usr/bin/rustc";
const DEBIAN_LINKER: &str = "/usr/bin/wasm-ld-22";
/// The oldest Rust that compiles the workspace.
const RUST_MINOR_MIN: u32 = 95;

/// Settings of Cargo's that a nested Cargo keeps: where crates are kept and come from. All others
/// were set by, or meant for, the Cargo that runs this program.
const CARGO_SETTINGS_KEPT: [&str; 4] = ["CARGO_HOME", "CARGO_NET_", "CARGO_HTTP_", "CARGO_REGISTR"];

/// A compiler for WebAssembly.
pub enum GuestToolchain {
    /// The Rust in use.
    Rustup { cargo: PathBuf },
    /// Debian's.
    Debian,
}

impl GuestToolchain {
    /// A command of its Cargo's, run in `folder`, in an environment free of other Cargos.
    pub fn cargo(&self, folder: &Path) -> Command {
        let mut command = match self {
            Self::Rustup { cargo } => Command::new(cargo),
            Self::Debian => Command::new(DEBIAN_CARGO),
        };
        command.current_dir(folder);
        for (name, _) in env::vars_os() {
            if name.to_str().is_some_and(is_of_another_cargo) {
                command.env_remove(name);
            }
        }
        command.env("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_RUSTFLAGS", TASK_FLAGS);
        if matches!(self, Self::Debian) {
            command
                .arg("-Zbuild-std=std,panic_abort")
                .env("RUSTC", DEBIAN_RUSTC)
                .env("RUSTC_BOOTSTRAP", "1")
                .env("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER", DEBIAN_LINKER)
                .env_remove("LD_LIBRARY_PATH")
                .env_remove("RUSTUP_TOOLCHAIN");
        }
        command
    }
}

/// The first compiler that works, in the order above.
///
/// # Errors
/// When there is none and none can be installed; says what to do by hand.
pub fn find_or_install(workspace: &Workspace) -> Result<GuestToolchain> {
    let cargo = PathBuf::from(workspace.cargo().get_program());
    if current_rust_has_target() {
        return Ok(GuestToolchain::Rustup { cargo });
    }
    if debian_rust_is_installed() {
        return Ok(GuestToolchain::Debian);
    }
    if add_target_by_rustup() && current_rust_has_target() {
        return Ok(GuestToolchain::Rustup { cargo });
    }
    if install_debian_packages() && debian_rust_is_installed() {
        return Ok(GuestToolchain::Debian);
    }
    bail!(
        "no compiler for {TARGET}, and none could be installed\n\
         With rustup:     rustup target add {TARGET}\n\
         On Debian, root: apt-get update && apt-get install --no-install-recommends {}\n\
         Then run this command again.",
        DEBIAN_PACKAGES.join(" ")
    )
}

fn is_of_another_cargo(name: &str) -> bool {
    let kept = CARGO_SETTINGS_KEPT.iter().any(|setting| name.starts_with(setting));
    let rustup = name == "RUSTUP_HOME" || name == "RUSTUP_TOOLCHAIN";
    (name.starts_with("CARGO") && !kept) || (name.starts_with("RUST") && !rustup)
}

fn current_rust_has_target() -> bool {
    let rustc = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    step::output(Command::new(rustc).args(["--print", "target-libdir", "--target", TARGET]))
        .is_some_and(|folder| Path::new(&folder).is_dir())
}

fn debian_rust_is_installed() -> bool {
    let sysroot = step::output(Command::new(DEBIAN_RUSTC).args(["--print", "sysroot"]));
    let version = step::output(Command::new(DEBIAN_RUSTC).arg("--version"));
    let has_source = sysroot.is_some_and(|sysroot| {
        Path::new(&sysroot).join("lib/rustlib/src/rust/library/Cargo.lock").is_file()
    });
    has_source
        && version.as_deref().and_then(minor_version).is_some_and(|minor| minor >= RUST_MINOR_MIN)
        && Path::new(DEBIAN_CARGO).is_file()
        && Path::new(DEBIAN_LINKER).is_file()
}

/// The 96 of `rustc 1.96.0 (…)`.
fn minor_version(version: &str) -> Option<u32> {
    version.strip_prefix("rustc 1.")?.split('.').next()?.parse().ok()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_outer_cargos_settings_do_not_reach_the_nested_one() {
        for removed in ["CARGO", "CARGO_MANIFEST_DIR", "CARGO_TARGET_DIR", "RUSTFLAGS", "RUSTC"] {
            assert!(is_of_another_cargo(removed), "{removed}");
        }
        for kept in ["CARGO_HOME", "CARGO_NET_OFFLINE", "CARGO_REGISTRIES_X", "RUSTUP_HOME", "PATH"]
        {
            assert!(!is_of_another_cargo(kept), "{kept}");
        }
    }

    #[test]
    fn the_version_is_read_from_what_rustc_says() {
        assert_eq!(minor_version("rustc 1.96.0 (ac68faa20 2026-05-25)"), Some(96));
        assert_eq!(minor_version("rustc 2.0.0"), None);
        assert_eq!(minor_version("nonsense"), None);
    }
}
