//! What a worker can be told.

use std::fs;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use gleaner_folder::{NetworkFolders, free_bytes};
use gleaner_protocol::limits::SLOTS_MAX;
use gleaner_sandbox::Priority;

use crate::folder::{BLOBS_FOLDER, COMPILED_FOLDER};

/// Of the disk's room a worker leaves one part in so many to everybody else.
const RESERVE_SHARE: u64 = 10;

/// Of what it offers on a small disk one part in so many is for compiled modules.
const COMPILED_SHARE: u64 = 4;

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

    /// The same, with no more disk than there is where its folder is or will be: what is free, and
    /// what its caches have taken already, less a tenth for everybody else.
    #[must_use]
    pub fn within_disk(self) -> Self {
        let there = self.data.ancestors().find(|folder| folder.is_dir());
        let Some(free) = free_bytes(there.unwrap_or(Path::new("."))) else { return self };
        let caches = [BLOBS_FOLDER, COMPILED_FOLDER];
        let taken: u64 = caches.iter().map(|cache| files_bytes(&self.data.join(cache))).sum();
        self.within(free.saturating_add(taken))
    }

    fn within(self, room_bytes: u64) -> Self {
        let offer = room_bytes - room_bytes / RESERVE_SHARE;
        let compiled_bytes_max = self.compiled_bytes_max.min(offer / COMPILED_SHARE);
        let blob_bytes_max = self.blob_bytes_max.min(offer - compiled_bytes_max);
        Self { compiled_bytes_max, blob_bytes_max, ..self }
    }
}

/// How many bytes the files in a folder have; none when it cannot be read.
fn files_bytes(folder: &Path) -> u64 {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.metadata().ok()).map(|data| data.len()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_disk_is_offered_than_there_is_less_a_tenth() {
        const GIB: u64 = 1024 * 1024 * 1024;
        let check = |room_gib: u64, blobs_gib: u64, compiled_gib: u64| {
            let config = Config::new("", "").within(room_gib * GIB);
            let offered = (config.blob_bytes_max / GIB, config.compiled_bytes_max / GIB);
            assert_eq!(offered, (blobs_gib, compiled_gib), "of {room_gib} GiB");
        };
        check(1000, 10, 1);
        check(10, 8, 1);
        check(0, 0, 0);
        let config = Config::new("", "").within(1000);
        assert_eq!((config.blob_bytes_max, config.compiled_bytes_max), (675, 225));
    }

    #[test]
    fn what_the_caches_have_taken_is_theirs_to_use() {
        let data = tempfile::tempdir().unwrap();
        let blobs = data.path().join(BLOBS_FOLDER);
        fs::create_dir(&blobs).unwrap();
        fs::write(blobs.join("one"), [0; 70]).unwrap();
        fs::write(blobs.join("other"), [0; 30]).unwrap();
        assert_eq!(files_bytes(&blobs), 100);
        assert_eq!(files_bytes(&data.path().join(COMPILED_FOLDER)), 0, "it is not there");
        let later = data.path().join("not").join("yet").join("made");
        let config = Config::new(later, "").within_disk();
        assert!(config.blob_bytes_max > 0, "the disk is that of the nearest folder above it");
    }
}
