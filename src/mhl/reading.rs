//! Reads many files of one tree in lanes, each file once for all its formats.

use crate::digest::HashFormat;
use crate::disk::Root;
use crate::progress::{Event, Progress};
use crate::relpath::RelPath;
use crate::verify::{Lane, ReadFault, SMALL_BYTES, Taken, take_all, with_lanes};
use std::cell::RefCell;
use std::io;
use std::time::Duration;

/// Small files go through a lane in groups of at most so many, or so many bytes. A group's files are open together.
const GROUP_FILES: usize = 48;
const GROUP_BYTES: u64 = 8 << 20;
/// Lanes for small files on any device: while one group is hashed the next is on its way. They come in the order of
/// their names, which no head has to jump for.
const SMALL_LANES: usize = 4;

/// How the tree is read.
#[derive(Clone, Copy, Debug)]
pub struct Reading<'a> {
    /// As mountinfo names it.
    pub fs_type: &'a str,
    /// Files read at once.
    pub lanes: usize,
}

/// A file to be read.
#[derive(Clone, Debug)]
pub struct Ask {
    pub path: RelPath,
    pub formats: Vec<HashFormat>,
    /// As recorded, to form groups; the file itself decides.
    pub size_bytes: u64,
}

#[derive(Debug)]
pub enum Got {
    Taken(Taken),
    Missing,
    /// It changes while it is read.
    Changing,
    Unreadable(String),
    Stopped,
}

/// Gives each answer with the number of its question, in the order in which they come.
pub fn read_all(
    root: &Root,
    reading: Reading<'_>,
    asked: &[Ask],
    progress: &dyn Progress,
    mut answer: impl FnMut(usize, Got),
) {
    let bytes = asked.iter().map(|a| a.size_bytes).sum();
    progress.event(Event::Begin { what: "checking", roll: "", files: asked.len() as u64, bytes });
    let name = format!("check {}", root.path().display());
    let lane = Lane { name: &name, fs_type: reading.fs_type };
    thread_local!(static SPARE: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) });
    let said = |ask: &Ask, taken: Result<Taken, ReadFault>| match taken {
        Ok(taken) => {
            progress.event(Event::FileDone { relpath: &ask.path, lane: lane.name });
            Got::Taken(taken)
        }
        Err(ReadFault::Stopped) => Got::Stopped,
        Err(ReadFault::Changed) => Got::Changing,
        Err(ReadFault::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => Got::Missing,
        Err(fault) => Got::Unreadable(fault.to_string()),
    };
    let work = |_, group: Vec<usize>| {
        let files: Vec<_> = group.iter().map(|i| (&asked[*i].path, &asked[*i].formats[..])).collect();
        let taken = SPARE.with_borrow_mut(|spare| take_all(root, &files, &lane, spare, progress));
        group.into_iter().zip(taken).map(|(i, taken)| (i, said(&asked[i], taken))).collect::<Vec<_>>()
    };
    let (small, large): (Vec<usize>, Vec<usize>) = (0..asked.len()).partition(|i| asked[*i].size_bytes <= SMALL_BYTES);
    // One after the other: a head cannot be in two places.
    for (order, lanes) in [(small, reading.lanes.max(SMALL_LANES)), (large, reading.lanes.max(1))] {
        let mut next = 0;
        if order.is_empty() {
            continue;
        }
        with_lanes(&[lanes], work, |lanes| {
            loop {
                while next < order.len() && lanes.has_room(0) && !progress.stop_asked() {
                    let end = group(asked, &order, next);
                    lanes.give(0, order[next..end].to_vec());
                    next = end;
                }
                if lanes.out(0) == 0 {
                    break;
                }
                if let Some((_, got)) = lanes.take(Duration::from_millis(200)) {
                    got.into_iter().for_each(|(i, got)| answer(i, got));
                }
            }
        });
        order[next..].iter().for_each(|i| answer(*i, Got::Stopped));
    }
}

/// The end of the group that begins at `from`.
fn group(asked: &[Ask], order: &[usize], from: usize) -> usize {
    let mut bytes = 0;
    let fits = order[from..].iter().take(GROUP_FILES).take_while(|i| {
        bytes += asked[**i].size_bytes;
        bytes <= GROUP_BYTES
    });
    from + fits.count().max(1)
}
