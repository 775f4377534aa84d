//! Card + destinations -> what is copied where, or every reason why not, before the first byte. Pure.

use crate::clip::Listing;
use crate::disk::facts::folds_case;
use crate::relpath::RelPath;
use std::collections::HashMap;
use std::path::{Path, PathBuf};

/// What planning needs to know of one destination; gathered by the story.
#[derive(Clone, Debug)]
pub struct DestinationFacts {
    /// As the user named it.
    pub name: String,
    /// Canonical; the nearest existing folder when the destination itself is still to be made.
    pub path: PathBuf,
    pub fs_type: String,
    pub read_only: bool,
    pub free_bytes: u64,
    pub free_inodes: Option<u64>,
    pub cluster_bytes: u64,
    /// Files already published in this card's folder there.
    pub present: Vec<RelPath>,
}

/// One reason why an offload cannot start; all are collected.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error("destination \"{dest}\" lies inside the card \"{card}\": nothing is ever written to a card")]
    InsideCard { dest: String, card: String },
    #[error("the card \"{card}\" lies inside the destination \"{dest}\"")]
    CardInside { dest: String, card: String },
    #[error("destinations \"{first}\" and \"{second}\" are the same folder, or one lies inside the other")]
    SameDestination { first: String, second: String },
    #[error("destination \"{0}\" is mounted read-only")]
    ReadOnly(String),
    #[error(
        "too little space on \"{dest}\": {needed} needed, {free} free ({} short)",
        human(*needed_bytes - *free_bytes),
        needed = human(*needed_bytes),
        free = human(*free_bytes)
    )]
    Space { dest: String, needed_bytes: u64, free_bytes: u64 },
    #[error("too few free inodes on \"{dest}\": {needed} needed, {free} free")]
    Inodes { dest: String, needed: u64, free: u64 },
    #[error("\"{first}\" and \"{second}\" would meet in one file on \"{dest}\" ({fs_type} does not tell case apart)")]
    Clash { dest: String, fs_type: String, first: RelPath, second: RelPath },
    #[error("\"{relpath}\" cannot be written on \"{dest}\": {why}")]
    Name { dest: String, relpath: RelPath, why: String },
    #[error("\"{relpath}\" is {} and {dest} ({fs_type}) holds no file of 4 GiB or more", human(*size_bytes))]
    TooLarge { dest: String, fs_type: String, relpath: RelPath, size_bytes: u64 },
    #[error("the card \"{0}\" holds a file named like our own folder: \"{1}\"")]
    Reserved(String, RelPath),
}

/// `1.5 GiB`, `317 bytes`.
pub fn human(bytes: u64) -> String {
    let units = ["KiB", "MiB", "GiB", "TiB", "PiB"];
    let mut value = bytes as f64;
    let mut unit = None;
    for u in units {
        if value < 1024.0 {
            break;
        }
        value /= 1024.0;
        unit = Some(u);
    }
    match unit {
        Some(u) => format!("{value:.1} {u}"),
        None => format!("{bytes} bytes"),
    }
}

/// Checks that every file of the card can be copied to every destination. An empty answer means: go.
pub fn refusals(card: &Path, listing: &Listing, dests: &[DestinationFacts]) -> Vec<Refusal> {
    let mut out = Vec::new();
    let card_text = card.display().to_string();
    for (i, dest) in dests.iter().enumerate() {
        if dest.path.starts_with(card) {
            out.push(Refusal::InsideCard { dest: dest.name.clone(), card: card_text.clone() });
        } else if card.starts_with(&dest.path) {
            out.push(Refusal::CardInside { dest: dest.name.clone(), card: card_text.clone() });
        }
        for other in &dests[..i] {
            if dest.path.starts_with(&other.path) || other.path.starts_with(&dest.path) {
                out.push(Refusal::SameDestination { first: other.name.clone(), second: dest.name.clone() });
            }
        }
        if dest.read_only {
            out.push(Refusal::ReadOnly(dest.name.clone()));
        }
        out.extend(space(listing, dest));
        out.extend(names(listing, dest));
    }
    out
}

fn space(listing: &Listing, dest: &DestinationFacts) -> Vec<Refusal> {
    let mut out = Vec::new();
    let missing = || listing.files.iter().filter(|f| dest.present.binary_search(&f.relpath).is_err());
    let files = missing().count() as u64;
    if files == 0 {
        return out;
    }
    let cluster = dest.cluster_bytes.max(1);
    let data: u64 = missing().map(|f| f.size_bytes.div_ceil(cluster) * cluster).sum();
    // Folders, the manifest (under 1 KiB a file) and our evidence beside it.
    let own = (listing.folders.len() as u64 + 16) * cluster + files * 2048 + (1 << 20);
    let needed_bytes = data + own;
    if needed_bytes > dest.free_bytes {
        out.push(Refusal::Space { dest: dest.name.clone(), needed_bytes, free_bytes: dest.free_bytes });
    }
    let needed = files + listing.folders.len() as u64 + 16;
    if let Some(free) = dest.free_inodes.filter(|free| *free < needed) {
        out.push(Refusal::Inodes { dest: dest.name.clone(), needed, free });
    }
    out
}

