//! A disk that loses its power, or fails, at any step; and a coordinator that has its data on it.
//!
//! A killed process leaves what it wrote in the kernel's memory, so that no kill shows whether it
//! was synced. This file system knows of each file and folder what is durable and what is not.
//! The rules are the strictest that POSIX allows: bytes are durable once their file is synced, and
//! names once their folder is; the sync of a file says nothing of its name. After a sync of a file
//! that failed its pages are taken to be written and are not, as on Linux.

mod disk;
mod file;
mod folder;
mod lab;
mod mount;
mod steps;
mod story;

pub use disk::{Disk, Loss};
pub use lab::{Lab, Setback};
pub use mount::{Mount, refusal};
pub use steps::{Counts, Failure, Kind, NoStep, Plan, Step, Trouble};
pub use story::{AfterEnd, Jobs, Story};
