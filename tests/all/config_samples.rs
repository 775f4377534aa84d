//! Every file in config/ is what it says it is.

use crate::place::{Place, Said, flip};
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

/// The crontab line's command, and what the crontab says of the environment.
fn cron() -> (String, Vec<(String, String)>) {
    let text = sample("goodgate.cron");
    let lines: Vec<_> = text.lines().filter(|l| l.starts_with(|c: char| c.is_ascii_digit() || c == '*')).collect();
    assert_eq!(lines.len(), 1);
    let fields: Vec<&str> = lines[0].splitn(6, ' ').collect();
    let is_time = |f: &&str| f.chars().all(|c| c.is_ascii_digit() || "*/,-".contains(c));
    assert!(fields[..5].iter().all(is_time), "{fields:?}");
    assert!(!fields[5].contains('%'), "cron makes a new line of it");
    let set = text.lines().filter(|l| !l.starts_with('#')).filter_map(|l| l.split_once('='));
    let is_name = |n: &str| n.chars().all(|c| c.is_ascii_uppercase());
    let set = set.filter(|(name, _)| is_name(name)).map(|(n, v)| (n.to_owned(), v.to_owned())).collect();
    (fields[5].to_owned(), set)
}

#[test]
fn the_cron_line_is_a_command_that_parses() {
    let (command, set) = cron();
    check_command(&command);
    assert!(set.iter().any(|(name, _)| name == "MAILTO"), "{set:?}");
    assert!(check_patrol(&["--for", "4"]).is_err() && check_patrol(&["--fro", "4h"]).is_err());
}

/// A station whose settings lie where a user's do, and where nothing else says so.
fn at_home(patrol: &str) -> Place {
    let place = Place::new().with_card();
    place.offload(&["--no-media"]).expect(0);
    std::fs::create_dir_all(place.path("home/.local/state")).unwrap();
    std::fs::rename(place.path("state/goodgate"), place.path("home/.local/state/goodgate")).unwrap();
    std::fs::create_dir_all(place.path("home/.config/goodgate")).unwrap();
    std::fs::write(place.path("home/.config/goodgate/config.toml"), patrol).unwrap();
    place
}

/// As if the passes so far had begun a day earlier: minutes apart, they are no schedule.
fn a_day_earlier(catalog: &Path) {
    let sql = "UPDATE patrol_run SET at = strftime('%Y-%m-%dT%H:%M:%fZ', at, '-1 day')";
    assert!(rusqlite::Connection::open(catalog).unwrap().execute(sql, []).unwrap() > 0);
}

#[test]
fn the_cron_line_runs_as_cron_runs_it_and_mails_bad_news_only() {
    let every = "[policy]\ndistinct_devices = false\n[patrol]\nevery = \"1ms\"\n";
    let place = at_home(&every.replace("1ms", "30d"));
    // As it would be installed.
    let bin = place.path("bin");
    std::fs::create_dir(&bin).unwrap();
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_goodgate"), bin.join("goodgate")).unwrap();
    let (line, set) = cron();
    let run = || -> Said {
        let mut sh = Command::new("/bin/sh");
        sh.args(["-c", &line]).env_clear().current_dir(place.path("home")).stdin(std::process::Stdio::null());
        sh.env("HOME", place.path("home")).env("SHELL", "/bin/sh").env("LOGNAME", "dit");
        for (name, value) in &set {
            let path = || format!("{}:{value}", bin.display());
            sh.env(name, if name == "PATH" { path() } else { value.clone() });
        }
        sh.output().unwrap().into()
    };
    let mail = |said: &Said| (said.stdout.clone(), said.stderr.clone());
    let silent = (String::new(), String::new());
    assert_eq!(mail(&run().expect(0)), silent, "nothing is due");
    let conf = place.path("home/.config/goodgate/config.toml");
    a_day_earlier(&place.path("home/.local/state/goodgate/catalog.db"));
    // Everything is read, and late: that is told, and what it was is told in a line.
    std::fs::write(&conf, every).unwrap();
    let late = run().expect(20);
    assert!(late.stdout.contains("6 copies checked, 6 good") && late.stderr.is_empty(), "{late:?}", late = mail(&late));
    assert!(late.stdout.contains("[patrol] every"), "{}", late.stdout);
    flip(&place.path("a/A001/CLIPS/A001C001.MOV"), 5);
    let bad = run().expect(11);
    assert!(bad.stdout.starts_with("altered: ") && bad.stderr.is_empty(), "{bad:?}", bad = mail(&bad));
    std::fs::write(&conf, "[patrol]\nevery = 3\n").unwrap();
    let wrong = run().expect(2);
    assert!(wrong.stderr.contains("line 2") && wrong.stdout.is_empty(), "{}", wrong.stderr);
}

