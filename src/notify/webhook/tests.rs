//! Against a real server on this machine, which checks each signature by itself.

use super::*;
use crate::config::NotifyOn;
use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::thread::JoinHandle;

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

fn event(detail: serde_json::Value) -> Event {
    let at = "2026-01-02T03:04:05Z".parse().unwrap();
    Event { on: NotifyOn::Damage, roll: Some("A001".into()), text: "1 altered".into(), at, detail }
}

/// HMAC-SHA256 from its definition (RFC 2104), not from the crate that is tried.
fn hmac_sha256(key: &[u8], message: &[u8]) -> Vec<u8> {
    use sha2::Digest;
    let pad = |with: u8| (0..64).map(|i| key.get(i).copied().unwrap_or(0) ^ with).collect::<Vec<u8>>();
    let inner = Sha256::digest([&pad(0x36)[..], message].concat());
    Sha256::digest([&pad(0x5c)[..], &inner[..]].concat()).to_vec()
}

/// What came: the head's lines in lower case, and the body.
struct Request {
    head: String,
    body: String,
}

impl Request {
    fn of(stream: &mut TcpStream) -> Self {
        let (mut bytes, mut buffer) = (Vec::new(), [0; 4096]);
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        loop {
            let n = stream.read(&mut buffer).unwrap();
            bytes.extend_from_slice(&buffer[..n]);
            let Some(end) = bytes.windows(4).position(|w| w == b"\r\n\r\n") else { continue };
            let head = text(&bytes[..end]);
            let header = |name: &str| {
                let line = head.lines().find(|l| l.to_ascii_lowercase().starts_with(name));
                line.map_or(0, |l| l[name.len()..].trim().parse().unwrap())
            };
            let whole = end + 4 + header("content-length:");
            while bytes.len() < whole {
                let n = stream.read(&mut buffer).unwrap();
                bytes.extend_from_slice(&buffer[..n]);
            }
            return Request { head, body: text(&bytes[end + 4..]) };
        }
    }

    fn header(&self, name: &str) -> String {
        let line = self.head.lines().find(|l| l.to_ascii_lowercase().starts_with(&format!("{name}:")));
        line.unwrap_or_else(|| panic!("no {name}: {}", self.head)).split_once(':').unwrap().1.trim().to_owned()
    }

    /// As a receiver does.
    fn check(&self, key: &[u8]) {
        let (id, at) = (self.header("webhook-id"), self.header("webhook-timestamp"));
        let age = Timestamp::now().as_second() - at.parse::<i64>().unwrap();
        assert!((0..300).contains(&age), "{at}");
        let mac = hmac_sha256(key, format!("{id}.{at}.{}", self.body).as_bytes());
        let want = format!("v1,{}", STANDARD.encode(mac));
        let signed = self.header("webhook-signature");
        assert!(signed.split(' ').any(|s| s == want), "{signed} instead of {want}");
        assert_eq!(self.header("content-type"), "application/json");
    }
}

/// A server that answers so, one connection after the other, and says what it got.
fn server(answers: Vec<String>) -> (String, JoinHandle<Vec<Request>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/hook?token=hidden", listener.local_addr().unwrap());
    let serve = move || {
        let mut got = Vec::new();
        for answer in answers {
            let (mut stream, _) = listener.accept().unwrap();
            got.push(Request::of(&mut stream));
            let _ = stream.write_all(answer.as_bytes());
        }
        got
    };
    (url, std::thread::spawn(serve))
}

fn answer(status: &str, headers: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\n{headers}content-length: {}\r\nconnection: close\r\n\r\n{body}", body.len())
}

fn good() -> String {
    answer("200 OK", "", "")
}

struct Hook {
    dir: tempfile::TempDir,
    hook: Webhook,
}

fn hook(url: &str, secret: &str) -> Hook {
    let dir = tempfile::tempdir().unwrap();
    let secret_file = dir.path().join("secret");
    std::fs::write(&secret_file, secret).unwrap();
    std::fs::set_permissions(&secret_file, std::fs::Permissions::from_mode(0o600)).unwrap();
    Hook { dir, hook: Webhook { url: url.into(), secret_file } }
}

/// For servers that answer at once.
fn patience() -> Patience {
    const WAITS: [Duration; 2] = [Duration::from_millis(1), Duration::from_millis(2)];
    Patience { attempt: Duration::from_secs(10), waits: &WAITS, until: Instant::now() + Duration::from_secs(20) }
}

fn send(url: &str, patience: &Patience) -> Result<(), PostError> {
    let message = Message::of(&event(serde_json::json!({ "files": 3 })));
    post(&hook(url, SECRET).hook, &message, patience)
}

