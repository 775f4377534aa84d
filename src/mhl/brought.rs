//! What a card says of itself: histories and legacy lists that somebody else wrote on it. Those that hold are compared
//! with the one read of the card and then continued; those that do not are kept apart, and nothing is built on them.

use super::check::{Want, wants};
use super::history::{History, HistoryFault, check_references, is_manifest_name, read_own};
use super::records::nfc;
use super::v1::{self, Legacy};
use super::{FOLDER, manifest};
use crate::clip::{Listing, Warning};
use crate::digest::{Digests, HashFormat};
use crate::disk::Root;
use crate::relpath::RelPath;
use std::collections::{BTreeMap, BTreeSet};

/// Files that differ are told one by one up to this number.
const TOLD: usize = 50;
/// More legacy lists than this on one card are not looked at.
const MOST_LISTS: usize = 1000;

#[derive(Debug, Default)]
pub struct Brought {
    /// By the folder that each is about, outer ones first.
    histories: BTreeMap<RelPath, History>,
    broken: BTreeMap<RelPath, HistoryFault>,
    legacy: BTreeMap<RelPath, Legacy>,
    /// Named `.mhl`, and not to be read as one.
    odd: BTreeMap<RelPath, String>,
    /// Named `ascmhl`, and holding other things than a history.
    not_histories: BTreeSet<RelPath>,
}

/// The comparison with one history or list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceCheck {
    /// Of the history's folder, or the list.
    pub name: RelPath,
    pub what: &'static str,
    pub listed: usize,
    pub equal: usize,
    /// With what does not fit.
    pub altered: Vec<(RelPath, String)>,
    pub missing: Vec<RelPath>,
    /// Known in no format that was computed.
    pub unchecked: usize,
}

impl Brought {
    /// Reads manifests and lists, no footage.
    pub fn of(root: &Root, listing: &Listing) -> Self {
        let mut out = Brought::default();
        let inside = |p: &RelPath| p.segments().any(|s| s == FOLDER.as_bytes());
        let folders = listing.folders.iter().filter(|f| f.name() == FOLDER.as_bytes() && !inside(&f.parent()));
        for folder in folders {
            let base = folder.parent();
            let below: Vec<_> = listing.files.iter().filter(|f| f.relpath.strip_prefix(folder).is_some()).collect();
            let is_own = |p: &RelPath| p.parent() == *folder && is_history_file(p.name());
            let has_any =
                below.iter().any(|f| f.relpath.name() == b"ascmhl_chain.xml" || is_manifest_name(f.relpath.name()));
            let small = below.iter().all(|f| is_own(&f.relpath) && f.size_bytes <= manifest::LIMIT_BYTES);
            if !has_any || !small || listing.folders.iter().any(|f| f.parent() == *folder) {
                out.not_histories.insert(base);
                continue;
            }
            match read(root, &base) {
                Ok(Some(history)) => _ = out.histories.insert(base, history),
                Ok(None) => _ = out.not_histories.insert(base),
                Err(fault) => _ = out.broken.insert(base.clone(), fault.below(&base)),
            }
        }
        out.spread();
        for file in listing.files.iter().filter(|f| f.relpath.extension() == "mhl" && !inside(&f.relpath.parent())) {
            if out.legacy.len() + out.odd.len() >= MOST_LISTS || file.relpath.name().starts_with(b"._") {
                continue;
            }
            let list = root.read_small(&file.relpath, v1::LIMIT_BYTES).map_err(|e| e.to_string());
            match list.and_then(|bytes| v1::read(&bytes)) {
                Ok(Some(list)) => _ = out.legacy.insert(file.relpath.clone(), list),
                // A manifest that stands alone: nobody says what it is about.
                Ok(None) => {}
                Err(why) => _ = out.odd.insert(file.relpath.clone(), why),
            }
        }
        out
    }

