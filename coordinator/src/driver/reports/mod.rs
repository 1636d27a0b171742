//! Reports about jobs, made while they are sent: what failed, what made the outputs.
//!
//! Invariants: memory does not grow with the job; at most [`REPORTS_MAX`] are read at a time, over a
//! connection to the store of their own, so that none keeps the job itself waiting; a report that
//! cannot be finished breaks off, and is never taken for a whole one.

mod failed;
mod fields;
mod gaps;
mod partial;
mod provenance;
mod work;

use std::sync::Arc;
use std::time::Duration;

use gleaner_protocol::{BlobHash, BlobRef, JobSpec, StageIndex, StageSpec};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tracing::error;

use crate::blobs::{BlobError, Blobs};
use crate::http::{BodyWriter, ControlError, ReaderGone, Streamed, streamed};
use crate::reduce::{OutputFault, ReduceError};
use crate::split::{SplitError, StageInput};
use crate::store::{Store, StoreError};

pub(crate) use failed::FailedTable;
pub(crate) use fields::ItemFields;
pub(crate) use gaps::{ItemsOut, OutState};
pub(crate) use partial::Partial;
pub(crate) use provenance::{Provenance, Sight};

/// The most reports that are made at a time; others wait.
const REPORTS_MAX: usize = 4;

/// How long a report waits until it may begin: less than its reader waits for the head.
const PERMIT_PATIENCE: Duration = Duration::from_secs(30);

/// The most previews that are made at a time, as each folds all that a job has settled.
const PREVIEWS_MAX: usize = 2;

/// Why a report broke off.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReportError {
    /// Nobody reads it.
    #[error(transparent)]
    ReaderGone(#[from] ReaderGone),
    /// The store could not be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The items themselves could not be read.
    #[error(transparent)]
    Input(#[from] SplitError),
    /// A blob could not be read.
    #[error(transparent)]
    Blob(#[from] BlobError),
    /// A preview could not be made, and its job is not at fault.
    #[error(transparent)]
    Reduce(#[from] ReduceError),
    /// An item's own fields are no record.
    #[error("an item's own fields: {0}")]
    Fields(#[from] OutputFault),
}

/// A report that writes itself.
pub(crate) trait Report: Send + 'static {
    /// What it is called in the log.
    const NAME: &str;

    /// Writes all of it.
    fn write(
        self,
        store: &Store,
        body: &mut BodyWriter,
    ) -> impl Future<Output = Result<(), ReportError>> + Send;
}

/// Makes reports.
#[derive(Clone, Debug)]
pub(crate) struct Reports {
    store: Store,
    max: usize,
    permits: Arc<Semaphore>,
}

impl Reports {
    /// A maker of tables and lists.
    pub(crate) fn new(store: Store) -> Self {
        Self::with_max(store, REPORTS_MAX)
    }

    /// A maker of previews.
    pub(crate) fn of_previews(store: Store) -> Self {
        Self::with_max(store, PREVIEWS_MAX)
    }

    fn with_max(store: Store, max: usize) -> Self {
        Self { store, max, permits: Arc::new(Semaphore::new(max)) }
    }

    /// Begins to make a report, which ends with its reader.
    ///
    /// # Errors
    /// [`ControlError::Busy`] when as many as may be are made, and none ends for a while.
    pub(crate) async fn start<R: Report>(&self, report: R) -> Result<Streamed, ControlError> {
        let (store, permit) = (self.store.clone(), self.permit(R::NAME).await?);
        let (mut body, streamed) = streamed();
        tokio::spawn(async move {
            let written = async {
                let store = store.read_apart()?;
                report.write(&store, &mut body).await
            };
            let written = written.await;
            drop(permit);
            match written {
                // Whoever has gone needs no end.
                Ok(()) => drop(body.finish().await),
                Err(ReportError::ReaderGone(_)) => {}
                Err(error) => error!(%error, report = R::NAME, "a report broke off"),
            }
        });
        Ok(streamed)
    }

    /// Leave to read as much as a report called `report` does.
    ///
    /// # Errors
    /// As [`Reports::start`].
    pub(crate) async fn permit(
        &self,
        report: &'static str,
    ) -> Result<OwnedSemaphorePermit, ControlError> {
        let permit = Arc::clone(&self.permits).acquire_owned();
        let permit = tokio::time::timeout(PERMIT_PATIENCE, permit).await;
        let permit = permit.map_err(|_| ControlError::Busy { report, max: self.max })?;
        Ok(permit.expect("it is never closed"))
    }
}

/// A job's specification, and the first output of each of its stages that is done.
#[derive(Clone, Debug)]
pub(crate) struct JobParts {
    pub(crate) spec: JobSpec,
    pub(crate) outputs: Vec<Option<BlobRef>>,
    /// What each stage's split function made of an earlier stage's output.
    pub(crate) made: Vec<Option<BlobRef>>,
}

impl JobParts {
    pub(crate) fn stage(&self, stage: StageIndex) -> &StageSpec {
        &self.spec.stages[stage.0 as usize]
    }

    /// Opens the input of a stage anew, as one of a job that has ended is not held open; `None` when
    /// it comes after a stage that is not done.
    pub(crate) async fn open(
        &self,
        stage: StageIndex,
        blobs: &Blobs,
    ) -> Result<Option<StageInput>, SplitError> {
        let spec = self.stage(stage);
        let earlier = self.earlier(stage);
        if spec.splitter.earlier_stage().is_some() && earlier.is_none() {
            return Ok(None);
        }
        StageInput::open(spec, earlier, blobs).await.map(Some)
    }

    /// The files and outputs that its stages are cut from.
    pub(crate) fn cut(&self) -> impl Iterator<Item = BlobHash> {
        let file = |stage| self.stage(stage).splitter.file().map(|(file, _)| file);
        let stages = (0..).map(StageIndex).take(self.spec.stages.len());
        let cut = stages.filter_map(move |stage| file(stage).or_else(|| self.earlier(stage)));
        cut.map(|blob| blob.hash)
    }

    /// The output that a stage takes, or what was made of it, once that is there.
    fn earlier(&self, stage: StageIndex) -> Option<BlobRef> {
        let splitter = &self.stage(stage).splitter;
        let output = splitter.earlier_stage().and_then(|earlier| self.outputs[earlier.0 as usize]);
        splitter.read_from(output, self.made[stage.0 as usize])
    }
}
