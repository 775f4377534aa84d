//! From which files a clip's outputs are made: one file, the parts of a recording in a row, numbered pictures, and the
//! sound that lies beside them.

use super::describe::{Copies, Room};
use super::parts::in_a_row;
use super::targets::Want;
use crate::card::{self, frame_places};
use crate::catalog::ClipRow;
use crate::clip::{ClipMetadata, Role};
use crate::fact::{ASSUMED, Field};
use crate::media::protocol::MAX_MORE;
use crate::media::{self, Frames, Probe, Source};
use crate::relpath::RelPath;
use crate::timecode::{FrameRate, Timecode};
use std::collections::BTreeSet;
use std::fs::File;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Of numbered pictures that nobody knows a rate of.
const STILLS_A_SECOND: FrameRate = FrameRate::new(25, 1).expect("a rate");

const MOST_FILES: usize = MAX_MORE + 1;

/// One run of the child.
pub(super) struct Take {
    /// One file, or several in a row.
    pub files: Vec<RelPath>,
    /// Where each of the files stands among numbered pictures, and how many there should be.
    pub numbered: Option<(Vec<u64>, u64, FrameRate)>,
    /// Files of sound, in the order of their tracks.
    pub beside: Vec<RelPath>,
    pub wants: Vec<Want>,
    pub start_tc: Option<Timecode>,
    /// What is to be said of every proxy made of it.
    pub notes: Vec<String>,
    /// The same of the one for looking at.
    pub web_note: Option<String>,
}

/// Set when a picture that should be there could not be opened: what was made without it is not kept.
pub(super) type Lost = Arc<AtomicBool>;

impl Take {
    pub fn of(file: &RelPath, wants: Vec<Want>, start_tc: Option<Timecode>) -> Self {
        let (files, beside) = (vec![file.clone()], Vec::new());
        Take { files, numbered: None, beside, wants, start_tc, notes: Vec::new(), web_note: None }
    }

    pub fn is_one_file(&self) -> bool {
        self.files.len() == 1 && self.numbered.is_none()
    }

    /// More files than one child gets are left out, and told.
    fn cut(mut self) -> Self {
        let (files, sound) = (self.files.len(), self.beside.len());
        if self.numbered.is_none() && files + sound > MOST_FILES {
            self.files.truncate(MOST_FILES);
            self.beside.truncate(MOST_FILES - self.files.len());
            let left = self.files.len() + self.beside.len();
            self.notes.push(format!("only {left} of its {} files are in it", files + sound));
        }
        self
    }

    /// Opens its files; `None` when one of them cannot be read now.
    pub fn open(&self, copies: &Copies) -> Option<(Source, Vec<File>, Lost)> {
        let lost = Lost::default();
        let beside = self.beside.iter().map(|p| copies.file(p)).collect::<Option<Vec<_>>>()?;
        let source = match &self.numbered {
            None if self.files.len() == 1 => Source::File(copies.file(&self.files[0])?),
            None => Source::Chapters(self.files.iter().map(|p| copies.file(p)).collect::<Option<_>>()?),
            Some((places, total, rate)) => {
                // Those at hand tell at once that no copy is here.
                copies.file(self.files.first()?)?;
                let frames: Vec<(u64, RelPath)> = places.iter().copied().zip(self.files.iter().cloned()).collect();
                let next = Box::new(numbered(frames, copies.clone(), lost.clone()));
                Source::Frames(Frames { rate: *rate, total: *total, next })
            }
        };
        Some((source, beside, lost))
    }
}

fn numbered(
    frames: Vec<(u64, RelPath)>,
    copies: Copies,
    lost: Lost,
) -> impl FnMut() -> Option<Option<File>> + Send + 'static {
    let mut frames = frames.into_iter().peekable();
    let mut at = 0;
    move || {
        let (place, _) = frames.peek()?;
        let here = *place == at;
        at += 1;
        if !here {
            return Some(None);
        }
        let (_, relpath) = frames.next()?;
        let file = copies.file(&relpath);
        if file.is_none() {
            lost.store(true, Ordering::Relaxed);
        }
        Some(file)
    }
}

