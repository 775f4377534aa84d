//! What blocks SAFE before a byte is copied, until a person accepts it.

use super::kind;
use crate::clip::{Card, CardFile, Listing, Warning};
use crate::relpath::RelPath;
use std::collections::BTreeSet;

/// What the card's filesystem says it holds.
#[derive(Clone, Copy, Debug)]
pub struct UsedSpace {
    pub used_bytes: u64,
    /// Every file takes whole clusters.
    pub cluster_bytes: u64,
}

/// A smaller difference is the filesystem's own tables.
const GAP_BYTES: u64 = 64 << 20;

/// `used` only for a whole card: a folder shares its volume with others.
pub fn warnings(card: &Card, used: Option<UsedSpace>) -> Vec<Warning> {
    let listing = &card.listing;
    let mut out: Vec<Warning> = Vec::new();
    for (p, kind) in &listing.specials {
        out.push(about("special", p, &format!("is a {} and was left out", kind.name())));
    }
    for file in listing.files.iter().filter(|f| f.size_bytes == 0 && kind::of(&f.relpath).is_essence()) {
        out.push(about("empty", &file.relpath, "is a clip's file of 0 bytes"));
    }
    for p in unwritable(listing.files.iter().map(|f| &f.relpath).chain(&listing.folders)) {
        out.push(about("name", &p, "has a name that no manifest can hold"));
    }
    out.extend(card.gaps.iter().cloned());
    out.extend(used.and_then(|used| used_space(card, used)));
    out
}

/// Files of 0 bytes that neither hold a recording nor are an index, named together.
pub(super) fn empty_files(listing: &Listing, gaps: &[Warning]) -> Option<String> {
    let told: BTreeSet<&str> = gaps.iter().filter_map(|g| Some(g.id.split_once(':')?.1)).collect();
    let is_told = |p: &RelPath| told.contains(&*p.to_string());
    let is_empty = |f: &&CardFile| f.size_bytes == 0 && !kind::of(&f.relpath).is_essence() && !is_told(&f.relpath);
    let empty: Vec<&CardFile> = listing.files.iter().filter(is_empty).collect();
    match empty[..] {
        [] => None,
        [one] => Some(format!("\"{}\" has 0 bytes", one.relpath)),
        [first, ..] => Some(format!("{} files have 0 bytes, \"{}\" first", empty.len(), first.relpath)),
    }
}

/// Is this the id of what a look at the card found missing, so that a later look may find it there?
pub fn is_gap(id: &str) -> bool {
    const KINDS: [&str; 17] = [
        "empty-index",
        "unread-index",
        "not-in-index",
        "newer-than-index",
        "missing-clip",
        "missing-clips",
        "missing-essence",
        "missing-essences",
        "missing-proxy",
        "missing-proxys",
        "missing-sidecar",
        "missing-sidecars",
        "missing-part",
        "missing-parts",
        "missing-frames",
        "odd-frames",
        "incomplete-take",
    ];
    id.split_once(':').is_some_and(|(kind, _)| KINDS.contains(&kind))
}

pub(super) fn about(kind: &str, relpath: &RelPath, says: &str) -> Warning {
    Warning { id: format!("{kind}:{relpath}"), text: format!("\"{relpath}\" {says}") }
}

/// The outermost path whose own name is at fault, once: a bad folder name is one warning, not one for each file in it.
fn unwritable<'a>(paths: impl Iterator<Item = &'a RelPath>) -> BTreeSet<RelPath> {
    let bad = paths.filter(|p| p.as_portable().is_none());
    bad.filter_map(|p| {
        let mut above = p.ancestors();
        above.push(p.clone());
        above.into_iter().find(|p| p.as_portable().is_none())
    })
    .collect()
}

