//! What the sandbox needs of Linux: children behind walls, and signals that reach the right one.

mod process;
mod seccomp;
mod sys;
mod walls;

pub(crate) use process::{Input, Launch, Process, Signals, Spawner};
pub(crate) use sys::keep_descriptors_from_children;
pub(crate) use walls::{Bounds, inherited_files, raise, tighten};

use std::time::Duration;

/// The descriptor of the first file that a child is given beyond its standard three.
const FIRST_FILE: i32 = 3;

/// The CPU time that the calling thread has used.
pub(crate) fn thread_cpu() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(u64::try_from(time.tv_sec).unwrap_or(0), u32::try_from(time.tv_nsec).unwrap_or(0))
}

/// Reads from the calling process's standard input; 0 at its end.
pub(crate) fn read_input(buffer: &mut [u8]) -> std::io::Result<usize> {
    Ok(rustix::io::retry_on_intr(|| rustix::io::read(rustix::stdio::stdin(), &mut *buffer))?)
}

/// Writes to the calling process's standard output.
pub(crate) fn write_output(bytes: &[u8]) -> std::io::Result<usize> {
    Ok(rustix::io::retry_on_intr(|| rustix::io::write(rustix::stdio::stdout(), bytes))?)
}
