//! The walls: what a child gives up before it reads a byte of a task.
//!
//! Invariants: `raise` runs while the process has one thread; when it returns an error the child
//! reads nothing and ends. Only yielding to the machine's owner is best effort, as a container may
//! forbid it and nothing but comfort depends on it.

use std::fs::{self, File};
use std::time::Duration;

use landlock::{
    ABI, Access, AccessFs, AccessNet, CompatLevel, Compatible, Ruleset, RulesetAttr, RulesetError,
    RulesetStatus, Scope,
};
use rustix::process::{Resource, Rlimit, Signal};
use seccompiler::{BackendError, BpfProgram};

use super::{FIRST_FILE, seccomp, sys};
use crate::limits::PROCESS_STACK_BYTES;
use crate::priority::Priority;
use crate::wall::{Wall, WallError};

/// How much of the machine a child may use.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    /// Memory it may allocate.
    pub(crate) data_bytes: u64,
    /// Addresses it may map, allocated or not.
    pub(crate) address_bytes: u64,
    /// CPU time in all; a slot has none of its own, as its worker meters each unit.
    pub(crate) cpu: Option<Duration>,
}

/// The files that this process was executed with; every other descriptor beyond the standard three
/// is closed.
///
/// # Errors
/// [`Wall::Descriptors`].
pub(crate) fn inherited_files(count: u32) -> Result<Vec<File>, WallError> {
    let missing = |error| WallError::new(Wall::Descriptors, error);
    sys::close_from(FIRST_FILE as u32 + count).map_err(missing)?;
    sys::take_files(count).map_err(missing)
}

/// Puts up every wall around the calling process, which was started by `parent`.
///
/// # Errors
/// The first wall that the host cannot give.
pub(crate) fn raise(parent: u32, priority: Priority, bounds: &Bounds) -> Result<(), WallError> {
    ask_once();
    die_with(parent)?;
    leave_session();
    if priority == Priority::Idle {
        yield_to_everyone();
    }
    // It was executed from a descriptor, whose number is no name for people.
    let _ = rustix::thread::set_name(c"gleaner");
    limit(bounds)?;
    rustix::thread::set_no_new_privs(true)
        .map_err(|error| WallError::new(Wall::NoNewPrivileges, error))?;
    restrict_access()?;
    limit_descriptors()?;
    apply(seccomp::base(std::process::id()))
}

/// From here on, no memory of the calling process can become executable and no name of a file is
/// looked up: to be called once the module is loaded, before it runs.
///
/// # Errors
/// [`Wall::Seccomp`].
pub(crate) fn tighten() -> Result<(), WallError> {
    apply(seccomp::once_loaded())
}

fn apply(filters: Result<Vec<BpfProgram>, BackendError>) -> Result<(), WallError> {
    for filter in filters.map_err(|error| WallError::new(Wall::Seccomp, error))? {
        seccompiler::apply_filter(&filter).map_err(|error| WallError::new(Wall::Seccomp, error))?;
    }
    Ok(())
}

/// What is asked of the system once for each process is asked before it may not be any more.
fn ask_once() {
    let _ = rustix::param::page_size();
    let _ = super::thread_cpu();
}

/// The signal is sent when the thread that started this process ends; asking for the parent
/// afterwards catches one that ended before.
fn die_with(parent: u32) -> Result<(), WallError> {
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))
        .map_err(|error| WallError::new(Wall::Parent, error))?;
    let found = rustix::process::getppid().map_or(0, |pid| pid.as_raw_nonzero().get());
    if u32::try_from(found) == Ok(parent) {
        Ok(())
    } else {
        Err(WallError::new(Wall::Parent, format!("the worker {parent} has ended")))
    }
}

/// A session of its own keeps the terminal's signals away, and gives it an autogroup of its own,
/// whose weight can be lowered without lowering the worker's. When memory runs out it goes first.
fn leave_session() {
    let _ = rustix::process::setsid();
    let _ = fs::write("/proc/self/oom_score_adj", "1000");
}

fn yield_to_everyone() {
    let _ = fs::write("/proc/self/autogroup", "19");
    let _ = rustix::process::setpriority_process(None, 19);
    let _ = sys::set_idle_scheduling();
}

fn limit(bounds: &Bounds) -> Result<(), WallError> {
    lower(Resource::Core, 0)?;
    lower(Resource::Fsize, 0)?;
    lower(Resource::Nproc, 0)?;
    lower(Resource::Memlock, 0)?;
    lower(Resource::Msgqueue, 0)?;
    lower(Resource::Stack, PROCESS_STACK_BYTES)?;
    lower(Resource::Data, bounds.data_bytes)?;
    lower(Resource::As, bounds.address_bytes)?;
    if let Some(cpu) = bounds.cpu {
        lower(Resource::Cpu, cpu.as_secs())?;
    }
    Ok(())
}

/// No descriptor can be opened beyond those that are open.
fn limit_descriptors() -> Result<(), WallError> {
    lower(Resource::Nofile, 0)
}

fn lower(resource: Resource, value: u64) -> Result<(), WallError> {
    let held = rustix::process::getrlimit(resource).maximum;
    let value = held.map_or(value, |held| held.min(value));
    let limit = Rlimit { current: Some(value), maximum: Some(value) };
    rustix::process::setrlimit(resource, limit)
        .map_err(|error| WallError::new(Wall::Limits, format!("{resource:?} {value}: {error}")))
}

/// Every right over files that landlock knew in its first version is required; what later kernels
/// add (truncation, ports, devices, signals to others) is taken where there is it.
fn restrict_access() -> Result<(), WallError> {
    let missing = |error: RulesetError| WallError::new(Wall::Landlock, error);
    let status = Ruleset::default()
        .set_compatibility(CompatLevel::HardRequirement)
        .handle_access(AccessFs::from_all(ABI::V1))
        .map_err(missing)?
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(ABI::V5))
        .and_then(|rules| rules.handle_access(AccessNet::from_all(ABI::V5)))
        .and_then(|rules| rules.scope(Scope::from_all(ABI::V6)))
        .and_then(Ruleset::create)
        .and_then(landlock::RulesetCreated::restrict_self)
        .map_err(missing)?;
    if status.ruleset == RulesetStatus::NotEnforced {
        return Err(WallError::new(Wall::Landlock, "the kernel did not enforce it"));
    }
    Ok(())
}
