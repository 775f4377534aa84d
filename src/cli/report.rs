//! Exit codes, and what a person reads when something failed: the error and one line with the next step.

use clap::error::{ContextKind, ContextValue};
use goodgate::catalog::{CatalogError, still_told};
use goodgate::config::{Config, ConfigError};
use goodgate::daemon::DaemonError;
use goodgate::eject::EjectError;
use goodgate::ingest::{self, IngestError};
use goodgate::mhl::{HistoryFault, MhlError};
use goodgate::offload::plan::Refusal;
use goodgate::patrol::PatrolError;
use serde::Serialize;
use std::error::Error;
use std::fmt;

/// The result of a command as scripts see it (cli.md). Ordered by precedence: when several apply, the greatest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Exit {
    Good,
    /// The call itself: arguments or settings. Never met by another, because nothing was done.
    Usage,
    Failed,
    /// Nothing is wrong but that files are there which no history lists.
    NewFiles,
    /// A card is not safe, a job is on hold, coverage cannot be held or a volume is overdue.
    NotSafe,
    /// A history (ASC MHL) is missing or damaged.
    History,
    Missing,
    Unreadable,
    Mismatch,
}

impl Exit {
    pub fn code(self) -> u8 {
        match self {
            Self::Good => 0,
            Self::Failed => 1,
            Self::Usage => 2,
            Self::Missing => 10,
            Self::Mismatch => 11,
            Self::Unreadable => 12,
            Self::NotSafe => 20,
            Self::NewFiles => 21,
            Self::History => 30,
        }
    }

    /// What a story says in the numbers of the contract; an unknown one is a failure.
    pub fn of_code(code: u8) -> Self {
        use Exit::*;
        let all = [Good, Usage, Failed, NewFiles, NotSafe, History, Missing, Unreadable, Mismatch];
        all.into_iter().find(|exit| exit.code() == code).unwrap_or(Failed)
    }
}

/// Why a command gave no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    pub error: String,
    pub hint: Option<String>,
    pub exit: Exit,
}

impl Failure {
    pub fn new(error: impl Into<String>) -> Self {
        Failure { error: error.into(), hint: None, exit: Exit::Failed }
    }

    pub fn usage(error: impl Into<String>) -> Self {
        Failure { exit: Exit::Usage, ..Self::new(error) }
    }

    pub fn hint(self, hint: impl Into<String>) -> Self {
        Failure { hint: Some(hint.into()), ..self }
    }

    /// `{"error","hint","exit"}`
    pub fn json(&self) -> impl Serialize {
        serde_json::json!({ "error": self.error, "hint": self.hint, "exit": self.exit.code() })
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.error)
    }
}

impl Error for Failure {}

/// Any error as a failure: its own hint and exit where its kind is known.
pub fn failure(e: &anyhow::Error) -> Failure {
    if let Some(failure) = e.downcast_ref::<Failure>() {
        return failure.clone();
    }
    let mut causes: Vec<String> = Vec::new();
    for cause in e.chain().map(ToString::to_string) {
        // Most of our errors name their cause already.
        if !causes.last().is_some_and(|above| above.contains(&cause)) {
            causes.push(cause);
        }
    }
    let known = e.chain().find_map(|cause| {
        let ingest = cause.downcast_ref::<IngestError>().map(of_ingest);
        let catalog = || cause.downcast_ref::<CatalogError>().map(of_catalog);
        let again = || "correct that line, then try it: goodgate config check".to_owned();
        let config = || cause.downcast_ref::<ConfigError>().map(|e| (e.hint.clone().or(Some(again())), Exit::Usage));
        let patrol = || cause.downcast_ref::<PatrolError>().map(of_patrol);
        let eject = || cause.downcast_ref::<EjectError>().map(of_eject);
        let daemon = || cause.downcast_ref::<DaemonError>().map(of_daemon);
        let mhl = || cause.downcast_ref::<MhlError>().map(of_mhl);
        ingest.or_else(catalog).or_else(config).or_else(patrol).or_else(daemon).or_else(mhl).or_else(eject)
    });
    let (hint, exit) = known.unwrap_or((None, Exit::Failed));
    Failure { error: causes.join(": "), hint, exit }
}

