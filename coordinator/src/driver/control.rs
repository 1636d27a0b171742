//! The control API's requests, put to the engine.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use gleaner_clock::Clock;
use gleaner_coordinator_core::{
    JobSnapshot, Owner, Question, Reply, StageSnapshot, Subject, Usage,
};
use gleaner_network::Node;
use gleaner_protocol::api::{
    self, AddSubmitterReply, AddSubmitterRequest, ApiError, InvitationView, InviteReply,
    InviteRequest, JobView, OutputFile, PriorityRequest, ProjectView, RevokeReply, RevokeRequest,
    RoomView, SubmitReply, SubmitRequest, SubmitterView, UnitLogs, UnitsPage, WhyView, WorkerView,
};
use gleaner_protocol::limits::PRIORITY_MAX;
use gleaner_protocol::{
    BlobHash, BlobRef, InvitationId, JobId, JobSpec, StageIndex, SubmissionId, UnitId,
};
use gleaner_sandbox::Sandbox;

use super::answers;
use super::engine::{Ask, Changes, Engine, Input};
use super::inputs::{Derived, Inputs};
use super::refusals::{
    self, WhileFull, check_name, check_notify, check_terms, disk_full, not_added, not_ended,
    not_there, stage_of, store_failed, submission_failed,
};
use super::reports::{
    FailedTable, ItemsOut, JobParts, OutState, Partial, Provenance, Reports, Sight,
};
use super::submission;
use super::submission_names::of_owner;
use super::submitter_list::SubmitterList;
use super::submitters::Submitters;
use super::units::{self, Out};
use super::views;
use crate::blobs::Blobs;
use crate::http::{Control, ControlError, Streamed, UnitsRequest};
use crate::notify::Notices;
use crate::project::{InviteError, InviteOptions, Invited, Project};
use crate::split::SlotSplitter;
use crate::store::{Store, StoredJob, StoredSubmitter, StoredUnit, UnitChoice, UnitsQuery};

/// How long an answer may take while the disk is full: many depend on nothing that waits.
const FULL_PATIENCE: Duration = Duration::from_secs(1);

pub(crate) struct DriverControl {
    pub(crate) project: Project,
    pub(crate) clock: Clock,
    pub(crate) store: Store,
    pub(crate) blobs: Blobs,
    pub(crate) node: Node,
    pub(crate) engine: Engine,
    pub(crate) inputs: Arc<Inputs>,
    pub(crate) reports: Reports,
    pub(crate) previews: Reports,
    /// Runs merges of previews when nobody else wants the processor.
    pub(crate) preview_sandbox: Sandbox,
    pub(crate) submitters: Arc<Submitters>,
    pub(crate) submitter_list: SubmitterList,
    pub(crate) changes: Arc<Changes>,
    pub(crate) splitter: SlotSplitter,
    pub(crate) notices: Arc<Notices>,
}

impl Control for DriverControl {
    async fn project(&self) -> Result<ProjectView, ControlError> {
        let record = &self.project.record;
        Ok(ProjectView {
            project: record.project,
            name: record.name.clone(),
            operator: record.operator.clone(),
            purpose: record.purpose.clone(),
            record_expires_at: views::rfc3339(record.expires_at),
            addresses: self.node.tested_addresses().await,
        })
    }

    async fn submit(
        &self,
        owner: Owner,
        request: SubmitRequest,
    ) -> Result<SubmitReply, ControlError> {
        let SubmitRequest { submission, job: mut spec } = request;
        check_notify(owner, &spec.notify)?;
        // A job that cannot be made durable now is better not taken at all.
        if let Some(full) = self.store.full() {
            return Err(disk_full(&full, WhileFull::NotTaken));
        }
        let pin = |spec: &JobSpec| self.blobs.uses().pin(spec.blobs().map(|blob| blob.hash));
        // What another job lets go of meanwhile stays; and so do items that the check makes.
        let _given = pin(&spec);
        let _derived = Derived::of(&spec, self.inputs.clone());
        let items = submission::check_submission(&mut spec, &self.blobs, &self.splitter).await;
        let items = items.map_err(|error| submission_failed(&error))?;
        let _made = pin(&spec);
        let blobs: Vec<_> = spec.blobs().collect();
        let kept = answers::known_at_submission(&self.store, &spec, &items, None).await;
        let kept = kept.map_err(store_failed)?;
        let name = submission;
        let submission = of_owner(submission, owner);
        let (spec, retry_of) = (Box::new(spec), None);
        let ask = Ask::Submit { submission, owner, spec, retry_of, items, kept };
        match self.ask(ask).await? {
            Reply::Submitted(job) => {
                self.submitters.settle(owner, blobs.into_iter());
                Ok(SubmitReply { job })
            }
            Reply::OverQuota(over) => Err(refusals::over_quota(&self.submitter_name(owner), over)),
            Reply::SubmittedOther(job) => Err(ControlError::Refused(ApiError {
                error: format!("{name} was taken before as {job}, which is another job"),
                hint: Some("name another submission for this one".into()),
            })),
            Reply::WasRemoved { job, .. } => Err(ControlError::Removed(ApiError {
                error: format!("{name} was taken as {job}, which was removed"),
                hint: Some("name another submission to compute it anew".into()),
            })),
            other => unreachable!("a submission was answered with {other:?}"),
        }
    }

