//! Volumes, and the folders on them that hold a card's copy.

use super::custody::{self, Act, Entry};
use super::error::{CatalogError, Fault};
use super::record::card_of;
use super::rowsum::COPY_ROOT;
use super::{Catalog, disk, maybe_time, mounts, new_id, parsed, relpath, text_of, time};
use crate::clip::{CardId, CopyRootId, VolumeId};
use crate::copy::Generation;
use crate::digest::{Digest, HashFormat};
use crate::disk::facts::Facts;
use crate::disk::lifetime::Lifetime;
use crate::evidence::Disk;
use crate::relpath::RelPath;
use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, Row, params};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// A mounted filesystem as it is now.
#[derive(Clone, Debug)]
pub struct VolumeSeen {
    /// What stays the same at the next mount, e.g. the filesystem's UUID with its type.
    pub key: String,
    pub fs_type: String,
    pub label: Option<String>,
    pub disk_text: String,
    pub mount: PathBuf,
    pub life: Lifetime,
}

impl VolumeSeen {
    pub fn of(facts: &Facts) -> Self {
        VolumeSeen {
            key: facts.volume_key.clone(),
            fs_type: facts.mount.fs_type.clone(),
            label: facts.label.clone(),
            disk_text: facts.disk.text.clone(),
            mount: facts.mount.point.clone(),
            life: Lifetime::of(facts),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VolumeRow {
    pub id: VolumeId,
    pub key: String,
    pub fs_type: String,
    pub label: Option<String>,
    pub disk: String,
    pub last_mount: PathBuf,
    pub seen_at: Timestamp,
}

#[derive(Clone, Debug)]
pub struct NewCopyRoot {
    pub volume: VolumeId,
    /// The roll's folder, below the volume's mount point.
    pub root: RelPath,
    /// The destination as the user named it.
    pub destination: String,
    /// The roll's folder as an absolute path, for texts.
    pub path: String,
    pub disk: Disk,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CopyRootRow {
    pub id: CopyRootId,
    pub card: CardId,
    pub volume: VolumeId,
    pub root: RelPath,
    pub destination: String,
    pub path: String,
    pub disk: Disk,
    /// A name of `job::Step`.
    pub step: String,
    /// A name of `job::Hold`.
    pub hold: Option<String>,
    pub hold_note: Option<String>,
    pub sealed: bool,
    pub seen_at: Option<Timestamp>,
    pub seen_as_recorded: bool,
    pub seen_note: Option<String>,
    /// Why the copy is meant to be gone.
    pub retired: Option<String>,
    pub row_intact: bool,
}

impl Catalog {
    /// Known by its key; the rest is brought up to date, and it is written down in which lifetime it is.
    pub fn volume(&mut self, seen: &VolumeSeen, now: Timestamp) -> Result<VolumeId, CatalogError> {
        self.write(|tx| {
            let id = tx.query_row(
                "INSERT INTO volume (id, key, fs_type, label, disk, last_mount, seen_at)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
                 ON CONFLICT (key) DO UPDATE SET fs_type = excluded.fs_type, label = excluded.label,
                   disk = excluded.disk, last_mount = excluded.last_mount, seen_at = excluded.seen_at
                 RETURNING id",
                params![
                    new_id(now).to_string(),
                    seen.key,
                    seen.fs_type,
                    seen.label,
                    seen.disk_text,
                    seen.mount.as_os_str().as_bytes(),
                    text_of(now)
                ],
                |r| parsed(r, "id", VolumeId::parse),
            )?;
            mounts::observe(tx, id, &seen.mount, &seen.life, now)?;
            Ok(id)
        })
    }

    pub fn volume_row(&self, id: VolumeId) -> Result<VolumeRow, CatalogError> {
        self.read(|c| {
            c.query_row("SELECT * FROM volume WHERE id = ?1", [id.to_string()], volume_row)
                .optional()?
                .ok_or_else(|| Fault::Unknown(format!("volume {id}")))
        })
    }

    /// The one that was seen there last: drives rotate at one mount point.
    pub fn volume_by_last_mount(&self, mount: &Path) -> Result<Option<VolumeRow>, CatalogError> {
        self.read(|c| {
            let sql = "SELECT * FROM volume WHERE last_mount = ?1 ORDER BY seen_at DESC LIMIT 1";
            Ok(c.query_row(sql, [mount.as_os_str().as_bytes()], volume_row).optional()?)
        })
    }

    pub fn volumes(&self) -> Result<Vec<VolumeRow>, CatalogError> {
        self.read(|c| {
            Ok(c.prepare("SELECT * FROM volume ORDER BY seen_at DESC")?
                .query_map([], volume_row)?
                .collect::<Result<_, _>>()?)
        })
    }

    /// Gets or adds. Naming a retired folder again takes it back into use.
    pub fn copy_root(&mut self, card: CardId, new: &NewCopyRoot, now: Timestamp) -> Result<CopyRootId, CatalogError> {
        self.write(|tx| {
            let place = params![card.to_string(), new.volume.to_string(), new.root.as_bytes()];
            let known = "SELECT id FROM copy_root WHERE card_id = ?1 AND volume_id = ?2 AND root = ?3";
            let known = tx.query_row(known, place, |r| parsed(r, "id", CopyRootId::parse)).optional()?;
            if let Some(id) = known {
                let set = "destination = ?3, path = ?4, disk_id = ?5, disk_text = ?6, retired_at = NULL, \
                           retired_reason = NULL";
                let values = params![new.destination, new.path, new.disk.id, new.disk.text];
                change(tx, id, set, values)?;
                return Ok(id);
            }
            let id = CopyRootId(new_id(now));
            tx.execute(
                "INSERT INTO copy_root (id, card_id, volume_id, root, destination, path, disk_id, disk_text, created_at)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
                params![
                    id.to_string(),
                    card.to_string(),
                    new.volume.to_string(),
                    new.root.as_bytes(),
                    new.destination,
                    new.path,
                    new.disk.id,
                    new.disk.text,
                    text_of(now)
                ],
            )?;
            COPY_ROOT.seal(tx, [&id.to_string(), &id.to_string()])?;
            Ok(id)
        })
    }

    /// In the order in which they were made; retired ones among them.
    pub fn copy_roots(&self, card: CardId) -> Result<Vec<CopyRootRow>, CatalogError> {
        self.read(|c| copy_roots(c, "WHERE card_id = ?1 ORDER BY seq", params![card.to_string()]))
    }

    pub fn all_copy_roots(&self) -> Result<Vec<CopyRootRow>, CatalogError> {
        self.read(|c| copy_roots(c, "ORDER BY seq", []))
    }

    pub fn copy_root_row(&self, id: CopyRootId) -> Result<CopyRootRow, CatalogError> {
        self.read(|c| {
            let found = copy_roots(c, "WHERE id = ?1", params![id.to_string()])?.pop();
            found.ok_or_else(|| Fault::Unknown(format!("copy folder {id}")))
        })
    }

    /// Whose folder is this? The newest card's, if several used it in turn.
    pub fn copy_root_at(&self, volume: VolumeId, root: &RelPath) -> Result<Option<CopyRootRow>, CatalogError> {
        self.read(|c| {
            let tail = "WHERE volume_id = ?1 AND root = ?2 AND retired_at IS NULL ORDER BY seq DESC LIMIT 1";
            Ok(copy_roots(c, tail, params![volume.to_string(), root.as_bytes()])?.pop())
        })
    }

    pub fn copy_root_seen(
        &mut self,
        id: CopyRootId,
        at: Timestamp,
        as_recorded: bool,
        note: Option<&str>,
    ) -> Result<(), CatalogError> {
        let set = "seen_at = ?3, seen_as_recorded = ?4, seen_note = ?5";
        self.write(|tx| change(tx, id, set, params![text_of(at), as_recorded, note]))
    }

    /// `step` is a name of `job::Step`; the hold a name of `job::Hold` with its text.
    pub fn set_root_step(
        &mut self,
        id: CopyRootId,
        step: &str,
        hold: Option<(&str, &str)>,
    ) -> Result<(), CatalogError> {
        let (hold, note) = (hold.map(|h| h.0), hold.map(|h| h.1));
        self.write(|tx| change(tx, id, "step = ?3, hold = ?4, hold_note = ?5", params![step, hold, note]))
    }

    /// Records a durable manifest and marks the folder sealed. The same one again is no error.
    pub fn add_generation(
        &mut self,
        id: CopyRootId,
        generation: &Generation,
        now: Timestamp,
    ) -> Result<(), CatalogError> {
        self.write(|tx| {
            let c4 = generation.c4.text();
            let known = "SELECT c4 FROM generation WHERE copy_root_id = ?1 AND number = ?2";
            let known: Option<String> =
                tx.query_row(known, params![id.to_string(), generation.number], |r| r.get(0)).optional()?;
            match known {
                Some(other) if other != c4 => {
                    let number = generation.number;
                    return Err(Fault::Refused(format!(
                        "generation {number} of copy {id} is recorded with another C4"
                    )));
                }
                Some(_) => {}
                None => {
                    tx.execute(
                        "INSERT INTO generation (copy_root_id, number, manifest, c4, sealed_at, sequence)
                         VALUES (?1, ?2, ?3, ?4, ?5, (SELECT sequence FROM station))",
                        params![id.to_string(), generation.number, generation.manifest.as_bytes(), c4, text_of(now)],
                    )?;
                    let text = format!("{}{}\", {c4}", sealed_as(generation.number), generation.manifest);
                    let entry = Entry::of_card(Act::Sealed, card_of(tx, id)?, &text);
                    custody::add(tx, &Entry { root: Some(id), ..entry }, now)?;
                }
            }
            change(tx, id, "sealed = ?3", params![true])
        })
    }

    /// The history that was sealed there is gone from the disk: a new one begins. The log keeps what was known of it.
    pub fn forget_generations(&mut self, id: CopyRootId) -> Result<(), CatalogError> {
        self.write(|tx| {
            tx.execute("DELETE FROM generation WHERE copy_root_id = ?1", [id.to_string()])?;
            change(tx, id, "sealed = ?3", params![false])
        })
    }

    /// As the custody log has them, which is chained by hash; these rows have no sum of their own.
    pub fn generations(&self, id: CopyRootId) -> Result<Vec<Generation>, CatalogError> {
        self.read(|c| Ok(generations(c, id)?.into_iter().map(|(generation, _)| generation).collect()))
    }

    /// Rows of generations that are not as the log has them become so; gives these.
    pub fn mend_generations(&mut self, id: CopyRootId, now: Timestamp) -> Result<Vec<Generation>, CatalogError> {
        let broken: Vec<_> = self.read(|c| generations(c, id))?.into_iter().filter(|(_, holds)| !holds).collect();
        if broken.is_empty() {
            return Ok(Vec::new());
        }
        self.write(|tx| {
            let sql = "UPDATE generation SET manifest = ?3, c4 = ?4 WHERE copy_root_id = ?1 AND number = ?2";
            for (g, _) in &broken {
                tx.execute(sql, params![id.to_string(), g.number, g.manifest.as_bytes(), g.c4.text()])?;
                let text = format!("the row of generation {} is again as it was sealed", g.number);
                let entry = Entry { root: Some(id), ..Entry::of_card(Act::Repaired, card_of(tx, id)?, &text) };
                custody::add(tx, &entry, now)?;
            }
            Ok(())
        })?;
        Ok(broken.into_iter().map(|(generation, _)| generation).collect())
    }
}

/// How many rows of generations are not as the log has them.
pub(super) fn broken_generations(c: &Connection) -> Result<usize, Fault> {
    let mut broken = 0;
    for root in copy_roots(c, "", [])? {
        broken += generations(c, root.id)?.iter().filter(|(_, holds)| !holds).count();
    }
    Ok(broken)
}

/// Each with whether its row says the same.
fn generations(c: &Connection, id: CopyRootId) -> Result<Vec<(Generation, bool)>, Fault> {
    let sql = "SELECT number, manifest, c4 FROM generation WHERE copy_root_id = ?1 ORDER BY number";
    let mut statement = c.prepare_cached(sql)?;
    let mut rows = statement.query([id.to_string()])?;
    let mut out = Vec::new();
    while let Some(r) = rows.next()? {
        let number = r.get(0)?;
        let (manifest, c4) = (relpath(r, 1), parsed(r, 2, |t| Digest::parse(HashFormat::C4, t)));
        let row = manifest.and_then(|manifest| Ok(Generation { number, manifest, c4: c4? }));
        out.push(match logged(c, id, number)? {
            Some(logged) => {
                let holds = row.is_ok_and(|row| row == logged);
                (logged, holds)
            }
            // From before there was that log.
            None => (row?, true),
        });
    }
    Ok(out)
}

/// What was sealed last as that generation of the folder.
fn logged(c: &Connection, id: CopyRootId, number: u32) -> Result<Option<Generation>, Fault> {
    let begin = sealed_as(number);
    let sql = "SELECT text FROM custody
               WHERE card_id = (SELECT card_id FROM copy_root WHERE id = ?1) AND copy_root_id = ?1 AND act = 'sealed'
                 AND substr(text, 1, length(?2)) = ?2 ORDER BY seq DESC LIMIT 1";
    let text =
        c.prepare_cached(sql)?.query_row(params![id.to_string(), begin], |r| r.get::<_, String>(0)).optional()?;
    let read = |text: &str| {
        let (name, c4) = text.strip_prefix(&begin)?.rsplit_once("\", ")?;
        // An escaped name is not the name.
        let manifest = RelPath::new(name).ok().filter(|_| !name.contains('\\'))?;
        Some(Generation { number, manifest, c4: Digest::parse(HashFormat::C4, c4)? })
    };
    Ok(text.as_deref().and_then(read))
}

/// How the line of the log begins that a generation is read from again.
fn sealed_as(number: u32) -> String {
    format!("generation {number} sealed: \"")
}

pub(super) fn change(c: &Connection, id: CopyRootId, set: &str, values: &[&dyn rusqlite::ToSql]) -> Result<(), Fault> {
    let key = id.to_string();
    COPY_ROOT.change(c, [&key, &key], set, values)
}

pub(super) fn copy_roots(c: &Connection, tail: &str, params: impl rusqlite::Params) -> Result<Vec<CopyRootRow>, Fault> {
    let mut statement = c.prepare_cached(&format!("{} {tail}", COPY_ROOT.select))?;
    Ok(statement.query_map(params, copy_root_row)?.collect::<Result<_, _>>()?)
}

fn volume_row(r: &Row<'_>) -> rusqlite::Result<VolumeRow> {
    Ok(VolumeRow {
        id: parsed(r, "id", VolumeId::parse)?,
        key: r.get("key")?,
        fs_type: r.get("fs_type")?,
        label: r.get("label")?,
        disk: r.get("disk")?,
        last_mount: PathBuf::from(OsStr::from_bytes(&r.get::<_, Vec<u8>>("last_mount")?)),
        seen_at: time(r, "seen_at")?,
    })
}

fn copy_root_row(r: &Row<'_>) -> rusqlite::Result<CopyRootRow> {
    Ok(CopyRootRow {
        id: parsed(r, "id", CopyRootId::parse)?,
        card: parsed(r, "card_id", CardId::parse)?,
        volume: parsed(r, "volume_id", VolumeId::parse)?,
        root: relpath(r, "root")?,
        destination: r.get("destination")?,
        path: r.get("path")?,
        disk: disk(r)?,
        step: r.get("step")?,
        hold: r.get("hold")?,
        hold_note: r.get("hold_note")?,
        sealed: r.get("sealed")?,
        seen_at: maybe_time(r, "seen_at")?,
        seen_as_recorded: r.get("seen_as_recorded")?,
        seen_note: r.get("seen_note")?,
        retired: r.get("retired_reason")?,
        row_intact: COPY_ROOT.intact(r)?,
    })
}
