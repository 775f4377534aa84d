//! A catalog made anew from what lies on the disks, when it is lost with all its backups.
//!
//! Every folder with a history is registered where it lies: read past the cache, compared, catalogued. Copies of one roll
//! are copies of one card: their histories list the same bytes, or our evidence beside them names the same card and
//! nothing contradicts it. Nothing that the lost catalog had proven is taken over.

use super::backups;
use super::{IngestError, Register, Station, places, register, standing};
use crate::catalog::{CardRow, Catalog, FileRow};
use crate::clip::{CardId, SourceKind};
use crate::disk::entries::EntryKind;
use crate::disk::{Root, facts};
use crate::ingest::CardReport;
use crate::job::Step;
use crate::mhl::{self, History, Record};
use crate::progress::{Event, Progress};
use crate::relpath::RelPath;
use jiff::Timestamp;
use serde::Serialize;
use std::collections::BTreeMap;
use std::io::{BufRead, Read};
use std::path::{Path, PathBuf};

/// Rolls lie this deep below a path, at most.
const DEEPEST: usize = 8;
const HEAD_BYTES: u64 = 64 << 10;

/// A copy that was found.
#[derive(Clone, Debug, Serialize)]
pub struct FoundCopy {
    pub path: String,
    pub roll: String,
    /// That its history lists.
    pub files: usize,
    /// The path of the first copy of the same card.
    pub same_as: Option<String>,
    /// The card's id in the lost catalog, by our evidence beside it.
    pub was_card: Option<String>,
    /// Why it cannot be taken in.
    pub refused: Option<String>,
}

/// What came of it.
#[derive(Debug, Default, Serialize)]
pub struct RebuildReport {
    /// As they stand now.
    pub cards: Vec<CardReport>,
    /// Copies that this catalog had already.
    pub already: Vec<String>,
    pub failed: Vec<NotRebuilt>,
}

#[derive(Debug, Serialize)]
pub struct NotRebuilt {
    pub path: String,
    pub error: String,
    /// Of cli.md: its history is damaged.
    pub history: bool,
}

/// Says which copies lie at or below the paths. Nothing is written.
pub fn find_copies(paths: &[PathBuf], progress: &dyn Progress) -> Result<Vec<FoundCopy>, IngestError> {
    let copies = Copy::all(paths, progress)?;
    let first = |group: usize| copies.iter().find(|c| c.group == group);
    let shown = |c: &Copy| FoundCopy {
        path: c.path.display().to_string(),
        roll: c.roll.clone(),
        files: c.records.len(),
        same_as: first(c.group).filter(|f| f.path != c.path).map(|f| f.path.display().to_string()),
        was_card: c.evidence.as_ref().map(|e| e.card.to_string()),
        refused: c.refused.clone(),
    };
    Ok(copies.iter().map(shown).collect())
}

/// Takes in every copy at or below the paths. What cannot be taken in is told, and the rest goes on.
pub fn rebuild(
    station: &Station,
    catalog: &mut Catalog,
    paths: &[PathBuf],
    no_media: bool,
    progress: &dyn Progress,
) -> Result<RebuildReport, IngestError> {
    let mut report = RebuildReport::default();
    let mut cards: BTreeMap<usize, CardId> = BTreeMap::new();
    let mut left = Vec::new();
    for copy in Copy::all(paths, progress)? {
        match copy.known(catalog)? {
            Known::Offloaded => {
                report.already.push(copy.path.display().to_string());
                continue;
            }
            Known::Done(card) => {
                cards.entry(copy.group).or_insert(card);
                report.already.push(copy.path.display().to_string());
                continue;
            }
            Known::Begun(card) => _ = cards.entry(copy.group).or_insert(card),
            Known::Not => {}
        }
        left.push(copy);
    }
    for copy in left {
        if progress.stop_asked() {
            return Err(IngestError::Stopped);
        }
        if let Some(why) = &copy.refused {
            report.failed.push(NotRebuilt {
                path: copy.path.display().to_string(),
                error: why.clone(),
                history: copy.faulty,
            });
            continue;
        }
        let into = match cards.get(&copy.group) {
            Some(card) => Some(*card),
            None => copy.known_by_its_bytes(catalog)?,
        };
        let request = Register {
            path: copy.path.clone(),
            roll: Some(copy.roll.clone()).filter(|_| into.is_none()),
            formats: Vec::new(),
            no_media,
            into,
        };
        match register(station, catalog, &request, progress) {
            Ok(standing) => {
                let Some(card) = CardId::parse(&standing.report.card) else { continue };
                cards.insert(copy.group, card);
                catalog.log(card, None, &copy.origin(), Timestamp::now())?;
            }
            Err(e @ (IngestError::Stopped | IngestError::Catalog(_) | IngestError::CannotRecord(_))) => return Err(e),
            Err(e) => {
                let error = e.to_string();
                progress.event(Event::Note(&format!("\"{}\" is not taken in: {error}", copy.path.display())));
                let history = matches!(e, IngestError::History(_) | IngestError::Legacy { .. });
                report.failed.push(NotRebuilt { path: copy.path.display().to_string(), error, history });
            }
        }
    }
    for card in cards.into_values() {
        report.cards.push(standing(station, catalog, card)?.report);
    }
    Ok(report)
}

