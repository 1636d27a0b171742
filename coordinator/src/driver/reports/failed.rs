//! `failed.csv`: a row for each item that gave no output.

use std::sync::Arc;

use gleaner_protocol::{ItemRange, JobId, Splitter, StageIndex};
use serde_bytes::ByteBuf;

use super::{JobParts, Report, ReportError};
use crate::blobs::Blobs;
use crate::driver::inputs::Inputs;
use crate::http::BodyWriter;
use crate::reduce::{FailedRow, failed_header, has_parameters, parameters};
use crate::split::StageInput;
use crate::store::{Store, StoredFailure};

/// How many items' own fields are read at a time.
const ITEMS_AT_ONCE: u64 = 64;

/// The table of one job.
pub(crate) struct FailedTable {
    pub(crate) job: JobId,
    pub(crate) parts: JobParts,
    pub(crate) blobs: Blobs,
    pub(crate) inputs: Arc<Inputs>,
}

impl Report for FailedTable {
    const NAME: &str = "failed.csv";

    async fn write(self, store: &Store, body: &mut BodyWriter) -> Result<(), ReportError> {
        body.write(failed_header()).await?;
        let mut fields = None;
        let (mut stage, mut item) = (StageIndex(0), 0);
        loop {
            let failures = store.failures(self.job, stage, item).await?;
            let Some(last) = failures.last() else { break };
            (stage, item) = (last.stage, last.items.end);
            for (position, failure) in failures.iter().enumerate() {
                if fields.as_ref().is_none_or(|fields: &Fields| fields.stage != failure.stage) {
                    fields = Some(self.fields(failure.stage).await?);
                }
                let fields = fields.as_mut().expect("it was opened above");
                self.rows(failure, &failures[position..], fields, body).await?;
            }
        }
        drop(fields);
        self.close();
        Ok(())
    }
}

impl FailedTable {
    async fn rows(
        &self,
        failure: &StoredFailure,
        ahead: &[StoredFailure],
        fields: &mut Fields,
        body: &mut BodyWriter,
    ) -> Result<(), ReportError> {
        let stage = self.parts.stage(failure.stage);
        let unit = failure.unit.to_string();
        let mut text = Vec::new();
        for item in failure.items.start..failure.items.end {
            let parameters = fields.of(item, ahead).await?;
            let StoredFailure { kind, message, .. } = failure;
            let (stage, unit) = (stage.name.as_str(), unit.as_str());
            let row =
                FailedRow { stage, item, unit, outcome: kind, message, parameters: &parameters };
            text.clear();
            row.write(&mut text);
            body.write(&text).await?;
        }
        Ok(())
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

    /// Removes what opening the inputs of a job that has ended left behind.
    fn close(&self) {
        self.inputs.remove_derived(self.parts.cut());
    }
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

impl Fields {
    /// What can be told of an item's own fields; `ahead` are the failures that come next.
    async fn of(&mut self, item: u64, ahead: &[StoredFailure]) -> Result<String, ReportError> {
        if let Some(name) = usize::try_from(item).ok().and_then(|item| self.names.get(item)) {
            return Ok(serde_json::json!({ "name": name }).to_string());
        }
        let Some(input) = &self.input else { return Ok(String::new()) };
        if !(self.page.start..self.page.end).contains(&item) {
            let at_once = input.unit_items_max().map_or(u64::MAX, |max| max.get().into());
            let most = item.saturating_add(at_once.min(ITEMS_AT_ONCE));
            self.page = ItemRange { start: item, end: run_end(item, self.stage, ahead).min(most) };
            self.maps = input.materialise(self.page).await?;
        }
        Ok(parameters(&self.maps[(item - self.page.start) as usize])?)
    }
}

/// Where the failed items that follow on `item` without a gap end.
fn run_end(item: u64, stage: StageIndex, ahead: &[StoredFailure]) -> u64 {
    ahead.iter().filter(|failure| failure.stage == stage).fold(item, |end, failure| {
        match failure.items.start <= end && end < failure.items.end {
            true => failure.items.end,
            false => end,
        }
    })
}

#[cfg(test)]
mod tests {
    use gleaner_protocol::UnitId;

    use super::*;

    #[test]
    fn fields_are_read_as_far_as_items_failed_in_a_row() {
        let failure = |stage, start, end| StoredFailure {
            stage: StageIndex(stage),
            items: ItemRange { start, end },
            unit: UnitId { job: JobId(1), number: start },
            kind: "failed".into(),
            message: String::new(),
        };
        let ahead = [failure(0, 3, 4), failure(0, 4, 9), failure(0, 10, 11), failure(1, 9, 10)];
        assert_eq!(run_end(3, StageIndex(0), &ahead), 9);
        assert_eq!(run_end(5, StageIndex(0), &ahead[1..]), 9);
        assert_eq!(run_end(10, StageIndex(0), &ahead[2..]), 11);
    }
}
