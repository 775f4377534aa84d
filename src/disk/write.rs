//! Durable writes: a temp beside its target, synced, and published under its name without replacing.
//!
//! Order `f r F D`: sync the temp, rename, sync the file again, sync the folder. It is the order that survived power
//! cuts on every filesystem tried (a rename without the second sync leaves an empty file on kernel vfat).

use super::{Root, Stat};
use crate::relpath::RelPath;
use aligned_vec::{AVec, ConstAlign};
use rustix::fs::{FallocateFlags, Mode, OFlags, RenameFlags};
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;

/// Alignment of buffers, offsets and lengths for direct I/O, in bytes.
pub const ALIGN: usize = 4096;

/// A buffer whose start fits direct I/O.
pub type Buffer = AVec<u8, ConstAlign<ALIGN>>;

pub fn buffer(capacity_bytes: usize) -> Buffer {
    let mut b = Buffer::with_capacity(ALIGN, capacity_bytes);
    b.resize(capacity_bytes, 0);
    b
}

/// A file being written under a temporary name. Dropped without [`Temp::publish`] it stays, for its owner to remove:
/// an error path deletes only what it can name.
pub struct Temp<'r> {
    root: &'r Root,
    relpath: RelPath,
    file: File,
    direct: bool,
    written: u64,
}

impl<'r> Temp<'r> {
    /// Makes `relpath` anew (it must not exist) and reserves `size_bytes`, so that a full disk is known at once.
    pub fn create(root: &'r Root, relpath: &RelPath, size_bytes: u64) -> io::Result<Self> {
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW;
        let mode = Mode::from_raw_mode(0o644);
        let (fd, direct) = match root.openat(relpath, flags | OFlags::DIRECT, mode) {
            Ok(fd) => (fd, true),
            // Some filesystems create the name and only then refuse O_DIRECT.
            Err(e) if e.raw_os_error() == Some(rustix::io::Errno::INVAL.raw_os_error()) => {
                remove(root, relpath)?;
                (root.openat(relpath, flags, mode)?, false)
            }
            Err(e) => return Err(e),
        };
        let mut temp = Temp { root, relpath: relpath.clone(), file: File::from(fd), direct, written: 0 };
        if size_bytes > 0 {
            match rustix::fs::fallocate(&temp.file, FallocateFlags::empty(), 0, size_bytes) {
                Ok(()) | Err(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::NOSYS | rustix::io::Errno::INVAL) => {}
                Err(e) => {
                    temp.discard()?;
                    return Err(e.into());
                }
            }
        }
        if temp.direct && size_bytes < ALIGN as u64 {
            temp.set_direct(false)?;
        }
        Ok(temp)
    }

    fn set_direct(&mut self, on: bool) -> io::Result<()> {
        let mut flags = rustix::fs::fcntl_getfl(&self.file)?;
        flags.set(OFlags::DIRECT, on);
        rustix::fs::fcntl_setfl(&self.file, flags)?;
        self.direct = on;
        Ok(())
    }

    /// Appends. Every call but the last should pass a multiple of [`ALIGN`] bytes from an aligned buffer.
    pub fn append(&mut self, mut data: &[u8]) -> io::Result<()> {
        if self.direct {
            let whole = data.len() / ALIGN * ALIGN;
            let (body, tail) = data.split_at(whole);
            match self.write_all(body) {
                Err(e) if e.raw_os_error() == Some(rustix::io::Errno::INVAL.raw_os_error()) && self.written == 0 => {
                    self.set_direct(false)?;
                    return self.write_all(data);
                }
                other => other?,
            }
            if tail.is_empty() {
                return Ok(());
            }
            self.set_direct(false)?;
            data = tail;
        }
        self.write_all(data)
    }

