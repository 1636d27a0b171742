//! Single promises of the store and the blobs, each at the step that it depends on.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use end_to_end::wait_until;
use fault_tests::{Disk, Failure, Kind, Lab, Loss, Mount, Trouble};
use gleaner_coordinator::blobs::Blobs;
use gleaner_coordinator::store::{InvitationTerms, Store};
use gleaner_protocol::{BlobHash, InvitationSecret, Timestamp};
use tempfile::TempDir;

const BYTES: &[u8] = b"bytes of a blob";

/// How long a thing that is under way may take.
const LIMIT: Duration = Duration::from_secs(20);

/// More operations than there are: they fail until the disk is mended.
const ALL: u64 = 1_000_000;

/// A disk without a coordinator.
struct Place {
    mount: Option<Mount>,
    folder: TempDir,
}

impl Place {
    fn new() -> Result<Self> {
        let folder = tempfile::tempdir().context("cannot make a folder")?;
        let mount = Some(Mount::new(Disk::new(None), folder.path())?);
        Ok(Self { mount, folder })
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn blobs_folder(&self) -> PathBuf {
        self.path().join("blobs")
    }

    /// The next operation of a kind fails, and as many behind it as `operations` says.
    fn fail_next(&self, kind: Kind, operations: u64) -> Result<()> {
        let trouble = Trouble::Fail { error: Failure::Io, operations };
        self.mount()?.disk().trouble_at_next(kind, trouble);
        Ok(())
    }

    fn mend(&self) -> Result<()> {
        self.mount()?.disk().mend();
        Ok(())
    }

    fn mount(&self) -> Result<&Mount> {
        self.mount.as_ref().context("it is mounted")
    }

    /// The notes of all invitations that are in the store.
    fn notes(&self) -> Result<Vec<String>> {
        let (store, _commits) = Store::open(self.path())?;
        let invitations = run(async { Ok(store.invitations().await?) })?;
        Ok(invitations.into_iter().map(|invitation| invitation.terms.note).collect())
    }

    /// Cuts the power; nothing that was not synced is left.
    fn cut_power(&mut self) -> Result<()> {
        let disk = self.mount.take().context("it is mounted")?.end()?;
        self.mount = Some(Mount::new(disk.after_power_cut(Loss::All), self.path())?);
        Ok(())
    }
}

/// Runs what is asynchronous, and ends all that it started.
fn run<T>(work: impl Future<Output = Result<T>>) -> Result<T> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(work)
}

pub fn a_project_is_there_once_init_has_said_so() -> Result<()> {
    let compiled = tempfile::tempdir()?;
    let init = ["coordinator", "init", "--allow-network-folder"];
    for is_second_attempt in [false, true] {
        let mut lab = Lab::new(Disk::new(None), Loss::All, compiled.path())?;
        if is_second_attempt {
            let trouble = Trouble::Fail { error: Failure::Io, operations: 1 };
            lab.mount().disk().trouble_at_next(Kind::SyncFolder, trouble);
            let answer = lab.ask_operator(&init)?;
            ensure!(answer.code != 0, "a project whose folder cannot be synced is made");
        }
        lab.tell_operator(&init)?;
        lab.cut_power()?;
        lab.start_coordinator().with_context(|| lab.log_tail())?;
        lab.stop_coordinator()?;
    }
    Ok(())
}

pub fn the_folders_of_blobs_survive_with_what_is_put_into_them() -> Result<()> {
    let mut place = Place::new()?;
    let hash = BlobHash::of(BYTES);
    for has_shelf in [false, true] {
        let folder = place.blobs_folder();
        if has_shelf {
            // What a process has made that was killed before it synced it.
            std::fs::create_dir_all(folder.join(&hash.to_string()[..2]))?;
        }
        run(async { Ok(Blobs::open(&folder)?.put(BYTES).await?) })?;
        place.cut_power()?;
        let found = run(async { Ok(Blobs::open(&folder)?.find(hash).await?) })?;
        ensure!(
            found.is_some(),
            "a blob that was put is gone, on a shelf that was there: {has_shelf}"
        );
        std::fs::remove_dir_all(&folder)?;
    }
    Ok(())
}

pub fn a_blob_that_is_said_to_be_held_survives() -> Result<()> {
    let mut place = Place::new()?;
    let (folder, hash) = (place.blobs_folder(), BlobHash::of(BYTES));
    for is_killed in [false, true] {
        let found = run(async {
            let mut blobs = Blobs::open(&folder)?;
            // The shelf is there, so that the next folder to be synced is the shelf, by the put.
            blobs.put(&b"bytes of another"[..]).await?;
            std::fs::create_dir_all(folder.join(&hash.to_string()[..2]))?;
            place.fail_next(Kind::SyncFolder, 1)?;
            let put = blobs.put(BYTES).await;
            ensure!(put.is_err(), "a blob whose folder cannot be synced is kept");
            if is_killed {
                blobs = Blobs::open(&folder)?;
            }
            Ok(blobs.find(hash).await?)
        })?;
        place.cut_power()?;
        if found.is_some() {
            let left = run(async { Ok(Blobs::open(&folder)?.find(hash).await?) })?;
            ensure!(left == found, "a blob that was said to be held is gone; killed: {is_killed}");
        }
        std::fs::remove_dir_all(&folder)?;
    }
    Ok(())
}

