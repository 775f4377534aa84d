//! `probe`: what libav says of a clip, uninterpreted.

use crate::check::read_through;
use crate::file_io::{FileIo, Shared};
use crate::input::{self, Refusal};
use ffmpeg_next::codec::packet::side_data;
use ffmpeg_next::format::context::Input;
use ffmpeg_next::{Rational, Stream as AvStream, ffi, media};
use goodgate::frames::{Builder, FrameMap};
use goodgate::media::protocol::{Body, Facts, Kind, MAX_STREAMS, MAX_TAGS, MAX_UNIT_BYTES, Request, Stream, clean};
use std::ffi::{CStr, c_char};
use std::fs::File;
use std::ptr::null_mut;

/// All tags together must fit the reply, each letter grown by JSON's escapes.
const MAX_TAG_BYTES: usize = 48 * 1024;
/// Packets read in search of a whole first one.
const FIRST_PACKETS: usize = 500;
/// Pictures looked into for what a camcorder says of them; it says it with every one.
const FIRST_UNITS: usize = 15;
/// The identifier before AVCHD's metadata; no start code can be in it, so that it stands in the stream as it is.
const MDPM: &[u8; 20] = b"\x17\xee\x8c\x60\xf8\x4d\x11\xd9\x8c\xd6\x08\x00\x20\x0c\x9a\x66MDPM";

pub fn probe(clip: File, request: &Request) -> Body {
    let clip = Shared::new(clip, 0);
    let mut input = match input::open(clip.clone(), request.max_pixels) {
        Ok(input) => input,
        Err(Refusal::Unsupported(why)) => return Body::Unsupported(why),
        Err(Refusal::Failed(why)) => return Body::Failed(why),
    };
    let best = [best(&input, media::Type::Video), best(&input, media::Type::Audio)];
    let mut budget = MAX_TAG_BYTES;
    // SAFETY: both pointers live as long as `input`.
    let (tags, duration) = unsafe { (tags((*input.as_ptr()).metadata, &mut budget), (*input.as_ptr()).duration) };
    let mut facts = Facts {
        format: input.format().name().to_owned(),
        duration_us: Some(duration).filter(|d| *d != ffi::AV_NOPTS_VALUE),
        tags,
        ..Facts::default()
    };
    for stream in input.streams().take(MAX_STREAMS) {
        let chosen = best.contains(&Some(stream.index()));
        facts.streams.push(describe(&stream, chosen, &mut budget));
    }
    let file_bytes = FileIo::new(clip.clone()).len().unwrap_or(0);
    facts.frames = best[0].and_then(|i| input.stream(i)).and_then(|s| indexed(&s, file_bytes));
    let wanted = best[0].or(best[1]);
    let avchd =
        facts.format == "mpegts" && best[0].and_then(|i| facts.streams.get(i)).is_some_and(|s| s.codec == "h264");
    let mut units = 0;
    for _ in 0..FIRST_PACKETS {
        let Some(packet) = input::next_packet(&mut input) else { break };
        if packet.size() > 0 {
            if let Some(s) = facts.streams.get_mut(packet.stream()) {
                s.readable = true;
            }
            if Some(packet.stream()) == wanted {
                units += 1;
                facts.first_unit = packet.data().filter(|_| avchd).and_then(told);
                if !avchd || facts.first_unit.is_some() || units >= FIRST_UNITS {
                    break;
                }
            }
        }
    }
    facts.whole = wanted.filter(|_| request.whole).map(|index| match input::open(clip, request.max_pixels) {
        Ok(mut input) => read_through(&mut input, index, request.max_pixels),
        Err(refused) => Err(refused.words()),
    });
    Body::Facts(Box::new(facts))
}

/// Where the container's index says that each picture lies; `None` where it has none of all of them.
fn indexed(stream: &AvStream<'_>, file_bytes: u64) -> Option<FrameMap> {
    // SAFETY: the stream is alive, its entries are asked for one by one and below their count.
    unsafe {
        let st = stream.as_ptr().cast_mut();
        let entries = ffi::avformat_index_get_entries_count(st);
        if (*st).nb_frames <= 0 || i64::from(entries) < (*st).nb_frames {
            return None;
        }
        let mut map = Builder::new(file_bytes);
        for n in 0..entries {
            let entry = ffi::avformat_index_get_entry(st, n).as_ref()?;
            let is = |flag: i32| entry.flags() & flag != 0;
            let (key, hidden) = (is(ffi::AVINDEX_KEYFRAME), is(ffi::AVINDEX_DISCARD_FRAME));
            map.add(entry.pos.try_into().ok()?, entry.size().try_into().unwrap_or(0), key, !hidden);
        }
        map.finish((*(*st).codecpar).video_delay.try_into().unwrap_or(0))
    }
}

/// The start of an access unit that holds MDPM; its parts are for the parent to read.
fn told(unit: &[u8]) -> Option<Vec<u8>> {
    let head = &unit[..unit.len().min(MAX_UNIT_BYTES)];
    head.windows(MDPM.len()).any(|w| w == MDPM).then(|| head.to_vec())
}

