//! Content and structure hashes of folders, as ASC MHL defines them: over the digests of the children, sorted.

use crate::digest::{Digest, HashFormat};
use crate::hash::digest_of;
use crate::relpath::RelPath;
use std::collections::BTreeMap;

/// What one folder holds, in one format.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Pair {
    /// Changes when a file's bytes change, not when one is renamed.
    pub content: Digest,
    /// Changes also when a name changes.
    pub structure: Digest,
}

#[derive(Default)]
struct Lists {
    content: Vec<Vec<u8>>,
    structure: Vec<Vec<u8>>,
}

/// The pair of every folder, the root's under `RelPath::root()`. `folders` need not name those above a file.
pub(crate) fn tree_hash<'a>(
    format: HashFormat,
    files: impl IntoIterator<Item = (&'a RelPath, &'a Digest)>,
    folders: impl IntoIterator<Item = &'a RelPath>,
) -> BTreeMap<RelPath, Pair> {
    let mut open: BTreeMap<RelPath, Lists> = BTreeMap::from([(RelPath::root(), Lists::default())]);
    for folder in folders {
        for f in folder.ancestors().into_iter().chain([folder.clone()]) {
            open.entry(f).or_default();
        }
    }
    for (path, digest) in files {
        for folder in path.ancestors() {
            open.entry(folder).or_default();
        }
        add(&mut open, path, format, digest, digest);
    }
    let mut out = BTreeMap::new();
    // Byte order puts a folder before all below it, so from the end each folder is complete when its turn comes.
    while let Some((folder, lists)) = open.pop_last() {
        let pair = Pair { content: over(format, lists.content), structure: over(format, lists.structure) };
        if !folder.is_root() {
            add(&mut open, &folder, format, &pair.content, &pair.structure);
        }
        out.insert(folder, pair);
    }
    out
}

fn add(open: &mut BTreeMap<RelPath, Lists>, child: &RelPath, format: HashFormat, content: &Digest, structure: &Digest) {
    let lists = open.entry(child.parent()).or_default();
    lists.content.push(content.as_bytes().to_vec());
    let named = [child.name(), structure.as_bytes()].concat();
    lists.structure.push(digest_of(format, &named).as_bytes().to_vec());
}

/// Equal values are kept: two copies of a clip in one folder count twice.
fn over(format: HashFormat, mut list: Vec<Vec<u8>>) -> Digest {
    list.sort();
    digest_of(format, &list.concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn demo(format: HashFormat) -> BTreeMap<RelPath, Pair> {
        let rel = |p: &str| RelPath::new(p).unwrap();
        let files =
            [("Clips/a.mov", "hello"), ("Clips/b.mov", "world"), ("Sidecar.txt", "sidecar\n"), ("zero.bin", "")];
        let files: Vec<_> = files.map(|(p, text)| (rel(p), digest_of(format, text.as_bytes()))).into();
        tree_hash(format, files.iter().map(|(p, d)| (p, d)), &[rel("Empty")])
    }

    fn texts(format: HashFormat, folder: &str) -> (String, String) {
        let pair = &demo(format)[&RelPath::new(folder).unwrap()];
        (pair.content.text(), pair.structure.text())
    }

    #[test]
    fn every_format_gives_the_published_pairs() {
        let expected = [
            (HashFormat::Xxh64, "Clips", "b8ca8fa824d335e9", "31968ee4c0c9f7dc"),
            (HashFormat::Xxh64, "", "9e1a07643c44992c", "2b4ea78cbd1c1485"),
            (HashFormat::Xxh3, "Clips", "37e14368bd756b55", "64ac07c6855f0862"),
            (HashFormat::Xxh3, "", "4de7a0fb3f1557f2", "3cea8678ac694995"),
            (HashFormat::Xxh128, "", "f1c51627d97ea6bd1a6c74a50579da45", "545426fdd9f308625e7c5ae80592a7ac"),
            (HashFormat::Md5, "", "6552a8cebf3f1c8c2d2f3adc022b2f6c", "896d1e9a3fede456a0055daf73cb3b54"),
            (
                HashFormat::Sha1,
                "",
                "22a6944ba5ef08b2b1d414794513ed88cfca4549",
                "0488400c44975d590c9a86836c65f62aee9e04b5",
            ),
            (
                HashFormat::C4,
                "Clips",
                "c4645hxSEJhcHPnMyzp4ExYHt5ACumqei2CG1eWaeCLeE6Ab5YCWHHtCdmoxqXuDxqyJ86aqQhFmCoB3ifjReEbQmq",
                "c42mhArTcvzjytevLAovknnvXioLunQ9E8EyE5z13KcDR94r5MBWzscJs1n6Wbf2TWxGKyKuH5msfogd1ZG9U8rzWW",
            ),
            (
                HashFormat::C4,
                "",
                "c43AigmgCPweaS1L1LnhffErvjLgCHHAcrKnb6CSRam8diXRV36r5xyRK15LabZv332Znee1JUMNZe1j6rfQD2ouBi",
                "c42AZzvW1SwM5bwMzc1huSZDRMvnyZUZNLmnZ9Me2xf51vpTsELrutPGzp3d6nXKVsg4kj7t2kgFPQee9ob7NDtJVR",
            ),
        ];
        for (format, folder, content, structure) in expected {
            assert_eq!(texts(format, folder), (content.into(), structure.into()), "{format} {folder:?}");
        }
    }

    #[test]
    fn an_empty_folder_hashes_to_the_empty_input() {
        assert_eq!(texts(HashFormat::Xxh64, "Empty"), ("ef46db3751d8e999".into(), "ef46db3751d8e999".into()));
    }
}
