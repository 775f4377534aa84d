//! Which copies are to be proven again, and how old the oldest proof is.

use super::error::CatalogError;
use super::retired::COUNTED;
use super::{Catalog, int, maybe_time, natural, parsed, relpath, text_of, time};
use crate::clip::{CardId, CopyRootId, VolumeId};
use crate::copy::CopyState;
use crate::relpath::RelPath;
use jiff::Timestamp;
use rusqlite::{OptionalExtension, Row, params};

#[derive(Clone, Debug, Default)]
pub struct DueFilter {
    pub roll: Option<String>,
    pub volume: Option<VolumeId>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DueRow {
    pub card: CardId,
    pub copy_root: CopyRootId,
    pub relpath: RelPath,
    pub state: CopyState,
    /// Of the last check that found it equal; `None` for a copy that never was.
    pub proven_at: Option<Timestamp>,
    pub size_bytes: u64,
}

impl Catalog {
    /// Copies to prove again, the oldest check first and the bad ones last; with `before`, only those last checked
    /// before it, and the bad ones.
    pub fn due(
        &self,
        limit: usize,
        before: Option<Timestamp>,
        filter: &DueFilter,
    ) -> Result<Vec<DueRow>, CatalogError> {
        self.read(|c| {
            let sql = format!(
                "SELECT y.card_id, y.copy_root_id, y.relpath, y.state, y.checked_at,
                        coalesce(f.size_bytes, y.size_bytes, 0)
                       FROM copy y JOIN copy_root r ON r.id = y.copy_root_id JOIN card c ON c.id = y.card_id
                       LEFT JOIN card_file f ON f.card_id = y.card_id AND f.relpath = y.relpath
                       WHERE y.state <> 'planned' AND r.retired_at IS NULL AND {COUNTED}
                         AND (?2 IS NULL OR y.state <> 'proven' OR y.checked_at < ?2)
                         AND (?3 IS NULL OR c.roll = ?3) AND (?4 IS NULL OR r.volume_id = ?4)
                       ORDER BY y.state <> 'proven', y.checked_at, y.copy_root_id, y.relpath LIMIT ?1"
            );
            let (before, volume) = (before.map(text_of), filter.volume.map(|v| v.to_string()));
            let read = |r: &Row<'_>| {
                Ok(DueRow {
                    card: parsed(r, 0, CardId::parse)?,
                    copy_root: parsed(r, 1, CopyRootId::parse)?,
                    relpath: relpath(r, 2)?,
                    state: parsed(r, 3, CopyState::from_name)?,
                    proven_at: maybe_time(r, 4)?,
                    size_bytes: natural(r, 5)?,
                })
            };
            let values = params![int(limit as u64), before, filter.roll, volume];
            Ok(c.prepare_cached(&sql)?.query_map(values, read)?.collect::<Result<_, _>>()?)
        })
    }

    /// Of all copies that count; `None` when nothing is proven.
    pub fn oldest_proof(&self) -> Result<Option<Timestamp>, CatalogError> {
        self.read(|c| {
            let sql = format!(
                "SELECT y.proven_at AS at FROM copy y JOIN copy_root r ON r.id = y.copy_root_id
                 WHERE y.state = 'proven' AND r.retired_at IS NULL AND {COUNTED} ORDER BY y.proven_at LIMIT 1"
            );
            Ok(c.query_row(&sql, [], |r| time(r, "at")).optional()?)
        })
    }
}
