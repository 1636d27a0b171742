//! The compiler that turns tasks into WebAssembly: which Rust of this machine can do it, and how
//! it is called.
//!
//! In order: the Rust in use, when it has the target; Debian's, when it is there and new enough.
//! Debian's compiler has no ready-made standard library for WebAssembly and compiles it from
//! source, once. It does not disturb a Rust from rustup, which stays first on the path.
//! Deliberately absent: installing anything, which is for whoever asks (`cargo xtask` does, and
//! `gleaner build` says how), and any knowledge of what is compiled.

use std::env;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The target that tasks are compiled for.
pub const TARGET: &str = "wasm32-unknown-unknown";

/// Debian's compiler, its source of the standard library, and a linker for WebAssembly.
pub const DEBIAN_PACKAGES: [&str; 5] =
    ["rustc-web", "cargo-web", "rust-web-src", "rust-web-llvm", "lld-22"];

/// 128-bit vectors make numerical tasks up to 3.7 times as fast, and every Gleaner worker runs
/// them.
const TASK_FLAGS: &str = "-Ctarget-feature=+simd128";

const DEBIAN_CARGO: &str = "/usr/bin/cargo";
const DEBIAN_RUSTC: &str = "/usr/bin/rustc";
const DEBIAN_LINKER: &str = "/usr/bin/wasm-ld-22";
/// The oldest Rust that compiles the SDK.
const RUST_MINOR_MIN: u32 = 95;

/// Settings of Cargo's that a nested Cargo keeps: where crates are kept and come from, where
/// products go, and how it speaks. All others were set by, or meant for, another Cargo: the one
/// that runs this program, or one that compiles for this machine.
const CARGO_SETTINGS_KEPT: [&str; 7] = [
    "CARGO_HOME",
    "CARGO_NET_",
    "CARGO_HTTP_",
    "CARGO_REGISTR",
    "CARGO_TARGET_DIR",
    "CARGO_BUILD_JOBS",
    "CARGO_TERM_",
];

/// A compiler for WebAssembly.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Toolchain {
    /// The Rust in use.
    Current {
        /// Its Cargo.
        cargo: PathBuf,
    },
    /// Debian's.
    Debian,
}

/// Why there is no compiler for WebAssembly here.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Missing {
    /// There is no Rust at all.
    #[error("there is no Rust here: neither `{cargo}` nor Debian's can be started")]
    Rust {
        /// The Cargo that was asked for.
        cargo: String,
    },
    /// There is a Rust, without the target's standard library.
    #[error("{version} cannot compile for {TARGET} yet: it has no standard library for it")]
    Target {
        /// What the compiler says it is.
        version: String,
        /// Whether rustup is there to install it.
        rustup: Rustup,
    },
}

/// Whether rustup is on the path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rustup {
    /// It is.
    Present,
    /// It is not.
    Absent,
}

impl Toolchain {
    /// The first compiler that works for a crate in `folder`; `cargo` is the Cargo in use.
    ///
    /// # Errors
    /// When there is none; [`Missing::hint`] says what to install.
    pub fn find(cargo: &Path, folder: &Path) -> Result<Self, Missing> {
        if current_has_target(folder) {
            return Ok(Self::Current { cargo: cargo.to_owned() });
        }
        if debian_is_installed() {
            return Ok(Self::Debian);
        }
        match output(Command::new(rustc()).arg("--version").current_dir(folder)) {
            Some(version) => Err(Missing::Target { version, rustup: Rustup::find() }),
            None => Err(Missing::Rust { cargo: cargo.display().to_string() }),
        }
    }

