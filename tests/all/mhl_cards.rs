//! Cards that carry a history or a legacy list of their own: compared in the one read, continued, or kept apart.

use crate::mhl::{create, manifests};
use crate::oracle::Reference;
use crate::place::{Place, flip};
use crate::station::{assert_not_safe, assert_safe};
use serde_json::Value;

fn texts(json: &Value, key: &str) -> String {
    json[key].to_string()
}

fn accept_all(place: &Place, json: &Value) {
    for warning in json["warnings"].as_array().unwrap() {
        let id = warning["id"].as_str().unwrap();
        place.run(&["accept", "A001", id, "--note", "the director knows"]);
    }
}

#[test]
fn a_card_that_agrees_with_its_own_history_says_so_in_its_verdict() {
    let Some(reference) = Reference::find() else { return };
    let place = Place::new().with_card();
    create(&reference, &place, "card/A001", &["-h", "md5"]);
    let said = assert_safe(place.offload(&["--no-media"]));
    assert!(texts(&said, "reasons").contains("ASC MHL history"), "{said}");
    assert!(texts(&said, "reasons").contains("3 of 3 listed files equal"), "{said}");
    let status = assert_safe(place.status());
    assert!(texts(&status, "reasons").contains("3 of 3 listed files equal"), "{status}");
    let ours = std::fs::read_to_string(&manifests(&place.path("a/A001"))[1]).unwrap();
    assert_eq!(ours.matches("<md5 action=\"verified\"").count(), 3, "{ours}");
    for copy in ["a/A001", "b/A001"] {
        let faults = reference.faults(&place.path(copy));
        assert!(faults.is_empty(), "{faults:?}");
    }
}

#[test]
fn a_file_that_differs_from_the_cards_history_blocks_safe_and_is_sealed_as_failed() {
    let Some(reference) = Reference::find() else { return };
    let place = Place::new().with_card();
    create(&reference, &place, "card/A001", &["-h", "xxh64"]);
    flip(&place.path("card/A001/CLIPS/A001C002.MOV"), 77);
    std::fs::remove_file(place.path("card/A001/NOTES.TXT")).unwrap();
    let said = assert_not_safe(place.offload(&["--no-media"]));
    let warnings = texts(&said, "warnings");
    assert!(warnings.contains("altered:CLIPS/A001C002.MOV") && warnings.contains("incomplete:ascmhl"), "{said}");
    assert!(texts(&said, "reasons").contains("1 of 3 listed files equal, 1 altered, 1 missing"), "{said}");
    let ours = std::fs::read_to_string(&manifests(&place.path("a/A001"))[1]).unwrap();
    assert_eq!(
        (ours.matches("action=\"failed\"").count(), ours.matches("action=\"verified\"").count()),
        (1, 1),
        "{ours}"
    );
    accept_all(&place, &said);
    assert_safe(place.status());
    assert_eq!(reference.verify(&place.path("a/A001")).code, 11);
}

#[test]
fn a_history_that_does_not_hold_is_kept_apart_and_a_new_one_begins() {
    let Some(reference) = Reference::find() else { return };
    let place = Place::new().with_card();
    create(&reference, &place, "card/A001/CLIPS", &["-h", "xxh64"]);
    create(&reference, &place, "card/A001", &["-h", "xxh64"]);
    let broken = manifests(&place.card())[0].clone();
    flip(&broken, 300);
    let card = place.tree("card", |_| false);
    let said = assert_not_safe(place.offload(&["--no-media"]));
    assert!(texts(&said, "warnings").contains("history:ascmhl"), "{said}");
    assert!(!texts(&said, "warnings").contains("history:CLIPS/ascmhl"), "that one holds: {said}");
    for dest in ["a", "b"] {
        let kept = place.path(&format!("{dest}/.goodgate/foreign/A001/ascmhl")).join(broken.file_name().unwrap());
        assert_eq!(std::fs::read(kept).unwrap(), std::fs::read(&broken).unwrap());
        assert!(place.path(&format!("{dest}/.goodgate/foreign/A001/ascmhl/ascmhl_chain.xml")).is_file());
        let roll = place.path(&format!("{dest}/A001"));
        assert_eq!((manifests(&roll).len(), manifests(&roll.join("CLIPS")).len()), (1, 3));
        let ours = std::fs::read_to_string(&manifests(&roll)[0]).unwrap();
        assert!(ours.contains("action=\"original\"") && !ours.contains("action=\"verified\""), "{ours}");
        let faults = reference.faults(&roll);
        assert!(faults.is_empty(), "{faults:?}");
    }
    accept_all(&place, &said);
    assert_safe(place.status());
    assert_safe(place.offload(&["--no-media"]));
    assert_eq!(manifests(&place.path("a/A001")).len(), 1, "nothing was added");
    assert_eq!(place.tree("card", |_| false), card);
}