    async fn jobs(&self, owner: Owner) -> Result<Vec<JobView>, ControlError> {
        let may_see = |job: &JobSnapshot| [Owner::Operator, job.owner].contains(&owner);
        match self.ask(Ask::Question(Question::Jobs)).await? {
            Reply::Jobs(jobs) => {
                Ok(jobs.into_iter().filter(may_see).map(|job| self.view(job)).collect())
            }
            other => unreachable!("a question about jobs was answered with {other:?}"),
        }
    }

    async fn owner_of(&self, job: JobId) -> Result<Owner, ControlError> {
        match self.ask(Ask::Question(Question::Job(job))).await? {
            Reply::Job(snapshot) => Ok(snapshot.owner),
            Reply::WasRemoved { owner, .. } => Ok(owner),
            other => Err(not_there(other)),
        }
    }

    async fn reserve_blob(
        &self,
        owner: Owner,
        hash: BlobHash,
        bytes: Option<u64>,
    ) -> Result<(), ControlError> {
        let max = self.submitters.terms(owner).and_then(|terms| terms.storage_bytes_max);
        let (Owner::Submitter(submitter), Some(_)) = (owner, max) else { return Ok(()) };
        let Some(bytes) = bytes else {
            let error = "the request does not tell the length of the blob".to_owned();
            let hint = Some("send a `Content-Length`".to_owned());
            return Err(ControlError::Refused(ApiError { error, hint }));
        };
        let used = self.usage(owner).await?.storage_bytes;
        let reserved = self.submitters.reserve(submitter, BlobRef { hash, bytes }, used);
        reserved.map_err(|no_room| refusals::no_room(&self.submitter_name(owner), bytes, no_room))
    }

    async fn room(&self, owner: Owner) -> Result<RoomView, ControlError> {
        let usage = self.usage(owner).await?;
        let terms = self.submitters.terms(owner);
        let waiting = self.submitters.waiting_bytes(owner);
        Ok(RoomView {
            jobs_running: usage.jobs_running,
            jobs_max: terms.and_then(|terms| terms.jobs_max),
            storage_bytes: usage.storage_bytes.saturating_add(waiting),
            storage_bytes_max: terms.and_then(|terms| terms.storage_bytes_max),
            disk_bytes_free: self.blobs.disk_bytes_free().map_err(refusals::no_disk)?,
        })
    }

    async fn job(&self, job: JobId) -> Result<JobView, ControlError> {
        let snapshot = self.snapshot(Ask::Question(Question::Job(job))).await?;
        Ok(self.view(snapshot))
    }

    async fn wait_job(&self, job: JobId, after: u64) -> Result<JobView, ControlError> {
        let mut changes = self.changes.subscribe();
        loop {
            changes.borrow_and_update();
            let view = self.job(job).await?;
            if view.version > after {
                return Ok(view);
            }
            changes.changed().await.map_err(|_| ControlError::Stopping)?;
        }
    }

    async fn cancel(&self, job: JobId) -> Result<JobView, ControlError> {
        let snapshot = self.snapshot(Ask::Cancel(job)).await?;
        Ok(self.view(snapshot))
    }

    async fn pause(&self, job: JobId) -> Result<JobView, ControlError> {
        let snapshot = self.snapshot(Ask::Pause(job)).await?;
        Ok(self.view(snapshot))
    }

    async fn resume(&self, job: JobId) -> Result<JobView, ControlError> {
        let snapshot = self.snapshot(Ask::Resume(job)).await?;
        Ok(self.view(snapshot))
    }

    async fn retry(&self, job: JobId) -> Result<JobView, ControlError> {
        self.take_up(job).await
    }

    async fn remove(&self, job: JobId) -> Result<(), ControlError> {
        match self.ask(Ask::Remove(job)).await? {
            Reply::Removed(_) => Ok(()),
            Reply::Job(_) => Err(not_ended(job)),
            other => Err(not_there(other)),
        }
    }

