//! The names of the walls around a child, for those who must be told that one is missing.

use std::fmt;

use serde::{Deserialize, Serialize};

/// One of the walls around a child that runs or compiles a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Wall {
    /// It dies with the worker that started it.
    Parent,
    /// It holds no descriptor but those it was given.
    Descriptors,
    /// Memory, files and processes are limited (rlimits).
    Limits,
    /// It can gain no privilege (`no_new_privs`).
    NoNewPrivileges,
    /// It reaches no file, no port and no other process (landlock).
    Landlock,
    /// It makes no system call but those on a list (seccomp).
    Seccomp,
}

/// A wall could not be put up, so that nothing of a task was read. A retry on the same host is of
/// no use.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("this host cannot give the wall {wall}: {why}")]
pub struct WallError {
    /// Which.
    pub wall: Wall,
    /// What the system said.
    pub why: String,
}

impl WallError {
    /// `wall` is missing for the reason `why`.
    pub(crate) fn new(wall: Wall, why: impl fmt::Display) -> Self {
        Self { wall, why: why.to_string() }
    }
}

impl fmt::Display for Wall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Parent => "`parent death signal` (prctl)",
            Self::Descriptors => "`closed descriptors` (close_range, Linux 5.9)",
            Self::Limits => "`resource limits` (setrlimit)",
            Self::NoNewPrivileges => "`no_new_privs` (prctl)",
            Self::Landlock => "`landlock` (Linux 5.13 with CONFIG_SECURITY_LANDLOCK)",
            Self::Seccomp => "`seccomp` (CONFIG_SECCOMP_FILTER)",
        })
    }
}
