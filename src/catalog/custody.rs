//! The custody log: who read, wrote, proved, found or repaired what, when, on which device, with which program.
//!
//! A row is written in the transaction of the evidence that it speaks of. Its hash is BLAKE3 over the hash of the row
//! before and its own fields, each with a type tag and a length; the station row holds the number and the hash of the
//! last. So an edited, removed or inserted row breaks the chain, and a tail that was cut off does not fit the station.

use super::error::{CatalogError, Fault};
use super::{Catalog, Tx, text_of};
use crate::clip::{CardId, CopyRootId, JobId};
use crate::relpath::RelPath;
use jiff::Timestamp;
use rusqlite::types::ValueRef;
use rusqlite::{Connection, OptionalExtension, Row, params};

/// Who writes, for every row of one connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signed {
    /// `user@host`
    pub who: String,
    pub version: String,
}

impl Default for Signed {
    fn default() -> Self {
        Signed { who: "unknown".into(), version: env!("CARGO_PKG_VERSION").into() }
    }
}

/// What was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    Read,
    Wrote,
    Proved,
    Found,
    Repaired,
    Sealed,
    Accepted,
    Retired,
    Ejected,
    Job,
    Note,
}

impl Act {
    pub fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Wrote => "wrote",
            Self::Proved => "proved",
            Self::Found => "found",
            Self::Repaired => "repaired",
            Self::Sealed => "sealed",
            Self::Accepted => "accepted",
            Self::Retired => "retired",
            Self::Ejected => "ejected",
            Self::Job => "job",
            Self::Note => "note",
        }
    }
}

/// One row of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogRow {
    pub seq: u64,
    pub at: Timestamp,
    pub who: String,
    pub version: String,
    pub act: String,
    pub job: Option<JobId>,
    pub device: Option<String>,
    pub relpath: Option<RelPath>,
    pub text: String,
    pub hash: Vec<u8>,
}

/// A row to be.
#[derive(Clone, Debug)]
pub(super) struct Entry<'a> {
    pub act: Act,
    pub card: Option<CardId>,
    pub job: Option<JobId>,
    pub root: Option<CopyRootId>,
    pub relpath: Option<&'a RelPath>,
    pub text: &'a str,
}

impl<'a> Entry<'a> {
    pub fn of_card(act: Act, card: CardId, text: &'a str) -> Self {
        Entry { act, card: Some(card), job: None, root: None, relpath: None, text }
    }
}

impl Catalog {
    /// The custody log of a card, in the order of the events, whatever the clock said.
    pub fn custody(&self, card: CardId) -> Result<Vec<LogRow>, CatalogError> {
        self.read(|c| {
            let mut statement = c.prepare("SELECT * FROM custody WHERE card_id = ?1 ORDER BY seq")?;
            Ok(statement.query_map([card.to_string()], log_row)?.collect::<Result<_, _>>()?)
        })
    }

    /// Number and hash of the last row; `None` while there is none.
    pub fn custody_head(&self) -> Result<Option<(u64, Vec<u8>)>, CatalogError> {
        self.read(|c| {
            let (rows, hash) = head(c)?;
            Ok(hash.map(|h| (rows as u64, h)))
        })
    }
}

fn log_row(r: &Row<'_>) -> rusqlite::Result<LogRow> {
    let job: Option<String> = r.get("job_id")?;
    let relpath: Option<Vec<u8>> = r.get("relpath")?;
    Ok(LogRow {
        seq: super::natural(r, "seq")?,
        at: super::time(r, "at")?,
        who: r.get("who")?,
        version: r.get("version")?,
        act: r.get("act")?,
        job: job.and_then(|j| JobId::parse(&j)),
        device: r.get("device")?,
        relpath: relpath.and_then(|p| RelPath::new(p).ok()),
        text: r.get("text")?,
        hash: r.get("hash")?,
    })
}

fn head(c: &Connection) -> rusqlite::Result<(i64, Option<Vec<u8>>)> {
    c.prepare_cached("SELECT custody_rows, custody_hash FROM station")?.query_row([], |r| Ok((r.get(0)?, r.get(1)?)))
}