fn key() -> Vec<u8> {
    STANDARD.decode(&SECRET[6..]).unwrap()
}

#[test]
fn the_published_vector_is_signed_as_published() {
    let (id, body) = ("msg_p5jXN8AQM9LWM0D4loKWxJek", "{\"test\": 2432232314}");
    let signed = signature(&[key()], id, 1_614_265_330, body);
    assert_eq!(signed, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    let own = hmac_sha256(&key(), format!("{id}.1614265330.{body}").as_bytes());
    assert_eq!(format!("v1,{}", STANDARD.encode(own)), signed, "our own computation agrees");
}

#[test]
fn a_message_arrives_signed_with_the_event_in_it() {
    let (url, served) = server(vec![good()]);
    send(&url, &patience()).unwrap();
    let got = &served.join().unwrap()[0];
    got.check(&key());
    assert!(got.head.starts_with("POST /hook?token=hidden HTTP/1.1"), "{}", got.head);
    assert!(got.header("user-agent").starts_with("goodgate/"));
    let body: serde_json::Value = serde_json::from_str(&got.body).unwrap();
    assert_eq!((&body["type"], &body["timestamp"]), (&"copies.damaged".into(), &"2026-01-02T03:04:05Z".into()));
    assert_eq!((&body["data"]["event"], &body["data"]["detail"]["files"]), (&"damage".into(), &3.into()));
}

#[test]
fn while_secrets_change_each_signs() {
    let other = [7u8; 32];
    let (url, served) = server(vec![good()]);
    let two = format!("{SECRET}\n\n whsec_{} \n", STANDARD.encode(other));
    let message = Message { id: "msg_1".into(), body: "{}".into() };
    post(&hook(&url, &two).hook, &message, &patience()).unwrap();
    let got = &served.join().unwrap()[0];
    got.check(&key());
    got.check(&other);
}

#[test]
fn a_server_in_trouble_is_tried_again_under_the_same_id() {
    let busy = answer("429 Too Many", "retry-after: 0\r\n", "");
    let (url, served) = server(vec![answer("500 Oh", "", "sorry"), busy, good()]);
    send(&url, &patience()).unwrap();
    let got = served.join().unwrap();
    got.iter().for_each(|r| r.check(&key()));
    assert!(got.iter().all(|r| r.header("webhook-id") == got[0].header("webhook-id")));
    // And no more often than patience has it; what is said names no part of the url but the host.
    let (url, served) = server(vec![answer("503 Oh", "", "out\x1b[2J"); 3]);
    let e = send(&url, &patience()).unwrap_err();
    assert!(matches!(e, PostError::Later { .. }));
    let text = e.to_string();
    assert!(text.ends_with("was not reached: status 503, \"out\\x1b[2J\"") && !text.contains("hidden"), "{text}");
    assert_eq!(served.join().unwrap().len(), 3);
}

#[test]
fn what_a_server_asks_for_counts_and_never_more_than_there_is_time() {
    let (url, served) = server(vec![answer("503 Oh", "retry-after: 3600\r\n", "")]);
    let begun = Instant::now();
    let e = send(&url, &patience()).unwrap_err();
    assert!(matches!(e, PostError::Later { .. }) && begun.elapsed() < Duration::from_secs(15), "{e}");
    served.join().unwrap();
}

#[test]
fn gone_is_said_plainly_and_refusals_are_final() {
    let (url, served) = server(vec![answer("410 Gone", "", "")]);
    let e = send(&url, &patience()).unwrap_err();
    assert!(matches!(e, PostError::Gone { .. }) && e.to_string().contains("take its url out"), "{e}");
    served.join().unwrap();
    let (url, served) = server(vec![answer("401 No", "", "who are you?")]);
    let e = send(&url, &patience()).unwrap_err();
    assert!(matches!(e, PostError::Refused { .. }) && e.to_string().contains("401, \"who are you?\""), "{e}");
    served.join().unwrap();
}

#[test]
fn a_redirect_is_not_followed() {
    let other = TcpListener::bind("127.0.0.1:0").unwrap();
    let to = format!("location: http://{}/\r\n", other.local_addr().unwrap());
    for status in ["301 Moved", "307 Other", "308 Moved"] {
        let (url, served) = server(vec![answer(status, &to, "")]);
        let e = send(&url, &patience()).unwrap_err();
        assert!(matches!(e, PostError::Refused { .. }) && e.to_string().contains("none is followed"), "{e}");
        served.join().unwrap();
    }
    other.set_nonblocking(true).unwrap();
    assert!(other.accept().is_err(), "somebody came there");
}

#[test]
fn a_hang_ends_at_the_limit_of_each_attempt() {
    // Connections are taken by the kernel, and nobody ever answers.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let begun = Instant::now();
    let e = send(&url, &Patience { attempt: Duration::from_millis(100), ..patience() }).unwrap_err();
    assert!(matches!(e, PostError::Later { .. }), "{e}");
    let took = begun.elapsed();
    assert!((Duration::from_millis(300)..Duration::from_secs(10)).contains(&took), "{took:?}");
    // And of all together.
    let until = Instant::now() + Duration::from_millis(150);
    let e = send(&url, &Patience { attempt: Duration::from_secs(60), until, ..patience() }).unwrap_err();
    assert!(matches!(e, PostError::Later { .. }) && until.elapsed() < Duration::from_secs(10), "{e}");
}

#[test]
fn a_flood_is_not_read() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let serve = move || {
        let mut sent = Vec::new();
        for head in ["HTTP/1.1 400 No\r\n\r\n", "HTTP/1.1 200 OK\r\nx: "] {
            let (mut stream, _) = listener.accept().unwrap();
            Request::of(&mut stream);
            stream.write_all(head.as_bytes()).unwrap();
            let mut all = 0;
            while let Ok(n) = stream.write(&[b'x'; 1 << 16]) {
                all += n;
            }
            sent.push(all);
        }
        sent
    };
    let served = std::thread::spawn(serve);
    let e = send(&url, &patience()).unwrap_err();
    assert!(e.to_string().len() < 1000 && e.to_string().contains("status 400"), "{e}");
    // A head without end is no answer.
    let once = Patience { waits: &[], ..patience() };
    assert!(matches!(send(&url, &once).unwrap_err(), PostError::Later { .. }));
    // What sockets hold, and no more.
    let sent = served.join().unwrap();
    assert!(sent.iter().all(|n| *n < 64 << 20), "{sent:?}");
}