/// What can be done about a damaged catalog, with the backup to take. The file stays as it is.
pub fn of_damage(e: anyhow::Error, config: &Config) -> anyhow::Error {
    let damaged = e.chain().find_map(|cause| {
        let of_ingest = cause.downcast_ref().and_then(|e| if let IngestError::Catalog(e) = e { Some(e) } else { None });
        let of_patrol = cause.downcast_ref().and_then(|e| if let PatrolError::Catalog(e) = e { Some(e) } else { None });
        let of_daemon = cause.downcast_ref().and_then(|e| if let DaemonError::Catalog(e) = e { Some(e) } else { None });
        let damaged = cause.downcast_ref::<CatalogError>().or(of_ingest).or(of_patrol).or(of_daemon);
        damaged.and_then(|e| if let CatalogError::Corrupt { path, .. } = e { Some(path) } else { None })
    });
    let Some(path) = damaged else { return e };
    let (station, destinations) = still_told(path);
    let restore = match ingest::newest_backup(config, destinations, station.as_deref()) {
        Some(backup) => format!("goodgate restore \"{}\" (the newest backup at hand)", backup.display()),
        None => "goodgate restore DEST/.goodgate/catalog/NAME.db, the newest of a destination".into(),
    };
    let hint = format!("the file is kept as it is; {restore}; without a backup: goodgate rebuild DEST...");
    Failure { hint: Some(hint), ..failure(&e) }.into()
}

fn of_ingest(e: &IngestError) -> (Option<String>, Exit) {
    let (hint, exit) = match e {
        IngestError::Card { .. } => ("check that the card is mounted and the path is right", Exit::Failed),
        IngestError::EmptyCard(_) => ("check that this is the card's root and that the card is mounted", Exit::Failed),
        IngestError::NoDestination => ("goodgate offload CARD --to /mnt/a --to /mnt/b", Exit::Usage),
        IngestError::Destination { .. } => ("mount the drive, or name another destination", Exit::Failed),
        IngestError::Refused(all) => return of_refusals(all),
        IngestError::Roll(_) => ("name the roll: --roll A001", Exit::Usage),
        IngestError::Changed { .. } => (
            "if this is another card, say so with --roll and a new name; else look at it before it is used again",
            Exit::NotSafe,
        ),
        IngestError::Busy(_) => ("wait for it, or see what runs: goodgate jobs", Exit::Failed),
        IngestError::Stopped => ("run the same command again; it continues", Exit::Failed),
        IngestError::Write { .. } => ("check that the place is mounted, writable and has space", Exit::Failed),
        IngestError::Lock { .. } => ("the folder of the catalog must be writable: see --catalog", Exit::Failed),
        IngestError::List(_) => ("check the card in its reader and run the same command again", Exit::Failed),
        IngestError::Catalog(e) => return of_catalog(e),
        IngestError::CannotRecord(_) => {
            ("make room on the catalog's disk, then run the same command again", Exit::Failed)
        }
        IngestError::Folder { .. } => ("check that the folder is there and may be read", Exit::Failed),
        IngestError::NoPlace { .. } => ("name the folder of one roll, apart from all that is known", Exit::Usage),
        IngestError::Legacy { .. } => ("move it out of the folder to register without it", Exit::History),
        IngestError::History(e) => return of_mhl(e),
        IngestError::Internal(_) => ("run the same command again; if it fails again, report this line", Exit::Failed),
    };
    (Some(hint.into()), exit)
}

fn of_refusals(all: &[Refusal]) -> (Option<String>, Exit) {
    let of = |r: &Refusal| match r {
        Refusal::InsideCard { .. } | Refusal::CardInside { .. } | Refusal::SameDestination { .. } => {
            ("name destinations that lie apart from the card and from each other", Exit::Usage)
        }
        Refusal::ReadOnly(_) => ("mount it writable, or name another destination", Exit::Failed),
        Refusal::Space { .. } | Refusal::Inodes { .. } => ("make room or name another destination", Exit::Failed),
        Refusal::Clash { .. } | Refusal::Name { .. } | Refusal::TooLarge { .. } => {
            ("use a destination with another filesystem, such as ext4 or XFS", Exit::Failed)
        }
        Refusal::Reserved(..) => ("such a card is copied only as a folder below its root", Exit::Failed),
    };
    let first = all.iter().map(of).max_by_key(|(_, exit)| *exit == Exit::Usage);
    (first.map(|(hint, _)| format!("nothing was written; {hint}")), first.map_or(Exit::Failed, |f| f.1))
}

