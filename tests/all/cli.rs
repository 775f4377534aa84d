//! The command line as scripts see it: keys, exit codes, what goes to stdout and what to stderr (cli.md).

use crate::place::{Place, Said, flip};
use serde_json::Value;
use std::ffi::OsStr;
use std::io::{BufRead, BufReader};
use std::os::unix::ffi::OsStrExt;
use std::process::{Command, Stdio};

const CARD_KEYS: &[&str] = &[
    "card",
    "roll",
    "source_kind",
    "layout",
    "files",
    "bytes",
    "clips",
    "safe",
    "as_of",
    "card_present",
    "policy",
    "reasons",
    "warnings",
    "skipped",
    "copies",
    "findings",
];
const COPY_KEYS: &[&str] = &["destination", "path", "files", "verified", "read_back", "disk"];
const CLIP_KEYS: &[&str] = &[
    "id",
    "name",
    "roll",
    "camera",
    "start_tc",
    "end_tc",
    "duration_frames",
    "fps",
    "width",
    "height",
    "video_codec",
    "audio_channels",
    "recorded_at",
    "files",
    "copies",
    "proxy",
    "proxies",
    "poster",
    "media",
    "media_note",
];

/// Stdout holds one object on one line, and nothing else.
#[track_caller]
fn object(said: &Said) -> Value {
    assert!(said.stdout.ends_with('\n') && said.stdout.lines().count() == 1, "not one line: {}", said.stdout);
    let value = said.json();
    assert!(value.is_object(), "{value}");
    value
}

#[track_caller]
fn has_keys(value: &Value, keys: &[&str]) {
    for key in keys {
        assert!(value.get(key).is_some(), "no {key} in {value}");
    }
}

/// Runs with `--json` and gives the error object after checking its form and that nothing else was said on stdout.
#[track_caller]
fn refused(place: &Place, args: &[&str], code: i32) -> Value {
    let said = place.run(&[args, &["--json"]].concat()).expect(code);
    let error = object(&said);
    assert_eq!(error["exit"], code, "{error}");
    assert!(error["error"].as_str().is_some_and(|t| !t.is_empty()), "{error}");
    assert!(error["hint"].is_string() || error["hint"].is_null(), "{error}");
    error
}

/// An empty clip on the card: a warning that blocks SAFE until it is accepted.
fn with_warning() -> (Place, &'static str) {
    let place = Place::new().with_card();
    place.file("card/A001/CLIPS/A001C003.MOV", 0, 0);
    (place, "empty:CLIPS/A001C003.MOV")
}

#[test]
fn a_safe_offload_prints_its_card_object() {
    let place = Place::new().with_card();
    let card = object(&place.offload(&["--no-media"]).expect(0));
    has_keys(&card, CARD_KEYS);
    assert_eq!((&card["roll"], &card["source_kind"], &card["safe"]), (&"A001".into(), &"folder".into(), &true.into()));
    assert_eq!((&card["files"], &card["bytes"]), (&3.into(), &(3_500_000 + 1_048_576 + 12).into()));
    assert!(card["as_of"].as_str().unwrap().parse::<jiff::Timestamp>().is_ok());
    let copies = card["copies"].as_array().unwrap();
    assert_eq!(copies.len(), 2);
    for (copy, name) in copies.iter().zip(["a", "b"]) {
        has_keys(copy, COPY_KEYS);
        assert_eq!(copy["destination"], place.path(name).display().to_string());
        assert_eq!(copy["path"], place.path(&format!("{name}/A001")).display().to_string());
        assert_eq!((&copy["files"], &copy["verified"]), (&3.into(), &3.into()));
    }
    let status = object(&place.run(&["status", "A001", "--json"]).expect(0));
    has_keys(&status, CARD_KEYS);
    assert_eq!(status["card"], card["card"]);
    let by_id = place.run(&["status", card["card"].as_str().unwrap(), "--json"]).expect(0);
    assert_eq!(object(&by_id)["roll"], "A001");
}

#[test]
fn a_card_that_is_not_safe_is_printed_all_the_same_and_exits_20() {
    let place = Place::new().with_card();
    let said = place.run(&["offload", "card/A001", "--to", "a", "--no-media", "--json"]).expect(20);
    let card = object(&said);
    has_keys(&card, CARD_KEYS);
    assert_eq!(card["safe"], false);
    place.run(&["status", "A001"]).expect(20);
    let all = object(&place.run(&["status", "--json"]).expect(0));
    assert_eq!(all["cards"][0]["safe"], false);
}

