//! Merges in a slot: the stage's module, run behind the same walls as on a worker.

use gleaner_protocol::{OnFailure, Outcome, Payload, Reducer, StageSpec, StageTask, wire};
use gleaner_sandbox::{Entry, Sandbox, Slot, SlotSpec, SlotUnit};
use serde_bytes::ByteBuf;

use super::{MergeError, Merger};
use crate::blobs::Blobs;

/// Merges by a function of the stage's module. The slot starts with the first merge and ends with
/// this value.
pub struct SlotMerger {
    sandbox: Sandbox,
    blobs: Blobs,
    task: StageTask,
    function: Option<String>,
    slot: Option<Slot>,
}

impl SlotMerger {
    /// A merger for a stage; one that does not merge needs none, and must not use it.
    pub fn new(sandbox: &Sandbox, blobs: &Blobs, stage: &StageSpec) -> Self {
        let function = match &stage.reducer {
            Reducer::Merge { function, .. } => Some(function.clone()),
            _ => None,
        };
        let (sandbox, blobs, task) = (sandbox.clone(), blobs.clone(), stage.task.clone());
        Self { sandbox, blobs, task, function, slot: None }
    }

    async fn slot(&mut self) -> Result<&Slot, MergeError> {
        if self.slot.is_none() {
            self.slot = Some(self.start().await?);
        }
        Ok(self.slot.as_ref().expect("it was started above"))
    }

    async fn start(&self) -> Result<Slot, MergeError> {
        let StageTask { module, parameters, limits, floats, .. } = &self.task;
        let path = self.blobs.path(module.hash);
        let path = path.ok_or(MergeError::ModuleMissing { module: module.hash })?;
        let function = self.function.clone().expect("only stages that merge start a slot");
        let slot = SlotSpec {
            module: self.sandbox.compile(*module, *floats, &path).await?,
            entry: Entry::Merge(function),
            parameters: wire::encode(parameters),
            files: Vec::new(),
            limits: *limits,
            on_failure: OnFailure::Stop,
        };
        Ok(self.sandbox.spawn(slot).await?)
    }
}

impl Merger for SlotMerger {
    async fn merge(&mut self, left: ByteBuf, right: ByteBuf) -> Result<ByteBuf, MergeError> {
        let unit = SlotUnit { first_item: 0, items: vec![left, right], seeds: Vec::new() };
        match self.slot().await?.run(unit).await.outcome {
            Outcome::Completed { outputs: Payload::Inline(mut outputs), .. }
                if outputs.len() == 1 =>
            {
                Ok(outputs.remove(0))
            }
            outcome => Err(MergeError::NoValue(outcome)),
        }
    }
}
