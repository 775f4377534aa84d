//! Tells people: runs the `[notify]` command for an event, and sends it to the `[notify]` webhook.
//!
//! The command gets one JSON object on standard input and a few environment variables. It has [`LIMIT`]; then it and
//! all it started are killed. Its failure is a text for the log and never stops work.

mod webhook;

pub use webhook::{Message, Patience, PostError, check, post};

use crate::config::{Notify, NotifyOn};
use rustix::fs::{MemfdFlags, OFlags};
use rustix::process::{Pid, Signal};
use serde::Serialize;
use std::fs::File;
use std::io::{Read, Seek, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// What a command gets before it is killed.
pub const LIMIT: Duration = Duration::from_secs(30);

/// Kept of what the command writes to standard error; the rest is read and dropped.
const SAID_BYTES: usize = 2048;

/// Longest text in an environment variable, in bytes: a longer one is whole on standard input only.
const ENV_BYTES: usize = 4096;

/// Something a person may want to hear of.
#[derive(Clone, Debug, Serialize)]
pub struct Event {
    #[serde(rename = "event", serialize_with = "name_of")]
    pub on: NotifyOn,
    pub roll: Option<String>,
    /// One sentence.
    pub text: String,
    pub at: jiff::Timestamp,
    /// What else is known: the card object of an offload, the findings of a patrol.
    #[serde(skip_serializing_if = "serde_json::Value::is_null")]
    pub detail: serde_json::Value,
}

fn name_of<S: serde::Serializer>(on: &NotifyOn, s: S) -> Result<S::Ok, S::Error> {
    s.serialize_str(on.name())
}

/// Why nobody may have been told. A text for the log, not a reason to stop.
#[derive(Debug, thiserror::Error)]
pub enum NotifyError {
    #[error("cannot run the notify command \"{program}\": {cause}")]
    Start { program: String, cause: std::io::Error },
    #[error("the notify command \"{program}\" was killed after {secs} s{said}")]
    TooLong { program: String, secs: u64, said: String },
    #[error("the notify command \"{program}\" failed, {status}{said}")]
    Failed { program: String, status: String, said: String },
}

/// Runs the command, if there is one and it wants this kind of event; waits for it, at most [`LIMIT`].
pub fn tell(settings: &Notify, event: &Event) -> Result<(), NotifyError> {
    if settings.command.is_empty() || !settings.on.contains(&event.on) {
        return Ok(());
    }
    run(&settings.command, event, LIMIT)
}

fn run(command: &[String], event: &Event, limit: Duration) -> Result<(), NotifyError> {
    let (program, args) = command.split_first().map(|(p, a)| (p.clone(), a)).unwrap_or_default();
    let start = |cause| NotifyError::Start { program: program.clone(), cause };
    let mut child = Command::new(&program)
        .args(args)
        .env("GOODGATE_EVENT", event.on.name())
        .env("GOODGATE_ROLL", env_text(event.roll.as_deref().unwrap_or_default()))
        .env("GOODGATE_TEXT", env_text(&event.text))
        .stdin(input(event).map_err(start)?)
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        // A group of its own, so that what a script starts is killed with it.
        .process_group(0)
        .spawn()
        .map_err(start)?;
    let (status, said) = wait(&mut child, limit).map_err(start)?;
    match status {
        Some(status) if status.success() => Ok(()),
        Some(status) => {
            let status = match (status.code(), status.signal()) {
                (Some(code), _) => format!("exit code {code}"),
                (None, signal) => format!("signal {}", signal.unwrap_or_default()),
            };
            Err(NotifyError::Failed { program, status, said })
        }
        None => Err(NotifyError::TooLong { program, secs: limit.as_secs(), said }),
    }
}

/// The event in a file without a name: unlike a pipe it takes any size and never blocks on a child that does not read.
fn input(event: &Event) -> std::io::Result<Stdio> {
    let mut file = File::from(rustix::fs::memfd_create("goodgate-event", MemfdFlags::CLOEXEC)?);
    serde_json::to_writer(&mut file, event)?;
    file.write_all(b"\n")?;
    file.rewind()?;
    Ok(file.into())
}

/// The end of the child, `None` when it had to be killed, and what it said. Polls: the pipe is drained meanwhile, so
/// that a child that floods it ends all the same, and a grandchild that keeps it open holds up nobody.
fn wait(child: &mut Child, limit: Duration) -> std::io::Result<(Option<ExitStatus>, String)> {
    let mut pipe = child.stderr.take();
    if let Some(pipe) = &pipe {
        rustix::fs::fcntl_setfl(pipe, OFlags::NONBLOCK)?;
    }
    let mut said = Vec::new();
    let end = Instant::now() + limit;
    let status = loop {
        let status = child.try_wait();
        // Read after the look: what was written before the end is in the pipe by now.
        let more = pipe.as_mut().is_some_and(|pipe| drain(pipe, &mut said));
        match status {
            Ok(Some(status)) => break Some(status),
            Ok(None) if Instant::now() < end => {}
            _ => {
                kill_all(child);
                break None;
            }
        }
        if !more {
            std::thread::sleep(Duration::from_millis(10));
        }
    };
    let text = crate::relpath::escape(said.trim_ascii()).into_owned();
    Ok((status, if text.is_empty() { text } else { format!(": {text}") }))
}

/// Reads what is there, at most 64 KiB; true when there may be more.
fn drain(pipe: &mut impl Read, said: &mut Vec<u8>) -> bool {
    let mut buffer = [0; 1 << 16];
    match pipe.read(&mut buffer) {
        Ok(n) => {
            let room = SAID_BYTES.saturating_sub(said.len());
            said.extend_from_slice(&buffer[..n.min(room)]);
            n == buffer.len()
        }
        Err(_) => false,
    }
}

fn kill_all(child: &mut Child) {
    if let Some(group) = i32::try_from(child.id()).ok().and_then(Pid::from_raw) {
        let _ = rustix::process::kill_process_group(group, Signal::KILL);
    }
    let _ = child.kill();
    let _ = child.wait();
}

/// No NUL, which no environment can hold, and not longer than the kernel takes.
fn env_text(text: &str) -> String {
    let mut end = text.len().min(ENV_BYTES);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text[..end].replace('\0', " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(text: &str) -> Event {
        Event {
            on: NotifyOn::Safe,
            roll: Some("A001".into()),
            text: text.into(),
            at: "2026-01-02T03:04:05Z".parse().unwrap(),
            detail: serde_json::json!({"files": 3}),
        }
    }

    fn sh(script: &str, args: &[&str]) -> Vec<String> {
        ["/bin/sh", "-c", script, "sh"].into_iter().chain(args.iter().copied()).map(String::from).collect()
    }

    #[test]
    fn the_command_gets_the_event_as_json_and_in_its_environment() {
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("out");
        let script = "{ cat; echo \"$GOODGATE_EVENT|$GOODGATE_ROLL|$GOODGATE_TEXT\"; } > \"$1\"";
        let notify = Notify { command: sh(script, &[out.to_str().unwrap()]), webhook: None, on: vec![NotifyOn::Safe] };
        tell(&notify, &event("all \"good\"\n$HOME")).unwrap();
        let text = std::fs::read_to_string(out).unwrap();
        let (json, env) = text.split_once('\n').unwrap();
        let json: serde_json::Value = serde_json::from_str(json).unwrap();
        assert_eq!(
            (&json["event"], &json["roll"], &json["detail"]["files"]),
            (&"safe".into(), &"A001".into(), &3.into())
        );
        assert_eq!((&json["text"], &json["at"]), (&"all \"good\"\n$HOME".into(), &"2026-01-02T03:04:05Z".into()));
        assert_eq!(env, "safe|A001|all \"good\"\n$HOME\n");
    }

    #[test]
    fn an_event_that_was_not_asked_for_runs_nothing() {
        let notify = Notify { command: sh("exit 1", &[]), webhook: None, on: vec![NotifyOn::Hold] };
        tell(&notify, &event("")).unwrap();
        assert!(tell(&Notify { on: vec![NotifyOn::Safe], ..notify }, &event("")).is_err());
    }

    #[test]
    fn a_failure_names_the_program_its_end_and_what_it_said() {
        let text = run(&sh("echo 'no \x1b[1mroute' >&2; exit 7", &[]), &event(""), LIMIT).unwrap_err().to_string();
        assert_eq!(text, "the notify command \"/bin/sh\" failed, exit code 7: no \\x1b[1mroute");
        let text = run(&sh("kill -9 $$", &[]), &event(""), LIMIT).unwrap_err().to_string();
        assert_eq!(text, "the notify command \"/bin/sh\" failed, signal 9");
        let text = run(&["/no/such/program".into()], &event(""), LIMIT).unwrap_err().to_string();
        assert!(text.starts_with("cannot run the notify command \"/no/such/program\": "), "{text}");
        assert!(run(&[], &event(""), LIMIT).is_err());
    }

    #[test]
    fn a_command_that_hangs_is_killed_with_its_children() {
        let folder = tempfile::tempdir().unwrap();
        let pid_file = folder.path().join("pid");
        let script = "sleep 600 & echo $! > \"$1\"; wait";
        let err = run(&sh(script, &[pid_file.to_str().unwrap()]), &event(""), Duration::from_secs(2)).unwrap_err();
        assert!(matches!(err, NotifyError::TooLong { secs: 2, .. }), "{err}");
        let pid = std::fs::read_to_string(pid_file).unwrap();
        // Dead, or a zombie until its new parent looks. The kill is on its way already, so this ends.
        let is_alive = || {
            let stat = std::fs::read_to_string(format!("/proc/{}/stat", pid.trim()));
            stat.is_ok_and(|s| !s.contains(") Z ") && !s.contains(") X "))
        };
        let end = Instant::now() + Duration::from_secs(10);
        while is_alive() && Instant::now() < end {
            std::thread::yield_now();
        }
        assert!(!is_alive());
    }

    #[test]
    fn a_command_that_reads_nothing_or_floods_us_ends_like_any_other() {
        let big = event(&"x".repeat(1 << 20));
        run(&sh("exit 0", &[]), &big, LIMIT).unwrap();
        let err = run(&sh("head -c 3000000 /dev/zero | tr '\\0' y >&2; exit 3", &[]), &big, LIMIT).unwrap_err();
        assert!(matches!(&err, NotifyError::Failed { said, .. } if said.len() <= SAID_BYTES + 2), "{err}");
    }

    #[test]
    fn a_grandchild_that_stays_holds_up_nobody() {
        let began = Instant::now();
        run(&sh("sleep 20 & exit 0", &[]), &event("a\0b"), LIMIT).unwrap();
        assert!(began.elapsed() < Duration::from_secs(10));
    }
}
