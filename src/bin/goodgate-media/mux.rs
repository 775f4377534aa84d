//! A proxy's container: its head, with everything that lets an editing program put it in the original's place.

use crate::file_io::{FileIo, Shared};
use crate::input::{dictionary, refuse};
use crate::movie::Picture;
use crate::sound::Voice;
use ffmpeg_next::format::context::{Output, StreamIo};
use ffmpeg_next::{Dictionary, Error, Packet, Rational, encoder, ffi};
use goodgate::preset::{Container, Preset, Recipe};
use std::ffi::{c_char, c_int};
use std::sync::{Arc, OnceLock};

/// Opens the container and writes its head. Streams: the picture, if there is one, then each voice.
pub fn begin(
    file: &Arc<Shared>,
    recipe: Recipe,
    video: Option<(&Picture, &encoder::video::Encoder)>,
    voices: &[Voice],
) -> Result<Output, Error> {
    let io = StreamIo::from_write_seek(FileIo::new(file.clone()))?;
    let mut mux = ffmpeg_next::format::output_to_stream(io, None, Some(recipe.container.name()))?;
    if recipe.preset == Preset::Web {
        let _ = WEB.set(file.clone());
    }
    // SAFETY: the context is ours and alive; both functions keep libav's contract (see there).
    unsafe {
        (*mux.as_mut_ptr()).io_open = Some(if recipe.preset == Preset::Web { reopen } else { refuse });
        (*mux.as_mut_ptr()).io_close2 = Some(leave);
    }
    if let Some((p, video)) = video {
        let mut stream = mux.add_stream_with(video)?;
        stream.set_time_base(p.time_base);
        stream.set_avg_frame_rate(p.rate);
        stream.set_rate(p.rate);
        let mut tags = Dictionary::new();
        if let Some(tc) = &p.start_tc {
            tags.set("timecode", tc);
        }
        if let Some(reel) = p.reel.as_ref().filter(|_| recipe.container == Container::Mov) {
            tags.set("reel_name", reel);
        }
        stream.set_metadata(tags);
        if let Some(display) = p.display.filter(|_| recipe.container != Container::Mxf) {
            // SAFETY: the stream is alive; libav gives 36 bytes that are its own to free.
            unsafe { turn(stream.as_mut_ptr(), display) };
        }
        // SAFETY: as above. Some muxers look here and not at the encoder.
        unsafe { (*stream.as_mut_ptr()).sample_aspect_ratio = (*(*stream.as_ptr()).codecpar).sample_aspect_ratio };
        mux.set_metadata(names(recipe, p));
    }
    for voice in voices {
        mux.add_stream_with(&voice.encoder)?.set_time_base(voice.time_base());
    }
    mux.write_header_with(match recipe.container {
        Container::Mp4 => dictionary(&[("movflags", "+faststart")]),
        Container::Mov => dictionary(&[("use_editlist", "0")]),
        Container::Mxf => Dictionary::new(),
    })?;
    Ok(mux)
}

/// What the container says of the whole clip.
fn names(recipe: Recipe, p: &Picture) -> Dictionary<'static> {
    let mut tags = Dictionary::new();
    let (reel, clip) = match recipe.container {
        Container::Mxf => (p.reel.as_ref(), "material_package_name"),
        Container::Mov => (None, "title"),
        Container::Mp4 => return tags,
    };
    if let Some(reel) = reel {
        tags.set("reel_name", reel);
    }
    if !p.clip.is_empty() {
        tags.set(clip, &p.clip);
    }
    tags
}

pub fn write(mux: &mut Output, packet: &mut Packet, index: usize, from: Rational) -> Result<(), String> {
    let Some(to) = mux.stream(index).map(|s| s.time_base()) else { return Ok(()) };
    packet.set_stream(index);
    packet.rescale_ts(from, to);
    packet.write_interleaved(mux).map_err(|e| format!("can not be written: {e}"))
}

/// # Safety
/// `stream` is a live stream of an output.
unsafe fn turn(stream: *mut ffi::AVStream, [a, b, c, d]: [i32; 4]) {
    let matrix = [a, b, 0, c, d, 0, 0, 0, 1 << 30];
    // SAFETY: the size is that of `matrix`; a null answer is checked.
    unsafe {
        let kind = ffi::AVPacketSideDataType::AV_PKT_DATA_DISPLAYMATRIX;
        let data = ffi::av_stream_new_side_data(stream, kind, size_of_val(&matrix));
        if !data.is_null() {
            data.cast::<[i32; 9]>().write_unaligned(matrix);
        }
    }
}

/// The file `reopen` gives; one web proxy a process.
static WEB: OnceLock<Arc<Shared>> = OnceLock::new();

/// MP4 moves its index to the front by reading its own output: the one thing it may open, and by no name.
unsafe extern "C" fn reopen(
    _: *mut ffi::AVFormatContext,
    io: *mut *mut ffi::AVIOContext,
    _: *const c_char,
    flags: c_int,
    _: *mut *mut ffi::AVDictionary,
) -> c_int {
    let read_only = flags & ffi::AVIO_FLAG_WRITE == 0;
    let own = WEB.get().filter(|_| read_only).and_then(|p| StreamIo::from_read_seek(FileIo::new(p.clone())).ok());
    match own {
        Some(mut own) => {
            // SAFETY: libav gives a place for the pointer. The context is left alive for the rest of this short
            // process, as `leave` can not know which kind it gets.
            unsafe { *io = own.as_mut_ptr() };
            std::mem::forget(own);
            0
        }
        None => ffi::AVERROR(libc::EACCES),
    }
}

unsafe extern "C" fn leave(_: *mut ffi::AVFormatContext, _: *mut ffi::AVIOContext) -> c_int {
    0
}
