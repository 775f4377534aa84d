//! `kill -9` at any time, then the same command: folders, manifests and rows end as in an undisturbed run, but for
//! times, ids and the job log. By default at named points of the protocol, before the call or behind it, and at eight
//! random times; GOODGATE_SLOW=1 makes it both, and two hundred.

use crate::place::Place;
use crate::shim::{Faulty, ask, card_of, completes, honest, is_slow, kills};
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// A card with a sound file that gets a proxy, and clips that no libav knows.
fn station() -> Place {
    fill(Place::new().with_card().without_groups())
}

/// The same card, its files in groups.
fn grouped() -> Place {
    fill(Place::new().with_card())
}

fn fill(place: Place) -> Place {
    let path = place.file("card/A001/CLIPS/A001S001.WAV", 0, 0);
    std::fs::write(path, wav(8000)).unwrap();
    std::fs::create_dir(place.card().join("EMPTY")).unwrap();
    // Fixed times: then all stations hold the same card.
    for (i, path) in card_of(&place, "card/A001").keys().enumerate() {
        let at = std::time::UNIX_EPOCH + Duration::from_secs(1_700_000_000 + i as u64);
        let file = std::fs::File::options().write(true).open(place.card().join(path)).unwrap();
        file.set_modified(at).unwrap();
    }
    place
}

/// One second of a saw tone: 8 kHz, mono, 16 bits (RFC 2361, Microsoft's RIFF).
fn wav(samples: u32) -> Vec<u8> {
    let mut out = Vec::new();
    let bytes = samples * 2;
    out.extend(b"RIFF");
    out.extend((36 + bytes).to_le_bytes());
    out.extend(b"WAVEfmt ");
    out.extend(16u32.to_le_bytes());
    out.extend([1u16, 1].iter().flat_map(|n| n.to_le_bytes()));
    out.extend([8000u32, 16_000].iter().flat_map(|n| n.to_le_bytes()));
    out.extend([2u16, 16].iter().flat_map(|n| n.to_le_bytes()));
    out.extend(b"data");
    out.extend(bytes.to_le_bytes());
    out.extend((0..samples).flat_map(|i| ((i % 40 * 200) as i16).to_le_bytes()));
    out
}

/// Everything that two runs must agree on.
#[derive(PartialEq)]
struct End {
    trees: Vec<(PathBuf, Vec<u8>)>,
    rows: BTreeSet<String>,
}

impl End {
    fn of(place: &Place) -> Self {
        let mut trees = Vec::new();
        for folder in ["a", "b", "card", "state"] {
            // How many backups lie there depends on how often the command was run.
            let skip = |p: &std::path::Path| {
                ["goodgate/locks", ".goodgate/catalog"].iter().any(|own| p.starts_with(own))
                    || p.to_string_lossy().contains("catalog.db")
            };
            for (path, bytes) in place.tree(folder, skip) {
                let name = PathBuf::from(calm(place, &PathBuf::from(folder).join(&path).to_string_lossy()));
                let text = path.extension().is_some_and(|e| ["mhl", "xml", "json", "jsonl"].iter().any(|x| e == *x));
                // A proxy is the encoder's: it is there, and it is whole.
                let bytes = match (folder, text) {
                    ("state", _) => vec![u8::from(!bytes.is_empty())],
                    (_, true) => calm(place, &String::from_utf8(bytes).unwrap()).into_bytes(),
                    _ => bytes,
                };
                trees.push((name, bytes));
            }
        }
        trees.sort();
        End { trees, rows: rows(place) }
    }

    #[track_caller]
    fn assert_same(&self, golden: &End, when: &str) {
        let names = |e: &End| e.trees.iter().map(|(p, _)| p.clone()).collect::<Vec<_>>();
        assert_eq!(names(self), names(golden), "{when}: other files");
        for ((path, mine), (_, theirs)) in self.trees.iter().zip(&golden.trees) {
            let text = |b: &[u8]| String::from_utf8_lossy(&b[..b.len().min(4000)]).into_owned();
            assert!(mine == theirs, "{when}: \"{}\" differs:\n{}\n{}", path.display(), text(mine), text(theirs));
        }
        let (more, less) = (self.rows.difference(&golden.rows), golden.rows.difference(&self.rows));
        let (more, less): (Vec<_>, Vec<_>) = (more.collect(), less.collect());
        assert!(more.is_empty() && less.is_empty(), "{when}: other rows:\n+ {more:#?}\n- {less:#?}");
    }
}

