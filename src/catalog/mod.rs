//! **Owns** the SQLite catalog: observations, proofs, jobs and clips of one station, and all SQL.
//! **Never** decides what is safe, touches footage, or keeps a transaction open across other work.
//! **Flow** `Catalog::open` migrates and checks; each write is one IMMEDIATE transaction, durable when it returns.
//! **Tests** beside each file; what holds across files is in `tests.rs`, damaged files are in `flips.rs`.

mod audit;
mod backup;
mod cards;
mod clips;
mod custody;
mod doubt;
mod due;
mod error;
mod evidence;
mod findings;
#[cfg(test)]
mod flips;
mod frames;
mod jobs;
mod made;
mod marks;
mod mounts;
mod notices;
mod partial;
mod passes;
mod places;
mod record;
mod regroup;
mod repairs;
mod restore;
mod retired;
mod rowsum;
mod schema;
mod search;
mod show;
mod source;
#[cfg(test)]
mod tests;
mod told;
mod warnings;

pub use audit::{SqlRows, sql};
pub use backup::BackupName;
pub use cards::{CardRow, NewCard};
pub use clips::{ClipRow, Tag};
pub use custody::{Act, LogRow, Signed};
pub use doubt::{Head, PutBack};
pub use due::{DueFilter, DueRow};
pub use error::CatalogError;
pub use jobs::JobRow;
pub use marks::{Mark, Seen};
pub use mounts::Ejection;
pub use notices::{NOTICE_RUNS, NoticeRow};
pub use passes::{DiskRead, Holding};
pub use places::{CopyRootRow, NewCopyRoot, VolumeRow, VolumeSeen};
pub use record::{CopyRow, FileRow, Proof};
pub use repairs::{Holder, RepairRow};
pub use restore::{BackupInfo, Lost, Restored, begin_anew, restore, still_told};
pub use retired::AcceptedCopy;
pub use search::{Found, asks_safe};
pub use show::ClipFull;

use crate::evidence::{Disk, Presence};
use crate::relpath::RelPath;
use error::Fault;
use jiff::Timestamp;
use rusqlite::types::Type;
use rusqlite::{Connection, Row, RowIndex, Transaction, TransactionBehavior};
use std::cell::Cell;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// One station's catalog. A `Catalog` is one connection: give each thread its own.
#[derive(Debug)]
pub struct Catalog {
    conn: Connection,
    path: PathBuf,
    read_only: bool,
    signed: Signed,
    spent: Cell<Duration>,
}

/// A transaction that knows who writes.
struct Tx<'a> {
    tx: Transaction<'a>,
    signed: &'a Signed,
}

impl std::ops::Deref for Tx<'_> {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        &self.tx
    }
}

impl Catalog {
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Names the person (`user@host`) and the program in every row of the custody log that is written from now on.
    pub fn signed(mut self, who: &str, version: &str) -> Self {
        self.signed = Signed { who: who.into(), version: version.into() };
        self
    }

    /// How long this connection was waited for: its opening, and every read and write since.
    pub fn time_spent(&self) -> Duration {
        self.spent.get()
    }

    /// Rises with every write. A lower number than one that was seen elsewhere: this catalog was rolled back.
    pub fn sequence(&self) -> Result<u64, CatalogError> {
        self.read(|c| Ok(c.query_row("SELECT sequence FROM station", [], |r| r.get::<_, i64>(0))? as u64))
    }

    /// Names this catalog, in evidence files beside copies.
    pub fn station_id(&self) -> Result<String, CatalogError> {
        self.read(|c| Ok(c.query_row("SELECT id FROM station", [], |r| r.get(0))?))
    }

