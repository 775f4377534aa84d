//! One lifetime of a filesystem in the kernel: from its first mount to the end of the last one. What the kernel held of
//! it in memory ends with it, so bytes that are read in a later lifetime than the one they were written in come from the
//! medium. A bind mount, or one more mount of what is mounted still, begins none.

use super::facts::{Facts, Mount, mounts};
use rustix::fs::{AtFlags, CWD, Mode, OFlags, StatxFlags};
use rustix::io::Errno;
use std::collections::BTreeSet;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Where each of these keeps a folder for as long as it is mounted.
const SUPERBLOCKS: [(&str, &str); 3] = [("ext4", "/sys/fs/ext4"), ("xfs", "/sys/fs/xfs"), ("btrfs", "/sys/fs/btrfs")];
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

/// What the kernel says that tells lifetimes apart. What is `None` tells nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lifetime {
    /// Of the kernel, from its start.
    pub boot: Option<String>,
    /// Inode of the filesystem's folder in sysfs, which no other one gets before the next boot.
    pub superblock: Option<u64>,
    /// Rises when a disk, its medium or its image is attached again.
    pub disk: Option<u64>,
    /// The lowest and the highest number of its mounts; each mount gets a higher one than all before it.
    pub mounts: Option<(u64, u64)>,
    /// All that are there at this moment.
    pub superblocks: BTreeSet<u64>,
    pub disks: BTreeSet<u64>,
}

impl Lifetime {
    pub fn of(facts: &Facts) -> Self {
        let all = mounts().unwrap_or_default();
        let of_device: Vec<&Mount> = all.iter().filter(|m| m.device == facts.mount.device).collect();
        // A container may lay an id of its own over the kernel's.
        let own_boot = all.iter().any(|m| m.point == Path::new(BOOT_ID));
        let boot = std::fs::read_to_string(BOOT_ID).ok().filter(|_| !own_boot).map(|t| t.trim().to_owned());
        let disk = disk_folder(facts).and_then(|d| number(&d.join("diskseq")));
        let numbers: Option<Vec<u64>> = of_device.iter().map(|m| unique_id(m)).collect();
        let numbers = numbers.unwrap_or_default();
        Lifetime {
            boot: boot.filter(|b| !b.is_empty()),
            superblock: superblock(facts),
            disk,
            mounts: numbers.iter().min().zip(numbers.iter().max()).map(|(a, b)| (*a, *b)),
            superblocks: superblocks(),
            disks: disks(),
        }
    }

    /// True only when the earlier one is over for certain.
    pub fn follows(&self, earlier: &Lifetime) -> bool {
        let (Some(boot), Some(before)) = (&self.boot, &earlier.boot) else { return false };
        if boot != before {
            return true;
        }
        match (self.superblock, earlier.superblock) {
            (Some(now), Some(then)) => now != then && !self.superblocks.contains(&then),
            _ => {
                let other = self.disk.zip(earlier.disk).is_some_and(|(a, b)| a != b && !self.disks.contains(&b));
                // A drive may only say that its medium might be another one, and all mounts stay.
                other && self.mounts.zip(earlier.mounts).is_some_and(|(now, then)| now.0 > then.1)
            }
        }
    }

    /// Of another filesystem or disk than the earlier one, which may live on: a clone with the same name.
    pub fn is_another(&self, earlier: &Lifetime) -> bool {
        let differ = |a: Option<u64>, b: Option<u64>| a.zip(b).is_some_and(|(a, b)| a != b);
        differ(self.superblock, earlier.superblock) || differ(self.disk, earlier.disk)
    }
}

/// Whether the kernel has let go of a filesystem whose last mount that we see is gone; other namespaces and open files
/// behind a lazy unmount may hold it. `None`: it does not say so to us.
pub fn is_over(facts: &Facts, was: &Lifetime) -> Option<bool> {
    if let Some(superblock) = was.superblock {
        return Some(!superblocks().contains(&superblock));
    }
    if was.disk.is_some_and(|disk| !disks().contains(&disk)) {
        return Some(true);
    }
    if mounts().ok()?.iter().any(|m| m.device == facts.mount.device) {
        return Some(false);
    }
    // A mounted filesystem has its device for itself.
    let flags = OFlags::RDONLY | OFlags::EXCL | OFlags::NONBLOCK | OFlags::CLOEXEC;
    match rustix::fs::open(&facts.mount.source, flags, Mode::empty()) {
        Ok(_) | Err(Errno::NOENT | Errno::NXIO | Errno::NOMEDIUM) => Some(true),
        Err(Errno::BUSY) => Some(false),
        Err(_) => None,
    }
}