    fn write_all(&mut self, mut data: &[u8]) -> io::Result<()> {
        while !data.is_empty() {
            match self.file.write_at(data, self.written) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(n) => {
                    self.written += n as u64;
                    data = &data[n..];
                    // A short direct write leaves an odd offset: go on through the cache.
                    if self.direct && !self.written.is_multiple_of(ALIGN as u64) {
                        self.set_direct(false)?;
                    }
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        Ok(())
    }

    /// Cuts what was reserved too much, sets the time of the original and syncs. The descriptor stays open:
    /// an error of the device is told once, to the descriptor that wrote.
    pub fn finish(&mut self, mtime_ns: Option<i64>) -> io::Result<()> {
        self.file.set_len(self.written)?;
        if let Some(ns) = mtime_ns {
            let at = rustix::fs::Timespec {
                tv_sec: ns.div_euclid(1_000_000_000),
                tv_nsec: ns.rem_euclid(1_000_000_000) as _,
            };
            let times = rustix::fs::Timestamps { last_access: at, last_modification: at };
            rustix::fs::futimens(&self.file, &times)?;
        }
        self.file.sync_all()
    }

    pub fn relpath(&self) -> &RelPath {
        &self.relpath
    }

    pub fn file(&self) -> &File {
        &self.file
    }

    /// Renames to `target` without replacing, and makes name and bytes durable. `AlreadyExists` when the name is taken.
    /// The result is reopened by its name: same inode and size, or an error.
    /// On an error the temp is handed back, under its own name again.
    pub fn publish(self, target: &RelPath) -> Result<Stat, (Self, io::Error)> {
        self.try_publish(target).map_err(|e| (self, e))
    }

    fn try_publish(&self, target: &RelPath) -> io::Result<Stat> {
        debug_assert_eq!(self.relpath.parent(), target.parent());
        let dir = self.root.open_dir(&target.parent())?;
        match rustix::fs::renameat_with(&dir, self.relpath.name(), &dir, target.name(), RenameFlags::NOREPLACE) {
            Ok(()) => {}
            Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOSYS) => {
                // exfat-fuse and ntfs-3g know no NOREPLACE; we hold this destination's lock.
                if self.root.stat(target)?.is_some() {
                    return Err(io::ErrorKind::AlreadyExists.into());
                }
                rustix::fs::renameat(&dir, self.relpath.name(), &dir, target.name())?;
            }
            Err(e) => return Err(e.into()),
        }
        self.settle(&dir, target).inspect_err(|_| self.take_back(&dir, target))
    }

    fn settle(&self, dir: &OwnedFd, target: &RelPath) -> io::Result<Stat> {
        self.file.sync_all()?;
        rustix::fs::fsync(dir)?;
        let ours = Stat::of(&self.file)?;
        let named = Stat::of(&self.root.open_file(target)?)?;
        if (named.inode, named.size_bytes) != (ours.inode, ours.size_bytes) {
            return Err(io::Error::other("the published name leads to another file"));
        }
        Ok(named)
    }

    /// A failed sync is told once: the next one would say that all is well. So the file loses its name again, before
    /// anybody takes it for proven.
    fn take_back(&self, dir: &OwnedFd, target: &RelPath) {
        let ours = Stat::of(&self.file).map(|s| s.inode).ok();
        let named = self.root.stat(target).ok().flatten().map(|s| s.inode);
        if ours.is_some() && ours == named {
            let _ = rustix::fs::renameat(dir, target.name(), dir, self.relpath.name());
        }
    }

    fn replace(&self, target: &RelPath) -> io::Result<()> {
        let dir = self.root.open_dir(&target.parent())?;
        rustix::fs::renameat(&dir, self.relpath.name(), &dir, target.name())?;
        self.file.sync_all()?;
        Ok(rustix::fs::fsync(&dir)?)
    }

    /// Removes the temp.
    pub fn discard(self) -> io::Result<()> {
        remove(self.root, &self.relpath)
    }
}

/// Gives a finished, synced file of ours (anywhere on the same volume) its name below `root`, replacing an older one.
pub fn publish_whole(root: &Root, from: &std::path::Path, target: &RelPath) -> io::Result<()> {
    root.make_dir(&target.parent())?;
    let dir = root.open_dir(&target.parent())?;
    rustix::fs::renameat(rustix::fs::CWD, from, &dir, target.name())?;
    Ok(rustix::fs::fsync(&dir)?)
}

/// Moves a file of ours to another folder of the same volume, made if needed, without replacing.
pub fn move_aside(root: &Root, from: &RelPath, to: &RelPath) -> io::Result<()> {
    root.make_dir(&to.parent())?;
    let (from_dir, to_dir) = (root.open_dir(&from.parent())?, root.open_dir(&to.parent())?);
    match rustix::fs::renameat_with(&from_dir, from.name(), &to_dir, to.name(), RenameFlags::NOREPLACE) {
        Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOSYS) if root.stat(to)?.is_none() => {
            rustix::fs::renameat(&from_dir, from.name(), &to_dir, to.name())?;
        }
        other => other?,
    }
    rustix::fs::fsync(&from_dir)?;
    Ok(rustix::fs::fsync(&to_dir)?)
}

