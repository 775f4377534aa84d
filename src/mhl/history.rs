//! Reads a history back: the chain, every manifest against its C4, and what they say of each file.

use super::FOLDER;
use super::chain::{self, Link};
use super::ignore::Patterns;
use super::manifest::{self, Files, Made};
use super::records::Fold;
pub use super::records::{Known, Record};
use crate::copy::Generation;
use crate::digest::{Digest, HashFormat};
use crate::disk::Root;
use crate::hash::digest_of;
use crate::relpath::RelPath;
use std::collections::{BTreeMap, BTreeSet};
use std::io;

/// How deep histories may lie inside each other.
const DEEPEST: usize = 16;

/// Why a history is not believed. Paths are relative to the root that was asked for.
#[derive(Debug, thiserror::Error)]
pub enum HistoryFault {
    #[error("\"{folder}\" has no chain that can be read: {why}")]
    ChainMissing {
        folder: RelPath,
        why: String,
        /// Manifests that lie there without one.
        manifests: Vec<RelPath>,
    },
    #[error("\"{path}\" is listed in the chain and is not there")]
    ManifestMissing { path: RelPath },
    #[error("\"{path}\" is not what the history says it is: {why}")]
    ManifestModified { path: RelPath, why: String },
    #[error("\"{path}\" is referred to by the history above it and is not there")]
    NestedMissing { path: RelPath },
    #[error("cannot read \"{path}\": {source}")]
    Io { path: RelPath, source: io::Error },
}

impl HistoryFault {
    /// The word in the JSON of `mhl verify`.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::ChainMissing { .. } => "chain_missing",
            Self::ManifestMissing { .. } => "manifest_missing",
            Self::ManifestModified { .. } => "manifest_modified",
            Self::NestedMissing { .. } => "nested_missing",
            Self::Io { .. } => "unreadable",
        }
    }

    /// The same fault of a history that lies at `base`.
    pub(crate) fn below(mut self, base: &RelPath) -> Self {
        match &mut self {
            Self::ChainMissing { folder: path, .. }
            | Self::ManifestMissing { path }
            | Self::ManifestModified { path, .. }
            | Self::NestedMissing { path }
            | Self::Io { path, .. } => *path = base.join_rel(path),
        }
        if let Self::ChainMissing { manifests, .. } = &mut self {
            manifests.iter_mut().for_each(|m| *m = base.join_rel(m));
        }
        self
    }
}

/// One history: of its own folder alone, or with those that it refers to.
#[derive(Clone, Debug)]
pub struct History {
    pub generations: Vec<Generation>,
    /// What each generation says of its making.
    pub made: Vec<Made>,
    /// Every file that should be there, under its latest name; after [`History::read`] those of nested histories too.
    pub records: BTreeMap<RelPath, Record>,
    /// Every folder that a generation listed.
    pub folders: BTreeSet<RelPath>,
    /// In force: those of the latest generation.
    pub ignore: Patterns,
    /// Manifests in the history's folder that no chain lists.
    pub unlisted: Vec<RelPath>,
    /// Histories inside this one that a manifest refers to, with paths relative to their own root.
    pub nested: Vec<(RelPath, History)>,
    /// What is not by the standard, or contradicts itself, and could still be read.
    pub notes: Vec<String>,
    pub(crate) links: Vec<Link>,
    /// Manifests of nested histories, with the C4 that the latest generation to refer to any says they have.
    pub(crate) references: Vec<(RelPath, Digest)>,
    /// Roots of all nested histories that any generation referred to.
    pub(crate) children: BTreeSet<RelPath>,
}

impl History {
    /// `None` when the folder has no history.
    pub fn read(root: &Root) -> Result<Option<History>, HistoryFault> {
        read_at(root, Files::Kept, 0)
    }

    /// As [`History::read`], and judged as strictly, without what it says of files and folders: of 100,000 files that
    /// is large.
    pub fn outline(root: &Root) -> Result<Option<History>, HistoryFault> {
        read_at(root, Files::Dropped, 0)
    }