#[test]
fn the_verdict_comes_first_and_is_data() {
    let place = Place::new().with_card();
    let said = place.run(&["offload", "card/A001", "--to", "a", "--to", "b", "--no-media"]).expect(0);
    let first = said.stdout.lines().next().unwrap();
    assert_eq!(first, "GOOD GATE: folder A001 proven on 2 copies; the card itself was not read");
    assert!(said.stdout.lines().filter(|l| l.starts_with("copy ")).count() == 2, "{}", said.stdout);
    assert!(said.stderr.contains("copying A001"), "plain lines where there is no terminal: {}", said.stderr);
}

#[test]
fn a_warning_blocks_until_it_is_accepted_with_a_note() {
    let (place, id) = with_warning();
    let text = place.run(&["offload", "card/A001", "--to", "a", "--to", "b", "--no-media"]).expect(20);
    assert!(text.stdout.starts_with("NOT SAFE: "), "{}", text.stdout);
    assert!(text.stdout.contains(&format!("goodgate accept A001 {id} --note")), "{}", text.stdout);
    let card = object(&place.run(&["status", "A001", "--json"]).expect(20));
    let warning = &card["warnings"][0];
    assert_eq!((&warning["id"], &warning["accepted"]), (&id.into(), &false.into()));
    assert!(warning["text"].is_string());

    let unknown = refused(&place, &["accept", "A001", "nope", "--note", "me"], 2);
    assert!(unknown["hint"].as_str().unwrap().contains(id), "{unknown}");
    refused(&place, &["accept", "A001", id], 2);
    refused(&place, &["accept", "A001", id, "--note", " "], 2);
    place.run(&["status", "A001"]).expect(20);

    let note = "camera lost power; the director knows";
    let card = object(&place.run(&["accept", "A001", id, "--note", note, "--json"]).expect(0));
    assert_eq!((&card["safe"], &card["warnings"][0]["accepted"]), (&true.into(), &true.into()));
    assert!(card["reasons"].to_string().contains(note), "{card}");
    let log = object(&place.run(&["log", "A001", "--json"]).expect(0));
    assert!(log["log"].to_string().contains(note), "{log}");
}

#[test]
fn every_answer_has_its_keys_and_stdout_holds_nothing_else() {
    let place = Place::new().with_card();
    place.offload(&["--no-media"]).expect(0);
    let ask = |args: &[&str]| object(&place.run(&[args, &["--json"]].concat()).expect(0));
    let clips = ask(&["find", "A001C001"]);
    has_keys(&clips, &["clips", "total", "total_is_capped", "hints"]);
    has_keys(&clips["clips"][0], CLIP_KEYS);
    let id = clips["clips"][0]["id"].as_str().unwrap();
    for name in ["A001C001", id, &id[..id.len() - 1]] {
        let clip = &ask(&["show", name])["clip"];
        has_keys(clip, CLIP_KEYS);
        assert_eq!(clip["id"], id);
    }
    assert_eq!(ask(&["cards"])["cards"][0]["roll"], "A001");
    assert_eq!(ask(&["jobs"])["jobs"][0]["step"], "done");
    assert_eq!(ask(&["sql", "SELECT roll FROM cards"])["rows"][0][0], "A001");
    assert_eq!(ask(&["check"])["problems"], serde_json::json!([]));
    has_keys(&ask(&["log", "A001"])["log"][0], &["at", "text"]);
    let saved = ask(&["backup", "saved.db"]);
    assert_eq!(saved["backup"], place.path("saved.db").display().to_string());
    let there = object(&place.run(&["--catalog", "saved.db", "cards", "--json"]).expect(0));
    assert_eq!(there["cards"][0]["roll"], "A001");
    assert!(ask(&["config", "check"])["ok"].as_bool().unwrap());
    let settings = ask(&["config", "show"]);
    let one = settings["settings"].as_array().unwrap().iter().find(|s| s["key"] == "policy.distinct_devices").unwrap();
    assert_eq!(one["value"], "false");
    assert!(one["from"].as_str().unwrap().contains("config.toml"), "{one}");
}

