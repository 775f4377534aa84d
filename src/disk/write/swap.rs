//! A file of ours rebuilt beside itself: begun as a clone where the filesystem can share blocks, and swapped with the
//! name that it is for. At every moment the name leads to the old file or to the new one.

use super::Temp;
use crate::disk::{Root, Stat};
use crate::relpath::RelPath;
use rustix::fs::{AtFlags, Mode, OFlags, RenameFlags};
use rustix::io::Errno;
use std::fs::File;
use std::io;

/// Where the old file is after a swap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Old {
    /// Under the temporary name.
    UnderTemp,
    /// This filesystem cannot exchange two names: the old one was replaced, and is kept only where it was linked to.
    Replaced,
}

impl<'r> Temp<'r> {
    /// Makes `relpath` anew as a clone of `from`: no byte is read or written, changed blocks become its own. An error of
    /// kind `Unsupported` where the filesystem cannot. The clone has `size_bytes`, cut or grown by a hole; all of its bytes
    /// are to be read back before they count.
    pub fn clone_of(root: &'r Root, from: &RelPath, relpath: &RelPath, size_bytes: u64) -> io::Result<Self> {
        let source = root.open_file(from)?;
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW;
        let file = File::from(root.openat(relpath, flags, Mode::from_raw_mode(0o644))?);
        let cloned = match rustix::fs::ioctl_ficlone(&file, &source) {
            Ok(()) => file.set_len(size_bytes),
            Err(Errno::OPNOTSUPP | Errno::NOTTY | Errno::INVAL | Errno::XDEV | Errno::NOSYS | Errno::PERM) => {
                Err(io::ErrorKind::Unsupported.into())
            }
            Err(e) => Err(e.into()),
        };
        let mut temp = Self::of(root, relpath, file, false)?;
        temp.written = size_bytes;
        match cloned {
            Ok(()) => Ok(temp),
            Err(e) => {
                temp.discard()?;
                Err(e)
            }
        }
    }

    /// Owner and rights of the file that this one takes the place of, as far as we may give them.
    pub fn look_like(&self, other: &RelPath) -> io::Result<()> {
        let dir = self.root.open_dir(&other.parent())?;
        let stat = rustix::fs::statat(&dir, other.name(), AtFlags::SYMLINK_NOFOLLOW)?;
        if rustix::fs::FileType::from_raw_mode(stat.st_mode) != rustix::fs::FileType::RegularFile {
            return Ok(());
        }
        let file = self.open()?;
        let (uid, gid) = (rustix::fs::Uid::from_raw(stat.st_uid), rustix::fs::Gid::from_raw(stat.st_gid));
        // Only root may give a file away; the bytes are what matters.
        let _ = rustix::fs::fchown(file, Some(uid), Some(gid));
        let _ = rustix::fs::fchmod(file, Mode::from_raw_mode(stat.st_mode & 0o7777));
        Ok(())
    }

    /// Gives the file the name `target`, which another one has, and makes that durable; the result is reopened by its
    /// name. Where two names cannot be exchanged, the old file is linked to `keep` first, if that is asked for, and then
    /// replaced. On an error the names are as they were, as far as the filesystem still obeys.
    pub fn swap(self, target: &RelPath, keep: Option<&RelPath>) -> Result<(Stat, Old), (Self, io::Error)> {
        self.try_swap(target, keep).map_err(|e| (self, e))
    }

    fn try_swap(&self, target: &RelPath, keep: Option<&RelPath>) -> io::Result<(Stat, Old)> {
        debug_assert_eq!(self.relpath.parent(), target.parent());
        let file = self.root.open_file(&self.relpath)?;
        let dir = self.root.open_dir(&target.parent())?;
        let (mine, its) = (self.relpath.name(), target.name());
        match rustix::fs::renameat_with(&dir, mine, &dir, its, RenameFlags::EXCHANGE) {
            Ok(()) => {
                let settled = Self::settle(self.root, &file, &dir, target);
                let settled = settled.inspect_err(|_| {
                    let _ = rustix::fs::renameat_with(&dir, mine, &dir, its, RenameFlags::EXCHANGE);
                });
                Ok((settled?, Old::UnderTemp))
            }
            Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => {
                if let Some(keep) = keep {
                    self.root.make_dir(&keep.parent())?;
                    let to = self.root.open_dir(&keep.parent())?;
                    rustix::fs::linkat(&dir, its, &to, keep.name(), AtFlags::empty())?;
                    rustix::fs::fsync(&to)?;
                }
                rustix::fs::renameat(&dir, mine, &dir, its)?;
                Ok((Self::settle(self.root, &file, &dir, target)?, Old::Replaced))
            }
            Err(e) => Err(e.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::buffer::Buffer;

    fn rel(p: &str) -> RelPath {
        RelPath::new(p).unwrap()
    }

    #[test]
    fn two_names_are_exchanged_and_the_old_file_stays() {
        let dir = tempfile::tempdir().unwrap();
        let root = Root::open(dir.path()).unwrap();
        std::fs::write(dir.path().join("f"), b"old").unwrap();
        let mut temp = Temp::create(&root, &rel(".t"), 3).unwrap();
        let mut data = Buffer::new(4096);
        data[..3].copy_from_slice(b"new");
        temp.append(&data, 3).unwrap();
        temp.finish(Some(1_600_000_000_000_000_000)).unwrap();
        temp.rest();
        let (stat, old) = temp.swap(&rel("f"), None).map_err(|e| e.1).unwrap();
        assert_eq!((stat.size_bytes, stat.mtime_ns), (3, 1_600_000_000_000_000_000));
        assert_eq!(std::fs::read(dir.path().join("f")).unwrap(), b"new");
        match old {
            Old::UnderTemp => assert_eq!(std::fs::read(dir.path().join(".t")).unwrap(), b"old"),
            Old::Replaced => assert!(!dir.path().join(".t").exists()),
        }
    }

    #[test]
    fn a_clone_has_the_bytes_and_its_own_length_or_says_that_it_cannot() {
        let dir = tempfile::tempdir().unwrap();
        let root = Root::open(dir.path()).unwrap();
        std::fs::write(dir.path().join("f"), vec![7; 100_000]).unwrap();
        match Temp::clone_of(&root, &rel("f"), &rel(".t"), 50_000) {
            Ok(_) => assert_eq!(std::fs::read(dir.path().join(".t")).unwrap(), vec![7; 50_000]),
            Err(e) => {
                assert_eq!(e.kind(), io::ErrorKind::Unsupported, "{e}");
                assert!(!dir.path().join(".t").exists(), "nothing is left where it is not possible");
            }
        }
    }
}
