//! Submissions that are named after others, so that a repeat has the same name.

use blake3::Hasher;
use gleaner_coordinator_core::Owner;
use gleaner_protocol::SubmissionId;

/// Submitters name their submissions without knowing of each other's: one of them must neither be
/// given another's job nor learn of it.
pub(super) fn of_owner(submission: SubmissionId, owner: Owner) -> SubmissionId {
    let Owner::Submitter(submitter) = owner else { return submission };
    let mut hasher = Hasher::new_derive_key("gleaner 2026 submission of a submitter v1");
    name(hasher.update(&submitter.0).update(&submission.0.to_be_bytes()))
}

/// The submission that retries another.
pub(super) fn retry_of(submission: SubmissionId) -> SubmissionId {
    let mut hasher = Hasher::new_derive_key("gleaner 2026 retry of a submission v1");
    name(hasher.update(&submission.0.to_be_bytes()))
}

fn name(hasher: &Hasher) -> SubmissionId {
    let hash = hasher.finalize();
    SubmissionId(u128::from_be_bytes(hash.as_bytes()[..16].try_into().expect("it has 32 bytes")))
}
