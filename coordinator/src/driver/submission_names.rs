//! How submissions are named.

use blake3::Hasher;
use gleaner_coordinator_core::Owner;
use gleaner_protocol::SubmissionId;

/// Submitters name their submissions without knowing of each other's: one of them must neither be
/// given another's job nor learn of it.
pub(super) fn of_owner(submission: SubmissionId, owner: Owner) -> SubmissionId {
    let Owner::Submitter(submitter) = owner else { return submission };
    let mut hasher = Hasher::new_derive_key("gleaner 2026 submission of a submitter v1");
    let hash = hasher.update(&submitter.0).update(&submission.0.to_be_bytes()).finalize();
    SubmissionId(u128::from_be_bytes(hash.as_bytes()[..16].try_into().expect("it has 32 bytes")))
}

/// The name of a submission that nobody will repeat by its name: 128 random bits.
///
/// # Panics
/// When the system has no random numbers.
pub(super) fn unnamed() -> SubmissionId {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).expect("the system has random numbers");
    SubmissionId(u128::from_be_bytes(bytes))
}
