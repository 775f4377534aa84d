//! Which frames of a clip lie in which part of its file, so that damage can be told in timecode.

use crate::digest::{BLOCK_BYTES, hex, unhex};
use crate::timecode::{FrameRate, Timecode};
use serde::{Deserialize, Serialize};

/// Parts of a file that are told apart: its 1 MiB blocks; of a file of more than 64 GiB, two, four, ... of them together.
const MAX_CELLS: u64 = 1 << 16;
/// Of the packed cells. They take two or three bytes each; what takes more is no recording.
const MAX_BYTES: usize = 3 << 16;
/// A crafted index must not cost minutes.
const MAX_STEPS: u64 = 1 << 23;
/// Ranges that are spelled out.
const MOST: usize = 8;

/// For each cell of a file the frames that can not be seen rightly without it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FrameMap {
    cell_bytes: u64,
    frames: u64,
    /// A cell is how many frames, and if there are any, how far its first one lies from that of the last cell that had
    /// some (zigzag); both as LEB128.
    #[serde(serialize_with = "to_hex", deserialize_with = "from_hex")]
    cells: Vec<u8>,
}

impl FrameMap {
    /// As it was kept; `None` for what no map can be.
    pub fn from_parts(cell_bytes: u64, frames: u64, cells: Vec<u8>) -> Option<Self> {
        let sound = cell_bytes >= BLOCK_BYTES && cell_bytes.is_power_of_two() && cells.len() <= MAX_BYTES;
        Some(FrameMap { cell_bytes, frames, cells }).filter(|_| sound)
    }

    pub fn cell_bytes(&self) -> u64 {
        self.cell_bytes
    }

    pub fn frames(&self) -> u64 {
        self.frames
    }

    pub fn packed(&self) -> &[u8] {
        &self.cells
    }

    /// Whether it is one that [`Builder`] may have made.
    pub fn is_sound(&self) -> bool {
        Self::from_parts(self.cell_bytes, self.frames, Vec::new()).is_some() && self.cells.len() <= MAX_BYTES
    }

    /// First and last frame of all that `(offset, length)` parts of the file spoil, ascending and joined.
    pub fn spoiled(&self, parts: &[(u64, u64)]) -> Vec<(u64, u64)> {
        let ends = |&(at, len): &(u64, u64)| {
            (len > 0).then(|| (at / self.cell_bytes, at.saturating_add(len - 1) / self.cell_bytes))
        };
        let wanted = joined(parts.iter().filter_map(ends).collect());
        let is_wanted = |cell: u64| wanted.get(wanted.partition_point(|w| w.1 < cell)).is_some_and(|w| w.0 <= cell);
        let hit = self.each().filter(|(cell, ..)| is_wanted(*cell));
        let hit = hit.map(|(_, first, last)| (first, last.min(self.frames.saturating_sub(1))));
        joined(hit.filter(|(first, last)| first <= last).collect())
    }

    /// Cells that hold frames: number, first and last frame.
    fn each(&self) -> impl Iterator<Item = (u64, u64, u64)> + '_ {
        let (mut rest, mut cell, mut before) = (&self.cells[..], 0u64, 0u64);
        std::iter::from_fn(move || {
            loop {
                let count = take(&mut rest)?;
                cell += 1;
                if count > 0 {
                    let step = take(&mut rest)?;
                    before = before.wrapping_add((step >> 1) ^ (step & 1).wrapping_neg());
                    return Some((cell - 1, before, before.saturating_add(count - 1)));
                }
            }
        })
    }
}

/// Ascending, neighbours made one.
fn joined(mut ranges: Vec<(u64, u64)>) -> Vec<(u64, u64)> {
    ranges.sort_unstable();
    ranges.into_iter().fold(Vec::new(), |mut out: Vec<(u64, u64)>, next| {
        match out.last_mut() {
            Some((_, end)) if next.0 <= end.saturating_add(1) => *end = next.1.max(*end),
            _ => out.push(next),
        }
        out
    })
}

/// Makes a map of packets in the order in which they are decoded.
pub struct Builder {
    cell_bytes: u64,
    /// First and last frame, and the group of pictures that touched it last.
    cells: Vec<(u64, u64, u64)>,
    frames: u64,
    group: u64,
    /// Cells of this group, as far as they are next to each other.
    touched: Option<(usize, usize)>,
    steps: u64,
    depends: bool,
}

const NONE: (u64, u64, u64) = (u64::MAX, 0, 0);

impl Builder {
    pub fn new(file_bytes: u64) -> Self {
        let mut cell_bytes = BLOCK_BYTES;
        while file_bytes.div_ceil(cell_bytes) > MAX_CELLS {
            cell_bytes *= 2;
        }
        let cells = vec![NONE; file_bytes.div_ceil(cell_bytes) as usize];
        Builder { cell_bytes, cells, frames: 0, group: 0, touched: None, steps: 0, depends: false }
    }

