//! Real recordings as a card: one offload to two destinations, observed once; each test judges a part of it.

use crate::oracle;
use crate::place::{Place, Stamp, real_media, stamps};
use crate::station::{open_warnings, reasons, safe, says};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::LazyLock;

struct Real {
    first: (i32, Value),
    /// Warning and what `accept` of it answered.
    accepted: Vec<(String, i32, Value)>,
    again: (i32, Value),
    /// Of both destinations, before and after the second offload.
    stamps: [[Vec<Stamp>; 2]; 2],
    clips: Vec<Value>,
    /// Bytes of every proxy and poster that the catalog names; 0 where there is none.
    derived: BTreeMap<String, u64>,
    manifest: Vec<BTreeMap<String, String>>,
    oracle: Vec<String>,
    sound: i32,
}

static REAL: LazyLock<Option<Real>> = LazyLock::new(observe);

fn copy_tree(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        match path.is_dir() {
            true => copy_tree(&path, &target),
            false => std::fs::write(&target, std::fs::read(&path).unwrap()).unwrap(),
        }
    }
}

/// No assertion here: a panic in it would hide which promise is broken.
fn observe() -> Option<Real> {
    let media = real_media()?;
    let place = Place::new();
    copy_tree(&media, &place.card());
    let judged = |args: &[&str]| {
        let said = place.run(args);
        (said.code, said.json())
    };
    let offload = ["offload", "card/A001", "--to", "a", "--to", "b", "--json"];
    let first = judged(&offload);
    let mut accepted = Vec::new();
    for id in open_warnings(&first.1) {
        let (code, v) = judged(&["accept", "A001", &id, "--note", &format!("known: {id}"), "--json"]);
        accepted.push((id, code, v));
    }
    // A backup of the catalog is no part of the footage.
    let of = |dest: &str| {
        let mut all = stamps(&place.path(dest));
        all.retain(|s| s.path != Path::new(".goodgate") && !s.path.starts_with(".goodgate/catalog"));
        all
    };
    let both = || [of("a"), of("b")];
    let before = both();
    let again = judged(&offload);
    let after = both();
    let clips = place.run(&["find", "limit:1000", "--json"]).json()["clips"].as_array().unwrap().clone();
    let paths = clips.iter().flat_map(|c| [&c["proxy"], &c["poster"]]).filter_map(Value::as_str);
    let derived = paths.map(|p| (p.to_owned(), std::fs::metadata(p).map_or(0, |m| m.len()))).collect();
    let text = std::fs::read_to_string(media.join("MANIFEST.tsv")).unwrap();
    let mut lines = text.lines().map(|l| l.split('\t').map(str::to_owned));
    let head: Vec<String> = lines.next().unwrap().collect();
    let manifest = lines.map(|l| head.iter().cloned().zip(l).collect()).collect();
    let oracle = match oracle::Reference::find() {
        Some(r) => ["a/A001", "b/A001"].iter().flat_map(|d| r.faults(&place.path(d))).collect(),
        None => Vec::new(),
    };
    let sound = place.run(&["check", "--json"]).code;
    Some(Real { first, accepted, again, stamps: [before, after], clips, derived, manifest, oracle, sound })
}

#[test]
fn only_warnings_of_cut_empty_and_missing_files_keep_real_media_from_being_safe() {
    let Some(real) = &*REAL else { return };
    let (code, v) = &real.first;
    assert_eq!((*code, safe(v)), (20, false));
    let open = open_warnings(v);
    assert!(open.len() >= 5, "{open:?}");
    // Of one R3D only the second part is among the media.
    let part = "missing-part:red/A106_C037_0118G5_001.R3D";
    assert!(open.iter().any(|id| id == part), "{open:?}");
    let cut = |id: &String| id == part || id.starts_with("truncated:") || id.starts_with("empty:");
    assert!(open.iter().all(cut), "{open:?}");
    // Among the media are two folders with histories: those agree, and that is said.
    let agrees = |r: &str| r.starts_with("the source was compared") && r.ends_with("3 of 3 listed files equal");
    let other = |r: &&String| !r.starts_with("open warning") && !r.starts_with("one-disk station") && !agrees(r);
    let all = reasons(v);
    let other: Vec<_> = all.iter().filter(other).filter(|r| !r.contains("more warnings are open")).collect();
    assert!(other.is_empty(), "{other:#?}");
    assert_eq!(v["files"], real.manifest.len() as u64 + 1, "the manifest itself is on the card too");
}

#[test]
fn real_media_are_safe_once_each_warning_is_accepted() {
    let Some(real) = &*REAL else { return };
    let (last, before) = real.accepted.split_last().expect("no warnings");
    for (id, code, v) in before {
        assert_eq!((*code, safe(v)), (20, false), "after {id}: {v}");
    }
    assert_eq!((last.1, safe(&last.2)), (0, true), "{:#?}", reasons(&last.2));
    for (id, ..) in &real.accepted {
        assert!(says(&last.2, &[id, &format!("known: {id}")]), "{id} is not in the reasons");
    }
    assert_eq!(real.sound, 0, "check finds fault with the catalog");
}

