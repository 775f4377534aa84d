//! What a patrol says, and to whom: coverage, volumes that stay away, reports, the webhook and its outbox.

use crate::place::{Image, Place, Said, flip, pattern};
use crate::shim::ask;
use serde_json::Value;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

const CLIP: &str = "A001/CLIPS/A001C001.MOV";
const ONE_DISK: &str = "[policy]\ndistinct_devices = false\n";

fn offloaded() -> Place {
    let place = Place::new().with_card();
    place.offload(&["--no-media"]).expect(0);
    place
}

fn settings(place: &Place, more: &str) {
    place.config(&format!("{ONE_DISK}{more}"));
}

/// Without a proxy of whoever runs the tests: it could not reach this machine's own port.
fn run(place: &Place, args: &[&str]) -> Said {
    let mut command = place.goodgate(args);
    for name in ["http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"] {
        command.env_remove(name);
    }
    command.output().unwrap().into()
}

/// Changes what the catalog remembers of passes: no test waits for a night.
fn change(place: &Place, sql: &str) {
    rusqlite::Connection::open(place.catalog()).unwrap().execute_batch(sql).unwrap();
}

fn days_ago(days: i64) -> String {
    let at = jiff::Timestamp::now().checked_sub(jiff::SignedDuration::from_hours(24 * days)).unwrap();
    format!("{at:.3}")
}

#[test]
fn coverage_is_claimed_when_it_is_known_and_warned_of_before_a_date_is_missed() {
    let place = offloaded();
    let told = place.path("told");
    let notify = format!("[notify]\ncommand = [\"/bin/sh\", \"-c\", \"cat >> {}\"]\n", told.display());
    settings(&place, &format!("[patrol]\nevery = \"30d\"\nfor = \"1h\"\n{notify}"));
    let patrol = |code: i32| run(&place, &["patrol", "--json"]).expect(code).json();
    let first = patrol(0);
    assert_eq!((&first["files"], &first["coverage"]["days"]), (&0.into(), &Value::Null), "{first}");
    assert!(first["coverage"]["text"].as_str().unwrap().contains("not known yet"), "{first}");
    run(&place, &["verify", "A001"]).expect(0);
    assert_eq!(patrol(0)["coverage"]["days"], Value::Null, "a second try within minutes is no schedule");
    change(&place, &format!("UPDATE patrol_run SET at = '{}'", days_ago(1)));
    let known = patrol(0);
    let coverage = &known["coverage"];
    assert_eq!((&coverage["days"], &coverage["every_days"], &coverage["held"]), (&1.into(), &30.into(), &true.into()));
    assert!(run(&place, &["patrol"]).expect(0).stdout.contains("at this budget every copy is re-proven each day"));
    assert!(!told.exists(), "nobody is told of a clean pass");

    // One pass a day of a minute, on a disk that needs an hour for what is there: 60 days, and all is fresh still.
    settings(&place, &format!("[patrol]\nevery = \"30d\"\nfor = \"1min\"\n{notify}"));
    let runs =
        format!("DELETE FROM patrol_run; INSERT INTO patrol_run (at) VALUES ('{}'), ('{}');", days_ago(2), days_ago(1));
    let slow = "UPDATE disk_read SET ms = 3600000 * bytes / 9096600;";
    change(&place, &format!("{runs}{slow}"));
    let said = run(&place, &["patrol", "--for", "1min", "--json"]).expect(0);
    assert_eq!(said.json()["coverage"]["held"], false, "told, and with a flag not judged: {}", said.stdout);
    assert!(!told.exists());
    change(&place, &format!("{runs}DELETE FROM disk_read WHERE seq > 1; {slow}"));
    let late = patrol(20);
    // That every copy was read now, and fast, is known by the end of the same pass.
    let days = late["coverage"]["days"].as_u64().unwrap();
    assert!(days > 30, "{late}");
    assert_eq!((&late["coverage_lost"], &late["files"]), (&false.into(), &6.into()), "it has begun to read: {late}");
    let event: Value = serde_json::from_str(&std::fs::read_to_string(&told).unwrap()).unwrap();
    assert_eq!((&event["event"], &event["detail"]["exit"]), (&"overdue".into(), &20.into()));
    assert!(event["text"].as_str().unwrap().contains(&format!("each {days} days")), "{event}");
    assert!(event["text"].as_str().unwrap().contains("every = 30d cannot be held"), "{event}");
}

