//! **Owns** the parent side of `goodgate-media`: starting it, bounding it, killing it, and naming how it died.
//! **Never** reads media itself, loads libav, or lets what the child says be more than metadata of one clip.
//! **Flow** an open clip -> child (request as argument, reply on a pipe) -> `Probe`, or files in a temporary folder.
//! **Tests** wire and rules beside the code; the child on real clips in `tests/all/media.rs`.

mod child;
mod describe;
pub mod protocol;
mod said;

use crate::clip::{ClipMetadata, MediaState};
use crate::preset::Output;
use crate::timecode::Timecode;
use protocol::{About, Body, Kind, Outcome, Request};
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The child could not do its work for any clip: a matter of the installation, not of the media.
#[derive(Debug, thiserror::Error)]
pub enum MediaError {
    #[error("can not start \"{tool}\": {cause}", tool = .tool.display())]
    Start { tool: PathBuf, cause: io::Error },
    #[error("\"{tool}\" refuses to read media: {reason}", tool = .tool.display())]
    Refused { tool: PathBuf, reason: String },
    #[error("the sandbox of \"{tool}\" lets it {act}", tool = .tool.display())]
    Leaks { tool: PathBuf, act: &'static str },
    #[error("can not make \"{path}\": {cause}", path = .path.display())]
    Output { path: PathBuf, cause: io::Error },
    #[error("stopped; the same command continues")]
    Stopped,
}

/// What a child that makes proxies may do now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gate {
    Go,
    /// Others need the disk: it is held until they are done.
    Wait,
    /// It is killed, and nothing of it stays.
    Stop,
}

/// The child program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tool {
    pub path: PathBuf,
}

impl Tool {
    /// Beside the running program, else `GOODGATE_MEDIA`, else whatever `PATH` has.
    pub fn find() -> Tool {
        let name = "goodgate-media";
        let beside = std::env::current_exe().ok().map(|exe| exe.with_file_name(name)).filter(|p| p.is_file());
        let named = || std::env::var_os("GOODGATE_MEDIA").filter(|v| !v.is_empty()).map(PathBuf::from);
        let in_path = || std::env::split_paths(&std::env::var_os("PATH")?).map(|d| d.join(name)).find(|p| p.is_file());
        Tool { path: beside.or_else(named).or_else(in_path).unwrap_or_else(|| name.into()) }
    }

    /// What the child is made of, and what holds it on this kernel.
    pub fn about(&self) -> Result<About, MediaError> {
        child::about(self)
    }

    /// Has the child try what its sandbox must stop. An error names the first thing that was possible.
    pub fn check(&self) -> Result<(), MediaError> {
        let acts = [("open", "open files"), ("socket", "reach the network"), ("exec", "start programs")];
        for (act, words) in acts {
            if child::selftest(self, act)? {
                return Err(MediaError::Leaks { tool: self.path.clone(), act: words });
            }
        }
        Ok(())
    }
}

/// What one child may use. Going over any of them costs that clip's result, nothing else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    pub wall: Duration,
    pub cpu_secs: u64,
    /// Address space.
    pub memory_bytes: u64,
    /// Of each output file.
    pub output_bytes: u64,
    /// Of one frame.
    pub max_pixels: u64,
    pub max_frames: u64,
    pub threads: u16,
    /// Run where neither Landlock nor seccomp exists.
    pub allow_unconfined: bool,
}

impl Limits {
    pub fn for_probe() -> Self {
        Limits {
            wall: Duration::from_secs(30),
            cpu_secs: 10,
            memory_bytes: 1 << 30,
            output_bytes: 0,
            max_pixels: 1 << 27,
            max_frames: 0,
            threads: 1,
            allow_unconfined: false,
        }
    }

    /// Ten minutes, and thirty times the clip's own length.
    pub fn for_derive(duration_ms: Option<u64>) -> Self {
        let length = duration_ms.unwrap_or(0).min(24 * 3_600_000) / 1000;
        let secs = 600 + length * 30;
        let threads = std::thread::available_parallelism().map_or(1, |n| n.get()).min(4) as u16;
        Limits {
            wall: Duration::from_secs(secs),
            cpu_secs: secs * u64::from(threads),
            memory_bytes: 4 << 30,
            // A relink proxy of many small cells has some 25 MB a second at most.
            output_bytes: (8 << 30) + length * 50_000_000,
            max_frames: 24 * 3600 * 120,
            threads,
            ..Self::for_probe()
        }
    }