/// All rows of all tables of evidence, without times, ids, counters and sums. How often each occurs is part of it, but
/// for jobs: a kill behind the last commit makes the same command a second job.
fn rows(place: &Place) -> BTreeSet<String> {
    let tables = ask(place, "SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name");
    let mut out = BTreeSet::new();
    for table in tables.into_iter().map(|r| r[0].clone()) {
        if ["clip_fts", "sqlite_", "custody", "station", "schema_doc"].iter().any(|t| table.starts_with(t)) {
            continue;
        }
        let columns = ask(place, &format!("SELECT name FROM pragma_table_info('{table}')"));
        let columns: Vec<String> = columns.into_iter().map(|r| r[0].clone()).collect();
        let mut seen = std::collections::BTreeMap::<String, usize>::new();
        for row in ask(place, &format!("SELECT * FROM {table}")) {
            let own = |c: &str| c.ends_with("_at") || ["row_sum", "sequence", "seq", "rowid"].contains(&c);
            let cells = columns.iter().zip(&row).filter(|(c, _)| !own(c));
            let line: Vec<String> = cells.map(|(c, v)| format!("{c}={}", calm(place, v))).collect();
            *seen.entry(format!("{table}: {}", line.join(" "))).or_default() += 1;
        }
        out.extend(seen.into_iter().map(|(row, n)| if table == "job" { row } else { format!("{n} x {row}") }));
    }
    out
}

/// Times, ids, C4 of what holds times, and the station's own folder, each by one word.
fn calm(place: &Place, text: &str) -> String {
    let home = place.path("").canonicalize().unwrap().to_string_lossy().trim_matches('/').to_owned();
    let text = text.replace(&home, "<place>");
    let bytes = text.as_bytes();
    let mut out = String::new();
    let mut i = 0;
    while i < bytes.len() {
        let rest = &bytes[i..];
        let inside = i > 0 && bytes[i - 1].is_ascii_alphanumeric();
        let found = if inside { None } else { time(rest).or_else(|| id(rest)).or_else(|| c4(rest)) };
        match found {
            Some((len, word)) => {
                out.push_str(word);
                i += len;
            }
            None => {
                let c = text[i..].chars().next().unwrap();
                out.push(c);
                i += c.len_utf8();
            }
        }
    }
    out
}

fn shaped(bytes: &[u8], shape: &str) -> bool {
    let fits = |(b, s): (&u8, u8)| match s {
        b'9' => b.is_ascii_digit(),
        b'f' => b.is_ascii_hexdigit(),
        other => *b == other,
    };
    bytes.len() >= shape.len() && bytes.iter().zip(shape.bytes()).all(fits)
}

fn time(bytes: &[u8]) -> Option<(usize, &'static str)> {
    // 2026-11-22T17:34:43.98Z, and 2026-11-22_173443Z in names.
    if !shaped(bytes, "9999-99-99T99") && !shaped(bytes, "9999-99-99_99") {
        return None;
    }
    let more = |b: &&u8| b.is_ascii_digit() || b"-_T:.Z+".contains(b);
    let len = bytes.iter().take_while(more).count();
    // The dot of a file name's ending is not the fraction's.
    let len = if bytes[len - 1] == b'.' { len - 1 } else { len };
    Some((len, "<time>"))
}

fn id(bytes: &[u8]) -> Option<(usize, &'static str)> {
    shaped(bytes, "ffffffff-ffff-ffff-ffff-ffffffffffff").then_some((36, "<id>"))
}

fn c4(bytes: &[u8]) -> Option<(usize, &'static str)> {
    let long = bytes.iter().take_while(|b| b.is_ascii_alphanumeric()).count() == 90;
    (long && bytes.starts_with(b"c4")).then_some((90, "<c4>"))
}

/// An undisturbed run, made once.
fn golden() -> &'static End {
    static GOLDEN: OnceLock<End> = OnceLock::new();
    GOLDEN.get_or_init(|| {
        let place = station();
        place.offload(&[]).expect(0);
        End::of(&place)
    })
}

/// The same card, brought back with one more clip: two generations.
fn grown() -> Place {
    let place = station();
    place.offload(&[]).expect(0);
    more(&place);
    place
}

fn more(place: &Place) {
    let path = place.file("card/A001/MORE/A001C003.MOV", 2_000_000, 5);
    let file = std::fs::File::options().write(true).open(path).unwrap();
    file.set_modified(std::time::UNIX_EPOCH + Duration::from_secs(1_700_000_100)).unwrap();
}

fn golden_grown() -> &'static End {
    static GOLDEN: OnceLock<End> = OnceLock::new();
    GOLDEN.get_or_init(|| {
        let place = grown();
        place.offload(&[]).expect(0);
        End::of(&place)
    })
}

