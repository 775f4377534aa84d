//! One run of `goodgate-media`: descriptors in, a bounded reply out, and a name for every way to die.

use super::protocol::{About, Body, MAX_REPLY_BYTES, Reply, Request, clean};
use super::source::{First, feed};
use super::{Gate, Limits, MediaError, Tool};
use command_fds::{CommandFdExt, FdMapping};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

/// What the child gets open: nothing else, and no path.
pub(super) struct Files<'a> {
    pub clip: First,
    /// Outputs, LUTs and further files, each with the number the child knows it by.
    pub more: Vec<(File, i32)>,
    /// Asked again and again while it runs.
    pub gate: &'a (dyn Fn() -> Gate + Sync),
}

/// How often a running child's gate is asked.
const TICK: Duration = Duration::from_millis(250);

/// How much of the child's log is kept.
const LOG_BYTES: usize = 16 * 1024;

/// The child's reply with libav's first complaint (may be empty), or in words why there is none.
pub(super) fn run(
    tool: &Tool,
    verb: &str,
    request: &Request,
    limits: &Limits,
    files: Files<'_>,
) -> Result<Result<(Body, String), String>, MediaError> {
    let start = |cause| MediaError::Start { tool: tool.path.clone(), cause };
    let text = serde_json::to_string(request).map_err(|e| start(io::Error::other(e)))?;
    let mut command = Command::new(&tool.path);
    command.arg(verb).arg(text).env_clear().current_dir("/");
    // Each arena reserves address space that its limit counts, one for each thread.
    command.env("MALLOC_ARENA_MAX", "2");
    let pictures = match files.clip {
        First::File(clip) => {
            command.stdin(clip);
            None
        }
        First::Frames(frames) => {
            let (from, into) = io::pipe().map_err(start)?;
            command.stdin(from);
            Some((into, frames))
        }
    };
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mappings = files.more.into_iter().map(|(f, n)| FdMapping { parent_fd: f.into(), child_fd: n }).collect();
    command.fd_mappings(mappings).map_err(|e| start(io::Error::other(e)))?;
    // Whoever stops goodgate at a terminal does not thereby end a clip in the middle: that is for us to say.
    command.process_group(0);
    let mut child = command.spawn().map_err(start)?;
    // The command still holds our ends of the clip and the outputs.
    drop(command);
    let (Some(out), Some(err)) = (child.stdout.take(), child.stderr.take()) else {
        return Err(start(io::Error::other("no pipes")));
    };
    // Not yet waited for, so the number can not mean another process.
    let handle = Pid::from_raw(child.id() as i32)
        .ok_or_else(|| io::Error::other("no process id"))
        .and_then(|pid| Ok(pidfd_open(pid, PidfdFlags::empty())?));
    let handle = match handle {
        Ok(h) => h,
        Err(cause) => {
            let _ = child.kill();
            let _ = child.wait();
            return Err(start(cause));
        }
    };

    std::thread::scope(|s| {
        let (ended, waiting) = channel::<()>();
        let handle = &handle;
        let gate = files.gate;
        let timer = s.spawn(move || watch(handle, limits.wall, &waiting, gate));
        let reply = s.spawn(move || {
            let (bytes, flood) = read_at_most(out, MAX_REPLY_BYTES + 8);
            if flood {
                kill(handle);
            }
            (bytes, flood)
        });
        let log = s.spawn(move || head(err));
        // It ends with the pictures, or with the child.
        s.spawn(move || pictures.map(|(into, frames)| feed(into, frames)));
        let status = child.wait().map_err(start)?;
        drop(ended);
        let ended = timer.join().unwrap_or(None);
        let (bytes, flood) = reply.join().unwrap_or_default();
        let log = first_line(&log.join().unwrap_or_default());
        if ended == Some(End::Stopped) {
            return Err(MediaError::Stopped);
        }
        if ended.is_none() && !flood && status.signal() == Some(Signal::KILL.as_raw()) {
            return Err(MediaError::Killed);
        }
        Ok(if ended == Some(End::Late) {
            Err(format!("took longer than {} s and was stopped", limits.wall.as_secs_f32()))
        } else if flood {
            Err("goodgate-media answered with more than 768 KiB and was stopped".into())
        } else if let Some(reason) = death(status, limits, &log) {
            Err(reason)
        } else {
            Reply::from_bytes(&bytes).map(|r| (r.body, log)).map_err(|e| format!("goodgate-media: {e}"))
        })
    })
}

/// What the child says of itself.
pub(super) fn about(tool: &Tool) -> Result<About, MediaError> {
    let start = |cause| MediaError::Start { tool: tool.path.clone(), cause };
    let mut command = Command::new(&tool.path);
    command.arg("about").env_clear().stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = command.spawn().map_err(start)?;
    let said = child.stdout.take().map(|out| read_at_most(out, MAX_REPLY_BYTES).0).unwrap_or_default();
    child.wait().map_err(start)?;
    match Reply::from_bytes(&said).map(|r| r.body) {
        Ok(Body::About(about)) => Ok(about),
        Ok(_) => Err(start(io::Error::other("it answered another question"))),
        Err(e) => Err(start(io::Error::other(e))),
    }
}

/// Whether the confined child could do `act`.
pub(super) fn selftest(tool: &Tool, act: &str) -> Result<bool, MediaError> {
    let mut command = Command::new(&tool.path);
    command.args(["selftest", act]).env_clear().stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let status = command.status().map_err(|cause| MediaError::Start { tool: tool.path.clone(), cause })?;
    // 0: refused; killed by the filter: refused for good.
    Ok(status.code() != Some(0) && status.signal() != Some(Signal::SYS.as_raw()))
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    Late,
    Stopped,
}

