//! What is on the disk: files and folders by number, in memory.

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::time::SystemTime;

use end_to_end::Draw;
use fuser::{Errno, TimeOrNow};

use crate::file::Contents;
use crate::folder::Names;
use crate::steps::{Counts, Kind, Plan, Step, Steps, Trouble};

/// The number of the folder that everything lies in.
pub(crate) const ROOT: u64 = 1;

/// What of the unsynced is still there after a power cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loss {
    /// Nothing.
    All,
    /// What is drawn from a seed, writes being torn between sectors.
    Some {
        /// The seed.
        seed: u64,
        /// The length of a sector, in bytes.
        sector: usize,
    },
}

/// A disk, and what goes wrong with it.
#[derive(Debug)]
pub struct Disk {
    nodes: HashMap<u64, Node>,
    next: u64,
    pub(crate) steps: Steps,
}

/// A file or folder. Its mode and its times are durable with it: nothing here depends on them.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) inner: Inner,
    pub(crate) mode: u16,
    pub(crate) changed_at: SystemTime,
    /// How many names it has.
    pub(crate) names: u32,
    /// Where it was put last, to be told.
    path: String,
}

#[derive(Debug)]
pub(crate) enum Inner {
    File(Contents),
    Folder(Names),
}

impl Disk {
    /// An empty disk.
    pub fn new(plan: Option<Plan>) -> Self {
        let root = Node::new(Inner::Folder(Names::default()), 0o755, String::new());
        Self { nodes: HashMap::from([(ROOT, root)]), next: 2, steps: Steps::with_plan(plan) }
    }

    /// What is found on it when the power is back. Nothing goes wrong with it any more.
    #[must_use]
    pub fn after_power_cut(mut self, loss: Loss) -> Self {
        let mut draw = match loss {
            Loss::All => None,
            Loss::Some { seed, sector } => Some((Draw::of_seed(seed), sector)),
        };
        // In the order of their numbers, so that a seed draws the same again.
        let mut numbers: Vec<u64> = self.nodes.keys().copied().collect();
        numbers.sort_unstable();
        let mut found = Self::new(None);
        for number in numbers {
            let Some(node) = self.nodes.remove(&number) else { continue };
            let survivors = draw.as_mut().map(|(draw, sector)| (draw, *sector));
            found.nodes.insert(number, node.after_power_cut(survivors));
        }
        found.next = self.next;
        found.steps = self.steps.after_power_cut();
        found.drop_unnamed();
        found
    }

    /// Has `trouble` begin at the next operation of a kind.
    pub fn trouble_at_next(&mut self, kind: Kind, trouble: Trouble) {
        let number = self.steps.counts().of(Some(kind)) + 1;
        self.steps.plan(Plan { step: Step { kind: Some(kind), number }, trouble });
    }

    /// Lets whatever comes pass.
    pub fn mend(&mut self) {
        self.steps.mend();
    }

    /// Whether the power is cut.
    pub fn is_cut(&self) -> bool {
        self.steps.is_cut()
    }

    /// Whether what was planned has begun, before a power cut too.
    pub fn has_begun(&self) -> bool {
        self.steps.has_begun()
    }

    /// How many operations have failed.
    pub fn failed(&self) -> u64 {
        self.steps.failed()
    }

    /// The operations that changed it so far.
    pub fn counts(&self) -> Counts {
        self.steps.counts().clone()
    }

    /// The last operations before something went wrong first, or until now; a line each.
    pub fn told(&self) -> String {
        self.steps.told()
    }

    pub(crate) fn node(&self, number: u64) -> Result<&Node, Errno> {
        if self.is_cut() {
            return Err(Errno::EIO);
        }
        self.nodes.get(&number).ok_or(Errno::ENOENT)
    }

    pub(crate) fn find(&self, folder: u64, name: &OsStr) -> Result<u64, Errno> {
        self.node(folder)?.names()?.find(name).ok_or(Errno::ENOENT)
    }