fn names(listing: &Listing, dest: &DestinationFacts) -> Vec<Refusal> {
    let mut out = Vec::new();
    let fs_type = dest.fs_type.as_str();
    let fat_like = matches!(fs_type, "vfat" | "msdos" | "exfat" | "ntfs" | "ntfs3" | "fuseblk" | "cifs" | "smb3");
    let mut folded: HashMap<String, &RelPath> = HashMap::new();
    for relpath in listing.files.iter().map(|f| &f.relpath).chain(&listing.folders) {
        let name = relpath.name();
        let why = if name.len() > 255 {
            Some("the name is longer than 255 bytes".to_owned())
        } else if fat_like {
            let bad = name.iter().find(|b| **b < 32 || b"\"*:<>?|\\".contains(b));
            match (std::str::from_utf8(name), bad) {
                (Err(_), _) => Some(format!("{fs_type} holds only names in UTF-8")),
                (_, Some(b)) => Some(format!("{fs_type} holds no name with \"{}\"", b.escape_ascii())),
                _ if name.ends_with(b".") || name.ends_with(b" ") => {
                    Some(format!("{fs_type} drops dots and blanks at the end of a name"))
                }
                _ => None,
            }
        } else {
            None
        };
        if let Some(why) = why {
            out.push(Refusal::Name { dest: dest.name.clone(), relpath: relpath.clone(), why });
        }
        if folds_case(fs_type) {
            let key = relpath.text().to_lowercase();
            if let Some(first) = folded.insert(key, relpath) {
                out.push(Refusal::Clash {
                    dest: dest.name.clone(),
                    fs_type: fs_type.to_owned(),
                    first: first.clone(),
                    second: relpath.clone(),
                });
            }
        }
    }
    if matches!(fs_type, "vfat" | "msdos") {
        for file in listing.files.iter().filter(|f| f.size_bytes >= 1 << 32) {
            out.push(Refusal::TooLarge {
                dest: dest.name.clone(),
                fs_type: fs_type.to_owned(),
                relpath: file.relpath.clone(),
                size_bytes: file.size_bytes,
            });
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clip::CardFile;

    fn listing(files: &[(&str, u64)]) -> Listing {
        let file =
            |(p, size): &(&str, u64)| CardFile { relpath: RelPath::new(p).unwrap(), size_bytes: *size, mtime_ns: 0 };
        Listing { files: files.iter().map(file).collect(), ..Listing::default() }
    }

    fn dest(path: &str, fs_type: &str) -> DestinationFacts {
        DestinationFacts {
            name: path.into(),
            path: path.into(),
            fs_type: fs_type.into(),
            read_only: false,
            free_bytes: 1 << 30,
            free_inodes: Some(1000),
            cluster_bytes: 4096,
            present: Vec::new(),
        }
    }

    #[test]
    fn a_fitting_destination_is_not_refused() {
        assert_eq!(
            refusals(Path::new("/card"), &listing(&[("a.mov", 1 << 29)]), &[dest("/a", "ext4"), dest("/b", "xfs")]),
            []
        );
    }

    #[test]
    fn places_that_hold_each_other_are_refused() {
        let l = listing(&[("a", 1)]);
        let kinds = |card: &str, dests: &[&str]| {
            let dests: Vec<_> = dests.iter().map(|d| dest(d, "ext4")).collect();
            refusals(Path::new(card), &l, &dests).len()
        };
        assert_eq!(kinds("/card", &["/card/x"]), 1);
        assert_eq!(kinds("/mnt/card", &["/mnt"]), 1);
        assert_eq!(kinds("/card", &["/a", "/a"]), 1);
        assert_eq!(kinds("/card", &["/a", "/a/b"]), 1);
        assert_eq!(kinds("/card", &["/cardx", "/a", "/ab"]), 0);
    }

    #[test]
    fn too_little_space_is_told_with_the_numbers_and_present_files_need_none() {
        let l = listing(&[("a", 2 << 30)]);
        let mut d = dest("/a", "ext4");
        let said = refusals(Path::new("/card"), &l, std::slice::from_ref(&d))[0].to_string();
        assert!(said.contains("2.0 GiB needed, 1.0 GiB free"), "{said}");
        d.present = vec![RelPath::new("a").unwrap()];
        assert_eq!(refusals(Path::new("/card"), &l, &[d]), []);
    }

    #[test]
    fn names_a_filesystem_cannot_hold_are_refused_there_and_only_there() {
        let l = listing(&[("A.MOV", 1), ("a.mov", 1), ("x:y", 1), ("tr.", 1)]);
        assert_eq!(refusals(Path::new("/card"), &l, &[dest("/a", "ext4")]), []);
        assert_eq!(refusals(Path::new("/card"), &l, &[dest("/a", "exfat")]).len(), 3);
        let big = listing(&[("a", 1 << 32)]);
        let mut d = dest("/a", "vfat");
        d.free_bytes = 1 << 40;
        assert_eq!(refusals(Path::new("/card"), &big, &[d]).len(), 1);
    }
}