    /// The next packet's bytes in the file. `is_key`: it needs none before it; not `is_shown`: only others need it.
    pub fn add(&mut self, at: u64, size_bytes: u64, is_key: bool, is_shown: bool) {
        if is_key {
            self.close();
        }
        self.depends |= !is_key;
        if size_bytes > 0 && self.steps < MAX_STEPS {
            let cell = |byte: u64| usize::try_from(byte / self.cell_bytes).unwrap_or(usize::MAX);
            let (first, last) =
                (cell(at), cell(at.saturating_add(size_bytes - 1)).min(self.cells.len().wrapping_sub(1)));
            for c in self.cells.get_mut(first..=last).unwrap_or_default() {
                self.steps += 1;
                (c.0, c.2) = (c.0.min(self.frames), self.group + 1);
                self.touched = Some(self.touched.map_or((first, last), |(a, b)| (a.min(first), b.max(last))));
            }
        }
        self.frames += u64::from(is_shown);
    }

    /// Without its start, no picture of a group is right up to the group's end.
    fn close(&mut self) {
        if let Some((first, last)) = self.touched.take() {
            self.steps += (last - first) as u64;
            for c in self.cells[first..=last].iter_mut().filter(|c| c.2 == self.group + 1) {
                c.1 = c.1.max(self.frames);
            }
        }
        self.group += 1;
    }

    /// `reorder` is how many pictures may be shown later than they are decoded. `None`: nothing to tell, or too much.
    pub fn finish(mut self, reorder: u64) -> Option<FrameMap> {
        self.close();
        if self.frames == 0 || self.steps >= MAX_STEPS {
            return None;
        }
        let reorder = if self.depends { reorder } else { 0 };
        let (mut cells, mut before) = (Vec::new(), 0u64);
        for (first, end, _) in self.cells {
            if first >= end {
                put(&mut cells, 0);
                continue;
            }
            let (first, end) = (first.saturating_sub(reorder), end.saturating_add(reorder).min(self.frames));
            put(&mut cells, end - first);
            let step = first.wrapping_sub(before) as i64;
            put(&mut cells, ((step << 1) ^ (step >> 63)) as u64);
            before = first;
        }
        FrameMap::from_parts(self.cell_bytes, self.frames, cells)
    }
}

fn put(out: &mut Vec<u8>, mut n: u64) {
    while n >= 0x80 {
        out.push(n as u8 | 0x80);
        n >>= 7;
    }
    out.push(n as u8);
}

fn take(from: &mut &[u8]) -> Option<u64> {
    let mut n = 0u64;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = from.split_first()?;
        *from = rest;
        n |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(n);
        }
    }
    None
}

fn to_hex<S: serde::Serializer>(bytes: &[u8], s: S) -> Result<S::Ok, S::Error> {
    s.serialize_str(&hex(bytes))
}

fn from_hex<'de, D: serde::Deserializer<'de>>(d: D) -> Result<Vec<u8>, D::Error> {
    let text = String::deserialize(d)?;
    unhex(&text).ok_or_else(|| serde::de::Error::custom("no hexadecimal digits"))
}

