//! A function of a stage's module, called in a slot of this coordinator's, behind the same walls as on
//! a worker: what merges outputs and what makes items.
//!
//! Deliberately absent: any trust in what it gives.

use std::path::PathBuf;
use std::time::Duration;

use gleaner_protocol::{BlobHash, Limits, OnFailure, Outcome, Payload, StageTask, wire};
use gleaner_sandbox::{
    CompileError, Entry, Sandbox, Slot, SlotAnswer, SlotSpec, SlotUnit, SpawnError,
};
use serde_bytes::ByteBuf;

use crate::blobs::Blobs;

/// Why a call gave no value.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// The function ended otherwise.
    #[error("{0}")]
    NoValue(Outcome),
    /// Time ran out while this machine gave the function little of it. A repeat may help.
    #[error("it had the processor for {cpu:?} of the {wall:?} that it may take")]
    Starved {
        /// The CPU time that it was given.
        cpu: Duration,
        /// The limit.
        wall: Duration,
    },
    /// The module could not be compiled here.
    #[error(transparent)]
    Compile(#[from] CompileError),
    /// The module is not held here.
    #[error("the module {module} is not held here")]
    ModuleMissing {
        /// Its hash.
        module: BlobHash,
    },
    /// No slot could be had for it.
    #[error(transparent)]
    Spawn(#[from] SpawnError),
}

impl CallError {
    /// Whether the function or its limits are at fault, and would be on every repeat on this
    /// machine, which is the only one that calls it.
    pub fn is_of_job(&self) -> bool {
        match self {
            Self::NoValue(outcome) => {
                !matches!(outcome, Outcome::HostMemory | Outcome::SlotCrashed { .. })
            }
            Self::Compile(error) => matches!(error, CompileError::Refused(_)),
            Self::Spawn(error) => matches!(error, SpawnError::NoEntry(_)),
            Self::Starved { .. } | Self::ModuleMissing { .. } => false,
        }
    }
}

/// A slot that calls one function; it ends with this value.
pub(crate) struct Function(Slot);

impl Function {
    /// Starts a slot for the function `entry` of a task's module, which may open `files` by their
    /// names and has these limits.
    pub(crate) async fn start(
        sandbox: &Sandbox,
        blobs: &Blobs,
        task: &StageTask,
        entry: Entry,
        files: Vec<(String, PathBuf)>,
        limits: Limits,
    ) -> Result<Self, CallError> {
        let module = task.module;
        let path = blobs.path(module.hash);
        let path = path.ok_or(CallError::ModuleMissing { module: module.hash })?;
        let slot = SlotSpec {
            module: sandbox.compile(module, task.floats, &path).await?,
            entry,
            parameters: wire::encode(&task.parameters),
            files,
            limits,
            on_failure: OnFailure::Stop,
        };
        Ok(Self(sandbox.spawn(slot).await?))
    }

    /// The one value that the function makes of `unit`.
    pub(crate) async fn call(&self, unit: SlotUnit) -> Result<ByteBuf, CallError> {
        let SlotAnswer { outcome, cpu, .. } = self.0.run(unit).await;
        match outcome {
            Outcome::Completed { outputs: Payload::Inline(mut outputs), .. }
                if outputs.len() == 1 =>
            {
                Ok(outputs.remove(0))
            }
            Outcome::WallExceeded { limit_ms } if is_starved(cpu, limit_ms) => {
                Err(CallError::Starved { cpu, wall: Duration::from_millis(limit_ms) })
            }
            outcome => Err(CallError::NoValue(outcome)),
        }
    }
}

/// Whether others had the processor for most of the time.
fn is_starved(cpu: Duration, wall_limit_ms: u64) -> bool {
    cpu < Duration::from_millis(wall_limit_ms) / 2
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_that_others_took_is_no_fault_of_the_function() {
        assert!(is_starved(Duration::from_millis(400), 1000));
        assert!(!is_starved(Duration::from_millis(600), 1000), "it runs for ever");
        let (cpu, wall) = (Duration::from_secs(1), Duration::from_secs(9));
        assert!(!CallError::Starved { cpu, wall }.is_of_job());
        assert!(CallError::NoValue(Outcome::WallExceeded { limit_ms: 9000 }).is_of_job());
    }
}
