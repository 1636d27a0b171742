//! A child process as its worker sees it.
//!
//! Invariants: children are started by one thread that lives as long as any of them, because the
//! signal that ends a child with its worker is sent when the *thread* that started it ends; a
//! child is signalled by a descriptor of it, never by its number; it is reaped by the same thread,
//! so that no caller waits for it; dropping a [`Process`] kills it.

use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use command_fds::{CommandFdExt, FdMapping};
use gleaner_protocol::limits::STAGE_FILES_MAX;
use rustix::pipe::PipeFlags;
use rustix::process::{Pid, PidfdFlags, Signal};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::net::unix::pipe;
use tokio::sync::oneshot;

use super::{FIRST_FILE, sys};
use crate::limits::LAST_WORDS_BYTES_MAX;
use crate::priority::Priority;

/// The size asked for each pipe: a burst of small units fits without waking the other side.
const PIPE_BYTES: usize = 256 * 1024;

/// What to start.
pub(crate) struct Launch {
    /// Its arguments, the subcommand first; the priority is put after that.
    pub(crate) arguments: Vec<OsString>,
    /// Its standard input.
    pub(crate) input: Input,
    /// The files it gets as descriptors from [`FIRST_FILE`] on.
    pub(crate) files: Vec<Arc<File>>,
}

/// A child's standard input.
pub(crate) enum Input {
    /// A pipe from the worker.
    Pipe,
    /// A file.
    File(File),
}

/// The thread that starts and reaps children. Ends when the last handle is dropped, and with it
/// every child.
#[derive(Clone)]
pub(crate) struct Spawner {
    requests: mpsc::Sender<Request>,
}

enum Request {
    Start(Box<Launch>, oneshot::Sender<io::Result<Started>>),
    Reap(Child),
}

/// A child and the worker's ends of its pipes.
struct Started {
    child: Child,
    pidfd: OwnedFd,
    input: Option<OwnedFd>,
    output: OwnedFd,
    words: OwnedFd,
}

impl Spawner {
    /// Starts the thread; its children run `program` as it is now, even when its file is replaced
    /// by a newer version later.
    ///
    /// # Errors
    /// When the program cannot be opened or the system gives no thread.
    pub(crate) fn new(program: &Path, priority: Priority) -> io::Result<Self> {
        let program = Program::open(program, priority)?;
        let (requests, received) = mpsc::channel();
        std::thread::Builder::new().name("gleaner-spawner".to_owned()).spawn(move || {
            for request in received {
                match request {
                    // The child dies with a caller that is gone.
                    Request::Start(launch, reply) => drop(reply.send(start(&program, *launch))),
                    Request::Reap(mut child) => drop(child.wait()),
                }
            }
        })?;
        Ok(Self { requests })
    }

    /// Starts a child. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// When the system gives no process or no pipe.
    pub(crate) async fn start(&self, launch: Launch) -> io::Result<Process> {
        let (reply, started) = oneshot::channel();
        let gone = || io::Error::other("the spawning thread has ended");
        self.requests.send(Request::Start(Box::new(launch), reply)).map_err(|_| gone())?;
        Process::adopt(started.await.map_err(|_| gone())??, self.clone())
    }
}

/// The program of every child, open.
struct Program {
    file: OwnedFd,
    priority: Priority,
}

impl Program {
    fn open(path: &Path, priority: Priority) -> io::Result<Self> {
        let file = File::open(path)?;
        // Beyond all descriptors that a child is given, which would take its place.
        let beyond = FIRST_FILE + 1 + STAGE_FILES_MAX as i32;
        Ok(Self { file: rustix::io::fcntl_dupfd_cloexec(file, beyond)?, priority })
    }

    /// What a child executes: the path is looked up in the child, just before its descriptors that
    /// are not meant for it are closed.
    fn path(&self) -> PathBuf {
        PathBuf::from(format!("/proc/self/fd/{}", self.file.as_raw_fd()))
    }
}