#[test]
fn searching_is_never_an_error() {
    let place = Place::new().with_card();
    place.offload(&["--no-media"]).expect(0);
    let total = |args: &[&str]| object(&place.run(&[&["find"], args, &["--json"]].concat()).expect(0))["total"].clone();
    assert_eq!(total(&["roll:A001"]), 2);
    assert_eq!(total(&["A001", "-A001C001"]), 1);
    assert_eq!(total(&["nothing"]), 0);
    assert_eq!(total(&["is:safe"]), 2);
    for odd in ["((", "\"", "fps:x", "a OR", "-", "*", "key:value:", "'; DROP TABLE clip"] {
        place.run(&["find", odd, "--json"]).expect(0);
    }
    let mut raw = place.goodgate(&["find", "--json"]);
    let said = Said::from(raw.arg(OsStr::from_bytes(b"caf\xff")).output().unwrap()).expect(0);
    assert_eq!(object(&said)["total"], 0);
}

#[test]
fn usage_errors_exit_2_in_both_forms() {
    let place = Place::new();
    for args in [
        &["ofload"][..],
        &["offload"],
        &["offload", "card/A001", "--hash", "md6", "--to", "a"],
        &["offload", "card/A001", "--set", "project", "--to", "a"],
        &["offload", "card/A001", "--verify", "half"],
        &["cards", "--progress", "loud"],
        &["log"],
        &["status", "A999"],
        &["accept", "A999", "x", "--note", "y"],
        &["show", "nope"],
        &["jobs", "retry", "nope"],
        &["sql", "DELETE FROM card"],
        &["sql", "SELECT nope FROM cards"],
        &["cards", "--config", "absent.toml"],
        &["patrol", "--due", "30"],
        &["patrol", "--report", "r.txt"],
        &["patrol", "--volume", "nope"],
    ] {
        refused(&place, args, 2);
        let said = place.run(args).expect(2);
        assert_eq!(said.stdout, "", "{args:?}");
        assert!(said.stderr.starts_with("error: "), "{args:?}: {}", said.stderr);
        assert_eq!(said.stderr.lines().filter(|l| l.starts_with("hint: ")).count(), 1, "{args:?}: {}", said.stderr);
    }
    let said = place.run(&[]).expect(2);
    assert_eq!(said.stdout, "");
    assert!(said.stderr.contains("Usage:"));
    place.run(&["--help"]).expect(0);
    place.run(&["--version"]).expect(0);
}

#[test]
fn wrong_settings_name_line_key_and_hint() {
    let place = Place::new();
    place.config("# settings\n[policy]\ncopis = 3\n");
    let error = refused(&place, &["config", "check"], 2);
    let text = error["error"].as_str().unwrap();
    assert!(text.contains("config.toml") && text.contains("line 3") && text.contains("copis"), "{text}");
    assert!(error["hint"].as_str().unwrap().contains("copies"), "{error}");
    refused(&place, &["cards"], 2);
    place.config("[policy\n");
    assert!(refused(&place, &["cards"], 2)["error"].as_str().unwrap().contains("line 1"));
    std::fs::write(place.path("config/config.toml"), b"\xff\xfe").unwrap();
    refused(&place, &["cards"], 2);
}

#[test]
fn bad_cards_and_destinations_are_refused_before_anything_is_written() {
    let place = Place::new().with_card();
    std::fs::create_dir_all(place.path("empty")).unwrap();
    let says = |args: &[&str], code: i32, words: &str| {
        let error = refused(&place, &[&["offload"], args].concat(), code);
        let text = error["error"].as_str().unwrap();
        assert!(text.contains(words), "{args:?}: {text}");
        assert!(error["hint"].is_string(), "{error}");
    };
    says(&["absent", "--to", "a", "--to", "b"], 1, "cannot open the card");
    says(&["card/A001/NOTES.TXT", "--to", "a", "--to", "b"], 1, "cannot open the card");
    says(&["empty", "--to", "a", "--to", "b"], 1, "holds no file");
    says(&["card/A001"], 2, "no destination");
    says(&["card/A001", "--to", "card/A001/x", "--to", "b"], 2, "inside the card");
    says(&["card/A001", "--to", "card/A001", "--to", "b"], 2, "inside the card");
    says(&["card/A001", "--to", "card", "--to", "b"], 2, "inside the destination");
    says(&["card/A001", "--to", "a", "--to", "a"], 2, "the same folder");
    says(&["card/A001", "--to", "a", "--to", "./b/../a"], 2, "the same folder");
    says(&["card/A001", "--to", "a", "--to", "no/such/folder"], 1, "no/such/folder");
    says(&["card/A001", "--to", "a", "--to", "b", "--roll", "../x"], 2, "roll");
    for folder in ["a", "b"] {
        assert_eq!(place.tree(folder, |_| false), [], "{folder} was written to");
    }
    assert!(!place.path("card/A001/x").exists());
}

