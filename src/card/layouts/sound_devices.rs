//! Sound Devices recorders: `<project>/<12Y03M04>/[scene/]12A-T001.WAV`, or one file a track. What the recordist threw away
//! lies in `FALSETAKES` and `TRASH`: copied and catalogued like all, and flagged.

use super::family::Family;
use super::sound;

pub(super) const FAMILY: Family = Family {
    layout: "sound-devices",
    markers: &["sounddev", "falsetakes", r"\d\dy\d\dm\d\d"],
    rules: &[],
    finish: Some(|ground, found| sound::take(ground, found, |_| true)),
};

#[cfg(test)]
mod tests {
    use crate::card::tests::{clips, listing, recognise};

    #[test]
    fn one_take_is_one_clip_with_all_tracks_in_one_file_or_in_many() {
        assert_eq!(
            clips(&[
                "SOUNDDEV/settings.dat",
                "FILM/12Y03M04/12A-T001.WAV",
                "FILM/12Y03M04/12A-T002_1.WAV",
                "FILM/12Y03M04/12A-T002_2.WAV",
                "FILM/12Y03M04/12A-T002_A.WAV",
                "FILM/12Y03M04/12A-T002_X1.WAV",
            ]),
            [
                "sound-devices 12A-T001: FILM/12Y03M04/12A-T001.WAV=essence",
                "sound-devices 12A-T002: FILM/12Y03M04/12A-T002_1.WAV=essence FILM/12Y03M04/12A-T002_2.WAV=essence \
                 FILM/12Y03M04/12A-T002_A.WAV=essence FILM/12Y03M04/12A-T002_X1.WAV=essence",
            ]
        );
    }

    #[test]
    fn what_was_thrown_away_is_a_clip_that_says_so() {
        let names: [(&[u8], u64); 4] = [
            (b"dump/FALSETAKES/12A-T001.WAV", 1),
            (b"dump/FILM/12A-T002.WAV", 1),
            (b"dump/TRASH/12A-T003.WAV", 1),
            (b"other/12A-T004.WAV", 1),
        ];
        let card = recognise(listing(&names));
        let said = |n: usize| card.clips[n].said.iter().map(|s| s.fact.value.as_str()).collect::<Vec<_>>();
        assert_eq!(said(0), ["12A", "001", "false take"]);
        assert_eq!(said(1), ["12A", "002"]);
        assert_eq!(said(2), ["12A", "003", "trash"]);
        assert_eq!(card.layouts, ["sound-devices", "generic"]);
    }

    #[test]
    fn sound_beside_a_picture_is_not_the_recorders() {
        assert_eq!(
            clips(&["SOUNDDEV/x", "CAM/A001.MOV", "CAM/A001.WAV", "S/T01.WAV"]),
            ["generic A001: CAM/A001.MOV=essence CAM/A001.WAV=audio", "sound-devices T01: S/T01.WAV=essence"]
        );
    }
}
