//! Every file in config/ is what it says it is.

use goodgate::config::{Config, parse_duration, parse_rate};
use std::path::Path;
use std::process::Command;

const CONFIG: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/config");

fn sample(name: &str) -> String {
    std::fs::read_to_string(Path::new(CONFIG).join(name)).unwrap()
}

/// The sample with its settings switched on: `#key` shows a default, `## key` an example.
fn uncommented(with_examples: bool) -> String {
    let is_setting = |s: &str| s.starts_with('[') || s.split_once(" = ").is_some_and(|(key, _)| !key.contains(' '));
    let line = |line: &str| {
        let example = line.strip_prefix("## ").filter(|s| with_examples && is_setting(s));
        let default = line.strip_prefix('#').filter(|s| is_setting(s));
        example.or(default).unwrap_or(line).to_string()
    };
    sample("goodgate.toml").lines().map(line).collect::<Vec<_>>().join("\n")
}

fn values(c: &Config) -> Vec<(String, String)> {
    c.effective().into_iter().map(|(key, value, _)| (key, value)).collect()
}

#[test]
fn the_sample_changes_nothing_and_shows_the_true_defaults() {
    let default = values(&Config::default());
    let as_is = Config::parse(&sample("goodgate.toml"), "goodgate.toml").unwrap();
    assert_eq!(values(&as_is), default);
    let shown = Config::parse(&uncommented(false), "goodgate.toml").unwrap();
    assert_eq!(values(&shown), default);
    // And each default is truly written there, not merely in force.
    let unset: Vec<_> =
        shown.effective().into_iter().filter(|(_, value, origin)| origin == "default" && !value.is_empty()).collect();
    assert!(unset.is_empty(), "not shown in the sample: {unset:?}");
}

#[test]
fn every_example_in_the_sample_is_accepted_and_every_setting_is_shown() {
    let c = Config::parse(&uncommented(true), "goodgate.toml").unwrap_or_else(|e| panic!("{e} {:?}", e.hint));
    assert_eq!((c.destinations.len(), c.watches.len(), c.devices.len()), (2, 2, 1));
    let unset: Vec<_> = c
        .effective()
        .into_iter()
        .filter(|(key, _, origin)| origin == "default" && !(key.starts_with("watch[1].") || key.ends_with("[1].name")))
        .collect();
    assert!(unset.is_empty(), "not shown in the sample: {unset:?}");
}

#[test]
fn every_sample_is_known_to_a_test() {
    let mut names: Vec<_> =
        std::fs::read_dir(CONFIG).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    let known =
        ["goodgate-patrol.service", "goodgate-patrol.timer", "goodgate.cron", "goodgate.service", "goodgate.toml"];
    assert_eq!(names, known);
}

/// Flags of `goodgate patrol` (cli.md) and how their values are read.
fn check_patrol(words: &[&str]) -> Result<(), String> {
    let mut words = words.iter();
    while let Some(flag) = words.next() {
        let mut value = || words.next().ok_or(format!("{flag} needs a value"));
        match *flag {
            "--for" | "--due" => drop(parse_duration(value()?)?),
            "--rate" => drop(parse_rate(value()?)?),
            "--roll" | "--volume" | "--report" | "--progress" => drop(value()?),
            "--seal" | "--quiet" | "--json" => {}
            other => return Err(format!("unknown flag {other}")),
        }
    }
    Ok(())
}

fn check_command(line: &str) {
    let words: Vec<&str> = line.split_whitespace().collect();
    let program = Path::new(words[0]).file_name().unwrap();
    assert_eq!((program.to_str(), words[1]), (Some("goodgate"), "patrol"), "{line}");
    check_patrol(&words[2..]).unwrap_or_else(|e| panic!("{line}: {e}"));
    // The program itself must know the flags, too: it refuses unknown ones before it looks at --help.
    let out = Command::new(env!("CARGO_BIN_EXE_goodgate")).args(&words[1..]).arg("--help").output().unwrap();
    assert!(out.status.success(), "{line}: {}", String::from_utf8_lossy(&out.stderr));
}

#[test]
fn the_cron_line_is_a_command_that_parses() {
    let text = sample("goodgate.cron");
    let lines: Vec<_> = text.lines().filter(|l| l.starts_with(|c: char| c.is_ascii_digit() || c == '*')).collect();
    assert_eq!(lines.len(), 1);
    let fields: Vec<&str> = lines[0].splitn(6, ' ').collect();
    let is_time = |f: &&str| f.chars().all(|c| c.is_ascii_digit() || "*/,-".contains(c));
    assert!(fields[..5].iter().all(is_time), "{fields:?}");
    check_command(fields[5]);
    assert!(text.contains("\nMAILTO="));
    assert!(check_patrol(&["--for", "4"]).is_err() && check_patrol(&["--fro", "4h"]).is_err());
}

#[test]
fn the_patrol_unit_runs_a_command_that_parses() {
    let text = sample("goodgate-patrol.service");
    check_command(text.lines().find_map(|l| l.strip_prefix("ExecStart=")).unwrap());
}

/// Runs `systemd-analyze verify` on the units, with our own program in the place of the installed one.
fn analyze(change: impl Fn(&str) -> String) -> Option<(bool, String)> {
    let folder = tempfile::tempdir().unwrap();
    let names = ["goodgate.service", "goodgate-patrol.service", "goodgate-patrol.timer"];
    for name in names {
        let text = sample(name).replace("/usr/bin/goodgate", env!("CARGO_BIN_EXE_goodgate"));
        std::fs::write(folder.path().join(name), change(&text)).unwrap();
    }
    let mut command = Command::new("systemd-analyze");
    command.args(["--man=no", "verify"]).args(names.map(|n| folder.path().join(n)));
    match command.output() {
        Ok(out) => Some((out.status.success(), String::from_utf8_lossy(&out.stderr).into_owned())),
        Err(e) => {
            eprintln!("SKIPPED: the systemd units are not verified: cannot run systemd-analyze: {e}");
            None
        }
    }
}

#[test]
fn systemd_accepts_the_units() {
    let Some((good, said)) = analyze(str::to_string) else { return };
    assert!(good && !said.contains("goodgate"), "{said}");
    // The same check sees a slip, so its silence means something.
    let (_, said) = analyze(|text| text.replace("NoNewPrivileges=", "NoNewPriviledges=")).unwrap();
    assert!(said.contains("NoNewPriviledges"), "systemd-analyze saw nothing: {said}");
}