    /// A history that refers to one that does not hold cannot be continued without it.
    fn spread(&mut self) {
        let bases: Vec<RelPath> = self.histories.keys().rev().cloned().collect();
        for base in bases {
            let lost = |child: &RelPath| !self.histories.contains_key(&base.join_rel(child));
            let Some(child) = self.histories[&base].children.iter().find(|c| lost(c)) else { continue };
            let fault = HistoryFault::NestedMissing { path: base.join_rel(child) };
            self.histories.remove(&base);
            self.broken.insert(base, fault);
        }
    }

    /// Takes the files of histories that do not hold out of a listing: they are kept apart.
    pub fn leave_out(&self, listing: &mut Listing) {
        let broken = |p: &RelPath| p.name() == FOLDER.as_bytes() && self.broken.contains_key(&p.parent());
        listing.files.retain(|f| !broken(&f.relpath.parent()));
        listing.folders.retain(|f| !broken(f));
    }

    /// Folders that hold such files.
    pub fn foreign(&self) -> Vec<RelPath> {
        self.broken.keys().filter_map(|base| base.join(FOLDER).ok()).collect()
    }

    /// Whether a folder named as a history's is one that can be continued.
    pub fn is_continued(&self, folder: &RelPath) -> bool {
        folder.name() != FOLDER.as_bytes() || !self.not_histories.contains(&folder.parent())
    }

    /// What the read of the card has to compute besides, so that it can be compared.
    pub fn formats(&self) -> Vec<HashFormat> {
        let of_histories = self.histories.values().flat_map(History::formats);
        let of_lists = self.legacy.values().flat_map(|l| l.files.values()).flatten().filter_map(Want::format);
        let all: BTreeSet<HashFormat> = of_histories.chain(of_lists).collect();
        all.into_iter().collect()
    }

    /// What a person has to look at before a byte is copied.
    pub fn warnings(&self) -> Vec<Warning> {
        let at = |base: &RelPath| base.join(FOLDER).unwrap_or_default();
        let broken = self.broken.iter().map(|(base, fault)| Warning {
            id: format!("history:{}", at(base)),
            text: format!(
                "the card's own history \"{}\" does not hold: {fault}; it is kept as found in .goodgate/foreign, a new \
                 history begins, and what it lists is not verified by it",
                at(base)
            ),
        });
        let odd = self.odd.iter().map(|(path, why)| Warning {
            id: format!("list:{path}"),
            text: format!("\"{path}\" cannot be read as a media hash list, so nothing was compared with it: {why}"),
        });
        let other = self.not_histories.iter().map(|base| Warning {
            id: format!("history:{}", at(base)),
            text: format!(
                "the folder \"{}\" has the name of a history and is none: no manifest lists what it holds",
                at(base)
            ),
        });
        broken.chain(odd).chain(other).collect()
    }

    /// Compares what the one read gave with all that the card says of itself.
    pub fn check(&self, read: &BTreeMap<RelPath, Digests>, sizes: &BTreeMap<RelPath, u64>) -> Vec<SourceCheck> {
        let mut out = Vec::new();
        let places = Places::of(read, sizes);
        for (base, history) in &self.histories {
            let mut check = SourceCheck::new(base.join(FOLDER).unwrap_or_default(), "ASC MHL history");
            for (path, record) in &history.records {
                if history.ignore.ignores(path, false) || record.known.is_empty() {
                    continue;
                }
                check.file(&base.join_rel(path), &wants(record), &places);
            }
            out.push(check);
        }
        for (name, list) in &self.legacy {
            let mut check = SourceCheck::new(name.clone(), "legacy MHL");
            for (path, wants) in &list.files {
                check.file(&name.parent().join_rel(path), wants, &places);
            }
            // A list that went astray speaks of none of these files.
            if check.missing.len() < check.listed {
                out.push(check);
            }
        }
        out
    }
}

fn is_history_file(name: &[u8]) -> bool {
    let known = [&b"ascmhl_chain.xml"[..], b"ascmhl_collection.xml", b"README.txt"];
    known.contains(&name) || name.ends_with(b".mhl")
}

