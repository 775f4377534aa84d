//! Opening: which file, which filesystem, which schema, which pragmas.

use super::error::{CatalogError, Fault, of_sqlite};
use super::{Catalog, Signed, custody};
use rusqlite::{Connection, OpenFlags};
use rusqlite_migration::{M, Migrations};
use std::cell::Cell;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

const STEPS: [&str; 11] = [
    include_str!("migrations/0001_station.sql"),
    include_str!("migrations/0002_views.sql"),
    include_str!("migrations/0003_source_checks.sql"),
    include_str!("migrations/0004_metadata.sql"),
    include_str!("migrations/0005_custody.sql"),
    include_str!("migrations/0006_looks.sql"),
    include_str!("migrations/0007_inputs.sql"),
    include_str!("migrations/0008_frame_maps.sql"),
    include_str!("migrations/0009_mounts.sql"),
    include_str!("migrations/0010_backups.sql"),
    include_str!("migrations/0011_notices.sql"),
];
/// The step whose custody log takes over what the log of jobs held.
const CUSTODY: usize = 4;
pub(super) const APPLICATION_ID: i64 = 1_196_377_940;
pub(super) const BUSY: Duration = Duration::from_secs(10);

impl Catalog {
    /// Opens the catalog for writing; makes the file, its folders and its tables as needed. Blocking.
    pub fn open(path: &Path) -> Result<Self, CatalogError> {
        let path = absolute(path)?;
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent).map_err(|cause| CatalogError::Open { path: path.clone(), cause })?;
        }
        refuse_network(&path)?;
        let begun = Instant::now();
        let conn = connect(&path)?;
        Ok(Catalog { conn, path, read_only: false, signed: Signed::default(), spent: Cell::new(begun.elapsed()) })
    }

    /// For readers beside the writer: no migration, no check, every write is refused.
    pub fn open_read_only(path: &Path) -> Result<Self, CatalogError> {
        let path = absolute(path)?;
        refuse_network(&path)?;
        let begun = Instant::now();
        let conn = reader(&path)?;
        Ok(Catalog { conn, path, read_only: true, signed: Signed::default(), spent: Cell::new(begun.elapsed()) })
    }
}

/// A relative path would name another file after a change of folder, and the reopening after an error uses it.
pub(super) fn absolute(path: &Path) -> Result<PathBuf, CatalogError> {
    std::path::absolute(path).map_err(|cause| CatalogError::Open { path: path.to_path_buf(), cause })
}

pub(super) fn reader(path: &Path) -> Result<Connection, CatalogError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let conn = Connection::open_with_flags(path, flags).map_err(|e| of_sqlite(path, &e))?;
    let prepare = || -> rusqlite::Result<i64> {
        conn.busy_timeout(BUSY)?;
        conn.pragma_update(None, "foreign_keys", true)?;
        conn.pragma_update(None, "query_only", true)?;
        conn.pragma_update(None, "trusted_schema", false)?;
        conn.query_row("PRAGMA user_version", [], |r| r.get(0))
    };
    let found = prepare().map_err(|e| of_sqlite(path, &e))?;
    check_version(&conn, path, found)?;
    let known = STEPS.len() as i64;
    if found < known {
        return Err(CatalogError::Older { path: path.to_path_buf(), found, known });
    }
    Ok(conn)
}

pub(super) fn connect(path: &Path) -> Result<Connection, CatalogError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let sql = |e: rusqlite::Error| of_sqlite(path, &e);
    let mut conn = Connection::open_with_flags(path, flags).map_err(sql)?;
    conn.busy_timeout(BUSY).map_err(sql)?;
    let found = version(&conn).map_err(sql)?;
    // Before the first byte is written: this may be somebody else's database.
    check_version(&conn, path, found)?;
    pragmas(&conn).map_err(sql)?;
    check_evidence(&conn).map_err(|f| f.at(path))?;
    migrate(&mut conn, path)?;
    Ok(conn)
}

pub(super) fn version(conn: &Connection) -> rusqlite::Result<i64> {
    conn.query_row("PRAGMA user_version", [], |r| r.get(0))
}

pub(super) fn check_version(conn: &Connection, path: &Path, found: i64) -> Result<(), CatalogError> {
    let ask = |text: &str| conn.query_row(text, [], |r| r.get::<_, i64>(0)).map_err(|e| of_sqlite(path, &e));
    // One statement, so that a first migration in another process is seen whole or not at all.
    let foreign = ask(&format!(
        "SELECT (SELECT application_id FROM pragma_application_id) <> {APPLICATION_ID}
                AND (SELECT count(*) FROM sqlite_schema) > 0"
    ))?;
    if foreign != 0 {
        return Err(CatalogError::NotOurs { path: path.to_path_buf() });
    }
    let known = STEPS.len() as i64;
    if found > known {
        return Err(CatalogError::Newer { path: path.to_path_buf(), found, known });
    }
    Ok(())
}