fn superblock(facts: &Facts) -> Option<u64> {
    let (fs_type, folder) = SUPERBLOCKS.iter().find(|(t, _)| *t == facts.mount.fs_type)?;
    let name = match *fs_type {
        "btrfs" => facts.volume_key.rsplit(':').next()?.into(),
        _ => super::facts::sys_folder(&facts.mount)?.file_name()?.to_owned(),
    };
    Some(std::fs::metadata(Path::new(folder).join(name)).ok()?.ino())
}

/// The whole disk below, in sysfs.
pub(super) fn disk_folder(facts: &Facts) -> Option<PathBuf> {
    let mut folder = super::facts::sys_folder(&facts.mount)?;
    if folder.join("partition").exists() {
        folder.pop();
    }
    Some(folder)
}

fn number(path: &Path) -> Option<u64> {
    std::fs::read_to_string(path).ok()?.trim().parse().ok()
}

fn entries(folder: &str) -> impl Iterator<Item = PathBuf> {
    std::fs::read_dir(folder).into_iter().flatten().flatten().map(|e| e.path())
}

fn superblocks() -> BTreeSet<u64> {
    let all = SUPERBLOCKS.iter().flat_map(|(_, folder)| entries(folder));
    all.filter_map(|p| Some(std::fs::metadata(p).ok()?.ino())).collect()
}

fn disks() -> BTreeSet<u64> {
    entries("/sys/block").filter_map(|p| number(&p.join("diskseq"))).collect()
}

/// STATX_MNT_ID_UNIQUE, from Linux 6.8 on; older kernels reuse their ids.
fn unique_id(mount: &Mount) -> Option<u64> {
    let unique = StatxFlags::from_bits_retain(0x4000);
    let x = rustix::fs::statx(CWD, &mount.point, AtFlags::SYMLINK_NOFOLLOW | AtFlags::NO_AUTOMOUNT, unique).ok()?;
    // Hidden below another mount, its point is answered by that one.
    let here = (x.stx_dev_major, x.stx_dev_minor) == mount.device;
    (here && x.stx_mask & 0x4000 != 0).then_some(x.stx_mnt_id)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn life(boot: &str, superblock: Option<u64>, disk: u64, mounts: Option<(u64, u64)>) -> Lifetime {
        let superblocks = superblock.into_iter().collect();
        Lifetime {
            boot: Some(boot.into()),
            superblock,
            disk: Some(disk),
            mounts,
            superblocks,
            disks: BTreeSet::from([disk]),
        }
    }

    #[test]
    fn only_what_is_surely_over_is_followed() {
        let was = life("x", Some(500), 3, Some((10, 11)));
        assert!(!was.follows(&was));
        assert!(life("y", Some(500), 3, Some((10, 11))).follows(&was), "another boot");
        assert!(life("x", Some(501), 3, Some((12, 12))).follows(&was), "mounted anew");
        // A bind mount of it, when the first mount is gone: one superblock.
        assert!(!life("x", Some(500), 3, Some((12, 12))).follows(&was));
        let mut clone = life("x", Some(501), 4, Some((12, 12)));
        clone.superblocks.insert(500);
        assert!(clone.is_another(&was) && !was.is_another(&was) && !was.is_another(&Lifetime::default()));
        assert!(!clone.follows(&was), "a clone of the disk beside it, which is mounted still");
        assert!(!life("x", Some(500), 4, Some((12, 12))).follows(&was));
        assert!(!Lifetime::default().follows(&was) && !was.follows(&Lifetime::default()));
        assert!(!Lifetime { boot: None, ..life("y", Some(7), 9, None) }.follows(&was));
    }

    #[test]
    fn a_filesystem_without_a_folder_in_sysfs_is_told_by_its_disk_and_its_mounts() {
        let was = life("x", None, 3, Some((10, 11)));
        assert!(life("x", None, 4, Some((12, 12))).follows(&was), "plugged in again");
        assert!(!life("x", None, 3, Some((12, 12))).follows(&was), "mounted again: or bound?");
        assert!(!life("x", None, 4, Some((11, 12))).follows(&was), "a mount of then is left");
        assert!(!life("x", None, 4, None).follows(&was), "an old kernel");
        let mut clone = life("x", None, 4, Some((12, 12)));
        clone.disks.insert(3);
        assert!(!clone.follows(&was));
    }

    #[test]
    fn the_disk_that_the_tests_lie_on_lives_and_is_not_over() {
        let facts = super::super::facts::of(Path::new(env!("CARGO_MANIFEST_DIR"))).unwrap();
        let life = Lifetime::of(&facts);
        assert!(!Lifetime::of(&facts).follows(&life));
        assert_eq!(is_over(&facts, &life), Some(false));
    }
}
