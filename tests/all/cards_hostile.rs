//! The card of every family with sidecars and indexes that are empty, cut, of another encoding, or made to hurt: all of it
//! is copied and proven, no clip is lost, and whoever asks is told.

use crate::cards::{cinema, other};
use crate::place::{Place, pattern, within};
use crate::station::open_warnings;
use std::collections::BTreeMap;

/// What holds no recording, whatever its maker calls it.
fn is_beside(name: &str) -> bool {
    let extension = name.rsplit('.').next().unwrap_or_default().to_ascii_lowercase();
    [
        "xml", "mpl", "mif", "cif", "cpf", "sif", "bim", "ale", "smi", "srt", "sidecar", "csv", "txt", "rmd", "bdm",
        "cpi", "klv", "ppn", "list", "dat", "dsc", "aml", "fcpxml", "db", "bin", "rtn", "inp", "tdt", "ctg", "zdt",
    ]
    .contains(&extension.as_str())
}

/// Every family's card in a folder of its own, and beside each recording the sidecars that are read of any.
fn all_cards() -> BTreeMap<String, Vec<u8>> {
    let mut all = BTreeMap::new();
    for (n, tree) in cinema::all().into_iter().enumerate() {
        all.extend(tree.files.into_iter().map(|(name, bytes)| (format!("cinema {n:02}/{name}"), bytes)));
    }
    for (n, tree) in other::TREES.iter().enumerate() {
        let files = tree.files.iter().map(|(name, len)| (format!("other {n:02}/{name}"), pattern(*len, 1)));
        all.extend(files);
    }
    for extension in ["xml", "srt", "sidecar", "metadata.txt", "csv", "ale"] {
        all.insert(
            format!("plain/A.{extension}"),
            b"<NonRealTimeMeta><Duration value=\"5\"/></NonRealTimeMeta>".to_vec(),
        );
    }
    all.insert("plain/A.mov".to_owned(), pattern(500, 2));
    all
}

/// Exit code and object of an offload of these files; every file must be proven.
fn offloaded(files: &BTreeMap<String, Vec<u8>>) -> (Place, serde_json::Value) {
    let place = Place::new();
    std::fs::remove_dir_all(place.card()).unwrap();
    for (name, bytes) in files {
        let path = place.card().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    }
    let said = within(240, place.goodgate(&["offload", "card/A001", "--to", "a", "--json", "--no-media"]));
    assert!([0, 20].contains(&said.code), "{} {}", said.stdout, said.stderr);
    let v = said.json();
    assert_eq!((&v["files"], &v["copies"][0]["verified"]), (&files.len().into(), &files.len().into()), "{v}");
    assert_eq!(v["findings"], serde_json::json!([]), "{v}");
    (place, v)
}

/// What becomes of a sidecar.
type Hurt<'a> = &'a dyn Fn(&[u8]) -> Vec<u8>;

#[test]
fn no_sidecar_or_index_loses_a_file_or_a_clip_or_goes_unsaid() {
    let good = all_cards();
    let beside = good.keys().filter(|name| is_beside(name)).count();
    assert!(beside > 60, "only {beside} sidecars and indexes are tried");
    let (_, whole) = offloaded(&good);
    let clips = whole["clips"].as_u64().unwrap();
    let laughs = b"<!DOCTYPE a [<!ENTITY b \"ha\"><!ENTITY c \"&b;&b;&b;\">]><NonRealTimeMeta>&c;</NonRealTimeMeta>";
    let hurts: [(&str, Hurt); 4] = [
        ("empty", &|_| Vec::new()),
        ("cut", &|bytes| bytes[..bytes.len() / 2].to_vec()),
        ("of another encoding", &|bytes| {
            [b"\xff\xfe\x00\xd8".to_vec(), bytes.iter().map(|b| b ^ 0x80).collect()].concat()
        }),
        ("hostile", &|_| [&laughs[..], &[0xff; 3000], &b"<a>".repeat(20_000)].concat()),
    ];
    for (how, hurt) in hurts {
        let files = good.iter().map(|(name, bytes)| {
            let bytes = if is_beside(name) { hurt(bytes) } else { bytes.clone() };
            (name.clone(), bytes)
        });
        let (place, v) = offloaded(&files.collect());
        assert!(v["clips"].as_u64().unwrap() >= clips, "{how}: {} clips of {clips}", v["clips"]);
        let open = open_warnings(&v);
        for index in
            ["XDROOT/MEDIAPRO.XML", "BDMV/PLAYLIST/00000.MPL", "CONTENTS/CLIP/0001AB.XML", "A001R1ZA/A001R1ZA.ale"]
        {
            let told = open
                .iter()
                .any(|id| id.ends_with(index) && (id.starts_with("unread-index:") || id.starts_with("empty-index:")));
            assert!(told, "{how}: \"{index}\" is not told of: {open:#?}");
        }
        let show = place.run(&["show", "A", "--json"]).json()["clip"].to_string();
        for sidecar in ["A.xml", "A.sidecar", "A.srt"] {
            assert!(show.contains(&format!("\\\"{sidecar}\\\" cannot be read")), "{how}: {sidecar} in {show}");
        }
    }
}