    async fn prioritise(
        &self,
        job: JobId,
        request: PriorityRequest,
    ) -> Result<JobView, ControlError> {
        let PriorityRequest { priority } = request;
        if !(-PRIORITY_MAX..=PRIORITY_MAX).contains(&priority) {
            let error = format!("the priority is {priority}");
            let hint = Some(format!("it must be -{PRIORITY_MAX} to {PRIORITY_MAX}"));
            return Err(ControlError::Refused(ApiError { error, hint }));
        }
        let snapshot = self.snapshot(Ask::Prioritise(job, priority)).await?;
        Ok(self.view(snapshot))
    }

    async fn output(&self, job: JobId) -> Result<Vec<OutputFile>, ControlError> {
        self.snapshot(Ask::Question(Question::Job(job))).await.map(views::outputs)
    }

    async fn failed(&self, job: JobId) -> Result<Streamed, ControlError> {
        let snapshot = self.snapshot(Ask::Question(Question::Job(job))).await?;
        let fields = self.item_fields(&snapshot).await?;
        self.reports.start(FailedTable { job, fields }).await
    }

    async fn provenance(&self, caller: Owner, job: JobId) -> Result<Streamed, ControlError> {
        let snapshot = self.snapshot(Ask::Question(Question::Job(job))).await?;
        let (submission, JobParts { spec, .. }) = self.parts(&snapshot).await?;
        let sight = self.sight(caller, &snapshot).await?;
        let provenance = Provenance {
            project: self.project.record.clone(),
            submission,
            submitter: self.submitters.name(snapshot.owner),
            spec,
            job: snapshot,
            sight,
        };
        self.reports.start(provenance).await
    }

    async fn partial(&self, job: JobId) -> Result<Streamed, ControlError> {
        let (snapshot, out) = self.items_out(job).await?;
        let parts = self.parts(&snapshot).await?.1;
        let partial = Partial {
            job: snapshot,
            parts,
            out,
            blobs: self.blobs.clone(),
            inputs: self.inputs.clone(),
            sandbox: self.preview_sandbox.clone(),
        };
        self.previews.start(partial).await
    }

    async fn units(
        &self,
        caller: Owner,
        job: JobId,
        query: UnitsRequest,
    ) -> Result<UnitsPage, ControlError> {
        // The core first: what it says is durable then, and the store knows at least as much.
        let out = self.out(job, query.from).await?;
        let stage = query.stage.map(|name| stage_of(&out.job, &name)).transpose()?;
        let choice = if query.failed { UnitChoice::Troubled } else { UnitChoice::All };
        let query = UnitsQuery { job, from: query.from, stage, choice };
        let stored = self.store.units(query).await.map_err(store_failed)?;
        let mut page = units::page(&out, stored);
        let sources: BTreeSet<_> = page.units.iter().filter_map(units::source).collect();
        let seen = self.seen(caller, sources).await?;
        for unit in &mut page.units {
            if units::source(unit).is_some_and(|source| !seen.contains_key(&source)) {
                units::hide_source(unit);
            }
        }
        self.add_fields(&out.job, &mut page.units).await?;
        Ok(page)
    }

    async fn why(&self, subject: Subject) -> Result<WhyView, ControlError> {
        let stored = match subject {
            Subject::Unit(unit) => {
                let stored = self.store.unit(unit).await.map_err(store_failed)?;
                Some((unit, stored.ok_or(ControlError::NoSuchUnit(unit))?))
            }
            Subject::Job(_) | Subject::Worker(_) => None,
        };
        let mut sentences = match self.ask(Ask::Question(Question::Why(subject))).await? {
            Reply::Why(sentences) => sentences,
            other => return Err(not_there(other)),
        };
        if let Some((unit, stored)) = stored {
            sentences.extend(units::attempts(unit.job, &stored));
            sentences.extend(self.why_unit_failed(unit.job, &stored).await?);
        }
        if let Subject::Job(job) = subject {
            sentences.extend(self.why_job_failed(job).await?);
        }
        Ok(WhyView { sentences })
    }

    async fn logs(&self, unit: UnitId) -> Result<UnitLogs, ControlError> {
        // What is not swept yet of a removed job is nobody's to read.
        let job = self.snapshot(Ask::Question(Question::Job(unit.job))).await;
        if let Err(removed @ ControlError::Removed(_)) = job {
            return Err(removed);
        }
        let logs = self.store.logs(unit).await.map_err(store_failed)?;
        let stored = self.store.unit(unit).await.map_err(store_failed)?;
        let (logs, stored) = logs.zip(stored).ok_or(ControlError::NoSuchUnit(unit))?;
        let failures = self.failures_of(&job?, &stored).await?;
        let attempts = logs.into_iter().map(views::attempt_log).collect();
        Ok(UnitLogs { unit, attempts, items_failed: stored.items_failed, failures })
    }

