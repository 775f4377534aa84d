//! One folder of copies: its history, what lies there that nobody recorded, and whether it is still there at all.

use crate::catalog::{AcceptedCopy, CopyRootRow};
use crate::copy::Generation;
use crate::disk::facts::{self, Facts};
use crate::disk::list::{self, ListError};
use crate::disk::read::PastCache;
use crate::disk::{Root, Stat};
use crate::finding::{Finding, FindingKind};
use crate::mhl::{self, History, HistoryFault};
use crate::progress::Progress;
use crate::relpath::RelPath;
use crate::verify::{self, Checked, Expected, Lane};
use std::collections::{BTreeSet, HashMap, HashSet};
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

pub(crate) struct Folder {
    /// `None`: known by its own history only.
    pub copy: Option<CopyRootRow>,
    pub path: PathBuf,
    /// The mount's point: a folder that was deleted is missing, a volume that left is not.
    pub root: Arc<Root>,
    /// The folder, from there.
    pub base: RelPath,
    pub facts: Facts,
    pub device: usize,
    pub lane: String,
    pub history: OnceLock<Option<History>>,
    /// Files that a person changed on purpose, as they were accepted.
    pub accepted: HashMap<RelPath, AcceptedCopy>,
}

pub(crate) const LOST_COPY: &str = "the catalog's row of this copy is lost";

/// What to compare the folder itself with.
#[derive(Default)]
pub(super) struct FolderTask {
    /// Files that belong there.
    pub known: HashSet<RelPath>,
    /// Unfinished files that a job of ours owns.
    pub temps: HashSet<RelPath>,
    pub generations: Vec<Generation>,
    pub sealed: bool,
    /// Files that belong there, and the row of the copy is lost.
    pub lost: Vec<RelPath>,
    /// The history, too; else only what is extra.
    pub with_history: bool,
    /// Only what lies at or below one of these is extra.
    pub parts: Vec<RelPath>,
    pub litter: Vec<String>,
}

#[derive(Default)]
pub(super) struct FolderSeen {
    pub findings: Vec<Finding>,
    /// Manifests and chains that are as they were sealed.
    pub good: Vec<RelPath>,
    pub gone: bool,
    pub stopped: bool,
}

impl Folder {
    /// A copy's folder on a mount that is there now.
    pub fn of(copy: CopyRootRow, facts: Facts, base: RelPath, root: Arc<Root>) -> Self {
        let lane = format!("check {}", root.path().display());
        let path = base.under(root.path());
        Folder {
            copy: Some(copy),
            path,
            root,
            base,
            facts,
            device: 0,
            lane,
            history: OnceLock::new(),
            accepted: HashMap::new(),
        }
    }

