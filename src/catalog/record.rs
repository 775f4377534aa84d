//! Evidence as it comes in: intents of a job, proofs of a patrol, and the rows they make.
//!
//! A row whose checksum fails is never built upon: a change that replaces all of its evidence heals it, any other
//! leaves it broken.

use super::error::{CatalogError, Fault};
use super::rowsum::{COPY, FILE};
use super::{Catalog, Tx, cards, findings, int, jobs, mounts, parsed, relpath, retired, text_of, told, warnings};
use crate::clip::{CardFile, CardId, CopyRootId, JobId, Warning};
use crate::copy::{CopyState, FileRecord, OF_UNSTABLE_READ, ReadBack};
use crate::digest::{BlockDigests, Digest, Digests, HashFormat};
use crate::disk::Stat;
use crate::progress::Intent;
use crate::relpath::RelPath;
use crate::verify::{ProvenRow, VerifiedFile};
use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, Row, params};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CopyRow {
    pub relpath: RelPath,
    pub state: CopyState,
    pub job: JobId,
    pub temp: Option<RelPath>,
    pub size_bytes: Option<u64>,
    pub mtime_ns: Option<i64>,
    pub read_back: Option<ReadBack>,
    pub proven_at: Option<Timestamp>,
    /// Of the bytes that were proven.
    pub blake3: Option<[u8; 32]>,
    pub note: Option<String>,
    /// The lifetime of its volume in which the bytes were written, or first seen.
    pub written_on: Option<i64>,
    pub row_intact: bool,
}

impl CopyRow {
    /// The standing proof of the file that is seen under its name now; `None` when it has none.
    pub fn proof(&self, seen: Option<Stat>) -> Option<VerifiedFile> {
        let proven = ProvenRow {
            relpath: &self.relpath,
            size_bytes: self.size_bytes?,
            mtime_ns: self.mtime_ns?,
            read_back: self.read_back?,
            proven_at: self.proven_at?,
            intact: self.row_intact,
        };
        VerifiedFile::from_evidence(&proven, seen)
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileRow {
    pub file: CardFile,
    /// `None` before the first full read, and when the row cannot be relied on.
    pub digests: Option<Digests>,
    pub blocks: BlockDigests,
    pub equal_reads: u32,
    pub unstable: bool,
    pub row_intact: bool,
}

/// What a later verification saw of a good copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Proof {
    pub size_bytes: u64,
    pub mtime_ns: i64,
    pub read_back: ReadBack,
}

impl Catalog {
    /// The intent commit: before the first byte, each temp file gets its owner. Proven rows stay as they are.
    pub fn plan_copies(&mut self, job: JobId, copies: &[(CopyRootId, RelPath, RelPath)]) -> Result<(), CatalogError> {
        self.write(|tx| copies.iter().try_for_each(|(root, path, temp)| plan(tx, job, *root, path, temp, false)))
    }

    /// As `plan_copies`, and proven rows are planned again: their bytes are to be written anew.
    pub fn replan(&mut self, job: JobId, copies: &[(CopyRootId, RelPath, RelPath)]) -> Result<(), CatalogError> {
        self.write(|tx| copies.iter().try_for_each(|(root, path, temp)| plan(tx, job, *root, path, temp, true)))
    }

    /// Every temp file that some row still owns: (copy folder, file, temp).
    pub fn planned_temps(&self, card: CardId) -> Result<Vec<(CopyRootId, RelPath, RelPath)>, CatalogError> {
        self.read(|c| {
            let sql = "SELECT copy_root_id, relpath, temp FROM copy WHERE card_id = ?1 AND temp IS NOT NULL";
            let read = |r: &Row<'_>| {
                Ok((parsed(r, "copy_root_id", CopyRootId::parse)?, relpath(r, "relpath")?, relpath(r, "temp")?))
            };
            Ok(c.prepare(sql)?.query_map([card.to_string()], read)?.collect::<Result<_, _>>()?)
        })
    }

