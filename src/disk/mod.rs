//! **Owns** every touch of a filesystem that holds footage: listing, durable writes, reads past the page cache,
//! facts about volumes and disks, mounts.
//! **Never** knows what a roll, a manifest or a catalog is; never writes to a card; never follows a symlink.
//! **Flow** `Root::open` pins a folder by descriptor; every file below it is opened by `openat2` beneath that.
//! **Tests** beside each file; faults come from below (loop devices, strace) in `tests/all/`.

pub mod ahead;
pub mod buffer;
pub mod entries;
pub mod facts;
pub mod kmsg;
pub mod lifetime;
pub mod list;
pub mod lock;
pub mod mount;
#[allow(unsafe_code)]
mod pagecache;
pub mod read;
pub mod write;

use crate::relpath::RelPath;
use rustix::fs::{AtFlags, Mode, OFlags, ResolveFlags};
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

/// A folder pinned by its descriptor. Paths below it are resolved without symlinks, `..` or other mounts, so that a
/// folder swapped while we work cannot lead a byte outside, and a lazily unmounted volume is never mistaken for the
/// bare folder below it.
#[derive(Debug)]
pub struct Root {
    fd: OwnedFd,
    path: PathBuf,
    /// Mount, device and inode: what the path led to when it was opened.
    identity: (u64, u64, u64),
    failed_syncs: AtomicU64,
}

/// What `fstat` says of one file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stat {
    pub size_bytes: u64,
    pub mtime_ns: i64,
    /// When somebody last wrote it, named it or changed what is said of it; the time of writing where no more is kept.
    pub ctime_ns: i64,
    pub inode: u64,
    pub is_file: bool,
    pub is_dir: bool,
}

fn identity_of(fd: impl std::os::fd::AsFd) -> io::Result<(u64, u64, u64)> {
    use rustix::fs::StatxFlags;
    let x = rustix::fs::statx(fd, "", AtFlags::EMPTY_PATH, StatxFlags::MNT_ID | StatxFlags::INO)?;
    Ok((x.stx_mnt_id, rustix::fs::makedev(x.stx_dev_major, x.stx_dev_minor), x.stx_ino))
}

const BENEATH: ResolveFlags = ResolveFlags::BENEATH.union(ResolveFlags::NO_SYMLINKS).union(ResolveFlags::NO_XDEV);

impl Root {
    /// Opens an existing folder.
    pub fn open(path: &Path) -> io::Result<Self> {
        let path = path.canonicalize()?;
        let fd = rustix::fs::open(&path, OFlags::DIRECTORY | OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
        let identity = identity_of(&fd)?;
        Ok(Root { fd, path, identity, failed_syncs: AtomicU64::new(0) })
    }

    /// The same folder, whatever is mounted at its path by now.
    pub fn try_clone(&self) -> io::Result<Self> {
        Ok(Root {
            fd: self.fd.try_clone()?,
            path: self.path.clone(),
            identity: self.identity,
            failed_syncs: AtomicU64::new(0),
        })
    }

    /// The path it was opened at, symlinks resolved.
    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn fd(&self) -> &OwnedFd {
        &self.fd
    }

    /// Fails when the path no longer leads to the folder that was opened: unmounted, replaced or moved.
    pub fn still_here(&self) -> io::Result<()> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        if identity_of(rustix::fs::open(&self.path, flags, Mode::empty())?)? != self.identity {
            return Err(io::Error::other("the volume at this path is not the one that was opened"));
        }
        Ok(())
    }

    /// Brings all that was written to this filesystem to its medium. Fails once after a failed write of anybody's: what
    /// was written since the root was opened is then in doubt.
    pub fn sync_fs(&self) -> io::Result<()> {
        Ok(rustix::fs::syncfs(&self.fd).inspect_err(|_| _ = self.failed_syncs.fetch_add(1, Ordering::SeqCst))?)
    }

    /// The kernel tells a failed write to one caller only: others see here that it was told.
    pub fn failed_syncs(&self) -> u64 {
        self.failed_syncs.load(Ordering::SeqCst)
    }

    fn openat(&self, relpath: &RelPath, flags: OFlags, mode: Mode) -> io::Result<OwnedFd> {
        let path = if relpath.is_root() { Path::new(".") } else { relpath.as_path() };
        loop {
            match rustix::fs::openat2(&self.fd, path, flags | OFlags::CLOEXEC, mode, BENEATH) {
                // The kernel answers EAGAIN when a rename raced with the walk.
                Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => continue,
                other => return Ok(other?),
            }
        }
    }

