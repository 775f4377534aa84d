//! Metadata and proxies of each clip, from a proven copy, after the verdict. Nothing here can change it.

use super::{IngestError, Station, parts};
use crate::catalog::{Catalog, ClipRow, CopyRootRow};
use crate::clip::{CardId, ClipId, ClipMetadata, MediaState, ProxyFile, Role};
use crate::copy::CopyState;
use crate::disk::write::publish_whole;
use crate::disk::{Root, facts};
use crate::job::Step;
use crate::media::{self, Derivation, DeriveRequest, Limits, Probe, Tool};
use crate::progress::{Event, Progress};
use crate::relpath::RelPath;
use crate::sidecar;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::path::PathBuf;

/// The outputs of every clip, their file ending, and the file a derivation leaves in its temporary folder.
const OUTPUTS: [(&str, &str); 2] = [("web", "mp4"), ("poster", "jpg")];

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
        if let Err(e) = tool.check() {
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
            if !fresh && (clip.media != MediaState::Ok || self.has_web(&clip, essence)?) {
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
        for (relpath, role) in &clip.files {
            let Some(mut file) = self.roots.file(relpath) else { continue };
            match role {
                // Of numbered pictures the first one speaks for all.
                Role::Essence if parts::is_frame(relpath) && Some(relpath) != essence(clip) => {}
                Role::Essence | Role::Audio => said.extend(sidecar::of_file(&mut file, relpath)),
                Role::Sidecar => said.extend(sidecar::of_sidecar(&mut file, relpath)),
                Role::Proxy | Role::Thumb => {}
            }
        }
        sidecar::merge(metadata, said)
    }

    fn has_web(&self, clip: &ClipRow, essence: &RelPath) -> Result<bool, IngestError> {
        let target = self.target("web", essence, clip, "mp4")?;
        Ok(target.under(&self.station.media_root()).is_file())
    }

    /// Makes the proxy and the poster unless both are there; `Failed` with the reason when an output was not to be had.
    fn derive_one(
        &self,
        catalog: &mut Catalog,
        clip: &ClipRow,
        essence: &RelPath,
        metadata: &ClipMetadata,
    ) -> Result<(MediaState, Option<String>), IngestError> {
        let targets: Vec<RelPath> =
            OUTPUTS.iter().map(|(preset, ext)| self.target(preset, essence, clip, ext)).collect::<Result<_, _>>()?;
        let media = self.open_media_root()?;
        let there: Vec<bool> = targets
            .iter()
            .map(|t| media.stat(t).ok().flatten().is_some_and(|s| s.is_file && s.size_bytes > 0))
            .collect();
        let video = metadata.video.is_some();
        let want_web = !there[0] && self.station.config.proxies.iter().any(|p| p == "web");
        let want_poster = !there[1] && video;
        for (i, (preset, _)) in OUTPUTS.iter().enumerate().filter(|(i, _)| there[*i]) {
            self.set(catalog, clip, preset, Some(&targets[i]), MediaState::Ok, None)?;
        }
        if !want_web && !want_poster {
            // A kill behind the last rename leaves it.
            let _ = std::fs::remove_dir_all(self.work_path(clip));
            return Ok((MediaState::Ok, None));
        }
        let Some(file) = self.roots.file(essence) else {
            return Ok((MediaState::Pending, Some("no proven copy of it can be read now".into())));
        };
        let work = self.work_folder(clip)?;
        let longest = Limits::for_derive(metadata.duration_ms);
        let limits = Limits { wall: longest.wall.min(self.station.config.media.derive_limit), ..longest };
        let request = DeriveRequest {
            clip: file,
            out_dir: &work,
            web: want_web,
            poster: want_poster,
            start_tc: metadata.start_tc,
        };
        let derived = match media::derive(&self.tool, request, &limits) {
            Ok(derived) => derived,
            Err(e) => {
                let _ = std::fs::remove_dir_all(&work);
                return Ok((MediaState::Pending, Some(e.to_string())));
            }
        };
        let mut failed = None;
        for (i, got) in [derived.web, derived.poster].into_iter().enumerate() {
            let preset = OUTPUTS[i].0;
            match got {
                None => {}
                Some(Derivation::Done { path, note, .. }) => {
                    let at = |source| IngestError::Write { path: targets[i].under(media.path()), source };
                    publish_whole(&media, &path, &targets[i]).map_err(at)?;
                    self.set(catalog, clip, preset, Some(&targets[i]), MediaState::Ok, note)?;
                }
                Some(Derivation::Unsupported(why)) => {
                    self.set(catalog, clip, preset, None, MediaState::Unsupported, Some(why))?;
                }
                Some(Derivation::Failed(why)) => {
                    failed = failed.or(Some(format!("{preset}: {why}")));
                    self.set(catalog, clip, preset, None, MediaState::Failed, Some(why))?;
                }
            }
        }
        let _ = std::fs::remove_dir_all(&work);
        Ok((if failed.is_some() { MediaState::Failed } else { MediaState::Ok }, failed))
    }

    /// `ROLL/web/<card path>/<stem>.mp4` below the media root. Two clips of one stem in one folder keep apart by name.
    fn target(&self, preset: &str, essence: &RelPath, clip: &ClipRow, ext: &str) -> Result<RelPath, IngestError> {
        let bad = |e: crate::relpath::BadPath| IngestError::Internal(e.to_string());
        let folder = RelPath::new(format!("{}/{preset}", self.roll)).map_err(bad)?.join_rel(&essence.parent());
        let stem = match clip.name.as_bytes() == essence.name() {
            true => essence.name(),
            false => essence.stem(),
        };
        folder.join([stem, b".", ext.as_bytes()].concat()).map_err(bad)
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
        preset: &str,
        target: Option<&RelPath>,
        state: MediaState,
        note: Option<String>,
    ) -> Result<(), IngestError> {
        let path = target.map(|t| t.under(&self.station.media_root()).display().to_string());
        let proxy = ProxyFile { preset: preset.to_owned(), path, state, note };
        Ok(catalog.set_proxy(clip.id, &proxy)?)
    }
}

fn essence(clip: &ClipRow) -> Option<&RelPath> {
    clip.files.iter().find(|(_, role)| *role == Role::Essence).map(|(p, _)| p)
}
