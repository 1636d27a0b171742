//! `failed.csv`: a row for each item that gave no output.

use gleaner_protocol::{JobId, StageIndex};

use super::{ItemFields, Report, ReportError};
use crate::http::BodyWriter;
use crate::reduce::{FailedRow, failed_header};
use crate::store::{Store, StoredFailure};

/// The table of one job.
pub(crate) struct FailedTable {
    pub(crate) job: JobId,
    pub(crate) fields: ItemFields,
}

impl Report for FailedTable {
    const NAME: &str = "failed.csv";

    async fn write(mut self, store: &Store, body: &mut BodyWriter) -> Result<(), ReportError> {
        body.write(failed_header()).await?;
        let (mut stage, mut item) = (StageIndex(0), 0);
        loop {
            let failures = store.failures(self.job, stage, item).await?;
            let Some(last) = failures.last() else { return Ok(()) };
            (stage, item) = (last.stage, last.items.end);
            for (position, failure) in failures.iter().enumerate() {
                self.rows(failure, &failures[position..], body).await?;
            }
        }
    }
}

impl FailedTable {
    async fn rows(
        &mut self,
        failure: &StoredFailure,
        ahead: &[StoredFailure],
        body: &mut BodyWriter,
    ) -> Result<(), ReportError> {
        let StoredFailure { stage, kind, message, .. } = failure;
        let name = self.fields.parts().stage(*stage).name.clone();
        let unit = failure.unit.to_string();
        let mut text = Vec::new();
        for item in failure.items.start..failure.items.end {
            let parameters = self.fields.of(*stage, item, || run_end(item, *stage, ahead)).await?;
            let (stage, unit) = (name.as_str(), unit.as_str());
            let row =
                FailedRow { stage, item, unit, outcome: kind, message, parameters: &parameters };
            text.clear();
            row.write(&mut text);
            body.write(&text).await?;
        }
        Ok(())
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
    use gleaner_protocol::{ItemRange, UnitId};

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
