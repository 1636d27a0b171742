//! Which file systems are of this machine alone.

use std::path::{Path, PathBuf};

use crate::platform;

/// What to do with a data folder on a network file system.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum NetworkFolders {
    /// Refuse it: the recommendation.
    #[default]
    Refuse,
    /// Use it, as somebody who knows that one machine alone does.
    Allow,
}

/// The data folder can be reached from other machines. A retry is of no use.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the folder {} lies on a network file system ({kind}), where another machine could use it at \
     the same time; choose a folder on a local disk with --data, or, if no other machine uses it, \
     add --allow-network-folder",
    folder.display()
)]
pub struct NotLocal {
    /// The folder.
    pub folder: PathBuf,
    /// The kind of file system.
    pub kind: String,
}

/// Magic numbers of file systems that several machines share (`linux/magic.h`, and the file
/// systems' own sources for those out of the tree).
const SHARED: [(u64, &str); 18] = [
    (0x6969, "nfs"),
    (0x517B, "smb"),
    (0xFF53_4D42, "cifs"),
    (0xFE53_4D42, "smb2"),
    (0x5346_414F, "afs"),
    (0x6B41_4653, "afs"),
    (0x7375_7245, "coda"),
    (0x564C, "ncp"),
    (0x0102_1997, "9p"),
    (0x00C3_6400, "ceph"),
    (0x7461_636F, "ocfs2"),
    (0x0116_1970, "gfs2"),
    (0x0BD0_0BD0, "lustre"),
    (0x4750_4653, "gpfs"),
    (0xAAD7_AAEA, "panfs"),
    (0x1983_0326, "beegfs"),
    (0x786F_4256, "vboxsf"),
    (0xBACB_ACBC, "vmhgfs"),
];

/// The magic number of every file system in user space; its type tells them apart.
pub(crate) const FUSE: u64 = 0x6573_5546;

/// File systems in user space that lie on this machine's own disks.
const FUSE_LOCAL: [&str; 10] = [
    "fuseblk",
    "fuse.bindfs",
    "fuse.cryfs",
    "fuse.encfs",
    "fuse.fuse-overlayfs",
    "fuse.gocryptfs",
    "fuse.lxcfs",
    "fuse.mergerfs",
    "fuse.ntfs-3g",
    "fuse.unionfs",
];

/// Whether `folder`, or the nearest folder above it that is there, is of this machine alone. What
/// the system does not tell is taken to be.
///
/// # Errors
/// [`NotLocal`], unless `network` allows it.
pub fn check_local(folder: &Path, network: NetworkFolders) -> Result<(), NotLocal> {
    if network == NetworkFolders::Allow {
        return Ok(());
    }
    let Some((magic, fuse_type)) = folder.ancestors().find_map(platform::file_system) else {
        return Ok(());
    };
    match shared_kind(magic, fuse_type.as_deref()) {
        None => Ok(()),
        Some(kind) => Err(NotLocal { folder: folder.to_owned(), kind }),
    }
}

/// The kind of a file system that other machines may reach; `fuse_type` is its type in the table
/// of mounts, for those in user space.
fn shared_kind(magic: u64, fuse_type: Option<&str>) -> Option<String> {
    if magic == FUSE {
        let kind = fuse_type.unwrap_or("fuse");
        return (!FUSE_LOCAL.contains(&kind)).then(|| kind.to_owned());
    }
    SHARED.iter().find(|(shared, _)| *shared == magic).map(|(_, kind)| (*kind).to_owned())
}

/// The type of the file system on a device, by the table of mounts (`proc_pid_mountinfo(5)`).
pub(crate) fn mounted_type(mountinfo: &str, major: u32, minor: u32) -> Option<&str> {
    let device = format!("{major}:{minor}");
    let mount = mountinfo.lines().find(|line| line.split(' ').nth(2) == Some(&device))?;
    mount.split_once(" - ")?.1.split(' ').next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_other_machines_can_reach_is_told_apart() {
        for (magic, fuse_type, kind) in [
            (0xEF53, None, None),      // ext4
            (0x5846_5342, None, None), // xfs
            (0x9123_683E, None, None), // btrfs
            (0x2FC1_2FC1, None, None), // zfs
            (0x0102_1994, None, None), // tmpfs
            (0x794C_7630, None, None), // overlayfs
            (0x6969, None, Some("nfs")),
            (0xFF53_4D42, None, Some("cifs")),
            (0xFE53_4D42, None, Some("smb2")),
            (0x0102_1997, None, Some("9p")),
            (0x00C3_6400, None, Some("ceph")),
            (FUSE, Some("fuse.sshfs"), Some("fuse.sshfs")),
            (FUSE, Some("fuse.rclone"), Some("fuse.rclone")),
            (FUSE, Some("virtiofs"), Some("virtiofs")),
            (FUSE, None, Some("fuse")),
            (FUSE, Some("fuseblk"), None),
            (FUSE, Some("fuse.gocryptfs"), None),
        ] {
            assert_eq!(shared_kind(magic, fuse_type).as_deref(), kind, "{magic:#x} {fuse_type:?}");
        }
    }

    #[test]
    fn a_mount_is_found_by_its_device() {
        let mountinfo = "\
            22 27 0:21 / /proc rw,nosuid - proc proc rw\n\
            27 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw\n\
            90 27 0:48 / /home/ada rw,nosuid,nodev shared:7 master:2 - fuse.sshfs ada@far:/ rw\n";
        assert_eq!(mounted_type(mountinfo, 0, 48), Some("fuse.sshfs"));
        assert_eq!(mounted_type(mountinfo, 254, 0), Some("ext4"));
        assert_eq!(mounted_type(mountinfo, 0, 4), None);
    }

    #[test]
    fn a_temporary_folder_and_one_that_is_not_there_yet_are_local() {
        let folder = tempfile::tempdir().expect("a folder");
        let deep = folder.path().join("not/there/yet");
        for path in [folder.path(), &deep] {
            assert_eq!(check_local(path, NetworkFolders::Refuse), Ok(()));
        }
    }
}
