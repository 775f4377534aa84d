//! Media made to do harm, as a card among good clips: each costs itself and no other, and says why.

use crate::media::clip;
use crate::place::Place;
use serde_json::Value;
use std::path::Path;

fn be(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap())
}

fn put(bytes: &mut [u8], at: usize, value: u32) {
    bytes[at..at + 4].copy_from_slice(&value.to_be_bytes());
}

fn find(bytes: &[u8], name: &[u8]) -> usize {
    bytes.windows(name.len()).position(|w| w == name).unwrap_or_else(|| panic!("no {}", String::from_utf8_lossy(name)))
}

/// Ten frames of 128x96 in a container, encoded as said, as bytes.
fn made(name: &str, args: &str) -> Vec<u8> {
    let (_dir, path) = clip(name, &format!("-f lavfi -i testsrc2=s=128x96:r=25 -frames:v 10 {args}"));
    std::fs::read(path).unwrap()
}

/// A picture that says it has 60,000 x 60,000 pixels.
fn bomb() -> Vec<u8> {
    let mut mov = made("a.mov", "-c:v png");
    for at in 0..mov.len() - 12 {
        if &mov[at..at + 4] == b"IHDR" {
            put(&mut mov, at + 4, 60_000);
            put(&mut mov, at + 8, 60_000);
        }
    }
    mov
}

/// A table that says that two thousand million samples of one size follow.
fn endless() -> Vec<u8> {
    let mut mov = made("a.mov", "-c:v mjpeg");
    let stsz = find(&mov, b"stsz");
    put(&mut mov, stsz + 8, 1000);
    put(&mut mov, stsz + 12, 0x7fff_ffff);
    let stts = find(&mov, b"stts");
    put(&mut mov, stts + 12, 0x7fff_ffff);
    mov
}

/// The one track, many thousand times.
fn many_tracks() -> Vec<u8> {
    let mov = made("a.mov", "-c:v mjpeg");
    let (moov, trak) = (find(&mov, b"moov") - 4, find(&mov, b"trak") - 4);
    let (moov_len, trak_len) = (be(&mov, moov) as usize, be(&mov, trak) as usize);
    const MORE: usize = 20_000;
    let mut out = mov[..trak + trak_len].to_vec();
    (0..MORE).for_each(|_| out.extend(&mov[trak..trak + trak_len]));
    out.extend(&mov[trak + trak_len..moov + moov_len]);
    out.extend(&mov[moov + moov_len..]);
    put(&mut out, moov, (moov_len + MORE * trak_len) as u32);
    out
}

/// A track whose bytes lie in another file, which is there.
fn elsewhere(target: &Path) -> Vec<u8> {
    let mov = made("a.mov", "-c:v mjpeg");
    // Not the word of the handler before it.
    let dref = find(&mov, b"dref");
    let url = dref + find(&mov[dref..], b"url ") - 4;
    let mut out = mov[..url].to_vec();
    let name = format!("file://{}\0", target.display());
    out.extend((12 + name.len() as u32).to_be_bytes());
    // No flag: the data are not in this file.
    out.extend([&b"url "[..], &[0; 4], name.as_bytes()].concat());
    out.extend(&mov[url + be(&mov, url) as usize..]);
    let grown = 12 + name.len() as u32 - be(&mov, url);
    for part in [&b"moov"[..], b"trak", b"mdia", b"minf", b"dinf", b"dref"] {
        let at = find(&mov, part) - 4;
        put(&mut out, at, be(&mov, at) + grown);
    }
    let mdat = find(&out, b"mdat");
    let end = mdat - 4 + be(&out, mdat - 4) as usize;
    out[mdat + 4..end].fill(0);
    out
}

/// Sizes of boxes and tables turned to nonsense, one for each number.
fn crooked(n: usize) -> Vec<u8> {
    let mut mov = made("a.mov", "-c:v libx264 -movflags +faststart");
    let boxes = [&b"moov"[..], b"trak", b"stsd", b"stsc", b"stco", b"stts", b"ctts", b"elst"];
    let name = boxes[n % boxes.len()];
    let at = mov.windows(4).position(|w| w == name).unwrap_or(100);
    let value = [0, 7, 0x7fff_ffff, 0xffff_ffff][n % 4];
    let place = if n.is_multiple_of(2) { at - 4 } else { at + 8 };
    put(&mut mov, place, value);
    mov
}

