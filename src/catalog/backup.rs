//! Copies of the whole catalog: how one is made, and how it is named where many lie.

use super::doubt::Head;
use super::error::{CatalogError, of_sqlite};
use super::{Catalog, schema};
use crate::digest::hex;
use jiff::Timestamp;
use rusqlite::{Connection, OpenFlags};
use std::fs::File;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// What a backup on a destination is called: when it was taken, of which catalog, and up to which row of its log. Names
/// that are not just so are somebody else's.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct BackupName {
    /// UTC, as in the name: text order is time order.
    pub taken_at: String,
    /// The catalog's id, 32 hex digits.
    pub station: String,
    pub head: Head,
}

impl BackupName {
    pub fn new(station: &str, head: Head, now: Timestamp) -> Self {
        BackupName { taken_at: now.strftime("%Y-%m-%d_%H%M%SZ").to_string(), station: station.into(), head }
    }

    /// `2026-11-27_113000Z-<id>-412-9f3b22c1d0e4a677.db`
    pub fn text(&self) -> String {
        format!("{}-{}-{}-{}.db", self.taken_at, self.station, self.head.rows, hex(&self.head.hash))
    }

    pub fn parse(name: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(name).ok()?;
        let (taken_at, rest) = text.split_at_checked(18)?;
        let shape = |(i, c): (usize, char)| match i {
            4 | 7 => c == '-',
            10 => c == '_',
            17 => c == 'Z',
            _ => c.is_ascii_digit(),
        };
        let mut parts = rest.strip_prefix('-')?.strip_suffix(".db")?.split('-');
        let (station, rows, hash) = (parts.next()?, parts.next()?, parts.next()?);
        let is_hex = |t: &str| t.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
        if !taken_at.chars().enumerate().all(shape) || station.len() != 32 || !is_hex(station) || !is_hex(hash) {
            return None;
        }
        let head = Head { rows: rows.parse().ok()?, hash: u64::from_str_radix(hash, 16).ok()?.to_be_bytes() };
        let out = BackupName { taken_at: taken_at.into(), station: station.into(), head };
        // One name, one spelling.
        (out.text() == text).then_some(out)
    }
}

impl Catalog {
    /// A consistent copy at `dest`, without unused pages, durable when this returns. Never overwrites; needs no
    /// write-ahead log beside it. Others go on writing meanwhile.
    pub fn backup(&self, dest: &Path) -> Result<(), CatalogError> {
        let wrong = |cause: String| CatalogError::Backup { path: self.path.clone(), dest: dest.to_path_buf(), cause };
        let name = dest.file_name().ok_or_else(|| wrong("not a file name".into()))?;
        let folder = dest.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
        if dest.symlink_metadata().is_ok() {
            return Err(wrong("it exists already".into()));
        }
        let mut temp_name = std::ffi::OsString::from(".");
        temp_name.push(name);
        temp_name.push(format!(".{}.goodgate-part", uuid::Uuid::now_v7()));
        let temp = folder.join(temp_name);
        let done = self.copy_to(&temp).and_then(|()| {
            publish(&temp, dest)?;
            File::open(folder)?.sync_all()?;
            Ok(())
        });
        if done.is_err() {
            // Ours alone: its name holds a fresh id.
            let _ = std::fs::remove_file(&temp);
            let _ = std::fs::remove_file(journal_of(&temp));
        }
        done.map_err(|cause| wrong(cause.to_string()))
    }

    /// The same into a folder of our own, and checked as a whole: what is wrong with it, nothing when it is sound. What it
    /// leaves on an error is the caller's.
    pub fn snapshot(&self, temp: &Path) -> Result<Vec<String>, CatalogError> {
        let wrong =
            |e: io::Error| CatalogError::Backup { path: self.path.clone(), dest: temp.into(), cause: e.to_string() };
        self.copy_to(temp).map_err(wrong)?;
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let copy = Connection::open_with_flags(temp, flags).map_err(|e| of_sqlite(temp, &e))?;
        super::audit::problems(&copy).map_err(|fault| fault.at(temp))
    }

    fn copy_to(&self, temp: &Path) -> io::Result<()> {
        let wrong = |e: rusqlite::Error| io::Error::other(of_sqlite(temp, &e).to_string());
        File::create_new(temp)?;
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        // A connection of its own: one for readers refuses all writing.
        let source = Connection::open_with_flags(&self.path, flags).map_err(wrong)?;
        source.busy_timeout(schema::BUSY).map_err(wrong)?;
        source.execute("VACUUM INTO CAST(?1 AS TEXT)", [temp.as_os_str().as_bytes()]).map_err(wrong)?;
        drop(source);
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let copy = Connection::open_with_flags(temp, flags).map_err(wrong)?;
        let _: String = copy.query_row("PRAGMA journal_mode = DELETE", [], |r| r.get(0)).map_err(wrong)?;
        schema::quick_check(&copy).map_err(|fault| io::Error::other(fault.at(temp).to_string()))?;
        copy.close().map_err(|(_, e)| io::Error::other(e))?;
        File::open(temp)?.sync_all()
    }
}

fn journal_of(temp: &Path) -> std::path::PathBuf {
    let mut name = temp.as_os_str().to_owned();
    name.push("-journal");
    name.into()
}