#[test]
fn reading_begins_in_time_for_the_promised_date() {
    let place = offloaded();
    settings(&place, "[patrol]\nevery = \"30d\"\nfor = \"1h\"\n");
    run(&place, &["verify", "A001"]).expect(0);
    // Daily passes of an hour for what takes 28 hours: all must be read from now on, or the last copy is late.
    let runs: Vec<String> = (1..6).map(|d| format!("('{}')", days_ago(6 - d))).collect();
    change(
        &place,
        &format!("INSERT INTO patrol_run (at) VALUES {}; UPDATE disk_read SET ms = 28 * 3600000;", runs.join(",")),
    );
    let files = |place: &Place| run(place, &["patrol", "--json"]).expect(0).json()["files"].clone();
    assert_eq!(files(&place), 0, "a day old, and 29 days are left");
    change(&place, "DELETE FROM disk_read WHERE seq > 1; UPDATE disk_read SET ms = 30 * 3600000;");
    assert_eq!(files(&place), 6);
}

#[test]
fn a_date_that_is_missed_is_told_and_only_where_it_is_judged() {
    let place = offloaded();
    settings(&place, "[patrol]\nevery = \"1ms\"\nfor = \"1ms\"\n[verify]\nflash_lanes = 1\n");
    let said = run(&place, &["patrol", "--json"]).expect(20).json();
    assert_eq!((&said["coverage_lost"], &said["files"]), (&true.into(), &1.into()), "{said}");
    let said = run(&place, &["patrol", "--for", "1ms", "--json"]).expect(0).json();
    assert_eq!(said["coverage_lost"], false, "{said}");
}

