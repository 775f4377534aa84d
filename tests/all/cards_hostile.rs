//! The card of every family with sidecars and indexes that are empty, cut, of another encoding, or made to hurt: all of it
//! is copied and proven, no clip is lost, and whoever asks is told.

use crate::cards::{cinema, other};
use crate::place::{Place, pattern, within};
use serde_json::Value;
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
            format!("plain/SOLO.{extension}"),
            b"<NonRealTimeMeta><Duration value=\"5\"/></NonRealTimeMeta>".to_vec(),
        );
    }
    all.insert("plain/SOLO.mov".to_owned(), pattern(500, 2));
    all
}

/// A place with these files on its card and no others.
fn place(files: &BTreeMap<String, Vec<u8>>) -> Place {
    let place = Place::new();
    std::fs::remove_dir_all(place.card()).unwrap();
    for (name, bytes) in files {
        let path = place.card().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    }
    place
}

/// What is seen of them; no file may be left out.
fn plan(files: &BTreeMap<String, Vec<u8>>) -> Value {
    let place = place(files);
    let said = within(60, place.goodgate(&["offload", "card/A001", "--to", "a", "--json", "--dry-run"]));
    let v = said.expect(0).json();
    assert_eq!(v["files"], files.len(), "{v}");
    v
}

/// What becomes of a sidecar.
type Hurt<'a> = &'a dyn Fn(&[u8]) -> Vec<u8>;

#[test]
fn no_sidecar_or_index_loses_a_file_or_a_clip_or_goes_unsaid() {
    let good = all_cards();
    let beside = good.keys().filter(|name| is_beside(name)).count();
    assert!(beside > 50, "only {beside} sidecars and indexes are tried");
    let clips = plan(&good)["clips"].as_u64().unwrap();
    let laughs = b"<!DOCTYPE a [<!ENTITY b \"ha\"><!ENTITY c \"&b;&b;&b;\">]><NonRealTimeMeta>&c;</NonRealTimeMeta>";
    let hurts: [(&str, Hurt); 4] = [
        ("empty", &|_| Vec::new()),
        ("cut", &|bytes| bytes[..bytes.len() / 2].to_vec()),
        ("recoded", &|bytes| [b"\xff\xfe\x00\xd8".to_vec(), bytes.iter().map(|b| b ^ 0x80).collect()].concat()),
        ("hostile", &|_| [&laughs[..], &[0xff; 3000], &b"<a>".repeat(20_000)].concat()),
    ];
    for (how, hurt) in hurts {
        let files = good.iter().map(|(name, bytes)| {
            let bytes = if is_beside(name) { hurt(bytes) } else { bytes.clone() };
            (name.clone(), bytes)
        });
        let files: BTreeMap<_, _> = files.collect();
        let v = plan(&files);
        assert!(v["clips"].as_u64().unwrap() >= clips, "{how}: {} clips of {clips}", v["clips"]);
        let open: Vec<&str> = v["warnings"].as_array().unwrap().iter().map(|w| w["id"].as_str().unwrap()).collect();
        for index in
            ["XDROOT/MEDIAPRO.XML", "BDMV/PLAYLIST/00000.MPL", "CONTENTS/CLIP/0001AB.XML", "A001R1ZA/A001R1ZA.ale"]
        {
            // Of a sheet that is cut the rows before the cut are read.
            let kinds = ["unread-index:", "empty-index:", "not-in-index:"];
            let told = open.iter().any(|id| id.ends_with(index) && kinds.iter().any(|kind| id.starts_with(kind)));
            assert!(told, "{how}: \"{index}\" is not told of: {open:#?}");
        }
        if how == "cut" || how == "hostile" {
            offload(how, &files, clips);
        }
    }
}

/// Every file is proven, and who looks at a clip reads which of its sidecars are broken.
fn offload(how: &str, files: &BTreeMap<String, Vec<u8>>, clips: u64) {
    let place = place(files);
    let said = within(240, place.goodgate(&["offload", "card/A001", "--to", "a", "--json", "--no-media"]));
    assert_eq!(said.code, 20, "{how}: {} {}", said.stdout, said.stderr);
    let v = said.json();
    let count = Value::from(files.len());
    assert_eq!((&v["files"], &v["copies"][0]["verified"]), (&count, &count), "{how}: {v}");
    assert_eq!(v["findings"], serde_json::json!([]), "{how}: {v}");
    assert!(v["clips"].as_u64().unwrap() >= clips, "{how}: {} clips of {clips}", v["clips"]);
    let show = place.run(&["show", "SOLO", "--json"]).json()["clip"].to_string();
    for sidecar in ["SOLO.xml", "SOLO.sidecar", "SOLO.srt"] {
        assert!(show.contains(&format!("\\\"{sidecar}\\\" cannot be read")), "{how}: {sidecar} in {show}");
    }
}
