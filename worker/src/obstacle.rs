//! What is said of an error that keeps units from running here: its kind and nothing else, as paths
//! and names of this machine are nobody's business.

use std::error::Error;
use std::io;

use gleaner_protocol::Obstacle;
use gleaner_sandbox::{CompileError, SpawnError};

use crate::blobs::BlobError;
use crate::stage::PrepareError;

pub(crate) fn of_preparing(error: &PrepareError) -> Obstacle {
    match error {
        PrepareError::Blob {
            source: BlobError::NoRoom { .. } | BlobError::TooLarge { .. },
            ..
        } => Obstacle::DiskShare,
        PrepareError::Blob { source, .. } => disk_full(source).unwrap_or(Obstacle::FilesMissing),
        PrepareError::Unconnected { .. } => Obstacle::FilesMissing,
        PrepareError::Refused { .. } => Obstacle::Compiling,
        PrepareError::Compile(error) => of_compiling(error),
    }
}

fn of_compiling(error: &CompileError) -> Obstacle {
    match error {
        CompileError::WrongHash { .. } | CompileError::Module { .. } => Obstacle::FilesMissing,
        error => disk_full(error).unwrap_or(Obstacle::Compiling),
    }
}

pub(crate) fn of_starting(error: &SpawnError) -> Obstacle {
    match error {
        SpawnError::File { .. } => Obstacle::FilesMissing,
        error => disk_full(error).unwrap_or(Obstacle::Slot),
    }
}

/// Whether the disk has no room, or none for this user, as an error or what led to it says.
fn disk_full(error: &(dyn Error + 'static)) -> Option<Obstacle> {
    let io = error.downcast_ref::<io::Error>().map(io::Error::kind);
    if matches!(io, Some(io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)) {
        return Some(Obstacle::DiskFull);
    }
    disk_full(error.source()?)
}

#[cfg(test)]
mod tests {
    use gleaner_network::FetchError;
    use gleaner_protocol::{BlobHash, BlobRef, WorkerId};

    use super::*;

    fn full() -> io::Error {
        io::ErrorKind::StorageFull.into()
    }

    fn preparing(source: BlobError) -> Obstacle {
        let blob = BlobRef { hash: BlobHash([1; 32]), bytes: 9 };
        of_preparing(&PrepareError::Blob { blob, source })
    }

    #[test]
    fn a_full_disk_is_told_wherever_it_shows() {
        let path = || "x".into();
        let fetch = FetchError::Disk { path: path(), source: full() };
        let fetched = preparing(BlobError::Fetch(Box::new(fetch)));
        let written = preparing(BlobError::Write { path: path(), source: full() });
        let cache = CompileError::Cache { path: path(), source: full() };
        let compiled = of_preparing(&PrepareError::Compile(cache));
        let started = of_starting(&SpawnError::Process(full()));
        assert_eq!([fetched, written, compiled, started], [Obstacle::DiskFull; 4]);
    }

    #[test]
    fn what_is_no_full_disk_is_told_apart() {
        let (blob, peer) = (BlobRef { hash: BlobHash([1; 32]), bytes: 9 }, WorkerId([2; 32]));
        let gone = FetchError::Unavailable { peer, blob };
        assert_eq!(preparing(BlobError::Fetch(Box::new(gone))), Obstacle::FilesMissing);
        assert_eq!(preparing(BlobError::TooLarge { bytes: 9, max: 8 }), Obstacle::DiskShare);
        let pinned = BlobError::NoRoom { bytes: 9, pinned: 8, max: 10 };
        assert_eq!(preparing(pinned), Obstacle::DiskShare);
        let child = CompileError::Child { reason: "it ended".into() };
        assert_eq!(of_preparing(&PrepareError::Compile(child)), Obstacle::Compiling);
        let late = SpawnError::NotReady { status: "it ended".into() };
        assert_eq!(of_starting(&late), Obstacle::Slot);
    }
}