/// A folder that lies, or lost clusters: files may be on the card that its listing does not show.
fn used_space(card: &Card, used: UsedSpace) -> Option<Warning> {
    let cluster = used.cluster_bytes.max(1);
    let rounded = |bytes: u64| bytes.div_ceil(cluster).saturating_mul(cluster);
    let listing = &card.listing;
    let files = listing.files.iter().fold(0u64, |sum, f| sum.saturating_add(rounded(f.size_bytes)));
    let listed = files.saturating_add((listing.folders.len() as u64).saturating_mul(cluster));
    let bytes = listing.files.iter().fold(0u64, |sum, f| sum.saturating_add(f.size_bytes));
    let limit = GAP_BYTES.max(used.used_bytes / 100);
    let text = if used.used_bytes > listed.saturating_add(limit) {
        let gap = used.used_bytes - listed;
        format!(
            "the card has {} bytes in use, {gap} more than its files take: some may be hidden or lost",
            used.used_bytes
        )
    } else if bytes > used.used_bytes.saturating_add(limit) {
        let gap = bytes - used.used_bytes;
        format!("the files claim {gap} bytes more than the card has in use: some may share their clusters")
    } else {
        return None;
    };
    Some(Warning { id: "used-space".into(), text })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::card::tests::{listing, recognise};
    use crate::clip::SpecialKind;

    fn ids(files: &[(&[u8], u64)], used: Option<UsedSpace>) -> Vec<String> {
        warnings(&recognise(listing(files)), used).into_iter().map(|w| w.id).collect()
    }

    #[test]
    fn a_plain_card_has_no_warning() {
        let files: &[(&[u8], u64)] = &[(b"A.mov", 5), (b"A.xml", 0), (b"empty.txt", 0)];
        assert!(ids(files, None).is_empty());
        assert_eq!(recognise(listing(files)).notes, ["2 files have 0 bytes, \"A.xml\" first"]);
    }

    #[test]
    fn empty_essence_is_a_warning_and_other_empty_files_are_not() {
        let files: &[(&[u8], u64)] =
            &[(b"A.mov", 0), (b"B.WAV", 0), (b"c.0001.exr", 0), (b"._A.mov", 0), (b"A.LRV", 0)];
        assert_eq!(ids(files, None), ["empty:A.mov", "empty:B.WAV", "empty:c.0001.exr"]);
    }

    #[test]
    fn special_files_are_named() {
        let mut l = listing(&[(b"A.mov", 5)]);
        l.specials.push((RelPath::new("x/link").unwrap(), SpecialKind::Symlink));
        let all = warnings(&recognise(l), None);
        assert_eq!((all.len(), all[0].id.as_str()), (1, "special:x/link"));
        assert!(all[0].text.contains("symlink"));
    }

    #[test]
    fn a_name_no_manifest_can_hold_is_one_typable_warning() {
        assert_eq!(
            ids(&[(b"d\n/A.mov", 5), (b"d\n/B.mov", 5), (b"C\xff.mov", 5)], None),
            ["name:C\\xff.mov", "name:d\\x0a"]
        );
        let mut l = listing(&[]);
        l.folders.push(RelPath::new(b"empty\xff").unwrap());
        assert_eq!(warnings(&recognise(l), None).len(), 1);
    }

    #[test]
    fn a_gap_between_listing_and_used_space_is_a_warning_in_both_directions() {
        let mib = 1u64 << 20;
        let gap = |used_mib| {
            let used = UsedSpace { used_bytes: used_mib * mib, cluster_bytes: 32 << 10 };
            !ids(&[(b"A.mov", 1000 * mib)], Some(used)).is_empty()
        };
        assert!(!gap(1000) && !gap(1064) && !gap(940));
        assert!(gap(1065) && gap(900));
        let large = UsedSpace { used_bytes: 10_090 * mib, cluster_bytes: 32 << 10 };
        assert!(ids(&[(b"A.mov", 10_000 * mib)], Some(large)).is_empty(), "below one percent");
    }

    #[test]
    fn many_small_files_are_counted_in_whole_clusters() {
        let names: Vec<String> = (0..10_000).map(|n| format!("f{n}.txt")).collect();
        let files: Vec<(&[u8], u64)> = names.iter().map(|n| (n.as_bytes(), 10)).collect();
        let used = UsedSpace { used_bytes: 10_000 * (32 << 10), cluster_bytes: 32 << 10 };
        assert!(ids(&files, Some(used)).is_empty());
    }
}
