//! Where a clip's frames lie in its files, and damage told by it.

use super::error::{CatalogError, Fault};
use super::{Catalog, int, parsed};
use crate::clip::{CardId, ClipId, FileFrames};
use crate::finding::Finding;
use crate::frames::{FrameMap, spell};
use crate::relpath::RelPath;
use crate::timecode::{FrameRate, Timecode};
use rusqlite::{Connection, OptionalExtension, params};

impl Catalog {
    /// Adds to a finding of a card's file whose clip it is and, where the frames of its blocks are known, their
    /// timecodes: `01:00:04:12-01:00:05:02, ...`, first and last picture that can not be seen rightly. A clip without
    /// timecode is counted from its first frame: `+00:00:04:12`.
    pub fn tell(&self, card: CardId, finding: &mut Finding) -> Result<(), CatalogError> {
        self.read(|c| tell(c, card, finding))
    }

    /// Frames that were found in one of the clip's files after its metadata.
    pub fn set_frames(&mut self, id: ClipId, frames: &FileFrames) -> Result<(), CatalogError> {
        self.write(|tx| store(tx, id, frames))
    }
}

pub(super) fn store(c: &Connection, id: ClipId, frames: &FileFrames) -> Result<(), Fault> {
    let sql = "INSERT INTO frame_map (card_id, relpath, clip_id, frames_before, frames, cell_bytes, map)
               SELECT card_id, relpath, clip_id, ?3, ?4, ?5, ?6 FROM clip_file
               WHERE clip_id = ?1 AND role = 'essence' AND (?2 IS NULL OR relpath = ?2) ORDER BY ord LIMIT 1
               ON CONFLICT (card_id, relpath) DO UPDATE SET clip_id = excluded.clip_id,
                 frames_before = excluded.frames_before, frames = excluded.frames, cell_bytes = excluded.cell_bytes,
                 map = excluded.map";
    let FileFrames { file, before, map } = frames;
    let file = file.as_ref().map(RelPath::as_bytes);
    let (frames, cell) = (int(map.frames()), int(map.cell_bytes()));
    c.prepare_cached(sql)?.execute(params![id.to_string(), file, int(*before), frames, cell, map.packed()])?;
    Ok(())
}

pub(super) fn tell(c: &Connection, card: CardId, finding: &mut Finding) -> Result<(), Fault> {
    let key = params![card.to_string(), finding.relpath.as_bytes()];
    let sql = "SELECT clip_id FROM clip_file WHERE card_id = ?1 AND relpath = ?2";
    let clip = c.prepare_cached(sql)?.query_row(key, |r| parsed(r, "clip_id", ClipId::parse)).optional()?;
    let Some(clip) = clip else { return Ok(()) };
    finding.clip = Some(clip.to_string());
    let spoiled = spoiled(c, card, clip, finding)?;
    if !spoiled.is_empty() {
        finding.timecode = counted(c, clip)?.and_then(|(start, rate)| spell(&spoiled, start, rate));
    }
    Ok(())
}

/// First and last frames of the clip.
fn spoiled(c: &Connection, card: CardId, clip: ClipId, finding: &Finding) -> Result<Vec<(u64, u64)>, Fault> {
    let key = params![card.to_string(), finding.relpath.as_bytes()];
    let sql = "SELECT frames_before, frames, cell_bytes, map FROM frame_map WHERE card_id = ?1 AND relpath = ?2";
    let number = |r: &rusqlite::Row<'_>, i: usize| Ok(r.get::<_, i64>(i)?.max(0) as u64);
    let known = c
        .prepare_cached(sql)?
        .query_row(key, |r| Ok((number(r, 0)?, FrameMap::from_parts(number(r, 2)?, number(r, 1)?, r.get(3)?))));
    if let Some((before, map)) = known.optional()? {
        let Some(map) = map else { return Ok(Vec::new()) };
        let placed = |(first, last): (u64, u64)| (before.saturating_add(first), before.saturating_add(last));
        return Ok(map.spoiled(&finding.blocks).into_iter().map(placed).collect());
    }
    // As many files as frames: numbered pictures. Whatever happened to the file happened to its frame.
    let sql =
        "SELECT (SELECT count(*) FROM clip_file b WHERE b.clip_id = a.clip_id AND b.role = 'essence' AND b.ord < a.ord)
               FROM clip_file a JOIN clip k ON k.id = a.clip_id
               WHERE a.clip_id = ?1 AND a.relpath = ?2 AND a.role = 'essence' AND k.duration_frames > 1
                     AND k.duration_frames =
                         (SELECT count(*) FROM clip_file b WHERE b.clip_id = a.clip_id AND b.role = 'essence')";
    let key = params![clip.to_string(), finding.relpath.as_bytes()];
    let frame = c.prepare_cached(sql)?.query_row(key, |r| number(r, 0)).optional()?;
    Ok(frame.map(|n| (n, n)).into_iter().collect())
}