#[test]
fn too_little_space_is_refused_with_the_numbers_before_the_first_byte() {
    let place = Place::new().with_card();
    let large = std::fs::File::create(place.path("card/A001/CLIPS/LARGE.MOV")).unwrap();
    large.set_len(8 << 40).unwrap();
    let error = refused(&place, &["offload", "card/A001", "--to", "a", "--to", "b"], 1);
    let text = error["error"].as_str().unwrap();
    assert!(text.contains("too little space") && text.contains("8.0 TiB needed") && text.contains("free"), "{text}");
    assert_eq!(place.tree("a", |_| false), []);
}

#[test]
fn names_that_are_no_text_are_copied_and_shown_harmless() {
    let place = Place::new().with_card();
    let odd = place.card().join(OsStr::from_bytes(b"CLIPS/a\nb\xff.MOV"));
    std::fs::write(&odd, b"odd").unwrap();
    let said = place.run(&["offload", "card/A001", "--to", "a", "--to", "b", "--no-media", "--progress", "json"]);
    let said = said.expect(20);
    let shown = "CLIPS/a\\x0ab\\xff.MOV";
    assert!(!said.stdout.contains("a\nb"));
    let file =
        |l: &str| serde_json::from_str::<Value>(l).ok().filter(|e| e["event"] == "file" && e["relpath"] == shown);
    let events: Vec<Value> = said.stderr.lines().filter_map(file).collect();
    assert_eq!(events.len(), 2, "{}", said.stderr);
    assert_eq!(events[0]["relpath_hex"], "434c4950532f610a62ff2e4d4f56");
    let copy = place.path("a/A001").join(OsStr::from_bytes(b"CLIPS/a\nb\xff.MOV"));
    assert_eq!(std::fs::read(copy).unwrap(), b"odd");
}

