//! What an operator does with a coordinator's folder as a whole: verify it, back it up, restore it,
//! give back what it does not need.
//!
//! Invariants: nothing here changes a folder that a coordinator runs on; all but [`collect`], which
//! needs one that is stopped, is done beside one. It blocks, and is for threads of its own.
//! Deliberately absent: mending. What is damaged is told, with what to do.

mod backup;
mod collect;
mod contents;
mod fault;
mod manifest;
mod pour;
mod restore;
#[cfg(test)]
mod tests;
mod unfinished;
mod verify;

pub use backup::{Backup, BackupError, BackupOptions, back_up};
pub use collect::{CollectError, Collected, collect};
pub use fault::{BlobFault, Fault};
pub use manifest::{BackupFile, Manifest, ManifestError};
pub use restore::{RestoreError, RestoreOptions, Restored, restore};
pub use unfinished::WriteError;
pub use verify::{Verification, VerifyError, verify, verify_backup};

/// How far long work is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// What is being done.
    pub step: Step,
    /// How much of it is done.
    pub done: u64,
    /// How much there is to do; 0 when that is not known.
    pub of: u64,
}

/// A part of long work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// The store's file is read.
    Store,
    /// Answers of attempts are read, counted one by one.
    Answers,
    /// Blobs are read, counted in bytes.
    Blobs,
    /// What nobody uses is removed, counted in blobs.
    Removal,
    /// The store's file is written anew.
    Compaction,
}

/// Hears of progress.
pub type Told<'a> = &'a mut (dyn FnMut(Progress) + Send);