    /// All of the batch, durable, or none of it.
    pub fn apply(&mut self, card: CardId, intents: &[Intent], now: Timestamp) -> Result<(), CatalogError> {
        self.write(|tx| {
            intents.iter().try_for_each(|intent| apply(tx, card, intent, now))?;
            told::intents(tx, card, intents, now)
        })
    }

    /// The copies in one folder, in byte order of the paths.
    pub fn copies(&self, root: CopyRootId) -> Result<Vec<CopyRow>, CatalogError> {
        self.read(|c| {
            let sql = format!("{} WHERE copy_root_id = ?1 ORDER BY relpath", COPY.select);
            Ok(c.prepare_cached(&sql)?.query_map([root.to_string()], copy_row)?.collect::<Result<_, _>>()?)
        })
    }

    /// The names of all copies in a folder, and those of temporary files that belong to one.
    pub fn copy_names<N: Default + Extend<RelPath>>(&self, root: CopyRootId) -> Result<(N, N), CatalogError> {
        self.read(|c| {
            let mut statement = c.prepare_cached("SELECT relpath, temp FROM copy WHERE copy_root_id = ?1")?;
            let mut rows = statement.query([root.to_string()])?;
            let (mut names, mut temps) = (N::default(), N::default());
            while let Some(r) = rows.next()? {
                names.extend([relpath(r, "relpath")?]);
                temps.extend(r.get::<_, Option<Vec<u8>>>("temp")?.and_then(|t| RelPath::new(t).ok()));
            }
            Ok((names, temps))
        })
    }

    /// Files of the card without a row of their copy in a folder that was sealed, and so had them all.
    pub fn lost_copies(&self, root: CopyRootId) -> Result<Vec<RelPath>, CatalogError> {
        self.read(|c| {
            let sql = format!("{LOST_COPIES} AND r.id = ?1 ORDER BY f.relpath");
            let read = |r: &Row<'_>| relpath(r, 0);
            Ok(c.prepare_cached(&sql)?.query_map([root.to_string()], read)?.collect::<Result<_, _>>()?)
        })
    }

    pub fn copy(&self, root: CopyRootId, relpath: &RelPath) -> Result<Option<CopyRow>, CatalogError> {
        self.read(|c| copy(c, root, relpath))
    }

    /// With the block digests: 32 bytes for each MiB of the card. [`Catalog::each_file_record`] holds one at a time.
    pub fn file_records(&self, card: CardId) -> Result<Vec<FileRow>, CatalogError> {
        let mut out = Vec::new();
        self.each_file_record(card, |row| out.push(row))?;
        Ok(out)
    }

    /// In byte order of the paths.
    pub fn each_file_record(&self, card: CardId, mut see: impl FnMut(FileRow)) -> Result<(), CatalogError> {
        self.read(|c| {
            let sql = format!("{} WHERE card_id = ?1 ORDER BY relpath", FILE.select);
            let mut statement = c.prepare_cached(&sql)?;
            let mut rows = statement.query([card.to_string()])?;
            while let Some(r) = rows.next()? {
                see(with_blocks(c, card, r)?);
            }
            Ok(())
        })
    }

    pub fn file_record(&self, card: CardId, relpath: &RelPath) -> Result<Option<FileRow>, CatalogError> {
        self.read(|c| {
            let mut statement = c.prepare_cached(&FILE.one)?;
            let mut rows = statement.query(params![card.to_string(), relpath.as_bytes()])?;
            rows.next()?.map(|r| with_blocks(c, card, r)).transpose()
        })
    }

    /// Without the block digests, for lists.
    pub fn file_digests(&self, card: CardId) -> Result<Vec<FileRow>, CatalogError> {
        self.read(|c| files(c, card))
    }
}