/// Until the child ends by itself (`None`), is out of time, or shall be stopped. Time in which it has to wait does not count.
fn watch(child: &OwnedFd, mut left: Duration, waiting: &Receiver<()>, gate: &(dyn Fn() -> Gate + Sync)) -> Option<End> {
    let mut held = false;
    loop {
        let asked = gate();
        if asked == Gate::Stop {
            kill(child);
            return Some(End::Stopped);
        }
        if held != (asked == Gate::Wait) {
            held = !held;
            let _ = pidfd_send_signal(child, if held { Signal::STOP } else { Signal::CONT });
        }
        let from = Instant::now();
        if waiting.recv_timeout(if held { TICK } else { TICK.min(left) }) != Err(RecvTimeoutError::Timeout) {
            return None;
        }
        if !held {
            left = left.saturating_sub(from.elapsed());
            if left.is_zero() {
                kill(child);
                return Some(End::Late);
            }
        }
    }
}

fn kill(handle: &OwnedFd) {
    // Already dead is what we want.
    let _ = pidfd_send_signal(handle, Signal::KILL);
}

/// The bytes up to `limit`, and whether there were more.
fn read_at_most(from: impl Read, limit: usize) -> (Vec<u8>, bool) {
    let mut bytes = Vec::new();
    let _ = from.take(limit as u64 + 1).read_to_end(&mut bytes);
    let flood = bytes.len() > limit;
    (bytes, flood)
}

/// The start of a stream that is read to its end, so that a chatty child never blocks.
fn head(mut from: impl Read) -> Vec<u8> {
    let (kept, _) = read_at_most(&mut from, LOG_BYTES);
    let mut rest = [0; 4096];
    while from.read(&mut rest).is_ok_and(|n| n > 0) {}
    kept
}

/// libav's first complaint, as the later ones follow from it, without its `[name @ 0x...]`.
fn first_line(log: &[u8]) -> String {
    let text = String::from_utf8_lossy(log);
    let mut said = text.lines().map(str::trim).find(|l| !l.is_empty()).unwrap_or_default();
    while let Some((name, rest)) = said.split_once("] ")
        && name.starts_with('[')
    {
        said = rest;
    }
    clean(said).chars().take(200).collect()
}

/// How the child died, in words; `None` when it ended as it should.
fn death(status: ExitStatus, limits: &Limits, log: &str) -> Option<String> {
    let Some(number) = status.signal() else {
        return (!status.success()).then(|| {
            let code = status.code().unwrap_or(-1);
            let end = if log.is_empty() { String::new() } else { format!(": {log}") };
            format!("goodgate-media failed with exit code {code}{end}")
        });
    };
    let name = match Signal::from_named_raw(number) {
        Some(Signal::SEGV) => "SIGSEGV",
        Some(Signal::BUS) => "SIGBUS",
        Some(Signal::ILL) => "SIGILL",
        Some(Signal::FPE) => "SIGFPE",
        Some(Signal::ABORT) => "SIGABRT",
        Some(Signal::SYS) => return Some("libav tried what its sandbox forbids and was stopped (SIGSYS)".into()),
        Some(Signal::XCPU) => return Some(format!("used more than {} s of processor time (SIGXCPU)", limits.cpu_secs)),
        Some(Signal::XFSZ) => return Some("the output grew over its limit (SIGXFSZ)".into()),
        _ => return Some(format!("libav crashed (signal {number})")),
    };
    Some(format!("libav crashed ({name})"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_death_has_a_name() {
        let limits = Limits::for_probe();
        let by = |raw| death(ExitStatus::from_raw(raw), &limits, "moov atom not found");
        assert_eq!(by(0), None);
        assert_eq!(by(11).as_deref(), Some("libav crashed (SIGSEGV)"));
        assert_eq!(by(6).as_deref(), Some("libav crashed (SIGABRT)"));
        assert!(by(31).unwrap().contains("sandbox"));
        assert!(by(24).unwrap().contains("10 s of processor time"));
        assert!(by(101 << 8).unwrap().ends_with("exit code 101: moov atom not found"));
    }

    #[test]
    fn a_flood_is_cut_and_a_log_read_to_its_end() {
        assert_eq!(read_at_most(&[1; 9][..], 8), (vec![1; 9], true));
        assert_eq!(read_at_most(&[1; 8][..], 8), (vec![1; 8], false));
        let log = [b"\n[png @ 0x5] [mov @ 0x5] moov atom\x1b not found\n".to_vec(), vec![b'x'; 100_000]].concat();
        let mut rest = &log[..];
        let kept = head(&mut rest);
        assert!(rest.is_empty() && kept.len() <= LOG_BYTES + 1);
        assert_eq!(first_line(&kept), "moov atom not found");
    }

    #[test]
    fn a_program_that_is_not_there_is_an_error_of_the_installation() {
        let tool = Tool { path: "/nonexistent/goodgate-media".into() };
        let clip = First::File(File::open("/dev/null").unwrap());
        let limits = Limits::for_probe();
        let files = Files { clip, more: Vec::new(), gate: &|| Gate::Go };
        let e = run(&tool, "probe", &limits.request(), &limits, files).unwrap_err();
        assert!(e.to_string().starts_with("can not start \"/nonexistent/goodgate-media\": "), "{e}");
    }
}