fn unmount(at: &Path) {
    let begun = Instant::now();
    while !Command::new("umount").arg(at).status().unwrap().success() {
        assert!(begun.elapsed() < Duration::from_secs(20), "it stays busy");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn a_volume_that_stays_away_is_not_proven_since_its_last_proof_until_it_is_retired() {
    let place = Place::new().with_card();
    let Some(image) = Image::new(64, &[]) else { return };
    let at = image.path();
    run(&place, &["offload", "card/A001", "--to", at.to_str().unwrap(), "--to", "b", "--no-media"]).expect(0);
    let oldest = "SELECT min(y.checked_at) FROM copy y JOIN copy_root r ON r.id = y.copy_root_id
                  WHERE r.path NOT LIKE '%/b/%'";
    let last = ask(&place, oldest)[0][0].clone();
    let named = "SELECT coalesce(nullif(v.label, ''), CAST(v.last_mount AS TEXT)) FROM volume v JOIN copy_root r
                 ON r.volume_id = v.id WHERE r.path NOT LIKE '%/b/%'";
    let name = ask(&place, named)[0][0].clone();
    unmount(&at);
    let since = format!("not proven since {}: volume {name} (last at {}), 3 copies", &last[..10], at.display());
    // Within the limit nothing is due, and nothing is said.
    let quiet = run(&place, &["patrol", "--json"]).expect(0).json();
    assert_eq!(quiet["absent"], serde_json::json!([]), "{quiet}");
    settings(&place, "[patrol]\nabsent_after = \"1ms\"\n");
    let said = run(&place, &["patrol", "--json", "--report", "r.html"]).expect(20).json();
    let absent = &said["absent"][0];
    assert_eq!((&absent["volume"], &absent["files"], &absent["overdue"]), (&name[..].into(), &3.into(), &true.into()));
    let proof = |v: &Value| v.as_str().unwrap().parse::<jiff::Timestamp>().unwrap();
    assert_eq!(proof(&absent["last_proof"]), last.parse().unwrap());
    let page = std::fs::read_to_string(place.path("r.html")).unwrap();
    assert!(page.contains("COVERAGE IS NOT HELD") && page.contains(&name) && page.contains("OVERDUE"), "{page}");
    let said = run(&place, &["patrol"]).expect(20);
    assert!(said.stdout.contains(&since), "{}", said.stdout);
    assert!(run(&place, &["patrol", "--quiet"]).expect(20).stdout.contains(&since));
    // A pass of other bounds tells of it, and judges nothing.
    assert!(run(&place, &["patrol", "--for", "1h"]).expect(0).stdout.contains(&since));
    run(&place, &["retire", at.to_str().unwrap(), "--reason", "sold"]).expect(0);
    assert_eq!(run(&place, &["patrol", "--quiet"]).expect(0).stdout, "");
}

#[test]
fn a_page_shows_hostile_names_and_is_written_beside_json() {
    let name = "<script>alert(1)<\u{202e}gpj.\"&'.MOV";
    let place = Place::with_files(&[(format!("CLIPS/{name}"), pattern(3_000_000, 1))]);
    place.offload(&["--no-media"]);
    flip(&place.path("a/A001/CLIPS").join(name), 1_100_000);
    run(&place, &["patrol", "--due", "0s", "--report", "r.html"]).expect(11);
    let page = std::fs::read_to_string(place.path("r.html")).unwrap();
    assert!(page.starts_with("<!DOCTYPE html>") && page.trim_end().ends_with("</html>"));
    assert!(!page.contains("<script") && !page.contains('\u{202e}'), "{page}");
    for part in [
        "&lt;script&gt;alert(1)&lt;\\u{202e}gpj.&quot;&amp;&#39;.MOV",
        "DAMAGE FOUND",
        "1048576+1048576",
        "does not claim",
    ] {
        assert!(page.contains(part), "{part}: {page}");
    }
    run(&place, &["patrol", "--due", "0s", "--report", "R.JSON"]).expect(11);
    let json: Value = serde_json::from_slice(&std::fs::read(place.path("R.JSON")).unwrap()).unwrap();
    assert_eq!(json["findings"][0]["blocks"], serde_json::json!([[1_048_576, 1_048_576]]));
    // The second one takes the place of the first; a folder that is not there is an error, after the work.
    run(&place, &["patrol", "--due", "0s", "--report", "r.html"]).expect(11);
    // People hear of the damage all the same.
    let told = place.path("told");
    settings(&place, &format!("[notify]\ncommand = [\"/bin/sh\", \"-c\", \"cat >> {}\"]\n", told.display()));
    let said = run(&place, &["patrol", "--due", "0s", "--report", "no/such/r.html"]).expect(11);
    assert!(said.stderr.contains("cannot write the report"), "{}", said.stderr);
    assert!(said.stdout.contains("CLIPS/"), "{}", said.stdout);
    assert!(std::fs::read_to_string(&told).unwrap().contains("\"event\":\"damage\""));
    assert!(
        std::fs::read_dir(place.path("")).unwrap().flatten().all(|e| !e.file_name().to_string_lossy().contains("part"))
    );
}

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// `[notify]` with a webhook there, and its secret in a file.
fn webhook(place: &Place, url: &str, more: &str) {
    let file = place.path("config/secret");
    std::fs::write(&file, SECRET).unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
    settings(place, &format!("[notify]\nurl = {url:?}\nsecret_file = {file:?}\n{more}"));
}

/// Reads one request: its head in lower case, its body.
fn request(stream: &mut impl Read) -> (String, String) {
    let (mut all, mut buffer) = (Vec::new(), [0; 4096]);
    loop {
        let n = stream.read(&mut buffer).unwrap();
        all.extend_from_slice(&buffer[..n]);
        let text = String::from_utf8_lossy(&all).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let head = head.to_ascii_lowercase();
            let length = head.split_once("content-length: ").unwrap().1;
            let length: usize = length.split("\r\n").next().unwrap().parse().unwrap();
            if body.len() >= length {
                return (head, body.to_owned());
            }
        }
        assert!(n > 0, "it ended: {text}");
    }
}

/// Answers with these statuses, one connection each.
fn server(statuses: &'static [u16]) -> (String, JoinHandle<Vec<(String, Value)>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/hook", listener.local_addr().unwrap());
    let serve = move || {
        let one = |status: &u16| {
            let (mut stream, _) = listener.accept().unwrap();
            let (head, body) = request(&mut stream);
            write!(stream, "HTTP/1.1 {status} X\r\ncontent-length: 0\r\nconnection: close\r\n\r\n").unwrap();
            let id = head.split_once("webhook-id: ").unwrap().1.split("\r\n").next().unwrap().to_owned();
            assert!(head.contains("webhook-signature: v1,"), "{head}");
            (id, serde_json::from_str(&body).unwrap())
        };
        statuses.iter().map(one).collect()
    };
    (url, std::thread::spawn(serve))
}

fn waiting(place: &Place) -> Vec<Vec<String>> {
    ask(place, "SELECT attempts, note, dead_at IS NOT NULL FROM notice ORDER BY seq")
}

#[test]
fn what_could_not_be_told_is_told_by_the_next_run_and_a_command_is_told_as_well() {
    let place = offloaded();
    let (url, served) = server(&[401, 200]);
    let told = place.path("told");
    let command = format!("command = [\"/bin/sh\", \"-c\", \"cat >> {}\"]\n", told.display());
    webhook(&place, &url, &command);
    run(&place, &["config", "check"]).expect(0);
    // A clean pass tells nobody.
    run(&place, &["patrol", "--due", "0s"]).expect(0);
    assert!(!told.exists() && waiting(&place).is_empty());
    flip(&place.path("a").join(CLIP), 5);
    let said = run(&place, &["patrol", "--due", "0s", "--quiet"]).expect(11);
    assert!(said.stderr.contains("not told: ") && said.stderr.contains("status 401"), "{}", said.stderr);
    let [row] = &waiting(&place)[..] else { panic!("{:?}", waiting(&place)) };
    assert_eq!((row[0].as_str(), row[2].as_str()), ("1", "0"), "{row:?}");
    assert!(
        std::fs::read_to_string(&told).unwrap().contains("\"event\":\"damage\""),
        "the command was told all the same"
    );
    // The next run is clean, and sends what waits.
    run(&place, &["repair", "A001"]).expect(0);
    let said = run(&place, &["patrol", "--due", "0s", "--quiet"]).expect(0);
    assert_eq!((said.stdout.as_str(), said.stderr.as_str()), ("", ""));
    let got = served.join().unwrap();
    assert_eq!(got[0], got[1], "the same message under the same id");
    assert_eq!(
        (&got[0].1["type"], &got[0].1["data"]["detail"]["findings"][0]["kind"]),
        (&"copies.damaged".into(), &"altered".into())
    );
    assert!(waiting(&place).is_empty());
    run(&place, &["check"]).expect(0);
}

#[test]
fn a_webhook_that_is_gone_is_said_once_and_a_pass_never_fails_for_it() {
    let place = offloaded();
    let (url, served) = server(&[410]);
    webhook(&place, &url, "on = [\"damage\"]\n");
    flip(&place.path("a").join(CLIP), 5);
    let said = run(&place, &["verify", "A001", "--json"]).expect(11);
    assert!(said.stderr.contains("gone for good (410)") && said.stderr.contains("given up"), "{}", said.stderr);
    said.json();
    served.join().unwrap();
    assert_eq!(waiting(&place)[0][2], "1", "dead");
    // What is wrong with the secret is told, by config check before it is needed.
    std::fs::set_permissions(place.path("config/secret"), std::fs::Permissions::from_mode(0o644)).unwrap();
    let said = run(&place, &["config", "check"]).expect(2);
    assert!(said.stderr.contains("notify.secret_file") && said.stderr.contains("chmod 600"), "{}", said.stderr);
    assert!(said.stderr.contains("line 5") && !said.stderr.contains("MfKQ"), "{}", said.stderr);
    let said = run(&place, &["verify", "A001"]).expect(11);
    assert!(said.stderr.contains("not told: the secret of the webhook"), "{}", said.stderr);
}

/// A server with a certificate for 127.0.0.1 that only itself has signed, until it was told once.
fn https() -> (String, JoinHandle<u32>) {
    use rustls::pki_types::pem::PemObject;
    use rustls::pki_types::{CertificateDer, PrivateKeyDer};
    let pem = include_bytes!("localhost.pem");
    let certs = vec![CertificateDer::from_pem_slice(pem).unwrap()];
    let key = PrivateKeyDer::from_pem_slice(pem).unwrap();
    let config = rustls::ServerConfig::builder().with_no_client_auth().with_single_cert(certs, key).unwrap();
    let config = std::sync::Arc::new(config);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("https://{}/", listener.local_addr().unwrap());
    let serve = move || {
        let mut refused = 0;
        loop {
            let (stream, _) = listener.accept().unwrap();
            let session = rustls::ServerConnection::new(config.clone()).unwrap();
            let mut tls = rustls::StreamOwned::new(session, stream);
            if tls.conn.complete_io(&mut tls.sock).is_err() {
                refused += 1;
                continue;
            }
            let mut first = [0];
            if tls.read(&mut first).unwrap_or(0) == 0 {
                refused += 1;
                continue;
            }
            request(&mut tls);
            tls.write_all(b"HTTP/1.1 204 X\r\nconnection: close\r\n\r\n").unwrap();
            tls.conn.send_close_notify();
            let _ = tls.flush();
            return refused;
        }
    };
    (url, std::thread::spawn(serve))
}

#[test]
fn a_certificate_that_nobody_vouches_for_is_told_nothing() {
    let place = offloaded();
    let (url, served) = https();
    webhook(&place, &url, "");
    flip(&place.path("a").join(CLIP), 5);
    let said = run(&place, &["verify", "A001"]).expect(11);
    assert!(
        said.stderr.contains("not told: ") && said.stderr.to_lowercase().contains("certificate"),
        "{}",
        said.stderr
    );
    assert_eq!(waiting(&place).len(), 1);
    // When the system trusts it, the next run tells it what waits.
    run(&place, &["repair", "A001"]).expect(0);
    let mut command = place.goodgate(&["patrol"]);
    command.env("SSL_CERT_FILE", concat!(env!("CARGO_MANIFEST_DIR"), "/tests/all/localhost.pem"));
    command.env_remove("SSL_CERT_DIR").env("NO_PROXY", "127.0.0.1");
    let said = Said::from(command.output().unwrap());
    assert!(!said.expect(0).stderr.contains("not told"));
    assert_eq!(served.join().unwrap(), 1);
    assert!(waiting(&place).is_empty());
}

#[test]
fn what_cannot_be_repaired_is_named_in_timecode() {
    let place = Place::new();
    let clip = place.path("card/A001/CLIPS/A001C001.MOV");
    let args = "-v error -nostdin -f lavfi -i testsrc2=s=320x180:d=2:r=25 -timecode 10:00:00:00 -c:v rawvideo -pix_fmt yuv422p";
    let made = Command::new("ffmpeg").args(args.split(' ')).arg(&clip).status();
    assert!(made.expect("this test needs the ffmpeg program").success());
    place.offload(&[]).expect(0);
    for copy in ["a", "b"] {
        flip(&place.path(copy).join(CLIP), 2_500_000);
    }
    // The other block of this copy can be healed; nothing of it is lost.
    flip(&place.path("a").join(CLIP), 5_000_000);
    let patrol = run(&place, &["patrol", "--due", "0s", "--json"]).expect(11).json();
    let of_a =
        patrol["findings"].as_array().unwrap().iter().find(|f| f["blocks"].as_array().unwrap().len() == 2).unwrap();
    let two = of_a["timecode"].as_str().unwrap();
    let said = run(&place, &["repair", "A001", "--json"]).expect(11);
    let lost = said.json()["unrepairable"].clone();
    assert_eq!(lost.as_array().unwrap().len(), 2, "{lost}");
    for f in lost.as_array().unwrap() {
        let timecode = f["timecode"].as_str().unwrap_or_else(|| panic!("{lost}"));
        assert!(timecode.starts_with("10:00:00:") && !timecode.contains(','), "only what nobody has: {timecode}");
        assert!(two.starts_with(timecode) && two.len() > timecode.len(), "{two}");
        assert!(said.stderr.contains(&format!("lost pictures: {timecode}")), "{}", said.stderr);
    }
    let text = run(&place, &["repair", "A001"]).expect(11);
    let timecode = lost[0]["timecode"].as_str().unwrap();
    let line = text.stdout.lines().find(|l| l.starts_with("cannot be repaired: ")).unwrap();
    assert!(line.contains(&format!("timecode {timecode}")), "{line}");
    let dry = run(&place, &["repair", "A001", "--dry-run", "--json"]).expect(11).json();
    assert_eq!(dry["unrepairable"][0]["timecode"], timecode, "{dry}");
}