/// What was registered where it lies need not hold all that its other copies do.
pub(super) const LOST_COPIES: &str = "SELECT f.relpath FROM copy_root r JOIN card c ON c.id = r.card_id
    JOIN card_file f ON f.card_id = r.card_id
    WHERE c.source_kind <> 'registered' AND r.sealed = 1 AND r.retired_at IS NULL
      AND NOT EXISTS (SELECT 1 FROM copy y WHERE y.copy_root_id = r.id AND y.relpath = f.relpath)";

/// Two reads out of three agreed: their values replace the first read's, and the warning stays until a person accepts
/// it. Copies that were proven for other bytes are failed.
fn settle(c: &Connection, card: CardId, record: &FileRecord, warning: &Warning, now: Timestamp) -> Result<(), Fault> {
    store_read(c, card, record, 2, false, now)?;
    warnings::raise_event(c, card, warning, now)?;
    let sql = "SELECT copy_root_id FROM copy
               WHERE card_id = ?1 AND relpath = ?2 AND state = 'proven' AND blake3 <> ?3";
    let values = params![card.to_string(), record.file.relpath.as_bytes(), &record.digests.blake3[..]];
    let others: Vec<CopyRootId> = c
        .prepare(sql)?
        .query_map(values, |r| parsed(r, "copy_root_id", CopyRootId::parse))?
        .collect::<Result<_, _>>()?;
    for root in others {
        fail(c, card, root, &record.file.relpath, CopyState::Failed, OF_UNSTABLE_READ)?;
    }
    Ok(())
}

fn apply(c: &Tx<'_>, card: CardId, intent: &Intent, now: Timestamp) -> Result<(), Fault> {
    match intent {
        Intent::Read(record) => read(c, card, record, now),
        Intent::ReRead { file, equal } => reread(c, card, file, *equal, now),
        Intent::Settled { record, warning } => settle(c, card, record, warning, now),
        Intent::Proven { copy, relpath, size_bytes, mtime_ns, read_back, job } => {
            let proof = Proof { size_bytes: *size_bytes, mtime_ns: *mtime_ns, read_back: *read_back };
            if card_of(c, *copy)? != card {
                return Err(Fault::Refused(format!("copy folder {copy} is not of card {card}")));
            }
            prove(c, (card, *copy), relpath, *job, proof, mounts::current(c, *copy)?, now)?;
            retired::unretire(c, *copy, relpath)?;
            findings::clear(c, *copy, relpath, now)
        }
        Intent::Failed { copy, relpath, conflict, note } => {
            let state = if *conflict { CopyState::Conflict } else { CopyState::Failed };
            fail(c, card, *copy, relpath, state, note)
        }
        Intent::Found { copy, finding } => findings::add(c, card, *copy, finding, now),
        Intent::Log(text) => jobs::log(c, Some(card), jobs::open(c, card)?.map(|j| j.id), text, now),
    }
}

pub(super) fn file(c: &Connection, card: CardId, relpath: &RelPath) -> Result<FileRow, Fault> {
    let row =
        c.prepare_cached(&FILE.one)?.query_row(params![card.to_string(), relpath.as_bytes()], file_row).optional()?;
    row.ok_or_else(|| Fault::Unknown(format!("file \"{relpath}\" on card {card}")))
}

fn read(c: &Connection, card: CardId, record: &FileRecord, now: Timestamp) -> Result<(), Fault> {
    let known = file(c, card, &record.file.relpath)?;
    if !known.row_intact {
        // Nothing in the row can be relied on; this read replaces it, but clears no mark.
        return store_read(c, card, record, 1, known.unstable, now);
    }
    if known.file != record.file {
        let set = "unstable = 1, last_read_at = ?3";
        return change_file(c, card, &record.file.relpath, set, params![text_of(now)]);
    }
    let Some(first) = known.digests else { return store_read(c, card, record, 1, known.unstable, now) };
    // A later read may use more formats than the first: only what both have can be compared.
    let shared = |d: &Digest| record.digests.get(d.format).is_none_or(|other| other == *d);
    let equal = first.blake3 == record.digests.blake3 && first.mhl.iter().all(shared);
    if equal && record.digests.mhl.iter().any(|d| first.get(d.format).is_none()) {
        let mut both = record.clone();
        let all = HashFormat::MHL.into_iter().chain([HashFormat::Xxh32]);
        both.digests.mhl = all.filter_map(|f| record.digests.get(f).or(first.get(f))).collect();
        return store_read(c, card, &both, (known.equal_reads + 1).min(2), known.unstable, now);
    }
    reread(c, card, &record.file, equal, now)
}

