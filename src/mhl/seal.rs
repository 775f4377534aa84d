//! Appends one generation to the history of a roll, and to each history nested in it, deepest first.
//!
//! The manifest is written before the chain. After a crash between the two the same request, with the same
//! `started_at`, gives the same name and the same bytes: the manifest found there is then ours and only the chain is
//! written. After a crash behind both it finds its own generation and writes nothing. A seal that reads the files anew
//! (`mhl seal`) can not write the same bytes: what its forerunner left is set aside. Any other manifest that no chain
//! lists is somebody else's: it is never touched, and we stop.

use super::chain::{self, Link};
use super::history::{History, HistoryFault, Record, chain_path, check_references, nested_roots, read_own};
use super::ignore::Patterns;
use super::manifest;
use super::tree_hash::{Pair, tree_hash};
use super::write::{FileRow, FolderRow, HashRow, Manifest, Row};
use super::{Creator, FOLDER, Process};
use crate::copy::Generation;
use crate::digest::{Digest, HashFormat};
use crate::disk::Root;
use crate::disk::write::{Replace, move_aside, remove, write_whole};
use crate::hash::digest_of;
use crate::progress::Silent;
use crate::relpath::RelPath;
use crate::verify::{Lane, SealAction, SealEntry, take_all};
use std::collections::{BTreeMap, BTreeSet};
use std::io;

#[derive(Debug, thiserror::Error)]
pub enum MhlError {
    #[error(transparent)]
    History(#[from] HistoryFault),
    #[error("\"{path}\" holds digests other than C4, and appending to it would break it for other tools")]
    NotC4 { path: RelPath },
    #[error("\"{path}\" is a manifest that the chain does not list; move it out of the history and seal again")]
    Unlisted { path: RelPath },
    #[error("\"{path}\" was changed by another program while we sealed; seal again")]
    Raced { path: RelPath },
    #[error("\"{path}\": the {format} digest to be sealed as good is not the one in the history")]
    Contradiction { path: RelPath, format: HashFormat },
    #[error("\"{path}\": the history knows only {known}; hash one of these formats too")]
    NoCommonFormat { path: RelPath, known: String },
    #[error("\"{path}\" cannot be sealed: {why}")]
    Entry { path: RelPath, why: &'static str },
    #[error("\"{email}\" is no email address that a manifest may hold")]
    Email { email: String },
    #[error("cannot write \"{path}\": {source}")]
    Io { path: RelPath, source: io::Error },
}

pub struct SealRequest<'a> {
    /// The roll's folder.
    pub root: &'a Root,
    pub entries: &'a [SealEntry],
    /// All folders, the empty ones too; that of a nested history says that it is to be continued.
    pub folders: &'a [RelPath],
    /// Times of folders, in nanoseconds, to be written down. Those of a copy say nothing: leave them out.
    pub folder_times: &'a BTreeMap<RelPath, i64>,
    /// New path of a file or folder -> the one in the history's latest record; both in the same history.
    pub renames: &'a BTreeMap<RelPath, RelPath>,
    pub process: Process,
    /// Every file of the roll is in `entries`: folder hashes are written, which claim just that.
    pub whole: bool,
    pub creator: &'a Creator,
    /// Patterns to add behind the defaults and those of the latest generation.
    pub ignore: &'a [String],
    /// Part of the manifest's name, in whole seconds; keep it when a seal is tried again.
    pub started_at: jiff::Timestamp,
    /// What contradicts the history is written down as failed, for whoever told a person of it; else it is refused.
    pub may_fail: bool,
    /// It may be the second try of a seal that was cut short: one that is there already is not made again.
    pub resume: bool,
}

/// Writes the next generation and returns it as the chain now holds it.
pub fn seal(request: &SealRequest<'_>) -> Result<Generation, MhlError> {
    if let Some(email) = request.creator.author.as_ref().and_then(|a| a.email.as_deref()) {
        let good = email.split_once('@').filter(|(name, _)| !name.is_empty()).and_then(|(_, h)| h.split_once('.'));
        if !good.is_some_and(|(host, rest)| !host.is_empty() && !rest.is_empty()) {
            return Err(MhlError::Email { email: email.into() });
        }
    }
    let _turn = Turn::take(request.root);
    let levels = levels(request)?;
    let plan = Plan::new(request, &levels)?;
    let mut done: BTreeMap<&RelPath, Generation> = BTreeMap::new();
    // A nested history sorts behind the one around it; the outer manifest needs the C4 of the inner.
    for level in levels.iter().rev() {
        let touched = plan.whole || plan.entries.iter().any(|e| level.owns(e.relpath(), &levels));
        if level.base.is_root() || touched {
            let generation = level.append(request, &plan, &levels, &done)?;
            done.insert(&level.base, generation);
        }
    }
    let root = done.remove(&RelPath::root());
    root.ok_or(MhlError::Entry { path: RelPath::root(), why: "it has no history" })
}

/// The end of the names of all manifests of one seal.
pub(super) fn name_end(at: jiff::Timestamp) -> String {
    at.strftime("_%Y-%m-%d_%H%M%SZ.mhl").to_string()
}

/// One process of ours at a time appends below a folder. Where the filesystem knows no locks there is none.
struct Turn<'a>(&'a Root);

