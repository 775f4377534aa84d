//! Metadata and proxies of each clip, from a proven copy, after the verdict. Nothing here can change it.

use super::{IngestError, Station, device_lock_name, parts};
use crate::card;
use crate::catalog::{Catalog, ClipRow, CopyRootRow};
use crate::clip::{CardId, ClipId, ClipMetadata, MediaState, ProxyFile, Role};
use crate::copy::CopyState;
use crate::disk::write::publish_whole;
use crate::disk::{Root, facts, lock};
use crate::fact::{Fact, Field, Origin, Said};
use crate::job::Step;
use crate::media::{self, Derivation, DeriveRequest, Gate, Limits, MediaError, Probe, Tool};
use crate::preset::Output;
use crate::progress::{Event, Progress};
use crate::relpath::RelPath;
use crate::sidecar;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::path::PathBuf;
use std::sync::mpsc::channel;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Poster and filmstrip.
    Pictures,
    /// Everything that is not there.
    Rest,
}

enum Prepared {
    /// Nothing to make.
    Settled(MediaState, Option<String>),
    Work(Box<Work>),
}

/// What one child makes.
struct Work {
    name: String,
    file: File,
    folder: PathBuf,
    missing: Vec<(Output, RelPath)>,
    sprite: RelPath,
    metadata: ClipMetadata,
}

/// Folders of this card's copies that can be read now, with the files proven there.
struct Copies(Vec<(Root, BTreeSet<RelPath>)>);

impl Copies {
    fn reachable(catalog: &Catalog, card: CardId) -> Result<Self, IngestError> {
        let mut out = Vec::new();
        for row in catalog.copy_roots(card)? {
            let Some(root) = open(catalog, &row)? else { continue };
            let proven =
                catalog.copies(row.id)?.into_iter().filter(|c| c.state == CopyState::Proven).map(|c| c.relpath);
            out.push((root, proven.collect()));
        }
        Ok(Copies(out))
    }

    fn file(&self, relpath: &RelPath) -> Option<File> {
        let holds = self.0.iter().filter(|(_, proven)| proven.contains(relpath));
        holds.filter_map(|(root, _)| root.open_file(relpath).ok()).next()
    }
}

fn open(catalog: &Catalog, row: &CopyRootRow) -> Result<Option<Root>, IngestError> {
    let volume = catalog.volume_row(row.volume)?;
    let path = facts::find_mounted(&volume.key, &row.root).ok().flatten();
    Ok(path.and_then(|p| Root::open(&p).ok()))
}

/// One card's clips with what is needed to look into them.
pub(super) struct Room<'a> {
    station: &'a Station,
    roll: String,
    tool: Tool,
    roots: Copies,
    clips: Vec<ClipRow>,
    /// Without, the metadata is read all the same.
    proxies: bool,
    /// What the first pass read, for the second.
    known: BTreeMap<ClipId, ClipMetadata>,
}

impl<'a> Room<'a> {
    /// `None` when the child program cannot be used here: the clips stay pending.
    pub(super) fn enter(
        station: &'a Station,
        catalog: &Catalog,
        card: CardId,
        proxies: bool,
        progress: &dyn Progress,
    ) -> Result<Option<Self>, IngestError> {
        let roll = catalog.card(card)?.map(|c| c.roll).unwrap_or_default();
        let clips = catalog.clips(card)?;
        let roots = Copies::reachable(catalog, card)?;
        let tool = Tool::find();
        if let Err(e) = tool.check()
            && !station.config.media.unconfined
        {
            progress.event(Event::Note(&format!("no metadata and no proxies: {e}")));
            return Ok(None);
        }
        Ok(Some(Room { station, roll, tool, roots, clips, proxies, known: BTreeMap::new() }))
    }