    pub(crate) fn make(
        &mut self,
        folder: u64,
        name: &OsStr,
        inner: Inner,
        mode: u16,
    ) -> Result<u64, Errno> {
        if self.find(folder, name).is_ok() {
            return Err(Errno::EEXIST);
        }
        let kind = match inner {
            Inner::File(_) => Kind::Create,
            Inner::Folder(_) => Kind::MakeFolder,
        };
        let path = self.path(folder, name);
        self.steps.take(kind, &path)?;
        let number = self.next;
        self.next += 1;
        self.nodes.insert(number, Node::new(inner, mode, path));
        self.rename_in(folder, vec![(name.to_owned(), Some(number))])?;
        Ok(number)
    }

    pub(crate) fn write(&mut self, number: u64, offset: usize, bytes: &[u8]) -> Result<(), Errno> {
        let what = format!("{} at {offset}, {} bytes", self.node(number)?.path, bytes.len());
        self.steps.take(Kind::Write, &what)?;
        self.write_back(number, offset, bytes)
    }

    /// A write that the kernel does in its own time, of pages that a process has in its memory: it
    /// is no step, since nothing says when it comes.
    pub(crate) fn write_back(
        &mut self,
        number: u64,
        offset: usize,
        bytes: &[u8],
    ) -> Result<(), Errno> {
        self.node(number)?;
        self.contents(number)?.write(offset, bytes);
        Ok(())
    }

    pub(crate) fn resize(&mut self, number: u64, length: usize) -> Result<(), Errno> {
        let what = format!("{} to {length} bytes", self.node(number)?.path);
        self.steps.take(Kind::Resize, &what)?;
        self.contents(number)?.resize(length);
        Ok(())
    }

    /// Changes what is durable at once.
    pub(crate) fn set(
        &mut self,
        number: u64,
        mode: Option<u32>,
        modified_at: Option<TimeOrNow>,
    ) -> Result<(), Errno> {
        self.node(number)?;
        let node = self.nodes.get_mut(&number).ok_or(Errno::ENOENT)?;
        node.mode = mode.map_or(node.mode, |mode| (mode & 0o7777) as u16);
        match modified_at {
            Some(TimeOrNow::SpecificTime(at)) => node.changed_at = at,
            Some(TimeOrNow::Now) => node.changed_at = SystemTime::now(),
            None => {}
        }
        Ok(())
    }

    pub(crate) fn sync(&mut self, number: u64) -> Result<(), Errno> {
        let what = self.node(number)?.path.clone();
        let taken = self.steps.take(Kind::Sync, &what);
        if self.is_cut() {
            return taken;
        }
        let contents = self.contents(number)?;
        match taken {
            Ok(()) => contents.sync(),
            Err(_) => contents.forget_pending(),
        }
        taken
    }

    /// A folder whose sync failed is as it was before: names are in a journal, which a later sync
    /// writes, or the file system takes no more.
    pub(crate) fn sync_folder(&mut self, number: u64) -> Result<(), Errno> {
        let what = format!("{}/", self.node(number)?.path);
        self.steps.take(Kind::SyncFolder, &what)?;
        self.names_mut(number)?.sync();
        Ok(())
    }

    pub(crate) fn link(&mut self, number: u64, folder: u64, name: &OsStr) -> Result<(), Errno> {
        if self.find(folder, name).is_ok() {
            return Err(Errno::EEXIST);
        }
        let what = format!("{} as {}", self.node(number)?.path, self.path(folder, name));
        self.steps.take(Kind::Link, &what)?;
        self.rename_in(folder, vec![(name.to_owned(), Some(number))])
    }

    pub(crate) fn unlink(&mut self, folder: u64, name: &OsStr) -> Result<(), Errno> {
        self.find(folder, name)?;
        self.steps.take(Kind::Unlink, &self.path(folder, name))?;
        self.rename_in(folder, vec![(name.to_owned(), None)])
    }

