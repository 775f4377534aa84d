//! Reads past the page cache. Direct reading alone proves nothing on some filesystems: the pages are dropped, it is
//! checked that none is left, and then the file is read directly.

use super::buffer::{ALIGN, Buffer};
use super::{Root, Stat, facts, pagecache};
use crate::copy::ReadBack;
use crate::relpath::RelPath;
use rustix::fs::{Advice, OFlags};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

/// A file opened for a read that shall come from the medium.
#[derive(Debug)]
pub struct PastCache {
    file: File,
    stat: Stat,
    direct: bool,
    class: ReadBack,
}

impl PastCache {
    /// `fs_type` as mountinfo names it. The class is what this read can claim, at most that of the filesystem.
    pub fn open(root: &Root, relpath: &RelPath, fs_type: &str) -> io::Result<Self> {
        Self::of(root.open_file(relpath)?, fs_type)
    }

    /// For a file whose dirty pages are already on the medium (synced by its writer).
    pub fn of(file: File, fs_type: &str) -> io::Result<Self> {
        let stat = Stat::of(&file)?;
        let class = facts::read_back_class(fs_type);
        let mut read = PastCache { file, stat, direct: false, class };
        if class == ReadBack::Device {
            let dropped = drop_pages(&read.file, stat.size_bytes)?;
            let flags = rustix::fs::fcntl_getfl(&read.file)?;
            read.direct = rustix::fs::fcntl_setfl(&read.file, flags | OFlags::DIRECT).is_ok();
            // The kernel tells only a file's owner what is cached, and says "all" to others. Where direct reads are
            // known to bypass the cache that is no harm; btrfs serves cached pages to them.
            let blind = !may_ask(&read.file)? && read.direct && fs_type != "btrfs";
            if !dropped && !blind {
                // Another program maps the file and pins its pages.
                read.class = ReadBack::Cache;
            }
        }
        Ok(read)
    }

    /// A second reader of the same open file.
    pub fn another(&self) -> io::Result<Self> {
        Ok(PastCache { file: self.file.try_clone()?, ..*self })
    }

    /// What another reader met holds for this one too.
    pub fn join(&mut self, other: &PastCache) {
        self.direct &= other.direct;
        self.class = self.class.min(other.class);
    }

    /// As it was when opened.
    pub fn stat(&self) -> Stat {
        self.stat
    }

    /// As it is now.
    pub fn stat_now(&self) -> io::Result<Stat> {
        Stat::of(&self.file)
    }

    pub fn class(&self) -> ReadBack {
        self.class
    }

    /// Fills `buf[..want]` from `offset` (a multiple of [`ALIGN`]); less only at the end of the file.
    /// `want` is rounded up to [`ALIGN`] inside the buffer for direct reads.
    pub fn read_at(&mut self, offset: u64, buf: &mut Buffer, want: usize) -> io::Result<usize> {
        let span = want.next_multiple_of(ALIGN).min(buf.len());
        let mut got = 0;
        while got < want {
            let target = if self.direct { &mut buf[got..span] } else { &mut buf[got..want] };
            match self.file.read_at(target, offset + got as u64) {
                Ok(0) => break,
                Ok(n) => got += n,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                Err(e) if self.direct && e.raw_os_error() == Some(rustix::io::Errno::INVAL.raw_os_error()) => {
                    self.buffered()?;
                    continue;
                }
                Err(e) => return Err(e),
            }
            // A short direct read that ends at an odd offset is the end of the file, or cannot go on directly.
            if self.direct && !got.is_multiple_of(ALIGN) && got < want {
                if offset + got as u64 >= self.stat_now()?.size_bytes {
                    break;
                }
                self.buffered()?;
            }
        }
        if !self.direct && self.class == ReadBack::Device && got > 0 {
            // Read through the cache after all: drop what it took, so that the next part comes from the medium too.
            rustix::fs::fadvise(&self.file, offset, std::num::NonZeroU64::new(got as u64), Advice::DontNeed)?;
        }
        Ok(got.min(want))
    }

    /// Goes on without O_DIRECT: the pages were dropped before, and read-ahead is off, so this still comes from the medium.
    fn buffered(&mut self) -> io::Result<()> {
        let flags = rustix::fs::fcntl_getfl(&self.file)?;
        rustix::fs::fcntl_setfl(&self.file, flags - OFlags::DIRECT)?;
        self.direct = false;
        if self.class == ReadBack::Device && !drop_pages(&self.file, self.stat.size_bytes)? {
            self.class = ReadBack::Cache;
        }
        Ok(())
    }
}

/// mincore(2) answers truly to root, to the owner, and to those who may write.
fn may_ask(file: &File) -> io::Result<bool> {
    use std::os::unix::fs::MetadataExt;
    let me = rustix::process::geteuid();
    Ok(me.is_root() || file.metadata()?.uid() == me.as_raw())
}

/// True when no page of the file is left in the cache.
fn drop_pages(file: &File, size_bytes: u64) -> io::Result<bool> {
    if size_bytes == 0 {
        return Ok(true);
    }
    // Pages on their way between lists are skipped by one call; a few calls settle it.
    for wait_ms in [0u64, 1, 5, 25, 100] {
        if wait_ms > 0 {
            std::thread::sleep(std::time::Duration::from_millis(wait_ms));
        }
        rustix::fs::fadvise(file, 0, None, Advice::DontNeed)?;
        if !pagecache::any_cached(file, 0, size_bytes)? {
            return Ok(true);
        }
        // Dirty pages cannot be dropped: bring them to the medium first. Fails harmlessly on a read-only descriptor.
        let _ = rustix::fs::fdatasync(file);
    }
    Ok(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_bytes_come_back_whatever_the_length() {
        let dir = tempfile::tempdir().unwrap();
        let root = Root::open(dir.path()).unwrap();
        let fs_type = facts::of(dir.path()).unwrap().mount.fs_type;
        for len in [0usize, 1, 4096, 5000, (2 << 20) + 3] {
            let data: Vec<u8> = (0..len).map(|i| (i % 253) as u8).collect();
            std::fs::write(dir.path().join("f"), &data).unwrap();
            let mut read = PastCache::open(&root, &RelPath::new("f").unwrap(), &fs_type).unwrap();
            let mut buf = Buffer::new(1 << 20);
            let mut seen = Vec::new();
            loop {
                let n = read.read_at(seen.len() as u64, &mut buf, 1 << 20).unwrap();
                seen.extend_from_slice(&buf[..n]);
                if n < 1 << 20 {
                    break;
                }
            }
            assert!(seen == data, "{len}");
            assert_eq!(read.class(), facts::read_back_class(&fs_type));
        }
    }
}
