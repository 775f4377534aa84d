//! Progress on stderr: a bar on a terminal, lines elsewhere, objects for programs. The verdict goes where data goes.

use super::args::Shown;
use super::print::{Out, complain, dumb, shown};
use super::stop::Stop;
use super::tally::Tally;
use goodgate::progress::{CannotRecord, Event, Intent, Progress, copy_proven};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::{Value, json};
use std::io::{self, IsTerminal};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

const LINE_EVERY: Duration = Duration::from_secs(10);
const DRAW_EVERY: Duration = Duration::from_millis(100);
const BYTES_EVERY: Duration = Duration::from_millis(200);

pub struct Bar {
    how: How,
    /// Notes and findings are news rather than progress: only `--quiet` silences them.
    quiet: bool,
    out: Out,
    stop: Stop,
    stop_told: AtomicBool,
    state: Mutex<State>,
}

enum How {
    Terminal(ProgressBar),
    Plain,
    Json,
    Never,
}

struct State {
    tally: Tally,
    /// When the bar was drawn or the line written last.
    shown_at: Instant,
}

impl Bar {
    pub fn new(shown: Shown, quiet: bool, out: Out, stop: Stop) -> Self {
        let how = match shown {
            Shown::Auto if io::stderr().is_terminal() && !dumb() => How::Terminal(terminal()),
            Shown::Auto | Shown::Plain => How::Plain,
            Shown::Json => How::Json,
            Shown::Never => How::Never,
        };
        let now = Instant::now();
        let state = Mutex::new(State { tally: Tally::new(now), shown_at: now });
        Bar { how, quiet, out, stop, stop_told: AtomicBool::new(false), state }
    }