fn of_catalog(e: &CatalogError) -> (Option<String>, Exit) {
    let hint = match e {
        CatalogError::Open { .. } | CatalogError::Io { .. } => "the folder must exist and be writable: see --catalog",
        CatalogError::Network { .. } => "name a catalog on a local disk: --catalog FILE",
        CatalogError::Newer { .. } => "install the newer program, or name another catalog: --catalog FILE",
        CatalogError::Older { .. } => "run any writing command once, such as goodgate status",
        CatalogError::NotOurs { .. } => "name another file: --catalog FILE",
        CatalogError::Corrupt { .. } => {
            "the file is kept; goodgate restore DEST/.goodgate/catalog/NAME.db, or goodgate rebuild DEST..."
        }
        CatalogError::NoBackup { .. } => "try another backup; without a good one: goodgate rebuild DEST...",
        CatalogError::Present { .. } => "--replace keeps it under a dated name and puts the other in its place",
        CatalogError::Busy { .. } => "another goodgate holds it; try again in a moment",
        CatalogError::Full { .. } => "make room on the disk of the catalog",
        CatalogError::Backup { .. } => "name a file that does not exist yet, on a disk with room",
        CatalogError::Sql { .. } | CatalogError::Unknown { .. } | CatalogError::Refused { .. } => {
            return (None, Exit::Failed);
        }
    };
    (Some(hint.into()), Exit::Failed)
}

fn of_patrol(e: &PatrolError) -> (Option<String>, Exit) {
    let hint = match e {
        PatrolError::Catalog(e) => return of_catalog(e),
        PatrolError::NothingKnown(_) => {
            "goodgate cards lists rolls; a path needs a copy of ours, an ascmhl folder or a legacy .mhl"
        }
        PatrolError::History { .. } => "copies that the catalog knows are verified without it: goodgate verify ROLL",
        PatrolError::List { .. } => "move it out of the folder, or name another list in it",
        PatrolError::WhichVolume { .. } => "say which by its name, or mount it and say the path again",
        PatrolError::UnknownVolume(_) => "name its label or where it is mounted; goodgate status shows the copies",
        PatrolError::Look { .. } => "check that the place is mounted and may be read",
        PatrolError::Lock { .. } => "the folder of the catalog must be writable: see --catalog",
        PatrolError::Busy(_) => "wait for it, or see what runs: goodgate jobs",
        PatrolError::Stopped => "run the same command again; it continues",
        PatrolError::ReportName(_) => "goodgate patrol --report FILE.json",
    };
    let exit = match e {
        PatrolError::UnknownVolume(_) | PatrolError::WhichVolume { .. } | PatrolError::ReportName(_) => Exit::Usage,
        _ => Exit::of_code(e.exit_code()),
    };
    (Some(hint.into()), exit)
}

fn of_eject(e: &EjectError) -> (Option<String>, Exit) {
    let hint = match e {
        EjectError::Patrol(e) => return of_patrol(e),
        EjectError::Ingest(e) => return of_ingest(e),
        EjectError::Catalog(e) => return of_catalog(e),
        EjectError::Unknown(_) => "goodgate cards lists rolls; a volume is named by its label or where it is mounted",
        EjectError::NotMounted(_) => "a volume is named by its label or where it is mounted",
        EjectError::Several { .. } => "say which one, by where it is mounted",
        EjectError::Refused { .. } => "name the card or the drive that shall leave: its label, or where it is mounted",
        EjectError::Cannot { .. } => "do it as root, or let fstab say that users may; it must not be unplugged yet",
        EjectError::Busy { holders, .. } if holders.is_empty() => {
            "only root may see who uses it: sudo goodgate eject, or sudo fuser -vm"
        }
        EjectError::Busy { .. } => "close what uses it (a terminal in one of its folders counts), then eject it again",
        EjectError::Ours { .. } => "wait for it or stop it (goodgate jobs shows what is open), then eject it again",
        EjectError::Sync { .. } => {
            "look at the disk and its cable; goodgate verify says what it holds; it stays mounted"
        }
        EjectError::Held { .. } => {
            "end what uses it: another container, or what an unmount with -l left; then it may be unplugged"
        }
        EjectError::NotRecorded { .. } => "goodgate check; the next proof may be of class device",
        EjectError::Lock { .. } => "the folder of the catalog must be writable: see --catalog",
    };
    let exit = if matches!(e, EjectError::Unknown(_)) { Exit::Usage } else { Exit::Failed };
    (Some(hint.into()), exit)
}

fn of_daemon(e: &DaemonError) -> (Option<String>, Exit) {
    let hint = match e {
        DaemonError::Catalog(e) => return of_catalog(e),
        DaemonError::Running { .. } => "one daemon serves a catalog: stop the other one, or name another --catalog",
        DaemonError::Lock { .. } => "the folder of the catalog must be writable: see --catalog",
        DaemonError::Start(_) => "see the system's limits for threads and open files",
    };
    (Some(hint.into()), Exit::Failed)
}

