//! All that the catalog knows of one card, in the shape that a verdict is made from.

use super::error::CatalogError;
use super::record::{copy_row, files};
use super::rowsum::COPY;
use super::{Catalog, cards, doubt, findings, jobs, parsed, places, presence, source, warnings};
use crate::clip::{CardId, CopyRootId};
use crate::copy::{CopyState, ReadBack};
use crate::evidence::{CardEvidence, CopyEvidence, CopyRootEvidence, Evidence, FileEvidence};
use crate::relpath::RelPath;
use rusqlite::params;
use std::collections::{HashMap, HashSet};

/// A copy, and the BLAKE3 of the bytes it was proven for.
type Proven = (Option<[u8; 32]>, CopyEvidence);

impl Catalog {
    /// The stored side of the evidence. Presence is the last observation (`here_now: false`), to be replaced by a
    /// fresh one where the place can be reached. `catalog_sound` is false when a row of this card, its folders or its
    /// warnings fails its sum or a file row is gone: combine it with the health of the file, never overwrite it.
    pub fn evidence(&self, card: CardId) -> Result<Evidence, CatalogError> {
        self.read(|c| {
            let row = cards::one(c, card)?;
            let roots = places::copy_roots(c, "WHERE card_id = ?1 ORDER BY seq", params![card.to_string()])?;
            let (warnings, warnings_intact) = warnings::of(c, card)?;
            let mut sound = row.row_intact && warnings_intact && roots.iter().all(|r| r.row_intact);

            let counted: Vec<CopyRootId> = roots.iter().filter(|r| r.retired.is_none()).map(|r| r.id).collect();
            let mut retired: HashSet<(CopyRootId, RelPath)> = HashSet::new();
            let sql = "SELECT x.copy_root_id, x.relpath FROM retired_copy x JOIN copy_root r ON r.id = x.copy_root_id
                       WHERE r.card_id = ?1";
            let mut statement = c.prepare_cached(sql)?;
            let mut found = statement.query([card.to_string()])?;
            while let Some(r) = found.next()? {
                retired.insert((parsed(r, "copy_root_id", CopyRootId::parse)?, super::relpath(r, "relpath")?));
            }
            let mut copies: HashMap<RelPath, Vec<Proven>> = HashMap::new();
            let mut statement = c.prepare_cached(&format!("{} WHERE card_id = ?1", COPY.select))?;
            let mut found = statement.query([card.to_string()])?;
            while let Some(r) = found.next()? {
                let root = parsed(r, "copy_root_id", CopyRootId::parse)?;
                if !counted.contains(&root) {
                    continue;
                }
                let copy = copy_row(r)?;
                // Whether or not its row holds: to leave a copy out makes nothing safe.
                if retired.contains(&(root, copy.relpath.clone())) {
                    continue;
                }
                let evidence = CopyEvidence {
                    root,
                    state: copy.state,
                    read_back: copy.read_back.unwrap_or(ReadBack::Cache),
                    proven_at: copy.proven_at,
                    row_intact: copy.row_intact,
                };
                copies.entry(copy.relpath).or_default().push((copy.blake3, evidence));
            }

            let files: Vec<FileEvidence> = files(c, card)?
                .into_iter()
                .map(|f| {
                    let blake3 = f.digests.as_ref().map(|d| d.blake3);
                    let copies = copies.remove(&f.file.relpath).unwrap_or_default();
                    let judge = |(proven, mut copy): Proven| {
                        // Proven, but for other bytes than the card's: two rows that contradict each other.
                        if copy.state == CopyState::Proven {
                            copy.row_intact &= proven.is_some() && proven == blake3;
                        }
                        copy
                    };
                    FileEvidence {
                        relpath: f.file.relpath,
                        equal_reads: if f.row_intact { f.equal_reads } else { 0 },
                        unstable: f.unstable,
                        row_intact: f.row_intact,
                        copies: copies.into_iter().map(judge).collect(),
                    }
                })
                .collect();
            sound &= files.len() as u64 == row.files && warnings.len() as u64 == row.warnings;

            let sql = "SELECT relpath FROM card_entry WHERE card_id = ?1 AND kind = 'skipped' ORDER BY relpath";
            let skipped = c
                .prepare_cached(sql)?
                .query_map([card.to_string()], |r| super::relpath(r, "relpath"))?
                .collect::<Result<_, _>>()?;
            let job = jobs::open(c, card)?;
            let (doubt, doubts_intact) = doubt::latest(c)?;
            sound &= doubts_intact;
            Ok(Evidence {
                card: CardEvidence {
                    source_kind: row.source_kind,
                    roll: row.roll,
                    presence: presence(row.seen_at, row.seen_as_recorded, row.seen_note.as_deref()),
                    listed_twice_equal: row.listed_twice_equal,
                    disk: row.disk,
                    only_cached: None,
                },
                files,
                copy_roots: roots
                    .into_iter()
                    .filter(|r| r.retired.is_none())
                    .map(|r| CopyRootEvidence {
                        id: r.id,
                        presence: presence(r.seen_at, r.seen_as_recorded, r.seen_note.as_deref()),
                        on_card: r.volume == row.volume,
                        destination: r.destination,
                        disk: r.disk,
                        sealed: r.sealed,
                    })
                    .collect(),
                warnings,
                findings: findings::open(c, card, None)?,
                skipped,
                source_checks: source::of(c, card)?,
                relaxed: row.relaxed,
                doubt,
                catalog_sound: sound,
                hold: job.as_ref().and_then(|j| j.hold.map(|h| j.hold_note.clone().unwrap_or_else(|| h.text().into()))),
                open_job: job.is_some(),
            })
        })
    }
}
