//! Keeps the machine awake while a card is copied: logind holds the block as long as the child lives.

use std::process::{Child, Command, Stdio};
use tracing::warn;

#[derive(Default)]
pub(super) struct Inhibit {
    child: Option<Child>,
    /// Told to end, not yet reaped.
    ending: Vec<Child>,
    given_up: bool,
}

impl Inhibit {
    /// Called again and again: holds or frees the block, and sees to children that ended. Never blocks.
    pub(super) fn set(&mut self, wanted: bool) {
        self.ending.retain_mut(|child| matches!(child.try_wait(), Ok(None)));
        if let Some(child) = &mut self.child
            && let Ok(Some(status)) = child.try_wait()
        {
            self.child = None;
            self.give_up(&format!("systemd-inhibit ended, {status}"));
        }
        match (wanted, self.child.is_some()) {
            (true, false) if !self.given_up => self.start(),
            (false, true) => self.end(),
            _ => {}
        }
    }

    fn start(&mut self) {
        // `cat` ends when our end of its input is closed: by us, or by the kernel after a kill -9.
        let child = Command::new("systemd-inhibit")
            .args(["--what=sleep:shutdown", "--who=goodgate", "--why=a card is being copied", "--mode=block", "cat"])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        match child {
            Ok(child) => self.child = Some(child),
            Err(e) => self.give_up(&format!("cannot run systemd-inhibit: {e}")),
        }
    }

    fn end(&mut self) {
        if let Some(mut child) = self.child.take() {
            drop(child.stdin.take());
            self.ending.push(child);
        }
    }

    fn give_up(&mut self, why: &str) {
        self.given_up = true;
        warn!("the machine may fall asleep while a card is copied: {why}");
    }
}