    pub(crate) fn remove_folder(&mut self, folder: u64, name: &OsStr) -> Result<(), Errno> {
        let number = self.find(folder, name)?;
        if !self.node(number)?.names()?.is_empty() {
            return Err(Errno::ENOTEMPTY);
        }
        self.steps.take(Kind::RemoveFolder, &self.path(folder, name))?;
        self.rename_in(folder, vec![(name.to_owned(), None)])
    }

    /// Within a folder both names change at once. A move to another one changes two folders, each
    /// of which is synced for itself.
    pub(crate) fn rename(&mut self, from: (u64, &OsStr), to: (u64, &OsStr)) -> Result<(), Errno> {
        let number = self.find(from.0, from.1)?;
        if let Ok(replaced) = self.find(to.0, to.1)
            && let Inner::Folder(names) = &self.node(replaced)?.inner
            && !names.is_empty()
        {
            return Err(Errno::ENOTEMPTY);
        }
        let path = self.path(to.0, to.1);
        self.steps.take(Kind::Rename, &format!("{} to {path}", self.path(from.0, from.1)))?;
        if let Some(node) = self.nodes.get_mut(&number) {
            node.path = path;
        }
        let (gone, put) = ((from.1.to_owned(), None), (to.1.to_owned(), Some(number)));
        if from.0 == to.0 {
            return self.rename_in(from.0, vec![gone, put]);
        }
        self.rename_in(to.0, vec![put])?;
        self.rename_in(from.0, vec![gone])
    }

    fn contents(&mut self, number: u64) -> Result<&mut Contents, Errno> {
        let node = self.nodes.get_mut(&number).ok_or(Errno::ENOENT)?;
        match &mut node.inner {
            Inner::File(contents) => {
                node.changed_at = SystemTime::now();
                Ok(contents)
            }
            Inner::Folder(_) => Err(Errno::EISDIR),
        }
    }

    fn names_mut(&mut self, number: u64) -> Result<&mut Names, Errno> {
        match &mut self.nodes.get_mut(&number).ok_or(Errno::ENOENT)?.inner {
            Inner::Folder(names) => Ok(names),
            Inner::File(_) => Err(Errno::ENOTDIR),
        }
    }

    /// Changes names in one folder, all at once, and counts them.
    fn rename_in(
        &mut self,
        folder: u64,
        change: Vec<(OsString, Option<u64>)>,
    ) -> Result<(), Errno> {
        for (name, number) in &change {
            let before = self.names_mut(folder)?.find(name);
            if let Some(node) = before.and_then(|number| self.nodes.get_mut(&number)) {
                node.names -= 1;
            }
            if let Some(node) = number.and_then(|number| self.nodes.get_mut(&number)) {
                node.names += 1;
            }
        }
        self.names_mut(folder)?.change(change);
        Ok(())
    }

    fn path(&self, folder: u64, name: &OsStr) -> String {
        let folder = self.nodes.get(&folder).map_or("", |node| &node.path);
        format!("{folder}/{}", name.display())
    }

    /// Removes what no name leads to, and counts the names of the rest.
    fn drop_unnamed(&mut self) {
        let mut names = HashMap::from([(ROOT, 1)]);
        let mut folders = vec![ROOT];
        while let Some(folder) = folders.pop() {
            let Some(Node { inner: Inner::Folder(inside), .. }) = self.nodes.get(&folder) else {
                continue;
            };
            for (_, number) in inside.iter() {
                let count = names.entry(number).or_insert(0);
                *count += 1;
                if *count == 1 {
                    folders.push(number);
                }
            }
        }
        self.nodes.retain(|number, node| {
            node.names = names.get(number).copied().unwrap_or_default();
            node.names > 0
        });
    }
}

impl Node {
    fn new(inner: Inner, mode: u16, path: String) -> Self {
        Self { inner, mode, changed_at: SystemTime::now(), names: 0, path }
    }