    /// Opens a regular file for reading, never blocking on a fifo and never touching its access time where allowed.
    pub fn open_file(&self, relpath: &RelPath) -> io::Result<File> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK;
        let fd = match self.openat(relpath, flags | OFlags::NOATIME, Mode::empty()) {
            Err(e) if e.raw_os_error() == Some(rustix::io::Errno::PERM.raw_os_error()) => {
                self.openat(relpath, flags, Mode::empty())?
            }
            other => other?,
        };
        let file = File::from(fd);
        if !file.metadata()?.is_file() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"));
        }
        Ok(file)
    }

    /// The descriptor of a folder below; the root itself for `RelPath::root()`.
    pub fn open_dir(&self, relpath: &RelPath) -> io::Result<OwnedFd> {
        self.openat(relpath, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW, Mode::empty())
    }

    /// A folder below as a root of its own.
    pub fn sub_root(&self, relpath: &RelPath) -> io::Result<Root> {
        let fd = self.open_dir(relpath)?;
        let identity = identity_of(&fd)?;
        Ok(Root { fd, path: relpath.under(&self.path), identity, failed_syncs: AtomicU64::new(0) })
    }

    /// `None` when nothing has that name. A symlink is reported as neither file nor folder.
    pub fn stat(&self, relpath: &RelPath) -> io::Result<Option<Stat>> {
        let parent = match self.open_dir(&relpath.parent()) {
            Ok(fd) => fd,
            Err(e) if e.kind() == io::ErrorKind::NotFound || e.kind() == io::ErrorKind::NotADirectory => {
                return Ok(None);
            }
            Err(e) => return Err(e),
        };
        let name = if relpath.is_root() { b"." } else { relpath.name() };
        match rustix::fs::statat(&parent, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(s) => Ok(Some(Stat::from_raw(&s))),
            Err(rustix::io::Errno::NOENT) => Ok(None),
            Err(e) => Err(e.into()),
        }
    }

    /// Makes a folder and those above it; each new one is made durable in its parent.
    pub fn make_dir(&self, relpath: &RelPath) -> io::Result<()> {
        for dir in relpath.ancestors().iter().chain([relpath]).filter(|d| !d.is_root()) {
            let parent = self.open_dir(&dir.parent())?;
            match rustix::fs::mkdirat(&parent, dir.name(), Mode::from_raw_mode(0o777)) {
                // Made anew, and synced anew, by whoever tries again: a folder that is there is not synced.
                Ok(()) => rustix::fs::fsync(&parent)
                    .inspect_err(|_| _ = rustix::fs::unlinkat(&parent, dir.name(), AtFlags::REMOVEDIR))?,
                Err(rustix::io::Errno::EXIST) => {}
                Err(e) => return Err(e.into()),
            }
        }
        self.open_dir(relpath).map(drop)
    }

    /// Makes an existing file and its name durable.
    pub fn sync_named(&self, relpath: &RelPath) -> io::Result<()> {
        self.open_file(relpath)?.sync_all()?;
        Ok(rustix::fs::fsync(self.open_dir(&relpath.parent())?)?)
    }

    /// The names in one folder, in byte order.
    pub fn names(&self, relpath: &RelPath) -> io::Result<Vec<Vec<u8>>> {
        let mut out = Vec::new();
        for entry in rustix::fs::Dir::new(self.open_dir(relpath)?)? {
            let name = entry?.file_name().to_bytes().to_vec();
            if name != b"." && name != b".." {
                out.push(name);
            }
        }
        out.sort();
        Ok(out)
    }

    /// Reads a whole small file; refuses one larger than `limit_bytes`.
    pub fn read_small(&self, relpath: &RelPath, limit_bytes: u64) -> io::Result<Vec<u8>> {
        use std::io::Read;
        let file = self.open_file(relpath)?;
        let mut out = Vec::new();
        file.take(limit_bytes + 1).read_to_end(&mut out)?;
        if out.len() as u64 > limit_bytes {
            return Err(io::Error::other(format!("larger than {limit_bytes} bytes")));
        }
        Ok(out)
    }
}

impl Stat {
    fn from_raw(s: &rustix::fs::Stat) -> Self {
        use rustix::fs::FileType;
        let kind = FileType::from_raw_mode(s.st_mode);
        Stat {
            size_bytes: s.st_size as u64,
            mtime_ns: s.st_mtime.saturating_mul(1_000_000_000).saturating_add(s.st_mtime_nsec),
            ctime_ns: s.st_ctime.saturating_mul(1_000_000_000).saturating_add(s.st_ctime_nsec),
            inode: s.st_ino,
            is_file: kind == FileType::RegularFile,
            is_dir: kind == FileType::Directory,
        }
    }

    pub fn of(file: &File) -> io::Result<Self> {
        Ok(Self::from_raw(&rustix::fs::fstat(file)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_symlink_leads_out_of_the_root() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("root")).unwrap();
        std::fs::write(dir.path().join("secret"), b"x").unwrap();
        std::os::unix::fs::symlink("..", dir.path().join("root/up")).unwrap();
        std::os::unix::fs::symlink("../secret", dir.path().join("root/link")).unwrap();
        let root = Root::open(&dir.path().join("root")).unwrap();
        assert!(root.open_file(&RelPath::new("up/secret").unwrap()).is_err());
        assert!(root.open_file(&RelPath::new("link").unwrap()).is_err());
        let stat = root.stat(&RelPath::new("link").unwrap()).unwrap().unwrap();
        assert!(!stat.is_file && !stat.is_dir);
    }

    #[test]
    fn a_fifo_is_refused_without_blocking() {
        let dir = tempfile::tempdir().unwrap();
        rustix::fs::mknodat(
            rustix::fs::CWD,
            dir.path().join("f"),
            rustix::fs::FileType::Fifo,
            Mode::from_raw_mode(0o600),
            0,
        )
        .unwrap();
        let root = Root::open(dir.path()).unwrap();
        assert!(root.open_file(&RelPath::new("f").unwrap()).is_err());
    }

    #[test]
    fn a_replaced_folder_is_noticed() {
        let dir = tempfile::tempdir().unwrap();
        let here = dir.path().join("d");
        std::fs::create_dir(&here).unwrap();
        let root = Root::open(&here).unwrap();
        root.still_here().unwrap();
        std::fs::rename(&here, dir.path().join("old")).unwrap();
        std::fs::create_dir(&here).unwrap();
        assert!(root.still_here().is_err());
    }
}