/// Takes the final name only if nothing has it.
pub(super) fn publish(temp: &Path, dest: &Path) -> io::Result<()> {
    use rustix::fs::{CWD, RenameFlags, renameat_with};
    match renameat_with(CWD, temp, CWD, dest, RenameFlags::NOREPLACE) {
        Ok(()) => Ok(()),
        // Some FUSE filesystems know no NOREPLACE; a link refuses an existing name as well.
        Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOSYS) => match std::fs::hard_link(temp, dest) {
            Ok(()) => std::fs::remove_file(temp),
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => Err(e),
            Err(_) if dest.symlink_metadata().is_err() => std::fs::rename(temp, dest),
            Err(e) => Err(e),
        },
        Err(e) => Err(e.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::tests::{Station, at, card_of, read_of};
    use crate::progress::Intent;
    use std::time::Instant;

    #[test]
    fn a_backup_opens_and_holds_all() {
        let s = Station::offloaded();
        let dest = s.dir.path().join("backup.db");
        s.cat.backup(&dest).unwrap();
        let left: Vec<_> = std::fs::read_dir(s.dir.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
        assert_eq!(left.len(), 2, "only the state folder and the backup: {left:?}");
        let copy = Catalog::open_read_only(&dest).unwrap();
        assert_eq!(copy.evidence(s.card).unwrap(), s.cat.evidence(s.card).unwrap());
        assert_eq!(copy.sequence().unwrap(), s.cat.sequence().unwrap());
        assert!(copy.check().unwrap().is_empty());
    }

    #[test]
    fn a_backup_overwrites_nothing() {
        let s = Station::new();
        let dest = s.dir.path().join("backup.db");
        std::fs::write(&dest, "mine").unwrap();
        assert!(matches!(s.cat.backup(&dest), Err(CatalogError::Backup { .. })));
        assert_eq!(std::fs::read(&dest).unwrap(), b"mine");
        let temp = s.dir.path().join("temp");
        std::fs::write(&temp, "new").unwrap();
        assert!(publish(&temp, &dest).is_err());
        assert_eq!(std::fs::read(&dest).unwrap(), b"mine");
        assert!(s.cat.backup(&s.dir.path().join("none/backup.db")).is_err());
    }

    #[test]
    #[ignore = "100,000 files"]
    fn a_hundred_thousand_files_are_backed_up_in_seconds() {
        let paths: Vec<String> = (0..100_000).map(|n| format!("CLIPS/{n:06}.RDC/{n:06}_001.R3D")).collect();
        let mut s = Station::with(&card_of(&paths.iter().map(String::as_str).collect::<Vec<_>>()));
        for part in paths.chunks(2000) {
            let of = |p: &String| [Intent::Read(Box::new(read_of(p, 1))), s.proven(0, p), s.proven(1, p)];
            let intents: Vec<Intent> = part.iter().flat_map(of).collect();
            s.cat.apply(s.card, &intents, at(1)).unwrap();
        }
        let begun = Instant::now();
        let dest = s.dir.path().join("snapshot");
        s.cat.copy_to(&dest).unwrap();
        let copied = begun.elapsed();
        std::fs::remove_file(&dest).unwrap();
        assert_eq!(s.cat.snapshot(&dest).unwrap(), [""; 0]);
        let (all, bytes) = (begun.elapsed() - copied, dest.metadata().unwrap().len());
        println!("{} MB: copied in {copied:?}, copied and checked in {all:?}", bytes / 1_000_000);
        assert!(all.as_secs() < 60, "{all:?}");
    }

    #[test]
    fn a_backups_name_is_read_back_and_no_other_name_is() {
        let station = "0123456789abcdef0123456789abcdef";
        let name = BackupName::new(station, Head { rows: 412, hash: [0, 1, 2, 3, 4, 5, 6, 255] }, at(0));
        let text = name.text();
        assert_eq!(text, format!("2027-01-15_080000Z-{station}-412-00010203040506ff.db"));
        assert_eq!(BackupName::parse(text.as_bytes()), Some(name));
        for other in [
            "",
            "catalog.db",
            ".2027-01-15_080000Z-0123456789abcdef0123456789abcdef-412-00010203040506ff.db.goodgate-part",
            "2027-01-15_080000Z-0123456789abcdef0123456789abcdef-412-00010203040506ff.db-wal",
            "2027-01-15_080000Z-0123456789abcdef0123456789abcdef-0412-00010203040506ff.db",
            "2027-01-15_080000Z-0123456789abcdef0123456789abcdef-+412-00010203040506ff.db",
            "2027-01-15_080000Z-0123456789ABCDEF0123456789abcdef-412-00010203040506ff.db",
            "2027-01-15_080000Z-0123456789abcdef0123456789abcdef-412-102030405.db",
            "2027-01-15_080000Z-0123456789abcdef0123456789abcdef-412-00010203040506ff-1.db",
            "2027-01-15T080000Z-0123456789abcdef0123456789abcdef-412-00010203040506ff.db",
            "2027-01-15_08000\u{e9}Z-0123456789abcdef0123456789abcdef-412-00010203040506ff.db",
        ] {
            assert_eq!(BackupName::parse(other.as_bytes()), None, "{other}");
        }
    }
}
