//! The next generation of a folder where it lies: every file read once, known ones checked, new ones recorded, renamed
//! ones followed. [`Lying`] and [`Judged`] are its halves, for whoever writes each read down and may go on later.

use super::check::{Renamed, TreeReport, Want, wants};
use super::history::{HistoryFault, Record, chain_path};
use super::lists::Packing;
use super::reading::{Ask, Got, Reading, read_all};
use super::records::nfc_pairs;
use super::seal::{MhlError, SealRequest, is_cut_short, seal, set_aside};
use super::survey::{Level, Survey, is_below, survey};
use super::v1::Legacy;
use super::{Creator, FOLDER, Process, rename};
use crate::digest::HashFormat;
use crate::disk::Root;
use crate::progress::Progress;
use crate::relpath::RelPath;
use crate::verify::{SealAction, SealEntry, Taken};
use jiff::Timestamp;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};

pub struct InPlace<'a> {
    pub root: &'a Root,
    pub reading: Reading<'a>,
    /// What new files get, and known ones beside a format that their history has.
    pub formats: &'a [HashFormat],
    pub creator: &'a Creator,
    /// Patterns to add to those in force.
    pub ignore: &'a [String],
    pub started_at: Timestamp,
    /// Legacy lists in the folder, which the same read is compared with.
    pub legacy: &'a [(String, Legacy)],
    pub packing: Option<&'a (String, Packing)>,
    /// Every digest of a file is written that was computed, whatever its history asks for by now: so a second try writes
    /// the same bytes.
    pub all_digests: bool,
    /// It is the second try of a seal that was cut short, with the same `started_at`: what that left is ours.
    pub resume: bool,
}

/// The object of `mhl seal`.
#[derive(Clone, Debug, Default, Serialize)]
pub struct SealReport {
    pub generation: u32,
    /// Relative to the folder.
    pub manifest: RelPath,
    pub c4: String,
    pub files: u64,
    pub bytes: u64,
    pub original: u64,
    pub verified: u64,
    /// Not what the history, or a list, says of them.
    pub altered: Vec<RelPath>,
    pub missing: Vec<RelPath>,
    pub missing_dirs: Vec<RelPath>,
    pub renamed: Vec<Renamed>,
    pub unreadable: Vec<RelPath>,
    pub specials: Vec<RelPath>,
    /// Left out: no manifest can hold their names.
    pub unnamed: Vec<RelPath>,
    pub faults: Vec<String>,
    pub notes: Vec<String>,
}

impl SealReport {
    /// By cli.md: the first of 11, 12, 10, 1.
    pub fn exit_code(&self) -> u8 {
        match () {
            () if !self.altered.is_empty() => 11,
            () if !self.unreadable.is_empty() => 12,
            () if !self.missing.is_empty() || !self.missing_dirs.is_empty() => 10,
            () if !self.unnamed.is_empty() => 1,
            () => 0,
        }
    }
}

/// Reads the folder and writes the generation. Nothing is written when a history in it does not hold, or when it is
/// stopped before the end (`Ok(None)`).
pub fn seal_in_place(request: &InPlace<'_>, progress: &dyn Progress) -> Result<Option<SealReport>, MhlError> {
    let mut lying = Lying::of(request)?;
    let mut stopped = false;
    let mut taken: BTreeMap<RelPath, Taken> = BTreeMap::new();
    let asked: Vec<Ask> = lying.wanted.iter().map(|w| w.ask.clone()).collect();
    read_all(request.root, request.reading, &asked, progress, |i, got| match got {
        Got::Stopped => stopped = true,
        Got::Taken(t) => _ = taken.insert(asked[i].path.clone(), t),
        Got::Missing => lying.work.out.missing.push(asked[i].path.clone()),
        Got::Changing => lying.work.unreadable(&asked[i].path, "it changes while it is read"),
        Got::Unreadable(why) => lying.work.unreadable(&asked[i].path, &why),
    });
    if stopped {
        return Ok(None);
    }
    lying.judge(taken).seal().map(Some)
}

/// A folder before its footage is read: what lies there, and what its histories and the lists say of it.
pub struct Lying<'a> {
    tree: Survey,
    ignore: Vec<String>,
    wanted: Vec<Wanted>,
    work: Work<'a>,
}