    /// First pass: metadata of every clip that has no answer yet, so that editors see the whole card soon.
    pub(super) fn describe(&mut self, catalog: &mut Catalog, progress: &dyn Progress) -> Result<(), IngestError> {
        self.begin("describing", Step::Describe, progress);
        for clip in self.clips.clone() {
            if progress.stop_asked() {
                return Ok(());
            }
            let again = clip.media == MediaState::Pending || (clip.media == MediaState::Skipped && self.proxies);
            if again && let Some((state, note)) = self.probe(catalog, &clip)? {
                progress.event(Event::Clip { name: &clip.name, media: state.name(), note: note.as_deref() });
            }
        }
        Ok(())
    }

    /// Second pass: what is missing of pictures and proxies. Editors look at once, so posters and filmstrips of the whole
    /// card come first, at a glance; then everything else of a clip from one decode.
    pub(super) fn derive(&mut self, catalog: &mut Catalog, progress: &dyn Progress) -> Result<(), IngestError> {
        if !self.proxies {
            return Ok(());
        }
        self.begin("making proxies", Step::Derive, progress);
        let clips = self.clips.clone();
        for clip in &clips {
            if progress.stop_asked() {
                return Ok(());
            }
            let Some(essence) = essence(clip) else { continue };
            let fresh = self.known.contains_key(&clip.id);
            if !fresh && clip.media == MediaState::Ok && !self.has_all(catalog, clip, essence)? {
                // Stopped between the passes, or a proxy was deleted: look into it once more.
                self.probe(catalog, clip)?;
            }
        }
        let clips: Vec<&ClipRow> = clips.iter().filter(|c| self.known.contains_key(&c.id)).collect();
        self.make(catalog, &clips, Stage::Pictures, progress)?;
        self.make(catalog, &clips, Stage::Rest, progress)
    }

    /// Several clips at once, as many as there are workers.
    fn make(
        &self,
        catalog: &mut Catalog,
        clips: &[&ClipRow],
        stage: Stage,
        progress: &dyn Progress,
    ) -> Result<(), IngestError> {
        let workers = usize::from(self.workers());
        let gate = self.gate(progress);
        let mut clips = clips.iter().copied();
        std::thread::scope(|s| {
            let (done, made) = channel();
            let mut running = 0;
            loop {
                while running < workers && !progress.stop_asked() {
                    let Some(clip) = clips.next() else { break };
                    match self.prepare(catalog, clip, stage)? {
                        Prepared::Settled(state, note) => self.told(catalog, clip, stage, (state, note), progress)?,
                        Prepared::Work(work) => {
                            let (done, gate) = (done.clone(), &gate);
                            s.spawn(move || {
                                let made = self.run(&work, gate);
                                _ = done.send((clip, work, made));
                            });
                            running += 1;
                        }
                    }
                }
                if running == 0 {
                    return Ok(());
                }
                let Ok((clip, work, made)) = made.recv() else { return Ok(()) };
                running -= 1;
                let answer = match made {
                    Ok(derived) => self.settle(catalog, clip, &work, derived)?,
                    Err(e) => {
                        let _ = std::fs::remove_dir_all(&work.folder);
                        (MediaState::Pending, Some(e.to_string()))
                    }
                };
                self.told(catalog, clip, stage, answer, progress)?;
            }
        })
    }

    /// Two processors are what one child keeps busy, and more help it a little.
    fn workers(&self) -> u16 {
        let by_itself = || std::thread::available_parallelism().map_or(1, |n| n.get() / 4) as u16;
        self.station.config.media.workers.unwrap_or_else(by_itself).max(1)
    }

    /// A clip is done when its proxies are.
    fn told(
        &self,
        catalog: &mut Catalog,
        clip: &ClipRow,
        stage: Stage,
        (state, note): (MediaState, Option<String>),
        progress: &dyn Progress,
    ) -> Result<(), IngestError> {
        if stage == Stage::Rest {
            catalog.set_media(clip.id, state, note.as_deref())?;
            progress.event(Event::Clip { name: &clip.name, media: state.name(), note: note.as_deref() });
        }
        Ok(())
    }