    /// Takes the bar off the screen.
    pub fn finish(&self) {
        match &self.how {
            How::Terminal(bar) => bar.finish_and_clear(),
            How::Json => self.tell_rest(),
            How::Plain | How::Never => {}
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A line of its own, above the bar where there is one.
    fn say(&self, text: &str) {
        match &self.how {
            How::Terminal(bar) => bar.suspend(|| complain(text)),
            _ => complain(text),
        }
    }

    fn news(&self, text: &str) {
        if !self.quiet {
            self.say(text);
        }
    }

    /// Draws or writes where the work is, when it is time.
    fn show(&self, state: &mut State, now: Instant, at_once: bool) {
        let since = now.duration_since(state.shown_at);
        match &self.how {
            How::Terminal(bar) if at_once || since >= DRAW_EVERY => {
                bar.set_message(shown(&state.tally.line(now)).into_owned());
                bar.tick();
            }
            How::Plain if !at_once && since >= LINE_EVERY => complain(&state.tally.line(now)),
            _ => return,
        }
        state.shown_at = now;
    }

    fn tell_rest(&self) {
        for (lane, bytes) in self.state().tally.untold(Instant::now()) {
            complain(&json!({"event": "bytes", "lane": lane, "bytes": bytes}).to_string());
        }
    }

    /// For programs: one object a line; bytes are the lane's sum.
    fn json(&self, event: &Event<'_>) {
        let now = Instant::now();
        let object: Value = match event {
            Event::Begin { what, roll, files, bytes } => {
                self.tell_rest();
                self.state().tally.begin(what, roll, *files, *bytes, now);
                json!({"event": "begin", "what": what, "roll": roll, "files": files, "bytes": bytes})
            }
            Event::Bytes { lane, bytes } => {
                let mut state = self.state();
                state.tally.moved(lane, *bytes, now);
                match state.tally.tell(lane, now, BYTES_EVERY) {
                    Some(sum) => json!({"event": "bytes", "lane": lane, "bytes": sum}),
                    None => return,
                }
            }
            Event::Busy { lane, secs } => {
                self.state().tally.busy(lane, *secs);
                return;
            }
            Event::FileDone { relpath, lane } => match relpath.hex_if_escaped() {
                None => json!({"event": "file", "relpath": relpath, "lane": lane}),
                Some(hex) => json!({"event": "file", "relpath": relpath, "relpath_hex": hex, "lane": lane}),
            },
            Event::Finding(finding) => json!({"event": "finding", "finding": finding}),
            Event::Step { roll, step } => {
                self.tell_rest();
                json!({"event": "step", "roll": roll, "step": step, "bottleneck": self.state().tally.bottleneck()})
            }
            Event::CopyProven { destination, copies } => {
                json!({"event": "copy", "destination": destination, "proven_copies": copies})
            }
            Event::Note(text) => json!({"event": "note", "text": text}),
            Event::Verdict { roll, safe, text } => {
                json!({"event": "verdict", "roll": roll, "safe": safe, "text": text})
            }
            Event::Clip { name, media, note } => json!({"event": "clip", "name": name, "media": media, "note": note}),
        };
        complain(&object.to_string());
    }

    /// For people.
    fn text(&self, event: &Event<'_>) {
        let now = Instant::now();
        let progress = !matches!(self.how, How::Never);
        match event {
            Event::Begin { what, roll, files, bytes } => {
                let mut state = self.state();
                state.tally.begin(what, roll, *files, *bytes, now);
                self.show(&mut state, now, true);
                if matches!(self.how, How::Plain) {
                    complain(&state.tally.line(now));
                }
            }
            Event::Bytes { lane, bytes } => {
                let mut state = self.state();
                state.tally.moved(lane, *bytes, now);
                self.show(&mut state, now, false);
            }
            Event::Busy { lane, secs } => self.state().tally.busy(lane, *secs),
            Event::FileDone { lane, .. } => {
                let mut state = self.state();
                state.tally.file(lane);
                self.show(&mut state, now, false);
            }
            Event::Step { roll, step } => {
                if matches!(self.how, How::Plain) {
                    complain(&format!("{roll}: {step}"));
                }
            }
            // Stdout has them at the end; somebody at a terminal wants to know at once.
            Event::Finding(finding) if matches!(self.how, How::Terminal(_)) || self.out.json() => {
                self.news(&finding.line());
            }
            Event::Finding(_) => {}
            Event::CopyProven { destination, copies } => self.news(&copy_proven(destination, *copies)),
            Event::Note(text) => self.news(text),
            Event::Clip { name, media, note } => {
                self.state().tally.clip();
                if progress {
                    let note = note.map(|n| format!(": {n}")).unwrap_or_default();
                    self.say(&format!("clip {name}: {media}{note}"));
                }
                self.show(&mut self.state(), now, false);
            }
            Event::Verdict { text, .. } => {
                // With --json the object at the end says it, and stdout holds nothing else.
                if self.out.json() {
                    self.news(text);
                }
            }
        }
    }
}

fn terminal() -> ProgressBar {
    let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
    if let Ok(style) = ProgressStyle::with_template("{wide_msg}") {
        bar.set_style(style);
    }
    bar
}

impl Progress for Bar {
    fn event(&self, event: Event<'_>) {
        match self.how {
            How::Json => self.json(&event),
            _ => self.text(&event),
        }
        if let Event::Verdict { safe, text, .. } = event {
            match &self.how {
                How::Terminal(bar) => bar.suspend(|| self.out.verdict(safe, text)),
                _ => self.out.verdict(safe, text),
            }
        }
    }

    fn stop_asked(&self) -> bool {
        let asked = self.stop.asked();
        if asked && !self.stop_told.swap(true, Ordering::Relaxed) {
            self.event(Event::Note("stopping at the next safe point; once more ends at once"));
        }
        asked
    }

    /// Whoever needs durable facts wraps this progress with one that records.
    fn record(&self, _: Intent) -> Result<(), CannotRecord> {
        Err(CannotRecord("the command line keeps no records".into()))
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        if let How::Terminal(bar) = &self.how {
            bar.finish_and_clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_recorded_in_silence() {
        let bar = Bar::new(Shown::Never, true, Out::new(true), Stop::default());
        assert!(bar.record(Intent::Log("x".into())).is_err());
        assert!(!bar.stop_asked());
    }
}