#[test]
fn what_is_no_file_is_a_warning_and_is_never_opened() {
    let place = Place::new().with_card();
    std::os::unix::fs::symlink("/etc/passwd", place.card().join("link")).unwrap();
    let fifo = place.card().join("pipe");
    assert!(Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    let _socket = std::os::unix::net::UnixListener::bind(place.card().join("sock")).unwrap();
    std::fs::create_dir(place.card().join("EMPTY")).unwrap();
    // A fifo that is opened would wait here for ever.
    let card = object(&place.offload(&["--no-media"]).expect(20));
    let texts: Vec<&str> = card["warnings"].as_array().unwrap().iter().filter_map(|w| w["text"].as_str()).collect();
    for name in ["link", "pipe", "sock"] {
        assert!(texts.iter().any(|t| t.contains(name)), "{name}: {texts:?}");
        assert!(!place.path("a/A001").join(name).exists());
    }
    assert!(place.path("a/A001/EMPTY").is_dir(), "empty folders are copied");
}

#[test]
fn two_cards_of_one_name_are_told_apart_by_id() {
    let place = Place::new().with_card();
    place.file("other/A001/X.MOV", 5000, 9);
    for folder in ["c", "d"] {
        std::fs::create_dir(place.path(folder)).unwrap();
    }
    place.offload(&["--no-media"]).expect(0);
    place.run(&["offload", "other/A001", "--to", "c", "--to", "d", "--no-media"]).expect(0);
    let error = refused(&place, &["status", "A001"], 2);
    let all = object(&place.run(&["cards", "--json"]).expect(0));
    for card in all["cards"].as_array().unwrap() {
        let id = card["card"].as_str().unwrap();
        assert!(error["hint"].as_str().unwrap().contains(id), "{error}");
        place.run(&["status", id]).expect(0);
    }
}

#[test]
fn a_dry_run_says_what_would_be_done_and_writes_nothing() {
    let place = Place::new().with_card();
    let plan = object(&place.offload(&["--dry-run"]).expect(0));
    has_keys(&plan, &["roll", "files", "bytes", "clips", "warnings", "destinations", "refusals"]);
    assert_eq!((&plan["roll"], &plan["files"]), (&"A001".into(), &3.into()));
    assert_eq!(place.tree("a", |_| false), []);
    let cards = object(&place.run(&["cards", "--json"]).expect(0));
    assert_eq!(cards["cards"], serde_json::json!([]));
}

#[test]
fn verify_and_patrol_have_their_keys_and_codes() {
    let keys = ["files", "bytes", "good", "findings", "absent", "complete", "oldest_proof"];
    let place = Place::new().with_card();
    place.offload(&["--no-media"]).expect(0);
    let report = object(&place.run(&["verify", "A001", "--json"]).expect(0));
    has_keys(&report, &keys);
    assert_eq!((&report["files"], &report["good"]), (&6.into(), &6.into()));
    assert!(report["oldest_proof"].as_str().unwrap().parse::<jiff::Timestamp>().is_ok());
    let patrol = ["patrol", "--due", "0s", "--for", "1h", "--report", "report.json", "--json"];
    let report = object(&place.run(&patrol).expect(0));
    has_keys(&report, &keys);
    let written = std::fs::read(place.path("report.json")).unwrap();
    assert_eq!(serde_json::from_slice::<Value>(&written).unwrap(), report);

    flip(&place.path("a/A001/CLIPS/A001C001.MOV"), 2_000_000);
    std::fs::write(place.path("b/A001/extra.txt"), "x").unwrap();
    let report = object(&place.run(&["verify", "a", "b", "--json"]).expect(11));
    let findings = report["findings"].as_array().unwrap();
    let altered = findings.iter().find(|f| f["kind"] == "altered").unwrap();
    has_keys(altered, &["copy", "relpath", "blocks", "mtime_changed", "clip", "timecode"]);
    assert_eq!(altered["copy"], place.path("a/A001").display().to_string());
    assert_eq!(altered["blocks"], serde_json::json!([[1_048_576, 1_048_576]]));
    assert!(findings.iter().any(|f| f["kind"] == "extra"), "{report}");
    let text = place.run(&["verify", "A001"]).expect(11);
    assert!(text.stdout.starts_with("altered: ") || text.stdout.starts_with("extra: "), "{}", text.stdout);
    let next = format!("\nnext: goodgate repair \"{}\" --dry-run", place.path("a/A001").display());
    assert!(text.stdout.contains(&next), "{}", text.stdout);
    let card = object(&place.run(&["status", "A001", "--json"]).expect(20));
    assert_eq!(card["findings"].as_array().unwrap().iter().filter(|f| f["kind"] == "altered").count(), 1, "{card}");

    // Extra files alone are listed and are no error.
    assert_eq!(object(&place.run(&["verify", "b", "--json"]).expect(0))["findings"][0]["kind"], "extra");
    refused(&place, &["verify", "no/such/thing"], 30);
}

#[test]
fn progress_for_programs_is_one_object_a_line() {
    let place = Place::new().with_card();
    let said = place.offload(&["--no-media", "--progress", "json"]).expect(0);
    let parsed = said.stderr.lines().map(|l| serde_json::from_str::<Value>(l).unwrap_or_else(|e| panic!("{e}: {l}")));
    let events: Vec<Value> = parsed.collect();
    let of = |kind: &str| events.iter().filter(|e| e["event"] == kind).collect::<Vec<_>>();
    for kind in ["step", "begin", "bytes", "file", "verdict"] {
        assert!(!of(kind).is_empty(), "no {kind}: {}", said.stderr);
    }
    assert_eq!(of("verdict")[0]["safe"], true);
    assert_eq!(of("file").len(), 6, "each file proven on each destination");
    // The last word on each lane is all of its bytes.
    let read = of("bytes").into_iter().rfind(|e| e["lane"] == "read card").unwrap();
    assert_eq!(read["bytes"], 3_500_000 + 1_048_576 + 12);
}

#[test]
fn quiet_is_quiet() {
    let place = Place::new().with_card();
    let said = place.offload(&["--no-media", "--quiet"]).expect(0);
    assert_eq!(said.stderr, "");
    object(&said);
}

#[test]
fn a_reader_that_goes_away_is_no_failure_and_a_full_disk_is_one() {
    let place = Place::new();
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let out = place.goodgate(&["config", "show"]).stdout(writer).output().unwrap();
    assert_eq!((out.status.code(), out.stderr), (Some(0), Vec::new()));
    let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
    let out = place.goodgate(&["config", "show"]).stdout(full).output().unwrap();
    assert_eq!(out.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&out.stderr).contains("stdout"));
}

