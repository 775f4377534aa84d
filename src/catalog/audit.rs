//! Reading the catalog from outside: people's own SQL, backups, and the check of the catalog itself.

use super::error::{CatalogError, Fault, of_sqlite};
use super::{Catalog, rowsum, schema};
use rusqlite::hooks::{AuthAction, AuthContext, Authorization};
use rusqlite::limits::Limit;
use rusqlite::types::ValueRef;
use rusqlite::{Connection, OpenFlags};
use serde::Serialize;
use serde_json::Value;
use std::fs::File;
use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

const LIMIT: Duration = Duration::from_secs(5);
const ROWS: usize = 10_000;
/// Of one value, and of all text of an answer together.
const VALUE_BYTES: i32 = 16 << 20;
const ANSWER_BYTES: usize = 64 << 20;

/// The answer to a person's own SQL.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SqlRows {
    pub columns: Vec<String>,
    /// Numbers, text, null; a blob as lower-case hex.
    pub rows: Vec<Vec<Value>>,
    /// There was more: at most 10,000 rows and 64 MiB are given.
    pub is_capped: bool,
}

/// Runs one SELECT, WITH or EXPLAIN on its own read-only connection, for at most five seconds.
pub fn sql(path: &Path, text: &str) -> Result<SqlRows, CatalogError> {
    run(path, text, LIMIT)
}

fn run(path: &Path, text: &str, limit: Duration) -> Result<SqlRows, CatalogError> {
    let refused = |why: &str| Fault::Refused(why.into()).at(path);
    let first: String = text.trim_start().chars().take_while(char::is_ascii_alphabetic).collect();
    if !["select", "with", "explain", "values"].contains(&first.to_ascii_lowercase().as_str()) {
        return Err(refused("only SELECT, WITH and EXPLAIN are answered"));
    }
    let conn = schema::reader(path)?;
    let until = Instant::now() + limit;
    let fenced = || -> rusqlite::Result<()> {
        conn.set_limit(Limit::SQLITE_LIMIT_LENGTH, VALUE_BYTES)?;
        conn.set_limit(Limit::SQLITE_LIMIT_ATTACHED, 0)?;
        conn.progress_handler(1000, Some(move || Instant::now() > until))?;
        conn.authorizer(Some(|at: AuthContext<'_>| match at.action {
            AuthAction::Select | AuthAction::Read { .. } | AuthAction::Function { .. } | AuthAction::Recursive => {
                Authorization::Allow
            }
            _ => Authorization::Deny,
        }))
    };
    fenced().map_err(|e| of_sqlite(path, &e))?;
    let wrong = |e: rusqlite::Error| match e.sqlite_error_code() {
        Some(rusqlite::ErrorCode::OperationInterrupted) => refused("the query ran longer than five seconds"),
        _ => of_sqlite(path, &e),
    };
    // A tail of blanks and comments is none; a second statement is refused by rusqlite.
    let mut statement = conn.prepare(text).map_err(wrong)?;
    if !statement.readonly() {
        return Err(refused("the statement would write"));
    }
    let columns: Vec<String> = statement.column_names().into_iter().map(str::to_owned).collect();
    let mut out = SqlRows { columns, rows: Vec::new(), is_capped: false };
    let mut bytes = 0;
    let mut rows = statement.query([]).map_err(wrong)?;
    while let Some(row) = rows.next().map_err(wrong)? {
        if out.rows.len() == ROWS || bytes > ANSWER_BYTES {
            out.is_capped = true;
            break;
        }
        let values = (0..out.columns.len()).map(|i| Ok(shown(row.get_ref(i)?)));
        let values = values.collect::<rusqlite::Result<Vec<Value>>>().map_err(wrong)?;
        bytes += values.iter().map(|v| v.as_str().map_or(8, str::len)).sum::<usize>();
        out.rows.push(values);
    }
    Ok(out)
}

fn shown(value: ValueRef<'_>) -> Value {
    match value {
        ValueRef::Null => Value::Null,
        ValueRef::Integer(n) => n.into(),
        // JSON has no infinity.
        ValueRef::Real(n) => serde_json::Number::from_f64(n).map_or_else(|| n.to_string().into(), Value::Number),
        ValueRef::Text(bytes) => String::from_utf8_lossy(bytes).into(),
        ValueRef::Blob(bytes) => crate::digest::hex(bytes).into(),
    }
}