/// What our evidence beside a copy says of its card.
struct Evidence {
    card: CardId,
    roll: Option<String>,
    source: Option<String>,
}

/// What the new catalog has of a copy.
enum Known {
    Not,
    Begun(CardId),
    Done(CardId),
    /// A card that was offloaded since the rebuild: looked after already, and no card for other folders to join.
    Offloaded,
}

/// One folder with a history.
struct Copy {
    path: PathBuf,
    roll: String,
    records: BTreeMap<RelPath, Record>,
    evidence: Option<Evidence>,
    /// Copies of one card have one number.
    group: usize,
    refused: Option<String>,
    faulty: bool,
}

impl Copy {
    fn all(paths: &[PathBuf], progress: &dyn Progress) -> Result<Vec<Copy>, IngestError> {
        let mut found: Vec<PathBuf> = Vec::new();
        for path in paths {
            let cannot = |source| IngestError::Folder { path: path.clone(), source };
            let root = Root::open(path).map_err(cannot)?;
            let before = found.len();
            walk(&root, &RelPath::root(), 0, &mut found, progress);
            if found.len() == before {
                let text = format!("\"{}\" holds no folder with a history; register takes in others", path.display());
                progress.event(Event::Note(&text));
            }
        }
        found.sort();
        found.dedup();
        let mut out: Vec<Copy> = Vec::new();
        for path in found {
            let mut copy = Copy::at(path);
            copy.group = out.iter().find(|other| other.is_same_card(&copy)).map_or(out.len(), |other| other.group);
            out.push(copy);
        }
        // A card's copies one after the other, in the order of their first one.
        out.sort_by_key(|c| c.group);
        Ok(out)
    }

    fn at(path: PathBuf) -> Self {
        let evidence = evidence_of(&path);
        let name = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
        let named = evidence.as_ref().and_then(|e| e.roll.clone()).filter(|r| places::check_roll(r).is_ok());
        let roll = named.unwrap_or(name);
        let mut copy = Copy { path, roll, records: BTreeMap::new(), evidence, group: 0, refused: None, faulty: false };
        match Root::open(&copy.path).map(|root| History::read(&root)) {
            Ok(Ok(history)) => copy.records = history.map(|h| h.records).unwrap_or_default(),
            Ok(Err(fault)) => (copy.refused, copy.faulty) = (Some(fault.to_string()), true),
            Err(e) => copy.refused = Some(e.to_string()),
        }
        // Only where we made a destination may a medium that can be carried away be written to.
        let removable = facts::of(&copy.path).is_ok_and(|f| f.removable);
        if removable && copy.refused.is_none() && !copy.path.parent().is_some_and(is_destination) {
            copy.refused =
                Some("it lies on a removable volume that is no destination of ours, and may be a card".into());
        }
        copy
    }

    fn is_same_card(&self, other: &Copy) -> bool {
        let id = |c: &Copy| c.evidence.as_ref().map(|e| e.card);
        let by_evidence = id(self).is_some() && id(self) == id(other);
        if !by_evidence && self.records.len() != other.records.len() {
            return false;
        }
        let mut shared = 0;
        for (path, record) in &self.records {
            let Some(theirs) = other.records.get(path) else {
                if by_evidence {
                    continue;
                }
                return false;
            };
            let mut common = record.known.iter().filter_map(|k| Some((&k.digest, theirs.get(k.digest.format)?)));
            match common.next() {
                Some((a, b)) if a != b => return false,
                Some(_) => shared += 1,
                None => {}
            }
        }
        shared > 0 && (by_evidence || shared == self.records.len())
    }

