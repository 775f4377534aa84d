//! Another file in the catalog's place: a backup, or a new one. What was there is kept under a dated name.
//!
//! The backup's bytes are copied beside the catalog first, and only that copy is opened: checked as a whole, brought to
//! this program's schema, and told that it was put back. Then the old file gets a second name, and one rename exchanges
//! them: a kill at any time leaves the old catalog or the new one, whole.
//!
//! The caller sees to it that no other goodgate uses the catalog; other programs are seen here by their locks.

use super::doubt::has_been_at;
use super::error::{CatalogError, Fault, of_sqlite};
use super::{Catalog, PutBack, Signed, audit, backup, natural, schema};
use jiff::Timestamp;
use rusqlite::{Connection, OpenFlags, OptionalExtension};
use rustix::fs::{CWD, renameat};
use serde::Serialize;
use std::cell::Cell;
use std::fs::File;
use std::io::{self, ErrorKind, Read, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How the copies that are worked on here are called, beside the catalog.
const STAGE: &str = ".goodgate-catalog-";
const PART: &str = ".goodgate-part";
/// More problems of a backup than this are counted.
const TOLD: usize = 3;

/// What a backup knows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct BackupInfo {
    pub station: String,
    pub cards: u64,
    pub files: u64,
    pub clips: u64,
    /// Rows of the custody log.
    pub log_rows: u64,
    /// When the last of them was written.
    pub newest: Option<Timestamp>,
}

/// What the catalog that was there has and the backup has not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Lost {
    pub log_rows: u64,
    /// Rolls of cards.
    pub rolls: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Restored {
    pub info: BackupInfo,
    /// Where the catalog is that was there.
    pub kept: Option<PathBuf>,
    /// `None`: there was none, or it cannot be read.
    pub lost: Option<Lost>,
}

/// Puts the backup `from` in the place of the catalog. One that can be read is replaced only when `replace` says so.
pub fn restore(
    path: &Path,
    from: &Path,
    replace: bool,
    signed: Signed,
    now: Timestamp,
) -> Result<Restored, CatalogError> {
    let path = place(path)?;
    let stage = Stage::beside(&path)?;
    stage.fill(from)?;
    let (mut catalog, info) = stage.examine(from, signed)?;
    let lost = match Present::look(&path)? {
        Present::Nothing => None,
        Present::There(conn) => {
            let lost = lost(&conn, &catalog).map_err(|f| f.at(&path))?;
            let (rows, rolls) = (lost.log_rows, lost.rolls.join(", "));
            if !replace {
                let why = match (rows, rolls.is_empty()) {
                    (0, _) => "the backup knows nothing that it does not".to_owned(),
                    (n, true) => format!("{n} rows of its log are not in the backup"),
                    (n, false) => format!("{n} rows of its log are not in the backup, nor are the rolls {rolls}"),
                };
                return Err(CatalogError::Present { path, why });
            }
            Some(lost)
        }
    };
    let newest = info.newest.map_or("an unknown time".into(), day);
    let why = format!("the catalog was restored on {} from a backup of {newest}", day(now));
    catalog.put_back(PutBack::Restored, &why, now)?;
    stage.close(catalog)?;
    let kept = stage.take_place(&path, now)?;
    Ok(Restored { info, kept, lost })
}

/// A new catalog for a rebuild, where there is none yet that a rebuild began. Gives where the old one is kept.
pub fn begin_anew(path: &Path, replace: bool, signed: Signed, now: Timestamp) -> Result<Option<PathBuf>, CatalogError> {
    let path = place(path)?;
    if let Present::There(conn) = Present::look(&path)? {
        drop(conn);
        if Catalog::open(&path)?.is_rebuilt()? {
            return Ok(None);
        }
        if !replace {
            let why = "to rebuild is for a catalog that is lost".to_owned();
            return Err(CatalogError::Present { path, why });
        }
    }
    let stage = Stage::beside(&path)?;
    let mut catalog = Catalog::open(&stage.file)?.signed(&signed.who, &signed.version);
    catalog.put_back(PutBack::Rebuilt, &format!("the catalog was rebuilt on {}", day(now)), now)?;
    stage.close(catalog)?;
    stage.take_place(&path, now)
}

/// The id of a catalog and the destinations that it names, as far as a damaged one can still tell them.
pub fn still_told(path: &Path) -> (Option<String>, Vec<PathBuf>) {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let Ok(conn) = Connection::open_with_flags(path, flags) else { return (None, Vec::new()) };
    let id = conn.query_row("SELECT id FROM station", [], |r| r.get(0)).ok();
    let destinations = || -> rusqlite::Result<Vec<PathBuf>> {
        let mut statement = conn.prepare("SELECT DISTINCT destination FROM copy_root LIMIT 100")?;
        statement.query_map([], |r| r.get::<_, String>(0).map(PathBuf::from))?.collect()
    };
    (id, destinations().unwrap_or_default())
}

