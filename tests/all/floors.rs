//! Who may know whom (house.md 3). In a single crate the compiler does not guard layers; these tests do.

use crate::code::named;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

const SRC: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src");

/// The floors, lowest first. On the floors of words and hands a module may use those to its left.
const WORDS: &[&str] = &[
    "relpath", "digest", "timecode", "frames", "fact", "clip", "copy", "finding", "evidence", "verdict", "progress",
    "job", "query", "preset", "config",
];
const HANDS: &[&str] = &["disk", "hash", "read", "verify", "notify"];
const ROOMS: &[&str] = &["card", "offload", "mhl", "media", "sidecar", "catalog", "export"];
const STORIES: &[&str] = &["ingest", "patrol", "repair", "eject"];
const SERVICES: &[&str] = &["web", "daemon"];
const DOOR: &[&str] = &["cli", "main"];
/// The child program, apart from the house.
const CHILD: &str = "bin/goodgate-media";

/// Each heavy crate and its homes.
const HOMES: &[(&str, &[&str])] = &[
    ("rayon", &["hash"]),
    ("walkdir", &["disk"]),
    ("ffmpeg_next", &[CHILD]),
    ("ab_glyph", &[CHILD]),
    ("rusqlite", &["catalog"]),
    ("rusqlite_migration", &["catalog"]),
    ("quick_xml", &["read", "mhl", "export"]),
    ("tokio", &["daemon", "web"]),
    ("ureq", &["notify"]),
    ("axum", &["web", "daemon"]),
    ("sd_notify", &["daemon"]),
    ("clap", &["cli", "main"]),
    ("anyhow", &["cli", "main"]),
    ("indicatif", &["cli"]),
    ("tracing_subscriber", &["cli", "main"]),
    ("landlock", &["media", CHILD]),
    ("seccompiler", &["media", CHILD]),
];
/// Where threads may be started.
const THREADS: &[&str] = &["offload", "verify", "media", "ingest", "daemon", "web", "cli", CHILD];
/// What words never touch: the disk, the net, the clock, threads.
const NOT_IN_WORDS: &[&str] = &[
    "std::fs",
    "std::net",
    "std::process",
    "std::thread",
    "std::env",
    "std::time::Instant",
    "std::time::SystemTime",
    "rustix",
    "Timestamp::now",
    "Zoned::now",
];
const PAGECACHE_LINES: usize = 60;

fn table() -> String {
    let homes: Vec<String> = HOMES.iter().map(|(name, at)| format!("{name}: {}", at.join(", "))).collect();
    format!(
        "\nFLOORS (house.md 3)\n\
         0 words     {}\n            may use those to their left; no I/O, clock, threads\n\
         1 hands     {}\n            may use 0 and those to their left\n\
         2 rooms     {}\n            may use 0, 1; never another room\n\
         3 stories   {}\n            may use 0-2 and those to their left\n\
         4 services  web, then daemon, which may use web; may use 0-3\n\
         5 door      cli, main; may use 0-4\n\
         apart       {CHILD}; may use words and media::protocol\n\
         HOMES       {}\n\
         threads     {}\n\
         never       std::fs::copy, io::copy, copy_file_range; printing outside cli, main, bin; unsafe outside bin and \
         disk/pagecache.rs\n",
        WORDS.join(" "),
        HANDS.join(" "),
        ROOMS.join(" "),
        STORIES.join(" "),
        homes.join(" - "),
        THREADS.join(", "),
    )
}

/// Whether code of `from` may name `to`, both modules of the library's root.
fn may_use(from: &str, to: &str) -> bool {
    if from == to {
        return true;
    }
    let at = |name: &str, floor: &[&str]| floor.iter().position(|m| *m == name);
    let left = |floor: &[&str]| matches!((at(from, floor), at(to, floor)), (Some(a), Some(b)) if b < a);
    let floor_of =
        |name: &str| [WORDS, HANDS, ROOMS, STORIES, SERVICES, DOOR].iter().position(|floor| floor.contains(&name));
    if from == CHILD {
        return WORDS.contains(&to) || to == "media::protocol";
    }
    let (Some(a), Some(b)) = (floor_of(from), floor_of(to)) else { return false };
    b < a || left(WORDS) || left(HANDS) || left(STORIES) || left(SERVICES) || (from == "main" && to == "cli")
}

