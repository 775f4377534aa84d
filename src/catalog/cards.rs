//! Cards: one row a listing seen at one place, with its files, folders and what cannot be copied.

use super::error::{CatalogError, Fault};
use super::rowsum::{CARD, FILE};
use super::{Catalog, clips, disk, int, maybe_time, natural, new_id, parsed, places, relpath, text_of, time};
use crate::clip::{Card, CardFile, CardId, Listing, SourceKind, SpecialKind, VolumeId};
use crate::evidence::{Disk, Relaxed};
use crate::relpath::RelPath;
use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, Row, params};

#[derive(Clone, Debug)]
pub struct NewCard {
    pub roll: String,
    pub source_kind: SourceKind,
    pub layout: String,
    pub volume: VolumeId,
    /// The card's root below the volume's mount point; empty for a whole card.
    pub root: RelPath,
    /// Absolute, for texts.
    pub source_path: String,
    pub disk: Disk,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CardRow {
    pub id: CardId,
    pub roll: String,
    pub source_kind: SourceKind,
    pub layout: String,
    pub volume: VolumeId,
    pub root: RelPath,
    pub source_path: String,
    pub disk: Disk,
    pub relaxed: Relaxed,
    pub listed_twice_equal: bool,
    pub first_seen_at: Timestamp,
    pub seen_at: Option<Timestamp>,
    pub seen_as_recorded: bool,
    pub seen_note: Option<String>,
    pub files: u64,
    pub bytes: u64,
    /// Accepted ones among them.
    pub warnings: u64,
    pub row_intact: bool,
}

impl Catalog {
    /// Card, files, entries and clips in one transaction.
    pub fn add_card(&mut self, new: &NewCard, card: &Card, now: Timestamp) -> Result<CardId, CatalogError> {
        self.write(|tx| {
            let id = CardId(new_id(now));
            let key = id.to_string();
            tx.execute(
                "INSERT INTO card (id, roll, source_kind, layout, volume_id, root, source_path, disk_id, disk_text,
                                   first_seen_at, file_count, byte_count)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)",
                params![
                    key,
                    new.roll,
                    new.source_kind.name(),
                    new.layout,
                    new.volume.to_string(),
                    new.root.as_bytes(),
                    new.source_path,
                    new.disk.id,
                    new.disk.text,
                    text_of(now),
                    int(card.listing.files.len() as u64),
                    int(card.listing.bytes())
                ],
            )?;
            CARD.seal(tx, [&key, &key])?;
            add_entries(tx, &key, &card.listing)?;
            clips::add(tx, id, &new.roll, &card.clips, now)?;
            Ok(id)
        })
    }

    /// Adds what is new in `card`; no row that exists is touched. Folders whose copy lacks the new files are no
    /// longer sealed. Returns how many files were added.
    pub fn extend_card(&mut self, id: CardId, card: &Card, now: Timestamp) -> Result<u64, CatalogError> {
        self.write(|tx| {
            let row = one(tx, id)?;
            let (files, bytes) = add_entries(tx, &id.to_string(), &card.listing)?;
            clips::add(tx, id, &row.roll, &card.clips, now)?;
            if files > 0 {
                let (files, bytes) = (int(row.files + files), int(row.bytes + bytes));
                // The two equal listings were of the tree without the additions.
                let set = "file_count = ?3, byte_count = ?4, listed_twice_equal = 0";
                change(tx, id, set, params![files, bytes])?;
                for root in places::copy_roots(tx, "WHERE card_id = ?1 AND sealed = 1", params![id.to_string()])? {
                    places::change(tx, root.id, "sealed = ?3", params![false])?;
                }
            }
            Ok(files)
        })
    }

    /// Files that nobody could read yet have the size and time of now; what was read keeps those that it was read with.
    pub fn relist_unread(&mut self, id: CardId, listing: &Listing) -> Result<(), CatalogError> {
        self.write(|tx| {
            let key = id.to_string();
            let unread = "SELECT 1 FROM card_file WHERE card_id = ?1 AND relpath = ?2 AND blake3 IS NULL
                            AND (size_bytes <> ?3 OR mtime_ns <> ?4)";
            let mut changed = false;
            for f in &listing.files {
                let (path, size) = (f.relpath.as_bytes(), int(f.size_bytes));
                let mut unread = tx.prepare_cached(unread)?;
                if unread.query_row(params![key, path, size, f.mtime_ns], |_| Ok(())).optional()?.is_some() {
                    FILE.change(tx, [&key, &path], "size_bytes = ?3, mtime_ns = ?4", params![size, f.mtime_ns])?;
                    changed = true;
                }
            }
            if changed {
                let sum = "SELECT coalesce(sum(size_bytes), 0) FROM card_file WHERE card_id = ?1";
                let bytes: i64 = tx.query_row(sum, [&key], |r| r.get(0))?;
                change(tx, id, "byte_count = ?3", params![bytes])?;
            }
            Ok(())
        })
    }

    pub fn card(&self, id: CardId) -> Result<Option<CardRow>, CatalogError> {
        self.read(|c| Ok(rows(c, "WHERE id = ?1", params![id.to_string()])?.pop()))
    }

    /// Newest first.
    pub fn cards(&self) -> Result<Vec<CardRow>, CatalogError> {
        self.read(|c| rows(c, "ORDER BY seq DESC", []))
    }

    /// By roll, else by id, else by a prefix of one id; newest first.
    pub fn cards_named(&self, name: &str) -> Result<Vec<CardRow>, CatalogError> {
        self.read(|c| {
            let found = rows(c, "WHERE roll = ?1 ORDER BY seq DESC", params![name])?;
            if !found.is_empty() || name.is_empty() {
                return Ok(found);
            }
            let found = rows(c, "WHERE substr(id, 1, length(?1)) = ?1 LIMIT 2", params![name.to_lowercase()])?;
            Ok(if found.len() == 1 { found } else { Vec::new() })
        })
    }

    /// Cards that were seen at that place; newest first.
    pub fn cards_at(&self, volume: VolumeId, root: &RelPath) -> Result<Vec<CardRow>, CatalogError> {
        let tail = "WHERE volume_id = ?1 AND root = ?2 ORDER BY seq DESC";
        self.read(|c| rows(c, tail, params![volume.to_string(), root.as_bytes()]))
    }

    pub fn listing(&self, id: CardId) -> Result<Listing, CatalogError> {
        self.read(|c| {
            one(c, id)?;
            listing(c, id)
        })
    }

    /// The flags of the newest offload; they replace those before.
    pub fn set_relaxed(&mut self, id: CardId, relaxed: Relaxed) -> Result<(), CatalogError> {
        let set = "same_device = ?3, accept_server = ?4, no_source_reread = ?5";
        let values = params![relaxed.same_device, relaxed.accept_server, relaxed.no_source_reread];
        self.write(|tx| change(tx, id, set, values))
    }

    pub fn set_listed_twice(&mut self, id: CardId, equal: bool) -> Result<(), CatalogError> {
        self.write(|tx| change(tx, id, "listed_twice_equal = ?3", params![equal]))
    }

    pub fn card_seen(
        &mut self,
        id: CardId,
        at: Timestamp,
        as_recorded: bool,
        note: Option<&str>,
    ) -> Result<(), CatalogError> {
        let set = "seen_at = ?3, seen_as_recorded = ?4, seen_note = ?5";
        self.write(|tx| change(tx, id, set, params![text_of(at), as_recorded, note]))
    }
}