fn day(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M UTC").to_string()
}

/// The file itself, should the catalog's path be a symlink; its folder is made.
fn place(path: &Path) -> Result<PathBuf, CatalogError> {
    let path = schema::absolute(path)?;
    let path = path.canonicalize().unwrap_or(path);
    let open = |cause| CatalogError::Open { path: path.clone(), cause };
    std::fs::create_dir_all(path.parent().unwrap_or(Path::new("/"))).map_err(open)?;
    schema::refuse_network(&path)?;
    Ok(path)
}

fn lost(old: &Connection, backup: &Catalog) -> Result<Lost, Fault> {
    let head = backup.head().map_err(|e| Fault::Refused(e.to_string()))?;
    let rows = old.query_row("SELECT custody_rows AS n FROM station", [], |r| natural(r, "n"))?;
    let log_rows = if has_been_at(old, head)? { rows.saturating_sub(head.rows) } else { rows };
    let known = backup.cards().map_err(|e| Fault::Refused(e.to_string()))?;
    let known: Vec<String> = known.into_iter().map(|c| c.id.to_string()).collect();
    let mut rolls = Vec::new();
    let mut statement = old.prepare("SELECT id, roll FROM card ORDER BY seq")?;
    let mut found = statement.query([])?;
    while let Some(r) = found.next()? {
        if !known.contains(&r.get("id")?) {
            rolls.push(r.get("roll")?);
        }
    }
    Ok(Lost { log_rows, rolls })
}

/// What has the catalog's name now.
enum Present {
    /// No file, an empty one, or one that cannot be read.
    Nothing,
    /// A catalog of ours with something in it; nobody else has it open.
    There(Connection),
}

impl Present {
    fn look(path: &Path) -> Result<Self, CatalogError> {
        if path.symlink_metadata().is_err() {
            return Ok(Present::Nothing);
        }
        match Self::open(path) {
            Err(CatalogError::Corrupt { .. }) => Ok(Present::Nothing),
            other => other,
        }
    }

    fn open(path: &Path) -> Result<Self, CatalogError> {
        let sql = |e: rusqlite::Error| of_sqlite(path, &e);
        // A damaged file is only read, so that it stays as it is.
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let conn = Connection::open_with_flags(path, flags).map_err(sql)?;
        conn.busy_timeout(Duration::from_millis(500)).map_err(sql)?;
        let found = schema::version(&conn).map_err(sql)?;
        schema::check_version(&conn, path, found)?;
        schema::quick_check(&conn).map_err(|f| f.at(path))?;
        drop(conn);
        if found == 0 {
            return Ok(Present::Nothing);
        }
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let conn = Connection::open_with_flags(path, flags).map_err(sql)?;
        conn.busy_timeout(Duration::from_millis(500)).map_err(sql)?;
        conn.pragma_update(None, "locking_mode", "EXCLUSIVE").map_err(sql)?;
        // Refused while any other program has it open; and what its log holds is then in the file.
        conn.execute_batch("BEGIN EXCLUSIVE; COMMIT").map_err(sql)?;
        let empty = "SELECT (SELECT count(*) FROM card) = 0 AND custody_rows = 0 FROM station";
        let is_empty = conn.query_row(empty, [], |r| r.get::<_, bool>(0)).optional();
        match is_empty {
            Ok(Some(true)) => Ok(Present::Nothing),
            Ok(_) => Ok(Present::There(conn)),
            Err(e) => Err(sql(e)),
        }
    }
}

/// A catalog to be, under a temporary name. Removed when it did not take its place.
struct Stage {
    file: PathBuf,
}

impl Drop for Stage {
    fn drop(&mut self) {
        for suffix in ["", "-wal", "-shm", "-journal"] {
            let _ = std::fs::remove_file(with(&self.file, suffix));
        }
    }
}

