//! Why something is as it is.

use gleaner_protocol::api::WhyView;
use gleaner_protocol::{JobId, UnitId, WorkerId};

use crate::ClientError;
use crate::client::Client;

impl Client {
    /// Why a job is as it is: what runs of it, what waits and for what.
    ///
    /// # Errors
    /// As [`ClientError`] says; nothing is changed.
    pub async fn why_job(&self, job: JobId) -> Result<WhyView, ClientError> {
        self.fetch(&format!("/v1/jobs/{job}/why")).await
    }

    /// Why a unit is as it is: who has it, how its attempts ended, what it waits for.
    ///
    /// # Errors
    /// As [`ClientError`] says; nothing is changed.
    pub async fn why_unit(&self, unit: UnitId) -> Result<WhyView, ClientError> {
        self.fetch(&format!("/v1/units/{unit}/why")).await
    }

    /// Why a worker has what it has, and is given nothing more. For the operator alone.
    ///
    /// # Errors
    /// As [`ClientError`] says; nothing is changed.
    pub async fn why_worker(&self, worker: WorkerId) -> Result<WhyView, ClientError> {
        self.fetch(&format!("/v1/workers/{worker}/why")).await
    }
}