/// What is wrong with one file; `file` is relative to src/.
fn faults(file: &str, code: &str) -> Vec<String> {
    let mut out = Vec::new();
    let is_child = file.starts_with("bin/");
    let segments: Vec<&str> = file.trim_end_matches(".rs").split('/').filter(|s| *s != "mod").collect();
    let home = if is_child { CHILD } else { segments[0] };
    let known: BTreeSet<&str> = [WORDS, HANDS, ROOMS, STORIES, SERVICES, DOOR].into_iter().flatten().copied().collect();
    if home == "lib" {
        return out;
    }
    if !is_child && !known.contains(home) {
        out.push(format!("src/{file}: the module {home} has no floor: add it to the table"));
    }
    let whole_file_is_test = file.ends_with("/tests.rs");
    for n in named(code) {
        let path: Vec<&str> = n.path.iter().map(String::as_str).collect();
        let text = path.join("::");
        let in_test = n.in_test || whole_file_is_test;
        let mut fault = |what: String| out.push(format!("src/{file}:{}: {what}", n.line));
        // Up to the root of the crate, and what is named there.
        let from_root = match path[..] {
            ["crate", ..] if !is_child => Some(&path[1..]),
            ["goodgate", ..] => Some(&path[1..]),
            ["super", ..] if !is_child => {
                let ups = path.iter().take_while(|s| **s == "super").count();
                (ups == segments.len() + n.depth).then(|| &path[ups..])
            }
            _ => None,
        };
        if let Some([to, rest @ ..]) = from_root {
            let to = match (is_child, to, rest) {
                (true, &"media", [part, ..]) => format!("media::{part}"),
                _ => to.to_string(),
            };
            if to == "*" || (known.contains(&to[..]) || to.contains("::")) && !may_use(home, &to) {
                fault(format!("{home} may not use {to}"));
            }
        }
        if let Some((name, homes)) = HOMES.iter().find(|(name, _)| path.first() == Some(name))
            && !homes.contains(&home)
            && (path.len() > 1 || n.next == Some(';') || n.next == Some(','))
        {
            fault(format!("{home} is no home of {name}"));
        }
        if path.contains(&"copy_file_range") || text.ends_with("fs::copy") || text.ends_with("io::copy") {
            fault(format!("{text}: the kernel may clone without the bytes passing us"));
        }
        if path == ["unsafe"] && !is_child && file != "disk/pagecache.rs" {
            fault("unsafe".into());
        }
        if in_test {
            continue;
        }
        let starts = matches!(path[..], [.., "thread", "spawn" | "scope" | "Builder"]);
        if (starts || text.contains("thread::Builder::")) && !THREADS.contains(&home) {
            fault(format!("{home} may not start threads"));
        }
        let prints = matches!(path[..], [.., "println" | "eprintln" | "print" | "eprint" | "dbg"]);
        if prints && n.next == Some('!') && !DOOR.contains(&home) && !is_child {
            fault(format!("{home} may not print"));
        }
        if WORDS.contains(&home)
            && let Some(what) = NOT_IN_WORDS
                .iter()
                .find(|w| format!("{text}::").starts_with(&format!("{w}::")) || text.ends_with(&format!("::{w}")))
        {
            fault(format!("{home} may not use {what}: words touch no disk, clock or thread"));
        }
    }
    if file == "disk/pagecache.rs" && code.lines().count() > PAGECACHE_LINES {
        out.push(format!("src/{file}: longer than {PAGECACHE_LINES} lines"));
    }
    out.dedup();
    out
}

fn rust_files(folder: &Path, out: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            rust_files(&path, out);
        } else if path.extension().is_some_and(|e| e == "rs") {
            out.push(path);
        }
    }
}

#[test]
fn no_module_reaches_above_its_floor() {
    let mut files = Vec::new();
    rust_files(Path::new(SRC), &mut files);
    assert!(files.len() > 10, "the sources were not found");
    let mut all = Vec::new();
    for path in files {
        let file = path.strip_prefix(SRC).unwrap().to_str().unwrap().to_string();
        all.extend(faults(&file, &std::fs::read_to_string(&path).unwrap()));
    }
    assert!(all.is_empty(), "{}\n{}", all.join("\n"), table());
}