fn start(program: &Program, launch: Launch) -> io::Result<Started> {
    let (output, child_output) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC)?;
    let (words, child_words) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC)?;
    let (child_input, input) = match launch.input {
        Input::File(file) => (OwnedFd::from(file), None),
        Input::Pipe => {
            let (child_input, input) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC)?;
            enlarge(&input);
            (child_input, Some(input))
        }
    };
    enlarge(&output);
    let mut arguments = launch.arguments;
    arguments.insert(1, program.priority.name().into());
    let mut command = Command::new(program.path());
    command
        .args(arguments)
        .arg0("gleaner")
        .env_clear()
        .current_dir("/")
        .stdin(Stdio::from(child_input))
        .stdout(Stdio::from(child_output))
        .stderr(Stdio::from(child_words));
    command.fd_mappings(mappings(&launch.files)?).map_err(io::Error::other)?;
    let mut child = command.spawn()?;
    match pidfd(&child) {
        Ok(pidfd) => Ok(Started { child, pidfd, input, output, words }),
        Err(error) => {
            child.kill()?;
            child.wait()?;
            Err(error)
        }
    }
}

/// More than the system's default is a favour that a user with many pipes is not given.
fn enlarge(pipe: &OwnedFd) {
    let _ = rustix::pipe::fcntl_setpipe_size(pipe, PIPE_BYTES);
}

fn mappings(files: &[Arc<File>]) -> io::Result<Vec<FdMapping>> {
    assert!(files.len() <= 1 + STAGE_FILES_MAX, "the program's descriptor lies behind these");
    (FIRST_FILE..)
        .zip(files)
        .map(|(child_fd, file)| Ok(FdMapping { parent_fd: file.try_clone()?.into(), child_fd }))
        .collect()
}

/// The child has not been reaped, so its number is still its own.
fn pidfd(child: &Child) -> io::Result<OwnedFd> {
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    let pid = pid.ok_or_else(|| io::Error::other("a child's number is positive"))?;
    Ok(rustix::process::pidfd_open(pid, PidfdFlags::NONBLOCK)?)
}

/// A running child.
pub(crate) struct Process {
    child: Option<Child>,
    pid: u32,
    pidfd: AsyncFd<Arc<OwnedFd>>,
    input: Option<pipe::Sender>,
    output: Output,
    words: pipe::Receiver,
    spawner: Spawner,
}

/// The worker's end of a child's output. While it is not watched, what is written to it wakes
/// nobody.
struct Output {
    pipe: Arc<OwnedFd>,
    watched: Option<AsyncFd<Arc<OwnedFd>>>,
}

impl Process {
    fn adopt(started: Started, spawner: Spawner) -> io::Result<Self> {
        let signals = Signals { pidfd: Arc::new(started.pidfd) };
        let pid = started.child.id();
        let mut orphan = Orphan { child: Some(started.child), signals, spawner };
        let input = started.input.map(pipe::Sender::from_owned_fd).transpose()?;
        let output = Output::new(started.output)?;
        let words = pipe::Receiver::from_owned_fd(started.words)?;
        let pidfd = sys::watch(orphan.signals.pidfd.clone())?;
        let (child, spawner) = (orphan.child.take(), orphan.spawner.clone());
        Ok(Self { child, pid, pidfd, input, output, words, spawner })
    }

    /// What signals it, from any thread.
    pub(crate) fn signals(&self) -> Signals {
        Signals { pidfd: self.pidfd.get_ref().clone() }
    }

    /// Its number, for people: signals never go by it.
    pub(crate) fn id(&self) -> u32 {
        self.pid
    }

    /// The CPU time it has used.
    pub(crate) fn cpu(&self) -> Duration {
        sys::process_cpu(self.pid).unwrap_or_default()
    }

    /// Waits until it has written something, or closed its output; for ever after
    /// [`Process::unwatch`].
    pub(crate) async fn readable(&self) -> io::Result<()> {
        match &self.output.watched {
            Some(watched) => watched.readable().await.map(|mut ready| ready.retain_ready()),
            None => std::future::pending().await,
        }
    }