    fn after_power_cut(self, survivors: Option<(&mut Draw, usize)>) -> Self {
        let inner = match self.inner {
            Inner::File(contents) => Inner::File(contents.after_power_cut(survivors)),
            Inner::Folder(names) => {
                Inner::Folder(names.after_power_cut(survivors.map(|(draw, _)| draw)))
            }
        };
        Self { inner, ..self }
    }

    pub(crate) fn names(&self) -> Result<&Names, Errno> {
        match &self.inner {
            Inner::Folder(names) => Ok(names),
            Inner::File(_) => Err(Errno::ENOTDIR),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(disk: &mut Disk, folder: u64, name: &str, bytes: &[u8]) -> u64 {
        let inner = Inner::File(Contents::default());
        let number = disk.make(folder, OsStr::new(name), inner, 0o600).expect("made");
        disk.write(number, 0, bytes).expect("written");
        number
    }

    fn read(disk: &Disk, folder: u64, name: &str) -> Option<Vec<u8>> {
        let number = disk.find(folder, OsStr::new(name)).ok()?;
        match &disk.node(number).expect("it is there").inner {
            Inner::File(contents) => Some(contents.bytes().to_vec()),
            Inner::Folder(_) => None,
        }
    }

    #[test]
    fn a_file_is_durable_once_it_and_its_folder_are_synced() {
        let trial = |file_synced: bool, folder_synced: bool| {
            let mut disk = Disk::new(None);
            let number = file(&mut disk, ROOT, "a", b"bytes");
            if file_synced {
                disk.sync(number).expect("synced");
            }
            if folder_synced {
                disk.sync_folder(ROOT).expect("synced");
            }
            read(&disk.after_power_cut(Loss::All), ROOT, "a")
        };
        assert_eq!(trial(true, true), Some(b"bytes".to_vec()));
        assert_eq!(trial(false, true), Some(Vec::new()));
        assert_eq!(trial(true, false), None);
    }

    #[test]
    fn a_file_that_was_moved_is_where_its_folders_were_synced() {
        let mut disk = Disk::new(None);
        let inner = Inner::Folder(Names::default());
        let folder = disk.make(ROOT, OsStr::new("f"), inner, 0o700).expect("made");
        let number = file(&mut disk, ROOT, "a", b"bytes");
        disk.sync(number).expect("synced");
        disk.sync_folder(ROOT).expect("synced");
        disk.rename((ROOT, OsStr::new("a")), (folder, OsStr::new("b"))).expect("moved");
        assert_eq!(read(&disk, ROOT, "a"), None);
        assert_eq!(read(&disk, folder, "b"), Some(b"bytes".to_vec()));
        disk.sync_folder(folder).expect("synced");
        let disk = disk.after_power_cut(Loss::All);
        assert_eq!(read(&disk, ROOT, "a"), Some(b"bytes".to_vec()));
        assert_eq!(read(&disk, folder, "b"), Some(b"bytes".to_vec()));
        let node = disk.node(number).expect("it is there");
        assert_eq!(node.names, 2);
    }

    #[test]
    fn nothing_can_be_done_without_power_and_everything_when_it_is_back() {
        let step = "sync:1".parse().expect("a step");
        let mut disk = Disk::new(Some(Plan { step, trouble: crate::Trouble::PowerCut }));
        let number = file(&mut disk, ROOT, "a", b"bytes");
        disk.sync_folder(ROOT).expect("synced");
        assert!(disk.sync(number).is_err());
        assert!(disk.is_cut());
        assert!(disk.find(ROOT, OsStr::new("a")).is_err());
        let mut disk = disk.after_power_cut(Loss::All);
        assert_eq!(read(&disk, ROOT, "a"), Some(Vec::new()));
        disk.write(number, 0, b"again").expect("written");
        assert_eq!(read(&disk, ROOT, "a"), Some(b"again".to_vec()));
    }
}