#[test]
fn every_forbidden_line_is_seen() {
    for (file, line) in [
        ("offload/fanout.rs", "use crate::mhl;"),
        ("offload/fanout.rs", "use crate::{digest::Digest, mhl::seal};"),
        ("offload/fanout.rs", "use {std::io, crate::{hash, catalog as c}};"),
        ("offload/fanout.rs", "fn f() { let x = crate::catalog::Row::new(); }"),
        ("offload/fanout.rs", "use super::super::ingest;"),
        ("verify.rs", "use super::card;"),
        ("verify.rs", "mod inner { use super::super::card::Card; }"),
        ("offload/mod.rs", "pub use goodgate::card;"),
        ("offload/mod.rs", "#[cfg(test)] mod tests { use crate::card; }"),
        ("clip.rs", "use crate::copy;"),
        ("digest.rs", "use crate::disk::Root;"),
        ("disk/list.rs", "use crate::hash;"),
        ("ingest.rs", "use crate::daemon;"),
        ("ingest.rs", "use crate::*;"),
        ("web/mod.rs", "use crate::daemon;"),
        ("daemon/mod.rs", "use crate::cli;"),
        ("bin/goodgate-media/main.rs", "use goodgate::catalog;"),
        ("bin/goodgate-media/main.rs", "use goodgate::media::spawn;"),
        ("surprise.rs", ""),
        ("ingest.rs", "use rayon::prelude::*;"),
        ("offload/mod.rs", "fn f() { ::tokio::spawn(x) }"),
        ("card/mod.rs", "use rayon as r;"),
        ("media/mod.rs", "use ffmpeg_next::format;"),
        ("ingest.rs", "fn f() -> anyhow::Result<()> { }"),
        ("catalog/mod.rs", "#[derive(clap::Parser)] struct A;"),
        ("export/mod.rs", "use rusqlite::{Connection, params};"),
        ("hash.rs", "fn f() { std::thread::spawn(g); }"),
        ("patrol.rs", "use std::thread::{self, scope};"),
        ("patrol.rs", "fn f() { thread::Builder::new() }"),
        ("disk/write.rs", "fn f() { std::fs::copy(a, b); }"),
        ("disk/write.rs", "use std::fs::{File, copy};"),
        ("disk/write.rs", "fn f() { io::copy(&mut a, &mut b); }"),
        ("disk/write.rs", "fn f() { rustix::fs::copy_file_range(a, b); }"),
        ("ingest.rs", "fn f() { println!(\"x\") }"),
        ("disk/list.rs", "fn f() { std::eprintln!(\"x\") }"),
        ("ingest.rs", "fn f() { dbg!(x) }"),
        ("disk/list.rs", "fn f() { unsafe { g() } }"),
        ("config.rs", "use std::fs;"),
        ("config.rs", "use std::{collections::BTreeMap, fs::File};"),
        ("verdict.rs", "fn f() { jiff::Timestamp::now() }"),
        ("verdict.rs", "fn f() { Timestamp::now() }"),
        ("job.rs", "use std::time::{Duration, Instant};"),
    ] {
        assert_eq!(faults(file, line).len(), 1, "{file}: {line}: {:?}", faults(file, line));
    }
    assert!(!faults("disk/pagecache.rs", &"//\n".repeat(PAGECACHE_LINES + 1)).is_empty());
}

#[test]
fn what_is_allowed_is_not_blamed() {
    for (file, code) in [
        ("offload/fanout.rs", "use crate::disk::read; use crate::{verify, hash::Hashers}; use super::plan;"),
        ("disk/write.rs", "use super::read::X; use super::Root; mod tests { use super::super::read; }"),
        ("clip.rs", "use crate::relpath::RelPath; // use crate::catalog;\n/* crate::web /* nested */ */"),
        ("card/mod.rs", "const A: &str = \"use crate::catalog\"; const B: &str = r#\"crate::web \" \"#;"),
        ("card/mod.rs", "const A: char = '\"'; fn f<'a>(x: &'a str) { crate::read::xml(x, '\\'') } // \""),
        ("daemon/mod.rs", "use crate::web; use tokio::select; use ::notify::Watcher;"),
        ("main.rs", "use goodgate::cli; fn main() -> anyhow::Result<()> { println!(\"x\") }"),
        (
            "bin/goodgate-media/main.rs",
            "use goodgate::media::protocol::Ask; use goodgate::timecode; use ffmpeg_next as f;",
        ),
        ("hash.rs", "use rayon::prelude::*; fn f(x: X) { x.tokio(); x.copy(); x.unsafe_(); }"),
        ("disk/write.rs", "#[cfg(test)] mod tests { fn f() { std::thread::spawn(g); println!(\"x\") } }"),
        ("config.rs", "use std::time::Duration; fn f() { Config::now() } #[cfg(test)] use std::fs;"),
        ("verify.rs", "fn f() { std::thread::scope(|s| {}) } fn g() { self::h() }"),
    ] {
        assert_eq!(faults(file, code), [] as [String; 0], "{file}: {code}");
    }
}

#[test]
fn the_program_loads_no_libav() {
    let out = Command::new("ldd").arg(env!("CARGO_BIN_EXE_goodgate")).output().unwrap();
    let text = String::from_utf8_lossy(&out.stdout);
    assert!(text.contains("libc.so"), "ldd said nothing useful: {text}");
    let libav: Vec<_> =
        text.lines().filter(|l| ["libav", "libsw", "libpostproc"].iter().any(|n| l.contains(n))).collect();
    assert!(libav.is_empty(), "only goodgate-media may load libav: {libav:?}\n{}", table());
}
