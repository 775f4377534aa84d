//! Which lanes a clip needs, where its pictures and its sound go in, and what came of each output.

use crate::derive::Clip;
use crate::file_io::{FileIo, Shared};
use crate::glance;
use crate::lane::{Item, Lane};
use crate::levels;
use crate::movie::{self, Next};
use crate::pass::Seen;
use crate::pictures;
use crate::qc::Qc;
use crate::sound::Ear;
use goodgate::media::protocol::{Body, Outcome, Request, rotation};
use goodgate::preset::{Output, Preset};
use std::io::Write;
use std::sync::mpsc::SyncSender;
use std::sync::{Arc, Mutex, PoisonError};

/// A lane with the outputs it answers for, by their place in the request.
type Running = (Lane, Vec<usize>);

pub struct Lanes {
    running: Vec<Running>,
    /// Outputs that no lane makes.
    answered: Vec<Option<Outcome>>,
    /// Where pictures go in.
    pub picture: Next,
    /// Where sound goes in, and which tracks.
    pub sound: Vec<(SyncSender<Item>, Vec<usize>)>,
    outputs: Vec<Output>,
    /// Findings, and where they go.
    qc: Option<(Arc<Mutex<Qc>>, usize, Arc<Shared>)>,
}

impl Lanes {
    /// Pictures pass the largest outputs first, each lane handing its smaller ones on; so the last lane starts first.
    pub fn start(clip: &Clip, request: &Request, files: &[Arc<Shared>]) -> Self {
        let outputs = request.outputs.clone();
        let answered: Vec<Option<Outcome>> = outputs.iter().map(|o| clip.unfit(*o)).collect();
        let mut lanes = Lanes { running: Vec::new(), answered, picture: None, sound: Vec::new(), outputs, qc: None };
        if let Some(at) = lanes.places(|o| o == Output::Qc).first().copied() {
            lanes.qc = Some((Arc::default(), at, files[at].clone()));
        }
        lanes.start_levels(clip, files);
        lanes.start_pictures(clip, request, files);
        let web = lanes.places(|o| matches!(o, Output::Proxy(r) if r.preset == Preset::Web));
        let relink = lanes.places(|o| o.is_relink());
        for at in web.into_iter().chain(relink.into_iter().rev()) {
            let Some(plan) = clip.movie(at, &files[at], request) else { continue };
            let tracks = plan.tracks.iter().map(|(place, _)| *place).collect();
            let next = lanes.picture.clone();
            let lane = Lane::start(lanes.outputs[at].name(), move |from, full| movie::run(plan, next, from, full));
            lanes.picture = Some(lane.into.clone());
            lanes.sound.push((lane.into.clone(), tracks));
            lanes.running.push((lane, vec![at]));
        }
        lanes
    }

    fn start_levels(&mut self, clip: &Clip, files: &[Arc<Shared>]) {
        let waveform = self.places(|o| o == Output::Waveform);
        let qc = self.qc.as_ref().map(|(qc, ..)| qc.clone());
        if clip.ears.is_empty() || (waveform.is_empty() && qc.is_none()) {
            return;
        }
        let (tracks, file) = (clip.tracks(), waveform.first().map(|at| files[*at].clone()));
        let places = tracks.iter().map(|(place, _)| *place).collect();
        let lane = Lane::start("levels", move |from, full| levels::run(&tracks, file, qc, from, full));
        self.sound.push((lane.into.clone(), places));
        self.running.push((lane, waveform));
    }