fn reread(c: &Connection, card: CardId, file_now: &CardFile, equal: bool, now: Timestamp) -> Result<(), Fault> {
    let known = file(c, card, &file_now.relpath)?;
    let counts = equal && known.digests.is_some() && known.file == *file_now;
    let set = if counts {
        "equal_reads = min(equal_reads + 1, 2), last_read_at = ?3"
    } else {
        "unstable = 1, last_read_at = ?3"
    };
    change_file(c, card, &file_now.relpath, set, params![text_of(now)])
}

fn change_file(
    c: &Connection,
    card: CardId,
    relpath: &RelPath,
    set: &str,
    values: &[&dyn rusqlite::ToSql],
) -> Result<(), Fault> {
    FILE.change(c, [&card.to_string(), &relpath.as_bytes()], set, values)
}

/// Replaces all evidence of the row.
pub(super) fn store_read(
    c: &Connection,
    card: CardId,
    record: &FileRecord,
    equal_reads: u32,
    unstable: bool,
    now: Timestamp,
) -> Result<(), Fault> {
    let (key, path) = (card.to_string(), record.file.relpath.as_bytes());
    let blocks = record.blocks.to_bytes();
    let digests: Vec<String> = record.digests.mhl.iter().map(|d| format!("{}:{}", d.format, d.text())).collect();
    let changed = c
        .prepare_cached(
            "UPDATE card_file SET size_bytes = ?3, mtime_ns = ?4, blake3 = ?5, digests = ?6, blocks_sum = ?7,
               equal_reads = ?8, unstable = ?9, first_read_at = coalesce(first_read_at, ?10), last_read_at = ?10
             WHERE card_id = ?1 AND relpath = ?2",
        )?
        .execute(params![
            key,
            path,
            int(record.file.size_bytes),
            record.file.mtime_ns,
            &record.digests.blake3[..],
            digests.join(" "),
            &blake3::hash(&blocks).as_bytes()[..],
            equal_reads,
            unstable,
            text_of(now)
        ])?;
    if changed == 0 {
        return Err(Fault::Unknown(format!("file \"{}\" on card {card}", record.file.relpath)));
    }
    c.prepare_cached(
        "INSERT INTO file_blocks (card_id, relpath, blocks) VALUES (?1, ?2, ?3)
         ON CONFLICT (card_id, relpath) DO UPDATE SET blocks = excluded.blocks",
    )?
    .execute(params![key, path, blocks])?;
    Ok(FILE.seal(c, [&key, &path])?)
}

pub(super) fn card_of(c: &Connection, root: CopyRootId) -> Result<CardId, Fault> {
    let mut of = c.prepare_cached("SELECT card_id FROM copy_root WHERE id = ?1")?;
    let card = of.query_row([root.to_string()], |r| parsed(r, "card_id", CardId::parse)).optional()?;
    card.ok_or_else(|| Fault::Unknown(format!("copy folder {root}")))
}

/// BLAKE3 of what the card gave, from a row that holds its sum.
pub(super) fn file_blake3(c: &Connection, card: CardId, relpath: &RelPath) -> Result<[u8; 32], Fault> {
    blake3_of(&file(c, card, relpath)?)
}

fn blake3_of(known: &FileRow) -> Result<[u8; 32], Fault> {
    let relpath = &known.file.relpath;
    if !known.row_intact {
        return Err(Fault::Refused(format!("the row of file \"{relpath}\" is damaged, nothing can be proven by it")));
    }
    let digests = known.digests.as_ref();
    Ok(digests.ok_or_else(|| Fault::Refused(format!("\"{relpath}\" was never read whole")))?.blake3)
}

