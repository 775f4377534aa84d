//! A card: lines of names, an empty line, then the bytes of every index on it. No file is in two clips, and the parsers of
//! indexes take whatever there is.
#![no_main]
use goodgate::clip::{CardFile, Listing};
use goodgate::read::{mediapro, mpl, p2};
use goodgate::relpath::RelPath;
use libfuzzer_sys::fuzz_target;
use std::collections::BTreeSet;

fuzz_target!(|bytes: &[u8]| {
    let cut = bytes.windows(2).position(|w| w == b"\n\n").unwrap_or(bytes.len());
    let (names, index) = (&bytes[..cut], bytes.get(cut + 2..).unwrap_or_default());
    let _ = (mediapro::materials(index), mpl::items(index), p2::clip(index), p2::facts(index));
    let paths: BTreeSet<RelPath> = names.split(|b| *b == b'\n').filter_map(|n| RelPath::new(n).ok()).collect();
    let paths: Vec<RelPath> = paths.into_iter().filter(|p| !p.is_root()).take(200).collect();
    let file = |p: &RelPath| CardFile { relpath: p.clone(), size_bytes: index.len() as u64, mtime_ns: 0 };
    let folders: BTreeSet<RelPath> = paths.iter().flat_map(RelPath::ancestors).collect();
    let files = paths.iter().map(file).collect();
    let listing = Listing { files, folders: folders.into_iter().collect(), ..Listing::default() };
    let card = goodgate::card::recognise(listing, &mut |_| Ok(index.to_vec()));
    let mut seen = BTreeSet::new();
    for (path, _) in card.clips.iter().flat_map(|c| &c.files) {
        assert!(seen.insert(path.clone()), "{path} is in two clips");
    }
});