fn with(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

impl Stage {
    /// What a kill left of earlier ones goes: nobody else works here now.
    fn beside(path: &Path) -> Result<Self, CatalogError> {
        let folder = path.parent().unwrap_or(Path::new("/"));
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            let name = entry.file_name();
            let ours = |n: &str| n.starts_with(STAGE) && n.contains(PART);
            if name.to_str().is_some_and(ours) {
                let _ = std::fs::remove_file(entry.path());
            }
        }
        Ok(Stage { file: folder.join(format!("{STAGE}{}{PART}", uuid::Uuid::now_v7())) })
    }

    /// Copies the backup. With what was not yet brought from its log into the file, should it be a catalog as it lay.
    fn fill(&self, from: &Path) -> Result<(), CatalogError> {
        let bad = |why: String| CatalogError::NoBackup { path: from.to_path_buf(), why };
        let kind = from.symlink_metadata().map_err(|e| bad(e.to_string()))?.file_type();
        if kind.is_symlink() {
            return Err(bad("it is a symlink; name the file itself".into()));
        }
        if !kind.is_file() {
            return Err(bad(if kind.is_dir() { "it is a folder" } else { "it is no regular file" }.into()));
        }
        let mut head = [0; 16];
        let read = open(from).and_then(|mut f| f.read_exact(&mut head));
        if read.as_ref().is_err_and(|e| e.kind() != ErrorKind::UnexpectedEof) {
            read.map_err(|e| bad(e.to_string()))?;
        }
        if head != *b"SQLite format 3\0" {
            return Err(bad("it is no SQLite database".into()));
        }
        copy(from, &self.file).map_err(|e| bad(format!("it cannot be copied beside the catalog: {e}")))?;
        let log = with(from, "-wal");
        if log.symlink_metadata().is_ok_and(|m| m.is_file() && m.len() > 0) {
            copy(&log, &with(&self.file, "-wal"))
                .map_err(|e| bad(format!("its log cannot be copied beside the catalog: {e}")))?;
        }
        Ok(())
    }

    /// The copy as a catalog of this program, sound in every row.
    fn examine(&self, from: &Path, signed: Signed) -> Result<(Catalog, BackupInfo), CatalogError> {
        let bad = |why: String| CatalogError::NoBackup { path: from.to_path_buf(), why };
        let sql = |e: rusqlite::Error| bad(format!("it is damaged: {e}"));
        let fault = |f: Fault| match f {
            Fault::Corrupt(why) => bad(format!("it is damaged: {why}")),
            Fault::Sql(e) => bad(format!("it is damaged: {e}")),
            Fault::Unknown(why) | Fault::Refused(why) => bad(why),
        };
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let mut conn = Connection::open_with_flags(&self.file, flags).map_err(sql)?;
        let prepare = |c: &Connection| -> rusqlite::Result<()> {
            c.pragma_update(None, "trusted_schema", false)?;
            c.pragma_update(None, "cell_size_check", true)?;
            c.pragma_update(None, "synchronous", "FULL")
        };
        prepare(&conn).map_err(sql)?;
        let found = schema::version(&conn).map_err(sql)?;
        match schema::check_version(&conn, from, found) {
            Err(CatalogError::Corrupt { cause, .. }) => return Err(bad(format!("it is damaged: {cause}"))),
            other => other?,
        }
        if found == 0 {
            return Err(bad("it is no catalog of goodgate".into()));
        }
        schema::quick_check(&conn).map_err(fault)?;
        // No trigger or view of anybody else's works in our catalog.
        if !has_our_schema(&conn, found).map_err(sql)? {
            return Err(bad("its tables are not those of a catalog".into()));
        }
        let _: String = conn.query_row("PRAGMA journal_mode = DELETE", [], |r| r.get(0)).map_err(sql)?;
        schema::migrate(&mut conn, &self.file)?;
        conn.pragma_update(None, "foreign_keys", true).map_err(sql)?;
        let problems = audit::problems(&conn).map_err(fault)?;
        if !problems.is_empty() {
            let more = problems.len().saturating_sub(TOLD);
            let more = if more > 0 { format!("; and {more} more") } else { String::new() };
            return Err(bad(format!("it is damaged: {}{more}", problems[..problems.len().min(TOLD)].join("; "))));
        }
        let info = info(&conn).map_err(sql)?;
        let catalog = Catalog { conn, path: self.file.clone(), read_only: false, signed, spent: Cell::default() };
        Ok((catalog, info))
    }

    /// One file, on the disk.
    fn close(&self, catalog: Catalog) -> Result<(), CatalogError> {
        let path = self.file.as_path();
        let sql = |e: rusqlite::Error| of_sqlite(path, &e);
        let mode: String = catalog.conn.query_row("PRAGMA journal_mode = DELETE", [], |r| r.get(0)).map_err(sql)?;
        if mode != "delete" {
            return Err(Fault::Refused(format!("its journal mode stays {mode}")).at(path));
        }
        catalog.conn.close().map_err(|(_, e)| sql(e))?;
        File::open(path).and_then(|f| f.sync_all()).map_err(|cause| CatalogError::Open { path: path.into(), cause })
    }

    fn take_place(self, path: &Path, now: Timestamp) -> Result<Option<PathBuf>, CatalogError> {
        let take = || -> io::Result<Option<PathBuf>> {
            let folder = File::open(path.parent().unwrap_or(Path::new("/")))?;
            let kept = keep_aside(path, now)?;
            match kept {
                Some(_) => renameat(CWD, &self.file, CWD, path)?,
                None => backup::publish(&self.file, path)?,
            }
            folder.sync_all()?;
            Ok(kept)
        };
        take().map_err(|cause| CatalogError::Open { path: path.into(), cause })
    }
}

