//! Reads many files of one tree in lanes, each file once for all its formats.

use crate::digest::HashFormat;
use crate::disk::Root;
use crate::progress::{Event, Progress};
use crate::relpath::RelPath;
use crate::verify::{Lane, ReadFault, Taken, take, with_lanes};
use std::cell::RefCell;
use std::io;
use std::time::Duration;

/// Small files go through a lane in groups of at most so many, or so many bytes: waking a thread costs more than
/// reading one of them.
const GROUP_FILES: usize = 64;
const GROUP_BYTES: u64 = 8 << 20;

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
pub(crate) struct Ask {
    pub path: RelPath,
    pub formats: Vec<HashFormat>,
    /// As recorded, to form groups; the file itself decides.
    pub size_bytes: u64,
}

#[derive(Debug)]
pub(crate) enum Got {
    Taken(Taken),
    Missing,
    /// It changes while it is read.
    Changing,
    Unreadable(String),
    Stopped,
}

/// Gives each answer with the number of its question, in the order in which they come.
pub(crate) fn read_all(
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
    thread_local!(static SPARE: RefCell<Option<crate::disk::write::Buffer>> = const { RefCell::new(None) });
    let read = |ask: &Ask| {
        SPARE.with_borrow_mut(|spare| match take(root, &ask.path, &ask.formats, &lane, spare, progress) {
            Ok(taken) => {
                progress.event(Event::FileDone { relpath: &ask.path, lane: lane.name });
                Got::Taken(taken)
            }
            Err(ReadFault::Stopped) => Got::Stopped,
            Err(ReadFault::Changed) => Got::Changing,
            Err(ReadFault::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => Got::Missing,
            Err(fault) => Got::Unreadable(fault.to_string()),
        })
    };
    let work = |_, group: std::ops::Range<usize>| {
        let got: Vec<Got> = asked[group.clone()].iter().map(read).collect();
        (group.start, got)
    };
    let mut next = 0;
    with_lanes(&[reading.lanes.max(1)], work, |lanes| {
        loop {
            while next < asked.len() && lanes.has_room(0) && !progress.stop_asked() {
                let end = group(asked, next);
                lanes.give(0, next..end);
                next = end;
            }
            if lanes.out(0) == 0 {
                break;
            }
            if let Some((_, (first, got))) = lanes.take(Duration::from_millis(200)) {
                got.into_iter().enumerate().for_each(|(i, got)| answer(first + i, got));
            }
        }
    });
    (next..asked.len()).for_each(|i| answer(i, Got::Stopped));
}

/// The end of the group that begins at `from`.
fn group(asked: &[Ask], from: usize) -> usize {
    let mut bytes = 0;
    let fits = asked[from..].iter().take(GROUP_FILES).take_while(|a| {
        bytes += a.size_bytes;
        bytes <= GROUP_BYTES
    });
    from + fits.count().max(1)
}