    fn request(&self) -> Request {
        Request {
            version: protocol::VERSION,
            outputs: Vec::new(),
            start_tc: None,
            reel: None,
            clip: String::new(),
            sprite: String::new(),
            memory_bytes: self.memory_bytes,
            cpu_secs: self.cpu_secs,
            output_bytes: self.output_bytes,
            max_pixels: self.max_pixels,
            max_frames: self.max_frames,
            threads: self.threads,
            allow_unconfined: self.allow_unconfined,
        }
    }
}

/// What is known of a clip's media. Reasons are for the person at the cart.
#[derive(Clone, Debug, PartialEq)]
pub enum Probe {
    Ok(Box<ClipMetadata>),
    Unsupported(String),
    Failed(String),
    /// Its container is known and no picture or sound comes out of it: `state` is `Unsupported` or `Failed`.
    Dark {
        metadata: Box<ClipMetadata>,
        state: MediaState,
        why: String,
    },
}

/// Reads the metadata of an open clip. However the child ends, that is an answer about the clip.
pub fn probe(tool: &Tool, clip: File, limits: &Limits) -> Result<Probe, MediaError> {
    let (body, log) = match child::run(
        tool,
        "probe",
        &limits.request(),
        limits,
        child::Files { clip, outputs: Vec::new(), gate: &|| Gate::Go },
    )? {
        Ok(answer) => answer,
        Err(reason) => return Ok(Probe::Failed(reason)),
    };
    let facts = match body {
        Body::Facts(facts) => *facts,
        Body::Unsupported(reason) => return Ok(Probe::Unsupported(reason)),
        Body::Failed(reason) => return Ok(Probe::Failed(with_log(reason, &log))),
        Body::Refused(reason) => return Err(MediaError::Refused { tool: tool.path.clone(), reason }),
        Body::Derived(_) | Body::About(_) => {
            return Ok(Probe::Failed("goodgate-media answered another question".into()));
        }
    };
    let of = |kind| facts.streams.iter().find(move |s| s.kind == kind && s.best);
    let Some(main) = of(Kind::Video).or(of(Kind::Audio)) else {
        return Ok(Probe::Unsupported("neither picture nor sound in it".into()));
    };
    if !main.has_decoder {
        let name = if main.fourcc.is_empty() { &main.codec } else { &main.fourcc };
        let why = format!("no decoder for \"{name}\" in this libav");
        return Ok(Probe::Dark { metadata: Box::new(describe::describe(facts)), state: MediaState::Unsupported, why });
    }
    if main.kind == Kind::Video && (main.width <= 0 || main.height <= 0) {
        let (container, codec) = (&facts.format, &main.codec);
        let why = with_log(format!("libav can not tell the size of its picture, {codec} in {container}"), &log);
        return Ok(Probe::Dark { metadata: Box::new(describe::describe(facts)), state: MediaState::Unsupported, why });
    }
    if !main.readable {
        let why = "no frames: the file ends before its first one".to_owned();
        return Ok(Probe::Dark { metadata: Box::new(describe::describe(facts)), state: MediaState::Failed, why });
    }
    Ok(Probe::Ok(Box::new(describe::describe(facts))))
}

/// What to make from a clip.
pub struct DeriveRequest<'a> {
    /// A proven copy, open for reading.
    pub clip: File,
    /// An existing temporary folder of ours; each output appears there as `NAME.EXTENSION`.
    pub out_dir: &'a Path,
    pub outputs: &'a [Output],
    pub start_tc: Option<Timecode>,
    pub reel: Option<&'a str>,
    /// The clip's name.
    pub name: &'a str,
    /// The name that the filmstrip's file will have, for its index.
    pub sprite: &'a [u8],
    /// Asked about four times a second.
    pub gate: &'a (dyn Fn() -> Gate + Sync),
}

