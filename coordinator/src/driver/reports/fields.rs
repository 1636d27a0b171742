//! What can be told of the own fields of a job's items, read where it is asked for.

use std::sync::Arc;

use gleaner_protocol::{ItemRange, JobId, Splitter, StageIndex};
use serde_bytes::ByteBuf;

use super::{JobParts, ReportError};
use crate::blobs::Blobs;
use crate::driver::inputs::Inputs;
use crate::reduce::{has_parameters, parameters};
use crate::split::StageInput;

/// How many items' own fields are read at a time.
const ITEMS_AT_ONCE: u64 = 64;

/// A reader of the own fields of a job's items, which opens one stage's input at a time. What opening
/// the inputs of a job that has ended makes goes with it.
pub(crate) struct ItemFields {
    job: JobId,
    parts: JobParts,
    blobs: Blobs,
    inputs: Arc<Inputs>,
    open: Option<Fields>,
}

/// The own fields of a stage's items.
struct Fields {
    stage: StageIndex,
    /// None where they are not told, or known without it.
    input: Option<StageInput>,
    /// Names of files that are the items.
    names: Vec<String>,
    page: ItemRange,
    maps: Vec<ByteBuf>,
}

impl ItemFields {
    /// A reader for a job that runs or has ended.
    pub(crate) fn new(job: JobId, parts: JobParts, blobs: Blobs, inputs: Arc<Inputs>) -> Self {
        Self { job, parts, blobs, inputs, open: None }
    }

    /// The job.
    pub(crate) fn parts(&self) -> &JobParts {
        &self.parts
    }

    /// The fields of an item as a JSON object, empty where they are not told; those up to `end` are
    /// asked for next.
    pub(crate) async fn of(
        &mut self,
        stage: StageIndex,
        item: u64,
        end: impl FnOnce() -> u64,
    ) -> Result<String, ReportError> {
        if self.open.as_ref().is_none_or(|open| open.stage != stage) {
            self.open = Some(self.fields(stage).await?);
        }
        self.open.as_mut().expect("it was opened above").of(item, end).await
    }

    async fn fields(&self, stage: StageIndex) -> Result<Fields, ReportError> {
        let splitter = &self.parts.stage(stage).splitter;
        let names = match splitter {
            Splitter::EachFile { files, .. } => {
                files.iter().map(|file| file.name.clone()).collect()
            }
            _ => Vec::new(),
        };
        let input = match has_parameters(splitter) {
            false => None,
            true => match self.inputs.stage(self.job, stage).await {
                Some(input) => Some(input?),
                None => self.parts.open(stage, &self.blobs).await?,
            },
        };
        let page = ItemRange { start: 0, end: 0 };
        Ok(Fields { stage, input, names, page, maps: Vec::new() })
    }
}

impl Drop for ItemFields {
    fn drop(&mut self) {
        self.open = None;
        self.inputs.remove_derived(self.parts.cut());
    }
}

impl Fields {
    async fn of(&mut self, item: u64, end: impl FnOnce() -> u64) -> Result<String, ReportError> {
        if let Some(name) = usize::try_from(item).ok().and_then(|item| self.names.get(item)) {
            return Ok(serde_json::json!({ "name": name }).to_string());
        }
        let Some(input) = &self.input else { return Ok(String::new()) };
        if !(self.page.start..self.page.end).contains(&item) {
            let at_once = input.unit_items_max().map_or(u64::MAX, |max| max.get().into());
            let most = item.saturating_add(at_once.min(ITEMS_AT_ONCE));
            self.page = ItemRange { start: item, end: end().min(most) };
            self.maps = input.materialise(self.page).await?;
        }
        Ok(parameters(&self.maps[(item - self.page.start) as usize])?)
    }
}