impl Catalog {
    /// A consistent copy at `dest`, durable when this returns. Never overwrites; needs no write-ahead log beside it.
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
        }
        done.map_err(|cause| wrong(cause.to_string()))
    }

    fn copy_to(&self, temp: &Path) -> io::Result<()> {
        File::create_new(temp)?;
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let mut copy = Connection::open_with_flags(temp, flags).map_err(io::Error::other)?;
        let work = |copy: &mut Connection| -> Result<(), Fault> {
            // All pages in one step: a writer beside us waits, and cannot make the copy start again and again.
            rusqlite::backup::Backup::new(&self.conn, copy)?.run_to_completion(
                i32::MAX,
                Duration::from_millis(50),
                None,
            )?;
            copy.query_row("PRAGMA journal_mode = DELETE", [], |r| r.get::<_, String>(0))?;
            schema::quick_check(copy)
        };
        work(&mut copy).map_err(|fault| io::Error::other(fault.at(temp).to_string()))?;
        copy.close().map_err(|(_, e)| io::Error::other(e))?;
        File::open(temp)?.sync_all()
    }

    /// What is wrong with the catalog, in words; nothing when it is sound. Reads the whole file.
    pub fn check(&self) -> Result<Vec<String>, CatalogError> {
        self.read(|c| {
            let mut out: Vec<String> = c
                .prepare("PRAGMA integrity_check")?
                .query_map([], |r| r.get::<_, String>(0))?
                .collect::<Result<Vec<_>, _>>()?
                .into_iter()
                .filter(|line| line != "ok")
                .collect();
            let mut statement = c.prepare("SELECT \"table\", count(*) FROM pragma_foreign_key_check GROUP BY 1")?;
            let mut rows = statement.query([])?;
            while let Some(r) = rows.next()? {
                out.push(format!(
                    "{}: {} rows point to rows that are not there",
                    r.get::<_, String>(0)?,
                    r.get::<_, i64>(1)?
                ));
            }
            for table in rowsum::all() {
                match table.broken(c)? {
                    0 => {}
                    n => out.push(format!("{}: {n} rows do not hold their checksum", table.table)),
                }
            }
            out.extend(blocks(c)?);
            out.extend(sequence(c)?);
            Ok(out)
        })
    }
}

fn blocks(c: &Connection) -> Result<Option<String>, Fault> {
    let sql = "SELECT f.blocks_sum, b.blocks FROM card_file f
               LEFT JOIN file_blocks b ON b.card_id = f.card_id AND b.relpath = f.relpath
               WHERE f.blocks_sum IS NOT NULL";
    let mut statement = c.prepare(sql)?;
    let mut rows = statement.query([])?;
    let mut broken = 0;
    while let Some(r) = rows.next()? {
        let good = match (r.get_ref(0)?, r.get_ref(1)?) {
            (ValueRef::Blob(sum), ValueRef::Blob(blocks)) => blake3::hash(blocks).as_bytes()[..] == *sum,
            _ => false,
        };
        broken += u64::from(!good);
    }
    Ok((broken > 0).then(|| format!("file_blocks: {broken} rows do not hold their checksum")))
}

fn sequence(c: &Connection) -> Result<Vec<String>, Fault> {
    let mut out = Vec::new();
    let sql = "SELECT count(*) FROM generation WHERE sequence > (SELECT sequence FROM station)";
    if c.query_row(sql, [], |r| r.get::<_, i64>(0))? > 0 {
        out.push("station: the sequence is behind that of a recorded generation".to_owned());
    }
    let sql = "SELECT c.id, c.file_count, count(f.relpath) FROM card c LEFT JOIN card_file f ON f.card_id = c.id
               GROUP BY c.id HAVING c.file_count <> count(f.relpath)";
    let mut statement = c.prepare(sql)?;
    let mut rows = statement.query([])?;
    while let Some(r) = rows.next()? {
        let (id, was, is): (String, i64, i64) = (r.get(0)?, r.get(1)?, r.get(2)?);
        out.push(format!("card {id}: {was} files were recorded, {is} rows are there"));
    }
    Ok(out)
}

/// Takes the final name only if nothing has it.
fn publish(temp: &Path, dest: &Path) -> io::Result<()> {
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
