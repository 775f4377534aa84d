//! What a job does next: `Step` (the work still to do), `Outcome` (how it ended), and the one function that joins them.
//!
//! A fault that may pass by itself is tried again, later and later, and not for ever. Everything else waits for a
//! person: a `Hold` is never left without one, and a mismatch is never tried again in silence.

use std::time::Duration;

macro_rules! named {
    ($(#[$doc:meta])* $kind:ident { $($(#[$variant_doc:meta])* $variant:ident = $name:literal),* $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum $kind { $($(#[$variant_doc])* $variant),* }

        impl $kind {
            pub const ALL: &[$kind] = &[$(Self::$variant),*];

            /// As it is stored.
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $name),* }
            }

            pub fn from_name(name: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|v| v.name() == name)
            }
        }
    };
}

named! {
    /// The work still to do for a card, in order.
    Step {
        /// Wait until the dump has stopped growing.
        Settle = "settle",
        /// Copy, prove, check headers.
        Offload = "offload",
        /// Write the manifest.
        Seal = "seal",
        /// Read metadata from a proven copy.
        Describe = "describe",
        /// Make proxies and stills.
        Derive = "derive",
        Done = "done",
    }
}

impl Step {
    /// The step after this one; `Done` stays.
    pub fn following(self) -> Self {
        match self {
            Self::Settle => Self::Offload,
            Self::Offload => Self::Seal,
            Self::Seal => Self::Describe,
            Self::Describe => Self::Derive,
            Self::Derive | Self::Done => Self::Done,
        }
    }
}

named! {
    /// Why a job waits for a person.
    Hold {
        Mismatch = "mismatch",
        DiskFull = "disk-full",
        SourceChanged = "source-changed",
        SourceUnreadable = "source-unreadable",
        Conflict = "conflict",
        Unsafe = "unsafe",
        DestinationAbsent = "destination-absent",
        DestinationFailed = "destination-failed",
        CardAbsent = "card-absent",
        CannotRecord = "cannot-record",
        Panicked = "panicked",
        /// A passing fault did not pass.
        GaveUp = "gave-up",
        Cancelled = "cancelled",
        /// Of footage that is registered where it lies.
        NotAsListed = "not-as-listed",
    }
}

impl Hold {
    /// One line for a person: what is the matter, and what ends the hold.
    pub fn text(self) -> &'static str {
        match self {
            Self::Mismatch => "a copy read back differs from the card: check the disk and its cable, then retry",
            Self::DiskFull => "a destination is full: make room or add a destination, then retry",
            Self::SourceChanged => "the card changed while it was read: check it in its reader, then retry",
            Self::SourceUnreadable => "the card could not be read in full: try another reader, then retry",
            Self::Conflict => {
                "other bytes already have the name of a file at a destination: move them away, then retry"
            }
            Self::Unsafe => "a destination was refused as unsafe: correct the settings, then retry",
            Self::DestinationAbsent => "a destination is not there: mount it, then retry",
            Self::DestinationFailed => "a destination could not be written: check the disk, then retry",
            Self::CardAbsent => "the card is not there: insert it again",
            Self::CannotRecord => "the catalog could not be written: check its disk, then retry",
            Self::Panicked => "the program failed inside this job: see the log, report it, then retry",
            Self::GaveUp => "it failed again and again: see the log for the reason, then retry",
            Self::Cancelled => "it was cancelled: retry goes on where it stopped",
            Self::NotAsListed => {
                "footage is not what was recorded of it: bring the right files back, then register it again"
            }
        }
    }
}

/// How one run of a step ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    Done,
    /// May pass by itself; with the reason.
    Transient(String),
    Held(Hold),
    Cancelled,
}

/// Runs of one step with a passing fault before a person is asked.
pub const MAX_ATTEMPTS: u32 = 8;
const FIRST_WAIT: Duration = Duration::from_secs(5);
const LONGEST_WAIT: Duration = Duration::from_secs(300);

/// What to do after `step` ended with `outcome`: the step to store, the hold to store with it, and how long to wait
/// before it runs again. `attempts` counts the runs of this step so far that ended with a passing fault, this one too.
/// Never both a hold and a wait; a step that is not finished stays the same.
pub fn next(step: Step, outcome: &Outcome, attempts: u32) -> (Step, Option<Hold>, Option<Duration>) {
    match (step, outcome) {
        (Step::Done, _) => (Step::Done, None, None),
        (_, Outcome::Done) => (step.following(), None, None),
        (_, Outcome::Transient(_)) if attempts < MAX_ATTEMPTS => (step, None, Some(wait(attempts))),
        (_, Outcome::Transient(_)) => (step, Some(Hold::GaveUp), None),
        (_, Outcome::Held(hold)) => (step, Some(*hold), None),
        (_, Outcome::Cancelled) => (step, Some(Hold::Cancelled), None),
    }
}

/// Doubles with each attempt, up to the longest.
fn wait(attempts: u32) -> Duration {
    let doublings = attempts.saturating_sub(1).min(16);
    (FIRST_WAIT * 2u32.pow(doublings)).min(LONGEST_WAIT)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcomes() -> Vec<Outcome> {
        let mut all = vec![Outcome::Done, Outcome::Transient("busy".into()), Outcome::Cancelled];
        all.extend(Hold::ALL.iter().map(|h| Outcome::Held(*h)));
        all
    }

    #[test]
    fn every_pair_has_its_one_answer() {
        for step in Step::ALL.iter().copied() {
            for outcome in outcomes() {
                for attempts in [0, 1, MAX_ATTEMPTS - 1, MAX_ATTEMPTS, u32::MAX] {
                    let expected = match &outcome {
                        _ if step == Step::Done => (Step::Done, None, None),
                        Outcome::Done => (step.following(), None, None),
                        Outcome::Transient(_) if attempts < MAX_ATTEMPTS => (step, None, Some(wait(attempts))),
                        Outcome::Transient(_) => (step, Some(Hold::GaveUp), None),
                        Outcome::Held(hold) => (step, Some(*hold), None),
                        Outcome::Cancelled => (step, Some(Hold::Cancelled), None),
                    };
                    assert_eq!(next(step, &outcome, attempts), expected, "{step:?} {outcome:?} {attempts}");
                }
            }
        }
    }

    #[test]
    fn success_alone_leads_through_all_steps_to_done() {
        let mut seen = vec![Step::Settle];
        while *seen.last().unwrap() != Step::Done {
            seen.push(next(*seen.last().unwrap(), &Outcome::Done, 0).0);
        }
        assert_eq!(seen, Step::ALL);
    }

    #[test]
    fn a_mismatch_is_never_tried_again_in_silence() {
        for step in Step::ALL.iter().copied().filter(|s| *s != Step::Done) {
            assert_eq!(next(step, &Outcome::Held(Hold::Mismatch), 0), (step, Some(Hold::Mismatch), None));
        }
    }

    #[test]
    fn waits_double_up_to_a_cap_and_end() {
        let busy = Outcome::Transient("busy".into());
        let waits: Vec<u64> = (1..).map_while(|n| next(Step::Offload, &busy, n).2).map(|d| d.as_secs()).collect();
        assert_eq!(waits, [5, 10, 20, 40, 80, 160, 300]);
    }

    #[test]
    fn names_are_distinct_and_lead_back() {
        for step in Step::ALL {
            assert_eq!(Step::from_name(step.name()), Some(*step));
        }
        for hold in Hold::ALL {
            assert_eq!(Hold::from_name(hold.name()), Some(*hold));
        }
        assert_eq!(Step::from_name("running"), None);
    }
}
