//! A coordinator that answers what the tests write down.

use super::*;

/// One job whose version a test sets, and what was submitted.
pub(super) struct Scripted {
    pub(super) version: watch::Sender<u64>,
    pub(super) submitted: Mutex<Vec<(Owner, SubmissionId)>>,
    pub(super) output: BlobRef,
}

impl Scripted {
    pub(super) fn view(&self) -> JobView {
        JobView {
            job: JOB,
            name: "planets".to_owned(),
            retry_of: None,
            retried_by: None,
            submitter: Some("ada".to_owned()),
            state: JobState::Running,
            priority: 0,
            version: *self.version.borrow(),
            submitted_at: "2026-11-22T00:00:00Z".to_owned(),
            ended_at: None,
            failure: None,
            failure_cause: None,
            kept_until: None,
            notify_failure: None,
            stages: Vec::new(),
        }
    }

    fn known(&self, job: JobId) -> Result<JobView, ControlError> {
        if job == JOB { Ok(self.view()) } else { Err(ControlError::NoSuchJob(job)) }
    }
}

impl Control for Scripted {
    async fn project(&self) -> Result<ProjectView, ControlError> {
        Ok(ProjectView {
            project: ProjectId([1; 32]),
            name: "planets".to_owned(),
            operator: "Observatory".to_owned(),
            purpose: "Looks for planets.".to_owned(),
            record_expires_at: "2027-11-22T00:00:00Z".to_owned(),
            addresses: Vec::new(),
        })
    }

    async fn submit(
        &self,
        owner: Owner,
        request: SubmitRequest,
    ) -> Result<SubmitReply, ControlError> {
        self.submitted.lock().expect("no panic").push((owner, request.submission));
        if request.job.name == "bad" {
            let hint = Some("mend it".to_owned());
            return Err(ControlError::Refused(ApiError { error: "it is bad".to_owned(), hint }));
        }
        Ok(SubmitReply { job: JOB })
    }

    async fn jobs(&self, owner: Owner) -> Result<Vec<JobView>, ControlError> {
        let may_see = [Owner::Operator, Owner::Submitter(ADA)].contains(&owner);
        Ok(if may_see { vec![self.view()] } else { Vec::new() })
    }

    async fn owner_of(&self, job: JobId) -> Result<Owner, ControlError> {
        self.known(job).map(|_| Owner::Submitter(ADA))
    }

    async fn reserve_blob(
        &self,
        owner: Owner,
        _: BlobHash,
        bytes: Option<u64>,
    ) -> Result<(), ControlError> {
        if owner == Owner::Operator || bytes.is_some_and(|bytes| bytes <= 100) {
            return Ok(());
        }
        let hint = Some("ask for more".to_owned());
        Err(ControlError::OverQuota(ApiError { error: "no room".to_owned(), hint }))
    }

    async fn job(&self, job: JobId) -> Result<JobView, ControlError> {
        self.known(job)
    }

    async fn wait_job(&self, job: JobId, after: u64) -> Result<JobView, ControlError> {
        self.known(job)?;
        let mut version = self.version.subscribe();
        version.wait_for(|version| *version > after).await.expect("the sender is alive");
        Ok(self.view())
    }

    async fn cancel(&self, job: JobId) -> Result<JobView, ControlError> {
        Ok(JobView { state: JobState::Cancelled, ..self.known(job)? })
    }

    async fn pause(&self, job: JobId) -> Result<JobView, ControlError> {
        Ok(JobView { state: JobState::Paused, ..self.known(job)? })
    }

    async fn resume(&self, job: JobId) -> Result<JobView, ControlError> {
        self.known(job)
    }

    async fn retry(&self, job: JobId) -> Result<JobView, ControlError> {
        Ok(JobView { job: JobId(8), retry_of: Some(job), ..self.known(job)? })
    }

    async fn remove(&self, job: JobId) -> Result<(), ControlError> {
        self.known(job)?;
        let hint = Some("cancel it first".to_owned());
        Err(ControlError::Refused(ApiError { error: "it runs".to_owned(), hint }))
    }

    async fn prioritise(
        &self,
        job: JobId,
        request: PriorityRequest,
    ) -> Result<JobView, ControlError> {
        Ok(JobView { priority: request.priority, ..self.known(job)? })
    }

    async fn output(&self, job: JobId) -> Result<Vec<OutputFile>, ControlError> {
        self.known(job)?;
        Ok(vec![OutputFile {
            stage: "report".to_owned(),
            name: "plots/földed 1.svg".parse().expect("a name"),
            bytes: self.output.bytes,
            hash: self.output.hash,
        }])
    }