fn clips(place: &Place) -> Vec<Value> {
    place.run(&["find", "limit:100", "--json"]).expect(0).json()["clips"].as_array().unwrap().clone()
}

#[test]
fn each_hostile_clip_costs_itself_and_no_other() {
    let place = Place::new();
    place.config("[policy]\ndistinct_devices = false\n[media]\nprobe_limit_secs = 60\nderive_limit_secs = 120\n");
    let put = |name: &str, bytes: &[u8]| std::fs::write(place.card().join("CLIPS").join(name), bytes).unwrap();
    let good = made("a.mov", "-c:v mjpeg");
    // What the lures point to.
    let secret = place.path("secret.ts");
    std::fs::write(&secret, made("a.ts", "-c:v mpeg2video")).unwrap();
    let at = secret.display();
    let playlists = [
        ("HLS.mov", format!("#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\n{at}\n#EXT-X-ENDLIST\n")),
        ("CONCAT.mxf", format!("ffconcat version 1.0\nfile '{at}'\n")),
        ("SDP.mp4", "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 5004 RTP/AVP 96\n".into()),
        (
            "DASH.mp4",
            format!(
                "<?xml version=\"1.0\"?>\n<MPD xmlns=\"urn:mpeg:dash:schema:mpd:2011\"><BaseURL>{at}</BaseURL></MPD>"
            ),
        ),
        ("NET.mov", "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\nhttp://127.0.0.1:9/x.ts\n#EXT-X-ENDLIST\n".into()),
    ];
    playlists.iter().for_each(|(name, text)| put(name, text.as_bytes()));
    let made = [("BOMB.mov", bomb()), ("TRACKS.mov", many_tracks()), ("ELSEWHERE.mov", elsewhere(&secret))];
    made.iter().for_each(|(name, bytes)| put(name, bytes));
    put("ENDLESS.mov", &endless());
    (0..16).for_each(|n| put(&format!("CROOKED{n:02}.mov"), &crooked(n)));
    put("AAA_GOOD.mov", &good);
    put("ZZZ_GOOD.mov", &good);

    let said = place.offload(&[]);
    let opened: Vec<String> = said.json()["warnings"].as_array().unwrap().iter().map(|w| w["id"].to_string()).collect();
    assert!(said.code == 0 || !opened.is_empty(), "{}", said.stderr);
    let found = clips(&place);
    let state = |name: &str| {
        let clip = found.iter().find(|c| c["name"] == name).unwrap_or_else(|| panic!("no clip {name}: {found:?}"));
        (clip["media"].as_str().unwrap().to_owned(), clip["media_note"].as_str().unwrap_or_default().to_owned())
    };
    assert_eq!((state("AAA_GOOD").0, state("ZZZ_GOOD").0), ("ok".to_owned(), "ok".to_owned()), "{found:#?}");
    let lures = playlists.iter().map(|(n, _)| *n).chain(made.iter().map(|(n, _)| *n));
    for name in lures {
        let (media, note) = state(name.rsplit_once('.').unwrap().0);
        assert!(["unsupported", "failed"].contains(&media.as_str()), "{name}: {media} {note}");
        assert!(note.split(' ').count() >= 3, "{name} gives no sentence: {note:?}");
    }
    // Some of what is crooked can be read all the same, and of an endless table what is there; all of it has an end.
    for clip in &found {
        let media = clip["media"].as_str().unwrap();
        assert!(["ok", "unsupported", "failed"].contains(&media), "{clip}");
        assert!(media == "ok" || !clip["media_note"].is_null(), "{clip}");
    }
    assert_eq!(place.run(&["check", "--json"]).code, 0);
    let work = place.path("state/goodgate/media/.work");
    assert!(!work.exists() || std::fs::read_dir(work).unwrap().next().is_none(), "something was left behind");
}