fn plan(
    c: &Connection,
    job: JobId,
    root: CopyRootId,
    path: &RelPath,
    temp: &RelPath,
    also_proven: bool,
) -> Result<(), Fault> {
    let card = card_of(c, root)?;
    let known = copy(c, root, path)?.filter(|known| known.row_intact);
    if !also_proven && known.as_ref().is_some_and(|known| known.state == CopyState::Proven) {
        return Ok(());
    }
    // That it was proven there once stays known: should it be lost, it is missing.
    let blake3 = known.as_ref().and_then(|known| known.blake3.as_ref()).map(|b| &b[..]);
    file(c, card, path)?;
    let none = rusqlite::types::Null;
    let (root, card, job) = (root.to_string(), card.to_string(), job.to_string());
    let (path, temp) = (path.as_bytes(), temp.as_bytes());
    let row: CopyColumns<'_> =
        [&root, &path, &card, &"planned", &job, &temp, &none, &none, &none, &none, &none, &blake3, &none, &none];
    Ok(COPY.put(c, &row)?)
}

/// The folder is one of the card's; `written_on`: the lifetime in which the bytes were written.
pub(super) fn prove(
    c: &Connection,
    (card, root): (CardId, CopyRootId),
    relpath: &RelPath,
    job: JobId,
    proof: Proof,
    written_on: Option<i64>,
    now: Timestamp,
) -> Result<(), Fault> {
    let known = file(c, card, relpath)?;
    let blake3 = blake3_of(&known)?;
    if known.file.size_bytes != proof.size_bytes {
        let (is, was) = (proof.size_bytes, known.file.size_bytes);
        return Err(Fault::Refused(format!(
            "a proven copy of \"{relpath}\" cannot have {is} bytes, the card's has {was}"
        )));
    }
    let none = rusqlite::types::Null;
    let (root, card, job, now) = (root.to_string(), card.to_string(), job.to_string(), text_of(now));
    let (path, size, class, blake3) = (relpath.as_bytes(), int(proof.size_bytes), proof.read_back.name(), &blake3[..]);
    let row: CopyColumns<'_> = [
        &root,
        &path,
        &card,
        &"proven",
        &job,
        &none,
        &size,
        &proof.mtime_ns,
        &class,
        &now,
        &now,
        &blake3,
        &none,
        &written_on,
    ];
    Ok(COPY.put(c, &row)?)
}

/// The columns of [`COPY`].
type CopyColumns<'a> = [&'a dyn rusqlite::ToSql; 14];

/// A temp name stays with the row: what is left on the disk keeps its owner.
pub(super) fn fail(
    c: &Connection,
    card: CardId,
    root: CopyRootId,
    relpath: &RelPath,
    state: CopyState,
    note: &str,
) -> Result<(), Fault> {
    if card_of(c, root)? != card {
        return Err(Fault::Refused(format!("copy folder {root} is not of card {card}")));
    }
    let (key, path) = (root.to_string(), relpath.as_bytes());
    // Intents name no job here; without an open one (a patrol) the row keeps its own.
    let job = jobs::open(c, card)?.map_or_else(|| JobId(uuid::Uuid::nil()), |j| j.id);
    c.prepare_cached(
        "INSERT INTO copy (copy_root_id, relpath, card_id, state, job_id, note) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
         ON CONFLICT (copy_root_id, relpath) DO UPDATE SET card_id = ?3, state = ?4, note = ?6",
    )?
    .execute(params![key, path, card.to_string(), state.name(), job.to_string(), note])?;
    // Sealing what may have been broken is sound here: the row now says that the copy is bad.
    Ok(COPY.seal(c, [&key, &path])?)
}

pub(super) fn copy(c: &Connection, root: CopyRootId, relpath: &RelPath) -> Result<Option<CopyRow>, Fault> {
    let key = params![root.to_string(), relpath.as_bytes()];
    Ok(c.prepare_cached(&COPY.one)?.query_row(key, copy_row).optional()?)
}

