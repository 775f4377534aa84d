//! GoPro. A recording over the file limit goes on in chapters. HERO6 and later write GX (HEVC), GH (H.264) or GS (360),
//! chapter, number: the chapter comes first, so that names in order mix recordings. HERO2 to 5 write GOPR and the number,
//! then GP, chapter, number. `MISC/version.txt` is an index file: it names the camera.
//!
//! A loop (two letters where the chapter stands) overwrites its own beginning: its files are clips, and nothing is missing.

use super::family::{Family, Ground, rule};
use super::parts::{holes, missing, number};
use super::{Found, FoundClip};
use crate::card::kind::folded;
use crate::clip::Role::{Audio, Essence, Proxy, Thumb};
use crate::fact::{Fact, Field, Origin, Said};
use crate::relpath::RelPath;

pub(super) const FAMILY: Family = Family {
    layout: "gopro",
    markers: &[r"(dcim/)?\d{3}gopro"],
    rules: &[
        rule(Essence, r"(?<at>(?:dcim/)?\d{3}gopro)/(?<name>g[hxs](?<part>\d\d)(?<clip>\d{4}))\.(mp4|360)"),
        rule(Essence, r"(?<at>(?:dcim/)?\d{3}gopro)/(?<name>gopr(?<clip>\d{4}))\.mp4"),
        rule(Essence, r"(?<at>(?:dcim/)?\d{3}gopro)/(?<name>gp(?<part>\d\d)(?<clip>\d{4}))\.mp4"),
        rule(Essence, r"(?<at>(?:dcim/)?\d{3}gopro)/(?<name>g[hxs](?<clip>[a-z]{2}\d{4}))\.(mp4|360)"),
        rule(Proxy, r"(?<at>(?:dcim/)?\d{3}gopro)/g(?:opr|p\d\d|[hxsl]\d\d)(?<clip>\d{4})\.lrv"),
        rule(Proxy, r"(?<at>(?:dcim/)?\d{3}gopro)/g[hxsl](?<clip>[a-z]{2}\d{4})\.lrv"),
        rule(Proxy, r"(?<at>(?:dcim/)?\d{3}gopro)/proxies/g[hxs]\d\d(?<clip>\d{4})_proxy\.mp4"),
        rule(Audio, r"(?<at>(?:dcim/)?\d{3}gopro)/g(?:opr|p\d\d|[hxs]\d\d)(?<clip>\d{4})\.wav"),
        rule(Thumb, r"(?<at>(?:dcim/)?\d{3}gopro)/g(?:opr|p\d\d|[hxs]\d\d)(?<clip>\d{4})\.thm"),
        rule(Thumb, r"(?<at>(?:dcim/)?\d{3}gopro)/g[hxs](?<clip>[a-z]{2}\d{4})\.thm"),
    ],
    finish: Some(chapters),
};

/// How a file's name counts.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Chapter {
    number: Vec<u8>,
    /// `x`, `h`, `s`; `p` for HERO2 to 5, where the first file has no chapter.
    mode: u8,
    chapter: u64,
}

fn chapter_of(p: &RelPath) -> Option<Chapter> {
    let stem = folded(p.stem());
    let (mode, chapter, digits) = match &stem[..] {
        [b'g', b'o', b'p', b'r', digits @ ..] => (b'p', 0, digits),
        [b'g', mode, a, b, digits @ ..] => (*mode, number(&[*a, *b])?, digits),
        _ => return None,
    };
    (digits.len() == 4).then(|| Chapter { number: digits.to_vec(), mode, chapter })
}

