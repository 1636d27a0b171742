//! A Gleaner worker: joins projects, takes leases from their coordinators, runs them in slots, and
//! keeps every result until it is acknowledged.
//!
//! ```text
//!   coordinators ◄═══► Connector ──┐                       ┌──► SlotHandle ──► slot processes
//!                                  ├──► Driver ◄═══► core ─┤
//!        blobs  ◄════► Blobs ──────┘       │               └──► Prepared (files, module)
//!                                          └──► Journal (results on disk)
//! ```
//! What is decided is decided by `gleaner-worker-core`; this crate carries it out. Start reading at
//! `driver`.
//!
//! Invariants: one worker at a time in a folder; a coordinator is obeyed only after it has shown a
//! record that the project signed, that names it, and that is no older than the last one seen; a
//! result is on disk before it is sent (or in memory and said so, when the disk refuses) and stays
//! until it is acknowledged or withdrawn; slots end with the worker, however it ends.
//! Deliberately absent: any sense of whether the machine is idle (it runs when told to),
//! and preferences.

mod blobs;
mod config;
mod driver;
mod folder;
mod input;
mod journal;
mod link;
mod obstacle;
mod projects;
mod slot;
mod stage;
mod visit;
mod walls;
mod worker;

pub use config::Config;
pub use folder::FolderError;
pub use gleaner_folder::NetworkFolders;
pub use gleaner_network::readable_address;
pub use journal::JournalError;
pub use projects::{
    JoinError, JoinedProject, LeaveError, Presence, RecordRefused, join, leave, projects,
};
pub use visit::{Visit, VisitError, visit};
pub use walls::WallsError;
pub use worker::{RunError, StartError, Worker, start};