#[test]
fn a_closed_port_is_not_reached() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    drop(listener);
    let e = send(&url, &patience()).unwrap_err();
    assert!(matches!(e, PostError::Later { .. }), "{e}");
}

#[test]
fn a_secret_is_a_file_that_nobody_else_may_read_and_is_never_shown() {
    let of = |text: &str| check(&hook("http://a/", text).hook).map_err(|e| e.to_string());
    of(SECRET).unwrap();
    of(&format!("{SECRET}\n")).unwrap();
    let short = format!("whsec_{}", STANDARD.encode([1; 23]));
    let long = format!("whsec_{}", STANDARD.encode([1; 65]));
    let bare = &SECRET[6..];
    let huge = format!("{SECRET}\n").repeat(200);
    for bad in ["", "\n", "whsec_", "whsec_!!!!", bare, &short, &long, &huge, &format!("{SECRET}\nx")] {
        let text = of(bad).unwrap_err();
        assert!(bad.trim().is_empty() || bad.len() < 8 || !text.contains(bad.trim()), "{text}");
        assert!(text.contains("secret of the webhook"), "{text}");
    }
    let h = hook("http://a/", SECRET);
    for (mode, is_good) in [(0o400, true), (0o640, true), (0o644, false), (0o660, false), (0o604, false)] {
        std::fs::set_permissions(&h.hook.secret_file, std::fs::Permissions::from_mode(mode)).unwrap();
        assert_eq!(check(&h.hook).is_ok(), is_good, "{mode:o}");
    }
    let at = |name: &str| Webhook { secret_file: h.dir.path().join(name), ..h.hook.clone() };
    assert!(check(&at("")).is_err() && check(&at("absent")).is_err());
    let made = std::process::Command::new("mkfifo").args(["-m", "600"]).arg(h.dir.path().join("pipe")).status();
    assert!(made.unwrap().success());
    assert!(check(&at("pipe")).unwrap_err().to_string().contains("no regular file"));
}

#[test]
fn a_long_list_is_cut_and_counted() {
    let findings: Vec<_> = (0..1000).map(|n| serde_json::json!({ "relpath": n })).collect();
    let body = |detail| serde_json::from_str::<serde_json::Value>(&Message::of(&event(detail)).body).unwrap();
    let cut = body(serde_json::json!({ "findings": findings }));
    let detail = &cut["data"]["detail"];
    assert_eq!((detail["findings"].as_array().unwrap().len(), &detail["total"]), (FINDINGS, &1000.into()));
    let known = body(serde_json::json!({ "findings": findings, "total": 5000 }));
    assert_eq!(known["data"]["detail"]["total"], 5000);
    let huge = body(serde_json::json!({ "text": "x".repeat(1 << 20) }));
    assert!(huge["data"]["detail"]["left_out_bytes"].as_u64().unwrap() > 1 << 20);
    assert_eq!(huge["data"]["text"], "1 altered");
}
