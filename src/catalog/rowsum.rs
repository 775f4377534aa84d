//! A checksum on every evidence row. SQLite's own checks do not notice one flipped bit of a stored hash, and our
//! rows permit formatting a card.
//!
//! The sum is BLAKE3 over the table's name and the evidence columns, keys included, each as a type tag and, for text
//! and blobs, a length: no two rows have the same encoding. A new column is `added`: summed by name, and only when it is
//! there, so that rows of before keep their sums.

use super::error::Fault;
use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{Connection, OptionalExtension, Params, Row};
use std::sync::LazyLock;

pub(super) struct Sealed {
    pub table: &'static str,
    key: [&'static str; 2],
    /// The evidence columns, in the order of the sum.
    columns: Vec<&'static str>,
    /// The last of the columns, when a later migration added it; it may be NULL.
    added: Option<&'static str>,
    /// `SELECT row_sum, <columns> FROM table`: what [`Sealed::intact`] wants first in a row.
    pub select: String,
    /// The same of the row of one key.
    pub one: String,
    store: String,
    /// Of a row that keeps its key and its card: it needs no statement journal, which a row that may be new does.
    update: String,
    replace: String,
}

impl Sealed {
    fn new(table: &'static str, key: [&'static str; 2], columns: &'static str) -> Self {
        let select = format!("SELECT row_sum, {columns} FROM {table}");
        let place = format!("WHERE {} = ?1 AND {} = ?2", key[0], key[1]);
        let names: Vec<&str> = columns.split(',').map(str::trim).collect();
        let marks: String = (0..names.len()).map(|i| format!(", ?{}", i + 2)).collect();
        let numbered = || names.iter().enumerate().map(|(i, name)| (*name, i + 2));
        let (fixed, free): (Vec<_>, Vec<_>) = numbered().partition(|(n, _)| key.contains(n) || *n == "card_id");
        let sets: String = free.iter().map(|(n, i)| format!(", {n} = ?{i}")).collect();
        let same: Vec<String> = fixed.iter().map(|(n, i)| format!("{n} = ?{i}")).collect();
        Sealed {
            table,
            key,
            columns: names,
            added: None,
            one: format!("{select} {place}"),
            store: format!("UPDATE {table} SET row_sum = ?3 {place}"),
            update: format!("UPDATE {table} SET row_sum = ?1{sets} WHERE {}", same.join(" AND ")),
            replace: format!("REPLACE INTO {table} (row_sum, {columns}) VALUES (?1{marks})"),
            select,
        }
    }

    /// The last column came later.
    fn last_added(self) -> Self {
        Sealed { added: self.columns.last().copied(), ..self }
    }

    /// Where a column is in a row of [`Sealed::select`]: to look for it by name among the statement's own, once a value,
    /// takes longer than to read the value.
    pub fn at(&self, column: &str) -> usize {
        self.columns.iter().position(|c| *c == column).map_or(usize::MAX, |i| i + 1)
    }

    fn sum(&self, row: &Row<'_>) -> rusqlite::Result<[u8; 32]> {
        let mut sum = Sum::of(self);
        (1..=self.columns.len()).try_for_each(|i| row.get_ref(i).map(|value| sum.add(value)))?;
        Ok(sum.end())
    }

    /// Writes a whole row, whether or not there is one of its key: every evidence column in the order of the sum.
    pub fn put(&self, c: &Connection, values: &[&dyn rusqlite::ToSql]) -> rusqlite::Result<()> {
        let mut sum = Sum::of(self);
        for value in values {
            match value.to_sql()? {
                ToSqlOutput::Borrowed(value) => sum.add(value),
                ToSqlOutput::Owned(value) => sum.add((&value).into()),
                other => return Err(rusqlite::Error::ToSqlConversionFailure(format!("{other:?}").into())),
            }
        }
        let sum = sum.end();
        let sum: &[u8] = &sum;
        let all = || std::iter::once(&sum as &dyn rusqlite::ToSql).chain(values.iter().copied());
        if c.prepare_cached(&self.update)?.execute(rusqlite::params_from_iter(all()))? == 0 {
            c.prepare_cached(&self.replace)?.execute(rusqlite::params_from_iter(all()))?;
        }
        Ok(())
    }

    /// True when a row of [`Sealed::select`] is as it was written.
    pub fn intact(&self, row: &Row<'_>) -> rusqlite::Result<bool> {
        Ok(matches!(row.get_ref(0)?, ValueRef::Blob(stored) if stored == self.sum(row)?))
    }

    /// `None` when there is no such row.
    pub fn check(&self, c: &Connection, key: impl Params) -> rusqlite::Result<Option<bool>> {
        c.prepare_cached(&self.one)?.query_row(key, |row| self.intact(row)).optional()
    }

    /// Sums a row whose every evidence column was just written. Never call it after a change to a part of a row that
    /// was not checked before: it would bless a flipped bit in the rest.
    pub fn seal(&self, c: &Connection, key: [&dyn rusqlite::ToSql; 2]) -> rusqlite::Result<()> {
        let sum = c.prepare_cached(&self.one)?.query_row(&key[..], |row| self.sum(row))?;
        c.prepare_cached(&self.store)?.execute(rusqlite::params![key[0], key[1], &sum[..]])?;
        Ok(())
    }

