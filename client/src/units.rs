//! The units of jobs, and their logs.

use gleaner_protocol::api::{UnitLogs, UnitsPage};
use gleaner_protocol::{JobId, UnitId};

use crate::ClientError;
use crate::blobs::escape;
use crate::client::Client;

/// Which units of a job to fetch.
#[derive(Clone, Debug, Default)]
pub struct UnitsFilter {
    /// One stage's alone.
    pub stage: Option<String>,
    /// How much of them.
    pub choice: UnitsChoice,
}

/// Which units to tell of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum UnitsChoice {
    /// All, those that wait as runs.
    #[default]
    All,
    /// Those with an attempt that failed or ended without an answer.
    Failed,
}

impl Client {
    /// A page of a job's units, from the one numbered `from`: 0 first, then what the page before
    /// says.
    ///
    /// # Errors
    /// As [`ClientError`] says; nothing is changed.
    pub async fn units(
        &self,
        job: JobId,
        from: u64,
        filter: &UnitsFilter,
    ) -> Result<UnitsPage, ClientError> {
        let mut path = format!("/v1/jobs/{job}/units?from={from}");
        if let Some(stage) = &filter.stage {
            path = format!("{path}&stage={}", escape(stage));
        }
        if filter.choice == UnitsChoice::Failed {
            path = format!("{path}&failed=true");
        }
        self.fetch(&path).await
    }

    /// What the tasks of a unit's attempts logged.
    ///
    /// # Errors
    /// As [`ClientError`] says; nothing is changed.
    pub async fn logs(&self, unit: UnitId) -> Result<UnitLogs, ClientError> {
        self.fetch(&format!("/v1/units/{unit}/logs")).await
    }
}