pub(super) fn change(c: &Connection, id: CardId, set: &str, values: &[&dyn rusqlite::ToSql]) -> Result<(), Fault> {
    let key = id.to_string();
    CARD.change(c, [&key, &key], set, values)
}

/// Inserts what is not there yet; says how many files and bytes that was.
fn add_entries(c: &Connection, card: &str, listing: &Listing) -> Result<(u64, u64), Fault> {
    let mut added = (0, 0);
    let mut file = c.prepare_cached(
        "INSERT OR IGNORE INTO card_file (card_id, relpath, relpath_text, size_bytes, mtime_ns)
         VALUES (?1, ?2, ?3, ?4, ?5)",
    )?;
    for f in &listing.files {
        let size = i64::try_from(f.size_bytes)
            .map_err(|_| Fault::Refused(format!("file \"{}\" has an impossible size", f.relpath)))?;
        let path = f.relpath.as_bytes();
        // IGNORE would also swallow a broken CHECK; there is none that these values can break.
        if file.execute(params![card, path, f.relpath.text(), size, f.mtime_ns])? == 1 {
            FILE.seal(c, [&card, &path])?;
            added = (added.0 + 1, added.1 + f.size_bytes);
        }
    }
    let mut entry = c.prepare_cached(
        "INSERT OR IGNORE INTO card_entry (card_id, relpath, relpath_text, kind) VALUES (?1, ?2, ?3, ?4)",
    )?;
    let folders = listing.folders.iter().map(|p| (p, "folder"));
    let specials = listing.specials.iter().map(|(p, k)| (p, special(*k)));
    let skipped = listing.skipped.iter().map(|p| (p, "skipped"));
    for (path, kind) in folders.chain(specials).chain(skipped) {
        entry.execute(params![card, path.as_bytes(), path.text(), kind])?;
    }
    Ok(added)
}

