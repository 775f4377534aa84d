//! Reads a history back: the chain, every manifest against its C4, and what they say of each file.

use super::FOLDER;
use super::chain::{self, Link};
use super::ignore::Patterns;
use super::manifest::{self, Manifest};
use super::tree_hash::digest_of;
use crate::copy::Generation;
use crate::digest::{Digest, HashFormat};
use crate::disk::Root;
use crate::relpath::RelPath;
use crate::verify::SealAction;
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

/// One digest that the history vouches for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Known {
    pub digest: Digest,
    /// The generation that said it first.
    pub generation: u32,
}

/// What the history expects at one path. Failed hashes are not in it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Record {
    pub size_bytes: Option<u64>,
    /// In the order of the generations; two of one format are a contradiction, and the first is the reference.
    pub known: Vec<Known>,
}

impl Record {
    pub fn get(&self, format: HashFormat) -> Option<&Digest> {
        self.known.iter().map(|k| &k.digest).find(|d| d.format == format)
    }
}

#[derive(Clone, Debug)]
pub struct History {
    pub generations: Vec<Generation>,
    /// Every file that should be there, under its latest name, those of nested histories included.
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
    pub(crate) manifests: Vec<Manifest>,
}

impl History {
    /// `None` when the folder has no history.
    pub fn read(root: &Root) -> Result<Option<History>, HistoryFault> {
        read_at(root, 0)
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

fn read_at(root: &Root, depth: usize) -> Result<Option<History>, HistoryFault> {
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
    let links = chain::read(&text).map_err(no_chain)?;

    let (mut read, mut notes) = (Vec::new(), Vec::new());
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
        let manifest = manifest::read(&bytes);
        read.push(manifest.map_err(|why| HistoryFault::ManifestModified { path: path.clone(), why })?);
        if link.number != expected {
            notes.push(format!("generation {} follows a gap in the chain: one may be lost", link.number));
        }
    }
    let listed: BTreeSet<&[u8]> = links.iter().map(|l| l.name.as_bytes()).collect();
    let unlisted = manifests.iter().filter(|m| !listed.contains(m.name())).cloned().collect();
    let generations = links
        .iter()
        .map(|l| Generation { number: l.number, manifest: folder.join_rel(&l.name), c4: l.digest.clone() })
        .collect();
    let (mut records, mut folders) = fold(&links, &read, &mut notes);
    let latest = read.last().map(|m| &m.ignore[..]).unwrap_or_default();
    let ignore = Patterns::new(latest.iter().map(String::as_str));
    notes.extend(ignore.bad.iter().map(|p| format!("\"{p}\" is no ignore pattern")));
    let nested = read_nested(root, &read, depth)?;
    for (at, history) in &nested {
        // The nearest history owns a file.
        records.retain(|p, _| p.strip_prefix(at).is_none());
        records.extend(history.records.iter().map(|(p, r)| (at.join_rel(p), r.clone())));
        folders.extend(history.folders.iter().map(|f| at.join_rel(f)));
    }
    for (link, m) in links.iter().zip(&read) {
        let said =
            [(m.upper_case, "digests not in lower case"), (m.unclean, "paths with \"./\" or a slash at the end")];
        let said = said.into_iter().filter(|(n, _)| *n > 0);
        notes.extend(said.map(|(n, what)| format!("generation {}: {n} {what}", link.number)));
    }
    Ok(Some(History { generations, records, folders, ignore, unlisted, nested, notes, links, manifests: read }))
}

pub(crate) fn chain_path() -> RelPath {
    RelPath::new(format!("{FOLDER}/ascmhl_chain.xml")).unwrap_or_default()
}

/// As the reference tool tells them: four digits or more, then nothing or `_`; never `._*`.
fn is_manifest_name(name: &[u8]) -> bool {
    let Some(stem) = name.strip_suffix(b".mhl") else { return false };
    let digits = stem.iter().take_while(|b| b.is_ascii_digit()).count();
    digits >= 4 && (stem.len() == digits || stem[digits] == b'_')
}

/// What the generations say together, under the latest names.
pub(crate) fn fold(
    links: &[Link],
    manifests: &[Manifest],
    notes: &mut Vec<String>,
) -> (BTreeMap<RelPath, Record>, BTreeSet<RelPath>) {
    let mut records: BTreeMap<RelPath, Record> = BTreeMap::new();
    let mut folders = BTreeSet::new();
    for (link, manifest) in links.iter().zip(manifests) {
        // All old names first: two files may have swapped theirs.
        let renamed: BTreeSet<&RelPath> = manifest.files.iter().filter_map(|f| f.previous.as_ref()).collect();
        let moved: BTreeMap<&RelPath, Record> =
            renamed.into_iter().filter_map(|p| Some((p, records.remove(p)?))).collect();
        for old in manifest.folders.iter().filter_map(|(_, old)| old.as_ref()) {
            folders.remove(old);
        }
        for entry in &manifest.files {
            let old = entry.previous.as_ref().and_then(|p| moved.get(p)).cloned();
            let record = records.entry(entry.path.clone()).or_default();
            if let Some(old) = old {
                *record = old;
            }
            let failed = entry.hashes.iter().any(|(_, a)| *a == Some(SealAction::Failed));
            if !failed {
                record.size_bytes = record.size_bytes.or(entry.size_bytes);
            }
            for (digest, _) in entry.hashes.iter().filter(|(_, a)| *a != Some(SealAction::Failed)) {
                if record.known.iter().any(|k| k.digest == *digest) {
                    continue;
                }
                if record.get(digest.format).is_some() {
                    notes.push(format!("\"{}\": two generations vouch for different digests", entry.path));
                }
                record.known.push(Known { digest: digest.clone(), generation: link.number });
            }
        }
        folders.extend(manifest.folders.iter().map(|(folder, _)| folder.clone()));
    }
    (records, folders)
}

/// Reads every history that a manifest refers to, and checks the references of the latest generation that made some.
fn read_nested(root: &Root, manifests: &[Manifest], depth: usize) -> Result<Vec<(RelPath, History)>, HistoryFault> {
    let latest = manifests.iter().rev().find(|m| !m.references.is_empty());
    for (path, c4) in latest.iter().flat_map(|m| &m.references) {
        match root.read_small(path, manifest::LIMIT_BYTES) {
            Err(e) if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                return Err(HistoryFault::NestedMissing { path: path.clone() });
            }
            Err(source) => return Err(HistoryFault::Io { path: path.clone(), source }),
            Ok(bytes) if digest_of(HashFormat::C4, &bytes) != *c4 => {
                let why = "its bytes do not fit the reference in the history above it".into();
                return Err(HistoryFault::ManifestModified { path: path.clone(), why });
            }
            Ok(_) => {}
        }
    }
    let folders: Vec<RelPath> = manifests.iter().flat_map(|m| &m.references).map(|(p, _)| p.parent()).collect();
    let mut out = Vec::new();
    for at in nested_roots(&folders) {
        let missing = || HistoryFault::NestedMissing { path: at.clone() };
        if depth >= DEEPEST {
            let why = format!("histories lie more than {DEEPEST} deep inside each other");
            return Err(HistoryFault::ManifestModified { path: at, why });
        }
        let inner = match root.sub_root(&at) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Err(missing()),
            other => other.map_err(|source| HistoryFault::Io { path: at.clone(), source })?,
        };
        let history = read_at(&inner, depth + 1).map_err(|e| e.below(&at))?;
        out.push((at.clone(), history.ok_or_else(missing)?));
    }
    Ok(out)
}
