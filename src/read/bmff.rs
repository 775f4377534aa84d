//! QuickTime and ISO base media (ISO/IEC 14496-12): MOV, MP4, 3GP, BRAW, CRM, INSV. Boxes of big-endian size and type.

use super::window::{Fault, Window, be32, be64, past_end};
use std::io;

/// Boxes that a walk visits in all; a real file has a few hundred outside its fragments.
pub(crate) const BOXES: usize = 8192;
/// Chunk offsets looked at: the last ones, because writers append.
const LAST_CHUNKS: u64 = 4096;

/// Types that stand at the top of a file. Makers add their own between these, and trailers that are no boxes behind them.
const TOP: [&[u8; 4]; 16] = [
    b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide", b"pnot", b"moof", b"mfra", b"sidx", b"styp", b"uuid",
    b"meta", b"udta", b"pdin", b"PICT",
];

/// Does the file begin like one of this family?
pub fn is_here(head: &[u8]) -> bool {
    head.get(4..8).is_some_and(|kind| TOP.iter().any(|t| t[..] == *kind))
}

pub(crate) struct Header {
    pub kind: [u8; 4],
    pub body: u64,
    /// `None`: runs to the end of whatever holds it.
    pub end: Option<u64>,
}

/// One box with a known end, whole.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Part {
    pub kind: [u8; 4],
    pub body: u64,
    pub end: u64,
}

impl Part {
    /// What it holds, up to `most` bytes.
    pub fn read(&self, w: &mut Window, most: usize) -> io::Result<Vec<u8>> {
        w.read(self.body, usize::try_from(self.end - self.body).unwrap_or(most).min(most))
    }
}

/// The boxes that lie side by side from `from`, as far as they are whole. `left` is what all lists of one file may
/// still hold.
pub(crate) fn inside(w: &mut Window, from: u64, to: u64, left: &mut usize) -> io::Result<Vec<Part>> {
    let (mut at, mut out) = (from, Vec::new());
    while at < to && *left > 0 {
        *left -= 1;
        let Some(b) = header(w, at)? else { break };
        let end = b.end.unwrap_or(to);
        if end > to || b.body > end {
            break;
        }
        out.push(Part { kind: b.kind, body: b.body, end });
        at = end;
    }
    Ok(out)
}

fn header(w: &mut Window, at: u64) -> io::Result<Option<Header>> {
    let bytes = w.read(at, 16)?;
    let (Some(size), Some(kind)) = (be32(&bytes, 0), bytes.get(4..8)) else { return Ok(None) };
    let kind = [kind[0], kind[1], kind[2], kind[3]];
    Ok(match (size, be64(&bytes, 8)) {
        (0, _) => Some(Header { kind, body: at + 8, end: None }),
        (1, Some(large)) if large >= 16 => Some(Header { kind, body: at + 16, end: Some(at.saturating_add(large)) }),
        (8.., _) => Some(Header { kind, body: at + 8, end: Some(at.saturating_add(size.into())) }),
        _ => None,
    })
}

/// How the file is cut short. Call it when `is_here`.
pub fn fault(w: &mut Window) -> Fault {
    let size = w.size();
    let (mut at, mut moov, mut media) = (0, None, false);
    for _ in 0..BOXES {
        if at >= size {
            break;
        }
        let Some(b) = header(w, at)? else { break };
        let end = b.end.unwrap_or(size);
        if !TOP.contains(&&b.kind) && (b.end.is_none() || end > size) {
            break;
        }
        if end > size {
            let name = format!("its \"{}\" box", String::from_utf8_lossy(&b.kind));
            return Ok(Some(past_end(&name, end, size)));
        }
        match &b.kind {
            b"moov" => moov = Some((b.body, end)),
            b"mdat" | b"moof" => media = true,
            _ => {}
        }
        at = end;
    }
    let Some((body, end)) = moov else {
        return Ok(Some("it has no index (\"moov\"): the recording was not finished, or its end is missing".into()));
    };
    for track in tracks(w, body, end)? {
        if !track.self_contained || track.samples == 0 {
            continue;
        }
        if !media {
            return Ok(Some("it has an index but no pictures or sound (\"mdat\")".into()));
        }
        let needed = track.last_chunk.saturating_add(track.last_sample);
        if track.last_chunk > 0 && needed > size {
            return Ok(Some(format!("its index points to byte {needed}, the file ends at {size}")));
        }
    }
    Ok(None)
}

#[derive(Default)]
struct Track {
    /// False when the media lies in another file, as in reference movies.
    self_contained: bool,
    samples: u32,
    /// Highest offset among the last chunks.
    last_chunk: u64,
    /// Size of the last sample: what must at least follow that offset.
    last_sample: u64,
}

/// Everything of interest lies in `trak` boxes; the walk goes down only through the boxes that lead there.
fn tracks(w: &mut Window, from: u64, to: u64) -> io::Result<Vec<Track>> {
    let mut out: Vec<Track> = Vec::new();
    let mut spans = vec![(from, to)];
    let mut visited = 0;
    while let Some((mut at, to)) = spans.pop() {
        while at < to {
            visited += 1;
            if visited > BOXES {
                w.spend();
                return Ok(out);
            }
            let Some(b) = header(w, at)? else { break };
            let end = b.end.unwrap_or(to);
            if end > to {
                break;
            }
            if &b.kind == b"trak" {
                out.push(Track { self_contained: true, ..Track::default() });
            }
            match (&b.kind, out.last_mut()) {
                (b"trak" | b"mdia" | b"minf" | b"stbl" | b"dinf", _) => {
                    // The rest of this level waits on the stack, so that a track's boxes stay together.
                    spans.push((end, to));
                    spans.push((b.body, end));
                    break;
                }
                (b"dref", Some(track)) => {
                    let bytes = w.read(b.body, 20)?;
                    track.self_contained = be32(&bytes, 16).is_none_or(|flags| flags & 1 == 1);
                }
                (b"stsz", Some(track)) => sizes(w, b.body, end, track)?,
                (b"stco", Some(track)) => chunks(w, b.body, end, 4, track)?,
                (b"co64", Some(track)) => chunks(w, b.body, end, 8, track)?,
                _ => {}
            }
            at = end;
        }
    }
    Ok(out)
}

