//! Sound Devices MixPre: `MixPre-032.WAV`. `UNDO` holds what an overdub replaced: flagged, and kept.

use super::family::Family;
use super::sound;

pub(super) const FAMILY: Family = Family {
    layout: "mixpre",
    markers: &[r"mixpre-\d+[^/]*\.wav"],
    rules: &[],
    finish: Some(|ground, found| sound::take(ground, found, |_| true)),
};

#[cfg(test)]
mod tests {
    use crate::card::tests::{clips, listing, recognise};

    #[test]
    fn recordings_are_clips_and_reports_are_files() {
        assert_eq!(
            clips(&["MixPre-032.wav", "Settings/a.json", "24Y01M02_REPORT.CSV"]),
            ["mixpre MixPre-032: MixPre-032.wav=essence"]
        );
        let card = recognise(listing(&[(b"MixPre-032.wav", 1), (b"UNDO/MixPre-032.wav", 1)]));
        assert_eq!(card.clips[1].said[0].fact.value, "undone");
    }
}
