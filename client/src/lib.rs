//! The control API of a coordinator, for programs: HTTP and JSON over loopback TCP.
//!
//! [`Client::open`] finds a coordinator by its data folder, where it leaves its address and its
//! token; there is one method for each route of [`gleaner_protocol::api`]. [`JobFile`] reads a
//! manifest and turns it into a [`PreparedJob`], which [`Client::submit_prepared`] sends.
//!
//! Invariants: the token is sent to loopback addresses only; bytes received are on disk under
//! their final name only when their hash is right; what may be repeated safely after a lost reply
//! is repeated here, and the docs of each method say so. Deliberately absent: any printing, the
//! check of modules (the sandbox does that), and remote coordinators.

mod blobs;
mod client;
mod connection;
mod error;
mod invitations;
mod submission;
mod units;

pub use blobs::{Upload, hash_file};
pub use client::Client;
pub use error::{ClientError, JobFileError, OpenError};
pub use submission::{JobFile, LocalBlob, PreparedJob, new_submission_id, submission_id_of};
pub use units::{UnitsChoice, UnitsFilter};
