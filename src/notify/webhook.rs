//! An event as a signed request, in the form of Standard Webhooks (<https://www.standardwebhooks.com>).
//!
//! The body is `{"type", "timestamp", "data"}`, and `data` is what the command gets. It is signed with each secret of the
//! file, so that a new one can be brought in before the old one goes. Certificates are those that the system trusts; no
//! redirect is followed; what is answered is not read beyond [`ANSWER_BYTES`].

use super::Event;
use crate::config::Webhook;
use base64::Engine;
use base64::alphabet::STANDARD as ALPHABET;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig, STANDARD};
use hmac::{Hmac, KeyInit, Mac};
use jiff::Timestamp;
use rustix::fs::OFlags;
use sha2::Sha256;
use std::fs::File;
use std::io::Read;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use ureq::config::AutoHeaderValue;
use ureq::tls::{RootCerts, TlsConfig};

/// Read of an answer, to be shown when it is no good one.
const ANSWER_BYTES: u64 = 512;
/// More findings than this are left out of a body, and counted.
const FINDINGS: usize = 100;
/// A longer body goes without its detail.
const BODY_BYTES: usize = 256 << 10;
const SECRET_FILE_BYTES: u64 = 4096;
/// Of a key, as the standard wants it.
const KEY_BYTES: std::ops::RangeInclusive<usize> = 24..=64;

/// How long whoever does not answer is waited for.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// One attempt, from the name's resolution to the end of the answer.
    pub attempt: Duration,
    /// Between the attempts; there is one more of them.
    pub waits: &'static [Duration],
    /// All ends by then.
    pub until: Instant,
}

impl Patience {
    /// For all that one run has to tell: a cron job is not held up for longer.
    pub const TOTAL: Duration = Duration::from_secs(60);

    pub fn from_now() -> Self {
        const WAITS: [Duration; 3] = [Duration::from_millis(500), Duration::from_secs(2), Duration::from_secs(8)];
        Patience { attempt: Duration::from_secs(10), waits: &WAITS, until: Instant::now() + Self::TOTAL }
    }
}

/// What is sent, and sent again under the same id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    pub id: String,
    pub body: String,
}

/// A text for the log, not a reason to stop. None holds the secret.
#[derive(Debug, thiserror::Error)]
pub enum PostError {
    #[error("the secret of the webhook, \"{path}\", {problem}")]
    Secret { path: PathBuf, problem: String },
    /// This message will be refused again.
    #[error("the webhook \"{host}\" refuses what it was told: {answer}")]
    Refused { host: String, answer: String },
    #[error("the webhook \"{host}\" is gone for good (410): take its url out of [notify]")]
    Gone { host: String },
    /// Another try may do.
    #[error("the webhook \"{host}\" was not reached: {why}")]
    Later { host: String, why: String },
}

impl Message {
    pub fn of(event: &Event) -> Self {
        let mut data = serde_json::to_value(event).unwrap_or_default();
        if let Some(findings) = data.pointer_mut("/detail/findings").and_then(|f| f.as_array_mut())
            && findings.len() > FINDINGS
        {
            let all = findings.len();
            findings.truncate(FINDINGS);
            let known = data.pointer("/detail/total").cloned();
            data["detail"]["total"] = known.unwrap_or(all.into());
        }
        let whole = |data: &serde_json::Value| {
            serde_json::json!({ "type": event.on.topic(), "timestamp": event.at, "data": data }).to_string()
        };
        let mut body = whole(&data);
        if body.len() > BODY_BYTES {
            data["detail"] = serde_json::json!({ "left_out_bytes": body.len() });
            body = whole(&data);
        }
        Message { id: format!("msg_{}", uuid::Uuid::now_v7().simple()), body }
    }
}

/// Whether the secret can be read and is one; looks, and sends nothing.
pub fn check(hook: &Webhook) -> Result<(), PostError> {
    secrets(&hook.secret_file).map(drop)
}

/// Sends the message, again and again as far as patience goes.
pub fn post(hook: &Webhook, message: &Message, patience: &Patience) -> Result<(), PostError> {
    let keys = secrets(&hook.secret_file)?;
    let mut waits = patience.waits.iter();
    loop {
        let (why, asked) = match attempt(hook, message, &keys, patience) {
            Ok(()) => return Ok(()),
            Err(Fault::Final(e)) => return Err(e),
            Err(Fault::Again { why, after }) => (why, after),
        };
        // What the server asks for counts, as far as there is time.
        let wait = waits.next().map(|w| asked.map_or(*w, |asked| asked.max(*w)));
        match wait {
            Some(wait) if Instant::now() + wait < patience.until => std::thread::sleep(wait),
            _ => return Err(PostError::Later { host: host(hook), why }),
        }
    }
}

enum Fault {
    Final(PostError),
    Again { why: String, after: Option<Duration> },
}