    /// What a child may do now: where the settings say so, it waits while others copy from or to its disks.
    fn gate<'p>(&'p self, progress: &'p dyn Progress) -> impl Fn() -> Gate + Sync + 'p {
        let devices = if self.station.config.media.pause_while_copying { self.devices() } else { BTreeSet::new() };
        move || {
            let busy = |name: &String| matches!(lock::try_lock(&self.station.locks(), name), Ok(None));
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
        let there = root.ancestors().find(|p| p.exists()).map(|p| p.to_path_buf());
        let paths = self.roots.0.iter().map(|(root, _)| root.path().to_path_buf()).chain(there);
        paths.filter_map(|p| facts::of(&p).ok()).map(|f| device_lock_name(&f)).collect()
    }

    fn begin(&self, what: &str, step: Step, progress: &dyn Progress) {
        progress.event(Event::Step { roll: &self.roll, step: step.name() });
        progress.event(Event::Begin { what, roll: &self.roll, files: self.clips.len() as u64, bytes: 0 });
    }

    /// Reads one clip's metadata. Says how it ended unless a proxy is still to come.
    fn probe(
        &mut self,
        catalog: &mut Catalog,
        clip: &ClipRow,
    ) -> Result<Option<(MediaState, Option<String>)>, IngestError> {
        let file = essence(clip).and_then(|essence| self.roots.file(essence));
        let Some(file) = file else {
            return Ok(Some((MediaState::Pending, Some("no proven copy of it can be read now".into()))));
        };
        let config = &self.station.config.media;
        let limits = Limits { wall: config.probe_limit, allow_unconfined: config.unconfined, ..Limits::for_probe() };
        let (metadata, state, note) = match media::probe(&self.tool, file, &limits) {
            Ok(Probe::Ok(metadata)) => (*metadata, MediaState::Skipped, None),
            Ok(Probe::Unsupported(why)) => (ClipMetadata::default(), MediaState::Unsupported, Some(why)),
            Ok(Probe::Dark { metadata, state, why }) => (*metadata, state, Some(why)),
            Ok(Probe::Failed(why)) => (ClipMetadata::default(), MediaState::Failed, Some(why)),
            Err(e) => return Ok(Some((MediaState::Pending, Some(e.to_string())))),
        };
        let metadata = self.complete(clip, metadata, &limits);
        if state == MediaState::Skipped && self.proxies {
            // Pending until its proxy is made: the metadata is seen already.
            catalog.set_metadata(clip.id, &metadata, MediaState::Pending, None)?;
            self.known.insert(clip.id, metadata);
            return Ok(None);
        }
        catalog.set_metadata(clip.id, &metadata, state, note.as_deref())?;
        Ok(Some((state, note)))
    }

    /// What libav said, with what its other parts, its own bytes, its sidecars, its name and the card's index say.
    fn complete(&self, clip: &ClipRow, mut metadata: ClipMetadata, limits: &Limits) -> ClipMetadata {
        let probe = |relpath: &RelPath| match media::probe(&self.tool, self.roots.file(relpath)?, limits) {
            Ok(Probe::Ok(metadata) | Probe::Dark { metadata, .. }) => Some(*metadata),
            _ => None,
        };
        parts::join(&mut metadata, clip, probe);
        let mut said = clip.said.clone();
        let first = essence(clip);
        // Of numbered pictures the first one speaks for all.
        let speaks = |relpath: &RelPath| !card::is_frame(relpath) || Some(relpath) == first;
        for (relpath, role) in clip.files.iter().filter(|(p, _)| speaks(p)) {
            let Some(mut file) = self.roots.file(relpath) else { continue };
            match role {
                Role::Essence | Role::Audio => said.extend(sidecar::of_file(&mut file, relpath)),
                Role::Sidecar => said.extend(sidecar::of_sidecar(&mut file, relpath)),
                Role::Proxy | Role::Thumb => {}
            }
        }
        said.extend(self.bitrate(clip, metadata.duration_ms));
        sidecar::merge(metadata, said)
    }

    /// Of the whole recording, sound included; numbered pictures have none.
    fn bitrate(&self, clip: &ClipRow, duration_ms: Option<u64>) -> Option<Said> {
        let ms = duration_ms.filter(|ms| *ms > 0)?;
        let essence = clip.files.iter().filter(|(_, r)| *r == Role::Essence).map(|(p, _)| p);
        let mut bytes = 0u128;
        for relpath in essence {
            if card::is_frame(relpath) {
                return None;
            }
            bytes += u128::from(self.roots.file(relpath)?.metadata().ok()?.len());
        }
        let fact = Fact::new(Field::Bitrate, (bytes * 8000 / u128::from(ms)).to_string())?;
        Some(Said { fact, origin: Origin::File, by: "size".into() })
    }

    /// Whether each output is there or is known not to come.
    fn has_all(&self, catalog: &Catalog, clip: &ClipRow, essence: &RelPath) -> Result<bool, IngestError> {
        let rows = catalog.proxies(clip.id)?;
        for (output, target) in self.outputs(clip, essence)? {
            let row = rows.iter().find(|r| r.preset == output.name());
            let given_up = row.is_some_and(|r| r.state == MediaState::Unsupported);
            // Of sound alone no poster is asked for.
            let expected = row.is_some() || matches!(output, Output::Proxy(_));
            if expected && !given_up && !target.under(&self.station.media_root()).is_file() {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// What is made of a clip, and where it goes.
    fn outputs(&self, clip: &ClipRow, essence: &RelPath) -> Result<Vec<(Output, RelPath)>, IngestError> {
        let proxies = self.station.config.proxies.iter().map(|p| (Output::Proxy(p.recipe), p.suffix.as_str()));
        let all = proxies.chain(Output::PICTURES_AND_FINDINGS.map(|output| (output, "")));
        all.map(|(output, suffix)| Ok((output, self.target(output, suffix, essence, clip)?))).collect()
    }

    /// What of a stage is not there yet.
    fn prepare(&self, catalog: &mut Catalog, clip: &ClipRow, stage: Stage) -> Result<Prepared, IngestError> {
        let (Some(essence), Some(metadata)) = (essence(clip), self.known.get(&clip.id)) else {
            return Ok(Prepared::Settled(MediaState::Pending, None));
        };
        let media = self.open_media_root()?;
        let mut missing = Vec::new();
        for (output, target) in self.outputs(clip, essence)? {
            if stage == Stage::Pictures && !Output::PICTURES.contains(&output) {
                continue;
            }
            if media.stat(&target).ok().flatten().is_some_and(|s| s.is_file && s.size_bytes > 0) {
                self.set(catalog, clip, output, Some(&target), MediaState::Ok, None)?;
            } else if match output {
                Output::Proxy(_) | Output::Qc => true,
                Output::Poster | Output::Filmstrip | Output::FilmstripIndex => metadata.video.is_some(),
                Output::Waveform => !metadata.audio.is_empty(),
            } {
                missing.push((output, target));
            }
        }
        if missing.is_empty() {
            // A kill behind the last rename leaves it.
            let _ = std::fs::remove_dir_all(self.work_path(clip));
            return Ok(Prepared::Settled(MediaState::Ok, None));
        }
        let Some(file) = self.roots.file(essence) else {
            let why = "no proven copy of it can be read now".into();
            return Ok(Prepared::Settled(MediaState::Pending, Some(why)));
        };
        let (folder, sprite) = (self.work_folder(clip)?, self.target(Output::Filmstrip, "", essence, clip)?);
        let (name, metadata) = (clip.name.clone(), metadata.clone());
        Ok(Prepared::Work(Box::new(Work { name, file, folder, missing, sprite, metadata })))
    }

    /// Makes the outputs that are not there.
    fn run(&self, work: &Work, gate: &(dyn Fn() -> Gate + Sync)) -> Result<Vec<Derivation>, MediaError> {
        let config = &self.station.config.media;
        let longest = Limits::for_derive(work.metadata.duration_ms);
        let limits = Limits {
            wall: longest.wall.min(config.derive_limit),
            threads: (longest.threads / self.workers()).max(1),
            allow_unconfined: config.unconfined,
            ..longest
        };
        let outputs: Vec<Output> = work.missing.iter().map(|(output, _)| *output).collect();
        let open = |cause| MediaError::Output { path: work.folder.clone(), cause };
        let request = DeriveRequest {
            clip: work.file.try_clone().map_err(open)?,
            out_dir: &work.folder,
            outputs: &outputs,
            start_tc: work.metadata.start_tc,
            // What no camera wrote down, the slate says.
            reel: Some(work.metadata.reel.as_deref().unwrap_or(&self.roll)),
            name: &work.name,
            sprite: work.sprite.name(),
            gate,
        };
        media::derive(&self.tool, request, &limits)
    }

    /// Moves what was made to its place; `Failed` with the reason when one was not to be had.
    fn settle(
        &self,
        catalog: &mut Catalog,
        clip: &ClipRow,
        work: &Work,
        derived: Vec<Derivation>,
    ) -> Result<(MediaState, Option<String>), IngestError> {
        let (media, missing, metadata) = (self.open_media_root()?, &work.missing, &work.metadata);
        let plays = missing.iter().zip(&derived).any(|((output, _), got)| {
            matches!(output, Output::Proxy(_)) && !output.is_relink() && matches!(got, Derivation::Done { .. })
        });
        let (mut failed, mut without) = (None, None);
        for ((output, target), got) in missing.iter().zip(derived) {
            match got {
                Derivation::Done { path, note, .. } => {
                    let at = |source| IngestError::Write { path: target.under(media.path()), source };
                    publish_whole(&media, &path, target).map_err(at)?;
                    self.set(catalog, clip, *output, Some(target), MediaState::Ok, note)?;
                }
                Derivation::Unsupported(why) => {
                    // Worth a word only of a clip that can be played.
                    if output.is_relink() && metadata.video.is_some() && plays {
                        without = without.or(Some(format!("no {}: {why}", output.name())));
                    }
                    self.set(catalog, clip, *output, None, MediaState::Unsupported, Some(why))?;
                }
                Derivation::Failed(why) => {
                    failed = failed.or(Some(format!("{}: {why}", output.name())));
                    self.set(catalog, clip, *output, None, MediaState::Failed, Some(why))?;
                }
            }
        }
        let _ = std::fs::remove_dir_all(&work.folder);
        Ok((if failed.is_some() { MediaState::Failed } else { MediaState::Ok }, failed.or(without)))
    }

    /// `ROLL/web/<card path>/<stem>.mp4` below the media root. Two clips of one stem in one folder keep apart by name.
    fn target(&self, output: Output, suffix: &str, essence: &RelPath, clip: &ClipRow) -> Result<RelPath, IngestError> {
        let bad = |e: crate::relpath::BadPath| IngestError::Internal(e.to_string());
        let folder = format!("{}/{}", self.roll, output.folder());
        let folder = RelPath::new(folder).map_err(bad)?.join_rel(&essence.parent());
        let stem = match clip.name.as_bytes() == essence.name() {
            true => essence.name(),
            false => essence.stem(),
        };
        folder.join([stem, suffix.as_bytes(), b".", output.extension().as_bytes()].concat()).map_err(bad)
    }

    fn open_media_root(&self) -> Result<Root, IngestError> {
        let path = self.station.media_root();
        let at = |source| IngestError::Write { path: path.clone(), source };
        std::fs::create_dir_all(&path).map_err(at)?;
        Root::open(&path).map_err(at)
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
        catalog: &mut Catalog,
        clip: &ClipRow,
        output: Output,
        target: Option<&RelPath>,
        state: MediaState,
        note: Option<String>,
    ) -> Result<(), IngestError> {
        let path = target.map(|t| t.under(&self.station.media_root()).display().to_string());
        let proxy = ProxyFile { preset: output.name().to_owned(), path, state, note };
        Ok(catalog.set_proxy(clip.id, &proxy)?)
    }
}

fn essence(clip: &ClipRow) -> Option<&RelPath> {
    clip.files.iter().find(|(_, role)| *role == Role::Essence).map(|(p, _)| p)
}