fn chapters(ground: &mut Ground, found: &mut Found) {
    let camera = camera(ground);
    found.clips.iter_mut().for_each(|clip| clip.said.clone_from(&camera));
    for clip in std::mem::take(&mut found.clips) {
        found.clips.extend(by_mode(ground, clip));
    }
    join_folders(ground, found);
    loose_proxies(ground, found);
    for clip in &found.clips {
        let mut have: Vec<Chapter> = essence(clip).filter_map(|i| chapter_of(ground.relpath(i))).collect();
        have.sort();
        let Some(first) = have.first().map(|c| u64::from(c.mode != b'p')) else { continue };
        let holes = holes(Some(first), have.iter().map(|c| c.chapter));
        // A person counts the first file of an old camera as the first chapter.
        let holes: Vec<_> = holes.iter().map(|(a, b)| (a + 1 - first, b + 1 - first)).collect();
        found.gaps.extend(missing(ground.relpath(clip.files[0].0), "chapter", &holes));
    }
}

/// Text between quotes behind its key, which is all that is read: some cameras write a comma too many for JSON. A camera
/// writes it anew when it takes the card.
fn camera(ground: &mut Ground) -> Vec<Said> {
    const KEYS: [(&str, Field); 3] = [
        ("\"camera type\"", Field::Model),
        ("\"camera serial number\"", Field::Serial),
        ("\"firmware version\"", Field::Firmware),
    ];
    let index = ground.files().find(|(_, f)| folded(ground.below(&f.relpath).as_bytes()) == b"misc/version.txt");
    let Some(Ok(bytes)) = index.map(|(_, f)| (ground.read)(&f.relpath)) else { return Vec::new() };
    let text = String::from_utf8_lossy(&bytes);
    let value = |key: &str| {
        let (_, behind) = text.split_once(key)?;
        behind.trim_start().strip_prefix(':')?.trim_start().strip_prefix('"')?.split_once('"').map(|(value, _)| value)
    };
    let facts = KEYS.iter().filter_map(|(key, field)| Fact::new(*field, value(key)?));
    facts.map(|fact| Said { fact, origin: Origin::Index, by: "gopro-version".into() }).collect()
}

fn essence(clip: &FoundClip) -> impl Iterator<Item = u32> + '_ {
    clip.files.iter().filter(|(_, r)| *r == Essence).map(|(i, _)| *i)
}

/// One number in two modes is two recordings: the counter began anew, or the folder holds the files of two cameras. What
/// does not say its mode stays with the first.
fn by_mode(ground: &Ground, clip: FoundClip) -> Vec<FoundClip> {
    let mode = |i: u32| chapter_of(ground.relpath(i)).map(|c| c.mode);
    let mut modes: Vec<Option<u8>> = Vec::new();
    for m in essence(&clip).map(mode) {
        if !modes.contains(&m) {
            modes.push(m);
        }
    }
    if modes.len() < 2 {
        return vec![clip];
    }
    let mut out: Vec<FoundClip> =
        modes.iter().map(|_| FoundClip { said: clip.said.clone(), ..FoundClip::default() }).collect();
    for (index, role) in clip.files {
        let of = modes.iter().position(|m| *m == mode(index)).unwrap_or(0);
        if out[of].files.is_empty() {
            out[of].name = crate::relpath::escape(ground.relpath(index).stem()).into_owned();
        }
        out[of].files.push((index, role));
    }
    out
}

/// A full folder ends in the middle of a recording: its later chapters lie in the next.
fn join_folders(ground: &Ground, found: &mut Found) {
    let ends = |c: &FoundClip| {
        let of = |i: Option<u32>| Some((chapter_of(ground.relpath(i?))?, folder_number(ground.relpath(i?))?));
        Some((of(essence(c).next())?, of(essence(c).last())?))
    };
    let mut n = 0;
    while n < found.clips.len() {
        let before = ends(&found.clips[n]).and_then(|((first, folder), _)| {
            let goes_on = first.chapter > 1;
            let fits = |(_, (last, other)): ((Chapter, u64), (Chapter, u64))| {
                (last.mode, &last.number) == (first.mode, &first.number)
                    && last.chapter + 1 == first.chapter
                    && other + 1 == folder
            };
            goes_on.then(|| found.clips.iter().position(|c| ends(c).is_some_and(fits))).flatten()
        });
        match before {
            Some(before) if before != n => {
                let later = found.clips.remove(n);
                let before = if before > n { before - 1 } else { before };
                found.clips[before].files.extend(later.files);
                found.clips[before].files.sort_by_key(|(_, role)| *role);
            }
            _ => n += 1,
        }
    }
}