    /// Reads what it has written; 0 at the end of its output. What is not there is an error of the
    /// kind `WouldBlock`.
    pub(crate) fn try_read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = |pipe: &Arc<OwnedFd>| rustix::io::read(pipe, buffer).map_err(io::Error::from);
        match &self.output.watched {
            Some(watched) => watched.try_io(Interest::READABLE, read),
            None => read(&self.output.pipe),
        }
    }

    /// From here on, what it writes wakes nobody: its output is to be looked at now and then.
    pub(crate) fn unwatch(&mut self) {
        self.output.watched = None;
    }

    /// Takes [`Process::unwatch`] back.
    pub(crate) fn watch(&mut self) -> io::Result<()> {
        if self.output.watched.is_none() {
            self.output.watched = Some(sys::watch(self.output.pipe.clone())?);
        }
        Ok(())
    }

    /// Waits until it takes input.
    pub(crate) async fn writable(&self) -> io::Result<()> {
        match &self.input {
            Some(input) => input.writable().await,
            None => std::future::pending().await,
        }
    }

    /// Writes as much of `bytes` as its pipe takes.
    pub(crate) fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        match &self.input {
            Some(input) => input.try_write(bytes),
            None => Ok(0),
        }
    }

    /// Waits until it has ended.
    pub(crate) async fn exited(&self) {
        // An error means that the runtime is shutting down: the child is killed on drop.
        let _ = self.pidfd.readable().await;
    }

    /// How it ended, in words, once [`Process::exited`]; and its last words, if it had any.
    pub(crate) fn epitaph(&mut self) -> String {
        let status = match self.child.as_mut().map(Child::try_wait) {
            Some(Ok(Some(status))) => words_of_status(status),
            Some(Ok(None)) | None => "it has not ended".to_owned(),
            Some(Err(error)) => format!("its status is unknown: {error}"),
        };
        let mut buffer = [0; LAST_WORDS_BYTES_MAX];
        let length = self.words.try_read(&mut buffer).unwrap_or(0);
        let words = String::from_utf8_lossy(&buffer[..length]);
        match words.trim() {
            "" => status,
            words => format!("{status}: {words}"),
        }
    }
}

impl Output {
    fn new(pipe: OwnedFd) -> io::Result<Self> {
        rustix::io::ioctl_fionbio(&pipe, true)?;
        let pipe = Arc::new(pipe);
        let watched = Some(sys::watch(pipe.clone())?);
        Ok(Self { pipe, watched })
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let signals = self.signals();
        drop(Orphan { child: self.child.take(), signals, spawner: self.spawner.clone() });
    }
}

/// A child that nobody wants: killed and reaped when dropped.
struct Orphan {
    child: Option<Child>,
    signals: Signals,
    spawner: Spawner,
}

impl Drop for Orphan {
    fn drop(&mut self) {
        if let Some(child) = self.child.take() {
            self.signals.kill();
            // Without the thread, the child has died with it.
            let _ = self.spawner.requests.send(Request::Reap(child));
        }
    }
}

/// Signals one child, and no other that gets its number later.
#[derive(Clone)]
pub(crate) struct Signals {
    pidfd: Arc<OwnedFd>,
}

impl Signals {
    /// Stops it where it is.
    pub(crate) fn suspend(&self) {
        self.send(Signal::STOP);
    }

    /// Lets it go on.
    pub(crate) fn resume(&self) {
        self.send(Signal::CONT);
    }

    /// Ends it, stopped or not.
    pub(crate) fn kill(&self) {
        self.send(Signal::KILL);
    }

    fn send(&self, signal: Signal) {
        // The only error for a child of one's own is that it has ended.
        let _ = rustix::process::pidfd_send_signal(&self.pidfd, signal);
    }
}

fn words_of_status(status: ExitStatus) -> String {
    let Some(signal) = status.signal() else {
        return format!("exit status {}", status.code().unwrap_or(-1));
    };
    let meaning = match signal {
        libc::SIGKILL => "SIGKILL, sent by someone or by the system when memory ran out",
        libc::SIGSYS => "SIGSYS, a system call that slots may not make",
        libc::SIGSEGV => "SIGSEGV, a bad memory access outside the guest",
        libc::SIGBUS => "SIGBUS, a mapped file that shrank or a bad disk",
        libc::SIGILL => "SIGILL, a bad instruction outside the guest",
        libc::SIGFPE => "SIGFPE, bad arithmetic outside the guest",
        libc::SIGABRT => "SIGABRT, usually no memory for the slot itself",
        libc::SIGXCPU => "SIGXCPU, its limit of CPU time",
        libc::SIGTERM => "SIGTERM, sent by someone",
        _ => "no usual end",
    };
    format!("signal {signal} ({meaning})")
}