    /// The word in the JSON of `mhl verify` for a history that was read.
    pub fn kind(&self) -> &'static str {
        let unlisted = !self.unlisted.is_empty() || self.nested.iter().any(|(_, h)| h.kind() != "ok");
        if unlisted { "unlisted_manifest" } else { "ok" }
    }

    /// Whether the history leaves `relpath` out of its judgement; a nested history judges what lies below it.
    pub fn ignores(&self, relpath: &RelPath, is_dir: bool) -> bool {
        let inner = self.nested.iter().filter_map(|(at, h)| Some((h, relpath.strip_prefix(at)?)));
        // The shortest rest belongs to the nearest history; its root folder itself to the one around it.
        match inner.filter(|(_, rest)| !rest.is_root()).min_by_key(|(_, rest)| rest.as_bytes().len()) {
            Some((history, rest)) => history.ignores(&rest, is_dir),
            None => self.ignore.ignores(relpath, is_dir),
        }
    }

    /// The formats that the records hold, most frequent first: what a verification should compute.
    pub fn formats(&self) -> Vec<HashFormat> {
        let mut count: BTreeMap<HashFormat, usize> = BTreeMap::new();
        for known in self.records.values().flat_map(|r| &r.known) {
            *count.entry(known.digest.format).or_default() += 1;
        }
        let mut all: Vec<_> = count.into_iter().collect();
        all.sort_by_key(|(format, n)| (usize::MAX - n, *format));
        all.into_iter().map(|(format, _)| format).collect()
    }
}

/// Folders below the root (of a listing) that hold a history of their own.
pub fn nested_roots<'a>(folders: impl IntoIterator<Item = &'a RelPath>) -> Vec<RelPath> {
    let inside = |p: &RelPath| p.segments().any(|s| s == FOLDER.as_bytes());
    let own = folders.into_iter().filter(|f| f.name() == FOLDER.as_bytes()).map(RelPath::parent);
    let roots: BTreeSet<RelPath> = own.filter(|p| !p.is_root() && !inside(p)).collect();
    roots.into_iter().collect()
}

fn read_at(root: &Root, files: Files, depth: usize) -> Result<Option<History>, HistoryFault> {
    let Some(mut out) = read_links(root, None, files)? else { return Ok(None) };
    check_references(root, &out)?;
    out.nested = read_nested(root, &out.children, files, depth)?;
    for (at, history) in &out.nested {
        // The nearest history owns a file.
        below(&out.records, at).iter().for_each(|p| _ = out.records.remove(p));
        out.records.extend(history.records.iter().map(|(p, r)| (at.join_rel(p), r.clone())));
        out.folders.extend(history.folders.iter().map(|f| at.join_rel(f)));
    }
    Ok(Some(out))
}

/// What lies below `at`, without a look at the rest.
fn below<V>(map: &BTreeMap<RelPath, V>, at: &RelPath) -> Vec<RelPath> {
    let prefix = [at.as_bytes(), b"/"].concat();
    let from = RelPath::new([&prefix[..], b"\x01"].concat()).unwrap_or_default();
    map.range(from..).map(|(p, _)| p).take_while(|p| p.as_bytes().starts_with(&prefix)).cloned().collect()
}

/// The history of the folder alone, as it was after the first `count` generations when that is given.
pub(crate) fn read_own(root: &Root, count: Option<usize>) -> Result<Option<History>, HistoryFault> {
    read_links(root, count, Files::Kept)
}

fn read_links(root: &Root, count: Option<usize>, files: Files) -> Result<Option<History>, HistoryFault> {
    let folder = RelPath::new(FOLDER).unwrap_or_default();
    let io = |path: &RelPath| {
        let path = path.clone();
        move |source| HistoryFault::Io { path, source }
    };
    match root.stat(&folder).map_err(io(&folder))? {
        Some(stat) if stat.is_dir => {}
        _ => return Ok(None),
    }
    let names = root.names(&folder).map_err(io(&folder))?;
    let manifests: Vec<RelPath> =
        names.iter().filter(|n| is_manifest_name(n)).filter_map(|n| folder.join(n).ok()).collect();
    let no_chain =
        |why: String| HistoryFault::ChainMissing { folder: folder.clone(), why, manifests: manifests.clone() };
    let chain_path = chain_path();
    if !names.iter().any(|n| n == chain_path.name()) {
        return Err(no_chain("the file is missing".into()));
    }
    let text = root.read_small(&chain_path, chain::LIMIT_BYTES).map_err(io(&chain_path))?;
    let mut links = chain::read(&text).map_err(no_chain)?;
    let listed: BTreeSet<Vec<u8>> = links.iter().map(|l| l.name.as_bytes().to_vec()).collect();
    let unlisted = manifests.iter().filter(|m| !listed.contains(m.name())).cloned().collect();
    links.truncate(count.unwrap_or(usize::MAX));

    let mut fold = Fold::default();
    let (mut made, mut ignore, mut references, mut children) = (Vec::new(), Vec::new(), Vec::new(), BTreeSet::new());
    for (link, expected) in links.iter().zip(1u32..) {
        let path = folder.join_rel(&link.name);
        let bytes = match root.read_small(&path, manifest::LIMIT_BYTES) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Err(HistoryFault::ManifestMissing { path }),
            other => other.map_err(io(&path))?,
        };
        if !link.holds(&bytes) {
            let why = "its bytes do not fit the digest in the chain".into();
            return Err(HistoryFault::ManifestModified { path, why });
        }
        let manifest = manifest::read_with(&bytes, files);
        let mut manifest = manifest.map_err(|why| HistoryFault::ManifestModified { path: path.clone(), why })?;
        drop(bytes);
        if link.number != expected {
            fold.note(format!("generation {} follows a gap in the chain: one may be lost", link.number));
        }
        made.push(std::mem::take(&mut manifest.made));
        ignore = std::mem::take(&mut manifest.ignore);
        let refers = std::mem::take(&mut manifest.references);
        let roots = refers.iter().filter_map(|(p, _)| root_of_manifest(p));
        children.extend(roots.filter(|r| !r.is_root()));
        if !refers.is_empty() {
            references = refers;
        }
        fold.add(link.number, manifest);
    }
    let generations = links
        .iter()
        .map(|l| Generation { number: l.number, manifest: folder.join_rel(&l.name), c4: l.digest.clone() })
        .collect();
    let ignore = Patterns::new(ignore.iter().map(String::as_str));
    ignore.bad.iter().for_each(|p| fold.note(format!("\"{p}\" is no ignore pattern")));
    let Fold { records, folders, notes } = fold;
    Ok(Some(History {
        generations,
        made,
        records,
        folders,
        ignore,
        unlisted,
        nested: Vec::new(),
        notes: notes.0,
        links,
        references,
        children,
    }))
}