    pub fn lane(&self) -> Lane<'_> {
        Lane { name: &self.lane, fs_type: &self.facts.mount.fs_type }
    }

    pub fn place(&self, relpath: &RelPath) -> RelPath {
        self.base.join_rel(relpath)
    }

    pub fn finding(&self, kind: FindingKind, relpath: &RelPath, note: impl Into<String>) -> Finding {
        Finding::new(kind, &self.path, relpath, note)
    }

    /// The volume left while we read: what looks missing or unreadable is absent.
    pub fn is_gone(&self) -> bool {
        if self.root.still_here().is_err() {
            return true;
        }
        // A pulled disk keeps its mount entry, and open and stat still answer from memory; the device itself is gone.
        match facts::of(self.root.path()) {
            Ok(now) => now.volume_key != self.facts.volume_key || now.disk.id != self.facts.disk.id,
            Err(_) => true,
        }
    }

    /// Its history, read once and past the cache; `None` when there is none, or none to believe.
    pub fn history(&self) -> Option<&History> {
        self.history.get_or_init(|| self.read_history().ok().flatten()).as_ref()
    }

    pub fn speaks_of(&self, relpath: &RelPath) -> bool {
        self.history().and_then(|h| h.records.get(relpath)).is_some_and(|r| !r.known.is_empty())
    }

    pub fn read_history(&self) -> Result<Option<History>, HistoryFault> {
        self.history_at(&RelPath::root())
    }

    /// A history at or below the folder, read past the cache.
    pub fn history_at(&self, at: &RelPath) -> Result<Option<History>, HistoryFault> {
        self.read_at(at, History::read)
    }

    fn read_at<T>(
        &self,
        at: &RelPath,
        read: impl FnOnce(&Root) -> Result<Option<T>, HistoryFault>,
    ) -> Result<Option<T>, HistoryFault> {
        let Ok(root) = self.root.sub_root(&self.place(at)) else { return Ok(None) };
        let folder = RelPath::new(mhl::FOLDER).unwrap_or_default();
        for name in root.names(&folder).unwrap_or_default() {
            // Opening it drops its pages, so that what follows is read from the medium.
            if let Ok(path) = folder.join(&name) {
                let _ = PastCache::open(&root, &path, &self.facts.mount.fs_type);
            }
        }
        read(&root)
    }

    pub(super) fn check(&self, task: &FolderTask, progress: &dyn Progress) -> FolderSeen {
        let mut seen = FolderSeen::default();
        match self.root.stat(&self.base) {
            // Its files are reported missing one by one.
            Ok(None) if task.known.is_empty() => {}
            Ok(Some(Stat { is_dir: true, .. }) | None) => {
                let read = task.with_history.then(|| self.check_history(task, progress, &mut seen)).flatten();
                let history = read.as_ref().or_else(|| self.history());
                self.list_extra(task, history, &mut seen);
                let lost = task.lost.iter().filter(|p| task.parts.iter().any(|part| p.strip_prefix(part).is_some()));
                seen.findings.extend(lost.map(|p| self.finding(FindingKind::Altered, p, LOST_COPY)));
            }
            Ok(Some(_)) => {}
            Err(e) => seen.findings.push(self.finding(FindingKind::Unreadable, &RelPath::root(), e.to_string())),
        }
        seen.gone = !seen.findings.is_empty() && self.is_gone();
        seen
    }

    /// Each recorded manifest against its C4, then what the chain says as a whole. Gives a history that holds.
    fn check_history(&self, task: &FolderTask, progress: &dyn Progress, seen: &mut FolderSeen) -> Option<History> {
        for generation in &task.generations {
            let relpath = &generation.manifest;
            let place = self.place(relpath);
            let size_bytes = self.root.stat(&place).ok().flatten().map_or(0, |s| s.size_bytes);
            let (mtime_ns, digest, blocks) = (None, generation.c4.clone(), &Default::default());
            let want = Expected { relpath, size_bytes, mtime_ns, digest, blocks };
            match verify::check(&self.root, &self.path, &place, &want, &self.lane(), progress) {
                Checked::Good(_) => seen.good.push(relpath.clone()),
                Checked::Bad(finding) => seen.findings.push(Finding { note: note_of(finding.note), ..finding }),
                Checked::Stopped => {
                    seen.stopped = true;
                    return None;
                }
            }
        }
        let chain = chain_path();
        let mut good = None;
        let fault = match self.read_at(&RelPath::root(), History::outline) {
            Ok(None) if task.sealed => Some(self.finding(FindingKind::Missing, &chain, "its history is gone")),
            Ok(None) => return None,
            Ok(Some(history)) => {
                // A manifest that still lies there but is not in the chain any more is a chain that was put back.
                let lost = task
                    .generations
                    .iter()
                    .find(|g| !history.generations.iter().any(|h| h.number == g.number && h.c4 == g.c4));
                let lost = lost.map(|g| format!("it no longer lists generation {} as it was sealed", g.number));
                good = Some(history);
                lost.map(|note| self.finding(FindingKind::Altered, &chain, note))
            }
            // What the card brought is checked as its file.
            // A manifest that is as it was sealed, and a chain that says otherwise of it: the chain is wrong.
            Err(HistoryFault::ManifestModified { path, .. }) if seen.good.contains(&path) => {
                let note = format!("it does not list \"{path}\" as it was sealed");
                Some(self.finding(FindingKind::Altered, &chain, note))
            }
            Err(fault) => match self.history_finding(&fault) {
                finding if task.known.contains(&finding.relpath) => return None,
                finding => Some(finding),
            },
        };
        match fault {
            Some(finding) if seen.findings.iter().any(|f| f.relpath == finding.relpath) => {}
            Some(finding) => {
                seen.good.retain(|p| *p != finding.relpath);
                seen.findings.push(finding);
            }
            None => seen.good.push(chain),
        }
        good
    }

    pub fn history_finding(&self, fault: &HistoryFault) -> Finding {
        let (kind, path) = match fault {
            HistoryFault::ChainMissing { folder, .. } => {
                let chain = folder.join(chain_path().name()).unwrap_or_default();
                let is_there = self.root.stat(&self.place(&chain)).ok().flatten().is_some();
                (if is_there { FindingKind::Altered } else { FindingKind::Missing }, chain)
            }
            HistoryFault::ManifestMissing { path } | HistoryFault::NestedMissing { path } => {
                (FindingKind::Missing, path.clone())
            }
            HistoryFault::ManifestModified { path, .. } => (FindingKind::Altered, path.clone()),
            HistoryFault::Io { path, .. } => (FindingKind::Unreadable, path.clone()),
        };
        self.finding(kind, &path, fault.to_string())
    }

    fn list_extra(&self, task: &FolderTask, history: Option<&History>, seen: &mut FolderSeen) {
        let listing = match list::list(&self.base.under(self.root.path()), &task.litter) {
            Ok(listing) => listing,
            Err(ListError::Unreadable { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => return,
            Err(e) => {
                let at = match &e {
                    ListError::Unreadable { path, .. } => RelPath::below(&self.path, path),
                    ListError::BadName(_) => None,
                };
                seen.findings.push(self.finding(FindingKind::Unreadable, &at.unwrap_or_default(), e.to_string()));
                return;
            }
        };
        let mut sealed: BTreeSet<RelPath> = task.generations.iter().map(|g| g.manifest.clone()).collect();
        history.iter().for_each(|h| own_files(h, &RelPath::root(), &mut sealed));
        let chain = chain_path();
        let files = listing.files.iter().map(|f| (&f.relpath, None));
        for (relpath, special) in files.chain(listing.specials.iter().map(|(p, kind)| (p, Some(kind.name())))) {
            let is_asked = task.parts.iter().any(|part| relpath.strip_prefix(part).is_some());
            // Of a copy that the catalog knows, nothing is passed over but our own proxies beside their originals.
            let is_proxy = || relpath.parent().segments().any(|s| s == b"Proxy");
            let ignored = (self.copy.is_none() || is_proxy()) && history.is_some_and(|h| h.ignores(relpath, false));
            let is_known = task.known.contains(relpath)
                || task.lost.contains(relpath)
                || sealed.contains(relpath)
                || *relpath == chain;
            if !is_asked || is_known || ignored {
                continue;
            }
            let note = match special {
                Some(kind) => format!("a {kind}"),
                None if task.temps.contains(relpath) => "an unfinished file of a job of ours".into(),
                None if relpath.name().ends_with(b".goodgate-part") => "an unfinished file that no job knows".into(),
                None => String::new(),
            };
            seen.findings.push(self.finding(FindingKind::Extra, relpath, note));
        }
    }
}

/// Manifests and chains of a history and of those inside it.
fn own_files(history: &History, at: &RelPath, out: &mut BTreeSet<RelPath>) {
    out.extend(history.generations.iter().map(|g| at.join_rel(&g.manifest)));
    out.insert(at.join_rel(&chain_path()));
    history.nested.iter().for_each(|(inner, h)| own_files(h, &at.join_rel(inner), out));
}

fn note_of(note: String) -> String {
    if note.is_empty() { "its bytes do not fit the digest that was recorded when it was sealed".into() } else { note }
}

/// At or below the folder of a roll's own history.
pub(super) fn is_history(relpath: &RelPath) -> bool {
    relpath.segments().next() == Some(mhl::FOLDER.as_bytes())
}

pub(crate) fn chain_path() -> RelPath {
    RelPath::new(format!("{}/ascmhl_chain.xml", mhl::FOLDER)).unwrap_or_default()
}
