//! The core's snapshots as the control API shows them.

use gleaner_coordinator_core::{
    FailureCause, JobEnd, JobSnapshot, StageSnapshot, StageState, Usage, WorkerSnapshot,
};
use gleaner_protocol::{Timestamp, api};
use jiff::Timestamp as Instant;

use crate::store::{StoredInvitation, StoredLog, StoredSubmitter};

pub(crate) fn job(snapshot: JobSnapshot, submitter: Option<String>) -> api::JobView {
    let failure_cause = match &snapshot.end {
        Some((JobEnd::Failed { cause, .. }, _)) => Some(self::failure_cause(*cause)),
        _ => None,
    };
    let (state, failure) = match snapshot.end.as_ref().map(|(end, _)| end) {
        None if snapshot.paused_at.is_some() => (api::JobState::Paused, None),
        None => (api::JobState::Running, None),
        Some(JobEnd::Done) => (api::JobState::Done, None),
        Some(JobEnd::Failed { reason, .. }) => (api::JobState::Failed, Some(reason.clone())),
        Some(JobEnd::Cancelled) => (api::JobState::Cancelled, None),
    };
    api::JobView {
        job: snapshot.job,
        name: snapshot.name,
        retry_of: snapshot.retry_of,
        retried_by: snapshot.retried_by,
        submitter,
        state,
        priority: snapshot.priority,
        version: snapshot.version,
        submitted_at: rfc3339(snapshot.submitted_at),
        ended_at: snapshot.end.map(|(_, at)| rfc3339(at)),
        failure,
        failure_cause,
        kept_until: snapshot.kept_until.map(rfc3339),
        notify_failure: None,
        stages: snapshot.stages.into_iter().map(stage).collect(),
    }
}

fn failure_cause(cause: FailureCause) -> api::FailureCause {
    match cause {
        FailureCause::Task { .. } => api::FailureCause::Task,
        FailureCause::NoAnswer { .. } => api::FailureCause::NoAnswer,
        FailureCause::NoAgreement { .. } => api::FailureCause::NoAgreement,
        FailureCause::Stage => api::FailureCause::Stage,
    }
}

pub(crate) fn outputs(snapshot: JobSnapshot) -> Vec<api::OutputFile> {
    let files = snapshot.stages.into_iter().flat_map(|stage| {
        let name = stage.name;
        stage.outputs.into_iter().map(move |output| api::OutputFile {
            stage: name.clone(),
            name: output.name,
            bytes: output.blob.bytes,
            hash: output.blob.hash,
        })
    });
    files.collect()
}

pub(crate) fn worker(snapshot: WorkerSnapshot) -> api::WorkerView {
    api::WorkerView {
        worker: snapshot.worker,
        slots: snapshot.slots,
        leases: snapshot.leases,
        running: snapshot.running,
        slot_memory_bytes: snapshot.slot_memory_bytes,
        results: snapshot.results,
        cpu_seconds: snapshot.cpu.as_secs_f64(),
        connected_at: rfc3339(snapshot.connected_at),
    }
}

pub(crate) fn submitter(stored: StoredSubmitter, usage: Usage) -> api::SubmitterView {
    api::SubmitterView {
        name: stored.name,
        submitter: stored.submitter,
        terms: stored.terms,
        jobs_running: usage.jobs_running,
        storage_bytes: usage.storage_bytes,
        added_at: rfc3339(stored.added_at),
    }
}

/// An invitation as it is at `now`.
pub(crate) fn invitation(stored: StoredInvitation, now: Timestamp) -> api::InvitationView {
    let StoredInvitation { invitation, terms, created_at, revoked_at, members } = stored;
    let is_used_up = terms.uses_max.is_some_and(|max| members.len() >= max as usize);
    let state = match revoked_at {
        Some(_) => api::InvitationState::Revoked,
        None if terms.expires_at <= now => api::InvitationState::Expired,
        None if is_used_up => api::InvitationState::UsedUp,
        None => api::InvitationState::Open,
    };
    let member =
        |(worker, admitted_at)| api::MemberView { worker, admitted_at: rfc3339(admitted_at) };
    api::InvitationView {
        invitation,
        note: terms.note,
        state,
        created_at: rfc3339(created_at),
        expires_at: rfc3339(terms.expires_at),
        uses_max: terms.uses_max,
        members: members.into_iter().map(member).collect(),
    }
}

pub(crate) fn attempt_log(stored: StoredLog) -> api::AttemptLog {
    let StoredLog { attempt, worker, words, log } = stored;
    api::AttemptLog { attempt, worker, outcome: words, log }
}

/// RFC 3339 in UTC, to the millisecond.
pub(crate) fn rfc3339(at: Timestamp) -> String {
    let millis = i64::try_from(at.as_millis()).unwrap_or(i64::MAX);
    Instant::from_millisecond(millis).unwrap_or(Instant::MAX).to_string()
}

fn stage(snapshot: StageSnapshot) -> api::StageView {
    let cpu = snapshot.cpu_in_all();
    api::StageView {
        name: snapshot.name,
        state: match snapshot.state {
            StageState::Blocked => api::StageState::Blocked,
            StageState::Open => api::StageState::Open,
            StageState::Reducing => api::StageState::Reducing,
            StageState::Done => api::StageState::Done,
        },
        items: snapshot.items,
        items_settled: snapshot.items_settled,
        items_kept: snapshot.items_kept,
        items_failed: snapshot.items_failed,
        units_settled: snapshot.units_settled,
        attempts_running: snapshot.attempts_running,
        attempts_assigned: snapshot.attempts_leased - snapshot.attempts_running,
        attempts_inconclusive: snapshot.attempts_inconclusive,
        cpu_seconds: cpu.as_secs_f64(),
        cpu_seconds_unanswered: snapshot.cpu_unanswered.as_secs_f64(),
    }
}
