//! What a path on the command line is: a folder, a legacy list, a manifest, or a file of a history above it.

use super::v1::{self, Legacy};
use super::{FOLDER, manifest};
use crate::disk::Root;
use crate::relpath::RelPath;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// More legacy lists than this in one folder are not looked at.
const MOST_LISTS: usize = 1000;

pub enum Target {
    /// With the legacy lists that lie in it, when it has no history of its own.
    Folder { root: Root, legacy: Vec<LegacyFile> },
    /// The folder that a legacy list lies in.
    Legacy { root: Root, list: Box<LegacyFile> },
    /// A manifest of ASC MHL that is no part of a history.
    Packing(PathBuf),
    /// Some other file, below a folder with a history.
    File { root: Root, relpath: RelPath },
}

pub struct LegacyFile {
    pub name: String,
    /// Or why it cannot be read.
    pub list: Result<Legacy, String>,
}

/// Looks at the path; nothing but small files is read.
pub fn target(path: &Path) -> io::Result<Target> {
    let path = path.canonicalize()?;
    if path.is_dir() {
        let root = Root::open(&path)?;
        let own = root.stat(&RelPath::new(FOLDER).unwrap_or_default())?;
        let legacy = if own.is_some_and(|s| s.is_dir) { Vec::new() } else { legacy_in(&root)? };
        return Ok(Target::Folder { root, legacy });
    }
    let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(io::ErrorKind::InvalidInput.into());
    };
    let root = Root::open(folder)?;
    let relpath = RelPath::new(name.as_bytes()).map_err(io::Error::other)?;
    if relpath.extension() == "mhl" {
        let list = read_legacy(&root, &relpath)?;
        return match list {
            Some(list) => Ok(Target::Legacy { root, list: Box::new(list) }),
            // Whoever names a manifest of a history means the history.
            None if folder.file_name().is_some_and(|n| n.as_bytes() == FOLDER.as_bytes()) => {
                let root = Root::open(folder.parent().unwrap_or(folder))?;
                Ok(Target::Folder { root, legacy: Vec::new() })
            }
            None => Ok(Target::Packing(path)),
        };
    }
    let above = folder.ancestors().filter(|f| f.join(FOLDER).is_dir()).last();
    let root = Root::open(above.unwrap_or(folder))?;
    let relpath = RelPath::below(root.path(), &path).ok_or(io::ErrorKind::InvalidInput)?;
    Ok(Target::File { root, relpath })
}

fn legacy_in(root: &Root) -> io::Result<Vec<LegacyFile>> {
    let names = root.names(&RelPath::root())?;
    let names = names.iter().filter_map(|n| RelPath::new(n).ok());
    let lists = names.filter(|n| n.extension() == "mhl" && !n.as_bytes().starts_with(b"._"));
    let mut out = Vec::new();
    for name in lists.take(MOST_LISTS) {
        if root.stat(&name)?.is_some_and(|s| s.is_file) {
            out.extend(read_legacy(root, &name)?);
        }
    }
    Ok(out)
}

/// `None` for a manifest of ASC MHL.
fn read_legacy(root: &Root, name: &RelPath) -> io::Result<Option<LegacyFile>> {
    let bytes = root.read_small(name, manifest::LIMIT_BYTES)?;
    let list = v1::read(&bytes);
    Ok(match list {
        Ok(None) => None,
        Ok(Some(list)) => Some(LegacyFile { name: name.to_string(), list: Ok(list) }),
        Err(why) => Some(LegacyFile { name: name.to_string(), list: Err(why) }),
    })
}
