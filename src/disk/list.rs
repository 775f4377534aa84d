//! Lists a tree in fixed order. Any error fails the whole listing: a folder that cannot be read must never become
//! "no files here".

use crate::clip::{CardFile, Listing, SpecialKind};
use crate::relpath::RelPath;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use walkdir::WalkDir;

#[derive(Debug, thiserror::Error)]
pub enum ListError {
    #[error("cannot list \"{path}\": {source}")]
    Unreadable { path: PathBuf, source: std::io::Error },
    #[error("a name below \"{0}\" is not a clean path")]
    BadName(PathBuf),
}

/// Everything below `root`, in byte order of the relative paths. Symlinks are not followed, other filesystems not
/// entered. `litter` names (compared without regard to ASCII case) are left out with all below them and listed in
/// `skipped`.
pub fn list(root: &Path, litter: &[String]) -> Result<Listing, ListError> {
    let unreadable = |path: &Path, source: std::io::Error| ListError::Unreadable { path: path.to_path_buf(), source };
    let mut out = Listing::default();
    let root_dev = std::fs::metadata(root).map_err(|e| unreadable(root, e))?.dev();
    let is_litter = |name: &[u8]| litter.iter().any(|l| l.as_bytes().eq_ignore_ascii_case(name));
    let mut walk = WalkDir::new(root).min_depth(1).follow_links(false).into_iter();
    while let Some(entry) = walk.next() {
        let entry = entry.map_err(|e| {
            let path = e.path().unwrap_or(root).to_path_buf();
            ListError::Unreadable { path, source: e.into() }
        })?;
        let relpath = RelPath::below(root, entry.path()).ok_or_else(|| ListError::BadName(root.to_path_buf()))?;
        let kind = entry.file_type();
        if is_litter(entry.file_name().as_bytes()) {
            out.skipped.push(relpath);
            if kind.is_dir() {
                walk.skip_current_dir();
            }
            continue;
        }
        let meta = entry.metadata().map_err(|e| unreadable(entry.path(), e.into()))?;
        if kind.is_dir() {
            if meta.dev() == root_dev {
                out.folders.push(relpath);
            } else {
                out.specials.push((relpath, SpecialKind::Mount));
                walk.skip_current_dir();
            }
        } else if kind.is_file() {
            let mtime_ns = meta.mtime().saturating_mul(1_000_000_000).saturating_add(meta.mtime_nsec());
            out.files.push(CardFile { relpath, size_bytes: meta.len(), mtime_ns });
        } else {
            let special = if kind.is_symlink() {
                SpecialKind::Symlink
            } else if kind.is_fifo() {
                SpecialKind::Fifo
            } else if kind.is_socket() {
                SpecialKind::Socket
            } else {
                SpecialKind::Device
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