pub(super) fn add(tx: &Tx<'_>, entry: &Entry<'_>, now: Timestamp) -> Result<(), Fault> {
    let device: Option<String> = match entry.root {
        Some(root) => {
            let sql = "SELECT disk_text FROM copy_root WHERE id = ?1";
            tx.prepare_cached(sql)?.query_row([root.to_string()], |r| r.get(0)).optional()?
        }
        None => None,
    };
    add_on(tx, entry, device.as_deref(), now)
}

/// On a device that the row's folder alone does not tell.
pub(super) fn add_on(tx: &Tx<'_>, entry: &Entry<'_>, device: Option<&str>, now: Timestamp) -> Result<(), Fault> {
    insert(tx, entry, device, (&text_of(now), &tx.signed.who, &tx.signed.version))
}

/// `signed`: time, who, version.
fn insert(c: &Connection, entry: &Entry<'_>, device: Option<&str>, signed: (&str, &str, &str)) -> Result<(), Fault> {
    let (rows, last) = head(c)?;
    let seq = rows + 1;
    let (card, job) = (entry.card.map(|c| c.to_string()), entry.job.map(|j| j.to_string()));
    let (root, relpath) = (entry.root.map(|r| r.to_string()), entry.relpath.map(RelPath::as_bytes));
    let text = |t: &'_ Option<String>| t.clone().map_or(rusqlite::types::Value::Null, rusqlite::types::Value::Text);
    let fields: [rusqlite::types::Value; 11] = [
        seq.into(),
        signed.0.to_owned().into(),
        signed.1.to_owned().into(),
        signed.2.to_owned().into(),
        entry.act.name().to_owned().into(),
        text(&card),
        text(&job),
        text(&root),
        text(&device.map(str::to_owned)),
        relpath.map_or(rusqlite::types::Value::Null, |p| p.to_vec().into()),
        entry.text.to_owned().into(),
    ];
    let hash = chained(last.as_deref(), fields.iter().map(ValueRef::from));
    let sql =
        "INSERT INTO custody (seq, at, who, version, act, card_id, job_id, copy_root_id, device, relpath, text, hash)
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)";
    let hash_value = rusqlite::types::Value::Blob(hash.to_vec());
    c.prepare_cached(sql)?.execute(rusqlite::params_from_iter(fields.iter().chain([&hash_value])))?;
    c.prepare_cached("UPDATE station SET custody_rows = ?1, custody_hash = ?2")?.execute(params![seq, &hash[..]])?;
    Ok(())
}

const FIELDS: &str = "seq, at, who, version, act, card_id, job_id, copy_root_id, device, relpath, text";

fn chained<'a>(last: Option<&[u8]>, fields: impl Iterator<Item = ValueRef<'a>>) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new();
    hasher.update(b"custody").update(last.unwrap_or(&[0; 32]));
    for value in fields {
        let (tag, bytes) = match value {
            ValueRef::Null => (0, Vec::new()),
            ValueRef::Integer(n) => (1, n.to_le_bytes().to_vec()),
            ValueRef::Real(n) => (2, n.to_bits().to_le_bytes().to_vec()),
            ValueRef::Text(b) => (3, b.to_vec()),
            ValueRef::Blob(b) => (4, b.to_vec()),
        };
        hasher.update(&[tag]).update(&(bytes.len() as u64).to_le_bytes()).update(&bytes);
    }
    *hasher.finalize().as_bytes()
}

/// What is wrong with the log, in words.
pub(super) fn check(c: &Connection) -> Result<Vec<String>, Fault> {
    let mut out = Vec::new();
    let (rows, known) = head(c)?;
    let mut statement = c.prepare(&format!("SELECT hash, {FIELDS} FROM custody ORDER BY seq"))?;
    let mut found = statement.query([])?;
    let (mut next, mut last): (i64, Option<Vec<u8>>) = (1, None);
    while let Some(r) = found.next()? {
        let seq: i64 = r.get("seq")?;
        let hash: Vec<u8> = r.get(0)?;
        if seq != next {
            out.push(format!("custody: row {next} and {} more are not there", seq - next - 1));
        } else {
            let fields = (1..=FIELDS.split(',').count()).map(|i| r.get_ref(i)).collect::<Result<Vec<_>, _>>()?;
            if chained(last.as_deref(), fields.into_iter())[..] != hash[..] {
                out.push(format!("custody: row {seq} is not as it was written"));
            }
        }
        (next, last) = (seq + 1, Some(hash));
    }
    if next - 1 < rows {
        out.push(format!("custody: {} rows at its end are not there", rows - next + 1));
    } else if next - 1 > rows || last != known {
        out.push("custody: its end is not the one that the station knows".into());
    }
    Ok(out)
}

