//! Metadata and proxies of each clip, from a proven copy, after the verdict. Nothing here can change it.

use super::looks::{Looks, Subject, Worn};
use super::{IngestError, Station, parts};
use crate::card;
use crate::catalog::{Catalog, ClipRow, CopyRootRow};
use crate::clip::{CardId, ClipId, ClipMetadata, MediaState, ProxyFile, Role};
use crate::copy::CopyState;
use crate::disk::write::publish_whole;
use crate::disk::{Root, facts};
use crate::fact::{Fact, Field, Origin, Said};
use crate::job::Step;
use crate::media::{self, Derivation, DeriveRequest, Limits, Probe, Tool};
use crate::preset::Output;
use crate::preset::look::{Cube, Finish};
use crate::progress::{Event, Progress};
use crate::relpath::RelPath;
use crate::sidecar;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;

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
    looks: Looks,
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
        if let Err(e) = tool.check() {
            progress.event(Event::Note(&format!("no metadata and no proxies: {e}")));
            return Ok(None);
        }
        let looks = Looks::read(if proxies { &station.config.looks } else { &[] });
        looks.problems().for_each(|problem| progress.event(Event::Note(&problem)));
        Ok(Some(Room { station, roll, tool, roots, clips, proxies, looks, known: BTreeMap::new() }))
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

    /// Second pass: proxies and posters that are missing.
    pub(super) fn derive(&mut self, catalog: &mut Catalog, progress: &dyn Progress) -> Result<(), IngestError> {
        if !self.proxies {
            return Ok(());
        }
        self.begin("making proxies", Step::Derive, progress);
        for clip in self.clips.clone() {
            if progress.stop_asked() {
                return Ok(());
            }
            let Some(essence) = essence(&clip) else { continue };
            let fresh = self.known.contains_key(&clip.id);
            if !fresh && !self.is_due(catalog, &clip, essence)? {
                continue;
            }
            if !fresh {
                // Stopped between the passes, or a proxy was deleted: look into it once more.
                self.probe(catalog, &clip)?;
            }
            let Some(metadata) = self.known.remove(&clip.id) else { continue };
            let (state, note) = self.derive_one(catalog, &clip, essence, &metadata)?;
            catalog.set_media(clip.id, state, note.as_deref())?;
            progress.event(Event::Clip { name: &clip.name, media: state.name(), note: note.as_deref() });
        }
        Ok(())
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
        let limits = Limits { wall: self.station.config.media.probe_limit, ..Limits::for_probe() };
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

    /// Whether something of a clip is missing that may come: an output that is not there, or that has another look than
    /// it should. What failed would fail again, unless its look has changed.
    fn is_due(&self, catalog: &Catalog, clip: &ClipRow, essence: &RelPath) -> Result<bool, IngestError> {
        if !matches!(clip.media, MediaState::Ok | MediaState::Failed) {
            return Ok(false);
        }
        let rows = catalog.proxies(clip.id)?;
        for Wanted { output, target, look } in self.outputs(catalog, clip, essence)? {
            let row = rows.iter().find(|r| r.preset == output.name());
            if row.is_some_and(|row| differs(row, &look)) {
                return Ok(true);
            }
            let given_up = row.is_some_and(|r| r.state == MediaState::Unsupported);
            // Of sound alone no poster is asked for.
            let expected = row.is_some() || matches!(output, Output::Proxy(_));
            let absent = expected && !given_up && !target.under(&self.station.media_root()).is_file();
            if absent && clip.media == MediaState::Ok {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// What is made of a clip, and where it goes.
    fn outputs(&self, catalog: &Catalog, clip: &ClipRow, essence: &RelPath) -> Result<Vec<Wanted>, IngestError> {
        let proxies = self.station.config.proxies.iter().map(|p| (Output::Proxy(p.recipe), p.suffix.as_str()));
        let all = proxies.chain(Output::PICTURES_AND_FINDINGS.map(|output| (output, "")));
        let facts = catalog.chosen(clip.id)?;
        let subject = Subject { roll: &self.roll, name: &clip.name, facts: &facts };
        let wanted = |(output, suffix): (Output, &str)| {
            let target = self.target(output, suffix, essence, clip)?;
            Ok(Wanted { output, target, look: self.looks.of(&subject, output) })
        };
        all.map(wanted).collect()
    }

    /// Makes the outputs that are not there; `Failed` with the reason when one was not to be had.
    fn derive_one(
        &self,
        catalog: &mut Catalog,
        clip: &ClipRow,
        essence: &RelPath,
        metadata: &ClipMetadata,
    ) -> Result<(MediaState, Option<String>), IngestError> {
        let media = self.open_media_root()?;
        let rows = catalog.proxies(clip.id)?;
        let (mut missing, mut failed) = (Vec::new(), None);
        for wanted in self.outputs(catalog, clip, essence)? {
            let Wanted { output, target, look } = &wanted;
            let row = rows.iter().find(|r| r.preset == output.name());
            let there = media.stat(target).ok().flatten().is_some_and(|s| s.is_file && s.size_bytes > 0);
            let possible = match output {
                Output::Proxy(_) | Output::Qc => true,
                Output::Poster | Output::Filmstrip | Output::FilmstripIndex => metadata.video.is_some(),
                Output::Waveform => !metadata.audio.is_empty(),
            };
            // A file beside a row that failed is what was there before.
            let good = |look: &Worn, row: &ProxyFile| row.state == MediaState::Ok && row.look == look.record;
            match look {
                Ok(look) if there && row.map_or(look.record.is_none(), |row| good(look, row)) => {
                    self.set(catalog, clip, &wanted, Ok(None))?;
                }
                // A proxy that was made while its look could be had stays.
                Err(_) if there => {}
                Err(why) if possible => {
                    failed = failed.or(Some(format!("{}: {why}", output.name())));
                    self.set(catalog, clip, &wanted, Err((MediaState::Failed, why.clone())))?;
                }
                Ok(_) if possible => missing.push(wanted),
                _ => {}
            }
        }
        if missing.is_empty() {
            // A kill behind the last rename leaves it.
            let _ = std::fs::remove_dir_all(self.work_path(clip));
            return Ok((if failed.is_some() { MediaState::Failed } else { MediaState::Ok }, failed));
        }
        let Some(file) = self.roots.file(essence) else {
            return Ok((MediaState::Pending, Some("no proven copy of it can be read now".into())));
        };
        let work = self.work_folder(clip)?;
        let longest = Limits::for_derive(metadata.duration_ms);
        let limits = Limits { wall: longest.wall.min(self.station.config.media.derive_limit), ..longest };
        let outputs: Vec<Output> = missing.iter().map(|w| w.output).collect();
        let (finishes, luts) = handed_over(&missing);
        let sprite = self.target(Output::Filmstrip, "", essence, clip)?;
        let request = DeriveRequest {
            clip: file,
            out_dir: &work,
            outputs: &outputs,
            finishes: &finishes,
            luts: &luts,
            start_tc: metadata.start_tc,
            // What no camera wrote down, the slate says.
            reel: Some(metadata.reel.as_deref().unwrap_or(&self.roll)),
            name: &clip.name,
            sprite: sprite.name(),
        };
        let derived = match media::derive(&self.tool, request, &limits) {
            Ok(derived) => derived,
            Err(e) => {
                let _ = std::fs::remove_dir_all(&work);
                return Ok((MediaState::Pending, Some(e.to_string())));
            }
        };
        let plays = missing.iter().zip(&derived).any(|(w, got)| {
            let output = w.output;
            matches!(output, Output::Proxy(_)) && !output.is_relink() && matches!(got, Derivation::Done { .. })
        });
        let mut without = None;
        for (wanted, got) in missing.iter().zip(derived) {
            let Wanted { output, target, .. } = wanted;
            match got {
                Derivation::Done { path, note, .. } => {
                    let at = |source| IngestError::Write { path: target.under(media.path()), source };
                    publish_whole(&media, &path, target).map_err(at)?;
                    self.set(catalog, clip, wanted, Ok(note))?;
                }
                Derivation::Unsupported(why) => {
                    // Worth a word only of a clip that can be played.
                    if output.is_relink() && metadata.video.is_some() && plays {
                        without = without.or(Some(format!("no {}: {why}", output.name())));
                    }
                    self.set(catalog, clip, wanted, Err((MediaState::Unsupported, why)))?;
                }
                Derivation::Failed(why) => {
                    failed = failed.or(Some(format!("{}: {why}", output.name())));
                    self.set(catalog, clip, wanted, Err((MediaState::Failed, why)))?;
                }
            }
        }
        let _ = std::fs::remove_dir_all(&work);
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

    /// An output that is there, with what is to be said of it; or what became of it, and why.
    fn set(
        &self,
        catalog: &mut Catalog,
        clip: &ClipRow,
        wanted: &Wanted,
        made: Result<Option<String>, (MediaState, String)>,
    ) -> Result<(), IngestError> {
        let look = wanted.look.as_ref().ok();
        let (path, state, note) = match made {
            Ok(note) => {
                let path = wanted.target.under(&self.station.media_root()).display().to_string();
                let notes: Vec<String> = look.and_then(|l| l.note.clone()).into_iter().chain(note).collect();
                (Some(path), MediaState::Ok, (!notes.is_empty()).then(|| notes.join("; ")))
            }
            Err((state, why)) => (None, state, Some(why)),
        };
        let (preset, look) = (wanted.output.name().to_owned(), look.and_then(|l| l.record.clone()));
        Ok(catalog.set_proxy(clip.id, &ProxyFile { preset, path, state, note, look })?)
    }
}

/// One file to be made of a clip, where it goes, and its look or why it can not be had.
struct Wanted {
    output: Output,
    target: RelPath,
    look: Result<Worn, String>,
}

/// Whether it was made with another look than it should have; one that can not be had now changes nothing.
fn differs(row: &ProxyFile, look: &Result<Worn, String>) -> bool {
    look.as_ref().is_ok_and(|look| row.look != look.record)
}

/// What is done to the pictures of each output, and the LUTs of all, each once.
fn handed_over(missing: &[Wanted]) -> (Vec<Option<Finish>>, Vec<Arc<Cube>>) {
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
    let finishes = missing.iter().map(|w| w.look.as_ref().ok().and_then(&mut finish)).collect();
    (finishes, luts)
}

fn essence(clip: &ClipRow) -> Option<&RelPath> {
    clip.files.iter().find(|(_, role)| *role == Role::Essence).map(|(p, _)| p)
}
