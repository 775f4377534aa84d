//! Copies that are meant to be gone, and copies that a person changed on purpose. Neither deletes nor proves anything.

use super::custody::{self, Act, Entry};
use super::error::{CatalogError, Fault};
use super::record::{card_of, copy, fail};
use super::rowsum::{ACCEPTED_COPY, RETIRED_COPY};
use super::{Catalog, findings, int, natural, places, relpath, text_of};
use crate::clip::CopyRootId;
use crate::copy::CopyState;
use crate::relpath::RelPath;
use jiff::Timestamp;
use rusqlite::{Connection, Row, params};

/// Bytes that a person accepted in place of the card's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AcceptedCopy {
    pub relpath: RelPath,
    pub size_bytes: u64,
    pub blake3: [u8; 32],
    pub note: String,
}

/// In a query of copies `y`: the ones that are not retired one by one.
pub(super) const COUNTED: &str =
    "NOT EXISTS (SELECT 1 FROM retired_copy x WHERE x.copy_root_id = y.copy_root_id AND x.relpath = y.relpath)";

impl Catalog {
    /// The folder is meant to be gone: it counts nowhere any more. Nothing is deleted.
    pub fn retire_copy_root(&mut self, id: CopyRootId, reason: &str, now: Timestamp) -> Result<(), CatalogError> {
        self.write(|tx| {
            places::change(tx, id, "retired_at = ?3, retired_reason = ?4", params![text_of(now), reason])?;
            let card = card_of(tx, id)?;
            let text = format!("the copy is meant to be gone: {reason}");
            custody::add(tx, &Entry { root: Some(id), ..Entry::of_card(Act::Retired, card, &text) }, now)
        })
    }

    /// Single copies in a folder are meant to be gone. One that is retired already keeps its first reason.
    pub fn retire_copies(
        &mut self,
        root: CopyRootId,
        paths: &[RelPath],
        reason: &str,
        now: Timestamp,
    ) -> Result<(), CatalogError> {
        self.write(|tx| {
            let card = card_of(tx, root)?;
            let key = root.to_string();
            for path in paths {
                copy(tx, root, path)?.ok_or_else(|| Fault::Unknown(format!("copy of \"{path}\" in folder {root}")))?;
                let sql =
                    "INSERT OR IGNORE INTO retired_copy (copy_root_id, relpath, reason, at) VALUES (?1, ?2, ?3, ?4)";
                if tx.prepare_cached(sql)?.execute(params![key, path.as_bytes(), reason, text_of(now)])? == 0 {
                    continue;
                }
                RETIRED_COPY.seal(tx, [&key, &path.as_bytes()])?;
                findings::clear(tx, root, path, now)?;
            }
            let text = match paths {
                [one] => format!("\"{one}\" is meant to be gone: {reason}"),
                many => format!("{} files are meant to be gone: {reason}", many.len()),
            };
            let relpath = paths.first().filter(|_| paths.len() == 1);
            custody::add(tx, &Entry { root: Some(root), relpath, ..Entry::of_card(Act::Retired, card, &text) }, now)
        })
    }

    /// Single copies that are meant to be gone, in byte order of the paths. A row that does not hold its sum retires
    /// nothing.
    pub fn retired_copies(&self, root: CopyRootId) -> Result<Vec<RelPath>, CatalogError> {
        self.read(|c| {
            let sql = format!("{} WHERE copy_root_id = ?1 ORDER BY relpath", RETIRED_COPY.select);
            let read = |r: &Row<'_>| Ok((relpath(r, "relpath")?, RETIRED_COPY.intact(r)?));
            let all: Vec<(RelPath, bool)> =
                c.prepare_cached(&sql)?.query_map([root.to_string()], read)?.collect::<Result<_, _>>()?;
            Ok(all.into_iter().filter(|(_, intact)| *intact).map(|(path, _)| path).collect())
        })
    }

    /// A person says that the copy was changed on purpose. Its row stays what it is, unproven; its findings end, and what
    /// differs from these bytes too is found again.
    pub fn accept_copy(&mut self, root: CopyRootId, as_is: &AcceptedCopy, now: Timestamp) -> Result<(), CatalogError> {
        self.write(|tx| {
            let (key, path) = (root.to_string(), as_is.relpath.as_bytes());
            let sql = "INSERT INTO accepted_copy (copy_root_id, relpath, size_bytes, blake3, note, at)
                       VALUES (?1, ?2, ?3, ?4, ?5, ?6)
                       ON CONFLICT (copy_root_id, relpath) DO UPDATE SET size_bytes = ?3, blake3 = ?4, note = ?5, at = ?6";
            let values = params![key, path, int(as_is.size_bytes), &as_is.blake3[..], as_is.note, text_of(now)];
            tx.execute(sql, values)?;
            ACCEPTED_COPY.seal(tx, [&key, &path])?;
            let card = card_of(tx, root)?;
            let state = format!("changed on purpose: {}", as_is.note);
            fail(tx, card, root, &as_is.relpath, CopyState::Failed, &state)?;
            findings::clear(tx, root, &as_is.relpath, now)?;
            let hash = crate::digest::hex(&as_is.blake3);
            let text = format!("\"{}\" was changed on purpose: {}; it is now {hash}", as_is.relpath, as_is.note);
            let relpath = Some(&as_is.relpath);
            custody::add(tx, &Entry { root: Some(root), relpath, ..Entry::of_card(Act::Accepted, card, &text) }, now)
        })
    }

    pub fn accepted_copies(&self, root: CopyRootId) -> Result<Vec<AcceptedCopy>, CatalogError> {
        self.read(|c| {
            let sql = format!("{} WHERE copy_root_id = ?1 ORDER BY relpath", ACCEPTED_COPY.select);
            let mut statement = c.prepare_cached(&sql)?;
            let mut rows = statement.query([root.to_string()])?;
            let mut out = Vec::new();
            while let Some(r) = rows.next()? {
                if ACCEPTED_COPY.intact(r)? {
                    out.push(accepted(r)?);
                }
            }
            Ok(out)
        })
    }
}

fn accepted(r: &Row<'_>) -> rusqlite::Result<AcceptedCopy> {
    let blake3: Vec<u8> = r.get("blake3")?;
    Ok(AcceptedCopy {
        relpath: relpath(r, "relpath")?,
        size_bytes: natural(r, "size_bytes")?,
        blake3: blake3.try_into().unwrap_or_default(),
        note: r.get("note")?,
    })
}

/// Proven again as the card's own bytes: nothing is left to accept.
pub(super) fn forget_accepted(c: &Connection, root: CopyRootId, path: &RelPath) -> Result<(), Fault> {
    let sql = "DELETE FROM accepted_copy WHERE copy_root_id = ?1 AND relpath = ?2";
    c.prepare_cached(sql)?.execute(params![root.to_string(), path.as_bytes()])?;
    Ok(())
}

/// Copied there anew: it counts again.
pub(super) fn unretire(c: &Connection, root: CopyRootId, path: &RelPath) -> Result<(), Fault> {
    let sql = "DELETE FROM retired_copy WHERE copy_root_id = ?1 AND relpath = ?2";
    c.prepare_cached(sql)?.execute(params![root.to_string(), path.as_bytes()])?;
    Ok(())
}