    /// Changes columns of one row: `set` uses `?3` and up. A row that was broken before stays broken.
    pub fn change(
        &self,
        c: &Connection,
        key: [&dyn rusqlite::ToSql; 2],
        set: &str,
        values: &[&dyn rusqlite::ToSql],
    ) -> Result<(), Fault> {
        let Some(intact) = self.check(c, &key[..])? else {
            return Err(Fault::Unknown(format!("such row in {}", self.table)));
        };
        let sql = format!("UPDATE {} SET {set} WHERE {} = ?1 AND {} = ?2", self.table, self.key[0], self.key[1]);
        let all: Vec<&dyn rusqlite::ToSql> = key.into_iter().chain(values.iter().copied()).collect();
        c.prepare_cached(&sql)?.execute(&all[..])?;
        if intact {
            self.seal(c, key)?;
        }
        Ok(())
    }

    /// How many rows of the table do not hold their sum.
    pub fn broken(&self, c: &Connection) -> rusqlite::Result<u64> {
        let mut statement = c.prepare(&self.select)?;
        let mut rows = statement.query([])?;
        let mut broken = 0;
        while let Some(row) = rows.next()? {
            broken += u64::from(!self.intact(row)?);
        }
        Ok(broken)
    }
}

/// A row's sum in the making.
struct Sum<'a> {
    of: &'a Sealed,
    hasher: blake3::Hasher,
    columns: usize,
}

impl<'a> Sum<'a> {
    fn of(of: &'a Sealed) -> Self {
        let mut hasher = blake3::Hasher::new();
        hasher.update(of.table.as_bytes());
        Sum { of, hasher, columns: 0 }
    }

    fn add(&mut self, value: ValueRef<'_>) {
        self.columns += 1;
        if let Some(name) = self.of.added.filter(|_| self.columns == self.of.columns.len()) {
            if value == ValueRef::Null {
                return;
            }
            self.hasher.update(name.as_bytes());
        }
        let mut bytes = |tag: u8, b: &[u8]| {
            self.hasher.update(&[tag]).update(&(b.len() as u64).to_le_bytes()).update(b);
        };
        match value {
            ValueRef::Null => bytes(0, b""),
            ValueRef::Integer(n) => bytes(1, &n.to_le_bytes()),
            ValueRef::Real(n) => bytes(2, &n.to_bits().to_le_bytes()),
            ValueRef::Text(b) => bytes(3, b),
            ValueRef::Blob(b) => bytes(4, b),
        }
    }

    fn end(self) -> [u8; 32] {
        *self.hasher.finalize().as_bytes()
    }
}

pub(super) static FILE: LazyLock<Sealed> = LazyLock::new(|| {
    Sealed::new(
        "card_file",
        ["card_id", "relpath"],
        "card_id, relpath, size_bytes, mtime_ns, blake3, digests, blocks_sum, equal_reads, unstable, first_read_at, \
         last_read_at",
    )
});
pub(super) static COPY: LazyLock<Sealed> = LazyLock::new(|| {
    Sealed::new(
        "copy",
        ["copy_root_id", "relpath"],
        "copy_root_id, relpath, card_id, state, job_id, temp, size_bytes, mtime_ns, read_back, proven_at, checked_at, \
         blake3, note, written_on",
    )
    .last_added()
});
// A key of one column is given twice.
pub(super) static CARD: LazyLock<Sealed> = LazyLock::new(|| {
    Sealed::new(
        "card",
        ["id", "id"],
        "id, seq, roll, source_kind, layout, volume_id, root, source_path, disk_id, disk_text, same_device, \
         accept_server, no_source_reread, listed_twice_equal, first_seen_at, seen_at, seen_as_recorded, seen_note, \
         file_count, byte_count, warning_count",
    )
});
pub(super) static COPY_ROOT: LazyLock<Sealed> = LazyLock::new(|| {
    Sealed::new(
        "copy_root",
        ["id", "id"],
        "id, seq, card_id, volume_id, root, destination, path, disk_id, disk_text, step, hold, hold_note, sealed, \
         seen_at, seen_as_recorded, seen_note, created_at, retired_at, retired_reason",
    )
});
pub(super) static WARNING: LazyLock<Sealed> = LazyLock::new(|| {
    Sealed::new("warning", ["card_id", "id"], "card_id, id, text, raised_at, accepted_at, accepted_note")
});

pub(super) static RETIRED_COPY: LazyLock<Sealed> =
    LazyLock::new(|| Sealed::new("retired_copy", ["copy_root_id", "relpath"], "copy_root_id, relpath, reason, at"));
pub(super) static ACCEPTED_COPY: LazyLock<Sealed> = LazyLock::new(|| {
    Sealed::new("accepted_copy", ["copy_root_id", "relpath"], "copy_root_id, relpath, size_bytes, blake3, note, at")
});
pub(super) static PART_PROOF: LazyLock<Sealed> = LazyLock::new(|| {
    Sealed::new(
        "part_proof",
        ["copy_root_id", "relpath"],
        "copy_root_id, relpath, size_bytes, mtime_ns, reached_bytes, bad, begun_at, begun_on",
    )
    .last_added()
});
pub(super) static MOUNT: LazyLock<Sealed> = LazyLock::new(|| {
    Sealed::new(
        "mount",
        ["id", "id"],
        "id, volume_id, point, boot, superblock, disk, first_mount, last_mount, seen_at, ejected_at, over",
    )
});

pub(super) static DOUBT: LazyLock<Sealed> =
    LazyLock::new(|| Sealed::new("doubt", ["seq", "seq"], "seq, kind, at, station, why"));

pub(super) fn all() -> [&'static Sealed; 10] {
    [&FILE, &COPY, &CARD, &COPY_ROOT, &WARNING, &RETIRED_COPY, &ACCEPTED_COPY, &PART_PROOF, &MOUNT, &DOUBT]
}
