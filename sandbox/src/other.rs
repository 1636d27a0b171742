//! Systems for which there are no walls yet: nothing runs, and the error says so.
//!
//! A worker there must let its owner choose to run without walls, which is not offered yet; so a
//! child cannot even be started, and what would be one is a type without values.

use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crate::wall::{Wall, WallError};

const WHY: &str = "tasks run on Linux only: on this system slots have no walls yet";

/// What this process opens is marked as it is opened; nothing is known of what it inherited.
pub(crate) fn keep_descriptors_from_children() -> io::Result<()> {
    Ok(())
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    pub(crate) data_bytes: u64,
    pub(crate) address_bytes: u64,
    pub(crate) cpu: Option<Duration>,
}

pub(crate) struct Launch {
    pub(crate) arguments: Vec<OsString>,
    pub(crate) input: Input,
    pub(crate) files: Vec<Arc<File>>,
}

pub(crate) enum Input {
    Pipe,
    File(File),
}

#[derive(Clone)]
pub(crate) struct Spawner;

/// No such process exists.
pub(crate) enum Process {}

/// No such process exists.
#[derive(Clone)]
pub(crate) enum Signals {}

impl Spawner {
    pub(crate) fn new(_program: &Path) -> io::Result<Self> {
        Ok(Self)
    }

    pub(crate) async fn start(&self, _launch: Launch) -> io::Result<Process> {
        Err(unsupported())
    }
}

impl Process {
    pub(crate) fn signals(&self) -> Signals {
        match *self {}
    }

    pub(crate) fn id(&self) -> u32 {
        match *self {}
    }

    pub(crate) fn cpu(&self) -> Duration {
        match *self {}
    }

    pub(crate) async fn readable(&self) -> io::Result<()> {
        match *self {}
    }

    pub(crate) fn unwatch(&mut self) {
        match *self {}
    }

    pub(crate) fn watch(&mut self) -> io::Result<()> {
        match *self {}
    }

    pub(crate) fn try_read(&self, _buffer: &mut [u8]) -> io::Result<usize> {
        match *self {}
    }

    pub(crate) async fn writable(&self) -> io::Result<()> {
        match *self {}
    }

    pub(crate) fn try_write(&self, _bytes: &[u8]) -> io::Result<usize> {
        match *self {}
    }

    pub(crate) async fn exited(&self) {
        match *self {}
    }

    pub(crate) fn epitaph(&mut self) -> String {
        match *self {}
    }
}

impl Signals {
    pub(crate) fn suspend(&self) {
        match *self {}
    }

    pub(crate) fn resume(&self) {
        match *self {}
    }

    pub(crate) fn kill(&self) {
        match *self {}
    }
}

pub(crate) fn inherited_files(_count: u32) -> Result<Vec<File>, WallError> {
    Err(WallError::new(Wall::Descriptors, WHY))
}

pub(crate) fn raise(
    _parent: u32,
    _priority: crate::priority::Priority,
    _bounds: &Bounds,
) -> Result<(), WallError> {
    Err(WallError::new(Wall::Seccomp, WHY))
}

pub(crate) fn tighten() -> Result<(), WallError> {
    Err(WallError::new(Wall::Seccomp, WHY))
}

pub(crate) fn thread_cpu() -> Duration {
    Duration::ZERO
}

pub(crate) fn read_input(_buffer: &mut [u8]) -> io::Result<usize> {
    Err(unsupported())
}

pub(crate) fn write_output(_bytes: &[u8]) -> io::Result<usize> {
    Err(unsupported())
}

fn unsupported() -> io::Error {
    io::Error::new(io::ErrorKind::Unsupported, WHY)
}
