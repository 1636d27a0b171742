//! A command of the operator's that is told a job's news, on the coordinator's machine.
//!
//! Invariants: no shell; an environment of a few known variables and the facts; no descriptor of
//! the coordinator's; ended, with its group, when its time is up or the coordinator stops.

use std::io;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::process::{Child, Command};
use tokio_util::task::AbortOnDropHandle;
use tracing::info;

/// How long a command may take.
pub(super) const TIME_MAX: Duration = Duration::from_secs(60);

/// How much of what it prints is logged, of each stream.
const OUTPUT_BYTES_MAX: u64 = 4 * 1024;

/// How long what a command left behind may hold on to its output.
const OUTPUT_PATIENCE: Duration = Duration::from_secs(1);

/// What a command may need of the operator's environment to find programs and the desktop: none
/// of these is a secret.
const VARIABLES: [&str; 9] = [
    "PATH",
    "HOME",
    "USER",
    "LANG",
    "TZ",
    "DISPLAY",
    "WAYLAND_DISPLAY",
    "XDG_RUNTIME_DIR",
    "DBUS_SESSION_BUS_ADDRESS",
];

/// Why a command told nobody.
#[derive(Debug, thiserror::Error)]
pub(super) enum CommandError {
    /// There is no such program, or it cannot be started.
    #[error("the command {program:?} cannot be started: {source}")]
    Start {
        /// The program.
        program: String,
        /// What the system said.
        source: io::Error,
    },
    /// The system lost it.
    #[error("the command cannot be waited for: {0}")]
    Wait(io::Error),
    /// It said that it failed.
    #[error("the command ended with {0}")]
    Failed(ExitStatus),
    /// It was ended.
    #[error("the command had not ended after {} s and was killed", after.as_secs())]
    TooLong {
        /// How long it had.
        after: Duration,
    },
}

/// Runs the program that `words` begin with, the others its arguments, for at most `time_max`.
pub(super) async fn run(
    words: &[String],
    facts: &[(&'static str, String)],
    time_max: Duration,
) -> Result<(), CommandError> {
    let program = words.first().map(String::as_str).unwrap_or_default();
    let start = |source| CommandError::Start { program: program.to_owned(), source };
    gleaner_sandbox::keep_descriptors_from_children().map_err(start)?;
    let mut command = Command::new(program);
    command.args(&words[1..]).env_clear().envs(facts.iter().map(|(name, value)| (name, value)));
    command.envs(VARIABLES.into_iter().filter_map(|name| Some((name, std::env::var_os(name)?))));
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
    let mut child = command.spawn().map_err(start)?;
    let group = Group::of(&child);
    let stdout = AbortOnDropHandle::new(tokio::spawn(read(child.stdout.take())));
    let stderr = AbortOnDropHandle::new(tokio::spawn(read(child.stderr.take())));
    let Ok(status) = tokio::time::timeout(time_max, child.wait()).await else {
        drop(group);
        let _ = child.wait().await;
        return Err(CommandError::TooLong { after: time_max });
    };
    group.has_ended();
    let status = status.map_err(CommandError::Wait)?;
    let said = tokio::time::timeout(OUTPUT_PATIENCE, async { tokio::join!(stdout, stderr) }).await;
    let (stdout, stderr) = said.unwrap_or((Ok(String::new()), Ok(String::new())));
    let (stdout, stderr) = (stdout.unwrap_or_default(), stderr.unwrap_or_default());
    info!(program, %status, ?stdout, ?stderr, "a command was told");
    if status.success() { Ok(()) } else { Err(CommandError::Failed(status)) }
}

/// The beginning of what a command prints; the rest is read and dropped, so that it can go on.
async fn read(stream: Option<impl AsyncRead + Unpin>) -> String {
    let Some(mut stream) = stream else { return String::new() };
    let mut said = Vec::new();
    // What cannot be read any more was not said.
    let _ = (&mut stream).take(OUTPUT_BYTES_MAX).read_to_end(&mut said).await;
    let _ = tokio::io::copy(&mut stream, &mut tokio::io::sink()).await;
    String::from_utf8_lossy(&said).into_owned()
}

/// A command's processes, killed when this is dropped before the command has ended.
struct Group(Option<Pid>);

impl Group {
    fn of(child: &Child) -> Self {
        Self(child.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?)))
    }

    /// Its number may be another's from here on.
    fn has_ended(mut self) {
        self.0 = None;
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(pid) = self.0 {
            // It may have ended by itself meanwhile.
            let _ = kill_process_group(pid, Signal::KILL);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn shell(script: &str) -> Vec<String> {
        ["sh", "-c", script].map(str::to_owned).to_vec()
    }

    #[tokio::test]
    async fn a_command_gets_the_facts_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("got");
        // Inherited by a child that is not kept from it: opened without close-on-exec.
        let leaked = rustix::io::dup(std::io::stdin()).unwrap();
        rustix::io::fcntl_setfd(&leaked, rustix::io::FdFlags::empty()).unwrap();
        let script = format!("(env; ls /proc/self/fd) > {}", file.display());
        let facts = [("GLEANER_JOB", "job-7".to_owned()), ("GLEANER_TEXT", "a b\n$c".to_owned())];
        run(&shell(&script), &facts, TIME_MAX).await.unwrap();
        let got = fs::read_to_string(&file).unwrap();
        assert!(got.contains("GLEANER_JOB=job-7\n") && got.contains("GLEANER_TEXT=a b\n$c\n"));
        let known = |line: &&str| {
            let name = line.split('=').next().unwrap_or_default();
            VARIABLES.contains(&name) || ["PWD", "SHLVL", "_", "OLDPWD"].contains(&name)
        };
        let others = got.lines().filter(|line| line.contains('=') && !line.starts_with("GLEANER_"));
        assert_eq!(others.filter(|line| !known(line)).collect::<Vec<_>>(), Vec::<&str>::new());
        // `ls` itself opens the folder.
        let descriptors: Vec<_> = got.lines().filter(|line| line.parse::<u32>().is_ok()).collect();
        assert_eq!(descriptors, ["0", "1", "2", "3"], "{got}");
    }

    #[tokio::test]
    async fn a_command_that_fails_or_is_none_says_so() {
        let failed = run(&shell("echo no >&2; exit 3"), &[], TIME_MAX).await;
        assert!(matches!(&failed, Err(CommandError::Failed(status)) if status.code() == Some(3)));
        let none = run(&["/nonexistent/program".to_owned()], &[], TIME_MAX).await;
        assert!(matches!(none, Err(CommandError::Start { .. })), "{none:?}");
    }

    #[tokio::test]
    async fn a_command_that_hangs_is_killed_with_what_it_started() {
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("pipe");
        rustix::fs::mkfifoat(rustix::fs::CWD, &pipe, rustix::fs::Mode::RWXU).unwrap();
        // Whoever opened the pipe for writing holds it until it is dead.
        let script = format!("exec 3> {0}; sleep 1000 & wait", pipe.display());
        let read = std::thread::spawn({
            let pipe = pipe.clone();
            move || fs::read(&pipe).unwrap()
        });
        let after = Duration::from_millis(500);
        let killed = run(&shell(&script), &[], after).await;
        assert!(matches!(killed, Err(CommandError::TooLong { .. })), "{killed:?}");
        assert_eq!(read.join().unwrap(), b"");
    }

    #[tokio::test]
    async fn what_a_command_leaves_behind_does_not_hold_its_notice_up() {
        run(&shell("sleep 5 & exit 0"), &[], Duration::from_secs(4)).await.unwrap();
    }
}