fn read(root: &Root, base: &RelPath) -> Result<Option<History>, HistoryFault> {
    let own = root.sub_root(base).map_err(|source| HistoryFault::Io { path: RelPath::root(), source })?;
    let Some(history) = read_own(&own, None)? else { return Ok(None) };
    check_references(&own, &history)?;
    if let Some(path) = history.unlisted.first() {
        let why = "no chain lists it".into();
        return Err(HistoryFault::ManifestModified { path: path.clone(), why });
    }
    if history.links.iter().any(|l| l.digest.format != HashFormat::C4) {
        let why = "the chain holds digests other than C4, and other tools would break on its continuation".into();
        return Err(HistoryFault::ManifestModified { path: super::history::chain_path(), why });
    }
    Ok(Some(history))
}

/// What was read, by names in any Unicode form.
struct Places<'a> {
    read: &'a BTreeMap<RelPath, Digests>,
    sizes: &'a BTreeMap<RelPath, u64>,
    /// `None`: several names of one form.
    by_form: BTreeMap<String, Option<&'a RelPath>>,
}

impl<'a> Places<'a> {
    fn of(read: &'a BTreeMap<RelPath, Digests>, sizes: &'a BTreeMap<RelPath, u64>) -> Self {
        let mut by_form = BTreeMap::new();
        for path in sizes.keys() {
            if let Some(form) = nfc(path) {
                by_form.entry(form).and_modify(|p| *p = None).or_insert(Some(path));
            }
        }
        Places { read, sizes, by_form }
    }

    fn find(&self, path: &RelPath) -> Option<(&'a RelPath, u64)> {
        let exact = self.sizes.get_key_value(path);
        let other = || self.sizes.get_key_value((*self.by_form.get(&nfc(path)?)?)?);
        exact.or_else(other).map(|(path, size)| (path, *size))
    }
}

impl SourceCheck {
    fn new(name: RelPath, what: &'static str) -> Self {
        SourceCheck { name, what, listed: 0, equal: 0, altered: Vec::new(), missing: Vec::new(), unchecked: 0 }
    }

    fn file(&mut self, path: &RelPath, wants: &[Want], places: &Places<'_>) {
        self.listed += 1;
        let Some((path, size)) = places.find(path) else {
            self.missing.push(path.clone());
            return;
        };
        let Some(digests) = places.read.get(path) else {
            self.unchecked += 1;
            return;
        };
        let faults = wants.iter().filter_map(|w| w.fault_of(|f| digests.get(f), size));
        match faults.into_iter().next() {
            Some(what) => self.altered.push((path.clone(), what)),
            None if wants.iter().any(|w| w.format().is_none_or(|f| digests.get(f).is_some())) => self.equal += 1,
            None => self.unchecked += 1,
        }
    }

    /// For the verdict's reasons.
    pub fn text(&self) -> String {
        let mut text = format!(
            "the source was compared with its own {} \"{}\" in the one read: {} of {} listed files equal",
            self.what, self.name, self.equal, self.listed
        );
        let parts =
            [(self.altered.len(), "altered"), (self.missing.len(), "missing"), (self.unchecked, "not compared")];
        parts.iter().filter(|(n, _)| *n > 0).for_each(|(n, what)| text.push_str(&format!(", {n} {what}")));
        text
    }

    /// What blocks SAFE until a person accepts it.
    pub fn warnings(&self) -> Vec<Warning> {
        let (what, name) = (self.what, &self.name);
        let mut out: Vec<Warning> = Vec::new();
        for (path, said) in self.altered.iter().take(TOLD) {
            out.push(Warning {
                id: format!("altered:{path}"),
                text: format!("\"{path}\" is not what the card's own {what} \"{name}\" says it is: {said}"),
            });
        }
        if self.altered.len() > TOLD {
            let more = self.altered.len() - TOLD;
            let text = format!("{more} more files are not what the card's own {what} \"{name}\" says they are");
            out.push(Warning { id: format!("altered-more:{name}"), text });
        }
        if let Some(first) = self.missing.first() {
            let n = self.missing.len();
            let text = format!(
                "{n} of the files that the card's own {what} \"{name}\" lists are not on it, first \"{first}\""
            );
            out.push(Warning { id: format!("incomplete:{name}"), text });
        }
        out
    }
}