fn pragmas(conn: &Connection) -> rusqlite::Result<()> {
    // SQLite does not call its busy handler while the journal mode changes, so two first openers must wait here.
    let until = Instant::now() + BUSY;
    loop {
        match conn.query_row("PRAGMA journal_mode = WAL", [], |r| r.get::<_, String>(0)) {
            Ok(mode) if mode == "wal" => break,
            Ok(mode) => {
                let text = format!("write-ahead logging is not possible here (journal mode {mode})");
                return Err(rusqlite::Error::SqliteFailure(
                    rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_CANTOPEN),
                    Some(text),
                ));
            }
            Err(e) if e.sqlite_error_code() == Some(rusqlite::ErrorCode::DatabaseBusy) && Instant::now() < until => {
                std::thread::sleep(Duration::from_millis(20));
            }
            Err(e) => return Err(e),
        }
    }
    // NORMAL loses committed rows at a power cut in WAL mode; FULL does not.
    conn.pragma_update(None, "synchronous", "FULL")?;
    conn.pragma_update(None, "foreign_keys", true)?;
    // In KiB. What one batch of a patrol over small files touches; with less, pages are written several times a batch.
    conn.pragma_update(None, "cache_size", -4 * 1024)?;
    conn.pragma_update(None, "cell_size_check", true)?;
    conn.pragma_update(None, "trusted_schema", false)?;
    conn.set_prepared_statement_cache_capacity(128);
    Ok(())
}

/// All tables but the bulk of a large catalog: block digests, which have sums of their own and are compared with them at
/// each use, and frame maps, which are no evidence. `check` and every backup look at these too.
fn check_evidence(conn: &Connection) -> Result<(), Fault> {
    let sql = "SELECT name FROM sqlite_schema
               WHERE type = 'table' AND rootpage > 0 AND name NOT IN ('file_blocks', 'frame_map')";
    let tables: Vec<String> = conn.prepare(sql)?.query_map([], |r| r.get(0))?.collect::<Result<_, _>>()?;
    for table in tables {
        let said: String = conn.query_row("SELECT quick_check FROM pragma_quick_check(?1)", [&table], |r| r.get(0))?;
        if said != "ok" {
            return Err(Fault::Corrupt(said));
        }
    }
    Ok(())
}

/// The whole file.
pub(super) fn quick_check(conn: &Connection) -> Result<(), Fault> {
    let said: String = conn.query_row("PRAGMA quick_check(1)", [], |r| r.get(0))?;
    if said == "ok" { Ok(()) } else { Err(Fault::Corrupt(said)) }
}

pub(super) fn migrate(conn: &mut Connection, path: &Path) -> Result<(), CatalogError> {
    let known = STEPS.len() as i64;
    let migrations = steps();
    // Two processes may find the same new file: the one that comes second fails on a table that exists by now.
    let mut tries = 0;
    while version(conn).map_err(|e| of_sqlite(path, &e))? < known {
        if let Err(e) = migrations.to_latest(conn) {
            tries += 1;
            if tries == 3 {
                return Err(match &e {
                    rusqlite_migration::Error::RusqliteError { err, .. } => of_sqlite(path, err),
                    _ => CatalogError::Sql { path: path.to_path_buf(), cause: e.to_string() },
                });
            }
        }
    }
    Ok(())
}

/// All migrations, in order.
pub(super) fn steps() -> Migrations<'static> {
    let step = |(i, sql): (usize, &'static str)| match i {
        CUSTODY => M::up_with_hook(sql, |tx: &rusqlite::Transaction<'_>| {
            custody::take_over(tx)?;
            Ok(tx.execute_batch("DROP TABLE job_log")?)
        }),
        _ => M::up(sql),
    };
    Migrations::new(STEPS.into_iter().enumerate().map(step).collect())
}

pub(super) fn refuse_network(path: &Path) -> Result<(), CatalogError> {
    let open = |cause: std::io::Error| CatalogError::Open { path: path.to_path_buf(), cause };
    // The file itself may be a symlink into a share; a file that does not exist yet lies where its folder does.
    let real = path.canonicalize().ok();
    let folder = real.as_deref().unwrap_or(path).parent().unwrap_or(Path::new("/"));
    let dir = std::fs::File::open(folder).map_err(open)?;
    let magic = rustix::fs::fstatfs(&dir).map_err(|e| open(e.into()))?.f_type as u64 & 0xffff_ffff;
    let name = crate::disk::facts::mount_id_of(&dir).ok().and_then(mounted_as);
    match network_name(magic, name.as_deref()) {
        Some(fs_type) => Err(CatalogError::Network { path: path.to_path_buf(), fs_type }),
        None => Ok(()),
    }
}

