//! Poster and filmstrip without reading the whole clip: from one place to the next, and of each only the picture that
//! needs no other. So a whole card can be looked at long before its proxies are made.

use crate::derive::Clip;
use crate::input::next_packet;
use crate::lane::Item;
use crate::lanes::Lanes;
use crate::pass::Seen;
use crate::scale::rescale;
use ffmpeg_next::format::context::Input;
use ffmpeg_next::{Packet, ffi, frame};
use goodgate::preset::{Output, filmstrip, poster};

/// Shorter clips are soon decoded whole, and may have a single picture that needs no other.
const FEWEST_FRAMES: u64 = 250;
/// Packets of a place that are looked through for the picture.
const MOST_PACKETS: usize = 400;

/// Whether that is all that is wanted, of a clip in which places can be found.
pub fn is_enough(clip: &Clip, outputs: &[Output]) -> bool {
    let small = |o: &Output| matches!(o, Output::Poster | Output::Filmstrip | Output::FilmstripIndex);
    let length = clip.picture.as_ref().map_or(0, |(_, _, clock)| clock.expected());
    clip.in_one && !clip.still && length >= FEWEST_FRAMES && outputs.iter().all(small)
}

/// Frames worth a look, in their order.
fn places(frames: u64, outputs: &[Output]) -> Vec<u64> {
    if outputs.iter().all(|o| *o == Output::Poster) {
        return vec![frames.saturating_mul(poster::AT_PERCENT) / 100];
    }
    let step = (frames / filmstrip::TILES).max(1);
    (0..).map_while(|n: u64| n.checked_mul(step)).take_while(|at| *at < frames).take(filmstrip::MAX_TILES).collect()
}

/// `None`: no place could be found in it; it is at its start again.
pub fn run(input: &mut Input, clip: &mut Clip, lanes: &Lanes, outputs: &[Output]) -> Option<Seen> {
    let (index, _, clock) = clip.picture.as_ref()?;
    let (index, frames, start, from, rate) = (*index, clock.expected(), clock.start(), clock.from(), clock.rate());
    let mut seen = Seen::default();
    // SAFETY: the context is alive, and the stream is one of its own.
    let go = |input: &mut Input, at| unsafe {
        ffi::av_seek_frame(input.as_mut_ptr(), index as i32, at, ffi::AVSEEK_FLAG_BACKWARD) >= 0
    };
    let mut last = None;
    for place in places(frames, outputs) {
        let at = start.saturating_add(rescale(place.try_into().unwrap_or(i64::MAX), rate.invert(), from));
        // Not behind the last picture of a clip that is shorter than it says.
        if !go(input, at) {
            continue;
        }
        let Some(key) = key(input, index) else { continue };
        let time = key.pts().or(key.dts());
        if time.is_some() && time == last {
            continue;
        }
        last = time;
        seen.packets += 1;
        if let Some(frame) = alone(clip, &key) {
            seen.frames += 1;
            if let Some(into) = &lanes.picture {
                let _ = into.send(Item::Picture(frame));
            }
        }
    }
    if seen.frames > 0 {
        return Some(seen);
    }
    go(input, start);
    if let Some((_, decoder, _)) = &mut clip.picture {
        decoder.flush();
    }
    None
}

fn key(input: &mut Input, index: usize) -> Option<Packet> {
    (0..MOST_PACKETS).map_while(|_| next_packet(input)).find(|p| p.stream() == index && p.is_key())
}

/// The picture of one packet, with its time.
fn alone(clip: &mut Clip, key: &Packet) -> Option<frame::Video> {
    let (_, decoder, clock) = clip.picture.as_mut()?;
    decoder.flush();
    decoder.send_packet(key).ok()?;
    decoder.send_eof().ok()?;
    let mut frame = frame::Video::empty();
    decoder.receive_frame(&mut frame).ok()?;
    decoder.flush();
    let at = clock.exact(frame.timestamp().or(key.pts()))?;
    frame.set_pts(Some(at));
    clip.reshape(&mut frame);
    Some(frame)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_clip_is_looked_at_in_so_many_places_and_a_short_one_everywhere() {
        let all = [Output::Poster, Output::Filmstrip, Output::FilmstripIndex];
        assert_eq!(places(5, &all), [0, 1, 2, 3, 4]);
        assert_eq!(places(150, &all).len(), 75);
        assert!(places(u64::MAX, &all).len() <= filmstrip::MAX_TILES);
        assert_eq!(places(1000, &[Output::Poster]), [100]);
    }
}