impl Room<'_> {
    /// Shares out what is wanted of a clip: proxies for relinking are made of each file of a recording, all others of the
    /// whole.
    pub(super) fn takes(&self, clip: &ClipRow, m: &ClipMetadata, wants: Vec<Want>) -> Vec<Take> {
        let essence: Vec<&RelPath> = of(clip, Role::Essence).collect();
        let Some(first) = essence.first().copied() else { return Vec::new() };
        if card::is_frame(first) {
            let mut take = Take { beside: sound(clip, m), ..Take::of(first, wants, m.start_tc) };
            if essence.len() > 1 {
                let rate = m.video.as_ref().and_then(|v| v.rate).unwrap_or(STILLS_A_SECOND);
                let (places, total) = frame_places(&essence);
                if m.said.iter().find(|s| s.fact.field == Field::Fps).is_none_or(|s| s.by == ASSUMED) {
                    take.notes.push(format!("its pictures say no rate: {} is assumed", rate.text()));
                }
                take.files = essence.into_iter().cloned().collect();
                take.numbered = Some((places, total, rate));
            }
            return vec![take];
        }
        if m.video.is_none() {
            let mut take = Take { beside: sound(clip, m), ..Take::of(first, wants, m.start_tc) };
            take.beside.retain(|p| p != first);
            let later = essence.iter().filter(|p| **p != first && !take.beside.contains(p)).count();
            if later > 0 {
                take.notes.push(format!("{later} of its files go on from others and are not in it"));
            }
            return vec![take.cut()];
        }
        if essence.len() < 2 || !in_a_row(clip) {
            return vec![Take { beside: sound(clip, m), ..Take::of(first, wants, m.start_tc) }];
        }
        self.parts(&essence, m, wants)
    }

    fn parts(&self, essence: &[&RelPath], m: &ClipMetadata, wants: Vec<Want>) -> Vec<Take> {
        let (relink, whole): (Vec<Want>, Vec<Want>) = wants.into_iter().partition(|w| w.output.is_relink());
        let mut out = Vec::new();
        let mut start = m.start_tc;
        for (n, file) in essence.iter().copied().enumerate().filter(|_| !relink.is_empty()) {
            let is_its = |w: &&Want| w.file.as_ref().unwrap_or(essence[0]) == file;
            let wants: Vec<Want> = relink.iter().filter(is_its).cloned().collect();
            let limits = self.probe_limits();
            let said = self.roots.file(file).and_then(|f| media::probe(&self.tool, f, &limits).ok());
            let said = match said {
                Some(Probe::Ok(said)) => *said,
                _ => ClipMetadata::default(),
            };
            // A later file that says nothing goes on where the one before it ended.
            let own = if n == 0 { m.start_tc } else { said.start_tc.or(start) };
            if !wants.is_empty() {
                out.push(Take::of(file, wants, own));
            }
            let rate = said.video.as_ref().and_then(|v| v.counting_rate());
            start = own.zip(said.duration_frames).zip(rate).map(|((tc, n), r)| tc.plus(tc.rate.count_of(n, r)));
        }
        if !whole.is_empty() {
            let files = essence.iter().copied().cloned().collect();
            // First: what editors look at.
            out.insert(0, Take { files, ..Take::of(essence[0], whole, m.start_tc) }.cut());
        }
        out
    }
}

fn of(clip: &ClipRow, role: Role) -> impl Iterator<Item = &RelPath> {
    clip.files.iter().filter(move |(_, r)| *r == role).map(|(p, _)| p)
}

/// Files whose sound goes with the clip, in the order of their tracks: where the picture's own file has sound, that is the
/// clip's, as it is in an editing program.
fn sound(clip: &ClipRow, m: &ClipMetadata) -> Vec<RelPath> {
    let first = of(clip, Role::Essence).next();
    if m.video.is_some() && m.audio.iter().any(|a| a.file.is_none()) {
        return Vec::new();
    }
    let mut seen = BTreeSet::new();
    let files = m.audio.iter().filter_map(|a| a.file.as_ref()).filter(|p| Some(*p) != first);
    files.filter(|p| seen.insert((*p).clone())).cloned().collect()
}
