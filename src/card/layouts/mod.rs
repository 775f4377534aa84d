//! The layouts a card can have: one file a camera family, each a table of path patterns. Several can be on one card, so
//! each family says what it saw; none ends the search. `generic` groups what they leave.

/// Extensions of what stands beside a clip under its own stem. A recording is never among them: it is not hidden as a
/// sidecar.
macro_rules! beside {
    () => {
        r"(?:xml|xmp|csv|txt|cdl|ccc|cc|cube|look|aml|json|ale|edl|pdf|log|srt|cif|sif|cpf|bim|klv|smi|ppn|sidecar|rmd)"
    };
}

mod aja_kipro;
mod ale;
mod android;
mod apple;
mod arri;
mod atomos;
mod avchd;
mod beside;
mod blackmagic;
mod canon_cinema;
mod canon_eos;
mod canon_xf;
mod dji;
mod family;
mod fujifilm;
mod gaps;
mod generic;
mod gopro;
mod insta360;
mod jvc;
mod lumix;
mod mediapro;
mod mixpre;
mod nikon;
mod p2;
mod panasonic;
mod parts;
mod red;
pub(super) mod sequence;
mod sony_m4root;
mod sony_xavc;
mod sony_xocn;
mod sound;
mod sound_devices;
mod twins;
mod xdcam;
mod xdcam_ex;
mod zcam;
mod zoom_f;

use super::kind;
use crate::clip::{Listing, Role, Warning};
use crate::fact::{Fact, Said};
use crate::relpath::{RelPath, escape};
use family::Family;
pub(super) use sound::track;
use std::collections::HashMap;
use std::io;

pub(crate) const GENERIC: &str = "generic";
/// What lies in a DCIM folder and no family knows.
const DCIM: &str = "dcim";
const KINEFINITY: &str = "kinefinity";

/// In order of trust: who stands first takes a file that two know.
const FAMILIES: &[&Family] = &[
    &arri::FAMILY,
    &red::FAMILY,
    &blackmagic::FAMILY,
    &sony_m4root::FAMILY,
    &xdcam_ex::FAMILY,
    &p2::FAMILY,
    &avchd::FAMILY,
    &canon_xf::FAMILY,
    &canon_cinema::FAMILY,
    &xdcam::FAMILY,
    &sony_xocn::FAMILY,
    &sony_xavc::FAMILY,
    &lumix::FAMILY,
    &panasonic::FAMILY,
    &canon_eos::FAMILY,
    &gopro::FAMILY,
    &dji::FAMILY,
    &dji::MICROPHONE,
    &insta360::FAMILY,
    &nikon::FAMILY,
    &fujifilm::FAMILY,
    &apple::FAMILY,
    &android::FAMILY,
    &jvc::FAMILY,
    &atomos::FAMILY,
    &aja_kipro::FAMILY,
    &zcam::FAMILY,
    &zoom_f::FAMILY,
    &sound_devices::FAMILY,
    &mixpre::FAMILY,
];

/// Reads a small file of the card: an index that says which clips there should be.
pub type ReadIndex<'a> = &'a mut dyn FnMut(&RelPath) -> io::Result<Vec<u8>>;

/// What one family saw below one folder. Files are places in the listing.
#[derive(Debug, Default)]
pub(crate) struct Found {
    pub layout: &'static str,
    pub clips: Vec<FoundClip>,
    /// What its indexes, numbers and names say is not there.
    pub gaps: Vec<Warning>,
    /// What was seen and blocks nothing.
    pub notes: Vec<String>,
}

#[derive(Debug, Default, PartialEq)]
pub(crate) struct FoundClip {
    pub name: String,
    /// Essence first, in order, then what belongs to it.
    pub files: Vec<(u32, Role)>,
    /// What its name and its folder say of it.
    pub facts: Vec<Fact>,
    /// What the card's index says of it.
    pub said: Vec<Said>,
}

pub(crate) fn all(listing: &Listing, read: ReadIndex) -> Vec<Found> {
    let mut taken: Vec<bool> = listing.files.iter().map(|f| kind::is_junk(&f.relpath)).collect();
    let mut found = family::all(listing, &mut taken, &mut *read);
    generic::recognise(listing, &mut taken, &mut found);
    sequence::judge(listing, &mut found);
    ale::join(listing, &mut found, read);
    distinct_names(listing, &mut found);
    found
}