/// After the kill: nothing false. After the same command: nothing missing, nothing doubled, nothing left over.
#[track_caller]
fn recovers(place: &Place, golden: &End, when: &str) {
    honest(place, when);
    completes(place, when);
    End::of(place).assert_same(golden, when);
}

fn killed_at(station: fn() -> Place, golden: &End, points: &[(&str, &[u32])]) {
    for rule in kills(points) {
        let place = station();
        let said = Faulty::offload(&place, &[&rule]).said();
        assert_eq!(said.code, 128 + 9, "{rule}: {}{}", said.stdout, said.stderr);
        recovers(&place, golden, &rule);
    }
}

#[test]
fn killed_where_the_first_rows_are_written() {
    killed_at(station, golden(), &[("sync|catalog.db", &[1, 4, 6, 8, 10, 12, 14]), ("mkdir|/a/", &[1, 2, 4])]);
}

#[test]
fn killed_where_a_file_is_written_and_proven() {
    killed_at(
        station,
        golden(),
        &[
            ("allocate|/b/", &[1]),
            ("write|/b/A001/CLIPS/.", &[2]),
            ("sync|/a/A001/CLIPS/.", &[2]),
            ("read|/a/A001/CLIPS/.", &[1]),
            ("sync|catalog.db", &[17, 22]),
        ],
    );
}

#[test]
fn killed_where_a_proven_file_gets_its_name() {
    killed_at(
        station,
        golden(),
        &[("rename|/a/A001/CLIPS/", &[1, 2]), ("sync|/b/A001/CLIPS/A001", &[1, 2]), ("rename|/.goodgate/vol", &[2])],
    );
}

#[test]
fn killed_where_a_group_is_proven_and_named() {
    killed_at(
        grouped,
        golden(),
        &[
            ("allocate|/b/", &[2]),
            ("syncfs|/b", &[2, 3]),
            ("read|/a/A001/CLIPS/.", &[2]),
            ("rename|/a/A001/CLIPS/", &[1, 3]),
            ("sync|catalog.db", &[17, 19]),
        ],
    );
}

#[test]
fn killed_where_a_roll_is_sealed() {
    killed_at(
        station,
        golden(),
        &[
            ("mkdir|/a/A001/ascmhl", &[1]),
            ("rename|/a/A001/ascmhl/0001", &[1]),
            ("rename|/b/A001/ascmhl/ascmhl_chain", &[1]),
            ("rename|/a/.goodgate/evidence", &[1]),
        ],
    );
}

#[test]
fn killed_where_a_generation_is_added() {
    let points: [(&str, &[u32]); 4] = [
        ("rename|/b/A001/MORE/", &[1]),
        ("rename|/a/A001/ascmhl/0002", &[1]),
        ("rename|/b/A001/ascmhl/ascmhl_chain", &[1]),
        ("sync|catalog.db", &[12]),
    ];
    killed_at(grown, golden_grown(), &points);
}

#[test]
fn killed_where_clips_are_described() {
    killed_at(station, golden(), &[("rename|/state/goodgate/media", &[1]), ("sync|catalog.db", &[38, 42])]);
}

#[test]
fn stopped_by_a_signal_it_says_so_and_continues() {
    let place = station();
    let paused = Faulty::offload(&place, &["write|/b/A001/CLIPS/.|2|1|pause"]).paused();
    let id = rustix::process::Pid::from_raw(paused.id() as i32).unwrap();
    rustix::process::kill_process(id, rustix::process::Signal::TERM).unwrap();
    let said = paused.go().expect(1);
    assert!(said.json()["error"].as_str().unwrap().contains("stopped"), "{}", said.stdout);
    recovers(&place, golden(), "SIGTERM");
}

#[test]
fn killed_at_any_time() {
    let golden = golden();
    let begun = Instant::now();
    station().offload(&[]).expect(0);
    let whole = begun.elapsed();
    let rounds = if is_slow() { 200 } else { 8 };
    let mut x = 0x2545_f491u32;
    let mut killed = 0;
    for round in 0..rounds {
        x ^= x << 13;
        x ^= x >> 17;
        x ^= x << 5;
        let delay = whole.mul_f64(f64::from(x % 1000) / 1000.0);
        let place = if round % 2 == 0 { station() } else { grouped() };
        let args = ["offload", "card/A001", "--to", "a", "--to", "b", "--json"];
        let mut child = place.goodgate(&args).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        std::thread::sleep(delay);
        child.kill().unwrap();
        killed += u32::from(child.wait().unwrap().code().is_none());
        recovers(&place, golden, &format!("round {round}, killed after {delay:?}"));
    }
    assert!(killed * 2 > rounds, "only {killed} of {rounds} were killed before their end");
}
