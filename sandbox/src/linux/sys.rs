//! The system calls that no safe crate offers.
#![allow(unsafe_code, reason = "system calls without a safe wrapper, one function for each")]

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use super::FIRST_FILE;

/// Puts the calling thread into the scheduling class that runs only when a processor is idle.
pub(super) fn set_idle_scheduling() -> io::Result<()> {
    let parameters = libc::sched_param { sched_priority: 0 };
    // SAFETY: the pointer is to a live `sched_param`, which the kernel only reads.
    let result = unsafe { libc::sched_setscheduler(0, libc::SCHED_IDLE, &parameters) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// The CPU time of all threads of the process `pid`, its system time included.
///
/// The caller must hold the process as an unreaped child, or the number may be another's.
pub(super) fn process_cpu(pid: u32) -> io::Result<Duration> {
    // The kernel's encoding of a process's CPU clock: the complement of the pid above three bits
    // of kind, 2 being the time as the scheduler counts it (clock_getcpuclockid(3)).
    const SCHEDULED: libc::clockid_t = 2;
    let clock = (!(pid as libc::clockid_t) << 3) | SCHEDULED;
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the pointer is to a live `timespec`, which the kernel only writes.
    if unsafe { libc::clock_gettime(clock, &mut time) } != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(Duration::new(
        u64::try_from(time.tv_sec).unwrap_or(0),
        u32::try_from(time.tv_nsec).unwrap_or(0),
    ))
}

/// Closes every descriptor from `first` on.
///
/// Only for a process that has just been executed: whatever owned them lives in another one.
pub(super) fn close_from(first: u32) -> io::Result<()> {
    // SAFETY: no pointer is passed, and nothing in this fresh process owns these descriptors.
    let result = unsafe { libc::syscall(libc::SYS_close_range, first, u32::MAX, 0) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Marks every descriptor beyond the standard three, so that executing another program closes it.
pub(crate) fn keep_descriptors_from_children() -> io::Result<()> {
    let (first, mark) = (3_u32, libc::CLOSE_RANGE_CLOEXEC);
    // SAFETY: no pointer is passed, and no descriptor of this process is closed.
    let result = unsafe { libc::syscall(libc::SYS_close_range, first, u32::MAX, mark) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// The `count` files that this process was executed with, in order.
///
/// Only once, and before anything else opens a descriptor.
pub(super) fn take_files(count: u32) -> io::Result<Vec<File>> {
    // SAFETY: called first in a process that has just been executed, before anything else could
    // own a descriptor beyond the standard three.
    unsafe { command_fds::inherited::init_inherited_fds()? };
    (FIRST_FILE..)
        .take(count as usize)
        .map(|descriptor| {
            let descriptor = command_fds::inherited::take_fd_ownership(descriptor);
            descriptor.map(File::from).map_err(io::Error::other)
        })
        .collect()
}

/// Lets the runtime watch whether `descriptor` can be read.
pub(super) fn watch(descriptor: Arc<OwnedFd>) -> io::Result<AsyncFd<Arc<OwnedFd>>> {
    // SAFETY: the descriptor is owned by an `Arc` that the result keeps, so it stays open and the
    // same for as long as it is watched.
    let watched = unsafe { AsyncFd::register_with_interest(descriptor, Interest::READABLE) };
    watched.map_err(io::Error::from)
}