/// The root of the history that a manifest at `path` belongs to.
fn root_of_manifest(path: &RelPath) -> Option<RelPath> {
    let folder = path.parent();
    (folder.name() == FOLDER.as_bytes()).then(|| folder.parent())
}

pub(crate) fn chain_path() -> RelPath {
    RelPath::new(format!("{FOLDER}/ascmhl_chain.xml")).unwrap_or_default()
}

/// As the reference tool tells them: four digits or more, then nothing or `_`; never `._*`.
pub(crate) fn is_manifest_name(name: &[u8]) -> bool {
    let Some(stem) = name.strip_suffix(b".mhl") else { return false };
    let digits = stem.iter().take_while(|b| b.is_ascii_digit()).count();
    digits >= 4 && (stem.len() == digits || stem[digits] == b'_')
}

/// The referred-to manifests of nested histories: there, and with the C4 that the history above recorded.
pub(crate) fn check_references(root: &Root, history: &History) -> Result<(), HistoryFault> {
    for (path, c4) in &history.references {
        match root.read_small(path, manifest::LIMIT_BYTES) {
            Err(e) if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                // Another manifest of that history may still be there.
                let folder = root.stat(&path.parent()).ok().flatten();
                return Err(match folder.is_some_and(|s| s.is_dir) {
                    true => HistoryFault::ManifestMissing { path: path.clone() },
                    false => HistoryFault::NestedMissing { path: path.clone() },
                });
            }
            Err(source) => return Err(HistoryFault::Io { path: path.clone(), source }),
            Ok(bytes) if digest_of(HashFormat::C4, &bytes) != *c4 => {
                let why = "its bytes do not fit the reference in the history above it".into();
                return Err(HistoryFault::ManifestModified { path: path.clone(), why });
            }
            Ok(_) => {}
        }
    }
    Ok(())
}

fn read_nested(
    root: &Root,
    children: &BTreeSet<RelPath>,
    files: Files,
    depth: usize,
) -> Result<Vec<(RelPath, History)>, HistoryFault> {
    let mut out: Vec<(RelPath, History)> = Vec::new();
    for at in children {
        // A history deeper inside is its own parent's.
        if out.last().is_some_and(|(outer, _)| at.strip_prefix(outer).is_some()) {
            continue;
        }
        let missing = || HistoryFault::NestedMissing { path: at.clone() };
        if depth >= DEEPEST {
            let why = format!("histories lie more than {DEEPEST} deep inside each other");
            return Err(HistoryFault::ManifestModified { path: at.clone(), why });
        }
        let inner = match root.sub_root(at) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Err(missing()),
            other => other.map_err(|source| HistoryFault::Io { path: at.clone(), source })?,
        };
        let history = read_at(&inner, files, depth + 1).map_err(|e| e.below(at))?;
        out.push((at.clone(), history.ok_or_else(missing)?));
    }
    Ok(out)
}