impl<'a> Turn<'a> {
    fn take(root: &'a Root) -> Self {
        let _ = rustix::fs::flock(root.fd(), rustix::fs::FlockOperation::LockExclusive);
        Turn(root)
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let _ = rustix::fs::flock(self.0.fd(), rustix::fs::FlockOperation::Unlock);
    }
}

/// One history: the roll's own or a nested one.
struct Level {
    base: RelPath,
    root: Root,
    history: Option<History>,
    patterns: Patterns,
    /// Manifests without a chain, which a crash of our first seal may have left.
    orphans: Vec<RelPath>,
}

/// The roll's history first, then each nested one behind the one around it.
fn levels(request: &SealRequest<'_>) -> Result<Vec<Level>, MhlError> {
    let mut out: Vec<Level> = Vec::new();
    for base in [RelPath::root()].into_iter().chain(nested_roots(request.folders)) {
        let root = request.root.sub_root(&base);
        let root = root.map_err(|source| HistoryFault::Io { path: base.clone(), source })?;
        let own = read_own(&root, None).and_then(|h| {
            h.iter().try_for_each(|h| check_references(&root, h))?;
            Ok(h)
        });
        let (history, orphans) = match own {
            Ok(history) => (history, Vec::new()),
            Err(HistoryFault::ChainMissing { manifests, .. })
                if base.is_root() && root.stat(&chain_path()).is_ok_and(|s| s.is_none()) =>
            {
                (None, manifests)
            }
            Err(fault) => return Err(fault.below(&base).into()),
        };
        if history.iter().flat_map(|h| &h.links).any(|l| l.digest.format != HashFormat::C4) {
            return Err(MhlError::NotC4 { path: base.join_rel(&chain_path()) });
        }
        let own = history.iter().flat_map(|h| h.ignore.lines().to_vec());
        let outer = out.iter().rev().find(|l| base.strip_prefix(&l.base).is_some());
        let added = match outer {
            Some(l) => l.patterns.carried_into(&base.strip_prefix(&l.base).unwrap_or_default()),
            None => request.ignore.to_vec(),
        };
        let lines: Vec<String> = own.chain(added).collect();
        let patterns = Patterns::new(lines.iter().map(String::as_str));
        out.push(Level { base, root, history, patterns, orphans });
    }
    Ok(out)
}

/// What is the same for all levels.
struct Plan<'a> {
    whole: bool,
    entries: Vec<&'a SealEntry>,
    folders: BTreeSet<RelPath>,
    trees: Vec<BTreeMap<RelPath, Pair>>,
    /// Files and folders whose name no manifest can hold.
    unnamed: Vec<RelPath>,
}

