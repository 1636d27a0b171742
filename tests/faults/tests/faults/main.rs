//! What a coordinator keeps of its promises on a disk that loses its power, or fails.
//!
//! The disk is a file system of the test's own, which only root may mount: elsewhere the tests say
//! so and are skipped.

mod anywhere;
mod parts;

use std::process::ExitCode;

use anyhow::Result;
use fault_tests::refusal;
use libtest_mimic::{Arguments, Failed, Trial};

/// One test.
type Test = fn() -> Result<()>;

fn main() -> ExitCode {
    let refusal = refusal();
    if let Some(reason) = &refusal {
        eprintln!("skipped: {reason}");
    }
    let trials = tests().into_iter().map(|(name, test)| {
        let reason = refusal.clone();
        let is_ignored = reason.is_some();
        // Asked for all the same, a test that cannot be run fails.
        let run = move || match reason {
            Some(reason) => Err(Failed::from(reason)),
            None => test().map_err(|error| Failed::from(format!("{error:?}"))),
        };
        Trial::test(name, run).with_ignored_flag(is_ignored)
    });
    let mut arguments = Arguments::from_args();
    // A coordinator that waits for its turn tells nothing of its disk.
    arguments.test_threads = Some(1);
    libtest_mimic::run(&arguments, trials.collect()).exit_code()
}

fn tests() -> Vec<(&'static str, Test)> {
    vec![
        (
            "a_project_is_there_once_init_has_said_so",
            parts::a_project_is_there_once_init_has_said_so,
        ),
        (
            "the_folders_of_blobs_survive_with_what_is_put_into_them",
            parts::the_folders_of_blobs_survive_with_what_is_put_into_them,
        ),
        ("a_blob_that_is_said_to_be_held_survives", parts::a_blob_that_is_said_to_be_held_survives),
        (
            "a_blob_whose_put_was_under_way_at_a_sync_survives",
            parts::a_blob_whose_put_was_under_way_at_a_sync_survives,
        ),
        ("what_is_committed_to_a_new_log_survives", parts::what_is_committed_to_a_new_log_survives),
        (
            "what_follows_a_commit_that_was_not_synced_survives",
            parts::what_follows_a_commit_that_was_not_synced_survives,
        ),
        (
            "what_was_acknowledged_survives_a_power_cut_at_any_step",
            anywhere::what_was_acknowledged_survives_a_power_cut_at_any_step,
        ),
        (
            "a_disk_that_fails_at_any_step_breaks_no_promise",
            anywhere::a_disk_that_fails_at_any_step_breaks_no_promise,
        ),
    ]
}