/// Removes one file by name; nothing there is fine.
pub fn remove(root: &Root, relpath: &RelPath) -> io::Result<()> {
    let dir = match root.open_dir(&relpath.parent()) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
        other => other?,
    };
    match rustix::fs::unlinkat(&dir, relpath.name(), rustix::fs::AtFlags::empty()) {
        Ok(()) | Err(rustix::io::Errno::NOENT) => Ok(()),
        Err(e) => Err(e.into()),
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Replace {
    /// `AlreadyExists` when the name is taken.
    Never,
    /// Atomically, for a file of ours such as a chain.
    Ours,
}

/// Writes a small file of ours whole and durably; parents are made.
pub fn write_whole(root: &Root, relpath: &RelPath, bytes: &[u8], replace: Replace) -> io::Result<()> {
    root.make_dir(&relpath.parent())?;
    if replace == Replace::Never && root.stat(relpath)?.is_some() {
        return Err(io::ErrorKind::AlreadyExists.into());
    }
    let name = [b".", relpath.name(), b".goodgate-part"].concat();
    let temp_path = relpath.parent().join(name).map_err(io::Error::other)?;
    remove(root, &temp_path)?;
    let fd = root.openat(
        &temp_path,
        OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW,
        Mode::from_raw_mode(0o644),
    )?;
    let mut file = File::from(fd);
    let written = file.write_all(bytes).and_then(|()| file.sync_all());
    let temp = Temp { root, relpath: temp_path, file, direct: false, written: bytes.len() as u64 };
    let done = match (written, replace) {
        (Err(e), _) => Err(e),
        (Ok(()), Replace::Never) => temp.try_publish(relpath).map(drop),
        (Ok(()), Replace::Ours) => temp.replace(relpath),
    };
    // A full disk must not keep what nobody will ever finish.
    done.inspect_err(|_| drop(temp.discard()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rel(p: &str) -> RelPath {
        RelPath::new(p).unwrap()
    }

    #[test]
    fn odd_lengths_are_written_whole_and_the_time_is_kept() {
        let dir = tempfile::tempdir().unwrap();
        let root = Root::open(dir.path()).unwrap();
        for len in [0usize, 1, 4095, 4096, 4097, 1 << 20, (3 << 20) + 77] {
            let mut data = buffer(len);
            data.iter_mut().enumerate().for_each(|(i, b)| *b = (i * 31 % 251) as u8);
            let mut temp = Temp::create(&root, &rel(".t"), len as u64).unwrap();
            for chunk in data.chunks(1 << 20) {
                temp.append(chunk).unwrap();
            }
            temp.finish(Some(1_600_000_000_123_456_789)).unwrap();
            let target = rel(&format!("f{len}"));
            assert_eq!(temp.publish(&target).map_err(|e| e.1).unwrap().mtime_ns, 1_600_000_000_123_456_789);
            assert_eq!(std::fs::read(dir.path().join(format!("f{len}"))).unwrap(), &data[..]);
        }
    }

    #[test]
    fn publishing_never_replaces() {
        let dir = tempfile::tempdir().unwrap();
        let root = Root::open(dir.path()).unwrap();
        std::fs::write(dir.path().join("taken"), b"theirs").unwrap();
        let mut temp = Temp::create(&root, &rel(".t"), 4).unwrap();
        temp.append(b"ours").unwrap();
        temp.finish(None).unwrap();
        assert_eq!(temp.publish(&rel("taken")).map_err(|e| e.1).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(
            write_whole(&root, &rel("taken"), b"ours", Replace::Never).unwrap_err().kind(),
            io::ErrorKind::AlreadyExists
        );
        assert_eq!(std::fs::read(dir.path().join("taken")).unwrap(), b"theirs");
    }

    #[test]
    fn a_whole_file_of_ours_is_replaced_at_once() {
        let dir = tempfile::tempdir().unwrap();
        let root = Root::open(dir.path()).unwrap();
        write_whole(&root, &rel("a/b/chain.xml"), b"1", Replace::Never).unwrap();
        write_whole(&root, &rel("a/b/chain.xml"), b"22", Replace::Ours).unwrap();
        assert_eq!(std::fs::read(dir.path().join("a/b/chain.xml")).unwrap(), b"22");
        assert_eq!(std::fs::read_dir(dir.path().join("a/b")).unwrap().count(), 1);
    }
}