impl<'a> Plan<'a> {
    fn new(request: &SealRequest<'a>, levels: &[Level]) -> Result<Self, MhlError> {
        let kept = |path: &RelPath, is_dir: bool| {
            let rest = |l: &Level| path.strip_prefix(&l.base).filter(|r| !r.is_root());
            !levels.iter().any(|l| rest(l).is_some_and(|r| l.patterns.ignores(&r, is_dir)))
        };
        let (mut entries, mut unnamed, mut seen) = (Vec::new(), Vec::new(), BTreeSet::new());
        for entry in request.entries.iter().filter(|e| kept(e.relpath(), false)) {
            let path = entry.relpath();
            let refuse = |why| Err(MhlError::Entry { path: path.clone(), why });
            if !seen.insert(path) {
                return refuse("it is listed twice");
            }
            if !entry.digests().iter().any(|d| HashFormat::MHL.contains(&d.format)) {
                return refuse("it has no digest in a format that a manifest may hold");
            }
            if path.as_portable().is_some() {
                entries.push(entry);
            } else {
                unnamed.push(path.clone());
            }
        }
        let above = entries.iter().flat_map(|e| e.relpath().ancestors());
        let all: BTreeSet<RelPath> = request.folders.iter().cloned().chain(above).filter(|f| !f.is_root()).collect();
        let mut folders = BTreeSet::new();
        for folder in all.into_iter().filter(|f| kept(f, true)) {
            if folder.as_portable().is_some() {
                folders.insert(folder);
            } else {
                unnamed.push(folder);
            }
        }
        // A manifest that leaves something out makes no claim for the whole.
        let whole = request.whole && unnamed.is_empty();
        let mut formats: Vec<HashFormat> = HashFormat::MHL.to_vec();
        formats.retain(|f| entries.iter().all(|e| digest_in(e, *f).is_some()));
        if entries.is_empty() {
            formats = vec![HashFormat::Xxh64];
        }
        let tree = |f: &HashFormat| {
            let files = entries.iter().filter_map(|e| Some((e.relpath(), digest_in(e, *f)?)));
            tree_hash(*f, files, &folders)
        };
        let trees = if whole { formats.iter().map(tree).collect() } else { Vec::new() };
        Ok(Plan { whole, entries, folders, trees, unnamed })
    }

    fn pairs(&self, folder: &RelPath) -> Vec<&Pair> {
        self.trees.iter().filter_map(|t| t.get(folder)).collect()
    }
}

fn digest_in(entry: &SealEntry, format: HashFormat) -> Option<&Digest> {
    entry.digests().iter().find(|d| d.format == format)
}

impl Level {
    /// Whether this is the nearest history above `path`; a nested history's root belongs to the one around it.
    fn owns(&self, path: &RelPath, levels: &[Level]) -> bool {
        let below = |l: &Level| path.strip_prefix(&l.base).is_some_and(|r| !r.is_root());
        below(self)
            && !levels.iter().any(|l| l.base > self.base && l.base.strip_prefix(&self.base).is_some() && below(l))
    }

    fn append(
        &self,
        request: &SealRequest<'_>,
        plan: &Plan<'_>,
        levels: &[Level],
        done: &BTreeMap<&RelPath, Generation>,
    ) -> Result<Generation, MhlError> {
        let listed = |path: &RelPath| self.base.join_rel(path);
        let draft = |count: usize| self.draft(request, plan, levels, done, count);
        let links = self.history.as_ref().map(|h| &h.links[..]).unwrap_or_default();
        if request.resume
            && let Some(last) = links.last()
            && last.name == self.manifest_name(last.number, request.started_at)
            && last.holds(&draft(links.len() - 1)?)
        {
            return Ok(generation(last));
        }
        let number = links.last().map_or(0, |l| l.number).saturating_add(1);
        let name = self.manifest_name(number, request.started_at);
        let bytes = draft(links.len())?;
        let link = Link { number, name, digest: digest_of(HashFormat::C4, &bytes) };
        let made = generation(&link);
        let io = |path: &RelPath| {
            let path = listed(path);
            move |source| MhlError::Io { path, source }
        };
        let mut there = false;
        for path in self.history.as_ref().map_or(&self.orphans, |h| &h.unlisted) {
            let same = || self.root.read_small(path, manifest::LIMIT_BYTES).is_ok_and(|found| found == bytes);
            if *path == made.manifest && same() {
                there = true;
            } else if !request.resume && is_cut_short(&self.root, path, number, request.creator) {
                set_aside(&self.root, path).map_err(io(path))?;
            } else {
                return Err(MhlError::Unlisted { path: listed(path) });
            }
        }
        self.chain_unchanged(links)?;
        let written = match there {
            false => write_whole(&self.root, &made.manifest, &bytes, Replace::Never),
            true => self.root.sync_named(&made.manifest),
        };
        written.map_err(io(&made.manifest))?;
        if let Err(raced) = self.chain_unchanged(links) {
            // Ours, complete, and part of nothing.
            remove(&self.root, &made.manifest).map_err(io(&made.manifest))?;
            return Err(raced);
        }
        let all: Vec<Link> = links.iter().cloned().chain([link]).collect();
        write_whole(&self.root, &chain_path(), &chain::render(&all), Replace::Ours).map_err(io(&chain_path()))?;
        Ok(made)
    }