const SPECIALS: [SpecialKind; 5] =
    [SpecialKind::Symlink, SpecialKind::Fifo, SpecialKind::Socket, SpecialKind::Device, SpecialKind::Mount];

fn special(kind: SpecialKind) -> &'static str {
    match kind {
        SpecialKind::Symlink => "symlink",
        SpecialKind::Fifo => "fifo",
        SpecialKind::Socket => "socket",
        SpecialKind::Device => "device",
        SpecialKind::Mount => "mount",
    }
}

fn listing(c: &Connection, id: CardId) -> Result<Listing, Fault> {
    let mut out = Listing::default();
    let sql = "SELECT relpath, size_bytes, mtime_ns FROM card_file WHERE card_id = ?1 ORDER BY relpath";
    let mut statement = c.prepare_cached(sql)?;
    let mut found = statement.query([id.to_string()])?;
    while let Some(r) = found.next()? {
        out.files.push(card_file(r, [0, 1, 2])?);
    }
    let mut statement = c.prepare_cached("SELECT relpath, kind FROM card_entry WHERE card_id = ?1 ORDER BY relpath")?;
    let mut found = statement.query([id.to_string()])?;
    while let Some(r) = found.next()? {
        let path = relpath(r, "relpath")?;
        match r.get::<_, String>("kind")?.as_str() {
            "folder" => out.folders.push(path),
            "skipped" => out.skipped.push(path),
            kind => match SPECIALS.into_iter().find(|k| special(*k) == kind) {
                Some(kind) => out.specials.push((path, kind)),
                None => return Err(Fault::Corrupt(format!("entry \"{path}\" is of no known kind"))),
            },
        }
    }
    Ok(out)
}

/// From the columns of path, size and time.
pub(super) fn card_file(r: &Row<'_>, [path, size, mtime]: [usize; 3]) -> rusqlite::Result<CardFile> {
    Ok(CardFile { relpath: relpath(r, path)?, size_bytes: natural(r, size)?, mtime_ns: r.get(mtime)? })
}

fn rows(c: &Connection, tail: &str, params: impl rusqlite::Params) -> Result<Vec<CardRow>, Fault> {
    let mut statement = c.prepare_cached(&format!("{} {tail}", CARD.select))?;
    Ok(statement.query_map(params, card_row)?.collect::<Result<_, _>>()?)
}

pub(super) fn one(c: &Connection, id: CardId) -> Result<CardRow, Fault> {
    let mut statement = c.prepare_cached(&format!("{} WHERE id = ?1", CARD.select))?;
    let row = statement.query_row([id.to_string()], card_row).optional()?;
    row.ok_or_else(|| Fault::Unknown(format!("card {id}")))
}

fn card_row(r: &Row<'_>) -> rusqlite::Result<CardRow> {
    Ok(CardRow {
        id: parsed(r, "id", CardId::parse)?,
        roll: r.get("roll")?,
        source_kind: parsed(r, "source_kind", SourceKind::from_name)?,
        layout: r.get("layout")?,
        volume: parsed(r, "volume_id", VolumeId::parse)?,
        root: relpath(r, "root")?,
        source_path: r.get("source_path")?,
        disk: disk(r)?,
        relaxed: Relaxed {
            same_device: r.get("same_device")?,
            accept_server: r.get("accept_server")?,
            no_source_reread: r.get("no_source_reread")?,
        },
        listed_twice_equal: r.get("listed_twice_equal")?,
        first_seen_at: time(r, "first_seen_at")?,
        seen_at: maybe_time(r, "seen_at")?,
        seen_as_recorded: r.get("seen_as_recorded")?,
        seen_note: r.get("seen_note")?,
        files: natural(r, "file_count")?,
        bytes: natural(r, "byte_count")?,
        warnings: natural(r, "warning_count")?,
        row_intact: CARD.intact(r)?,
    })
}