    async fn workers(&self) -> Result<Vec<WorkerView>, ControlError> {
        match self.ask(Ask::Question(Question::Workers)).await? {
            Reply::Workers(workers) => Ok(workers.into_iter().map(views::worker).collect()),
            other => unreachable!("a question about workers was answered with {other:?}"),
        }
    }

    async fn invite(&self, request: InviteRequest) -> Result<InviteReply, ControlError> {
        let InviteRequest { valid_seconds, uses_max, note } = request;
        let options = InviteOptions { valid: Duration::from_secs(valid_seconds), uses_max, note };
        let (addresses, now) = (self.node.tested_addresses().await, self.clock.now());
        let invited = self.project.invite(&self.store, addresses, options, now).await;
        let Invited { invitation, ticket, expires_at } = invited.map_err(|error| {
            let told = ApiError { error: error.to_string(), hint: None };
            match error {
                InviteError::Valid | InviteError::Uses | InviteError::Note { .. } => {
                    ControlError::Refused(told)
                }
                InviteError::Store(_) => ControlError::Failed(told),
            }
        })?;
        let (ticket, expires_at) = (ticket.to_string(), views::rfc3339(expires_at));
        Ok(InviteReply { invitation, ticket, expires_at, uses_max })
    }

    async fn invitations(&self) -> Result<Vec<InvitationView>, ControlError> {
        let now = self.clock.now();
        let stored = self.store.invitations().await.map_err(store_failed)?;
        Ok(stored.into_iter().map(|stored| views::invitation(stored, now)).collect())
    }

    async fn revoke(
        &self,
        invitation: InvitationId,
        request: RevokeRequest,
    ) -> Result<RevokeReply, ControlError> {
        let (now, store, engine) = (self.clock.now(), self.store.clone(), self.engine.clone());
        // Apart from whoever asks: those who are members no more lose their streams, too, when
        // nobody waits for the answer.
        let revoking = tokio::spawn(async move {
            let revoked = store.revoke(invitation, request.members, now).await?;
            let removed = revoked.iter().flat_map(|(_, removed)| removed);
            for worker in removed {
                engine.send(Input::Expel { worker: *worker }).await;
            }
            Ok(revoked)
        });
        let revoked = revoking.await.expect("revoking an invitation does not panic");
        let revoked = revoked.map_err(store_failed)?;
        let Some((stored, removed)) = revoked else {
            let error = format!("there is no {invitation}");
            let hint = Some("`gleaner coordinator invite --list` lists those there are".into());
            return Err(ControlError::Refused(ApiError { error, hint }));
        };
        Ok(RevokeReply { invitation: views::invitation(stored, now), removed })
    }

    async fn submitters(&self) -> Result<Vec<SubmitterView>, ControlError> {
        let mut stored = self.store.submitters().await.map_err(store_failed)?;
        stored.retain(|stored| stored.removed_at.is_none());
        let mut views = Vec::with_capacity(stored.len());
        for stored in stored {
            views.push(self.submitter_view(stored).await?);
        }
        Ok(views)
    }

    async fn add_submitter(
        &self,
        request: AddSubmitterRequest,
    ) -> Result<AddSubmitterReply, ControlError> {
        let AddSubmitterRequest { name, submitter, terms } = request;
        check_name(&name)?;
        check_terms(terms)?;
        let added = self.submitter_list.add(submitter, name, terms, self.clock.now()).await;
        let stored = added.map_err(not_added)?;
        let ticket = self.project.ticket(self.node.tested_addresses().await).to_string();
        Ok(AddSubmitterReply { submitter: self.submitter_view(stored).await?, ticket })
    }

    async fn remove_submitter(&self, name: String) -> Result<SubmitterView, ControlError> {
        let removed = self.submitter_list.remove(name.clone(), self.clock.now()).await;
        match removed.map_err(store_failed)? {
            Some(stored) => self.submitter_view(stored).await,
            None => Err(ControlError::NoSuchSubmitter(name)),
        }
    }
}

impl DriverControl {
    /// The engine's answer. While the disk is full an answer may wait with what it depends on:
    /// whoever asks is told that rather than to wait.
    pub(super) async fn ask(&self, ask: Ask) -> Result<Reply, ControlError> {
        let full = async {
            let full = self.store.until_full().await;
            tokio::time::sleep(FULL_PATIENCE).await;
            full
        };
        let asked = ask.while_full();
        tokio::select! {
            biased;
            reply = self.engine.ask(ask) => reply.ok_or(ControlError::Stopping),
            full = full => Err(disk_full(&full, asked)),
        }
    }

