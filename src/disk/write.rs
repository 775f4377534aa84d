//! Durable writes: a temp beside its target, synced, and published under its name without replacing.
//!
//! Order `f r F D`: sync the temp, rename, sync the file again, sync the folder. It is the order that survived power
//! cuts on every filesystem tried (a rename without the second sync leaves an empty file on kernel vfat).

mod swap;

pub use swap::Old;

use super::buffer::{ALIGN, Buffer};
use super::read::PastCache;
use super::{Root, Stat};
use crate::relpath::RelPath;
use rustix::fs::{FallocateFlags, Mode, OFlags, RenameFlags};
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;

/// Files below this size are not reserved before they are written.
const RESERVED_FROM_BYTES: u64 = 1 << 20;

/// Whether files in this folder can be written directly; `None` where nothing can be tried without leaving a name.
pub fn takes_direct(folder: &std::path::Path) -> io::Result<Option<bool>> {
    use rustix::io::Errno;
    let tried = |more| {
        let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC | more;
        rustix::fs::open(folder, flags, Mode::from_raw_mode(0o600)).map(|_| ())
    };
    match tried(OFlags::empty()) {
        Ok(()) => Ok(Some(tried(OFlags::DIRECT).is_ok())),
        Err(Errno::OPNOTSUPP | Errno::ISDIR | Errno::INVAL) => Ok(None),
        Err(e) => Err(e.into()),
    }
}