    /// Another tool may have appended since the history was read.
    fn chain_unchanged(&self, links: &[Link]) -> Result<(), MhlError> {
        let path = self.base.join_rel(&chain_path());
        let same = match self.root.read_small(&chain_path(), chain::LIMIT_BYTES) {
            Ok(text) => chain::read(&text).is_ok_and(|now| now == links),
            Err(e) if e.kind() == io::ErrorKind::NotFound => links.is_empty(),
            Err(source) => return Err(HistoryFault::Io { path, source }.into()),
        };
        if same { Ok(()) } else { Err(MhlError::Raced { path }) }
    }

    /// `NNNN_<folder>_<date>_<time>Z.mhl`, within what a name may have of bytes, the temporary one included.
    fn manifest_name(&self, number: u32, at: jiff::Timestamp) -> RelPath {
        use std::os::unix::ffi::OsStrExt;
        let name = self.root.path().file_name().map_or(&b"root"[..], OsStrExt::as_bytes);
        let name: String = String::from_utf8_lossy(name).chars().filter(|c| !c.is_control()).collect();
        let mut end = name.len().min(180);
        while !name.is_char_boundary(end) {
            end -= 1;
        }
        let text = format!("{number:04}_{}{}", &name[..end], name_end(at));
        RelPath::new(text).unwrap_or_default()
    }

    /// The manifest that would follow the first `count` generations.
    fn draft(
        &self,
        request: &SealRequest<'_>,
        plan: &Plan<'_>,
        levels: &[Level],
        done: &BTreeMap<&RelPath, Generation>,
        count: usize,
    ) -> Result<Vec<u8>, MhlError> {
        let before = match &self.history {
            Some(h) if count < h.links.len() => read_own(&self.root, Some(count))?,
            _ => None,
        };
        let none = BTreeMap::new();
        let records = before.as_ref().or(self.history.as_ref()).map_or(&none, |h| &h.records);
        let shown =
            |path: &'_ RelPath| path.strip_prefix(&self.base).filter(|p| self.owns(path, levels) && !p.is_root());
        let mut unjudged = 0;
        let files: Vec<_> = plan.entries.iter().filter_map(|e| Some((*e, shown(e.relpath())?))).collect();
        let folders: Vec<_> = plan.folders.iter().filter_map(|f| Some((plan.pairs(f), shown(f)?))).collect();
        let mut rows = Vec::new();
        let renamed = |path: &RelPath| {
            let old = request.renames.get(&self.base.join_rel(path))?.strip_prefix(&self.base)?;
            Some(old).filter(|old| !old.is_root())
        };
        for (entry, path) in &files {
            let previous = renamed(path);
            match judge(entry, records.get(previous.as_ref().unwrap_or(path)), request.may_fail)? {
                Some((action, digests)) => {
                    let at = Some(entry.hashed_at());
                    let hash = |digest| HashRow { digest, action, at, exact: false };
                    rows.push(Row::File(FileRow {
                        path: path.as_portable().unwrap_or_default(),
                        size_bytes: Some(entry.size_bytes()),
                        mtime_ns: Some(entry.mtime_ns().into()),
                        hashes: digests.into_iter().map(hash).collect(),
                        previous: previous.as_ref().and_then(|p| p.as_portable()).map(str::to_owned),
                    }));
                }
                None => unjudged += 1,
            }
        }
        for (pairs, path) in folders.iter().filter(|(pairs, _)| !pairs.is_empty()) {
            let previous = renamed(path).and_then(|p| p.as_portable().map(str::to_owned));
            let mtime_ns = request.folder_times.get(&self.base.join_rel(path)).copied();
            let path = path.as_portable().unwrap_or_default();
            rows.push(Row::Folder(FolderRow { path, mtime_ns, pairs: pairs.clone(), previous }));
        }
        let inner = done.iter().filter(|(at, _)| levels.iter().any(|l| l.base == ***at && self.owns(at, levels)));
        let references = inner.filter_map(|(at, generation)| {
            let path = at.join_rel(&generation.manifest).strip_prefix(&self.base)?;
            Some((path.as_portable()?.to_owned(), generation.c4.clone()))
        });
        let unnamed = plan.unnamed.iter().filter(|p| self.owns(p, levels)).count();
        let told = [
            (unnamed, "left out, its name cannot be written in a manifest"),
            (unjudged, "left out, it failed its check and has no record to fail against"),
        ];
        let told = told.into_iter().filter(|(n, _)| *n > 0).map(|(n, what)| format!("{n} x {what}"));
        let comment: Vec<String> = request.creator.comment.iter().cloned().chain(told).collect();
        let patterns = match (&self.history, count) {
            // A later seal may have grown them; this one is asked what it would have written before.
            (Some(h), n) if n < h.links.len() => &h.ignore,
            _ => &self.patterns,
        };
        let manifest = Manifest {
            creator: request.creator,
            comment: (!comment.is_empty()).then(|| comment.join("; ")),
            started_at: request.started_at,
            process: request.process,
            root: plan.pairs(&self.base),
            ignore: patterns.lines(),
            rows,
            references: references.collect(),
        };
        Ok(manifest.render())
    }
}

