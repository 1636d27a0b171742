//! The items of a job that gave no output, named beside its units: as many as help to see what is
//! wrong, with their own fields. All of them are in `failed.csv`.

use gleaner_coordinator_core::{JobSnapshot, Question};
use gleaner_protocol::api::{FAILED_ITEMS_TOLD_MAX, FailedItemView, UnitView};
use gleaner_protocol::{JobId, StageIndex, UnitId};
use serde_json::Value;
use tracing::error;

use super::control::DriverControl;
use super::engine::Ask;
use super::refusals::store_failed;
use super::reports::ItemFields;
use crate::http::ControlError;
use crate::store::{StoredFailure, StoredUnit};

/// An item that failed, and where.
struct Failed {
    stage: StageIndex,
    unit: UnitId,
    item: FailedItemView,
}

/// The first items of these failures, whose own fields are to be added.
pub(super) fn first_items(failures: &[StoredFailure]) -> Vec<FailedItemView> {
    first(failures).map(|failed| failed.item).collect()
}

fn first(failures: &[StoredFailure]) -> impl Iterator<Item = Failed> {
    let items = failures.iter().flat_map(|failure| {
        let StoredFailure { stage, items, unit, kind, message } = failure;
        (items.start..items.end).map(|item| Failed {
            stage: *stage,
            unit: *unit,
            item: FailedItemView {
                item,
                outcome: kind.clone(),
                message: message.clone(),
                parameters: None,
            },
        })
    });
    items.take(FAILED_ITEMS_TOLD_MAX)
}

impl DriverControl {
    /// A reader of the own fields of a job's items.
    pub(super) async fn item_fields(&self, job: &JobSnapshot) -> Result<ItemFields, ControlError> {
        let parts = self.parts(job).await?.1;
        Ok(ItemFields::new(job.job, parts, self.blobs.clone(), self.inputs.clone()))
    }

    /// Adds what is told of their own fields to the failed items of a page of units.
    pub(super) async fn add_fields(
        &self,
        job: &JobSnapshot,
        units: &mut [UnitView],
    ) -> Result<(), ControlError> {
        let stage_of = |name: &str| job.stages.iter().position(|stage| stage.name == name);
        let items = units.iter_mut().flat_map(|unit| {
            let stage = stage_of(&unit.stage).expect("a unit is of a stage of its job");
            unit.failures.iter_mut().map(move |item| (StageIndex(stage as u32), item))
        });
        self.read_fields(job, items.collect()).await
    }

    /// The first failed items of a unit.
    pub(super) async fn failures_of(
        &self,
        job: &JobSnapshot,
        unit: &StoredUnit,
    ) -> Result<Vec<FailedItemView>, ControlError> {
        let mut items = first_items(&unit.failures);
        let of_stage = items.iter_mut().map(|item| (unit.stage, item)).collect();
        self.read_fields(job, of_stage).await?;
        Ok(items)
    }

    /// The first failed items of a job in sentences, and how many more there are.
    pub(super) async fn why_job_failed(&self, job: JobId) -> Result<Vec<String>, ControlError> {
        let failures = self.store.failures(job, StageIndex(0), 0).await.map_err(store_failed)?;
        if failures.is_empty() {
            return Ok(Vec::new());
        }
        let job = self.snapshot(Ask::Question(Question::Job(job))).await?;
        let of = job.stages.iter().map(|stage| stage.items_failed).sum();
        self.sentences(&job, &failures, of).await
    }

    /// The first failed items of a unit in sentences, and how many more there are.
    pub(super) async fn why_unit_failed(
        &self,
        job: JobId,
        unit: &StoredUnit,
    ) -> Result<Vec<String>, ControlError> {
        if unit.failures.is_empty() {
            return Ok(Vec::new());
        }
        let job = self.snapshot(Ask::Question(Question::Job(job))).await?;
        self.sentences(&job, &unit.failures, unit.items_failed).await
    }

    async fn sentences(
        &self,
        job: &JobSnapshot,
        failures: &[StoredFailure],
        of: u64,
    ) -> Result<Vec<String>, ControlError> {
        let mut failed: Vec<_> = first(failures).collect();
        let items = failed.iter_mut().map(|failed| (failed.stage, &mut failed.item));
        self.read_fields(job, items.collect()).await?;
        let more = match of.saturating_sub(failed.len() as u64) {
            0 => None,
            1 => Some("1 more item failed".to_owned()),
            more => Some(format!("{more} more items failed")),
        };
        let told = failed.iter().map(|failed| sentence(job, failed));
        Ok(told.chain(more).collect())
    }

    async fn read_fields(
        &self,
        job: &JobSnapshot,
        items: Vec<(StageIndex, &mut FailedItemView)>,
    ) -> Result<(), ControlError> {
        if items.is_empty() {
            return Ok(());
        }
        let Ok(_permit) = self.reports.permit("failed items").await else {
            // Parameters are worth less than an answer while many others are read.
            return Ok(());
        };
        let mut fields = self.item_fields(job).await?;
        for (stage, view) in items {
            let item = view.item;
            match fields.of(stage, item, || item + 1).await {
                // An empty text is of an item of which nothing is told.
                Ok(text) => view.parameters = serde_json::from_str(&text).ok(),
                Err(error) => {
                    // That they failed, and why, is told all the same.
                    error!(%error, job = %job.job, "the fields of failed items cannot be read");
                    break;
                }
            }
        }
        Ok(())
    }
}

fn sentence(job: &JobSnapshot, failed: &Failed) -> String {
    let Failed { stage, unit, item: FailedItemView { item, outcome, message, parameters } } =
        failed;
    let stage = &job.stages[stage.0 as usize].name;
    let why = if message.is_empty() { outcome } else { message };
    let parameters = match parameters {
        Some(parameters) => format!("; its parameters: {}", Value::Object(parameters.clone())),
        None => String::new(),
    };
    format!("item {item} of stage `{stage}` failed in {unit}: {why}{parameters}")
}