fn open(path: &Path) -> io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt;
    let flags = (rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK).bits() as i32;
    File::options().read(true).custom_flags(flags).open(path)
}

fn copy(from: &Path, to: &Path) -> io::Result<()> {
    let mut from = open(from)?;
    let mut to = File::create_new(to)?;
    let mut buf = vec![0; 1 << 20];
    loop {
        match from.read(&mut buf) {
            Ok(0) => return to.sync_all(),
            Ok(n) => to.write_all(&buf[..n])?,
            Err(e) if e.kind() == ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
}

/// Gives the catalog a second, dated name, with what belongs to it; only the file itself keeps the first one.
fn keep_aside(path: &Path, now: Timestamp) -> io::Result<Option<PathBuf>> {
    let log = with(path, "-wal");
    if path.symlink_metadata().is_err() && log.symlink_metadata().is_err() {
        return Ok(None);
    }
    let dated = now.strftime("%Y-%m-%d_%H%M%SZ");
    let names = std::iter::once(format!(".{dated}.kept")).chain((2..1000).map(|n| format!(".{dated}-{n}.kept")));
    let free = |p: &PathBuf| [p.clone(), with(p, "-wal")].iter().all(|p| p.symlink_metadata().is_err());
    let kept = names.map(|n| with(path, &n)).find(free).ok_or_else(|| io::Error::from(ErrorKind::AlreadyExists))?;
    let had_file = link(path, &kept)?;
    for suffix in ["-wal", "-journal"] {
        link(&with(path, suffix), &with(&kept, suffix))?;
    }
    let folder = File::open(path.parent().unwrap_or(Path::new("/")))?;
    folder.sync_all()?;
    // A log beside another file would be taken for that one's.
    for suffix in ["-wal", "-shm", "-journal"] {
        match std::fs::remove_file(with(path, suffix)) {
            Err(e) if e.kind() != ErrorKind::NotFound => return Err(e),
            _ => {}
        }
    }
    folder.sync_all()?;
    Ok(had_file.then_some(kept))
}

/// False when nothing has that name. Where a filesystem knows no second names, the first one is given up.
fn link(path: &Path, to: &Path) -> io::Result<bool> {
    match std::fs::hard_link(path, to) {
        Ok(()) => Ok(true),
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(false),
        Err(e) if matches!(e.kind(), ErrorKind::PermissionDenied | ErrorKind::Unsupported) => {
            std::fs::rename(path, to).map(|()| true)
        }
        Err(e) => Err(e),
    }
}

/// Whether every table, view, index and trigger is as our migrations make them.
fn has_our_schema(conn: &Connection, version: i64) -> rusqlite::Result<bool> {
    let mut fresh = Connection::open_in_memory()?;
    let made = schema::steps().to_version(&mut fresh, usize::try_from(version).unwrap_or(0));
    let all = |c: &Connection| -> rusqlite::Result<Vec<[Option<String>; 4]>> {
        let sql = "SELECT type, name, tbl_name, sql FROM sqlite_schema WHERE name NOT LIKE 'sqlite~_%' ESCAPE '~'
                   ORDER BY type, name";
        c.prepare(sql)?.query_map([], |r| Ok([r.get(0)?, r.get(1)?, r.get(2)?, r.get(3)?]))?.collect()
    };
    Ok(made.is_ok() && all(conn)? == all(&fresh)?)
}

fn info(c: &Connection) -> rusqlite::Result<BackupInfo> {
    let sql = "SELECT id, custody_rows AS log_rows, (SELECT count(*) FROM card) AS cards,
                      (SELECT count(*) FROM card_file) AS files, (SELECT count(*) FROM clip) AS clips,
                      (SELECT at FROM custody ORDER BY seq DESC LIMIT 1) AS newest
               FROM station";
    c.query_row(sql, [], |r| {
        Ok(BackupInfo {
            station: r.get("id")?,
            cards: natural(r, "cards")?,
            files: natural(r, "files")?,
            clips: natural(r, "clips")?,
            log_rows: natural(r, "log_rows")?,
            newest: r.get::<_, Option<String>>("newest")?.and_then(|t| t.parse().ok()),
        })
    })
}