/// The clip's start and the rate of its frames.
fn counted(c: &Connection, clip: ClipId) -> Result<Option<(Option<Timecode>, FrameRate)>, Fault> {
    let sql = "SELECT start_frame, tc_drop, fps_num, fps_den, coalesce(tc_fps_num, fps_num),
                      coalesce(tc_fps_den, fps_den), average_fps_num, average_fps_den
               FROM clip WHERE id = ?1 AND fps_num IS NOT NULL";
    let row = c.prepare_cached(sql)?.query_row([clip.to_string()], |r| {
        let rate = |i: usize| -> rusqlite::Result<Option<FrameRate>> {
            let (num, den) = (r.get::<_, Option<u32>>(i)?, r.get::<_, Option<u32>>(i + 1)?);
            Ok(num.zip(den).and_then(|(num, den)| FrameRate::new(num, den)))
        };
        let (frame, drop): (Option<u32>, Option<bool>) = (r.get(0)?, r.get(1)?);
        let start = |rate| Some(Timecode::from_frame(frame?.into(), rate, drop.unwrap_or(false)));
        let picture = crate::clip::VideoMetadata { rate: rate(2)?, average_rate: rate(6)?, ..Default::default() };
        Ok((rate(4)?.and_then(start), picture.counting_rate()))
    });
    Ok(row.optional()?.and_then(|(start, rate)| Some((start, rate?))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::tests::{CLIP, Station, at, card_of, rel};
    use crate::clip::{ClipMetadata, MediaState, VideoMetadata};
    use crate::digest::BLOCK_BYTES;
    use crate::finding::FindingKind;
    use crate::frames::Builder;

    fn metadata(start: Option<&str>) -> ClipMetadata {
        let rate = FrameRate::new(25, 1).unwrap();
        let mut b = Builder::new(8 * BLOCK_BYTES);
        (0..80).for_each(|n| b.add(n * 104_000, 104_000, true, true));
        ClipMetadata {
            video: Some(VideoMetadata { rate: Some(rate), width: 1920, ..VideoMetadata::default() }),
            start_tc: start.and_then(|text| Timecode::parse(text, rate)),
            duration_frames: Some(80),
            frames: vec![FileFrames { file: None, before: 0, map: b.finish(0).unwrap() }],
            ..ClipMetadata::default()
        }
    }

    fn damage(s: &Station, path: &str, blocks: &[(u64, u64)]) -> Finding {
        let blocks = blocks.to_vec();
        let mut f = Finding { blocks, ..Finding::new(FindingKind::Altered, "/mnt/a/A001".as_ref(), &rel(path), "") };
        s.cat.tell(s.card, &mut f).unwrap();
        f
    }

    #[test]
    fn damage_is_told_in_timecode() {
        let mut s = Station::new();
        let id = s.cat.clips(s.card).unwrap()[0].id;
        let second = [(BLOCK_BYTES, BLOCK_BYTES)];
        assert_eq!(damage(&s, CLIP, &second).timecode, None, "nothing is known of it yet");
        s.cat.set_metadata(id, &metadata(Some("10:00:00:00")), MediaState::Ok, None).unwrap();
        let told = damage(&s, CLIP, &second);
        assert_eq!(told.clip, Some(id.to_string()));
        assert_eq!(told.timecode.as_deref(), Some("10:00:00:10-10:00:00:20"));
        assert!(told.line().contains("10:00:00:10"), "{}", told.line());
        assert_eq!(damage(&s, CLIP, &[]).timecode, None);
        s.cat.set_metadata(id, &metadata(None), MediaState::Ok, None).unwrap();
        assert_eq!(damage(&s, CLIP, &second).timecode.as_deref(), Some("+00:00:00:10-+00:00:00:20"));
        let sidecar = damage(&s, "CLIPS/A001C001.XML", &second);
        assert_eq!((sidecar.clip, sidecar.timecode), (None, None), "it belongs to no clip here");
    }

    #[test]
    fn a_finding_from_before_the_metadata_is_told_in_timecode_afterwards() {
        let mut s = Station::offloaded();
        let blocks = vec![(0, BLOCK_BYTES)];
        let f = Finding { blocks, ..Finding::new(FindingKind::Altered, "/mnt/a/A001".as_ref(), &rel(CLIP), "") };
        s.cat.add_finding(s.card, Some(s.roots[0]), &f, at(5)).unwrap();
        assert_eq!(s.cat.open_findings(s.card).unwrap()[0].timecode, None);
        let id = s.cat.clips(s.card).unwrap()[0].id;
        s.cat.set_metadata(id, &metadata(Some("10:00:00:00")), MediaState::Ok, None).unwrap();
        let told = &s.cat.open_findings(s.card).unwrap()[0];
        assert_eq!(told.timecode.as_deref(), Some("10:00:00:00-10:00:00:10"));
    }

    #[test]
    fn a_numbered_picture_is_one_frame() {
        let names = ["SEQ/a.0001.MOV", "SEQ/a.0002.MOV", "SEQ/a.0003.MOV"];
        let mut card = card_of(&names);
        let rest: Vec<_> = card.clips.drain(1..).flat_map(|c| c.files).collect();
        card.clips[0].files.extend(rest);
        let mut s = Station::with(&card);
        let id = s.cat.clips(s.card).unwrap()[0].id;
        let m = ClipMetadata { duration_frames: Some(3), frames: Vec::new(), ..metadata(Some("01:00:00:00")) };
        s.cat.set_metadata(id, &m, MediaState::Ok, None).unwrap();
        assert_eq!(damage(&s, names[2], &[]).timecode.as_deref(), Some("01:00:00:02"));
    }
}