impl<'a> Lying<'a> {
    /// Reads names and manifests. An error when a history in the folder does not hold.
    pub fn of(request: &'a InPlace<'a>) -> Result<Self, MhlError> {
        let mut ignore = request.ignore.to_vec();
        let mut tree = survey(request.root, &ignore, true);
        if tree.levels.iter().any(|l| l.files.iter().chain(&l.folders).any(|f| f.hidden)) {
            // What is ours and no footage: the manifest has to say that it leaves it out.
            ignore.extend([".goodgate/".to_owned(), "*.goodgate-part".to_owned()]);
            tree = survey(request.root, &ignore, true);
        }
        if !request.resume && left_by_a_first_seal(request, &tree)? {
            tree.faults.clear();
        }
        tree.faults.retain(|fault| !(request.resume && is_our_first(fault, request.started_at)));
        if let Some(fault) = std::mem::take(&mut tree.faults).into_iter().next() {
            return Err(fault.into());
        }
        let mut work = Work::new(request, &tree);
        let mut wanted = Vec::new();
        for level in &tree.levels {
            work.plan(level, &tree.unreadable, &mut wanted);
        }
        wanted.sort_by(|a, b| a.ask.path.cmp(&b.ask.path));
        Ok(Lying { tree, ignore, wanted, work })
    }

    fn wanted(&self, path: &RelPath) -> Option<&Wanted> {
        self.wanted.binary_search_by(|w| w.ask.path.cmp(path)).ok().map(|i| &self.wanted[i])
    }

    /// What is to be computed of a file; `None` for one that no generation will list.
    pub fn formats(&self, path: &RelPath) -> Option<&[HashFormat]> {
        self.wanted(path).map(|w| &w.ask.formats[..])
    }

    /// Every file that the generation will list.
    pub fn paths(&self) -> impl Iterator<Item = &RelPath> {
        self.wanted.iter().map(|w| &w.ask.path)
    }

    /// What does not fit the file's record or a list, in words.
    pub fn fault(&self, taken: &Taken) -> Option<String> {
        let wanted = self.wanted(taken.relpath())?;
        let recorded = wanted.record.iter().flat_map(|(_, r)| wants(r));
        wanted.lists.iter().cloned().chain(recorded).find_map(|w| w.fault(taken))
    }

    /// Whether a history or a list knows the file's bytes.
    pub fn is_listed(&self, path: &RelPath) -> bool {
        let known = |w: &Wanted| !w.lists.is_empty() || w.record.as_ref().is_some_and(|(_, r)| !r.known.is_empty());
        self.wanted(path).is_some_and(known)
    }

    /// Finds what was renamed, and which word each file gets. A file that is not in `taken` is left out.
    pub fn judge(mut self, mut taken: BTreeMap<RelPath, Taken>) -> Judged<'a> {
        let taken: Vec<Option<Taken>> = self.wanted.iter().map(|w| taken.remove(&w.ask.path)).collect();
        self.work.find_renames(&self.tree, &self.wanted, &taken);
        self.work.judge(&self.wanted, taken);
        self.work.tell_missing();
        Judged { tree: self.tree, ignore: self.ignore, work: self.work }
    }
}

/// What a crash of our own first seal leaves: the folder, and in it no more than the one manifest that we would write.
fn is_our_first(fault: &HistoryFault, started_at: Timestamp) -> bool {
    let HistoryFault::ChainMissing { folder, manifests, .. } = fault else { return false };
    let end = super::seal::name_end(started_at);
    let ours = |m: &RelPath| m.name().starts_with(b"0001_") && m.name().ends_with(end.as_bytes());
    folder.as_bytes() == FOLDER.as_bytes() && manifests.len() <= 1 && manifests.iter().all(ours)
}

/// What was read, compared; not sealed yet.
pub struct Judged<'a> {
    tree: Survey,
    ignore: Vec<String>,
    work: Work<'a>,
}

impl Judged<'_> {
    /// The generation's number, name and digest are still to come.
    pub fn report(&self) -> &SealReport {
        &self.work.out
    }

    pub fn seal(self) -> Result<SealReport, MhlError> {
        self.work.seal(&self.tree, &self.ignore)
    }
}

