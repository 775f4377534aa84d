//! A proxy is done when it was read back: opened anew, its frames counted, the first one decoded.

use crate::file_io::Shared;
use crate::input::{self, Refusal, decoder, decoder_options, next_packet};
use ffmpeg_next::{Error, codec, frame, media};
use std::sync::Arc;

/// `frames` is how many pictures were written, `None` for sound alone.
pub fn check(file: Arc<Shared>, frames: Option<u64>, max_pixels: u64) -> Result<(), String> {
    let say = |e: Error| format!("the proxy can not be read back: {e}");
    let mut input = input::open(file, max_pixels).map_err(|refusal| match refusal {
        Refusal::Unsupported(why) | Refusal::Failed(why) => format!("the proxy can not be read back: {why}"),
    })?;
    let kind = if frames.is_some() { media::Type::Video } else { media::Type::Audio };
    let stream = input.streams().best(kind).ok_or("the proxy has no stream that plays")?;
    let index = stream.index();
    let codec = decoder(stream.parameters().id()).ok_or("the proxy has no decoder")?;
    let context = codec::Context::from_parameters(stream.parameters()).map_err(say)?;
    let mut opened = context.decoder().open_as_with(codec, decoder_options(max_pixels)).map_err(say)?;
    let (mut seen, mut decoded) = (0, false);
    let mut frame = frame::Video::empty();
    while let Some(packet) = next_packet(&mut input) {
        if packet.stream() != index {
            continue;
        }
        seen += 1;
        if !decoded {
            opened.send_packet(&packet).map_err(say)?;
            decoded = opened.receive_frame(&mut frame).is_ok();
        }
    }
    if !decoded {
        opened.send_eof().map_err(say)?;
        decoded = opened.receive_frame(&mut frame).is_ok();
    }
    match frames {
        Some(written) if written != seen => Err(format!("{written} frames were written, {seen} read back")),
        _ if !decoded => Err("no frame of the proxy can be decoded".into()),
        _ => Ok(()),
    }
}
