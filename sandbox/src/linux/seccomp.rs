//! The system calls that a child may make.
//!
//! Everything that is not listed ends the process. What libraries try without harm (opening a file
//! of the system, asking for a name) is refused with an error instead, so that the same build
//! behaves the same on every C library.

use std::collections::BTreeMap;

use seccompiler::{
    BackendError, BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition,
    SeccompFilter, SeccompRule,
};

/// What computing, allocating, loading a module from an open file and talking over open pipes need.
const ALLOWED: &[i64] = &[
    libc::SYS_read,
    libc::SYS_readv,
    libc::SYS_pread64,
    libc::SYS_write,
    libc::SYS_writev,
    libc::SYS_close,
    libc::SYS_fstat,
    libc::SYS_newfstatat,
    libc::SYS_statx,
    libc::SYS_lseek,
    libc::SYS_mmap,
    libc::SYS_munmap,
    libc::SYS_mprotect,
    libc::SYS_mremap,
    libc::SYS_madvise,
    libc::SYS_brk,
    libc::SYS_membarrier,
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_sigaltstack,
    libc::SYS_restart_syscall,
    libc::SYS_futex,
    libc::SYS_sched_yield,
    libc::SYS_sched_getaffinity,
    libc::SYS_clock_gettime,
    libc::SYS_clock_getres,
    libc::SYS_gettimeofday,
    libc::SYS_getrandom,
    libc::SYS_getpid,
    libc::SYS_gettid,
    libc::SYS_exit,
    libc::SYS_exit_group,
];

/// The command of `ioctl` on `/proc/self/pagemap` that lists pages (PAGEMAP_SCAN(2const)).
const PAGEMAP_SCAN: u64 = 0xc060_6610;

/// What loading a module needs and running it does not: it tells the length of an open file, but
/// also whether a file of another name exists. Refused with EACCES once the module is loaded.
const REFUSED_ONCE_LOADED: &[i64] = &[libc::SYS_newfstatat, libc::SYS_statx];

/// What libraries try and can do without: refused with EACCES.
const REFUSED: &[i64] = &[
    libc::SYS_openat,
    libc::SYS_readlinkat,
    libc::SYS_faccessat,
    libc::SYS_getcwd,
    libc::SYS_uname,
    libc::SYS_sysinfo,
    libc::SYS_getuid,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_open,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_stat,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_readlink,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_access,
];

/// The filters that leave a child the calls it needs, in the order in which to apply them.
pub(super) fn base(pid: u32) -> Result<Vec<BpfProgram>, BackendError> {
    let mut allowed = unconditional(ALLOWED);
    allowed.extend(unconditional(REFUSED));
    // Installing the filter that forbids new code.
    allowed.insert(libc::SYS_seccomp, vec![]);
    allowed.insert(libc::SYS_prctl, vec![argument_is(0, libc::PR_SET_NO_NEW_PRIVS as u64)?]);
    // Reading a limit of its own (the size of the stack), never setting one.
    allowed.insert(libc::SYS_prlimit64, vec![SeccompRule::new(vec![equal(0, 0)?, equal(2, 0)?])?]);
    // std's debug builds ask it of what they close. Any other command is too much: F_SETFL,
    // F_SETOWN and F_SETSIG together have a pipe send signals to other processes of the user.
    allowed.insert(libc::SYS_fcntl, vec![argument_is(1, libc::F_GETFD as u64)?]);
    allowed.insert(libc::SYS_ioctl, vec![]);
    let mut refused_calls = unconditional(REFUSED);
    // Any other command than the one that tells which of its pages were written.
    let other = SeccompCondition::new(1, SeccompCmpArgLen::Dword, SeccompCmpOp::Ne, PAGEMAP_SCAN)?;
    refused_calls.insert(libc::SYS_ioctl, vec![SeccompRule::new(vec![other])?]);
    // `abort` signals its own thread.
    allowed.insert(libc::SYS_tgkill, vec![argument_is(0, u64::from(pid))?]);
    allowed.insert(libc::SYS_tkill, vec![argument_is(0, u64::from(pid))?]);
    Ok(vec![
        filter(refused_calls, SeccompAction::Allow, refused())?,
        filter(allowed, SeccompAction::KillProcess, SeccompAction::Allow)?,
    ])
}