/// Our first seal here died before its chain was there, and nothing else is wrong: what it left is set aside.
fn left_by_a_first_seal(request: &InPlace<'_>, tree: &Survey) -> Result<bool, MhlError> {
    let root = request.root;
    let [HistoryFault::ChainMissing { folder, manifests, .. }] = &tree.faults[..] else { return Ok(false) };
    let is_top = *folder == chain_path().parent() && root.stat(&chain_path()).is_ok_and(|s| s.is_none());
    let ours = manifests.iter().all(|m| is_cut_short(root, m, 1, request.creator));
    let is_part = |name: &Vec<u8>| name.ends_with(b".goodgate-part");
    let unfinished = !manifests.is_empty() || root.names(folder).is_ok_and(|names| names.iter().any(is_part));
    if !is_top || !ours || !unfinished {
        return Ok(false);
    }
    for path in manifests {
        set_aside(root, path).map_err(|source| MhlError::Io { path: path.clone(), source })?;
    }
    Ok(true)
}

/// A file to be read, with what is known of it.
struct Wanted {
    ask: Ask,
    level: RelPath,
    /// Its record's path and what that says.
    record: Option<(RelPath, Record)>,
    lists: Vec<Want>,
}

struct Work<'a> {
    request: &'a InPlace<'a>,
    formats: Vec<HashFormat>,
    entries: Vec<SealEntry>,
    /// Of each level: recorded files and folders that are not there.
    gone: BTreeMap<RelPath, BTreeMap<RelPath, Record>>,
    gone_folders: BTreeMap<RelPath, BTreeSet<RelPath>>,
    /// New path -> old path, from the root of all.
    renames: BTreeMap<RelPath, RelPath>,
    listed: usize,
    out: SealReport,
}

impl<'a> Work<'a> {
    fn new(request: &'a InPlace<'a>, tree: &Survey) -> Self {
        let mut report = TreeReport::default();
        report.of_faults(tree);
        let out = SealReport {
            unreadable: report.unreadable,
            faults: report.faults,
            notes: report.notes,
            ..SealReport::default()
        };
        let mut formats = request.formats.to_vec();
        formats.sort();
        formats.dedup();
        Work {
            request,
            formats,
            entries: Vec::new(),
            gone: BTreeMap::new(),
            gone_folders: BTreeMap::new(),
            renames: BTreeMap::new(),
            listed: 0,
            out,
        }
    }

    fn unreadable(&mut self, path: &RelPath, why: &str) {
        self.out.unreadable.push(path.clone());
        self.out.faults.push(format!("\"{path}\": {why}"));
    }

    /// The formats of the asked that a record has, or one that it has beside them.
    fn common(&self, record: &Record) -> Option<HashFormat> {
        let known = record.formats();
        match known.iter().any(|f| self.formats.contains(f)) {
            true => None,
            false => super::quickest(record).map(|d| d.format),
        }
    }

    fn plan(&mut self, level: &Level, unreadable: &[(RelPath, String)], wanted: &mut Vec<Wanted>) {
        let full = |path: &RelPath| level.base.join_rel(path);
        let is_blind = |path: &RelPath| is_below(&full(path), unreadable);
        let none = BTreeMap::new();
        let records = level.history.as_ref().map_or(&none, |h| &h.records);
        let there: BTreeSet<&RelPath> = level.files.iter().map(|f| &f.path).collect();
        let gone: Vec<&RelPath> = records
            .keys()
            .filter(|p| !there.contains(p) && !level.patterns.ignores(p, false) && !is_blind(p))
            .collect();
        let fresh = there.iter().copied().filter(|p| !records.contains_key(p));
        let forms: BTreeMap<&RelPath, &RelPath> =
            nfc_pairs(gone.iter().copied(), fresh).into_iter().map(|(old, new)| (new, old)).collect();
        let old: BTreeSet<&RelPath> = forms.values().copied().collect();
        let gone: BTreeMap<RelPath, Record> =
            gone.into_iter().filter(|p| !old.contains(p)).map(|p| (p.clone(), records[p].clone())).collect();
        let mut for_strangers = self.formats.clone();
        for_strangers.extend(gone.values().filter_map(|r| self.common(r)));
        for_strangers.sort();
        for_strangers.dedup();
        for found in &level.files {
            let record = match records.get_key_value(&found.path) {
                Some((path, record)) => Some((path.clone(), record.clone())),
                None => forms.get(&found.path).map(|old| {
                    // The name on the disk is the one that is written down: to other tools that is a rename.
                    self.renames.insert(full(&found.path), full(old));
                    ((*old).clone(), records[*old].clone())
                }),
            };
            let path = full(&found.path);
            let mut formats = match &record {
                Some((_, record)) => self.formats.iter().copied().chain(self.common(record)).collect(),
                None => for_strangers.clone(),
            };
            let lists = self.lists_of(&path);
            formats.extend(lists.iter().filter_map(Want::format));
            formats.sort();
            formats.dedup();
            let size_bytes = record.as_ref().and_then(|(_, r)| r.size_bytes).unwrap_or(0);
            let ask = Ask { path, formats, size_bytes };
            wanted.push(Wanted { ask, level: level.base.clone(), record, lists });
        }
        let folders: BTreeSet<&RelPath> = level.folders.iter().map(|f| &f.path).collect();
        let listed = level.history.iter().flat_map(|h| &h.folders);
        let mut lost: BTreeSet<RelPath> = listed
            .clone()
            .filter(|f| !folders.contains(f) && !level.patterns.ignores(f, true) && !is_blind(f))
            .cloned()
            .collect();
        let recorded: BTreeSet<&RelPath> = listed.collect();
        let forms = nfc_pairs(lost.iter(), folders.iter().copied().filter(|f| !recorded.contains(f)));
        let forms: Vec<(RelPath, RelPath)> = forms.into_iter().map(|(old, new)| (old.clone(), new.clone())).collect();
        for (old, new) in forms {
            lost.remove(&old);
            self.renames.insert(full(&new), full(&old));
        }
        self.gone.insert(level.base.clone(), gone);
        self.gone_folders.insert(level.base.clone(), lost);
        self.out.specials.extend(level.specials.iter().map(|s| full(&s.path)));
    }