    async fn failed(&self, job: JobId) -> Result<Streamed, ControlError> {
        self.known(job)?;
        let (mut body, streamed) = streamed();
        tokio::spawn(async move {
            body.write(b"stage,item\r\n").await.expect("it is read");
            body.finish().await.expect("it is read");
        });
        Ok(streamed)
    }

    async fn provenance(&self, caller: Owner, job: JobId) -> Result<Streamed, ControlError> {
        self.known(job)?;
        let (mut body, streamed) = streamed();
        let told = format!("{{\"caller\":\"{caller:?}\"}}");
        tokio::spawn(async move { body.write(told.as_bytes()).await });
        Ok(streamed)
    }

    async fn partial(&self, job: JobId) -> Result<Streamed, ControlError> {
        self.failed(job).await
    }

    async fn units(
        &self,
        _: Owner,
        job: JobId,
        query: UnitsRequest,
    ) -> Result<UnitsPage, ControlError> {
        self.known(job)?;
        let stage = query.stage.unwrap_or_default();
        let state = if query.failed { UnitState::Failed } else { UnitState::Waiting };
        let (unit, items) = (UnitId { job, number: query.from }, ItemRange { start: 0, end: 1 });
        let (unit, units, attempts) = (Some(unit), Some(1), Vec::new());
        Ok(UnitsPage {
            units: vec![UnitView {
                unit,
                units,
                stage,
                items,
                state,
                attempts,
                items_failed: 0,
                failures: Vec::new(),
            }],
            next: None,
        })
    }

    async fn why(&self, subject: Subject) -> Result<WhyView, ControlError> {
        match subject {
            Subject::Job(job) | Subject::Unit(UnitId { job, .. }) => drop(self.known(job)?),
            Subject::Worker(_) => {}
        }
        Ok(WhyView { sentences: vec![format!("{subject:?}")] })
    }

    async fn logs(&self, unit: UnitId) -> Result<UnitLogs, ControlError> {
        self.known(unit.job).map_err(|_| ControlError::NoSuchUnit(unit))?;
        Ok(UnitLogs { unit, attempts: Vec::new(), items_failed: 0, failures: Vec::new() })
    }

    async fn room(&self, owner: Owner) -> Result<RoomView, ControlError> {
        let storage_bytes_max = (owner != Owner::Operator).then_some(100);
        let (jobs_running, jobs_max) = (1, None);
        Ok(RoomView {
            jobs_running,
            jobs_max,
            storage_bytes: 10,
            storage_bytes_max,
            disk_bytes_free: 1000,
        })
    }

    async fn workers(&self) -> Result<Vec<WorkerView>, ControlError> {
        Err(ControlError::Stopping)
    }

    async fn invite(&self, request: InviteRequest) -> Result<InviteReply, ControlError> {
        let InviteRequest { valid_seconds, uses_max, note } = request;
        let ticket = format!("gleaner1-{note}-{valid_seconds}");
        let expires_at = "2026-11-23T00:00:00Z".to_owned();
        Ok(InviteReply { invitation: INVITATION, ticket, expires_at, uses_max })
    }

    async fn invitations(&self) -> Result<Vec<InvitationView>, ControlError> {
        Ok(vec![invitation(InvitationState::Open)])
    }

    async fn revoke(
        &self,
        revoked: InvitationId,
        request: RevokeRequest,
    ) -> Result<RevokeReply, ControlError> {
        assert_eq!((revoked, request.members), (INVITATION, MembersFate::Remove));
        let invitation = invitation(InvitationState::Revoked);
        Ok(RevokeReply { invitation, removed: vec![WorkerId([2; 32])] })
    }

    async fn submitters(&self) -> Result<Vec<SubmitterView>, ControlError> {
        Ok(vec![ada()])
    }

    async fn add_submitter(
        &self,
        request: AddSubmitterRequest,
    ) -> Result<AddSubmitterReply, ControlError> {
        let AddSubmitterRequest { name, submitter, terms } = request;
        let submitter = SubmitterView { name, submitter, terms, ..ada() };
        Ok(AddSubmitterReply { submitter, ticket: "gleaner1".to_owned() })
    }

    async fn remove_submitter(&self, name: String) -> Result<SubmitterView, ControlError> {
        if name == "ada" { Ok(ada()) } else { Err(ControlError::NoSuchSubmitter(name)) }
    }
}