#[test]
fn a_signal_ends_an_offload_at_a_safe_point_and_says_how_to_go_on() {
    let place = Place::new().with_card();
    let large = std::fs::File::create(place.path("card/A001/CLIPS/LARGE.MOV")).unwrap();
    large.set_len(2 << 30).unwrap();
    let args = ["offload", "card/A001", "--to", "a", "--to", "b", "--no-media", "--progress", "json", "--json"];
    let mut child = place.goodgate(&args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let begun = lines.by_ref().map_while(Result::ok).any(|l| l.contains("\"bytes\"") && l.contains("\"lane\""));
    assert!(begun, "it never began");
    assert!(Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap().success());
    let rest: Vec<String> = lines.map_while(Result::ok).collect();
    let said = Said::from(child.wait_with_output().unwrap()).expect(1);
    let error = object(&said);
    assert!(error["hint"].as_str().unwrap().contains("same command again"), "{error} {rest:?}");
    assert!(rest.iter().any(|l| l.contains("stopping at the next safe point")), "{rest:?}");
    // What was not proven has no final name.
    assert!(!place.path("a/A001/CLIPS/LARGE.MOV").exists());
}

#[test]
fn flags_win_over_variables_and_settings() {
    let place = Place::new();
    place.config("[catalog]\npath = \"/nowhere/settings.db\"\n");
    let shown = |command: &mut Command| {
        let said = Said::from(command.output().unwrap()).expect(0);
        let settings = object(&said)["settings"].clone();
        let one = settings.as_array().unwrap().iter().find(|s| s["key"] == "catalog.path").unwrap().clone();
        (one["value"].as_str().unwrap().to_owned(), one["from"].as_str().unwrap().to_owned())
    };
    let (value, from) = shown(&mut place.goodgate(&["config", "show", "--json"]));
    assert!(value.contains("/nowhere/settings.db") && from.contains("line 2"), "{value} {from}");
    let (value, from) = shown(place.goodgate(&["config", "show", "--json"]).env("GOODGATE_CATALOG", "/x/env.db"));
    assert!(value.contains("/x/env.db") && from == "GOODGATE_CATALOG", "{value} {from}");
    let args = ["--catalog", "/x/flag.db", "config", "show", "--json"];
    let (value, from) = shown(place.goodgate(&args).env("GOODGATE_CATALOG", "/x/env.db"));
    assert!(value.contains("/x/flag.db") && from == "--catalog", "{value} {from}");
}

#[test]
fn a_catalog_that_cannot_be_used_is_named_with_a_hint() {
    let place = Place::new();
    for (file, bytes) in [("text.db", &b"this is no database, only a text of some length"[..]), ("folder/x.db", b"")] {
        if bytes.is_empty() {
            std::fs::write(place.path("folder"), b"a file where a folder is needed").unwrap();
        } else {
            std::fs::write(place.path(file), bytes).unwrap();
        }
        let error = refused(&place, &["cards", "--catalog", file], 1);
        assert!(error["error"].as_str().unwrap().contains(file) && error["hint"].is_string(), "{error}");
    }
    assert_eq!(std::fs::read(place.path("text.db")).unwrap().len(), 47, "what is not ours is left alone");
}

#[test]
fn doctor_says_what_this_rig_has_and_leaves_nothing() {
    let place = Place::new();
    let destinations = |second: &str| {
        let path = |p: &str| place.path(p).display().to_string();
        let text = format!(
            "[policy]\ndistinct_devices = false\n[[destination]]\npath = \"{}/{{date}}\"\n[[destination]]\npath = \"{}\"\n",
            path("a"),
            path(second)
        );
        place.config(&text);
    };
    destinations("b");
    let before = place.tree("", |_| false);
    let v = place.run(&["doctor", "--json"]).expect(0).json();
    assert_eq!(place.tree("", |_| false), before, "it wrote something");
    assert_eq!(v["good"], true, "{v}");
    let of = |what: &str| -> Vec<(String, String)> {
        let word = |v: &serde_json::Value| v.as_str().unwrap().to_owned();
        let all = v["points"].as_array().unwrap().iter().filter(|p| p["what"] == what);
        all.map(|p| (word(&p["health"]), word(&p["text"]))).collect()
    };
    assert!(of("libav")[0].1.contains("with libav "), "{v}");
    assert!(of("sandbox")[0].1.contains("seccomp"), "{v}");
    assert!(of("catalog")[0].1.contains("will be made"), "{v}");
    let places = of("destination");
    assert!(places[0].1.starts_with(&format!("\"{}\" on ", place.path("a").display())), "{v}");
    assert!(places[1].0 == "note" && places[1].1.contains("the same disk as"), "{v}");
    destinations("gone/deep");
    let said = place.run(&["doctor"]).expect(1);
    assert!(said.stdout.contains("BAD   destination: ") && said.stdout.contains("is there"), "{}", said.stdout);
}