    fn lists_of(&self, path: &RelPath) -> Vec<Want> {
        let legacy = self.request.legacy.iter().filter_map(|(_, l)| l.files.get(path)).flatten().cloned();
        let packing = self.request.packing.iter().filter_map(|(_, p)| p.records.get(path)).flat_map(wants);
        legacy.chain(packing).collect()
    }

    fn find_renames(&mut self, tree: &Survey, wanted: &[Wanted], taken: &[Option<Taken>]) {
        for level in &tree.levels {
            let Some(history) = &level.history else { continue };
            let Some(gone) = self.gone.get_mut(&level.base).filter(|g| !g.is_empty()) else { continue };
            let missing: Vec<(&RelPath, &Record)> = gone.iter().collect();
            let strangers: Vec<&Taken> = wanted
                .iter()
                .zip(taken)
                .filter(|(w, _)| w.record.is_none() && w.level == level.base)
                .filter_map(|(_, t)| t.as_ref())
                .collect();
            let pairs: BTreeMap<RelPath, RelPath> = rename::pairs(&missing, &strangers)
                .into_iter()
                .filter_map(|(old, new)| Some((old, new.strip_prefix(&level.base)?)))
                .collect();
            if let Some(old) = pairs.keys().find(|p| history.records[*p].previous.is_some()) {
                let text = format!("\"{old}\" is renamed for the second time: the reference tool will call it missing");
                self.out.notes.push(text);
            }
            if !level.base.is_root() && !pairs.is_empty() {
                let text =
                    format!("\"{}\": asked from above, the reference tool will call renamed files new", level.base);
                self.out.notes.push(text);
            }
            let full = |path: &RelPath| level.base.join_rel(path);
            let fresh: BTreeSet<RelPath> =
                level.folders.iter().map(|f| f.path.clone()).filter(|f| !history.folders.contains(f)).collect();
            let lost = self.gone_folders.entry(level.base.clone()).or_default();
            let moved = rename::folders(&pairs, &history.records, lost, &fresh);
            for (old, new) in &moved {
                lost.remove(old);
                self.renames.insert(full(new), full(old));
            }
            for (old, new) in pairs {
                gone.remove(&old);
                self.out.renamed.push(Renamed { from: full(&old), to: full(&new) });
                self.renames.insert(full(&new), full(&old));
            }
        }
    }

