//! DJI drones, gimbals and their microphones. `DJI_` with a number, newer with a date and time before it and the lens
//! behind it: each lens is a recording of its own. How a long recording is split was not found in any document: no file is
//! joined to another.

use super::family::{Family, rule};
use super::twins;
use crate::clip::Role::{Audio, Essence, Proxy, Sidecar, Thumb};

pub(super) const FAMILY: Family = Family {
    layout: "dji",
    // 100MEDIA alone is not DJI's.
    markers: &[r"(dcim/[^/]+/)?dji_(\d{14}_)?\d{4}(_[a-z]+)?\.(mp4|mov|osv|lrf)"],
    rules: &[
        rule(Essence, r"(?<at>(?:dcim/[^/]+/)?)(?<clip>dji_((?<recorded_at>\d{14})_)?\d{4}(_[a-z]+)?)\.(mp4|mov|osv)"),
        rule(Proxy, r"(?<at>(?:dcim/[^/]+/)?)(?<clip>dji_(\d{14}_)?\d{4}(_[a-z]+)?)\.lrf"),
        rule(Audio, r"(?<at>(?:dcim/[^/]+/)?)(?<clip>dji_(\d{14}_)?\d{4}(_[a-z]+)?)\.(wav|m4a|aac)"),
        rule(Sidecar, r"(?<at>(?:dcim/[^/]+/)?)(?<clip>dji_(\d{14}_)?\d{4}(_[a-z]+)?)\.(srt|xml|cube)"),
        rule(Thumb, r"(?<at>(?:dcim/[^/]+/)?)(?<clip>dji_(\d{14}_)?\d{4}(_[a-z]+)?)\.(jpg|thm|scr)"),
    ],
    finish: Some(|ground, found| {
        twins::part(ground, found, &[], &[]);
        sound_of_the_lens(ground, found);
    }),
};

/// The card of a DJI microphone: each transmitter writes for itself.
pub(super) const MICROPHONE: Family = Family {
    layout: "dji-audio",
    markers: &[r"dji_audio[^/]*"],
    rules: &[
        rule(
            Essence,
            r"(?<at>dji_audio[^/]*/(?:[^/]+/)*)(?<clip>[^/]*?(?<recorded_at>\d{8}_\d{6})[^/]*)\.(wav|m4a|aac)",
        ),
        rule(Essence, r"(?<at>dji_audio[^/]*/(?:[^/]+/)*)(?<clip>[^/]+)\.(wav|m4a|aac)"),
    ],
    finish: None,
};

/// `DJI_0001_D.WAV` beside `DJI_0001.MP4`.
fn sound_of_the_lens(ground: &mut super::family::Ground, found: &mut super::Found) {
    use crate::card::kind::folded;
    let left: Vec<u32> = ground.left().filter(|i| ground.relpath(*i).extension() == "wav").collect();
    for index in left {
        let path = ground.relpath(index);
        let stem = folded(path.stem());
        let Some(stem) = stem.strip_suffix(b"_d") else { continue };
        let beside = |i: u32| ground.relpath(i).parent() == path.parent() && folded(ground.relpath(i).stem()) == stem;
        if let Some(clip) = found.clips.iter_mut().find(|c| beside(c.files[0].0)) {
            clip.files.push((index, Audio));
            clip.files.sort_by_key(|(_, role)| *role);
            ground.taken[index as usize] = true;
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::card::tests::{clips, listing, recognise};

    #[test]
    fn a_clip_has_its_telemetry_its_proxy_and_its_sound() {
        let stem = "DCIM/DJI_001/DJI_20251225101500_0001_D";
        assert_eq!(
            clips(&[
                &format!("{stem}.MP4"),
                &format!("{stem}.LRF"),
                &format!("{stem}.SRT"),
                &format!("{stem}.WAV"),
                "MISC/IDX/x.db",
            ]),
            [format!(
                "dji DJI_20251225101500_0001_D: {stem}.MP4=essence {stem}.WAV=audio {stem}.SRT=sidecar {stem}.LRF=proxy"
            )]
        );
        let card = recognise(listing(&[(format!("{stem}.MP4").as_bytes(), 1)]));
        assert_eq!(card.clips[0].said[0].fact.value, "2025-12-25T10:15:00");
    }

    #[test]
    fn older_names_have_a_number_only() {
        assert_eq!(
            clips(&["DCIM/100MEDIA/DJI_0001.MOV", "DCIM/100MEDIA/DJI_0001.SRT", "DCIM/100MEDIA/DJI_0002.JPG"]),
            ["dji DJI_0001: DCIM/100MEDIA/DJI_0001.MOV=essence DCIM/100MEDIA/DJI_0001.SRT=sidecar"]
        );
        assert_eq!(
            clips(&["DCIM/100MEDIA/DJI_0001.MP4", "DCIM/100MEDIA/DJI_0001_D.WAV"]),
            ["dji DJI_0001: DCIM/100MEDIA/DJI_0001.MP4=essence DCIM/100MEDIA/DJI_0001_D.WAV=audio"]
        );
        assert_eq!(clips(&["DCIM/100MEDIA/IMG_0001.MP4"]), ["dcim IMG_0001: DCIM/100MEDIA/IMG_0001.MP4=essence"]);
    }

    #[test]
    fn each_lens_is_a_clip() {
        let names = ["W", "T", "Z"].map(|lens| format!("DCIM/DJI_001/DJI_20251225101500_0001_{lens}.MP4"));
        assert_eq!(clips(&names.each_ref().map(String::as_str)).len(), 3);
    }

    #[test]
    fn a_microphones_card_is_sound() {
        assert_eq!(
            clips(&["DJI_Audio_001/TX01_MIC001_20240101_120000_orig.wav", "DJI_Audio_001/DJI_02.WAV"]),
            [
                "dji-audio DJI_02: DJI_Audio_001/DJI_02.WAV=essence",
                "dji-audio TX01_MIC001_20240101_120000_orig: DJI_Audio_001/TX01_MIC001_20240101_120000_orig.wav=essence",
            ]
        );
    }
}