    /// A command of its Cargo's, run in `folder`, that compiles for [`TARGET`] what is told to, in
    /// an environment free of other Cargos.
    pub fn cargo(&self, folder: &Path) -> Command {
        let mut command = match self {
            Self::Current { cargo } => cargo_in(folder, cargo),
            Self::Debian => cargo_in(folder, Path::new(DEBIAN_CARGO)),
        };
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

/// The Cargo `cargo`, run in `folder`, in an environment free of other Cargos.
pub fn cargo_in(folder: &Path, cargo: &Path) -> Command {
    let mut command = Command::new(cargo);
    command.current_dir(folder);
    for (name, _) in env::vars_os() {
        if name.to_str().is_some_and(is_of_another_cargo) {
            command.env_remove(name);
        }
    }
    command
}

impl Missing {
    /// What to do, in one line.
    pub fn hint(&self) -> String {
        let debian =
            format!("apt-get install --no-install-recommends {}", DEBIAN_PACKAGES.join(" "));
        match self {
            Self::Rust { .. } => {
                format!("install it from https://rustup.rs, then run `rustup target add {TARGET}`")
            }
            Self::Target { rustup: Rustup::Present, .. } => format!(
                "run `rustup target add {TARGET}`; where rustup cannot fetch it, Debian's \
                 compiler serves: `{debian}`"
            ),
            Self::Target { rustup: Rustup::Absent, .. } => format!(
                "install Rust from https://rustup.rs and run `rustup target add {TARGET}`, or on \
                 Debian `{debian}`"
            ),
        }
    }
}

impl Rustup {
    fn find() -> Self {
        match output(Command::new("rustup").arg("--version")) {
            Some(_) => Self::Present,
            None => Self::Absent,
        }
    }
}

fn is_of_another_cargo(name: &str) -> bool {
    let kept = CARGO_SETTINGS_KEPT.iter().any(|setting| name.starts_with(setting));
    let rustup = name == "RUSTUP_HOME" || name == "RUSTUP_TOOLCHAIN";
    (name.starts_with("CARGO") && !kept) || (name.starts_with("RUST") && !rustup)
}

fn rustc() -> std::ffi::OsString {
    env::var_os("RUSTC").unwrap_or_else(|| "rustc".into())
}

fn current_has_target(folder: &Path) -> bool {
    let arguments = ["--print", "target-libdir", "--target", TARGET];
    output(Command::new(rustc()).args(arguments).current_dir(folder))
        .is_some_and(|folder| Path::new(&folder).is_dir())
}

fn debian_is_installed() -> bool {
    let sysroot = output(Command::new(DEBIAN_RUSTC).args(["--print", "sysroot"]));
    let version = output(Command::new(DEBIAN_RUSTC).arg("--version"));
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

/// What `command` prints, without the last line end, if it succeeds.
fn output(command: &mut Command) -> Option<String> {
    let output = command.stdin(Stdio::null()).stderr(Stdio::null()).output().ok()?;
    if !output.status.success() {
        return None;
    }
    String::from_utf8(output.stdout).ok().map(|text| text.trim_end().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_outer_cargos_settings_do_not_reach_the_nested_one() {
        for removed in
            ["CARGO", "CARGO_MANIFEST_DIR", "RUSTFLAGS", "RUSTC", "CARGO_PROFILE_DEV_LTO"]
        {
            assert!(is_of_another_cargo(removed), "{removed}");
        }
        for kept in [
            "CARGO_HOME",
            "CARGO_NET_OFFLINE",
            "CARGO_REGISTRIES_X",
            "CARGO_TARGET_DIR",
            "CARGO_TERM_COLOR",
            "RUSTUP_HOME",
            "PATH",
        ] {
            assert!(!is_of_another_cargo(kept), "{kept}");
        }
    }

    #[test]
    fn the_version_is_read_from_what_rustc_says() {
        assert_eq!(minor_version("rustc 1.96.0 (ac68faa20 2026-05-25)"), Some(96));
        assert_eq!(minor_version("rustc 2.0.0"), None);
        assert_eq!(minor_version("nonsense"), None);
    }

    #[test]
    fn what_is_missing_is_said_with_the_command_that_installs_it() {
        let version = || "rustc 1.95.0".to_owned();
        let missing = Missing::Target { version: version(), rustup: Rustup::Present };
        assert_eq!(
            missing.to_string(),
            "rustc 1.95.0 cannot compile for wasm32-unknown-unknown yet: it has no standard \
             library for it"
        );
        assert!(missing.hint().starts_with("run `rustup target add wasm32-unknown-unknown`;"));
        let missing = Missing::Target { version: version(), rustup: Rustup::Absent };
        assert!(missing.hint().contains("apt-get install --no-install-recommends rustc-web"));
    }

    #[test]
    fn the_tasks_flags_are_set_and_another_cargos_are_not() {
        let toolchain = Toolchain::Current { cargo: "cargo".into() };
        let command = toolchain.cargo(Path::new("/"));
        let flags = command
            .get_envs()
            .find(|(name, _)| *name == "CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_RUSTFLAGS");
        assert_eq!(flags.and_then(|(_, value)| value), Some(TASK_FLAGS.as_ref()));
        // Cargo sets it for every test it runs.
        let outer = command.get_envs().find(|(name, _)| *name == "CARGO_MANIFEST_DIR");
        assert_eq!(outer, Some(("CARGO_MANIFEST_DIR".as_ref(), None)));
    }
}