/// A manifest that this program on this machine wrote as the next one of a history, and died before the chain: all that
/// it lists is still as it says. Else it is the only one that knows better, of a history that lost its chain.
pub(super) fn is_cut_short(root: &Root, path: &RelPath, number: u32, creator: &Creator) -> bool {
    let is_next = path.name().starts_with(format!("{number:04}_").as_bytes());
    let found = root.read_small(path, manifest::LIMIT_BYTES).ok().and_then(|b| manifest::read(&b).ok());
    let is_ours = found.filter(|m| {
        m.made.tool.as_deref() == Some(&creator.tool) && m.made.hostname.as_deref() == Some(&creator.hostname)
    });
    is_next && is_ours.is_some_and(|m| m.files.iter().all(|file| is_as_listed(root, file)))
}

fn is_as_listed(root: &Root, file: &manifest::FileEntry) -> bool {
    let formats: Vec<HashFormat> = file.hashes.iter().map(|h| h.digest.format).collect();
    let lane = Lane { name: "seal", fs_type: "" };
    let taken = take_all(root, &[(&file.path, &formats[..])], &lane, &mut Vec::new(), &Silent).pop();
    taken.is_some_and(|t| t.is_ok_and(|t| file.hashes.iter().all(|h| t.get(h.digest.format) == Some(&h.digest))))
}

/// Under the name of what is unfinished; the generation is made anew.
pub(super) fn set_aside(root: &Root, path: &RelPath) -> io::Result<()> {
    let name = [b".", path.name(), b".goodgate-part"].concat();
    move_aside(root, path, &path.parent().join(name).unwrap_or_default())
}

fn generation(link: &Link) -> Generation {
    let folder = RelPath::new(FOLDER).unwrap_or_default();
    Generation { number: link.number, manifest: folder.join_rel(&link.name), c4: link.digest.clone() }
}

/// The action word follows from the history, because other tools take the first `original` of a file as its reference.
/// `None`: a failed file that the history has nothing to compare with.
fn judge<'e>(
    entry: &'e SealEntry,
    record: Option<&Record>,
    may_fail: bool,
) -> Result<Option<(SealAction, Vec<&'e Digest>)>, MhlError> {
    let path = || entry.relpath().clone();
    let digests = entry.digests().iter().filter(|d| HashFormat::MHL.contains(&d.format));
    let known = |d: &Digest| record.and_then(|r| r.get(d.format)).cloned();
    let mut sorted: Vec<&Digest> = digests.collect();
    sorted.sort_by_key(|d| d.format);
    sorted.dedup_by_key(|d| d.format);
    if entry.action() == SealAction::Failed {
        let common: Vec<_> = sorted.iter().filter(|d| known(d).is_some()).copied().collect();
        let wrong: Vec<_> = common.iter().filter(|d| known(d).as_ref() != Some(**d)).copied().collect();
        return match (common.first(), wrong.is_empty()) {
            (None, _) => Ok(None),
            (Some(_), true) => Err(MhlError::Entry { path: path(), why: "it failed its check and fits the history" }),
            (Some(_), false) => Ok(Some((SealAction::Failed, wrong))),
        };
    }
    let Some(record) = record.filter(|r| !r.known.is_empty()) else {
        return Ok(Some((SealAction::Original, sorted)));
    };
    let common: Vec<_> = sorted.iter().filter(|d| known(d).is_some()).collect();
    if let Some(wrong) = common.iter().find(|d| known(d).as_ref() != Some(***d)) {
        if may_fail {
            let wrong = common.iter().filter(|d| known(d).as_ref() != Some(***d)).map(|d| **d).collect();
            return Ok(Some((SealAction::Failed, wrong)));
        }
        return Err(MhlError::Contradiction { path: path(), format: wrong.format });
    }
    if common.is_empty() {
        let names: BTreeSet<&str> = record.known.iter().map(|k| k.digest.format.name()).collect();
        let known = names.into_iter().collect::<Vec<_>>().join(", ");
        return Err(MhlError::NoCommonFormat { path: path(), known });
    }
    Ok(Some((SealAction::Verified, sorted)))
}