/// The stream a player would choose; a cover picture is none.
pub fn best(input: &Input, kind: media::Type) -> Option<usize> {
    let cover = ffmpeg_next::format::stream::Disposition::ATTACHED_PIC;
    let chosen = input.streams().best(kind)?;
    (!chosen.disposition().contains(cover)).then(|| chosen.index())
}

/// Upper left 2x2 of the display matrix.
pub fn display(stream: &AvStream<'_>) -> Option<[i32; 4]> {
    let data = stream.side_data().find(|d| d.kind() == side_data::Type::DisplayMatrix)?;
    let cell = |i: usize| Some(i32::from_ne_bytes(data.data().get(4 * i..4 * i + 4)?.try_into().ok()?));
    Some([cell(0)?, cell(1)?, cell(3)?, cell(4)?])
}

/// The shape of a pixel where the container says it, which goes before what the pictures say.
pub fn pixel_shape(stream: &AvStream<'_>) -> Option<Rational> {
    // SAFETY: the stream is alive.
    let said = Rational::from(unsafe { (*stream.as_ptr()).sample_aspect_ratio });
    (said.numerator() > 0 && said.denominator() > 0).then_some(said)
}

fn describe(stream: &AvStream<'_>, best: bool, budget: &mut usize) -> Stream {
    // SAFETY: a stream's parameters live as long as its input. The codes are read as plain numbers: a damaged file
    // may hold one that is no variant of the enum.
    unsafe {
        let (st, par) = (stream.as_ptr(), (*stream.as_ptr()).codecpar);
        let number = |code: *const i32| i64::from(code.read());
        let kind = match (*par).codec_type {
            ffi::AVMediaType::AVMEDIA_TYPE_VIDEO => Kind::Video,
            ffi::AVMediaType::AVMEDIA_TYPE_AUDIO => Kind::Audio,
            _ => Kind::Data,
        };
        let pixels = ffmpeg_next::codec::Context::from_parameters(stream.parameters()).ok();
        let pixels = pixels.filter(|_| kind == Kind::Video && (*par).format >= 0).map(|c| (*c.as_ptr()).pix_fmt);
        let shape = pixels.map(|p| ffi::av_pix_fmt_desc_get(p)).filter(|d| !d.is_null());
        Stream {
            kind,
            best,
            codec: text(ffi::avcodec_get_name((*par).codec_id)).unwrap_or_default(),
            fourcc: fourcc((*par).codec_tag),
            profile: text(ffi::avcodec_profile_name((*par).codec_id, (*par).profile)),
            readable: false,
            has_decoder: input::decoder((*par).codec_id.into()).is_some(),
            width: (*par).width.into(),
            height: (*par).height.into(),
            rate: pair((*st).r_frame_rate),
            average_rate: pair((*st).avg_frame_rate),
            time_base: pair((*st).time_base),
            duration: Some((*st).duration).filter(|d| *d != ffi::AV_NOPTS_VALUE),
            frames: (*st).nb_frames,
            pixel_format: pixels.and_then(|p| text(ffi::av_get_pix_fmt_name(p))),
            bit_depth: shape.map_or(0, |d| (*d).comp[0].depth.into()),
            pixel_aspect: pair(pixel_shape(stream).map_or((*par).sample_aspect_ratio, Into::into)),
            primaries: number((&raw const (*par).color_primaries).cast()),
            transfer: number((&raw const (*par).color_trc).cast()),
            matrix: number((&raw const (*par).color_space).cast()),
            range: number((&raw const (*par).color_range).cast()),
            display: display(stream),
            channels: (*par).ch_layout.nb_channels.into(),
            sample_rate_hz: (*par).sample_rate.into(),
            tags: tags((*st).metadata, budget),
        }
    }
}

fn pair(r: ffi::AVRational) -> (i32, i32) {
    (r.num, r.den)
}

fn fourcc(tag: u32) -> String {
    let bytes = tag.to_le_bytes();
    let printable = bytes.iter().all(|b| b.is_ascii_graphic() || *b == b' ');
    if printable { String::from_utf8_lossy(&bytes).trim().to_owned() } else { String::new() }
}

/// # Safety
/// `text` is null or a C string.
unsafe fn text(text: *const c_char) -> Option<String> {
    // SAFETY: as promised by the caller.
    (!text.is_null()).then(|| unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned())
}

/// Not through ffmpeg-next, which takes any bytes for UTF-8; what the media say need not be.
///
/// # Safety
/// `list` is null or a live dictionary.
unsafe fn tags(list: *const ffi::AVDictionary, budget: &mut usize) -> Vec<(String, String)> {
    let mut out = Vec::new();
    let mut entry = null_mut();
    while out.len() < MAX_TAGS {
        // SAFETY: an entry points to two C strings and stays valid while the dictionary is not changed.
        let pair = unsafe {
            entry = ffi::av_dict_get(list, c"".as_ptr(), entry, ffi::AV_DICT_IGNORE_SUFFIX);
            if entry.is_null() {
                break;
            }
            (CStr::from_ptr((*entry).key).to_string_lossy(), CStr::from_ptr((*entry).value).to_string_lossy())
        };
        let (key, value) = (clean(&pair.0), clean(&pair.1));
        // A long tag is left out, not the short ones after it.
        if let Some(rest) = budget.checked_sub(key.len() + value.len()) {
            *budget = rest;
            out.push((key, value));
        }
    }
    out
}
