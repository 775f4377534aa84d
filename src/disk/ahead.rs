//! Small files past the cache, many at once: pages dropped, checked to be gone, and asked for again before the first is
//! waited for. One thread so keeps a device's whole queue busy, where direct reads would wait for each file in turn.

use super::{Root, Stat, facts, pagecache};
use crate::copy::ReadBack;
use crate::relpath::RelPath;
use rustix::fs::{Advice, Mode, OFlags};
use rustix::io::{Errno, ReadWriteFlags};
use std::fs::File;
use std::io::{self, IoSliceMut};
use std::os::unix::fs::FileExt;

/// No page is smaller.
const PAGE_BYTES: u64 = 4096;

/// A file that the device was asked for.
#[derive(Debug)]
pub struct Ahead {
    file: File,
    stat: Stat,
}

impl Ahead {
    /// `None`: larger than `most_bytes`, or its pages do not leave the cache by this way; to be read in another.
    pub fn open(root: &Root, relpath: &RelPath, fs_type: &str, most_bytes: u64) -> io::Result<Option<Self>> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK;
        let fd = match root.openat(relpath, flags | OFlags::NOATIME, Mode::empty()) {
            Err(e) if e.raw_os_error() == Some(Errno::PERM.raw_os_error()) => {
                root.openat(relpath, flags, Mode::empty())?
            }
            other => other?,
        };
        let file = File::from(fd);
        let stat = Stat::of(&file)?;
        if !stat.is_file {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"));
        }
        if stat.size_bytes > most_bytes {
            return Ok(None);
        }
        if stat.size_bytes > 0 && facts::read_back_class(fs_type) == ReadBack::Device {
            rustix::fs::fadvise(&file, 0, None, Advice::DontNeed)?;
            let is_one_page = stat.size_bytes <= PAGE_BYTES;
            if is_cached(&file) || !is_one_page && pagecache::any_cached(&file, 0, stat.size_bytes)? {
                return Ok(None);
            }
            rustix::fs::fadvise(&file, 0, None, Advice::WillNeed)?;
        }
        Ok(Some(Ahead { file, stat }))
    }

    pub fn stat(&self) -> Stat {
        self.stat
    }

    /// Fills `buf` from the start of the file; less only at its end.
    pub fn read(&self, buf: &mut [u8]) -> io::Result<usize> {
        let mut got = 0;
        while got < buf.len() {
            match self.file.read_at(&mut buf[got..], got as u64) {
                Ok(0) => break,
                Ok(n) => got += n,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        Ok(got)
    }

    pub fn stat_now(&self) -> io::Result<Stat> {
        Stat::of(&self.file)
    }

    /// What was read goes from the cache: others need the room.
    pub fn forget(&self) {
        let _ = rustix::fs::fadvise(&self.file, 0, None, Advice::DontNeed);
    }
}

/// Whether the first page could be had without the device. A filesystem that cannot say so counts as one that holds it.
fn is_cached(file: &File) -> bool {
    let mut byte = [0];
    let read = rustix::io::preadv2(file, &mut [IoSliceMut::new(&mut byte)], 0, ReadWriteFlags::NOWAIT);
    !matches!(read, Err(Errno::AGAIN))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_read_and_larger_or_unsynced_files_are_left_to_others() {
        let dir = tempfile::tempdir().unwrap();
        let root = Root::open(dir.path()).unwrap();
        let fs_type = facts::of(dir.path()).unwrap().mount.fs_type;
        let relpath = RelPath::new("f").unwrap();
        std::fs::write(dir.path().join("f"), [7; 5000]).unwrap();
        root.sync_named(&relpath).unwrap();
        assert!(Ahead::open(&root, &relpath, &fs_type, 4999).unwrap().is_none());
        if let Some(file) = Ahead::open(&root, &relpath, &fs_type, 5000).unwrap() {
            let mut buf = vec![0; 6000];
            assert_eq!((file.read(&mut buf).unwrap(), file.stat().size_bytes), (5000, 5000));
            assert!(buf[..5000].iter().all(|b| *b == 7));
        }
        assert!(Ahead::open(&root, &RelPath::root(), &fs_type, 1).is_err());
        std::os::unix::fs::symlink("f", dir.path().join("l")).unwrap();
        assert!(Ahead::open(&root, &RelPath::new("l").unwrap(), &fs_type, 1).is_err());
    }
}