    fn start_pictures(&mut self, clip: &Clip, request: &Request, files: &[Arc<Shared>]) {
        let Some(((_, _, clock), plan)) = clip.picture.as_ref().zip(clip.plan.as_ref()) else { return };
        let place = |lanes: &Self, output| lanes.places(|o| o == output).first().copied();
        let places = [Output::Poster, Output::Filmstrip, Output::FilmstripIndex].map(|o| place(self, o));
        let qc = self.qc.as_ref().map(|(qc, ..)| qc.clone());
        if qc.is_none() && places.iter().all(Option::is_none) {
            return;
        }
        let [poster, strip, index] = places.map(|at| at.map(|at| files[at].clone()));
        let finisher = |at: Option<usize>| at.map_or(Ok(None), |at| clip.finisher(at, self.outputs[at]));
        let wanted = pictures::Wanted {
            poster,
            strip,
            index,
            sprite: request.sprite.clone(),
            qc,
            time_base: plan.time_base,
            rate: plan.rate,
            expected_frames: clock.expected(),
            rotation_deg: plan.display.map_or(0, rotation),
            glance: glance::is_enough(clip, &request.outputs),
            poster_finisher: finisher(places[0]),
            strip_finisher: finisher(places[1]),
        };
        let lane = Lane::start("pictures", move |from, full| pictures::run(wanted, from, full));
        self.picture = Some(lane.into.clone());
        self.running.push((lane, places.into_iter().flatten().collect()));
    }

    /// The outputs of a kind that are still to be made.
    fn places(&self, wanted: impl Fn(Output) -> bool) -> Vec<usize> {
        (0..self.outputs.len()).filter(|i| self.answered[*i].is_none() && wanted(self.outputs[*i])).collect()
    }

    pub fn find(&self, note: impl FnOnce(&mut Qc)) {
        if let Some((qc, ..)) = &self.qc {
            note(&mut qc.lock().unwrap_or_else(PoisonError::into_inner));
        }
    }

    pub fn want_more(&self) -> bool {
        self.running.iter().any(|(lane, _)| lane.wants_more())
    }

    pub fn finish(mut self, clip: &Clip, seen: &Seen) -> Body {
        // The ends of the chain; each lane drops the next one's when it is done.
        (self.picture, self.sound) = (None, Vec::new());
        let mut notes = seen.damage();
        notes.extend(clip.ears.iter().filter_map(Ear::damage));
        let short = seen.lost();
        for (lane, places) in self.running.drain(..).rev() {
            for (at, made) in places.iter().zip(lane.finish(places.len())) {
                let is_movie = matches!(self.outputs[*at], Output::Proxy(_));
                let relink = self.outputs[*at].is_relink();
                self.answered[*at] = Some(match made {
                    Err(outcome) if clip.picture.is_none() || seen.frames > 0 => outcome,
                    Err(_) => Outcome::Failed(seen.nothing()),
                    Ok(_) if is_movie && seen.too_long.is_some() => {
                        Outcome::Failed(seen.too_long.clone().unwrap_or_default())
                    }
                    Ok(_) if relink && short.is_some() => Outcome::Failed(short.clone().unwrap_or_default()),
                    Ok((frames, note)) => done(frames, note, if is_movie { &notes } else { &[] }),
                });
            }
        }
        if let Some((qc, at, file)) = &self.qc {
            self.answered[*at] = Some(match clip.picture.is_some() && seen.frames == 0 {
                true => Outcome::Failed(seen.nothing()),
                false => write_qc(qc, seen, file),
            });
        }
        let missing = || Outcome::Failed("goodgate-media made none".into());
        Body::Derived(self.answered.into_iter().map(|o| o.unwrap_or_else(missing)).collect())
    }
}

fn write_qc(qc: &Mutex<Qc>, seen: &Seen, file: &Arc<Shared>) -> Outcome {
    let mut qc = qc.lock().unwrap_or_else(PoisonError::into_inner);
    (qc.version, qc.frames) = (1, seen.frames);
    let json = serde_json::to_vec(&*qc).unwrap_or_default();
    match FileIo::new(file.clone()).write_all(&json) {
        Ok(()) => Outcome::Done { frames: seen.frames, note: None },
        Err(e) => Outcome::Failed(file.trouble().unwrap_or_else(|| format!("can not be written: {e}"))),
    }
}

fn done(frames: u64, note: Option<String>, more: &[String]) -> Outcome {
    let notes: Vec<String> = note.into_iter().chain(more.iter().cloned()).collect();
    Outcome::Done { frames, note: (!notes.is_empty()).then(|| notes.join("; ")) }
}