fn sizes(w: &mut Window, body: u64, end: u64, track: &mut Track) -> io::Result<()> {
    let bytes = w.read(body, 12)?;
    let (Some(each), Some(count)) = (be32(&bytes, 4), be32(&bytes, 8)) else { return Ok(()) };
    track.samples = count;
    let last = body + 12 + 4 * u64::from(count.saturating_sub(1));
    track.last_sample = match each {
        0 if count > 0 && last + 4 <= end => w.array(last)?.map_or(0, |b| u32::from_be_bytes(b).into()),
        each => each.into(),
    };
    Ok(())
}

fn chunks(w: &mut Window, body: u64, end: u64, width: u64, track: &mut Track) -> io::Result<()> {
    let Some(count) = w.array(body + 4)?.map(u32::from_be_bytes) else { return Ok(()) };
    let held = u64::from(count).min(end.saturating_sub(body + 8) / width);
    let first = held.saturating_sub(LAST_CHUNKS);
    let bytes = w.read(body + 8 + first * width, ((held - first) * width) as usize)?;
    let offsets = bytes.chunks_exact(width as usize).map(|c| c.iter().fold(0, |n, b| n << 8 | u64::from(*b)));
    track.last_chunk = offsets.max().unwrap_or(0);
    Ok(())
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use std::io::Cursor;

    pub(crate) fn atom(kind: &[u8; 4], body: &[u8]) -> Vec<u8> {
        [&(body.len() as u32 + 8).to_be_bytes()[..], kind, body].concat()
    }

    /// A movie of one track with `samples` samples of 10 bytes, index last; media in another file on request.
    pub(crate) fn movie(samples: u32, elsewhere: bool) -> Vec<u8> {
        let ftyp = atom(b"ftyp", b"qt  \0\0\0\0qt  ");
        let mdat = atom(b"mdat", &vec![1; samples as usize * 10]);
        let first = ftyp.len() as u32 + 8;
        let table = |head: &[u32], rows: Vec<u32>| -> Vec<u8> {
            head.iter().chain(&rows).flat_map(|v| v.to_be_bytes()).collect()
        };
        let stsz = atom(b"stsz", &table(&[0, 0, samples], vec![10; samples as usize]));
        let stco = atom(b"stco", &table(&[0, samples], (0..samples).map(|n| first + n * 10).collect()));
        let entry = atom(b"url ", &u32::from(!elsewhere).to_be_bytes());
        let dref = atom(b"dref", &[&table(&[0, 1], vec![])[..], &entry].concat());
        let stbl = atom(b"stbl", &[stsz, stco].concat());
        let minf = atom(b"minf", &[atom(b"dinf", &dref), stbl].concat());
        let moov = atom(b"moov", &atom(b"trak", &atom(b"mdia", &minf)));
        [ftyp, mdat, moov].concat()
    }

    fn fault_of(bytes: &[u8]) -> Option<String> {
        let mut file = Cursor::new(bytes);
        fault(&mut Window::new(&mut file, bytes.len() as u64)).unwrap()
    }

    #[test]
    fn a_whole_movie_has_no_fault() {
        assert_eq!(fault_of(&movie(5, false)), None);
    }

    #[test]
    fn every_cut_of_a_movie_is_seen() {
        let whole = movie(5, false);
        for len in 8..whole.len() {
            assert!(fault_of(&whole[..len]).is_some(), "cut to {len} of {}", whole.len());
        }
    }

    #[test]
    fn a_makers_trailer_is_no_fault() {
        assert_eq!(fault_of(&[&movie(5, false)[..], b"8db42d694ccc418790edff439fe026bf"].concat()), None);
    }

    #[test]
    fn a_makers_own_box_before_the_index_is_no_fault() {
        let whole = movie(5, false);
        // Behind the media, so that the chunk offsets stay true.
        let moov = whole.windows(4).position(|w| w == b"moov").unwrap() - 4;
        assert_eq!(fault_of(&[&whole[..moov], &atom(b"sefd", &[1; 50]), &whole[moov..]].concat()), None);
    }

    #[test]
    fn an_index_without_its_media_is_a_fault_unless_the_media_lies_elsewhere() {
        let without = |elsewhere| {
            let mut bytes = movie(5, elsewhere);
            let mdat = bytes.windows(4).position(|w| w == b"mdat").unwrap() - 4;
            bytes.drain(mdat..mdat + 58);
            bytes
        };
        assert!(fault_of(&without(false)).unwrap().contains("no pictures"));
        assert_eq!(fault_of(&without(true)), None);
    }

    #[test]
    fn chunks_past_the_end_are_a_fault() {
        let mut bytes = movie(5, false);
        let at = bytes.windows(4).position(|w| w == b"stco").unwrap() + 12 + 16;
        bytes[at..at + 4].copy_from_slice(&90_000u32.to_be_bytes());
        assert!(fault_of(&bytes).unwrap().contains("90010"));
    }
}
