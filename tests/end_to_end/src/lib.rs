//! Gleaner's own program as real processes: what the end-to-end tests and the demo are made of.
//!
//! Invariants: every process lives in a process group of its own, which is killed when its
//! [`Process`] is dropped; every folder is temporary; every port is chosen by the system, on the
//! loopback interface; every wait is a condition polled until a limit. A [`Swarm`] that is dropped
//! without having been stopped, as in a failing test, prints the ends of its processes' logs.
//! Deliberately absent: any of Gleaner's libraries; what is here sees only what a user sees.

mod answer;
mod draw;
mod gleaner;
mod http;
mod job;
mod process;
mod swarm;
mod wait;

pub use answer::Answer;
pub use draw::{Draw, with_seeds};
pub use gleaner::{Gleaner, workspace_folder};
pub use http::{Reply, Request};
pub use job::{JobFolder, task_module};
pub use process::{ChildProcess, Process};
pub use swarm::{Output, Swarm, quic_port, read_output};
pub use wait::wait_until;
