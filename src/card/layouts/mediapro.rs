//! What Sony's `MEDIAPRO.XML` adds to the clips beside it: ids, proxies of another name, and what is not there.

use super::Found;
use super::family::Ground;
use super::gaps::{self, Names};
use crate::card::kind::folded;
use crate::clip::Role;
use crate::fact::{Fact, Field, Origin, Said};
use crate::read::mediapro::{Material, materials};
use crate::relpath::RelPath;
use std::collections::{BTreeSet, HashMap, HashSet};

/// Checks the indexes at the top of `tree` (below the card's root or its `PRIVATE`), and those that lie `up` folders
/// above a clip of the family, whatever that folder is called.
pub(super) fn check(ground: &mut Ground, found: &mut Found, tree: &str, up: usize) {
    let above = |path: &RelPath| (0..up).fold(path.clone(), |path, _| path.parent());
    let folders: HashSet<RelPath> = match up {
        0 => HashSet::new(),
        _ => found.clips.iter().filter_map(|c| Some(above(ground.relpath(c.files.first()?.0)))).collect(),
    };
    let is_index = |path: &RelPath| {
        let name = folded(path.name());
        let top = folded(ground.below(&path.parent()).as_bytes());
        let top = top.strip_prefix(b"private/").unwrap_or(&top);
        name == b"mediapro.xml" && (!tree.is_empty() && top == tree.as_bytes() || folders.contains(&path.parent()))
    };
    let indexes: Vec<u32> =
        ground.files().filter(|(i, f)| !ground.taken[*i as usize] && is_index(&f.relpath)).map(|(i, _)| i).collect();
    if indexes.is_empty() {
        return;
    }
    let known = Known::of(ground, found);
    for index in indexes {
        if let Some(all) = gaps::read(ground, index, materials, &mut found.gaps) {
            compare(ground, found, &known, (index, &all));
        }
    }
}

/// What the names alone said, for all indexes of a card.
struct Known {
    names: Names,
    /// Any file of it.
    clip_of: HashMap<u32, usize>,
    /// Clips by each folder that they lie in.
    below: HashMap<RelPath, Vec<usize>>,
}

impl Known {
    fn of(ground: &Ground, found: &Found) -> Self {
        let mut known = Known { names: Names::of(ground), clip_of: HashMap::new(), below: HashMap::new() };
        for (n, clip) in found.clips.iter().enumerate() {
            known.clip_of.extend(clip.files.iter().map(|(i, _)| (*i, n)));
            let lead = clip.files.first().map(|(i, _)| ground.relpath(*i));
            for folder in lead.into_iter().flat_map(|p| p.ancestors()).chain([RelPath::root()]) {
                known.below.entry(folder).or_default().push(n);
            }
        }
        known
    }
}

fn compare(ground: &mut Ground, found: &mut Found, known: &Known, (index, materials): (u32, &[Material])) {
    let (names, path) = (&known.names, ground.relpath(index));
    let folder = path.parent();
    let mut told: HashSet<usize> = HashSet::new();
    let (mut clips, mut parts, mut proxies, mut others) =
        (BTreeSet::new(), BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    let miss = |missing: &mut BTreeSet<RelPath>, uri: &str| missing.extend(Names::address(&folder, uri));
    for m in materials {
        let wanted: Vec<&String> = if m.components.is_empty() { vec![&m.uri] } else { m.components.iter().collect() };
        let there: Vec<u32> = wanted.iter().filter_map(|uri| names.at(&folder, uri)).collect();
        if there.is_empty() {
            miss(&mut clips, &m.uri);
            continue;
        }
        for uri in wanted.iter().filter(|uri| names.at(&folder, uri).is_none()) {
            miss(&mut parts, uri);
        }
        if let Some(n) = there.iter().find_map(|i| known.clip_of.get(i)) {
            told.insert(*n);
            let clip = &mut found.clips[*n];
            // The parts of one recording have an id each; the first is the recording's.
            let first = clip.files.first().map(|(i, _)| ground.relpath(*i).parent());
            let leads = clip.said.is_empty() && there.iter().any(|i| Some(ground.relpath(*i).parent()) == first);
            let id = m.umid.as_ref().filter(|_| leads).and_then(|umid| Fact::new(Field::ClipId, umid));
            clip.said.extend(id.map(|fact| Said { fact, origin: Origin::Index, by: "mediapro".into() }));
            for proxy in m.proxies.iter().filter_map(|p| names.at(&folder, &p.uri)) {
                if !std::mem::replace(&mut ground.taken[proxy as usize], true) {
                    clip.files.push((proxy, Role::Proxy));
                    clip.files.sort_by_key(|(_, r)| *r);
                }
            }
        }
        for proxy in m.proxies.iter().filter(|p| names.at(&folder, &p.uri).is_none()) {
            miss(&mut proxies, &proxy.uri);
        }
        for uri in m.others.iter().filter(|uri| names.at(&folder, uri).is_none()) {
            miss(&mut others, uri);
        }
    }
    let gaps = &mut found.gaps;
    gaps::absent("missing-clip", path, "a clip", &clips, gaps);
    gaps::absent("missing-essence", path, "part of a clip", &parts, gaps);
    gaps::absent("missing-proxy", path, "a proxy", &proxies, gaps);
    gaps::absent("missing-sidecar", path, "a sidecar", &others, gaps);
    let below = || known.below.get(&folder).into_iter().flatten();
    let unknown: Vec<u32> =
        below().filter(|n| !told.contains(n)).filter_map(|n| Some(found.clips[*n].files.first()?.0)).collect();
    gaps::unknown(ground, index, &unknown, gaps);
    let all = gaps::essence(below().map(|n| &found.clips[*n]));
    gaps.extend(gaps::newer(ground.listing, &ground.listing.files[index as usize], &all, &unknown));
}

#[cfg(test)]
pub(crate) mod tests {
    /// An index of these recordings; a proxy where its name is not empty.
    pub(crate) fn index(recordings: &[(&str, &str)]) -> String {
        let proxy = |p: &str| if p.is_empty() { String::new() } else { format!("<Proxy uri=\"./{p}\"/>") };
        let material = |(n, (uri, p)): (usize, &(&str, &str))| {
            format!("<Material uri=\"./{uri}\" umid=\"060A{n}\">{}</Material>", proxy(p))
        };
        let all: String = recordings.iter().enumerate().map(material).collect();
        format!(
            "<MediaProfile xmlns=\"http://xmlns.sony.net/pro/metadata/mediaprofile\"><Contents>{all}</Contents></MediaProfile>"
        )
    }
}