/// A file being written under a temporary name. Dropped without [`Temp::publish`] it stays, for its owner to remove:
/// an error path deletes only what it can name.
pub struct Temp<'r> {
    root: &'r Root,
    relpath: RelPath,
    /// `None` once it rests: written, synced and closed, so that many can wait for their proof.
    file: Option<File>,
    inode: u64,
    direct: bool,
    written: u64,
    /// What an earlier run left under this name: as long as it equals what comes, nothing is written.
    earlier: Option<Box<(PastCache, Buffer)>>,
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
        let temp = Self::of(root, relpath, File::from(fd), direct)?;
        match temp.reserve(size_bytes) {
            Ok(()) => Ok(temp),
            Err(e) => {
                temp.discard()?;
                Err(e)
            }
        }
    }

    /// Goes on with a temp that an earlier run of the same job left. Its bytes are not trusted: each part is read past
    /// the cache and compared with what comes, and from the first difference on it is written anew.
    pub fn resume(root: &'r Root, relpath: &RelPath, size_bytes: u64, fs_type: &str) -> io::Result<Self> {
        let fd = root.openat(relpath, OFlags::RDWR | OFlags::NOFOLLOW, Mode::empty())?;
        let file = File::from(fd);
        if !file.metadata()?.is_file() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"));
        }
        let mut temp = Self::of(root, relpath, file, false)?;
        temp.reserve(size_bytes)?;
        let _ = temp.set_direct(true);
        temp.earlier = Some(Box::new((PastCache::open(root, relpath, fs_type)?, Buffer::new(0))));
        Ok(temp)
    }

    fn of(root: &'r Root, relpath: &RelPath, file: File, direct: bool) -> io::Result<Self> {
        let inode = Stat::of(&file)?.inode;
        Ok(Temp { root, relpath: relpath.clone(), file: Some(file), inode, direct, written: 0, earlier: None })
    }

    /// A file of one small write is told of a full disk by that write, and sooner there.
    fn reserve(&self, size_bytes: u64) -> io::Result<()> {
        use rustix::io::Errno;
        if size_bytes < RESERVED_FROM_BYTES {
            return Ok(());
        }
        match rustix::fs::fallocate(self.open()?, FallocateFlags::empty(), 0, size_bytes) {
            Ok(()) | Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL) => Ok(()),
            Err(e) => Err(e.into()),
        }
    }

    fn open(&self) -> io::Result<&File> {
        self.file.as_ref().ok_or_else(|| io::Error::other("the unfinished file is closed already"))
    }

    fn set_direct(&mut self, on: bool) -> io::Result<()> {
        let mut flags = rustix::fs::fcntl_getfl(self.open()?)?;
        flags.set(OFlags::DIRECT, on);
        rustix::fs::fcntl_setfl(self.open()?, flags)?;
        self.direct = on;
        Ok(())
    }

    /// Appends the first `len` bytes of `buf`. `len` is a multiple of [`ALIGN`] in every call but the last. Where `buf`
    /// goes on to the next multiple, the last part is written directly too, and what is too much is cut by `complete`.
    pub fn append(&mut self, buf: &[u8], len: usize) -> io::Result<()> {
        if self.is_there_already(&buf[..len])? {
            return Ok(());
        }
        let start = self.written;
        let span = len.next_multiple_of(ALIGN);
        if self.direct && span <= buf.len() {
            match self.write_all(&buf[..span]) {
                Err(e) if e.raw_os_error() == Some(rustix::io::Errno::INVAL.raw_os_error()) && self.written == 0 => {}
                other => {
                    self.written = start + len as u64;
                    return other;
                }
            }
        }
        if self.direct {
            self.set_direct(false)?;
        }
        self.write_all(&buf[..len])
    }

    fn is_there_already(&mut self, data: &[u8]) -> io::Result<bool> {
        let Some(earlier) = &mut self.earlier else { return Ok(false) };
        let (read, buf) = &mut **earlier;
        if buf.len() < data.len() {
            *buf = Buffer::new(data.len().next_multiple_of(ALIGN));
        }
        // What cannot be read is written anew.
        let same = read.read_at(self.written, buf, data.len()).is_ok_and(|n| n == data.len() && buf[..n] == *data);
        match same {
            true => self.written += data.len() as u64,
            false => self.earlier = None,
        }
        Ok(same)
    }

    fn write_all(&mut self, mut data: &[u8]) -> io::Result<()> {
        while !data.is_empty() {
            match self.open()?.write_at(data, self.written) {
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

    /// Writes again parts of what was written, each at its offset, then sets the time again and syncs.
    pub fn patch(
        &self,
        mtime_ns: i64,
        write: impl FnOnce(&mut dyn FnMut(u64, &[u8]) -> io::Result<()>) -> io::Result<()>,
    ) -> io::Result<()> {
        let file = open_ours(self.root, &self.relpath)?;
        write(&mut |offset, bytes| file.write_all_at(bytes, offset))?;
        set_file_time(&file, mtime_ns)?;
        file.sync_all()
    }

    /// Cuts what was reserved too much and sets the time of the original.
    pub fn complete(&mut self, mtime_ns: Option<i64>) -> io::Result<()> {
        self.earlier = None;
        let file = self.open()?;
        if Stat::of(file)?.size_bytes != self.written {
            file.set_len(self.written)?;
        }
        mtime_ns.map_or(Ok(()), |ns| set_file_time(file, ns))
    }

    /// Completes and syncs. The descriptor stays open: an error of the device is told once, to the descriptor that
    /// wrote.
    pub fn finish(&mut self, mtime_ns: Option<i64>) -> io::Result<()> {
        self.complete(mtime_ns)?;
        self.open()?.sync_all()
    }

    /// Closes a synced temp, which is opened again for its name: thousands may wait for their proof.
    pub fn rest(&mut self) {
        self.file = None;
    }

    pub fn relpath(&self) -> &RelPath {
        &self.relpath
    }

    pub fn written(&self) -> u64 {
        self.written
    }

    /// Renames to `target` without replacing, and makes name and bytes durable. `AlreadyExists` when the name is taken.
    /// The result is reopened by its name: same inode and size, or an error.
    /// On an error the temp is handed back, under its own name again.
    pub fn publish(self, target: &RelPath) -> Result<Stat, (Self, io::Error)> {
        self.try_publish(target).map_err(|e| (self, e))
    }

    fn try_publish(&self, target: &RelPath) -> io::Result<Stat> {
        let rested = match &self.file {
            Some(_) => None,
            None => Some(self.root.open_file(&self.relpath)?),
        };
        let file = rested.as_ref().map_or_else(|| self.open(), Ok)?;
        let dir = self.rename(target)?;
        Self::settle(self.root, file, &dir, target).inspect_err(|_| self.take_back(target))
    }

    /// Gives the file its name, not yet durably; never replaces. Gives the folder of both names.
    pub fn rename(&self, target: &RelPath) -> io::Result<OwnedFd> {
        debug_assert_eq!(self.relpath.parent(), target.parent());
        let dir = self.root.open_dir(&target.parent())?;
        match rustix::fs::renameat_with(&dir, self.relpath.name(), &dir, target.name(), RenameFlags::NOREPLACE) {
            Ok(()) => Ok(dir),
            Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOSYS) => {
                // exfat-fuse and ntfs-3g know no NOREPLACE; we hold this destination's lock.
                if self.root.stat(target)?.is_some() {
                    return Err(io::ErrorKind::AlreadyExists.into());
                }
                rustix::fs::renameat(&dir, self.relpath.name(), &dir, target.name())?;
                Ok(dir)
            }
            Err(e) => Err(e.into()),
        }
    }

    fn settle(root: &Root, file: &File, dir: &OwnedFd, target: &RelPath) -> io::Result<Stat> {
        file.sync_all()?;
        rustix::fs::fsync(dir)?;
        let ours = Stat::of(file)?;
        let named = Stat::of(&root.open_file(target)?)?;
        if (named.inode, named.size_bytes) != (ours.inode, ours.size_bytes) {
            return Err(io::Error::other("the published name leads to another file"));
        }
        Ok(named)
    }

    /// After a rename that a sync of the whole filesystem made durable: the name leads to this file.
    pub fn named(&self, target: &RelPath) -> io::Result<Stat> {
        match self.root.stat(target)? {
            Some(stat) if (stat.inode, stat.size_bytes) == (self.inode, self.written) && stat.is_file => Ok(stat),
            _ => Err(io::Error::other("the published name leads to another file")),
        }
    }

    /// A failed sync is told once: the next one would say that all is well. So the file loses its name again, before
    /// anybody takes it for proven.
    pub fn take_back(&self, target: &RelPath) {
        let Ok(dir) = self.root.open_dir(&target.parent()) else { return };
        let ours = self.file.as_ref().and_then(|f| Stat::of(f).ok()).map_or(self.inode, |s| s.inode);
        if self.root.stat(target).ok().flatten().is_some_and(|s| s.inode == ours) {
            let _ = rustix::fs::renameat(&dir, target.name(), &dir, self.relpath.name());
        }
    }

    fn replace(&self, target: &RelPath) -> io::Result<()> {
        let dir = self.root.open_dir(&target.parent())?;
        rustix::fs::renameat(&dir, self.relpath.name(), &dir, target.name())?;
        self.open()?.sync_all()?;
        Ok(rustix::fs::fsync(&dir)?)
    }

    /// Removes the temp.
    pub fn discard(self) -> io::Result<()> {
        remove(self.root, &self.relpath)
    }
}

/// Sets both times of an open file, in nanoseconds since 1970.
pub fn set_file_time(file: &File, mtime_ns: i64) -> io::Result<()> {
    let at = rustix::fs::Timespec {
        tv_sec: mtime_ns.div_euclid(1_000_000_000),
        tv_nsec: mtime_ns.rem_euclid(1_000_000_000) as _,
    };
    let times = rustix::fs::Timestamps { last_access: at, last_modification: at };
    Ok(rustix::fs::futimens(file, &times)?)
}

/// Opens a file of ours for writing where it is; the caller syncs it.
pub fn open_ours(root: &Root, relpath: &RelPath) -> io::Result<File> {
    Ok(File::from(root.openat(relpath, OFlags::RDWR | OFlags::NOFOLLOW, Mode::empty())?))
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
    let mut temp = Temp::of(root, &temp_path, file, false)?;
    temp.written = bytes.len() as u64;
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
            let mut data = Buffer::new(len);
            data.iter_mut().enumerate().for_each(|(i, b)| *b = (i * 31 % 251) as u8);
            let mut temp = Temp::create(&root, &rel(".t"), len as u64).unwrap();
            for chunk in data.chunks(1 << 20) {
                temp.append(chunk, chunk.len()).unwrap();
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
        temp.append(b"ours", 4).unwrap();
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
