//! Proxies, pictures and findings of each clip, from a proven copy, after the verdict. Nothing here can change it.

use super::adopt::{ADOPTED, CameraProxy, plays, stands_in};
use super::describe::{Room, essence};
use super::looks::Worn;
use super::takes::Take;
use super::targets::Want;
use super::{IngestError, device_lock_name};
use crate::card;
use crate::catalog::{Catalog, ClipRow};
use crate::clip::{ClipMetadata, MediaState, ProxyFile, Role};
use crate::disk::{Root, facts, lock, write};
use crate::job::Step;
use crate::media::{self, Derivation, DeriveRequest, Gate, Limits};
use crate::preset::Output;
use crate::preset::look::{Cube, Finish};
use crate::progress::{Event, Progress};
use crate::relpath::RelPath;
use std::collections::BTreeSet;
use std::fs::File;
use std::io::Read;
use std::panic::resume_unwind;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What the workers share.
pub(super) struct Shared<'a> {
    catalog: Mutex<&'a mut Catalog>,
    gate: &'a (dyn Fn() -> Gate + Sync),
}

impl<'a> Shared<'a> {
    /// Not to be kept while a child works.
    pub fn catalog(&self) -> MutexGuard<'_, &'a mut Catalog> {
        self.catalog.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How the outputs of a clip went.
#[derive(Default)]
struct Tally {
    failed: Option<String>,
    /// What is not made of it, and why; worth a word of a clip that can be played.
    without: Option<String>,
    /// Nothing is wrong with the clip: another time.
    waiting: Option<String>,
}

impl Tally {
    fn end(self) -> (MediaState, Option<String>) {
        match self {
            Tally { waiting: Some(why), .. } => (MediaState::Pending, Some(why)),
            Tally { failed: Some(why), .. } => (MediaState::Failed, Some(why)),
            Tally { without, .. } => (MediaState::Ok, without),
        }
    }
}

impl Room<'_> {
    /// Second pass: what is missing of pictures and proxies. Editors look at once, so posters and filmstrips of the whole
    /// card come first, at a glance; then everything else of a clip from one decode.
    pub(super) fn derive(&mut self, catalog: &mut Catalog, progress: &dyn Progress) -> Result<(), IngestError> {
        if !self.proxies {
            return Ok(());
        }
        self.begin("making proxies", Step::Derive, progress);
        self.place_relink_proxies(progress);
        for clip in self.clips.clone() {
            if progress.stop_asked() {
                return Ok(());
            }
            if self.is_open(catalog, &clip)? {
                // Stopped between the passes, or a proxy was deleted: look into it once more.
                self.probe(catalog, &clip)?;
            }
        }
        let gate = self.gate(progress);
        let shared = Shared { catalog: Mutex::new(catalog), gate: &gate };
        self.each(progress, |clip| self.glance(&shared, clip))?;
        self.each(progress, |clip| self.all_of(&shared, clip, progress))
    }

    /// Whether something of a clip is missing that may come, and nothing is known of it in memory.
    fn is_open(&self, catalog: &Catalog, clip: &ClipRow) -> Result<bool, IngestError> {
        let Some(essence) = essence(clip) else { return Ok(false) };
        if self.known.contains_key(&clip.id) || self.dark.contains_key(&clip.id) {
            return Ok(false);
        }
        Ok(match clip.media {
            MediaState::Ok => !self.has_all(catalog, clip, essence)?,
            // The disk was full, a limit too low, the preset another: whoever asks again wants it tried again.
            MediaState::Failed => true,
            MediaState::Unsupported => stands_in(clip) && catalog.proxies(clip.id)?.is_empty(),
            _ => false,
        })
    }

    /// Several clips at once, as many as there are workers.
    fn each(
        &self,
        progress: &dyn Progress,
        work: impl Fn(&ClipRow) -> Result<(), IngestError> + Sync,
    ) -> Result<(), IngestError> {
        let clips = Mutex::new(self.clips.iter());
        let next = || clips.lock().unwrap_or_else(PoisonError::into_inner).next().filter(|_| !progress.stop_asked());
        let one = || -> Result<(), IngestError> {
            while let Some(clip) = next() {
                work(clip)?;
            }
            Ok(())
        };
        std::thread::scope(|s| {
            let workers: Vec<_> = (0..self.workers()).map(|_| s.spawn(one)).collect();
            let ends = workers.into_iter().map(|w| w.join().unwrap_or_else(|panic| resume_unwind(panic)));
            ends.fold(Ok(()), Result::and)
        })
    }

    /// Two processors are what one child keeps busy, and more help it a little.
    fn workers(&self) -> u16 {
        let by_itself = || std::thread::available_parallelism().map_or(1, |n| n.get() / 4) as u16;
        self.station.config.media.workers.unwrap_or_else(by_itself).max(1)
    }

    /// What a child may do now: where the settings say so, it waits while others copy from or to its disks.
    fn gate<'p>(&self, progress: &'p dyn Progress) -> impl Fn() -> Gate + Sync + use<'p> {
        let devices = if self.station.config.media.pause_while_copying { self.devices() } else { BTreeSet::new() };
        let locks = self.station.locks();
        move || {
            let busy = |name: &String| matches!(lock::try_lock(&locks, name), Ok(None));
            match progress.stop_asked() {
                true => Gate::Stop,
                false if devices.iter().any(busy) => Gate::Wait,
                false => Gate::Go,
            }
        }
    }

    /// Disks that clips are read from and proxies are written to.
    fn devices(&self) -> BTreeSet<String> {
        let root = self.station.media_root();
        let there = root.ancestors().find(|p| p.exists()).map(Path::to_path_buf);
        let paths = self.roots.folders().map(|(root, _)| root.path().to_path_buf()).chain(there);
        paths.filter_map(|p| facts::of(&p).ok()).map(|f| device_lock_name(&f)).collect()
    }

    /// Poster and filmstrip of a clip in which places can be found without reading all of it.
    fn glance(&self, shared: &Shared<'_>, clip: &ClipRow) -> Result<(), IngestError> {
        let (Some(essence), Some(metadata)) = (essence(clip), self.known.get(&clip.id)) else { return Ok(()) };
        let mut tally = Tally::default();
        let mut wants = self.wants(&shared.catalog(), clip, essence)?;
        wants.retain(|want| Output::PICTURES.contains(&want.output));
        let wants = self.open_wants(shared, clip, metadata, wants, &mut tally)?;
        if wants.is_empty() {
            return Ok(());
        }
        for take in self.takes(clip, metadata, wants).into_iter().filter(Take::is_one_file) {
            self.make(shared, clip, metadata, take, &mut tally)?;
        }
        Ok(())
    }

    fn all_of(&self, shared: &Shared<'_>, clip: &ClipRow, progress: &dyn Progress) -> Result<(), IngestError> {
        let Some(essence) = essence(clip) else { return Ok(()) };
        let (state, note) = if let Some(metadata) = self.known.get(&clip.id) {
            self.derive_one(shared, clip, essence, metadata)?
        } else if let Some((metadata, why)) = self.dark.get(&clip.id) {
            self.stand_in(shared, clip, essence, (metadata, why.clone()))?
        } else {
            return Ok(());
        };
        shared.catalog().set_media(clip.id, state, note.as_deref())?;
        progress.event(Event::Clip { name: &clip.name, media: state.name(), note: note.as_deref() });
        Ok(())
    }

    /// Whether each output is there or is known not to come.
    fn has_all(&self, catalog: &Catalog, clip: &ClipRow, essence: &RelPath) -> Result<bool, IngestError> {
        let rows = catalog.proxies(clip.id)?;
        for want in self.wants(catalog, clip, essence)? {
            let row = row_of(&rows, &want);
            let given_up = row.is_some_and(|r| r.state == MediaState::Unsupported);
            // Of sound alone no poster is asked for, and of its later files nothing.
            let expected = row.is_some() || (matches!(want.output, Output::Proxy(_)) && want.file.is_none());
            let is_there = want.target.is_there() || row.is_some_and(|r| self.lies_elsewhere(clip, &want, r));
            if row.is_some_and(|r| want.differs(r)) || (expected && !given_up && !is_there) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Made once and still good, in another place: the camera's own, or the same file where another layout has it. What
    /// cannot be reached now is not missing.
    fn lies_elsewhere(&self, clip: &ClipRow, want: &Want, row: &ProxyFile) -> bool {
        let target = want.target.path();
        let Some(path) = row.path.as_ref().map(Path::new).filter(|p| row.state == MediaState::Ok && *p != target)
        else {
            return false;
        };
        if row.note.as_ref().is_some_and(|note| note.starts_with(ADOPTED)) {
            let mut own = clip.files.iter().filter(|(_, role)| *role == Role::Proxy);
            return path.is_file() || !own.any(|(p, _)| self.roots.find(p).is_some());
        }
        path.file_name() == target.file_name() && (path.is_file() || !path.parent().is_some_and(Path::is_dir))
    }

    /// Makes the outputs that are not there; `Failed` with the reason when one was not to be had.
    fn derive_one(
        &self,
        shared: &Shared<'_>,
        clip: &ClipRow,
        essence: &RelPath,
        metadata: &ClipMetadata,
    ) -> Result<(MediaState, Option<String>), IngestError> {
        let mut tally = Tally::default();
        let all = self.wants(&shared.catalog(), clip, essence)?;
        let mut wants = self.open_wants(shared, clip, metadata, all, &mut tally)?;
        if !wants.is_empty() {
            let not_used = self.adopt(shared, clip, metadata, &mut wants)?;
            for mut take in self.takes(clip, metadata, wants) {
                take.web_note.clone_from(&not_used);
                self.make(shared, clip, metadata, take, &mut tally)?;
            }
        }
        // A kill behind the last rename leaves it.
        let _ = std::fs::remove_dir_all(self.work_path(clip));
        Ok(tally.end())
    }

    /// What is not there yet; what is there is recorded.
    fn open_wants(
        &self,
        shared: &Shared<'_>,
        clip: &ClipRow,
        metadata: &ClipMetadata,
        all: Vec<Want>,
        tally: &mut Tally,
    ) -> Result<Vec<Want>, IngestError> {
        let rows = shared.catalog().proxies(clip.id)?;
        let mut open = Vec::new();
        for want in all {
            let row = row_of(&rows, &want);
            let path = want.target.path().display().to_string();
            let ours = !want.target.beside || row.is_some_and(|r| r.path.as_ref() == Some(&path));
            let there = want.target.is_there() && ours;
            let looks_right = match (&want.look, row) {
                // One that was made while its look could be had stays.
                (Err(_), _) => there,
                (Ok(look), None) => look.record.is_none(),
                // A file beside a row that failed is what was there before.
                (Ok(_), Some(row)) => !want.differs(row) && row.state != MediaState::Failed,
            };
            if there && looks_right && want.look.is_err() {
                continue;
            } else if there && looks_right {
                let note = row.filter(|r| r.state == MediaState::Ok).and_then(|r| r.note.clone());
                self.set(shared, clip, &want, (MediaState::Ok, note))?;
                self.take_findings(shared, clip, &want, metadata)?;
            } else if looks_right && row.is_some_and(|r| self.lies_elsewhere(clip, &want, r)) {
                continue;
            } else if match want.output {
                _ if want.file.is_some() => metadata.video.is_some(),
                Output::Proxy(_) | Output::Qc => true,
                Output::Poster | Output::Filmstrip | Output::FilmstripIndex => metadata.video.is_some(),
                Output::Waveform => !metadata.audio.is_empty(),
            } {
                match want.look.clone() {
                    Ok(_) => {
                        if there && want.target.beside {
                            // Ours, by its row: nothing is replaced in a card's own tree.
                            let at = |source| IngestError::Write { path: want.target.path(), source };
                            let root = Root::open(&want.target.base).map_err(at)?;
                            write::remove(&root, &want.target.relpath).map_err(at)?;
                        }
                        open.push(want);
                    }
                    Err(why) => {
                        tally.failed = tally.failed.take().or(Some(format!("{}: {why}", want.output.name())));
                        self.set(shared, clip, &want, (MediaState::Failed, Some(why)))?;
                    }
                }
            }
        }
        Ok(open)
    }

    /// One run of the child; each output that came of it gets its name and its row.
    fn make(
        &self,
        shared: &Shared<'_>,
        clip: &ClipRow,
        metadata: &ClipMetadata,
        take: Take,
        tally: &mut Tally,
    ) -> Result<(), IngestError> {
        let Some((source, beside, lost)) = take.open(&self.roots) else {
            tally.waiting = Some("no proven copy of it can be read now".into());
            return Ok(());
        };
        let work = self.work_folder(clip)?;
        let longest = Limits::for_derive(metadata.duration_ms);
        let config = &self.station.config.media;
        let limits = Limits {
            wall: longest.wall.min(config.derive_limit),
            threads: (longest.threads / self.workers()).max(1),
            allow_unconfined: config.unconfined,
            ..longest
        };
        let outputs: Vec<Output> = take.wants.iter().map(|w| w.output).collect();
        let (finishes, luts) = handed_over(&take.wants);
        let sprite = take.wants.iter().find(|w| w.output == Output::Filmstrip).or(take.wants.first());
        let request = DeriveRequest {
            clip: source,
            beside,
            out_dir: &work,
            outputs: &outputs,
            finishes: &finishes,
            luts: &luts,
            start_tc: take.start_tc,
            // What no camera wrote down, the slate says.
            reel: Some(metadata.reel.as_deref().unwrap_or(&self.roll)),
            name: &clip.name,
            sprite: sprite.map_or(&b""[..], |w| w.target.relpath.name()),
            gate: shared.gate,
        };
        let derived = media::derive(&self.tool, request, &limits);
        let derived = match derived {
            Ok(_) if lost.load(Ordering::Relaxed) => Err("a copy of it went away while it was read".to_owned()),
            other => other.map_err(|e| e.to_string()),
        };
        let derived = match derived {
            Ok(derived) => derived,
            Err(why) => {
                let _ = std::fs::remove_dir_all(&work);
                tally.waiting = Some(why);
                return Ok(());
            }
        };
        let plays = take.wants.iter().zip(&derived).any(|(want, got)| {
            matches!(want.output, Output::Proxy(_))
                && !want.output.is_relink()
                && matches!(got, Derivation::Done { .. })
        });
        for (want, got) in take.wants.iter().zip(derived) {
            let name = want.output.name();
            let end = match got {
                Derivation::Done { path, note, .. } => {
                    let movie = matches!(want.output, Output::Proxy(_));
                    let own = take.web_note.iter().filter(|_| !want.output.is_relink());
                    let notes = own.chain(&take.notes).filter(|_| movie).cloned();
                    let look = want.look.as_ref().ok().and_then(|look| look.note.clone());
                    let notes: Vec<String> = look.into_iter().chain(notes).chain(note).collect();
                    let note = (!notes.is_empty()).then(|| notes.join("; "));
                    self.publish(shared, clip, want, &path)?.map(|()| (MediaState::Ok, note))
                }
                Derivation::Unsupported(why) => {
                    if want.output.is_relink() && metadata.video.is_some() && plays {
                        tally.without = tally.without.take().or(Some(format!("no {name}: {why}")));
                    }
                    Ok((MediaState::Unsupported, Some(why)))
                }
                Derivation::Failed(why) => Err(why),
            };
            let end = end.unwrap_or_else(|why| {
                tally.failed = tally.failed.take().or(Some(format!("{name}: {why}")));
                (MediaState::Failed, Some(why))
            });
            let done = end.0 == MediaState::Ok;
            self.set(shared, clip, want, end)?;
            if done {
                self.take_findings(shared, clip, want, metadata)?;
            }
        }
        let _ = std::fs::remove_dir_all(&work);
        Ok(())
    }

    /// A full media root ends the work; a full copy costs this proxy.
    fn publish(
        &self,
        shared: &Shared<'_>,
        clip: &ClipRow,
        want: &Want,
        from: &Path,
    ) -> Result<Result<(), String>, IngestError> {
        if want.target.beside {
            // Named before it lies there, so that after a kill it is known for ours.
            self.set(shared, clip, want, (MediaState::Pending, None))?;
        }
        let temp = format!("{}.{}", clip.id, want.output.name());
        let path = want.target.path();
        match want.target.publish(from, &temp) {
            Ok(()) => Ok(Ok(())),
            Err(e) if want.target.beside => Ok(Err(format!("cannot be laid at \"{}\": {e}", path.display()))),
            Err(source) => Err(IngestError::Write { path, source }),
        }
    }

    /// A clip that libav cannot decode: the camera's own proxy stands in for it, else the camera's still.
    fn stand_in(
        &self,
        shared: &Shared<'_>,
        clip: &ClipRow,
        essence: &RelPath,
        (metadata, why): (&ClipMetadata, String),
    ) -> Result<(MediaState, Option<String>), IngestError> {
        let of_camera = clip.files.iter().filter(|(_, role)| *role == Role::Proxy);
        if of_camera.into_iter().any(|(p, _)| self.roots.find(p).is_none()) {
            return Ok((MediaState::Unsupported, Some(format!("{why}; the camera's own proxy cannot be read now"))));
        }
        let mut wants: Vec<Want> =
            self.wants(&shared.catalog(), clip, essence)?.into_iter().filter(|w| w.file.is_none()).collect();
        let mut tally = Tally::default();
        let mut notes = vec![why.clone()];
        match self.camera_proxy(clip, metadata) {
            Ok(found) => {
                notes.push(format!("the camera's own proxy \"{}\" stands in for it", found.relpath));
                self.take_over(shared, clip, metadata, &found, &mut wants)?;
                wants = self.made_of_proxy(shared, clip, &found, wants, &mut tally)?;
            }
            Err(refused) => {
                notes.extend(Some(refused).filter(|text| !text.is_empty()));
                let still = clip.files.iter().find(|(p, r)| *r == Role::Thumb && card::is_still(p));
                if let Some((still, _)) = still {
                    let poster;
                    (poster, wants) = wants.into_iter().partition(|w| w.output == Output::Poster);
                    let take = Take::of(still, poster, None);
                    self.make(shared, clip, metadata, take, &mut tally)?;
                }
            }
        }
        for want in wants {
            self.set(shared, clip, &want, (MediaState::Unsupported, Some(why.clone())))?;
        }
        if let Some(why) = tally.waiting {
            return Ok((MediaState::Pending, Some(why)));
        }
        notes.extend(tally.failed);
        Ok((MediaState::Unsupported, Some(notes.join("; "))))
    }

    /// What shows the clip is made of the camera's proxy; what relinks, and what would judge the original, is not.
    fn made_of_proxy(
        &self,
        shared: &Shared<'_>,
        clip: &ClipRow,
        found: &CameraProxy,
        wants: Vec<Want>,
        tally: &mut Tally,
    ) -> Result<Vec<Want>, IngestError> {
        let has_sound = !found.metadata.audio.is_empty();
        let shows = |w: &Want| match w.output {
            Output::Proxy(r) => !r.preset.is_relink() && plays(&found.metadata).is_err(),
            Output::Poster | Output::Filmstrip | Output::FilmstripIndex => true,
            Output::Waveform => has_sound,
            Output::Qc => false,
        };
        let (made, rest): (Vec<Want>, Vec<Want>) = wants.into_iter().partition(shows);
        let mut take = Take::of(&found.relpath, made, found.metadata.start_tc);
        take.web_note = Some(format!("made of the camera's own proxy \"{}\"", found.relpath));
        self.make(shared, clip, &found.metadata, take, tally)?;
        Ok(rest)
    }

    /// What decoding showed goes into the catalog, from the file that the child wrote.
    fn take_findings(
        &self,
        shared: &Shared<'_>,
        clip: &ClipRow,
        want: &Want,
        metadata: &ClipMetadata,
    ) -> Result<(), IngestError> {
        if want.output != Output::Qc {
            return Ok(());
        }
        let mut json = Vec::new();
        let read = File::open(want.target.path())
            .and_then(|f| f.take(media::MAX_FINDINGS_BYTES).read_to_end(&mut json))
            .map_err(|e| e.to_string());
        match read.and_then(|_| media::findings(&json, metadata)) {
            Ok(findings) => Ok(shared.catalog().set_qc(clip.id, &findings)?),
            // It is for people, and the file still lies there.
            Err(why) => self.set(shared, clip, want, (MediaState::Failed, Some(format!("cannot be read: {why}")))),
        }
    }

    /// Below the media root, so that the finished file moves by a rename.
    fn work_path(&self, clip: &ClipRow) -> PathBuf {
        self.station.media_root().join(".work").join(clip.id.to_string())
    }

    fn work_folder(&self, clip: &ClipRow) -> Result<PathBuf, IngestError> {
        let path = self.work_path(clip);
        let at = |source| IngestError::Write { path: path.clone(), source };
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path).map_err(at)?;
        Ok(path)
    }

    fn set(
        &self,
        shared: &Shared<'_>,
        clip: &ClipRow,
        want: &Want,
        (state, note): (MediaState, Option<String>),
    ) -> Result<(), IngestError> {
        // Named only where it lies, or is about to.
        let named = matches!(state, MediaState::Ok | MediaState::Pending);
        let path = named.then(|| want.target.path().display().to_string());
        let (preset, file) = (want.output.name().to_owned(), want.file.clone());
        let look = want.look.as_ref().ok().and_then(|look| look.record.clone());
        Ok(shared.catalog().set_proxy(clip.id, &ProxyFile { preset, path, state, note, look, file })?)
    }
}

fn row_of<'r>(rows: &'r [ProxyFile], want: &Want) -> Option<&'r ProxyFile> {
    rows.iter().find(|r| r.preset == want.output.name() && r.file == want.file)
}

/// What is done to the pictures of each output, and the LUTs of all, each once.
fn handed_over(wants: &[Want]) -> (Vec<Option<Finish>>, Vec<Arc<Cube>>) {
    let mut luts: Vec<Arc<Cube>> = Vec::new();
    let mut place = |lut: &Arc<Cube>| {
        luts.iter().position(|known| Arc::ptr_eq(known, lut)).unwrap_or_else(|| {
            luts.push(lut.clone());
            luts.len() - 1
        })
    };
    let mut finish = |look: &Worn| {
        let lut = look.lut.as_ref().map(&mut place);
        look.finish.clone().map(|finish| Finish { lut, ..finish })
    };
    let finishes = wants.iter().map(|w| w.look.as_ref().ok().and_then(&mut finish)).collect();
    (finishes, luts)
}