/// How one output went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Derivation {
    /// Written, read back and synced. `frames` are pictures, 0 in sound alone; `note` says what of the clip is not
    /// in it.
    Done {
        path: PathBuf,
        frames: u64,
        note: Option<String>,
    },
    Unsupported(String),
    Failed(String),
}

/// Makes a clip's outputs in `out_dir`; the caller moves them. One answer for each, in order; an output that failed
/// leaves no file and costs no other one.
pub fn derive(tool: &Tool, want: DeriveRequest<'_>, limits: &Limits) -> Result<Vec<Derivation>, MediaError> {
    let path = |o: &Output| want.out_dir.join(format!("{}.{}", o.name(), o.extension()));
    let pending: Vec<Pending> = want.outputs.iter().map(|o| Pending::make(path(o))).collect::<Result<_, _>>()?;
    let request = Request {
        outputs: want.outputs.to_vec(),
        start_tc: want.start_tc.map(|tc| (tc.to_string(), tc.rate.num(), tc.rate.den())),
        reel: want.reel.map(protocol::clean),
        clip: protocol::clean(want.name),
        sprite: address(want.sprite),
        ..limits.request()
    };
    let numbered = pending.iter().zip(protocol::FIRST_OUTPUT_FD..);
    let outputs = numbered.map(|(p, fd)| Ok((p.duplicate()?, fd))).collect::<Result<_, MediaError>>()?;
    let files = child::Files { clip: want.clip, outputs, gate: want.gate };
    let answer = child::run(tool, "derive", &request, limits, files)?;
    let (answer, log) = answer.unwrap_or_else(|reason| (Body::Failed(reason), String::new()));
    let all = |why: Outcome| vec![why; pending.len()];
    let outcomes = match answer {
        Body::Derived(outcomes) => outcomes,
        Body::Unsupported(reason) => all(Outcome::Unsupported(reason)),
        Body::Failed(reason) => all(Outcome::Failed(reason)),
        Body::Refused(reason) => return Err(MediaError::Refused { tool: tool.path.clone(), reason }),
        Body::Facts(_) | Body::About(_) => all(Outcome::Failed("goodgate-media answered another question".into())),
    };
    let mut outcomes = outcomes.into_iter();
    Ok(pending.into_iter().map(|p| p.settle(outcomes.next(), &log)).collect())
}

/// A file name as part of an address.
fn address(name: &[u8]) -> String {
    let plain = |b: &u8| b.is_ascii_alphanumeric() || b"-_.~".contains(b);
    name.iter().map(|b| if plain(b) { char::from(*b).to_string() } else { format!("%{b:02X}") }).collect()
}

fn with_log(reason: String, log: &str) -> String {
    if log.is_empty() { reason } else { format!("{reason} (libav: {log})") }
}

/// An output that is removed again unless it is kept.
struct Pending {
    path: PathBuf,
    file: File,
    keep: bool,
}

impl Pending {
    fn make(path: PathBuf) -> Result<Self, MediaError> {
        let mut how = File::options();
        // Readable: the child moves the index to the front, and reads the proxy back.
        let opened = how.read(true).write(true).create_new(true).open(&path);
        match opened {
            Ok(file) => Ok(Pending { path, file, keep: false }),
            Err(cause) => Err(MediaError::Output { path, cause }),
        }
    }

    fn duplicate(&self) -> Result<File, MediaError> {
        self.file.try_clone().map_err(|cause| MediaError::Output { path: self.path.clone(), cause })
    }

    fn settle(mut self, outcome: Option<Outcome>, log: &str) -> Derivation {
        match outcome {
            Some(Outcome::Done { frames, note }) => {
                if let Err(cause) = self.file.sync_all() {
                    return Derivation::Failed(format!("can not be written: {cause}"));
                }
                if self.file.metadata().map_or(0, |m| m.len()) == 0 {
                    return Derivation::Failed("goodgate-media said done and wrote nothing".into());
                }
                self.keep = true;
                Derivation::Done { path: self.path.clone(), frames, note }
            }
            Some(Outcome::Unsupported(reason)) => Derivation::Unsupported(reason),
            Some(Outcome::Failed(reason)) => Derivation::Failed(with_log(reason, log)),
            None => Derivation::Failed("goodgate-media made none".into()),
        }
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        if !self.keep {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}
