//! The encoder of each preset, and what the pictures are made into before it.

use crate::input::dictionary;
use crate::movie::Picture;
use crate::scale::{fit, is_rgb};
use ffmpeg_next::{Error, codec, color, encoder, ffi, format::Pixel, frame};
use goodgate::preset::{Preset, relink, web};

fn pixels(preset: Preset) -> (Pixel, &'static str) {
    match preset {
        Preset::ProresProxy => (Pixel::YUV422P10LE, "yuv422p10le"),
        Preset::DnxhrLb => (Pixel::YUV422P, "yuv422p"),
        Preset::H264Intra | Preset::Web => (Pixel::YUV420P, "yuv420p"),
    }
}

/// DNxHR can only say BT.709 and BT.2020: another matrix must become one of them, or its colours would be read wrongly.
pub fn converted(preset: Preset, frame: &frame::Video) -> bool {
    let other = [color::Space::BT470BG, color::Space::SMPTE170M, color::Space::SMPTE240M, color::Space::FCC];
    preset == Preset::DnxhrLb && other.contains(&frame.color_space())
}

/// The filters for a picture like `frame`.
pub fn filters(preset: Preset, frame: &frame::Video) -> String {
    let (pixel, format) = pixels(preset);
    let is_web = preset == Preset::Web;
    let (w, h) = match is_web {
        true => fit(frame.width(), frame.height(), web::MAX_HEIGHT, frame.height()),
        false => relink::size(frame.width(), frame.height()),
    };
    let matrix = if is_rgb(frame.format()) || converted(preset, frame) { "out_color_matrix=bt709:" } else { "" };
    let fields = if is_web { "" } else { "interl=-1:" };
    // Pictures that are as they shall be would be gone through all the same, for the range alone.
    let as_is = (frame.width(), frame.height(), frame.format()) == (w, h, pixel)
        && frame.color_range() != color::Range::JPEG
        && matrix.is_empty();
    let scale = match as_is {
        true => String::new(),
        false => format!("scale={w}:{h}:flags=bicubic:{fields}{matrix}out_range=tv,"),
    };
    let aspect = frame.aspect_ratio();
    // Rounding to even sides would otherwise bend the shape of the pixels by a hair.
    let known = aspect.numerator() > 0 && !is_web;
    // Unless it is told so, it rounds to numbers up to 100.
    let aspect = if known { format!(",setsar={aspect}:max={}", i32::MAX) } else { String::new() };
    format!("{scale}format={format}{aspect}")
}

/// An encoder for pictures like `first`, which has been through the filters.
pub fn open(preset: Preset, first: &frame::Video, picture: &Picture) -> Result<encoder::video::Encoder, Error> {
    let name = match preset {
        Preset::ProresProxy => "prores_ks",
        Preset::DnxhrLb => "dnxhd",
        Preset::H264Intra | Preset::Web => "libx264",
    };
    let codec = encoder::find_by_name(name).ok_or(Error::EncoderNotFound)?;
    let mut video = codec::Context::new_with_codec(codec).encoder().video()?;
    video.set_width(first.width());
    video.set_height(first.height());
    video.set_aspect_ratio(first.aspect_ratio());
    video.set_format(pixels(preset).0);
    video.set_time_base(picture.time_base);
    video.set_frame_rate(Some(picture.rate));
    video.set_max_b_frames(0);
    // The clip's own tags: log footage stamped as bt709 would be a lie.
    video.set_color_range(if preset == Preset::Web { color::Range::MPEG } else { first.color_range() });
    video.set_colorspace(match first.color_space() {
        color::Space::RGB => color::Space::BT709,
        own => own,
    });
    video.set_color_primaries(first.color_primaries());
    video.set_color_transfer_characteristic(first.color_transfer_characteristic());
    let mut flags = codec::Flags::empty();
    let threads = picture.threads.to_string();
    let mut options = vec![("threads", threads.as_str())];
    match preset {
        Preset::Web => {
            video.set_gop(web::GOP_FRAMES);
            options.extend([("preset", web::SPEED), ("crf", web::CRF)]);
            flags |= codec::Flags::GLOBAL_HEADER;
        }
        Preset::H264Intra => {
            video.set_gop(1);
            options.extend([("preset", relink::H264_SPEED), ("crf", relink::H264_CRF)]);
            flags |= codec::Flags::GLOBAL_HEADER;
        }
        Preset::ProresProxy => {
            video.set_global_quality(relink::PRORES_QSCALE * ffi::FF_QP2LAMBDA);
            options.extend([("profile", "proxy"), ("vendor", "apl0")]);
            flags |= codec::Flags::QSCALE;
        }
        Preset::DnxhrLb => options.push(("profile", "dnxhr_lb")),
    }
    // DNxHR knows whole pictures only, and no container says it of them.
    if matches!(preset, Preset::ProresProxy | Preset::H264Intra) && first.is_interlaced() {
        flags |= codec::Flags::INTERLACED_DCT;
        if preset == Preset::H264Intra && !first.is_top_first() {
            // It begins with the upper field unless it is told so before the first picture.
            options.push(("x264-params", "bff=1"));
        }
        let order = match first.is_top_first() {
            true => ffi::AVFieldOrder::AV_FIELD_TT,
            false => ffi::AVFieldOrder::AV_FIELD_BB,
        };
        // SAFETY: the context is ours and not yet open.
        unsafe { (*video.as_mut_ptr()).field_order = order };
    }
    video.set_flags(flags);
    video.open_as_with(codec, dictionary(&options))
}
