//! Merges in a slot, by a function of the stage's module.

use gleaner_protocol::{Reducer, StageSpec, StageTask};
use gleaner_sandbox::{Entry, Sandbox, SlotUnit};
use serde_bytes::ByteBuf;

use super::Merger;
use crate::blobs::Blobs;
use crate::function::{CallError, Function};

/// Merges by a function of the stage's module. The slot starts with the first merge and ends with
/// this value.
pub struct SlotMerger {
    sandbox: Sandbox,
    blobs: Blobs,
    task: StageTask,
    function: Option<String>,
    started: Option<Function>,
}

impl SlotMerger {
    /// A merger for a stage; one that does not merge needs none, and must not use it.
    pub fn new(sandbox: &Sandbox, blobs: &Blobs, stage: &StageSpec) -> Self {
        let function = match &stage.reducer {
            Reducer::Merge { function, .. } => Some(function.clone()),
            _ => None,
        };
        let (sandbox, blobs, task) = (sandbox.clone(), blobs.clone(), stage.task.clone());
        Self { sandbox, blobs, task, function, started: None }
    }

    async fn started(&mut self) -> Result<&Function, CallError> {
        if self.started.is_none() {
            self.started = Some(self.start().await?);
        }
        Ok(self.started.as_ref().expect("it was started above"))
    }

    async fn start(&self) -> Result<Function, CallError> {
        let function = self.function.clone().expect("only stages that merge start a slot");
        let (entry, limits) = (Entry::Merge(function), self.task.limits);
        Function::start(&self.sandbox, &self.blobs, &self.task, entry, Vec::new(), limits).await
    }
}

impl Merger for SlotMerger {
    async fn merge(&mut self, left: ByteBuf, right: ByteBuf) -> Result<ByteBuf, CallError> {
        let unit = SlotUnit { first_item: 0, items: vec![left, right], seeds: Vec::new() };
        self.started().await?.call(unit).await
    }
}