    /// One IMMEDIATE transaction: all of `work`, or nothing.
    fn write<T>(&mut self, work: impl FnOnce(&Tx<'_>) -> Result<T, Fault>) -> Result<T, CatalogError> {
        if self.read_only {
            return Err(Fault::Refused("it is open for reading only".into()).at(&self.path));
        }
        let begun = Instant::now();
        let done = (|| {
            let tx = self.conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let tx = Tx { tx, signed: &self.signed };
            tx.prepare_cached("UPDATE station SET sequence = sequence + 1")?.execute([])?;
            let out = work(&tx)?;
            tx.tx.commit()?;
            Ok(out)
        })();
        self.spent.set(self.spent.get() + begun.elapsed());
        done.map_err(|fault: Fault| {
            let error = fault.at(&self.path);
            // After a failed write or sync nothing that this connection holds in memory can be relied on.
            if matches!(error, CatalogError::Io { .. })
                && let Ok(fresh) = schema::connect(&self.path)
            {
                self.conn = fresh;
            }
            error
        })
    }

    /// One snapshot for all reads in `work`, which are cheaper so.
    pub fn together<T, E: From<CatalogError>>(&self, work: impl FnOnce() -> Result<T, E>) -> Result<T, E> {
        let begun = Instant::now();
        let tx = self.conn.unchecked_transaction().map_err(|e| Fault::from(e).at(&self.path));
        self.spent.set(self.spent.get() + begun.elapsed());
        let _tx = tx?;
        work()
    }

    /// One snapshot for all of `work`.
    fn read<T>(&self, work: impl FnOnce(&Connection) -> Result<T, Fault>) -> Result<T, CatalogError> {
        let begun = Instant::now();
        let done = (|| {
            let _tx = self.conn.is_autocommit().then(|| self.conn.unchecked_transaction()).transpose()?;
            work(&self.conn)
        })();
        self.spent.set(self.spent.get() + begun.elapsed());
        done.map_err(|fault: Fault| fault.at(&self.path))
    }
}

/// A new id that sorts by `now`; random beyond that.
fn new_id(now: Timestamp) -> uuid::Uuid {
    let seconds = u64::try_from(now.as_second()).unwrap_or(0);
    let nanos = now.subsec_nanosecond().unsigned_abs();
    uuid::Uuid::new_v7(uuid::Timestamp::from_unix(uuid::NoContext, seconds, nanos))
}

/// Always three digits of a second: only so is text order time order.
fn text_of(at: Timestamp) -> String {
    format!("{at:.3}")
}

fn int(n: u64) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

fn bad(row: &Row<'_>, column: impl RowIndex, kind: Type) -> rusqlite::Error {
    let index = column.idx(row.as_ref()).unwrap_or(0);
    let name = row.as_ref().column_name(index).unwrap_or("?");
    rusqlite::Error::FromSqlConversionFailure(index, kind, format!("no value that column {name} may hold").into())
}

fn parsed<T>(row: &Row<'_>, column: impl RowIndex + Copy, read: impl FnOnce(&str) -> Option<T>) -> rusqlite::Result<T> {
    let text = row.get_ref(column)?.as_str().map_err(|_| bad(row, column, Type::Text))?;
    read(text).ok_or_else(|| bad(row, column, Type::Text))
}

fn relpath(row: &Row<'_>, column: impl RowIndex + Copy) -> rusqlite::Result<RelPath> {
    let bytes = row.get_ref(column)?.as_blob().map_err(|_| bad(row, column, Type::Blob))?;
    RelPath::new(bytes).map_err(|_| bad(row, column, Type::Blob))
}

fn time(row: &Row<'_>, column: impl RowIndex + Copy) -> rusqlite::Result<Timestamp> {
    parsed(row, column, |t| t.parse().ok())
}

fn maybe_time(row: &Row<'_>, column: impl RowIndex + Copy) -> rusqlite::Result<Option<Timestamp>> {
    if row.get_ref(column)? == rusqlite::types::ValueRef::Null { Ok(None) } else { time(row, column).map(Some) }
}

fn natural(row: &Row<'_>, column: impl RowIndex + Copy) -> rusqlite::Result<u64> {
    u64::try_from(row.get::<_, i64>(column)?).map_err(|_| bad(row, column, Type::Integer))
}

fn disk(row: &Row<'_>) -> rusqlite::Result<Disk> {
    Ok(Disk { id: row.get("disk_id")?, text: row.get("disk_text")? })
}

/// The stored last observation of a card or a copy's folder.
fn presence(at: Option<Timestamp>, as_recorded: bool, note: Option<&str>) -> Presence {
    match at {
        None => Presence::Never,
        Some(at) if as_recorded => Presence::AsRecorded { at, here_now: false },
        Some(at) => Presence::Differs { at, what: note.unwrap_or("not as recorded").lines().map(Into::into).collect() },
    }
}
