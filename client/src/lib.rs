//! The control API of a coordinator, for programs: HTTP and JSON over loopback TCP, or over a stream
//! between peers from elsewhere.
//!
//! [`Client::open`] finds a coordinator by its data folder, where it leaves its address and its
//! token; [`Client::open_project`] one of the [`Projects`] that this user was given a ticket of,
//! where it is known by a key of its own. There is one method for each route of [`gleaner_protocol::api`]. [`JobFile`] reads a
//! manifest and turns it into a [`PreparedJob`], which [`Client::submit_prepared`] sends.
//!
//! Invariants: the token is sent to loopback addresses only; elsewhere nothing is sent before the
//! coordinator has proved to be the project's; bytes received are on disk under
//! their final name only when their hash is right; what may be repeated safely after a lost reply
//! is repeated here, and the docs of each method say so. Deliberately absent: any printing, and the
//! check of modules (the sandbox does that).

mod blobs;
mod client;
mod connection;
mod error;
mod invitations;
mod matches;
mod orders;
mod projects;
mod remote;
mod results;
mod submission;
mod submitters;
mod to_the_end;
mod units;
mod why;

pub use blobs::{Upload, hash_file};
pub use client::Client;
pub use error::{ClientError, JobFileError, OpenError, Place};
pub use orders::Removal;
pub use projects::{KnownProject, LOCAL, Projects, ProjectsError};
pub use remote::RemoteError;
pub use results::{FetchedFile, Partial, Report};
pub use submission::{JobFile, LocalBlob, PreparedJob, new_submission_id, submission_id_of};
pub use units::{UnitsChoice, UnitsFilter};
