//! A recording that lies in several files: numbered pictures, chapters one after the other, tracks beside each other.

use crate::card::{frame_places, is_frame};
use crate::catalog::ClipRow;
use crate::clip::{AudioMetadata, ClipMetadata, FileFrames, Role};
use crate::relpath::RelPath;

/// Files of one clip that libav is asked for; a longer row than this is numbered pictures.
const MOST_PARTS: usize = 256;
/// Families whose several files show the same moment: two lenses, two halves of each frame.
const SIDE_BY_SIDE: [&str; 2] = ["insta360", "blackmagic"];

/// Makes `m`, which libav said of the first file, what is true of the whole clip. `probe` asks libav for another file.
pub(super) fn join(m: &mut ClipMetadata, clip: &ClipRow, probe: impl Fn(&RelPath) -> Option<ClipMetadata>) {
    let of = |role| clip.files.iter().filter(move |(_, r)| *r == role).map(|(p, _)| p);
    let Some(first) = of(Role::Essence).next() else { return };
    let more: Vec<&RelPath> = of(Role::Essence).skip(1).take(MOST_PARTS).collect();
    if is_frame(first) {
        if m.video.is_some() {
            m.duration_frames = Some(frame_places(&of(Role::Essence).collect::<Vec<_>>()).1);
        }
    } else if m.video.is_some() {
        if in_a_row(clip) {
            for part in more {
                append(m, part, probe(part));
            }
        }
    } else if !more.is_empty() {
        m.audio.iter_mut().for_each(|a| a.file = Some(first.clone()));
        for part in more {
            beside(m, part, probe(part));
        }
    }
    for sound in of(Role::Audio).take(MOST_PARTS) {
        let tracks = probe(sound).map(|s| s.audio).unwrap_or_default();
        m.audio.extend(tracks.into_iter().map(|a| AudioMetadata { file: Some(sound.clone()), ..a }));
    }
}

/// Its files follow each other in time.
pub(super) fn in_a_row(clip: &ClipRow) -> bool {
    !SIDE_BY_SIDE.contains(&clip.layout.as_str())
}

/// The next part in time. A length that is not known makes the whole one unknown.
fn append(m: &mut ClipMetadata, file: &RelPath, next: Option<ClipMetadata>) {
    let next = next.unwrap_or_default();
    if let Some(before) = m.duration_frames {
        let placed = |f: FileFrames| FileFrames { file: Some(file.clone()), before, ..f };
        m.frames.extend(next.frames.into_iter().map(placed));
    }
    let sum = |a: Option<u64>, b: Option<u64>| a?.checked_add(b?);
    m.duration_frames = sum(m.duration_frames, next.duration_frames);
    m.duration_ms = sum(m.duration_ms, next.duration_ms);
}

/// Another file of the same take: more tracks of the same time, or, where it begins later, its next part.
fn beside(m: &mut ClipMetadata, file: &RelPath, other: Option<ClipMetadata>) {
    let Some(other) = other else { return };
    if other.time_reference.is_some() && other.time_reference > m.time_reference {
        return append(m, file, Some(other));
    }
    m.duration_ms = m.duration_ms.max(other.duration_ms);
    m.audio.extend(other.audio.into_iter().map(|a| AudioMetadata { file: Some(file.clone()), ..a }));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clip::{CardId, ClipId, MediaState, VideoMetadata};
    use uuid::Uuid;

    fn clip(layout: &str, files: &[(&str, Role)]) -> ClipRow {
        ClipRow {
            id: ClipId(Uuid::nil()),
            card: CardId(Uuid::nil()),
            name: "A".into(),
            files: files.iter().map(|(p, r)| (RelPath::new(p).unwrap(), *r)).collect(),
            layout: layout.into(),
            said: Vec::new(),
            media: MediaState::Pending,
            media_note: None,
        }
    }

    fn picture(frames: u64) -> ClipMetadata {
        let video = Some(VideoMetadata::default());
        ClipMetadata { video, duration_frames: Some(frames), duration_ms: Some(frames * 40), ..ClipMetadata::default() }
    }

    fn sound(start: u64, ms: u64) -> ClipMetadata {
        let track = AudioMetadata { channels: 1, ..AudioMetadata::default() };
        ClipMetadata {
            audio: vec![track],
            time_reference: Some(start),
            duration_ms: Some(ms),
            ..ClipMetadata::default()
        }
    }

    #[test]
    fn chapters_add_up_and_lenses_do_not() {
        let files = [("a.mp4", Role::Essence), ("b.mp4", Role::Essence), ("c.mp4", Role::Essence)];
        for (layout, frames) in [("gopro", 30), ("insta360", 10)] {
            let mut m = picture(10);
            join(&mut m, &clip(layout, &files), |_| Some(picture(10)));
            assert_eq!((m.duration_frames, m.duration_ms), (Some(frames), Some(frames * 40)), "{layout}");
        }
        let mut m = picture(10);
        join(&mut m, &clip("gopro", &files), |p| (p.name() != b"c.mp4").then(|| picture(10)));
        assert_eq!(m.duration_frames, None, "a part that cannot be read leaves the length open");
    }

    #[test]
    fn numbered_pictures_are_counted_and_never_opened_one_by_one() {
        let mut m = picture(1);
        let files = [("a.1.exr", Role::Essence), ("a.2.exr", Role::Essence), ("a.wav", Role::Audio)];
        join(&mut m, &clip("generic", &files), |p| {
            assert_eq!(p.name(), b"a.wav");
            Some(sound(0, 80))
        });
        assert_eq!((m.duration_frames, m.audio.len()), (Some(2), 1));
    }

    #[test]
    fn tracks_of_one_take_stand_beside_each_other_and_later_files_follow() {
        let mut m = sound(1000, 500);
        let files = ["T_Tr1.WAV", "T_Tr2.WAV", "T_Tr1_2.WAV"].map(|p| (p, Role::Essence));
        join(&mut m, &clip("zoom", &files), |p| match p.name() {
            b"T_Tr2.WAV" => Some(sound(1000, 510)),
            _ => Some(sound(25_000, 300)),
        });
        assert_eq!((m.duration_ms, m.audio.len()), (Some(810), 2));
        assert_eq!(m.audio[1].file, Some(RelPath::new("T_Tr2.WAV").unwrap()));
    }
}