/// Two clips of one folder that share a name keep their extensions in it.
fn distinct_names(listing: &Listing, found: &mut [Found]) {
    let first = |c: &FoundClip| c.files.first().map(|(index, _)| &listing.files[*index as usize].relpath);
    let mut count: HashMap<(RelPath, String), usize> = HashMap::new();
    let clips = || found.iter().flat_map(|f| &f.clips);
    for (path, clip) in clips().filter_map(|c| Some((first(c)?, c))) {
        *count.entry((path.parent(), clip.name.clone())).or_default() += 1;
    }
    for clip in found.iter_mut().flat_map(|f| &mut f.clips) {
        if let Some(path) = first(clip)
            && count[&(path.parent(), clip.name.clone())] > 1
        {
            clip.name = escape(path.name()).into_owned();
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::card::kind::{self, Kind};
    use crate::card::tests::listing;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    /// Names of every family, and some that only look like theirs.
    const NAMES: &[&str] = &[
        "A001R1ZA/A001C001_180327_R1ZA.mov",
        "A001R1ZA/A001C001_180327_R1ZA.wav",
        "A_0076_1CTJ/A_0076C001_230511_184122_a1CTJ.mxf",
        "A_0076_1CTJ_hde/A_0076_1CTJ/A_0076C001_230511_184122_h1CTJ.mxf",
        "x/A003C001_190625_R24Y.0049275.ari",
        "x/A003C001_190625_R24Y.0049277.ari",
        "y/A003C001_190625_R24Y.0049277.arx",
        "A.RDC/A001_C001_0818F4_001.R3D",
        "A.RDC/A001_C001_0818F4_003.R3D",
        "A.RDC/A001_C001_0818F4_001.mov",
        "A.RDC/A001_C001_0818F4_H.mov",
        "A.RDC/odd.mov",
        "A001_08151512_C001.braw",
        "A001_08151512_C001.braw2",
        "A001_08151512_C001.mp4",
        "A001_08151512_C001_S001.braw",
        "Proxy/A001_08151512_C001.mp4",
        "PRIVATE/M4ROOT/CLIP/C0001.MP4",
        "PRIVATE/M4ROOT/SUB/C0001S03.MP4",
        "XDROOT/Clip/C0001.MXF",
        "XDROOT/Clip/C0001M01.XML",
        "XDROOT/Sub/C0001S03.MP4",
        "XDROOT/Clip/C0002/C0002.MXF",
        "Clip/C0001.MXF",
        "Clip/C0001.MP4",
        "INDEX.XML",
        "MEDIAPRO.XML",
        "PROAV/CLPR/C0001/C0001V01.MXF",
        "PROAV/CLPR/C0001/C0001A01.MXF",
        "BPAV/CLPR/7_0001_01/7_0001_01.MP4",
        "BPAV/CLPR/7_0001_03/7_0001_03.MP4",
        "BPAV/CLPR/odd/odd.MP4",
        "CONTENTS/VIDEO/0001AB.MXF",
        "CONTENTS/AUDIO/0001AB00.MXF",
        "CONTENTS/AVCLIP/0001AB.MXF",
        "CONTENTS/CLIP/0001AB.XML",
        "CONTENTS/VOICE/0001AB00.WAV",
        "CONTENTS/CLIPS001/AA0001/AA000101.MXF",
        "CONTENTS/CLIPS001/AA0001/AA000103.MXF",
        "CONTENTS/CLIPS001/A001C001_170823D4_CANON.MXF",
        "A001C001_170823D4_CANON.MXF",
        "PRIVATE/AVCHD/BDMV/STREAM/00000.MTS",
        "PRIVATE/AVCHD/BDMV/STREAM/00001.MTS",
        "PRIVATE/AVCHD/BDMV/PLAYLIST/00000.MPL",
        "XFVC/REEL_0003/A_0003C048H260421_082509HN_CANON.MP4",
        "XFVC/REEL_0004/A_0003C048H260421_082509HN_CANON_Proxy.MP4",
        "CRM/REEL_0003/A_0003C048H260421_082509HN_CANON.CRM",
        "CRM/REEL_0003/odd.CRM",
        "DCIM/100CANON/MVI_0001.MP4",
        "DCIM/100EOSR5/MVI_0001.CRM",
        "PRIVATE/AUDIO/MVI_0001.WAV",
        "DCIM/001RAQAM/A001C001_201224_AB12.MOV",
        "PRIVATE/PANA_GRP/001RAQAM/A001C001_201224_AB12.JPG",
        "DCIM/100_PANA/P1000001.MOV",
        "DCIM/100GOPRO/GX010265.MP4",
        "DCIM/100GOPRO/GX020265.MP4",
    ];

    /// What the index files of a card may hold, whichever they are.
    fn indexes() -> Vec<Vec<u8>> {
        let uris = NAMES.iter().map(|n| format!("<Material uri=\"{n}\"><Proxy uri=\"Sub/C0001S03.MP4\"/></Material>"));
        let mediapro = format!("<MediaProfile><Contents>{}</Contents></MediaProfile>", uris.collect::<String>());
        let p2 = "<P2Main><ClipContent><ClipName>0001AB</ClipName><EssenceList><Video/><Audio/></EssenceList></ClipContent></P2Main>";
        let list = crate::read::mpl::tests::playlist(&[("00001", 1), ("00000", 6), ("00001", 6), ("00009", 1)]);
        vec![Vec::new(), b"<MediaProfile/>".to_vec(), mediapro.into_bytes(), p2.into(), list]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(400))]

        #[test]
        fn no_file_is_in_two_clips_and_every_recording_is_in_one(
            picked in proptest::collection::vec((0..NAMES.len(), 0..4usize), 0..40),
            index in 0..5usize,
            damage in proptest::option::of((any::<prop::sample::Index>(), any::<u8>())),
        ) {
            let placed = |(n, base): &(usize, usize)| format!("{}{}", ["", "dump/", "a/b/", "PRIVATE/"][*base], NAMES[*n]);
            let names: BTreeSet<String> = picked.iter().map(placed).collect();
            let files: Vec<(&[u8], u64)> = names.iter().map(|n| (n.as_bytes(), 1)).collect();
            let mut bytes = indexes().swap_remove(index);
            if let (Some((at, byte)), false) = (damage, bytes.is_empty()) {
                let at = at.index(bytes.len());
                bytes[at] = byte;
            }
            let card = crate::card::recognise(listing(&files), &mut |_| Ok(bytes.clone()));
            let mut seen = BTreeSet::new();
            for (path, _) in card.clips.iter().flat_map(|c| &c.files) {
                prop_assert!(seen.insert(path.clone()), "{} is in two clips", path);
            }
            for clip in &card.clips {
                prop_assert!(clip.essence().next().is_some(), "{} has no essence", clip.name);
            }
            for file in &card.listing.files {
                let recording = matches!(kind::of(&file.relpath), Kind::Video | Kind::Audio | Kind::Frame);
                prop_assert!(!recording || seen.contains(&file.relpath), "{} is in no clip", file.relpath);
            }
        }
    }

    #[test]
    fn twenty_thousand_files_of_one_card_are_seen_whole() {
        let make = |name: fn(u32) -> String| (0..20_000).map(name).collect::<Vec<String>>();
        let frames = make(|n| format!("A003R24Y/A003C001_190625_R24Y/A003C001_190625_R24Y.{n:07}.ari"));
        let clips = make(|n| format!("XDROOT/Clip/C{:05}{}", n / 2, [".MXF", "M01.XML"][n as usize % 2]));
        let cards = make(|n| format!("card{:04}/PRIVATE/M4ROOT/CLIP/C{:04}.MP4", n / 20, n % 20));
        let indexes = make(|n| match n % 20 {
            0 => format!("A{:03}X{}/MEDIAPRO.XML", n / 20 % 1000, n / 20_000),
            k => format!("A{:03}X{}/Clip/C{k:04}.MXF", n / 20 % 1000, n / 20_000),
        });
        for (names, clips) in [(frames, 1), (clips, 10_000), (cards, 20_000), (indexes, 19_000)] {
            let listing = listing(&names.iter().map(|n| (n.as_bytes(), 1)).collect::<Vec<_>>());
            let mut read = 0;
            let card = crate::card::recognise(listing, &mut |_| {
                read += 1;
                Ok(b"<MediaProfile/>".to_vec())
            });
            assert_eq!((card.clips.len(), card.gaps.len()), (clips, read), "each index read once, one warning each");
        }
    }
}