/// What the log of jobs held before there was this one.
pub(super) fn take_over(c: &Connection) -> rusqlite::Result<()> {
    let mut statement = c.prepare("SELECT at, card_id, job_id, text FROM job_log ORDER BY seq")?;
    let mut rows = statement.query([])?;
    while let Some(r) = rows.next()? {
        let (at, text): (String, String) = (r.get(0)?, r.get(3)?);
        let (card, job): (Option<String>, Option<String>) = (r.get(1)?, r.get(2)?);
        let entry = Entry {
            act: Act::Note,
            card: card.and_then(|c| CardId::parse(&c)),
            job: job.and_then(|j| JobId::parse(&j)),
            root: None,
            relpath: None,
            text: &text,
        };
        insert(c, &entry, None, (&at, "", "")).map_err(|_| rusqlite::Error::ExecuteReturnedResults)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::catalog::Catalog;
    use crate::catalog::tests::{Station, at};

    /// A log of four rows, and what a hand at the file did to it.
    fn after(sql: &str) -> Vec<String> {
        let mut s = Station::offloaded();
        assert!(s.cat.check().unwrap().is_empty());
        for n in 0..3 {
            s.cat.log(s.card, None, &format!("line {n}"), at(n)).unwrap();
        }
        let forced = format!("DROP TRIGGER custody_kept; DROP TRIGGER custody_unchanged; {sql}");
        s.cat.conn.execute_batch(&forced).unwrap();
        let said = s.cat.check().unwrap();
        said.into_iter().filter(|l| l.starts_with("custody")).collect()
    }

    #[test]
    fn rows_can_be_added_and_nothing_else() {
        let s = Station::offloaded();
        for sql in ["DELETE FROM custody", "UPDATE custody SET text = 'x'", "UPDATE custody SET seq = 99 WHERE seq = 1"]
        {
            let said = s.cat.conn.execute(sql, []).unwrap_err().to_string();
            assert!(said.contains("only added to"), "{sql}: {said}");
        }
    }

    #[test]
    fn an_edited_removed_inserted_or_cut_off_row_is_found() {
        let last = "(SELECT max(seq) FROM custody)";
        for (sql, said) in [
            ("UPDATE custody SET text = 'nothing happened' WHERE seq = 2".to_owned(), "row 2 is not as it was written"),
            ("UPDATE custody SET who = 'somebody' WHERE seq = 1".to_owned(), "row 1 is not as it was written"),
            ("DELETE FROM custody WHERE seq = 2".to_owned(), "row 2 and 0 more are not there"),
            (format!("DELETE FROM custody WHERE seq > {last} - 2"), "2 rows at its end are not there"),
            ("DELETE FROM custody".to_owned(), "rows at its end are not there"),
            (
                format!(
                    "INSERT INTO custody SELECT seq + 1, at, who, version, act, card_id, job_id, copy_root_id, device, \
                     relpath, text, hash FROM custody WHERE seq = {last}"
                ),
                "is not as it was written",
            ),
            ("UPDATE station SET custody_rows = custody_rows - 1".to_owned(), "its end is not the one"),
            ("UPDATE station SET custody_hash = zeroblob(32)".to_owned(), "its end is not the one"),
        ] {
            let found = after(&sql);
            assert!(found.iter().any(|l| l.contains(said)), "{sql}: {found:?}");
        }
        assert!(after("").is_empty());
    }

    #[test]
    fn a_row_says_who_wrote_it_with_which_program() {
        let s = Station::offloaded();
        let path = s.cat.path().to_path_buf();
        let mut cat = Catalog::open(&path).unwrap().signed("loader@cart1", "9.9");
        cat.log(s.card, None, "hello", at(1)).unwrap();
        let row = cat.custody(s.card).unwrap().pop().unwrap();
        assert_eq!((row.who.as_str(), row.version.as_str(), row.text.as_str()), ("loader@cart1", "9.9", "hello"));
        assert_eq!(cat.custody_head().unwrap().unwrap(), (row.seq, row.hash));
    }
}