#[test]
fn a_nested_history_that_does_not_hold_takes_the_one_that_refers_to_it_with_it() {
    let Some(reference) = Reference::find() else { return };
    let place = Place::new().with_card();
    create(&reference, &place, "card/A001/CLIPS", &["-h", "xxh64"]);
    create(&reference, &place, "card/A001", &["-h", "xxh64"]);
    std::fs::remove_file(place.path("card/A001/CLIPS/ascmhl/ascmhl_chain.xml")).unwrap();
    let said = assert_not_safe(place.offload(&["--no-media"]));
    for id in ["\"history:ascmhl\"", "\"history:CLIPS/ascmhl\""] {
        assert!(texts(&said, "warnings").contains(id), "{said}");
    }
    assert!(!place.path("a/A001/CLIPS/ascmhl").exists());
    assert!(place.path("a/.goodgate/foreign/A001/CLIPS/ascmhl").is_dir());
    let faults = reference.faults(&place.path("a/A001"));
    assert!(faults.is_empty(), "{faults:?}");
    accept_all(&place, &said);
    assert_safe(place.status());
}

#[test]
fn a_folder_that_is_only_named_like_a_history_loses_nothing() {
    let place = Place::new().with_card();
    place.file("card/A001/ascmhl/CLIP.MOV", 1_000_000, 9);
    place.file("card/A001/CLIPS/ascmhl/NOTE.TXT", 10, 9);
    let said = assert_not_safe(place.offload(&["--no-media"]));
    assert_eq!(said["files"], 5);
    accept_all(&place, &said);
    assert_safe(place.status());
    for copy in ["a", "b"] {
        for name in ["ascmhl/CLIP.MOV", "CLIPS/ascmhl/NOTE.TXT"] {
            let copy = std::fs::read(place.path(&format!("{copy}/A001/{name}"))).unwrap();
            assert_eq!(copy, std::fs::read(place.card().join(name)).unwrap());
        }
    }
}

#[test]
fn a_cards_legacy_list_is_compared_in_the_same_read() {
    let list = |rest: &str| {
        format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?><hashlist version=\"1.1\"><creatorinfo/>{rest}</hashlist>")
    };
    let entry =
        |name: &str, size: usize, digest: &str| format!("<hash><file>{name}</file><size>{size}</size>{digest}</hash>");
    let place = Place::new().with_card();
    let notes = std::fs::read(place.path("card/A001/NOTES.TXT")).unwrap();
    let md5 = {
        use md5::Digest as _;
        md5::Md5::digest(&notes).iter().map(|b| format!("{b:02x}")).collect::<String>()
    };
    let xxh32 = format!("<xxhash>{:010}</xxhash>", xxhash_rust::xxh32::xxh32(&notes, 0));
    let good = list(
        &(entry("NOTES.TXT", 12, &format!("<md5>{md5}</md5>{xxh32}"))
            + &entry("CLIPS/A001C002.MOV", 1_048_576, "<null/>")),
    );
    std::fs::write(place.path("card/A001/A001.mhl"), good).unwrap();
    let said = assert_safe(place.offload(&["--no-media"]));
    assert!(texts(&said, "reasons").contains("legacy MHL \\\"A001.mhl\\\" in the one read: 2 of 2"), "{said}");

    // A list of files that were never here says nothing of this card.
    let place = Place::new().with_card();
    std::fs::write(place.path("card/A001/stray.mhl"), list(&entry("OTHER/X.MOV", 1, "<null/>"))).unwrap();
    assert_safe(place.offload(&["--no-media"]));

    let place = Place::new().with_card();
    let wrong = list(&(entry("NOTES.TXT", 12, "<xxhash>0000000001</xxhash>") + &entry("GONE.TXT", 1, "<null/>")));
    std::fs::write(place.path("card/A001/A001.mhl"), wrong).unwrap();
    std::fs::write(
        place.path("card/A001/BAD.mhl"),
        "<hashlist version=\"1.1\"><hash><file>../x</file></hash></hashlist>",
    )
    .unwrap();
    let said = assert_not_safe(place.offload(&["--no-media"]));
    for id in ["altered:NOTES.TXT", "incomplete:A001.mhl", "list:BAD.mhl"] {
        assert!(texts(&said, "warnings").contains(id), "{id}: {said}");
    }
    accept_all(&place, &said);
    assert_safe(place.status());
}