    pub(super) fn view(&self, snapshot: JobSnapshot) -> JobView {
        let submitter = self.submitters.name(snapshot.owner);
        let notify_failure = self.notices.given_up(snapshot.job);
        api::JobView { notify_failure, ..views::job(snapshot, submitter) }
    }

    pub(super) fn submitter_name(&self, owner: Owner) -> String {
        self.submitters.name(owner).unwrap_or_default()
    }

    /// Those of `jobs` that `caller` may see. One that is gone nobody does.
    async fn seen(&self, caller: Owner, jobs: BTreeSet<JobId>) -> Result<Sight, ControlError> {
        let mut seen = Sight::new();
        for job in jobs {
            match self.snapshot(Ask::Question(Question::Job(job))).await {
                Ok(snapshot) if [Owner::Operator, snapshot.owner].contains(&caller) => {
                    seen.insert(job, snapshot);
                }
                Ok(_) | Err(ControlError::NoSuchJob(_) | ControlError::Removed(_)) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(seen)
    }

    /// The jobs from which a job took over answers, as far as `caller` may see them.
    async fn sight(&self, caller: Owner, job: &JobSnapshot) -> Result<Sight, ControlError> {
        let mut sources = BTreeSet::new();
        for (stage, _) in (0..).map(StageIndex).zip(&job.stages) {
            let runs = self.store.kept_runs(job.job, stage).await.map_err(store_failed)?;
            sources.extend(runs.iter().map(|run| run.source));
        }
        self.seen(caller, sources).await
    }

    /// A job, and the items of its units that workers have, in their order.
    async fn items_out(&self, job: JobId) -> Result<(JobSnapshot, Vec<ItemsOut>), ControlError> {
        let mut units = BTreeMap::new();
        let mut from = 0;
        let snapshot = loop {
            let Out { job, leases, next } = self.out(job, from).await?;
            for lease in leases {
                let runs = units.entry(lease.attempt.unit).or_default();
                *runs |= lease.running_since.is_some();
            }
            match next {
                Some(next) => from = next,
                None => break job,
            }
        };
        let mut items = Vec::with_capacity(units.len());
        for (unit, runs) in units {
            // What is not in the store yet is told as waiting.
            if let Some(StoredUnit { stage, items: range, .. }) =
                self.store.unit(unit).await.map_err(store_failed)?
            {
                let state = if runs { OutState::Running } else { OutState::Assigned };
                items.push(ItemsOut { stage, items: range, state });
            }
        }
        items.sort_unstable_by_key(|out| (out.stage, out.items.start));
        Ok((snapshot, items))
    }

    /// A job as it was submitted, with what has come out of it.
    pub(super) async fn parts(
        &self,
        job: &JobSnapshot,
    ) -> Result<(SubmissionId, JobParts), ControlError> {
        let stored = self.store.submitted(job.job).await.map_err(store_failed)?;
        let StoredJob { submission, spec } = stored.ok_or(ControlError::NoSuchJob(job.job))?;
        let first = |stage: &StageSnapshot| stage.outputs.first().map(|output| output.blob);
        let outputs = job.stages.iter().map(first).collect();
        let made = job.stages.iter().map(|stage| stage.made).collect();
        Ok((submission, JobParts { spec, outputs, made }))
    }

    async fn usage(&self, owner: Owner) -> Result<Usage, ControlError> {
        match self.ask(Ask::Question(Question::Usage(owner))).await? {
            Reply::Usage(usage) => Ok(usage),
            other => unreachable!("a question about usage was answered with {other:?}"),
        }
    }

    async fn submitter_view(&self, stored: StoredSubmitter) -> Result<SubmitterView, ControlError> {
        let usage = self.usage(Owner::Submitter(stored.submitter)).await?;
        Ok(views::submitter(stored, usage))
    }

    async fn out(&self, job: JobId, from: u64) -> Result<Out, ControlError> {
        match self.ask(Ask::Question(Question::Leases { job, from })).await? {
            Reply::Leases { job, leases, next } => Ok(Out { job: *job, leases, next }),
            other => Err(not_there(other)),
        }
    }

    pub(super) async fn snapshot(&self, ask: Ask) -> Result<JobSnapshot, ControlError> {
        match self.ask(ask).await? {
            Reply::Job(snapshot) => Ok(*snapshot),
            other => Err(not_there(other)),
        }
    }
}