pub fn a_blob_whose_put_was_under_way_at_a_sync_survives() -> Result<()> {
    let mut place = Place::new()?;
    let (folder, hash) = (place.blobs_folder(), BlobHash::of(BYTES));
    let neighbour = neighbour(hash);
    for is_abandoned in [false, true] {
        let found = run(async {
            let blobs = Blobs::open(&folder)?;
            blobs.put(neighbour.clone()).await?;
            let mount = place.mount()?;
            mount.hold_next_sync();
            let to_put = blobs.clone();
            let put = tokio::spawn(async move { to_put.put(BYTES).await });
            wait_until("a put", LIMIT, || Ok(mount.holds_sync().then_some(())))?;
            // This syncs the shelf, where the blob is not yet.
            ensure!(blobs.find(BlobHash::of(neighbour.as_bytes())).await?.is_some());
            place.fail_next(Kind::SyncFolder, 1)?;
            if is_abandoned {
                put.abort();
                mount.let_go();
                wait_until("its end", LIMIT, || Ok((mount.disk().failed() > 0).then_some(())))?;
            } else {
                mount.let_go();
                ensure!(put.await?.is_err(), "a blob whose folder cannot be synced is kept");
            }
            Ok(blobs.find(hash).await?)
        })?;
        ensure!(found.is_some(), "the blob was not renamed into place");
        place.cut_power()?;
        let left = run(async { Ok(Blobs::open(&folder)?.find(hash).await?) })?;
        ensure!(left == found, "a blob that was said to be held is gone; given up: {is_abandoned}");
        std::fs::remove_dir_all(&folder)?;
    }
    Ok(())
}

/// The bytes of another blob on the same shelf.
fn neighbour(hash: BlobHash) -> String {
    let is_near = |bytes: &String| BlobHash::of(bytes.as_bytes()).0[0] == hash.0[0];
    (0..).map(|number: u32| number.to_string()).find(is_near).expect("there are 256 shelves")
}

pub fn what_is_committed_to_a_new_log_survives() -> Result<()> {
    let mut place = Place::new()?;
    // Closed in good order, a store leaves no log.
    drop(Store::open(place.path())?);
    for attempt in [1, 2] {
        let is_acknowledged = run(async {
            if attempt == 1 {
                place.fail_next(Kind::SyncFolder, 1)?;
            }
            let opened = Store::open(place.path());
            ensure!(opened.is_ok() || attempt == 1, "a disk that is well gives no store");
            let Ok((store, _commits)) = opened else { return Ok(false) };
            let invited = invite(&store, attempt).await;
            // So long that the log is not moved into the store.
            place.fail_next(Kind::Write, ALL)?;
            Ok(invited.is_ok())
        })?;
        ensure!(is_acknowledged || attempt == 1, "a disk that is well takes no commit");
        place.cut_power()?;
        let left = place.notes()?;
        let is_left = left.contains(&attempt.to_string());
        ensure!(is_left || !is_acknowledged, "{attempt} is gone, there are {left:?}");
    }
    Ok(())
}

pub fn what_follows_a_commit_that_was_not_synced_survives() -> Result<()> {
    let mut place = Place::new()?;
    run(async {
        let (store, _commits) = Store::open(place.path())?;
        invite(&store, 1).await?;
        // So long that the store cannot be closed in good order either.
        place.fail_next(Kind::Sync, ALL)?;
        ensure!(invite(&store, 2).await.is_err(), "what is not synced is acknowledged");
        Ok(())
    })?;
    place.mend()?;
    // Started again on what the kernel takes to be written, and ended by the power cut.
    run(async {
        let (store, _commits) = Store::open(place.path())?;
        invite(&store, 3).await?;
        place.fail_next(Kind::Write, ALL)
    })?;
    place.cut_power()?;
    let left = place.notes()?;
    for acknowledged in ["1", "3"] {
        let is_left = left.iter().any(|note| note == acknowledged);
        ensure!(is_left, "{acknowledged} is gone, there are {left:?}");
    }
    Ok(())
}

async fn invite(store: &Store, number: u8) -> Result<()> {
    let now = Timestamp::ZERO;
    let expires_at = now + Duration::from_secs(60);
    let terms = InvitationTerms { expires_at, uses_max: None, note: number.to_string() };
    store.invite(InvitationSecret([number; 16]), now, terms).await?;
    Ok(())
}