    /// Which files go into the manifest, and how.
    fn judge(&mut self, wanted: &[Wanted], taken: Vec<Option<Taken>>) {
        let records: BTreeMap<RelPath, Record> = self
            .renames
            .iter()
            .filter_map(|(new, old)| {
                let of_level =
                    |(base, gone): (&RelPath, &BTreeMap<RelPath, Record>)| gone.get(&old.strip_prefix(base)?).cloned();
                Some((new.clone(), self.gone.iter().find_map(of_level)?))
            })
            .collect();
        for (wanted, taken) in wanted.iter().zip(taken) {
            let Some(mut taken) = taken else { continue };
            let path = &wanted.ask.path;
            self.out.files += 1;
            self.out.bytes += taken.stat().size_bytes;
            if let Some(what) = wanted.lists.iter().find_map(|w| w.fault(&taken)) {
                self.out.altered.push(path.clone());
                self.out.faults.push(format!("\"{path}\": {what}"));
                continue;
            }
            self.listed += usize::from(!wanted.lists.is_empty());
            if path.as_portable().is_none() {
                self.out.unnamed.push(path.clone());
            }
            let record = wanted.record.as_ref().map(|(_, r)| r).or(records.get(path)).filter(|r| !r.known.is_empty());
            let renamed = self.renames.contains_key(path);
            let keep: Vec<HashFormat> = match record {
                Some(record) => self.formats.iter().copied().chain(self.common(record)).collect(),
                None if renamed => wanted.ask.formats.clone(),
                None => self.formats.clone(),
            };
            if !self.request.all_digests {
                taken.keep(&keep);
            }
            let fault = record.iter().flat_map(|r| wants(r)).find_map(|w| w.fault(&taken));
            let action = match (record, fault) {
                (_, Some(what)) => {
                    self.out.altered.push(path.clone());
                    self.out.faults.push(format!("\"{path}\": {what}"));
                    SealAction::Failed
                }
                (None, None) if !renamed => {
                    self.out.original += 1;
                    SealAction::Original
                }
                _ => {
                    self.out.verified += 1;
                    SealAction::Verified
                }
            };
            self.entries.push(SealEntry::taken(taken, action));
        }
    }

    fn seal(mut self, tree: &Survey, ignore: &[String]) -> Result<SealReport, MhlError> {
        let (mut folders, mut folder_times) = (Vec::new(), BTreeMap::new());
        for level in &tree.levels {
            for folder in &level.folders {
                let path = level.base.join_rel(&folder.path);
                if let Ok(stat) = self.request.root.folder_stat(&path) {
                    folder_times.insert(path.clone(), stat.mtime_ns);
                }
                folders.push(path);
            }
            if !level.base.is_root() {
                // This says that there is a history to be continued.
                folders.extend(level.base.join(FOLDER));
            }
        }
        let mut creator = self.request.creator.clone();
        let names = self.request.legacy.iter().map(|(name, _)| name);
        let names: Vec<&String> = names.chain(self.request.packing.iter().map(|(name, _)| name)).collect();
        if !names.is_empty() {
            let names: Vec<String> = names.iter().map(|n| format!("\"{n}\"")).collect();
            let said = format!("{} files were checked against {}", self.listed, names.join(", "));
            let comment = creator.comment.iter().cloned().chain([said]).collect::<Vec<_>>();
            creator.comment = Some(comment.join("; "));
        }
        let odd = self.entries.iter().filter(|e| e.relpath().as_bytes().contains(&b'\\')).count();
        if odd > 0 {
            self.out.notes.push(format!("{odd} names with a backslash: on Windows they lead into folders"));
        }
        let whole = self.out.unreadable.is_empty() && self.entries.len() as u64 == self.out.files;
        let generation = seal(&SealRequest {
            root: self.request.root,
            entries: &self.entries,
            folders: &folders,
            folder_times: &folder_times,
            renames: &self.renames,
            process: Process::InPlace,
            whole,
            creator: &creator,
            ignore,
            started_at: self.request.started_at,
            may_fail: false,
            resume: self.request.resume,
        })?;
        let out = &mut self.out;
        (out.generation, out.manifest, out.c4) = (generation.number, generation.manifest, generation.c4.text());
        Ok(self.out)
    }

    fn tell_missing(&mut self) {
        let out = &mut self.out;
        out.missing.extend(self.gone.iter().flat_map(|(base, gone)| gone.keys().map(move |p| base.join_rel(p))));
        let lost = self.gone_folders.iter().flat_map(|(base, gone)| gone.iter().map(move |p| base.join_rel(p)));
        out.missing_dirs.extend(lost);
        for list in [&mut out.altered, &mut out.missing, &mut out.missing_dirs, &mut out.unreadable, &mut out.specials]
        {
            list.sort();
            list.dedup();
        }
        out.renamed.sort_by(|a, b| a.to.cmp(&b.to));
    }
}