#[test]
fn a_second_offload_of_real_media_rewrites_nothing_and_is_safe() {
    let Some(real) = &*REAL else { return };
    let (code, v) = &real.again;
    assert_eq!((*code, safe(v)), (0, true), "{:#?}", reasons(v));
    for (before, after) in real.stamps[0].iter().zip(&real.stamps[1]) {
        let changed: Vec<_> =
            before.iter().filter(|s| !after.contains(s)).chain(after.iter().filter(|s| !before.contains(s))).collect();
        assert!(changed.is_empty(), "{changed:#?}");
    }
}

#[test]
fn the_histories_of_real_media_pass_the_reference_tool() {
    let Some(real) = &*REAL else { return };
    assert!(real.oracle.is_empty(), "{}", real.oracle.join("\n"));
}

#[test]
fn every_clip_that_is_ok_has_its_proxy_and_every_picture_its_poster() {
    let Some(real) = &*REAL else { return };
    let mut seen = [0, 0];
    for clip in &real.clips {
        let (name, picture) = (&clip["name"], !clip["video_codec"].is_null());
        // One picture is a still; numbered ones are a recording.
        let still = clip["container"].as_str().is_some_and(|c| c.ends_with("_pipe")) && clip["duration_frames"] == 1;
        for (i, (key, wanted)) in
            [("proxy", clip["media"] == "ok" && !still), ("poster", clip["media"] == "ok" && picture)]
                .iter()
                .enumerate()
        {
            let bytes = clip[*key].as_str().map_or(0, |p| real.derived[p]);
            assert_eq!(bytes > 0, *wanted, "{key} of {name}: {clip}");
            seen[i] += usize::from(bytes > 0);
        }
        let why = clip["media_note"].as_str().unwrap_or_default();
        assert!(clip["media"] == "ok" || !why.is_empty(), "{name} gives no reason: {clip}");
    }
    // The tracks of three takes of sound are three clips, each with one proxy.
    assert!(seen[0] >= 21 && seen[1] >= 12, "{seen:?}");
}

/// Where the catalog knows better than the manifest, and why.
const BETTER: [(&str, &str); 2] = [
    ("sequences/dng/canon_eos_6d.dng raster", "ffprobe cannot tell the size of this picture"),
    ("mxf/d10_qt_klv_sample.mxf avg", "ffprobe knows no average"),
];

#[test]
fn what_is_catalogued_of_real_media_is_what_the_manifest_says() {
    let Some(real) = &*REAL else { return };
    let mut wrong = Vec::new();
    let mut compared = 0;
    for row in real.manifest.iter().filter(|r| r["container"] != "-") {
        let path = &row["path"];
        let mut says = |what: &str, manifest: String, ours: String| {
            if manifest == "-" {
                return;
            }
            compared += 1;
            let known = BETTER.iter().any(|(p, _)| *p == format!("{path} {what}"));
            if manifest != ours && !known {
                wrong.push(format!("{path}: {what}: manifest {manifest}, catalog {ours}"));
            }
        };
        let clips: Vec<_> =
            real.clips.iter().filter(|c| c["files"].as_array().unwrap().iter().any(|f| f == path)).collect();
        says("clips", "1".into(), clips.len().to_string());
        let Some(clip) = clips.first() else { continue };
        let text = |key: &str| clip[key].as_str().unwrap_or("-").to_owned();
        says("container", row["container"].clone(), text("container"));
        let codec = row["video"].split('/').next().unwrap_or("-").to_owned();
        says("codec", codec, text("video_codec"));
        let raster = match (clip["width"].as_u64(), clip["height"].as_u64()) {
            (Some(w), Some(h)) => format!("{w}x{h}"),
            _ => "-".into(),
        };
        says("raster", row["resolution"].clone(), raster);
        let rate = row["fps"].split_whitespace().find_map(|f| f.strip_prefix("r=")).unwrap_or("-").to_owned();
        let ours = match (clip["fps_num"].as_u64(), clip["fps_den"].as_u64()) {
            (Some(n), Some(d)) => format!("{n}/{d}"),
            _ => "-".into(),
        };
        says("fps", rate, ours);
        match row["timecode"].strip_prefix("bext time_reference=") {
            Some(samples) => says("time reference", samples.to_owned(), clip["time_reference"].to_string()),
            None => says("timecode", row["timecode"].clone(), text("start_tc")),
        }
        let ours: Vec<String> = clip["audio"]
            .as_array()
            .unwrap()
            .iter()
            // Of a take in several files, the tracks of this one.
            .filter(|a| a["file"].is_null() || a["file"] == *path)
            .map(|a| format!("{} {}ch {}Hz", a["codec"].as_str().unwrap(), a["channels"], a["sample_rate_hz"]))
            .collect();
        let ours = match ours.first() {
            Some(first) => format!("{}x {first}", ours.len()),
            None => "-".into(),
        };
        says("audio", row["audio"].clone(), ours);
    }
    assert!(wrong.is_empty(), "{} of {compared} differ:\n{}", wrong.len(), wrong.join("\n"));
    assert!(compared >= 200, "only {compared} values were compared");
}