#[test]
fn a_verification_that_is_sealed_is_the_next_generation_of_each_copy() {
    let Some(reference) = Reference::find() else { return };
    let place = Place::new().with_card();
    std::fs::create_dir(place.path("card/A001/EMPTY")).unwrap();
    assert_safe(place.offload(&["--no-media"]));
    let said = place.run(&["verify", "A001", "--seal", "--json"]).expect(0).json();
    assert_eq!(said["sealed"].as_array().unwrap().len(), 2, "{said}");
    for copy in ["a/A001", "b/A001"] {
        let all = manifests(&place.path(copy));
        let text = std::fs::read_to_string(&all[1]).unwrap();
        assert_eq!((all.len(), text.matches("action=\"verified\"").count()), (2, 3), "{text}");
        assert!(text.contains("<process>in-place</process>") && text.contains("roothash"), "{text}");
        let faults = reference.faults(&place.path(copy));
        assert!(faults.is_empty(), "{faults:?}");
    }
    assert_safe(place.status());
    flip(&place.path("a/A001/NOTES.TXT"), 3);
    let said = place.run(&["patrol", "--due", "0s", "--seal", "--json"]).expect(11).json();
    assert_eq!(said["sealed"].as_array().unwrap().len(), 2, "{said}");
    let text = std::fs::read_to_string(&manifests(&place.path("a/A001"))[2]).unwrap();
    assert_eq!(
        (text.matches("action=\"failed\"").count(), text.matches("action=\"verified\"").count()),
        (1, 2),
        "{text}"
    );
    assert_eq!(reference.verify(&place.path("a/A001")).code, 11);
    let faults = reference.faults(&place.path("b/A001"));
    assert!(faults.is_empty(), "{faults:?}");
    // A part of a roll makes no claim for the whole.
    let said = place.run(&["verify", "b/A001/CLIPS", "--seal", "--json"]).expect(0).json();
    assert_eq!(said["sealed"].as_array().unwrap().len(), 1, "{said}");
    let text = std::fs::read_to_string(&manifests(&place.path("b/A001"))[3]).unwrap();
    assert!(!text.contains("NOTES.TXT") && !text.contains("roothash"), "{text}");
    assert_eq!(reference.verify(&place.path("b/A001")).code, 0);
    // Again, by the catalog: the generations are known to it.
    place.run(&["verify", "b/A001", "--json"]).expect(0);
}

#[test]
fn a_history_without_a_catalog_is_continued_by_a_sealed_verification_too() {
    let Some(reference) = Reference::find() else { return };
    let place = Place::new();
    place.file("x/CLIPS/a.mov", 2_000_000, 1);
    place.file("x/b.txt", 20, 2);
    create(&reference, &place, "x", &["-h", "c4"]);
    let said = place.run(&["verify", "x", "--seal", "--json"]).expect(0).json();
    assert_eq!(said["sealed"][0]["generation"], 2, "{said}");
    let faults = reference.faults(&place.path("x"));
    assert!(faults.is_empty(), "{faults:?}");
    flip(&place.path("x/CLIPS/a.mov"), 1_000_000);
    place.run(&["verify", "x", "--seal", "--json"]).expect(11);
    let text = std::fs::read_to_string(&manifests(&place.path("x"))[2]).unwrap();
    assert_eq!(text.matches("<c4 action=\"failed\"").count(), 1, "{text}");
}