    fn known(&self, catalog: &Catalog) -> Result<Known, IngestError> {
        let Ok(facts) = facts::of(&self.path) else { return Ok(Known::Not) };
        let Some(volume) = catalog.volumes()?.into_iter().find(|v| v.key == facts.volume_key) else {
            return Ok(Known::Not);
        };
        let Some(row) = catalog.copy_root_at(volume.id, &facts.place)? else { return Ok(Known::Not) };
        if catalog.card(row.card)?.is_none_or(|c| c.source_kind != SourceKind::Registered) {
            return Ok(Known::Offloaded);
        }
        // A hold is of this copy or of another one; else its clips are still at work.
        let open = catalog.open_job(row.card)?.is_some_and(|job| job.hold.is_none());
        match row.hold.is_none() && row.step == Step::Done.name() && !open {
            true => Ok(Known::Done(row.card)),
            false => Ok(Known::Begun(row.card)),
        }
    }

    /// A card of an earlier run, all of whose files this copy's history lists with the same bytes.
    fn known_by_its_bytes(&self, catalog: &Catalog) -> Result<Option<CardId>, IngestError> {
        let many = self.records.len() as u64;
        let registered = |c: &CardRow| c.source_kind == SourceKind::Registered && c.files == many && many > 0;
        for card in catalog.cards()?.into_iter().filter(registered) {
            let same = |row: &FileRow| {
                let (Some(digests), Some(record)) = (&row.digests, self.records.get(&row.file.relpath)) else {
                    return false;
                };
                let mut common = record.known.iter().filter_map(|k| Some((&k.digest, digests.get(k.digest.format)?)));
                common.next().is_some_and(|(a, b)| *a == b)
            };
            if catalog.file_digests(card.id)?.iter().all(same) {
                return Ok(Some(card.id));
            }
        }
        Ok(None)
    }

    fn origin(&self) -> String {
        let mut text = format!("rebuilt from \"{}\"", self.path.display());
        if let Some(e) = &self.evidence {
            text.push_str(&format!("; the lost catalog knew it as card {}", e.card));
            if let Some(source) = &e.source {
                text.push_str(&format!(", read from \"{source}\""));
            }
        }
        text
    }
}

fn is_destination(folder: &Path) -> bool {
    Root::open(folder).is_ok_and(|root| backups::is_destination(&root))
}

/// Folders with a history; none is looked for inside another one.
fn walk(root: &Root, at: &RelPath, depth: usize, out: &mut Vec<PathBuf>, progress: &dyn Progress) {
    let entries = match root.entries(at) {
        Ok(entries) => entries,
        Err(e) => {
            let text = format!("\"{}\" is not looked into: {e}", at.under(root.path()).display());
            return progress.event(Event::Note(&text));
        }
    };
    let folders = || entries.iter().filter(|(_, kind)| *kind == EntryKind::Folder).map(|(name, _)| name);
    if folders().any(|name| name == mhl::FOLDER.as_bytes()) {
        out.push(at.under(root.path()));
        return;
    }
    if depth == DEEPEST {
        return;
    }
    for name in folders().filter(|name| !name.starts_with(b".")) {
        if let Ok(below) = at.join(name) {
            walk(root, &below, depth + 1, out, progress);
        }
    }
}

/// The head of the newest evidence of a roll's folder; `None` where there is none that can be read.
fn evidence_of(path: &Path) -> Option<Evidence> {
    let destination = Root::open(path.parent()?).ok()?;
    let place = RelPath::new(".goodgate/evidence").ok()?;
    let prefix = [path.file_name()?.as_encoded_bytes(), b"-"].concat();
    let of_roll = |name: &&Vec<u8>| {
        let number = name.strip_prefix(&prefix[..]).and_then(|n| n.strip_suffix(b".jsonl"));
        number.is_some_and(|n| !n.is_empty() && n.iter().all(u8::is_ascii_digit))
    };
    let names = destination.names(&place).ok()?;
    let file = destination.open_file(&place.join(names.iter().rfind(of_roll)?).ok()?).ok()?;
    let mut line = String::new();
    std::io::BufReader::new(file.take(HEAD_BYTES)).read_line(&mut line).ok()?;
    let head: serde_json::Value = serde_json::from_str(&line).ok()?;
    let text = |key: &str| head[key].as_str().map(str::to_owned);
    let card = text("card").filter(|_| head["goodgate"] == "evidence").and_then(|id| CardId::parse(&id))?;
    Some(Evidence { card, roll: text("roll"), source: text("source") })
}