/// `01:00:04:12-01:00:05:02, 01:00:09:00`: first and last frames, which count at `rate` from the clip's first one. A clip
/// without timecode of its own is counted from its first frame: `+00:00:04:12`. `None` of no frames.
pub fn spell(ranges: &[(u64, u64)], start: Option<Timecode>, rate: FrameRate) -> Option<String> {
    let sign = if start.is_some() { "" } else { "+" };
    let start = start.unwrap_or(Timecode::from_frame(0, rate, false));
    // Of a clip of 50 frames a second the timecode may count 25.
    let at = |frame| format!("{sign}{}", start.plus(start.rate.count_of(frame, rate)));
    let one = |&(first, last): &(u64, u64)| match (at(first), at(last)) {
        (first, last) if first == last => first,
        (first, last) => format!("{first}-{last}"),
    };
    let mut said: Vec<String> = ranges.iter().take(MOST).map(one).collect();
    if ranges.len() > MOST {
        said.push("...".into());
    }
    (!said.is_empty()).then(|| said.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MIB: u64 = BLOCK_BYTES;

    #[test]
    fn a_picture_that_needs_no_other_is_spoiled_alone() {
        let mut b = Builder::new(4 * MIB);
        // The head, then ten frames of 300 KiB from 64 KiB on.
        (0..10).for_each(|n| b.add(65_536 + n * 307_200, 307_200, true, true));
        let map = b.finish(2).unwrap();
        assert_eq!(map.spoiled(&[(0, MIB)]), [(0, 3)]);
        assert_eq!(map.spoiled(&[(MIB, MIB)]), [(3, 6)]);
        assert_eq!(map.spoiled(&[(0, MIB), (2 * MIB, MIB)]), [(0, 3), (6, 9)]);
        assert_eq!(map.spoiled(&[(3 * MIB, MIB)]), [], "only the end of the file");
        assert_eq!(map.spoiled(&[(0, u64::MAX)]), [(0, 9)]);
        assert_eq!(map.spoiled(&[(u64::MAX, 5), (9, 0)]), []);
    }

    #[test]
    fn a_group_of_pictures_is_spoiled_to_its_end_and_as_far_as_it_is_reordered() {
        let mut b = Builder::new(8 * MIB);
        (0..40).for_each(|n| b.add(n * 200_000, 200_000, n % 10 == 0, true));
        let map = b.finish(2).unwrap();
        // Block 1 holds bytes of frames 5 to 10.
        assert_eq!(map.spoiled(&[(MIB, MIB)]), [(3, 21)]);
    }

    #[test]
    fn frames_that_are_not_shown_have_no_number() {
        let mut b = Builder::new(MIB * 2);
        b.add(0, 10, true, false);
        b.add(10, 10, false, false);
        b.add(MIB, 10, false, true);
        let map = b.finish(0).unwrap();
        assert_eq!((map.frames(), map.spoiled(&[(0, 1)])), (1, vec![(0, 0)]));
        let mut b = Builder::new(MIB);
        b.add(0, 10, true, false);
        assert_eq!(b.finish(0), None);
    }

    #[test]
    fn a_long_file_has_wider_cells_and_a_map_is_always_small() {
        let mut b = Builder::new(1 << 38);
        (0..200_000u64).for_each(|n| b.add(n * 1_300_000, 1_300_000, true, true));
        let map = b.finish(0).unwrap();
        assert_eq!(map.cell_bytes(), 4 * MIB);
        assert!(map.packed().len() <= 2 << 16, "{}", map.packed().len());
        assert_eq!(map.spoiled(&[(130_000_000_000, 1)]).len(), 1);
        assert!(Builder::new(u64::MAX).cells.len() as u64 <= MAX_CELLS);
    }

    #[test]
    fn a_crafted_index_ends_soon() {
        let mut b = Builder::new(1 << 36);
        (0..1_000_000).for_each(|_| b.add(0, u64::MAX, true, true));
        assert_eq!(b.finish(u64::MAX), None);
    }

    #[test]
    fn ranges_are_spelled_at_the_rate_that_the_timecode_counts() {
        let fifty = FrameRate::new(50, 1).unwrap();
        let start = Timecode::parse("01:00:00:00", FrameRate::new(25, 1).unwrap());
        let text = |ranges: &[_], start| spell(ranges, start, fifty);
        assert_eq!(text(&[(100, 149), (200, 200)], start).unwrap(), "01:00:02:00-01:00:02:24, 01:00:04:00");
        assert_eq!(text(&[(100, 149)], None).unwrap(), "+00:00:02:00-+00:00:02:49");
        assert_eq!(text(&[], start), None);
        let many: Vec<(u64, u64)> = (0..20).map(|n| (n * 10, n * 10)).collect();
        assert!(text(&many, start).unwrap().ends_with(", ..."));
    }

    proptest! {
        #[test]
        fn every_block_of_a_frame_names_it_also_after_the_pipe(
            packets in proptest::collection::vec((0u64..20_000_000, 1u64..3_000_000, any::<bool>()), 1..60),
        ) {
            let mut b = Builder::new(16 * MIB);
            packets.iter().for_each(|(at, size, key)| b.add(*at, *size, *key, true));
            let map = b.finish(0).unwrap();
            let text = serde_json::to_string(&map).unwrap();
            let map: FrameMap = serde_json::from_str(&text).unwrap();
            for (n, (at, size, _)) in packets.iter().enumerate().filter(|(_, p)| p.0 + p.1 <= 16 * MIB) {
                for byte in [*at, at + size - 1] {
                    let hit = map.spoiled(&[(byte / MIB * MIB, MIB)]);
                    prop_assert!(hit.iter().any(|(a, b)| (*a..=*b).contains(&(n as u64))), "{n} at {byte}: {hit:?}");
                }
            }
        }

        #[test]
        fn no_bytes_make_it_panic(cells in proptest::collection::vec(any::<u8>(), 0..300), frames in any::<u64>()) {
            let map = FrameMap::from_parts(MIB, frames, cells).unwrap();
            for (first, last) in map.spoiled(&[(0, u64::MAX)]) {
                prop_assert!(first <= last && last < frames);
            }
        }
    }
}