/// The filesystem's name in mountinfo: FUSE hides all its kinds behind one magic number.
fn mounted_as(mount_id: u64) -> Option<String> {
    let table = std::fs::read("/proc/self/mountinfo").ok()?;
    let table = String::from_utf8_lossy(&table);
    let line = table.lines().find(|l| l.split(' ').next() == Some(&mount_id.to_string()))?;
    line.split_once(" - ")?.1.split(' ').next().map(str::to_owned)
}

fn network_name(magic: u64, name: Option<&str>) -> Option<String> {
    let by_magic = match magic {
        0x6969 => "nfs",
        0x517b | 0xff53_4d42 | 0xfe53_4d42 => "smb",
        0x00c3_6400 => "ceph",
        0x5346_414f | 0x6b41_4653 => "afs",
        0x7375_7245 => "coda",
        _ => "",
    };
    if !by_magic.is_empty() {
        return Some(by_magic.to_owned());
    }
    const FUSE: [&str; 10] =
        ["sshfs", "rclone", "s3fs", "gcsfuse", "glusterfs", "ceph", "smbnetfs", "davfs", "curlftpfs", "gvfsd-fuse"];
    const PLAIN: [&str; 9] = ["nfs", "nfs4", "cifs", "smb3", "ceph", "afs", "davfs", "lustre", "beegfs"];
    let name = name?;
    let remote = match name.strip_prefix("fuse.") {
        Some(kind) => FUSE.contains(&kind),
        None => PLAIN.contains(&name),
    };
    remote.then(|| name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pragma(cat: &Catalog, name: &str) -> String {
        use rusqlite::types::Value;
        match cat.conn.query_row(&format!("PRAGMA {name}"), [], |r| r.get(0)).unwrap() {
            Value::Text(t) => t,
            Value::Integer(n) => n.to_string(),
            other => panic!("{other:?}"),
        }
    }

    fn new() -> (tempfile::TempDir, std::path::PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a/b/catalog.db");
        (dir, path)
    }

    #[test]
    fn what_a_power_cut_must_not_undo_is_pinned() {
        let (_dir, path) = new();
        let cat = Catalog::open(&path).unwrap();
        for (name, value) in [
            ("journal_mode", "wal"),
            ("synchronous", "2"),
            ("foreign_keys", "1"),
            ("busy_timeout", "10000"),
            ("application_id", "1196377940"),
            ("user_version", "11"),
        ] {
            assert_eq!(pragma(&cat, name), value, "{name}");
        }
    }

    #[test]
    fn migrations_are_sound_and_every_view_can_be_read_and_is_described() {
        steps().validate().unwrap();
        let (_dir, path) = new();
        let cat = Catalog::open(&path).unwrap();
        let sql = "SELECT name FROM sqlite_schema WHERE type = 'view' ORDER BY name";
        let views: Vec<String> =
            cat.conn.prepare(sql).unwrap().query_map([], |r| r.get(0)).unwrap().map(Result::unwrap).collect();
        assert_eq!(
            views,
            [
                "cards",
                "clip_values",
                "clips",
                "copies",
                "custody_log",
                "files",
                "problems",
                "proxies",
                "qc",
                "reverify_due",
                "sound_sync"
            ]
        );
        for view in views {
            let statement = cat.conn.prepare(&format!("SELECT * FROM {view}")).unwrap();
            for column in statement.column_names() {
                let sql = "SELECT count(*) FROM schema_doc WHERE object = ?1 AND column = ?2";
                let known: i64 = cat.conn.query_row(sql, [view.as_str(), column], |r| r.get(0)).unwrap();
                assert_eq!(known, 1, "{view}.{column} is not described");
            }
        }
    }

    #[test]
    fn what_the_log_of_jobs_held_is_the_beginning_of_the_custody_log() {
        let (_dir, path) = new();
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        let old = Connection::open(&path).unwrap();
        STEPS[..CUSTODY].iter().for_each(|sql| old.execute_batch(sql).unwrap());
        let card = "0198b2c4-0000-7000-8000-000000000001";
        for n in 0..3 {
            let sql = "INSERT INTO job_log (card_id, at, text) VALUES (?1, '2026-01-02T03:04:05.000Z', ?2)";
            old.execute(sql, [card, &format!("line {n}")]).unwrap();
        }
        old.pragma_update(None, "user_version", CUSTODY as i64).unwrap();
        drop(old);
        let cat = Catalog::open(&path).unwrap();
        let rows = cat.custody(crate::clip::CardId::parse(card).unwrap()).unwrap();
        assert_eq!(rows.iter().map(|r| r.text.as_str()).collect::<Vec<_>>(), ["line 0", "line 1", "line 2"]);
        assert!(cat.check().unwrap().is_empty(), "{:?}", cat.check());
    }

    #[test]
    fn every_table_is_strict() {
        let (_dir, path) = new();
        let cat = Catalog::open(&path).unwrap();
        let sql = "SELECT count(*) FROM pragma_table_list WHERE schema = 'main' AND type = 'table' AND strict = 0
                   AND name NOT LIKE 'sqlite_%'";
        assert_eq!(cat.conn.query_row(sql, [], |r| r.get::<_, i64>(0)).unwrap(), 0);
    }

    #[test]
    fn a_newer_catalog_is_refused_untouched() {
        let (_dir, path) = new();
        let cat = Catalog::open(&path).unwrap();
        cat.conn.pragma_update(None, "user_version", 99).unwrap();
        drop(cat);
        assert!(matches!(Catalog::open(&path), Err(CatalogError::Newer { found: 99, known: 11, .. })));
        assert!(matches!(Catalog::open_read_only(&path), Err(CatalogError::Newer { .. })));
    }

    #[test]
    fn another_programs_database_is_refused_untouched() {
        let (dir, _) = new();
        let path = dir.path().join("other.db");
        Connection::open(&path).unwrap().execute_batch("CREATE TABLE t (x)").unwrap();
        let before = std::fs::read(&path).unwrap();
        assert!(matches!(Catalog::open(&path), Err(CatalogError::NotOurs { .. })));
        assert_eq!(std::fs::read(&path).unwrap(), before);
    }

    #[test]
    fn a_reader_does_not_make_a_catalog() {
        let (_dir, path) = new();
        assert!(Catalog::open_read_only(&path).is_err());
        assert!(!path.exists());
    }

    #[test]
    fn damage_is_told_at_the_opening() {
        let (_dir, path) = new();
        drop(Catalog::open(&path).unwrap());
        let whole = std::fs::read(&path).unwrap();
        for (from, what) in [(0, "head"), (4096, "a page")] {
            let mut bytes = whole.clone();
            bytes[from..from + 2000].fill(0x5a);
            std::fs::write(&path, &bytes).unwrap();
            assert!(matches!(Catalog::open(&path), Err(CatalogError::Corrupt { .. })), "{what}");
        }
        std::fs::write(&path, &whole[..whole.len() / 2]).unwrap();
        assert!(matches!(Catalog::open(&path), Err(CatalogError::Corrupt { .. })), "cut");
    }

    #[test]
    fn damage_in_the_bulk_is_told_by_a_check_and_ends_a_backup() {
        let (dir, path) = new();
        let cat = Catalog::open(&path).unwrap();
        let sql = "SELECT rootpage FROM sqlite_schema WHERE name = 'file_blocks'";
        let page: u32 = cat.conn.query_row(sql, [], |r| r.get(0)).unwrap();
        cat.conn.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).unwrap();
        drop(cat);
        let mut bytes = std::fs::read(&path).unwrap();
        let at = (page as usize - 1) * 4096;
        bytes[at..at + 4096].fill(0x5a);
        std::fs::write(&path, &bytes).unwrap();
        let cat = Catalog::open(&path).unwrap();
        assert!(!matches!(cat.check(), Ok(said) if said.is_empty()));
        cat.backup(&dir.path().join("backup.db")).unwrap_err();
    }

    #[test]
    fn many_first_openers_make_one_catalog() {
        let (_dir, path) = new();
        std::thread::scope(|s| {
            let all: Vec<_> = (0..6).map(|_| s.spawn(|| Catalog::open(&path).unwrap().station_id().unwrap())).collect();
            let mut ids: Vec<String> = all.into_iter().map(|t| t.join().unwrap()).collect();
            ids.dedup();
            assert_eq!(ids.len(), 1);
        });
    }

    #[test]
    fn network_filesystems_are_known_by_number_and_by_name() {
        assert_eq!(network_name(0x6969, None).as_deref(), Some("nfs"));
        assert_eq!(network_name(0xff53_4d42, Some("cifs")).as_deref(), Some("smb"));
        assert_eq!(network_name(0x6573_5546, Some("fuse.sshfs")).as_deref(), Some("fuse.sshfs"));
        assert_eq!(network_name(0x6573_5546, Some("fuseblk")), None);
        assert_eq!(network_name(0xef53, Some("ext4")), None);
        assert_eq!(mounted_as(u64::MAX), None);
        let here = crate::disk::facts::mount_id_of(std::fs::File::open("/").unwrap()).unwrap();
        assert!(mounted_as(here).is_some());
    }
}
