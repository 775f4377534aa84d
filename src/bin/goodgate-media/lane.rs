//! Each output is made on a thread of its own, so that decoding, scaling and encoding go on at once. Pictures go from
//! lane to lane, each time smaller; sound goes to every lane that wants it. Channels are short: the slowest lane sets
//! the pace and memory stays bounded.

use crate::file_io::Shared;
use ffmpeg_next::{ffi, frame};
use goodgate::media::protocol::Outcome;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{Builder, JoinHandle};

pub enum Item {
    /// Its time is in the clock's time base.
    Picture(frame::Video),
    /// Of one track, by its place among the clip's tracks; its time begins with the picture.
    Sound(usize, frame::Audio),
}

/// Pictures that wait between two lanes.
const WAITING: usize = 3;

/// Pictures, and what of the clip is not among them.
pub type Made = Result<(u64, Option<String>), Outcome>;

/// Set when a lane needs nothing more.
#[derive(Clone, Default)]
pub struct Full(Arc<AtomicBool>);

impl Full {
    pub fn set(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    pub fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

pub struct Lane {
    pub into: SyncSender<Item>,
    full: Full,
    thread: std::io::Result<JoinHandle<Vec<Made>>>,
}

impl Lane {
    /// `work` takes what comes until there is no more, and answers for each of the lane's outputs.
    pub fn start(name: &str, work: impl FnOnce(Receiver<Item>, Full) -> Vec<Made> + Send + 'static) -> Self {
        let (into, from) = sync_channel(WAITING);
        let full = Full::default();
        let known = full.clone();
        let thread = Builder::new().name(name.into()).spawn(move || work(from, known));
        Lane { into, full, thread }
    }

    pub fn wants_more(&self) -> bool {
        self.thread.is_ok() && !self.full.is_set()
    }

    /// Waits for its end; the caller has dropped every other sender.
    pub fn finish(self, outputs: usize) -> Vec<Made> {
        drop(self.into);
        let why = match self.thread.map(JoinHandle::join) {
            Ok(Ok(made)) => return made,
            Ok(Err(_)) => "goodgate-media has a fault in itself (panic)".to_owned(),
            Err(e) => format!("no thread: {e}"),
        };
        (0..outputs).map(|_| Err(Outcome::Failed(why.clone()))).collect()
    }
}

/// The file's own trouble comes first: libav only says "error".
pub fn failed(file: &Shared, why: String) -> Outcome {
    Outcome::Failed(file.trouble().unwrap_or(why))
}

/// Another reference to the same pixels; cloning would copy them.
pub fn share(frame: &frame::Video) -> frame::Video {
    let mut other = frame::Video::empty();
    // SAFETY: both frames are alive and the new one is blank. Without memory it stays so, and is refused downstream.
    unsafe { ffi::av_frame_ref(other.as_mut_ptr(), frame.as_ptr()) };
    other
}

pub fn share_sound(frame: &frame::Audio) -> frame::Audio {
    let mut other = frame::Audio::empty();
    // SAFETY: as above.
    unsafe { ffi::av_frame_ref(other.as_mut_ptr(), frame.as_ptr()) };
    other
}