fn attempt(hook: &Webhook, message: &Message, keys: &[Vec<u8>], patience: &Patience) -> Result<(), Fault> {
    let again = |why: String| Fault::Again { why, after: None };
    let left = patience.until.saturating_duration_since(Instant::now()).min(patience.attempt);
    if left.is_zero() {
        return Err(again("no time is left".into()));
    }
    let version = concat!("goodgate/", env!("CARGO_PKG_VERSION"));
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .timeout_global(Some(left))
        .max_redirects(0)
        .http_status_as_error(false)
        .max_idle_connections(0)
        .user_agent(AutoHeaderValue::from(version))
        .tls_config(TlsConfig::builder().root_certs(RootCerts::PlatformVerifier).build())
        .build()
        .into();
    let at = Timestamp::now().as_second();
    let sent = agent
        .post(&hook.url)
        .header("content-type", "application/json")
        .header("webhook-id", &message.id)
        .header("webhook-timestamp", at.to_string())
        .header("webhook-signature", signature(keys, &message.id, at, &message.body))
        .send(&message.body);
    let mut answer = sent.map_err(|e| {
        let why = shown(&e.to_string());
        match is_of_tls(&e) {
            true => Fault::Final(PostError::Later { host: host(hook), why }),
            false => again(why),
        }
    })?;
    let status = answer.status().as_u16();
    let header = |name: &str| answer.headers().get(name).and_then(|v| v.to_str().ok()).map(shown);
    let (to, after) = (header("location"), header("retry-after"));
    match status {
        200..300 => Ok(()),
        410 => Err(Fault::Final(PostError::Gone { host: host(hook) })),
        408 | 425 | 429 | 500.. => {
            let after = after.and_then(|a| a.parse().ok()).map(Duration::from_secs);
            Err(Fault::Again { why: said(status, &mut answer), after })
        }
        300..400 => {
            let to = to.map_or("elsewhere".into(), |to| format!("to \"{to}\""));
            let answer = format!("status {status}, a redirect {to}, and none is followed: write the right url");
            Err(Fault::Final(PostError::Refused { host: host(hook), answer }))
        }
        _ => Err(Fault::Final(PostError::Refused { host: host(hook), answer: said(status, &mut answer) })),
    }
}

/// A certificate that is not trusted is not trusted a second later either.
fn is_of_tls(e: &ureq::Error) -> bool {
    match e {
        ureq::Error::Rustls(_) | ureq::Error::Tls(_) => true,
        ureq::Error::Io(e) => e.kind() == std::io::ErrorKind::InvalidData,
        _ => false,
    }
}

/// The status and the beginning of the answer.
fn said(status: u16, answer: &mut ureq::http::Response<ureq::Body>) -> String {
    let mut bytes = Vec::new();
    let _ = answer.body_mut().as_reader().take(ANSWER_BYTES).read_to_end(&mut bytes);
    match String::from_utf8_lossy(&bytes).trim() {
        "" => format!("status {status}"),
        text => format!("status {status}, \"{}\"", shown(text)),
    }
}

fn shown(text: &str) -> String {
    let short: String = text.chars().take(ANSWER_BYTES as usize).collect();
    crate::relpath::escape(short.as_bytes()).into_owned()
}

/// For messages: a url may hold what is as good as a password.
fn host(hook: &Webhook) -> String {
    let rest = hook.url.split_once("://").map_or(&hook.url[..], |(_, rest)| rest);
    rest.split(['/', '?']).next().unwrap_or_default().to_owned()
}

/// One a key, with spaces between, as the standard has it for keys that are changed.
fn signature(keys: &[Vec<u8>], id: &str, at: i64, body: &str) -> String {
    let sign = |key: &Vec<u8>| {
        // HMAC takes a key of any length.
        let mut mac = Hmac::<Sha256>::new_from_slice(key).ok()?;
        [id, ".", &at.to_string(), ".", body].iter().for_each(|part| mac.update(part.as_bytes()));
        Some(format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes())))
    };
    keys.iter().filter_map(sign).collect::<Vec<_>>().join(" ")
}

/// One a line, each `whsec_` and base64; the file is nobody else's business.
fn secrets(path: &Path) -> Result<Vec<Vec<u8>>, PostError> {
    let fault = |problem: &str| PostError::Secret { path: path.to_path_buf(), problem: problem.into() };
    let io = |e: std::io::Error| fault(&format!("cannot be read: {e}"));
    // A pipe in its place must not hold us up.
    let flags = (OFlags::NONBLOCK | OFlags::CLOEXEC).bits() as i32;
    let file = File::options().read(true).custom_flags(flags).open(path).map_err(io)?;
    let about = file.metadata().map_err(io)?;
    if !about.is_file() {
        return Err(fault("is no regular file"));
    }
    if about.mode() & 0o027 != 0 {
        return Err(fault(
            "may be read by others, or written by its group: chmod 600 (or 640, for a group that may read it)",
        ));
    }
    let mut text = String::new();
    file.take(SECRET_FILE_BYTES + 1).read_to_string(&mut text).map_err(io)?;
    if text.len() as u64 > SECRET_FILE_BYTES {
        return Err(fault("is too long for one"));
    }
    // Some leave out the padding.
    let config = GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
    let base64 = GeneralPurpose::new(&ALPHABET, config);
    let key = |line: &str| {
        let key = line.strip_prefix("whsec_").and_then(|text| base64.decode(text).ok());
        key.filter(|k| KEY_BYTES.contains(&k.len()))
    };
    let lines: Vec<&str> = text.lines().map(str::trim).filter(|l| !l.is_empty()).collect();
    let keys: Option<Vec<Vec<u8>>> = lines.iter().map(|l| key(l)).collect();
    keys.filter(|k| !k.is_empty()).ok_or_else(|| fault("holds something else than whsec_ and 24 to 64 bytes as base64"))
}

#[cfg(test)]
mod tests;
