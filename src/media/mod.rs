//! **Owns** the parent side of `goodgate-media`: starting it, bounding it, killing it, and naming how it died.
//! **Never** reads media itself, loads libav, or lets what the child says be more than metadata of one clip.
//! **Flow** open files, or numbered pictures opened one by one and written to a pipe (`Source`) -> child (request as
//! argument, reply on a pipe) -> `Probe`, or files in a temporary folder.
//! **Tests** wire and rules beside the code; the child on real clips in `tests/all/media.rs`.

mod child;
mod describe;
mod findings;
pub mod protocol;
mod said;
mod source;

use crate::clip::{ClipMetadata, MediaState};
use crate::preset::Output;
use crate::preset::look::{Cube, Finish};
use crate::timecode::Timecode;
pub use findings::{MAX_FINDINGS_BYTES, findings};
use protocol::{About, Body, Facts, Kind, LutShape, MAX_MORE, Outcome, Request};
pub use source::{Frames, Source};
use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
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
    #[error("can not hand over a LUT: {cause}")]
    Lut { cause: io::Error },
    #[error("stopped; the same command continues")]
    Stopped,
    /// By no limit of its own: that says nothing of the clip.
    #[error(
        "goodgate-media was killed from outside (SIGKILL), perhaps for want of memory; the same command tries again"
    )]
    Killed,
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
            source: protocol::Source::File,
            more: 0,
            whole: false,
            outputs: Vec::new(),
            finishes: Vec::new(),
            luts: Vec::new(),
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
    Ok(match look(tool, clip, false, limits)? {
        Ok((facts, log)) => judge(facts, &log),
        Err(answer) => answer,
    })
}

/// The same, and whether all of it can be read: how many pictures (of sound alone: packets) came out of the container,
/// the first and the last of them decoded, or what is wrong.
pub fn probe_whole(tool: &Tool, clip: File, limits: &Limits) -> Result<(Probe, Result<u64, String>), MediaError> {
    Ok(match look(tool, clip, true, limits)? {
        Ok((mut facts, log)) => {
            let whole = facts.whole.take().unwrap_or_else(|| Err("goodgate-media did not read all of it".into()));
            (judge(facts, &log), whole)
        }
        Err(answer) => (answer, Err("nothing of it can be read".into())),
    })
}

fn look(tool: &Tool, clip: File, whole: bool, limits: &Limits) -> Result<Result<(Facts, String), Probe>, MediaError> {
    let request = Request { whole, ..limits.request() };
    let files = child::Files { clip: source::First::File(clip), more: Vec::new(), gate: &|| Gate::Go };
    let (body, log) = match child::run(tool, "probe", &request, limits, files)? {
        Ok(answer) => answer,
        Err(reason) => return Ok(Err(Probe::Failed(reason))),
    };
    Ok(match body {
        Body::Facts(facts) => Ok((*facts, log)),
        Body::Unsupported(reason) => Err(Probe::Unsupported(reason)),
        Body::Failed(reason) => Err(Probe::Failed(with_log(reason, &log))),
        Body::Refused(reason) => return Err(MediaError::Refused { tool: tool.path.clone(), reason }),
        Body::Derived(_) | Body::About(_) => Err(Probe::Failed("goodgate-media answered another question".into())),
    })
}

fn judge(facts: Facts, log: &str) -> Probe {
    let of = |kind| facts.streams.iter().find(move |s| s.kind == kind && s.best);
    let Some(main) = of(Kind::Video).or(of(Kind::Audio)) else {
        return Probe::Unsupported("neither picture nor sound in it".into());
    };
    if !main.has_decoder {
        let name = if main.fourcc.is_empty() { &main.codec } else { &main.fourcc };
        let why = format!("goodgate decodes no \"{name}\"");
        return Probe::Dark { metadata: Box::new(describe::describe(facts)), state: MediaState::Unsupported, why };
    }
    if main.kind == Kind::Video && (main.width <= 0 || main.height <= 0) {
        let (container, codec) = (&facts.format, &main.codec);
        let why = with_log(format!("libav can not tell the size of its picture, {codec} in {container}"), log);
        return Probe::Dark { metadata: Box::new(describe::describe(facts)), state: MediaState::Unsupported, why };
    }
    if !main.readable {
        let why = "no frames: the file ends before its first one".to_owned();
        return Probe::Dark { metadata: Box::new(describe::describe(facts)), state: MediaState::Failed, why };
    }
    Probe::Ok(Box::new(describe::describe(facts)))
}

/// What to make from a clip.
pub struct DeriveRequest<'a> {
    pub clip: Source,
    /// Files of sound that go with it, in the order of their tracks.
    pub beside: Vec<File>,
    /// An existing temporary folder of ours; each output appears there as `NAME.EXTENSION`.
    pub out_dir: &'a Path,
    pub outputs: &'a [Output],
    /// What is done to the pictures of each; empty: nothing to any. A LUT is named by its place in `luts`.
    pub finishes: &'a [Option<Finish>],
    pub luts: &'a [Arc<Cube>],
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
    let (first, parts, source) = want.clip.split().ok_or_else(|| no_files(tool))?;
    let more: Vec<File> = parts.into_iter().chain(want.beside).collect();
    if more.len() > MAX_MORE {
        let why = format!("its recording lies in more than {} files", MAX_MORE + 1);
        return Ok(pending.into_iter().map(|p| p.settle(Some(Outcome::Unsupported(why.clone())), "")).collect());
    }
    let request = Request {
        source,
        more: more.len() as u16,
        outputs: want.outputs.to_vec(),
        finishes: want.finishes.to_vec(),
        luts: want.luts.iter().map(|l| LutShape { size: l.size, min: l.min, max: l.max }).collect(),
        start_tc: want.start_tc.map(|tc| (tc.to_string(), tc.rate.num(), tc.rate.den())),
        reel: want.reel.map(protocol::clean),
        clip: protocol::clean(want.name),
        sprite: address(want.sprite),
        ..limits.request()
    };
    let numbered = pending.iter().zip(protocol::FIRST_OUTPUT_FD..);
    let mut open = numbered.map(|(p, fd)| Ok((p.duplicate()?, fd))).collect::<Result<Vec<_>, MediaError>>()?;
    for lut in want.luts {
        let fd = protocol::FIRST_OUTPUT_FD + open.len() as i32;
        open.push((in_memory(lut).map_err(|cause| MediaError::Lut { cause })?, fd));
    }
    let behind = protocol::FIRST_OUTPUT_FD + open.len() as i32;
    open.extend(more.into_iter().zip(behind..));
    let files = child::Files { clip: first, more: open, gate: want.gate };
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

/// A LUT's values as the child reads them. It has read no text of others and opens no file: all of that is done here.
fn in_memory(lut: &Cube) -> io::Result<File> {
    let mut file = File::from(rustix::fs::memfd_create("lut", rustix::fs::MemfdFlags::CLOEXEC)?);
    let bytes: Vec<u8> = lut.values.iter().flatten().flat_map(|v| v.to_le_bytes()).collect();
    file.write_all(&bytes)?;
    io::Seek::rewind(&mut file)?;
    Ok(file)
}

fn no_files(tool: &Tool) -> MediaError {
    MediaError::Start { tool: tool.path.clone(), cause: io::Error::other("a clip without files") }
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
