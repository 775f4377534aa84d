//! Lists a tree in fixed order. Any error fails the whole listing: a folder that cannot be read must never become
//! "no files here".

use super::Root;
use crate::clip::{CardFile, Listing, SpecialKind};
use crate::relpath::RelPath;
use rustix::fs::{AtFlags, Dir, FileType, OFlags};
use std::io;
use std::path::{Path, PathBuf};

#[derive(Debug, thiserror::Error)]
pub enum ListError {
    #[error("cannot list \"{path}\": {source}")]
    Unreadable { path: PathBuf, source: io::Error },
    #[error("a name below \"{0}\" is not a clean path")]
    BadName(PathBuf),
}

/// Everything below `root`, in byte order of the relative paths. Symlinks are not followed, other filesystems not
/// entered. `litter` names (compared without regard to ASCII case) are left out with all below them and listed in
/// `skipped`. Folders are read without touching their access times: on a card mounted read-write that would be a write.
pub fn list(root: &Path, litter: &[String]) -> Result<Listing, ListError> {
    let unreadable = |path: PathBuf| move |source: io::Error| ListError::Unreadable { path, source };
    let at = |relpath: &RelPath| unreadable(relpath.under(root));
    let mut out = Listing::default();
    let top = Root::open(root).map_err(at(&RelPath::root()))?;
    let root_dev = rustix::fs::fstat(top.fd()).map_err(|e| at(&RelPath::root())(e.into()))?.st_dev;
    let is_litter = |name: &[u8]| litter.iter().any(|l| l.as_bytes().eq_ignore_ascii_case(name));
    let mut folders = vec![RelPath::root()];
    while let Some(folder) = folders.pop() {
        let mut entries = open_folder(&top, &folder).map_err(at(&folder))?;
        while let Some(entry) = entries.read() {
            let entry = entry.map_err(|e| at(&folder)(e.into()))?;
            let name = entry.file_name().to_bytes();
            if matches!(name, b"." | b"..") {
                continue;
            }
            let relpath = folder.join(name).map_err(|_| ListError::BadName(folder.under(root)))?;
            let stat = entries.fd().and_then(|fd| rustix::fs::statat(fd, entry.file_name(), AtFlags::SYMLINK_NOFOLLOW));
            let stat = stat.map_err(|e| at(&relpath)(e.into()))?;
            if is_litter(name) {
                out.skipped.push(relpath);
                continue;
            }
            let special = match FileType::from_raw_mode(stat.st_mode) {
                FileType::Directory if stat.st_dev == root_dev => {
                    folders.push(relpath.clone());
                    out.folders.push(relpath);
                    continue;
                }
                FileType::RegularFile => {
                    let stat = super::Stat::from_raw(&stat);
                    out.files.push(CardFile { relpath, size_bytes: stat.size_bytes, mtime_ns: stat.mtime_ns });
                    continue;
                }
                FileType::Directory => SpecialKind::Mount,
                FileType::Symlink => SpecialKind::Symlink,
                FileType::Fifo => SpecialKind::Fifo,
                FileType::Socket => SpecialKind::Socket,
                _ => SpecialKind::Device,
            };
            out.specials.push((relpath, special));
        }
    }
    out.files.sort_by(|a, b| a.relpath.cmp(&b.relpath));
    out.folders.sort();
    out.specials.sort_by(|a, b| a.0.cmp(&b.0));
    out.skipped.sort();
    Ok(out)
}

/// Temps of ours or of another job below a roll's folder on a destination, by name alone. What cannot be read is left
/// out: this is for a note, never for a verdict.
pub fn unfinished(root: &Path) -> Vec<RelPath> {
    let walk = walkdir::WalkDir::new(root).follow_links(false).same_file_system(true).sort_by_file_name();
    let entries = walk.into_iter().flatten().filter(|e| e.file_type().is_file());
    let ours = entries.filter(|e| e.path().extension().is_some_and(|x| x == "goodgate-part"));
    ours.filter_map(|e| RelPath::below(root, e.path())).collect()
}

pub(super) fn open_folder(top: &Root, folder: &RelPath) -> io::Result<Dir> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW;
    let fd = match top.openat(folder, flags | OFlags::NOATIME, rustix::fs::Mode::empty()) {
        // Only a folder's owner may ask for that.
        Err(e) if e.raw_os_error() == Some(rustix::io::Errno::PERM.raw_os_error()) => top.open_dir(folder)?,
        other => other?,
    };
    Ok(Dir::new(fd)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn specials_are_named_and_never_followed() {
        let dir = tempfile::tempdir().unwrap();
        let d = dir.path();
        std::fs::create_dir_all(d.join("b/empty")).unwrap();
        std::fs::write(d.join("b/x.mov"), b"abc").unwrap();
        std::fs::write(d.join("a"), b"").unwrap();
        std::os::unix::fs::symlink("/etc", d.join("link")).unwrap();
        std::fs::create_dir(d.join(".Trashes")).unwrap();
        std::fs::write(d.join(".Trashes/t"), b"t").unwrap();
        let mode = rustix::fs::Mode::from_raw_mode(0o600);
        rustix::fs::mknodat(rustix::fs::CWD, d.join("pipe"), rustix::fs::FileType::Fifo, mode, 0).unwrap();
        let l = list(d, &[".trashes".into()]).unwrap();
        let names = |v: Vec<&RelPath>| v.iter().map(|p| p.to_string()).collect::<Vec<_>>();
        assert_eq!(names(l.files.iter().map(|f| &f.relpath).collect()), ["a", "b/x.mov"]);
        assert_eq!(names(l.folders.iter().collect()), ["b", "b/empty"]);
        assert_eq!(l.specials.iter().map(|s| s.1).collect::<Vec<_>>(), [SpecialKind::Symlink, SpecialKind::Fifo]);
        assert_eq!(names(l.skipped.iter().collect()), [".Trashes"]);
        assert_eq!(l.bytes(), 3);
    }

    #[test]
    fn a_missing_root_is_an_error_and_not_an_empty_card() {
        assert!(list(Path::new("/nonexistent/card"), &[]).is_err());
    }
}