/// The filters, in the order in which to apply them, after which no memory becomes executable, no
/// name of a file is looked up and no further filter can be installed.
pub(super) fn once_loaded() -> Result<Vec<BpfProgram>, BackendError> {
    let executable = || {
        let bit = libc::PROT_EXEC as u64;
        let masked = SeccompCmpOp::MaskedEq(bit);
        let condition = SeccompCondition::new(2, SeccompCmpArgLen::Dword, masked, bit)?;
        SeccompRule::new(vec![condition])
    };
    let rules = BTreeMap::from([
        (libc::SYS_mmap, vec![executable()?]),
        (libc::SYS_mprotect, vec![executable()?]),
        (libc::SYS_seccomp, vec![]),
        (libc::SYS_prctl, vec![]),
    ]);
    Ok(vec![
        filter(unconditional(REFUSED_ONCE_LOADED), SeccompAction::Allow, refused())?,
        filter(rules, SeccompAction::Allow, SeccompAction::KillProcess)?,
    ])
}

fn refused() -> SeccompAction {
    SeccompAction::Errno(libc::EACCES as u32)
}

fn unconditional(calls: &[i64]) -> BTreeMap<i64, Vec<SeccompRule>> {
    calls.iter().map(|call| (*call, vec![])).collect()
}

fn equal(argument: u8, value: u64) -> Result<SeccompCondition, BackendError> {
    SeccompCondition::new(argument, SeccompCmpArgLen::Qword, SeccompCmpOp::Eq, value)
}

fn argument_is(argument: u8, value: u64) -> Result<SeccompRule, BackendError> {
    let condition =
        SeccompCondition::new(argument, SeccompCmpArgLen::Dword, SeccompCmpOp::Eq, value)?;
    SeccompRule::new(vec![condition])
}

fn filter(
    rules: BTreeMap<i64, Vec<SeccompRule>>,
    otherwise: SeccompAction,
    matched: SeccompAction,
) -> Result<BpfProgram, BackendError> {
    let architecture = std::env::consts::ARCH.try_into()?;
    SeccompFilter::new(rules, otherwise, matched, architecture)?.try_into()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the kernel makes of a call's number and arguments: the instructions of classic BPF that
    /// filters are compiled to (seccomp(2), linux/bpf_common.h).
    fn verdict(program: &BpfProgram, call: i64, arguments: [u64; 6]) -> u32 {
        let architecture = if cfg!(target_arch = "x86_64") { 0xc000_003e } else { 0xc000_00b7 };
        let mut data = vec![call as u32, architecture, 0, 0];
        data.extend(arguments.iter().flat_map(|value| [*value as u32, (*value >> 32) as u32]));
        let (mut at, mut held) = (0, 0);
        loop {
            let step = &program[at];
            at += 1;
            let jump = |holds: bool| usize::from(if holds { step.jt } else { step.jf });
            match step.code {
                0x20 => held = data[step.k as usize / 4],
                0x54 => held &= step.k,
                0x05 => at += step.k as usize,
                0x15 => at += jump(held == step.k),
                0x25 => at += jump(held > step.k),
                0x35 => at += jump(held >= step.k),
                0x06 => return step.k,
                code => panic!("an instruction {code:#x}"),
            }
        }
    }

    /// Checks what becomes of a call on a descriptor with this command as its second argument.
    fn check_command(call: i64, command: u32, expected: &SeccompAction) {
        const DESCRIPTOR: u64 = 1;
        let filters = base(7).expect("valid filters");
        // The kernel reads 32 bits of the command, whatever stands above them.
        for above in [0, 1 << 32] {
            let arguments = [DESCRIPTOR, u64::from(command) | above, 7, 0, 0, 0];
            let mut verdicts = filters.iter().map(|filter| verdict(filter, call, arguments));
            let allow = u32::from(SeccompAction::Allow);
            let strictest = verdicts.find(|verdict| *verdict != allow);
            assert_eq!(strictest.unwrap_or(allow), u32::from(expected.clone()), "{command:#x}");
        }
    }

    #[test]
    fn only_pages_can_be_asked_for_by_ioctl() {
        check_command(libc::SYS_ioctl, PAGEMAP_SCAN as u32, &SeccompAction::Allow);
        for command in [libc::TIOCSTI, libc::TCGETS, libc::FIOASYNC] {
            check_command(libc::SYS_ioctl, command as u32, &refused());
        }
    }

    #[test]
    fn descriptors_can_be_asked_and_not_changed() {
        let check = |command: i32, expected| {
            check_command(libc::SYS_fcntl, command as u32, &expected);
        };
        check(libc::F_GETFD, SeccompAction::Allow);
        for command in [
            libc::F_SETFL,
            libc::F_SETOWN,
            libc::F_NOTIFY,
            libc::F_SETLEASE,
            libc::F_SETPIPE_SZ,
            libc::F_DUPFD,
            libc::F_DUPFD_CLOEXEC,
            // F_SETSIG and F_SETOWN_EX, which libc does not name.
            10,
            15,
        ] {
            check(command, SeccompAction::KillProcess);
        }
    }
}