fn of_mhl(e: &MhlError) -> (Option<String>, Exit) {
    let (hint, exit) = match e {
        MhlError::History(HistoryFault::Io { .. }) => ("check that the folder may be read", Exit::Unreadable),
        MhlError::History(_) => ("goodgate mhl verify PATH says what still holds; nothing was written", Exit::History),
        MhlError::NotC4 { .. } => ("such a history can be verified, not continued: goodgate mhl verify", Exit::History),
        MhlError::Unlisted { .. } => ("nothing was written; the manifest may be what a crash left", Exit::History),
        MhlError::Raced { .. } => ("run the same command again", Exit::Failed),
        MhlError::Contradiction { .. } | MhlError::NoCommonFormat { .. } | MhlError::Entry { .. } => {
            ("goodgate mhl verify PATH says which files are altered", Exit::Failed)
        }
        MhlError::Email { .. } => ("write it as name@host.tld", Exit::Usage),
        MhlError::Io { .. } => ("check that the place is mounted, writable and has space", Exit::Failed),
    };
    (Some(hint.into()), exit)
}

/// The parser's error as our object: its first line, and its usage or proposal as the hint.
pub fn of_clap(e: &clap::Error) -> Failure {
    let text = e.render().to_string();
    let mut lines = text.lines().map(str::trim).filter(|l| !l.is_empty());
    let first = lines.next().unwrap_or("the command line cannot be read");
    let mut error = first.strip_prefix("error: ").unwrap_or(first).to_owned();
    // Missing arguments are listed below the first line.
    if let Some(ContextValue::Strings(names)) = e.get(ContextKind::InvalidArg) {
        error = format!("{error} {}", names.join(" "));
    }
    let tip = text.lines().find_map(|l| l.trim().strip_prefix("tip: "));
    let usage = text.lines().find_map(|l| l.trim().strip_prefix("Usage: "));
    let hint = tip.map(str::to_owned).or(usage.map(|u| format!("usage: {u}")));
    Failure { hint: hint.or(Some("goodgate --help lists the commands".into())), ..Failure::usage(error) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::Context;
    use std::path::PathBuf;

    #[test]
    fn the_first_of_the_contract_wins() {
        use Exit::*;
        let order = [Mismatch, Unreadable, Missing, History, NotSafe, NewFiles, Failed];
        assert_eq!(order.map(Exit::code), [11, 12, 10, 30, 20, 21, 1]);
        assert_eq!([0, 2, 99].map(Exit::of_code), [Exit::Good, Exit::Usage, Exit::Failed]);
        for (i, first) in order.iter().enumerate() {
            for later in &order[i..] {
                assert_eq!(first.max(later), first);
            }
            assert!(*first > Exit::Good);
            assert_eq!(Exit::of_code(first.code()), *first);
        }
    }

    #[test]
    fn an_error_object_has_its_three_keys() {
        let failure = Failure::usage("no such roll").hint("goodgate cards");
        let json = serde_json::to_value(failure.json()).unwrap();
        assert_eq!(json, serde_json::json!({"error": "no such roll", "hint": "goodgate cards", "exit": 2}));
        let json = serde_json::to_value(Failure::new("x").json()).unwrap();
        assert_eq!(json["hint"], serde_json::Value::Null);
    }

    #[test]
    fn known_errors_bring_their_hint_and_code() {
        let of = |e: IngestError| failure(&anyhow::Error::from(e));
        assert_eq!(of(IngestError::Stopped).hint.as_deref(), Some("run the same command again; it continues"));
        assert_eq!(of(IngestError::NoDestination).exit, Exit::Usage);
        let inside = Refusal::InsideCard { dest: "/c/x".into(), card: "/c".into() };
        let read_only = Refusal::ReadOnly("/d".into());
        assert_eq!(of(IngestError::Refused(vec![read_only.clone()])).exit, Exit::Failed);
        assert_eq!(of(IngestError::Refused(vec![read_only, inside])).exit, Exit::Usage);
        let card = || IngestError::Card { path: PathBuf::from("/c"), source: std::io::ErrorKind::NotFound.into() };
        let shown = failure(&anyhow::Error::from(card()).context("offload"));
        assert_eq!(shown.error, format!("offload: {}", card()), "the cause is said once");
        assert!(shown.hint.is_some());
    }

    #[test]
    fn a_config_error_names_line_key_and_hint() {
        let e = Config::parse("[policy]\ncopies = 1\n", "/etc/x.toml").unwrap_err();
        let shown = failure(&Err::<(), _>(e).context("config").unwrap_err());
        assert_eq!(shown.exit, Exit::Usage);
        assert!(shown.error.contains("line 2") && shown.error.contains("policy.copies"), "{}", shown.error);
    }
}
