//! goodgate's child program and the only one that loads libav. It holds hostile media in its memory, so it knows
//! nothing else: descriptors instead of paths, no environment, no network, and before the first byte of media it
//! gives up every right it could misuse (`confine.rs`). It dies easily; its parent names the death and goes on.
//!
//! `probe REQUEST` and `derive REQUEST` read the clip on descriptor 0 (and LUTs and its further files behind the outputs) and answer
//! on descriptor 1 (`goodgate::media::protocol`). `selftest ACT` tries what must be impossible.

mod burn;
mod check;
mod clock;
mod confine;
mod derive;
mod encode;
mod facts;
mod file_io;
mod finish;
mod glance;
mod input;
mod lane;
mod lanes;
mod levels;
mod look;
mod matrix;
mod movie;
mod mux;
mod mxf;
mod pass;
mod pictures;
mod poster;
mod qc;
mod reel;
mod scale;
mod selftest;
mod sound;

use goodgate::media::protocol::{
    About, Body, FIRST_OUTPUT_FD, MAX_LUTS, MAX_MORE, MAX_OUTPUTS, Reply, Request, VERSION,
};
use std::fs::File;
use std::io::Write;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use std::process::ExitCode;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match args[..] {
        ["probe" | "derive", request] => match serde_json::from_str::<Request>(request) {
            Ok(request) if request.outputs.len() > MAX_OUTPUTS => usage("too many outputs"),
            Ok(request) if request.luts.len() > MAX_LUTS => usage("too many LUTs"),
            Ok(request) if usize::from(request.more) > MAX_MORE => usage("too many files"),
            Ok(request) if request.version == VERSION => answer(args[0], &request),
            Ok(request) => usage(&format!("a request of version {}: another goodgate", request.version)),
            Err(e) => usage(&format!("the request can not be read: {e}")),
        },
        ["about"] => send(Body::About(about())),
        ["selftest", act] => selftest::run(act, true),
        ["selftest", "--unconfined", act] => selftest::run(act, false),
        _ => usage("usage: goodgate-media probe|derive REQUEST < CLIP; goodgate starts it"),
    }
}

fn usage(text: &str) -> ExitCode {
    eprintln!("{text}");
    ExitCode::from(2)
}

fn answer(verb: &str, request: &Request) -> ExitCode {
    let clip = match std::io::stdin().as_fd().try_clone_to_owned() {
        Ok(fd) => File::from(fd),
        Err(e) => return usage(&format!("no clip on descriptor 0: {e}")),
    };
    let mut fds = FIRST_OUTPUT_FD..;
    let outputs: Vec<File> = fds.by_ref().take(request.outputs.len()).map(inherited).collect();
    let luts: Vec<File> = fds.by_ref().take(request.luts.len()).map(inherited).collect();
    let more: Vec<File> = fds.take(request.more.into()).map(inherited).collect();
    // Without it libav's errors have no words.
    ffmpeg_next::util::error::register_all();
    // Warnings would drown the one line that says why a clip can not be read.
    ffmpeg_next::log::set_level(ffmpeg_next::log::Level::Error);
    let ours = FIRST_OUTPUT_FD as u32 + (outputs.len() + luts.len() + more.len()) as u32;
    let clip_fd = u32::try_from(clip.as_raw_fd()).ok();
    if verb == "derive" {
        confine::give_way();
    }
    let rights = confine::confine(request.memory_bytes, request.cpu_secs, request.output_bytes, ours, clip_fd);
    let body = if !rights.any() && !request.allow_unconfined {
        Body::Refused("this kernel offers neither Landlock nor seccomp".into())
    } else if verb == "probe" {
        facts::probe(clip, request)
    } else {
        derive::derive(clip, request, outputs, luts, more)
    };
    send(body)
}

/// Everything that outputs need and that a libav may be built without.
const ENCODERS: [&str; 7] = ["prores_ks", "dnxhd", "libx264", "mjpeg", "aac", "pcm_s16le", "pcm_s24le"];
const FILTERS: [&str; 12] = [
    "scale",
    "format",
    "setsar",
    "transpose",
    "hflip",
    "vflip",
    "yadif",
    "aresample",
    "aformat",
    "apad",
    "pan",
    "ebur128",
];

fn about() -> About {
    let encoders = ENCODERS.iter().filter(|name| ffmpeg_next::encoder::find_by_name(name).is_none());
    let filters = FILTERS.iter().filter(|name| ffmpeg_next::filter::find(name).is_none());
    let lacking = encoders.chain(filters).map(|name| (*name).to_owned()).collect();
    // SAFETY: a static C string.
    let libav = unsafe { std::ffi::CStr::from_ptr(ffmpeg_next::ffi::av_version_info()) };
    let rights = confine::confine(1 << 30, 10, 0, 3, None);
    About { libav: libav.to_string_lossy().into_owned(), lacking, landlock: rights.landlock, seccomp: rights.seccomp }
}

fn send(body: Body) -> ExitCode {
    let sent = std::io::stdout().write_all(&Reply::new(body).to_bytes());
    // Not by returning: destructors of C libraries have nothing to give and much to crash on.
    std::process::exit(if sent.is_ok() { 0 } else { 1 })
}

/// A descriptor that the request says our parent opened for us.
fn inherited(fd: i32) -> File {
    // SAFETY: called once for each number, before anything else could have opened it; a number that is not open
    // makes every write fail, which is the parent's mistake to see.
    File::from(unsafe { OwnedFd::from_raw_fd(fd) })
}
