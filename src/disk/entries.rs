//! The names in one folder with their kinds, without a look at each file: a tree of a million files is walked by
//! reading its folders only.

use super::{Root, Stat, list};
use crate::clip::SpecialKind;
use crate::relpath::RelPath;
use rustix::fs::{AtFlags, FileType};
use std::io;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EntryKind {
    File,
    Folder,
    Special(SpecialKind),
}

impl Root {
    /// In byte order of the names. Access times stay as they are where that is allowed.
    pub fn entries(&self, folder: &RelPath) -> io::Result<Vec<(Vec<u8>, EntryKind)>> {
        let mut dir = list::open_folder(self, folder)?;
        let mut out = Vec::new();
        while let Some(entry) = dir.read() {
            let entry = entry?;
            let name = entry.file_name().to_bytes();
            if matches!(name, b"." | b"..") {
                continue;
            }
            let mut kind = entry.file_type();
            if kind == FileType::Unknown {
                let stat = rustix::fs::statat(dir.fd()?, entry.file_name(), AtFlags::SYMLINK_NOFOLLOW)?;
                kind = FileType::from_raw_mode(stat.st_mode);
            }
            let kind = match kind {
                FileType::RegularFile => EntryKind::File,
                FileType::Directory => EntryKind::Folder,
                FileType::Symlink => EntryKind::Special(SpecialKind::Symlink),
                FileType::Fifo => EntryKind::Special(SpecialKind::Fifo),
                FileType::Socket => EntryKind::Special(SpecialKind::Socket),
                _ => EntryKind::Special(SpecialKind::Device),
            };
            out.push((name.to_vec(), kind));
        }
        out.sort_by(|a: &(Vec<u8>, EntryKind), b| a.0.cmp(&b.0));
        Ok(out)
    }

    /// A folder's own times and kind; links are not followed.
    pub fn folder_stat(&self, folder: &RelPath) -> io::Result<Stat> {
        Ok(Stat::from_raw(&rustix::fs::fstat(self.open_dir(folder)?)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    #[test]
    fn names_come_in_order_with_their_kinds_and_links_are_not_followed() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("b"), "x").unwrap();
        std::fs::create_dir(dir.path().join("a")).unwrap();
        std::os::unix::fs::symlink("/etc", dir.path().join("c")).unwrap();
        let root = Root::open(Path::new(dir.path())).unwrap();
        let kinds: Vec<_> = root.entries(&RelPath::root()).unwrap();
        let link = EntryKind::Special(SpecialKind::Symlink);
        assert_eq!(
            kinds,
            [(b"a".to_vec(), EntryKind::Folder), (b"b".to_vec(), EntryKind::File), (b"c".to_vec(), link)]
        );
        assert!(root.entries(&RelPath::new("c").unwrap()).is_err());
        assert!(root.folder_stat(&RelPath::new("a").unwrap()).unwrap().is_dir);
    }
}