pub(super) fn copy_row(r: &Row<'_>) -> rusqlite::Result<CopyRow> {
    let at = |column| COPY.at(column);
    let state = CopyState::from_name(&r.get::<_, String>(at("state"))?);
    let size: Option<i64> = r.get(at("size_bytes"))?;
    let blake3: Option<Vec<u8>> = r.get(at("blake3"))?;
    let (class, proven_at): (Option<String>, Option<String>) = (r.get(at("read_back"))?, r.get(at("proven_at"))?);
    Ok(CopyRow {
        relpath: relpath(r, at("relpath"))?,
        row_intact: COPY.intact(r)? && state.is_some(),
        // A word that a flipped bit made unreadable is never a good word.
        state: state.unwrap_or(CopyState::Failed),
        job: parsed(r, at("job_id"), JobId::parse).unwrap_or(JobId(uuid::Uuid::nil())),
        temp: r.get::<_, Option<Vec<u8>>>(at("temp"))?.and_then(|t| RelPath::new(t).ok()),
        size_bytes: size.and_then(|n| u64::try_from(n).ok()),
        mtime_ns: r.get(at("mtime_ns"))?,
        read_back: class.and_then(|n| ReadBack::from_name(&n)),
        proven_at: proven_at.and_then(|t| t.parse().ok()),
        blake3: blake3.and_then(|b| b.try_into().ok()),
        note: r.get(at("note"))?,
        written_on: r.get(at("written_on"))?,
    })
}

pub(super) fn files(c: &Connection, card: CardId) -> Result<Vec<FileRow>, Fault> {
    let sql = format!("{} WHERE card_id = ?1 ORDER BY relpath", FILE.select);
    Ok(c.prepare_cached(&sql)?.query_map([card.to_string()], file_row)?.collect::<Result<_, _>>()?)
}

fn file_row(r: &Row<'_>) -> rusqlite::Result<FileRow> {
    let at = |column| FILE.at(column);
    let blake3: Option<Vec<u8>> = r.get(at("blake3"))?;
    let text: Option<String> = r.get(at("digests"))?;
    let read = |text: String| -> Option<Vec<Digest>> {
        let one = |word: &str| {
            let (format, value) = word.split_once(':')?;
            Digest::parse(HashFormat::from_name(format)?, value)
        };
        text.split_whitespace().map(one).collect()
    };
    let digests = blake3.and_then(|b| b.try_into().ok()).zip(text.and_then(read));
    let row_intact = FILE.intact(r)?;
    Ok(FileRow {
        file: cards::card_file(r, ["relpath", "size_bytes", "mtime_ns"].map(at))?,
        digests: digests.filter(|_| row_intact).map(|(blake3, mhl)| Digests { blake3, mhl }),
        blocks: BlockDigests::default(),
        equal_reads: u32::try_from(r.get::<_, i64>(at("equal_reads"))?).unwrap_or(0),
        unstable: r.get(at("unstable"))?,
        row_intact,
    })
}

fn with_blocks(c: &Connection, card: CardId, r: &Row<'_>) -> Result<FileRow, Fault> {
    let mut row = file_row(r)?;
    let sum: Option<Vec<u8>> = r.get(FILE.at("blocks_sum"))?;
    let Some(sum) = sum else { return Ok(row) };
    let sql = "SELECT blocks FROM file_blocks WHERE card_id = ?1 AND relpath = ?2";
    let key = params![card.to_string(), row.file.relpath.as_bytes()];
    let stored: Option<Vec<u8>> = c.prepare_cached(sql)?.query_row(key, |r| r.get(0)).optional()?;
    let good = stored.filter(|b| blake3::hash(b).as_bytes()[..] == sum[..]);
    match good.and_then(|b| BlockDigests::from_bytes(&b)) {
        Some(blocks) => row.blocks = blocks,
        None => row.row_intact = false,
    }
    Ok(row)
}
