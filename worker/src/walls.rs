//! Whether this host can lock a task in: tried before anything is promised to anybody.
//!
//! A module of our own that does nothing is compiled and loaded into a slot, behind the same walls
//! that a task gets, and the slot is ended.

use std::io::{self, Write};
use std::path::Path;

use gleaner_protocol::{BlobRef, Floats, Limits};
use gleaner_sandbox::{CompileError, Entry, Sandbox, SlotSpec, SpawnError, WallError};

/// `(module (memory (export "memory") 1)
///    (func (export "gleaner_1:task:run") (result i32) i32.const 0))`
const NOTHING: &[u8] = b"\0asm\x01\0\0\0\
    \x01\x05\x01\x60\x00\x01\x7f\
    \x03\x02\x01\x00\
    \x05\x03\x01\x00\x01\
    \x07\x1f\x02\x06memory\x02\x00\x12gleaner_1:task:run\x00\x00\
    \x0a\x06\x01\x04\x00\x41\x00\x0b";

/// Ends the names of files in the folder of compiled modules that a crash left behind: they are
/// removed at the next start.
const UNFINISHED: &str = ".unfinished";

/// Why no task can be run on this host. A retry helps once the host has changed.
#[derive(Debug, thiserror::Error)]
pub enum WallsError {
    /// A task could not be locked in.
    #[error("this machine cannot lock tasks in, so it can run none: {0}")]
    Wall(WallError),
    /// The trial module could not be written.
    #[error("cannot write to {}: {source}", folder.display())]
    Io {
        /// The folder.
        folder: std::path::PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The trial module was not compiled.
    #[error("this machine cannot compile tasks: {0}")]
    Compile(CompileError),
    /// No slot ran.
    #[error("this machine cannot start a slot: {0}")]
    Slot(SpawnError),
}

/// Compiles and loads a task that does nothing, its file in `folder` meanwhile.
///
/// # Errors
/// [`WallsError`].
pub(crate) async fn try_out(sandbox: &Sandbox, folder: &Path) -> Result<(), WallsError> {
    let failed = |source| WallsError::Io { folder: folder.to_owned(), source };
    let mut file =
        tempfile::Builder::new().suffix(UNFINISHED).tempfile_in(folder).map_err(failed)?;
    file.write_all(NOTHING).map_err(failed)?;
    let compiled = sandbox.compile(BlobRef::of(NOTHING), Floats::Plain, file.path()).await;
    let module = compiled.map_err(|error| match error {
        CompileError::Wall(error) => WallsError::Wall(error),
        error => WallsError::Compile(error),
    })?;
    let entry = Entry::Task("run".to_owned());
    let (parameters, files, limits) = (vec![0x80], Vec::new(), Limits::default());
    let slot = sandbox
        .spawn(SlotSpec {
            module,
            entry,
            parameters,
            files,
            limits,
            on_failure: gleaner_protocol::OnFailure::Stop,
        })
        .await;
    let slot = slot.map_err(|error| match error {
        SpawnError::Wall(error) => WallsError::Wall(error),
        error => WallsError::Slot(error),
    })?;
    slot.kill().await;
    Ok(())
}

impl WallsError {
    /// What the volunteer can do about it, in one line.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Wall(_) => {
                "a worker needs Linux 5.13 or newer with landlock switched on \
                 (`cat /sys/kernel/security/lsm` names it) and seccomp allowed; in a container, its \
                 own rules may forbid them"
            }
            Self::Io { .. } => "make room or choose another folder with --data",
            Self::Compile(_) | Self::Slot(_) => "see `gleaner -vv worker start` for more",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_module_that_does_nothing_is_what_it_says() {
        let text = r#"(module (memory (export "memory") 1)
            (func (export "gleaner_1:task:run") (result i32) i32.const 0))"#;
        assert_eq!(wat::parse_str(text).unwrap(), NOTHING);
        assert_eq!(gleaner_sandbox::check_module(NOTHING, Floats::Plain).unwrap().tasks, ["run"]);
    }
}
