//! What verifications saw and nobody has cleared yet.

use super::error::{CatalogError, Fault};
use super::{Catalog, frames, parsed, relpath, text_of};
use crate::clip::{CardId, CopyRootId};
use crate::finding::{Finding, FindingKind};
use crate::relpath::RelPath;
use jiff::Timestamp;
use rusqlite::{Connection, Row, params};

impl Catalog {
    /// Findings of the card and its copies, oldest first. Those of a retired copy are no longer open.
    pub fn open_findings(&self, card: CardId) -> Result<Vec<Finding>, CatalogError> {
        self.read(|c| open(c, card, None))
    }

    /// Those of one of its copies.
    pub fn open_findings_in(&self, card: CardId, copy: CopyRootId) -> Result<Vec<Finding>, CatalogError> {
        self.read(|c| open(c, card, Some(copy)))
    }

    /// For what is no copy of a card file: an extra file, a manifest, the card itself.
    pub fn add_finding(
        &mut self,
        card: CardId,
        copy: Option<CopyRootId>,
        finding: &Finding,
        now: Timestamp,
    ) -> Result<(), CatalogError> {
        self.write(|tx| add(tx, card, copy, finding, now))
    }

    pub fn clear_findings(&mut self, copy: CopyRootId, relpath: &RelPath, now: Timestamp) -> Result<(), CatalogError> {
        self.write(|tx| clear(tx, copy, relpath, now))
    }

    /// For findings of the card itself, such as an unstable file that was settled.
    pub fn clear_card_findings(&mut self, card: CardId, relpath: &RelPath, now: Timestamp) -> Result<(), CatalogError> {
        self.write(|tx| {
            let sql = "UPDATE finding SET cleared_at = ?3
                       WHERE card_id = ?1 AND relpath = ?2 AND copy_root_id IS NULL AND cleared_at IS NULL";
            tx.execute(sql, params![card.to_string(), relpath.as_bytes(), text_of(now)])?;
            Ok(())
        })
    }
}

pub(super) fn clear(c: &Connection, copy: CopyRootId, relpath: &RelPath, now: Timestamp) -> Result<(), Fault> {
    let sql = "UPDATE finding SET cleared_at = ?3
               WHERE card_id = (SELECT card_id FROM copy_root WHERE id = ?1) AND copy_root_id = ?1 AND relpath = ?2
                     AND cleared_at IS NULL";
    c.prepare_cached(sql)?.execute(params![copy.to_string(), relpath.as_bytes(), text_of(now)])?;
    Ok(())
}

/// The same thing seen again replaces what was noted of it before.
pub(super) fn add(
    c: &Connection,
    card: CardId,
    copy: Option<CopyRootId>,
    finding: &Finding,
    now: Timestamp,
) -> Result<(), Fault> {
    let (card, copy) = (card.to_string(), copy.map(|c| c.to_string()));
    let path = finding.relpath.as_bytes();
    let sql = "UPDATE finding SET cleared_at = ?5 WHERE card_id = ?1 AND copy_root_id IS ?2 AND kind = ?3
               AND relpath = ?4 AND cleared_at IS NULL";
    c.prepare_cached(sql)?.execute(params![card, copy, finding.kind.name(), path, text_of(now)])?;
    let blocks = serde_json::to_string(&finding.blocks).unwrap_or_else(|_| "[]".into());
    c.prepare_cached(
        "INSERT INTO finding (card_id, copy_root_id, kind, relpath, relpath_text, copy_path, blocks, mtime_changed,
                              timecode, note, seen_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
    )?
    .execute(params![
        card,
        copy,
        finding.kind.name(),
        path,
        finding.relpath.text(),
        finding.copy,
        blocks,
        finding.mtime_changed,
        finding.timecode,
        finding.note,
        text_of(now)
    ])?;
    Ok(())
}

pub(super) fn open(c: &Connection, card: CardId, copy: Option<CopyRootId>) -> Result<Vec<Finding>, Fault> {
    let sql = "SELECT f.* FROM finding f LEFT JOIN copy_root r ON r.id = f.copy_root_id
               WHERE f.card_id = ?1 AND f.cleared_at IS NULL AND r.retired_at IS NULL
                 AND (?2 IS NULL OR f.copy_root_id = ?2)
                 AND NOT EXISTS (SELECT 1 FROM retired_copy x
                                 WHERE x.copy_root_id = f.copy_root_id AND x.relpath = f.relpath)
               ORDER BY f.id";
    let values = params![card.to_string(), copy.map(|c| c.to_string())];
    let found = c.prepare_cached(sql)?.query_map(values, finding_row)?.collect::<Result<Vec<_>, _>>()?;
    let told = |mut finding| {
        // Its frames may have become known since.
        frames::tell(c, card, &mut finding)?;
        Ok(finding)
    };
    found.into_iter().map(told).collect()
}

fn finding_row(r: &Row<'_>) -> rusqlite::Result<Finding> {
    let relpath = relpath(r, "relpath")?;
    Ok(Finding {
        kind: parsed(r, "kind", FindingKind::from_name)?,
        copy: r.get("copy_path")?,
        relpath_hex: relpath.hex_if_escaped(),
        relpath,
        blocks: parsed(r, "blocks", |t| serde_json::from_str(t).ok())?,
        mtime_changed: r.get("mtime_changed")?,
        clip: None,
        timecode: r.get("timecode")?,
        note: r.get("note")?,
    })
}
