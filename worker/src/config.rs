//! What a worker can be told.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use gleaner_folder::NetworkFolders;
use gleaner_protocol::limits::SLOTS_MAX;
use gleaner_sandbox::Priority;

/// How a worker runs. [`Config::new`] gives what is recommended for everything but the two paths.
#[derive(Clone, Debug)]
pub struct Config {
    /// The worker's folder. One worker at a time may use it.
    pub data: PathBuf,
    /// The program that answers to `slot` and `compile`: `gleaner` itself.
    pub program: PathBuf,
    /// How many units run at once, 1 to [`SLOTS_MAX`]. Default: one for each CPU the process may
    /// use.
    pub slots: u32,
    /// The memory offered to each slot, in bytes; units that may need more go elsewhere. Default:
    /// 2 GiB, what a task of common size asks for at most.
    pub slot_memory_bytes: u64,
    /// The most disk for modules, files and outputs, in bytes. What is in use is never removed; a
    /// blob for which there is no room is not fetched. Default: 10 GiB.
    pub blob_bytes_max: u64,
    /// The most disk for compiled modules, in bytes. Default: 1 GiB.
    pub compiled_bytes_max: u64,
    /// How units share the processor with the rest of the machine. Default: idle, they get what
    /// nobody else wants.
    pub priority: Priority,
    /// The UDP and TCP port for peers; 0 is any free one. Default: 0, as a worker is not called.
    pub port: u16,
    /// Whether the folder may lie on a network file system. Default: refused.
    pub network_folders: NetworkFolders,
    /// Whether coordinators are looked for on the local network. Default: yes.
    pub mdns: bool,
    /// Whether only this machine is listened to and called. Default: no.
    pub loopback_only: bool,
}

impl Config {
    /// The recommended settings.
    pub fn new(data: impl Into<PathBuf>, program: impl Into<PathBuf>) -> Self {
        const GIB: u64 = 1024 * 1024 * 1024;
        let cpus = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
        Self {
            data: data.into(),
            program: program.into(),
            slots: u32::try_from(cpus).unwrap_or(SLOTS_MAX).min(SLOTS_MAX),
            slot_memory_bytes: 2 * GIB,
            blob_bytes_max: 10 * GIB,
            compiled_bytes_max: GIB,
            priority: Priority::Idle,
            port: 0,
            network_folders: NetworkFolders::Refuse,
            mdns: true,
            loopback_only: false,
        }
    }
}