fn unit_lines(name: &str, key: &str) -> Vec<String> {
    sample(name).lines().filter_map(|l| Some(l.strip_prefix(key)?.strip_prefix('=')?.to_owned())).collect()
}

#[test]
fn the_patrol_unit_runs_a_command_that_parses() {
    check_command(&unit_lines("goodgate-patrol.service", "ExecStart")[0]);
    // Bad news must make it fail, and only its own clock may end it.
    assert!(unit_lines("goodgate-patrol.service", "SuccessExitStatus").is_empty());
    assert_eq!(unit_lines("goodgate-patrol.service", "TimeoutStartSec"), ["infinity"]);
    for unit in ["goodgate-patrol.service", "goodgate.service"] {
        for hides in ["ProtectHome", "PrivateMounts", "PrivateDevices", "PrivateNetwork"] {
            assert!(unit_lines(unit, hides).is_empty(), "{unit}: {hides}");
        }
    }
}

/// The unit's command with its own environment, below the place: its state, its settings, and nothing else.
fn as_unit(place: &Place, wrap: &[&str]) -> Command {
    let unit = "goodgate-patrol.service";
    let here = |text: &str| {
        let at = |name: &str| place.path(name).display().to_string();
        text.replace("/var/lib/goodgate", &at("state/goodgate")).replace("/etc/goodgate", &at("config"))
    };
    let line = unit_lines(unit, "ExecStart").remove(0).replace("/usr/bin/goodgate", env!("CARGO_BIN_EXE_goodgate"));
    let words: Vec<&str> = wrap.iter().copied().chain(line.split_whitespace()).collect();
    let mut command = Command::new(words[0]);
    command.args(&words[1..]).env_clear().current_dir("/").stdin(std::process::Stdio::null());
    command.env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin").env("HOME", here("/var/lib/goodgate"));
    command.env("LOGNAME", "goodgate").env("USER", "goodgate").env("LANG", "C.UTF-8");
    for line in unit_lines(unit, "Environment") {
        let (name, value) = line.split_once('=').unwrap();
        command.env(name, here(value));
    }
    command
}

#[test]
fn the_patrol_unit_proves_copies_with_its_own_environment_and_says_so_in_the_journal() {
    let place = Place::new().with_card();
    place.offload(&["--no-media"]).expect(0);
    let every = |age: &str| place.config(&format!("[policy]\ndistinct_devices = false\n[patrol]\nevery = \"{age}\"\n"));
    every("30d");
    let run = |wrap: &[&str]| -> Said { as_unit(&place, wrap).output().unwrap().into() };
    assert!(run(&[]).expect(0).stdout.contains("0 copies checked"));
    a_day_earlier(&place.catalog());
    every("1ms");
    let said = run(&[]).expect(20);
    assert!(
        said.stdout.contains("6 copies checked, 6 good") && said.stderr.is_empty(),
        "{}{}",
        said.stdout,
        said.stderr
    );
    flip(&place.path("a/A001/CLIPS/A001C001.MOV"), 5);
    run(&[]).expect(11);
}

/// ProtectSystem=strict by hand: everything is read-only but the unit's state.
const STRICT: &str = "mount --make-rprivate / && mount --bind \"$1\" \"$1\" && \
    for m in $(cut -d' ' -f5 /proc/self/mountinfo | grep -v -e '^/proc' -e '^/sys' -e '^/dev' -e \"^$1$\"); do \
        mount -o remount,bind,ro \"$m\" 2>/dev/null; done; shift; \
    if touch \"$1\" 2>/dev/null; then echo 'it is not read-only' >&2; exit 99; fi; shift; exec \"$@\"";

#[test]
fn the_patrol_unit_needs_to_write_nowhere_but_to_its_state() {
    let place = Place::new().with_card();
    place.offload(&["--no-media"]).expect(0);
    place.config("[policy]\ndistinct_devices = false\n[patrol]\nevery = \"1ms\"\n");
    let (state, probe) = (place.path("state/goodgate"), place.path("a/probe"));
    let wrap = ["unshare", "-m", "/bin/sh", "-c", STRICT, "sh", state.to_str().unwrap(), probe.to_str().unwrap()];
    let _alone = crate::shim::own_namespace();
    if !rustix::process::geteuid().is_root()
        || !Command::new("unshare").args(["-m", "true"]).status().is_ok_and(|s| s.success())
    {
        eprintln!("SKIPPED: only root may make everything read-only");
        return;
    }
    let said: Said = as_unit(&place, &wrap).output().unwrap().into();
    assert!(said.expect(0).stdout.contains("6 copies checked, 6 good"));
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