/// `100` of `DCIM/100GOPRO/GX010001.MP4`.
fn folder_number(p: &RelPath) -> Option<u64> {
    number(p.parent().name().get(..3)?)
}

/// Proxies that were put into a folder of their own belong to the one clip of their number.
fn loose_proxies(ground: &mut Ground, found: &mut Found) {
    let left: Vec<u32> = ground.left().filter(|i| super::parts::lies_in(ground.relpath(*i), "proxies")).collect();
    for index in left {
        let stem = folded(ground.relpath(index).stem());
        let Some(stem) = stem.strip_suffix(b"_proxy").filter(|_| ground.relpath(index).extension() == "mp4") else {
            continue;
        };
        let Some(wanted) = RelPath::new(stem).ok().and_then(|p| chapter_of(&p)) else { continue };
        let has = |c: &&mut FoundClip| essence(c).filter_map(|i| chapter_of(ground.relpath(i))).any(|c| c == wanted);
        let mut fitting: Vec<&mut FoundClip> = found.clips.iter_mut().filter(has).collect();
        if let [clip] = &mut fitting[..] {
            clip.files.push((index, Proxy));
            clip.files.sort_by_key(|(_, role)| *role);
            ground.taken[index as usize] = true;
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::card::tests::{clips, listing, recognise};

    fn gaps(names: &[&str]) -> Vec<(String, String)> {
        let names: Vec<_> = names.iter().map(|n| (n.as_bytes(), 1)).collect();
        recognise(listing(&names)).gaps.into_iter().map(|w| (w.id, w.text)).collect()
    }

    #[test]
    fn chapters_of_one_number_are_one_clip_in_their_order() {
        assert_eq!(
            clips(&[
                "DCIM/100GOPRO/GX010265.MP4",
                "DCIM/100GOPRO/GX010266.MP4",
                "DCIM/100GOPRO/GX020265.MP4",
                "DCIM/100GOPRO/GL010265.LRV",
                "DCIM/100GOPRO/GX010265.THM",
                "MISC/version.txt",
            ]),
            [
                "gopro GX010265: DCIM/100GOPRO/GX010265.MP4=essence DCIM/100GOPRO/GX020265.MP4=essence \
                 DCIM/100GOPRO/GL010265.LRV=proxy DCIM/100GOPRO/GX010265.THM=thumb",
                "gopro GX010266: DCIM/100GOPRO/GX010266.MP4=essence",
            ]
        );
    }

    #[test]
    fn the_index_names_the_camera() {
        let version =
            b"{\"info version\":\"2.0\",\"firmware version\":\"HD6.01.02\",\n\"camera type\" : \"HERO6 Black\",}";
        let files: [(&str, &[u8]); 2] = [("x/DCIM/100GOPRO/GX010001.MP4", b"1"), ("x/MISC/version.txt", version)];
        let said = |files: &[(&str, &[u8])]| -> Vec<String> {
            let card = crate::card::tests::card(files);
            let said = card.clips[0].said.iter();
            said.map(|s| format!("{} {} {}", s.origin.name(), s.fact.field.name(), s.fact.value)).collect()
        };
        assert_eq!(said(&files), ["index model HERO6 Black", "index firmware HD6.01.02"]);
        assert!(said(&[files[0], ("x/MISC/version.txt", b"\"camera type\":\"cut")]).is_empty());
    }

    #[test]
    fn old_cameras_begin_with_gopr_and_go_on_with_gp() {
        let names = ["GOPR0265.LRV", "GOPR0265.MP4", "GOPR0265.THM", "GP010265.MP4", "GP020265.MP4", "gp010265.lrv"];
        let names = names.map(|n| format!("DCIM/100GOPRO/{n}"));
        let names = names.each_ref().map(String::as_str);
        assert_eq!(
            clips(&names),
            ["gopro GOPR0265: DCIM/100GOPRO/GOPR0265.MP4=essence DCIM/100GOPRO/GP010265.MP4=essence \
                 DCIM/100GOPRO/GP020265.MP4=essence DCIM/100GOPRO/GOPR0265.LRV=proxy \
                 DCIM/100GOPRO/gp010265.lrv=proxy DCIM/100GOPRO/GOPR0265.THM=thumb"]
        );
        assert!(gaps(&names).is_empty());
    }

    #[test]
    fn a_chapter_that_is_not_here_is_one_warning_a_clip() {
        assert_eq!(
            gaps(&["DCIM/100GOPRO/GX010001.MP4", "DCIM/100GOPRO/GX040001.MP4", "DCIM/100GOPRO/GX010007.MP4"]),
            [(
                "missing-part:DCIM/100GOPRO/GX010001.MP4".to_owned(),
                "\"DCIM/100GOPRO/GX010001.MP4\" is a part of a recording of which chapters 2-3 are not here: look for \
                 another card"
                    .to_owned()
            )]
        );
        let (id, text) = gaps(&["DCIM/100GOPRO/GP010001.MP4"]).swap_remove(0);
        assert_eq!(id, "missing-part:DCIM/100GOPRO/GP010001.MP4");
        assert!(text.contains("chapter 1 is not here"), "{text}");
    }

    #[test]
    fn loops_and_deleted_clips_are_no_gaps() {
        assert!(
            gaps(&["DCIM/100GOPRO/GHAA0265.MP4", "DCIM/100GOPRO/GHAC0265.MP4", "DCIM/100GOPRO/GX010300.MP4"])
                .is_empty()
        );
        assert_eq!(
            clips(&["DCIM/100GOPRO/GHAA0265.MP4", "DCIM/100GOPRO/GHAB0265.MP4", "DCIM/100GOPRO/GLAA0265.LRV"]),
            [
                "gopro GHAA0265: DCIM/100GOPRO/GHAA0265.MP4=essence DCIM/100GOPRO/GLAA0265.LRV=proxy",
                "gopro GHAB0265: DCIM/100GOPRO/GHAB0265.MP4=essence",
            ]
        );
    }

    #[test]
    fn one_number_in_two_folders_or_in_two_modes_is_two_clips() {
        assert_eq!(
            clips(&[
                "DCIM/100GOPRO/GH010001.MP4",
                "DCIM/100GOPRO/GX010001.MP4",
                "DCIM/101GOPRO/GX010001.MP4",
                "DCIM/101GOPRO/GS010002.360",
            ]),
            [
                "gopro GH010001: DCIM/100GOPRO/GH010001.MP4=essence",
                "gopro GX010001: DCIM/100GOPRO/GX010001.MP4=essence",
                "gopro GS010002: DCIM/101GOPRO/GS010002.360=essence",
                "gopro GX010001: DCIM/101GOPRO/GX010001.MP4=essence",
            ]
        );
    }

    #[test]
    fn a_recording_goes_on_in_the_next_folder() {
        let names = ["DCIM/100GOPRO/GX010009.MP4", "DCIM/101GOPRO/GX020009.MP4", "DCIM/101GOPRO/GX030009.MP4"];
        assert_eq!(clips(&names).len(), 1);
        assert!(gaps(&names).is_empty());
    }

    #[test]
    fn proxies_in_a_folder_of_their_own_find_their_clip() {
        for proxies in ["DCIM/100GOPRO/Proxies", "Proxies", "DCIM/Proxies"] {
            let proxy = format!("{proxies}/GH010001_Proxy.MP4");
            let lines = clips(&["DCIM/100GOPRO/GH010001.MP4", &proxy]);
            assert_eq!(lines, [format!("gopro GH010001: DCIM/100GOPRO/GH010001.MP4=essence {proxy}=proxy")]);
        }
    }
}
