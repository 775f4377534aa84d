//! What systemd wants to know. Without systemd nothing happens: every message is then dropped by the crate.

use sd_notify::NotifyState;
use std::time::{Duration, Instant};

/// Asked for again and again while we stop: so much more, so often.
const MORE_TIME: Duration = Duration::from_secs(30);
const MORE_EVERY: Duration = Duration::from_secs(10);

pub(super) struct Systemd {
    /// How often to say that the loop still turns.
    watchdog: Option<Duration>,
    said_at: Instant,
    status: String,
    asked_at: Option<Instant>,
}

impl Systemd {
    pub(super) fn ready(status: &str) -> Self {
        say(&[NotifyState::Ready, NotifyState::Status(status)]);
        // Twice in each interval, so that one late turn is no death.
        let watchdog = sd_notify::watchdog_enabled().map(|interval| interval / 2);
        Systemd { watchdog, said_at: Instant::now(), status: status.to_owned(), asked_at: None }
    }

    /// From the loop alone: a loop that hangs must fall silent.
    pub(super) fn turn(&mut self, status: String) {
        if status != self.status {
            say(&[NotifyState::Status(&status)]);
            self.status = status;
        }
        if self.watchdog.is_some_and(|every| self.said_at.elapsed() >= every) {
            say(&[NotifyState::Watchdog]);
            self.said_at = Instant::now();
        }
    }

    pub(super) fn stopping(&self) {
        say(&[NotifyState::Stopping]);
    }

    pub(super) fn more_time(&mut self) {
        if self.asked_at.is_some_and(|at| at.elapsed() < MORE_EVERY) {
            return;
        }
        self.asked_at = Some(Instant::now());
        say(&[NotifyState::ExtendTimeoutUsec(MORE_TIME.as_micros() as u32)]);
    }
}

fn say(state: &[NotifyState<'_>]) {
    if let Err(e) = sd_notify::notify(state) {
        tracing::debug!("systemd was not told: {e}");
    }
}
