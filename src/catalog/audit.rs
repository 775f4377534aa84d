//! Reading the catalog from outside: people's own SQL, and the check of the catalog itself.

use super::error::{CatalogError, Fault, of_sqlite};
use super::{Catalog, custody, doubt, places, record, rowsum, schema};
use rusqlite::Connection;
use rusqlite::hooks::{AuthAction, AuthContext, Authorization};
use rusqlite::limits::Limit;
use rusqlite::types::ValueRef;
use serde::Serialize;
use serde_json::Value;
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
            // FTS5 asks it before it reads its index.
            AuthAction::Pragma { pragma_name: "data_version", .. } => Authorization::Allow,
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
    /// What is wrong with the catalog, in words; nothing when it is sound. Reads the whole file.
    pub fn check(&self) -> Result<Vec<String>, CatalogError> {
        self.read(problems)
    }
}

/// Of a catalog of this program's schema.
pub(super) fn problems(c: &Connection) -> Result<Vec<String>, Fault> {
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
        out.push(format!("{}: {} rows point to rows that are not there", r.get::<_, String>(0)?, r.get::<_, i64>(1)?));
    }
    for table in rowsum::all() {
        match table.broken(c)? {
            0 => {}
            n => out.push(format!("{}: {n} rows do not hold their checksum", table.table)),
        }
    }
    let lost: i64 = c.query_row(&format!("SELECT count(*) FROM ({})", record::LOST_COPIES), [], |r| r.get(0))?;
    if lost > 0 {
        out.push(format!("copy: {lost} rows of sealed copies are not there"));
    }
    match places::broken_generations(c)? {
        0 => {}
        n => out.push(format!("generation: {n} rows are not as the custody log has them")),
    }
    out.extend(blocks(c)?);
    out.extend(sequence(c)?);
    if !doubt::latest(c)?.1 {
        out.push("doubt: what is known of the catalog being put back is not whole".into());
    }
    out.extend(custody::check(c)?);
    Ok(out)
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::tests::{CLIP, Station};
    use serde_json::json;

    fn asked(s: &Station, text: &str) -> Result<SqlRows, CatalogError> {
        sql(s.cat.path(), text)
    }

    #[test]
    fn the_views_answer_peoples_own_sql() {
        let s = Station::offloaded();
        let found = asked(&s, "SELECT roll, files, bytes FROM cards; -- done").unwrap();
        assert_eq!(found.columns, ["roll", "files", "bytes"]);
        assert_eq!(found.rows, [vec![json!("A001"), json!(2), json!(10_000_000)]]);
        let found =
            asked(&s, "WITH c AS (SELECT path FROM copies WHERE relpath LIKE '%.MOV') SELECT * FROM c ORDER BY path")
                .unwrap();
        assert_eq!(found.rows.len(), 2);
        assert_eq!(found.rows[0][0], json!(format!("/mnt/a/A001/{CLIP}")));
        for text in [
            "select * from clips",
            "SELECT * FROM files",
            "SELECT * FROM problems",
            "SELECT * FROM reverify_due",
            "SELECT * FROM proxies",
            "SELECT * FROM schema_doc",
            "SELECT * FROM custody_log",
            "EXPLAIN QUERY PLAN SELECT * FROM copies",
            "SELECT rowid FROM clip_fts WHERE clip_fts MATCH 'a001'",
        ] {
            asked(&s, text).unwrap_or_else(|e| panic!("{text}: {e}"));
        }
    }

    #[test]
    fn nothing_but_one_reading_statement_is_answered() {
        let s = Station::offloaded();
        for text in [
            "",
            "DELETE FROM copy",
            "UPDATE copy SET state = 'proven'",
            "WITH x AS (SELECT 1) DELETE FROM copy",
            "EXPLAIN DELETE FROM copy",
            "SELECT 1; SELECT 2",
            "SELECT 1; DELETE FROM copy",
            "PRAGMA journal_mode = DELETE",
            "ATTACH '/tmp/x.db' AS x",
            "VACUUM INTO '/tmp/x.db'",
            "SELECT load_extension('x')",
            "BEGIN",
            "SELECT * FROM pragma_journal_mode('delete')",
            "SELECT FROM WHERE",
        ] {
            assert!(asked(&s, text).is_err(), "{text}");
        }
        assert!(s.cat.check().unwrap().is_empty());
        assert_eq!(s.cat.copies(s.roots[0]).unwrap().len(), 2);
    }

    #[test]
    fn an_endless_query_ends() {
        let s = Station::new();
        let endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n";
        let start = Instant::now();
        let said = run(s.cat.path(), endless, Duration::from_millis(50)).unwrap_err().to_string();
        assert!(said.contains("longer than"), "{said}");
        assert!(start.elapsed() < LIMIT);
    }

    #[test]
    fn a_large_answer_is_capped() {
        let s = Station::new();
        let many = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 20000) SELECT i FROM n";
        let found = asked(&s, many).unwrap();
        assert_eq!((found.rows.len(), found.is_capped), (ROWS, true));
        assert!(asked(&s, "SELECT zeroblob(1000000000)").is_err());
        assert_eq!(asked(&s, "SELECT X'0aff', 1e999").unwrap().rows, [vec![json!("0aff"), json!("inf")]]);
    }

    #[test]
    fn a_station_behind_its_own_generations_is_noticed() {
        use crate::digest::{Digest, HashFormat};
        let mut s = Station::offloaded();
        let c4 = Digest::new(HashFormat::C4, vec![3; 64]).unwrap();
        let manifest = crate::relpath::RelPath::new("ascmhl/1.mhl").unwrap();
        let generation = crate::copy::Generation { number: 1, manifest, c4 };
        s.cat.add_generation(s.roots[0], &generation, crate::catalog::tests::at(1)).unwrap();
        assert!(s.cat.check().unwrap().is_empty());
        s.cat.conn.execute("UPDATE station SET sequence = 1", []).unwrap();
        assert_eq!(s.cat.check().unwrap().len(), 1);
    }

    #[test]
    fn broken_links_between_rows_are_noticed() {
        let s = Station::offloaded();
        s.cat.conn.execute_batch("PRAGMA foreign_keys = OFF; DELETE FROM clip").unwrap();
        let said = s.cat.check().unwrap();
        assert!(said.iter().any(|l| l.starts_with("clip_file")), "{said:?}");
    }
}
