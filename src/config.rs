//! `RawConfig` (TOML, every key known) -> [`Config`] (checked). Reads no file: the door hands the text in.
//!
//! Each value keeps where it came from, so that `config show` can say it. An unset value is its default; the sample
//! `config/goodgate.toml` shows every key with its default and is tested against [`Config::default`].

mod effective;
mod look;
mod raw;
mod template;
mod units;

pub use look::{CdlFrom, Look};
pub use template::{BadValue, Template};
pub use units::{duration_text, parse_duration, parse_rate, parse_size, size_text};

use crate::digest::HashFormat;
use crate::evidence::Policy;
use crate::preset::{Preset, Recipe};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

/// What is wrong with a config text, for a person with an editor open.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("\"{origin}\" line {line}: {key}: {problem}")]
pub struct ConfigError {
    /// The file, as given to [`Config::parse`].
    pub origin: String,
    /// Counted from 1.
    pub line: usize,
    /// Dotted, as far as it is known: `policy.copies`.
    pub key: String,
    pub problem: String,
    /// What to write instead.
    pub hint: Option<String>,
}

/// All settings, checked.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// `[catalog] path`; `None`: the door picks `$XDG_STATE_HOME/goodgate/catalog.db`.
    pub catalog: Option<PathBuf>,
    /// Roots that every card is copied to, unless the command names others.
    pub destinations: Vec<Destination>,
    pub watches: Vec<Watch>,
    /// In order; the first that matches wins.
    pub devices: Vec<DeviceRule>,
    pub policy: Policy,
    /// Names (of files or folders, at any depth) that are OS junk: left out of the copy and listed as skipped.
    pub litter: Vec<String>,
    pub offload: Offload,
    /// The manifest's formats, in schema order; XXH64 is always among them.
    pub hash: Vec<HashFormat>,
    pub mhl: Mhl,
    pub verify: Verify,
    pub media: Media,
    /// The proxies to make, each preset once; `web` is always among them, and the poster belongs to every one.
    pub proxies: Vec<Proxy>,
    /// In order; for each file of a clip the first that is for both.
    pub looks: Vec<Look>,
    pub patrol: Patrol,
    /// `None`: nobody is told.
    pub notify: Option<Notify>,
    /// Where a key was set, for those that are not at their default: `policy.copies` -> `/etc/.. line 12`.
    origins: BTreeMap<String, String>,
}

/// A root that gets every card, as `[[destination]]` names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Destination {
    /// For people; `None`: the path says it.
    pub name: Option<String>,
    pub path: Template,
}

/// Where the daemon looks for work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Watch {
    /// Each folder that appears in `path` is a card that somebody else dumped there.
    Dumps {
        path: PathBuf,
        /// It must not have changed for so long.
        settle: Duration,
        poll: Duration,
    },
    /// Removable volumes, as they are mounted.
    Mounts {
        /// Only volumes whose label matches this pattern (`*`, `?`); `None`: all.
        label: Option<String>,
        /// Only these filesystem types; empty: all.
        fs: Vec<String>,
        settle: Duration,
        poll: Duration,
    },
}

/// How many lanes a device bears: several on flash, one where a head must move.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeviceKind {
    Flash,
    Spinning,
}

/// Sets the kind where the kernel is wrong (USB bridges, RAID volumes).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceRule {
    /// Device name (`sdb`), serial, or mount path; `*` and `?` match.
    pub pattern: String,
    pub kind: DeviceKind,
}

impl DeviceRule {
    /// Whether any of the device's names matches: name, serial, mount path.
    pub fn matches<'a>(&self, names: impl IntoIterator<Item = &'a str>) -> bool {
        names.into_iter().any(|name| glob(&self.pattern, name))
    }
}

/// Whether `text` as a whole matches `pattern`: `*` is any run, also across `/`, `?` one character.
pub fn glob(pattern: &str, text: &str) -> bool {
    let (pattern, text): (Vec<char>, Vec<char>) = (pattern.chars().collect(), text.chars().collect());
    // On a mismatch only the last `*` needs another try, one character further on: no exponential case.
    let (mut p, mut t, mut star) = (0, 0, None);
    while t < text.len() {
        match pattern.get(p) {
            Some('*') => {
                star = Some((p, t));
                p += 1;
            }
            Some(c) if *c == '?' || *c == text[t] => {
                p += 1;
                t += 1;
            }
            _ => {
                let Some((at, tried)) = star else { return false };
                star = Some((at, tried + 1));
                p = at + 1;
                t = tried + 1;
            }
        }
    }
    pattern[p..].iter().all(|c| *c == '*')
}

/// What an offload reads again after the copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VerifyDepth {
    /// Every copy, and the card a second time.
    Full,
    /// Every copy; the card is read once, so it is not SAFE while `source_reread = true`.
    Destinations,
}

/// Where a roll's name is taken from when nobody says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RollFrom {
    Folder,
    Volume,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offload {
    pub verify: VerifyDepth,
    /// In this order; the first that gives a name wins.
    pub roll_from: Vec<RollFrom>,
    /// Values for destination templates; an empty one must be given with `--set`.
    pub set: BTreeMap<String, String>,
    /// Files below this size, in bytes, are copied by several streams at once and share their syncs; 0: none is.
    pub small_below_bytes: u64,
    /// A destination that kept the others waiting for so long is left behind and filled later.
    pub detach_after: Duration,
    /// A device that answers nothing for so long is named.
    pub stalled_after: Duration,
}

/// What each manifest says of who made it and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mhl {
    pub author: Option<String>,
    /// Of the author, as all that follows.
    pub author_email: Option<String>,
    pub author_phone: Option<String>,
    pub author_role: Option<String>,
    pub location: Option<String>,
    pub comment: Option<String>,
    /// gitignore lines, added to the three that are always ignored.
    pub ignore: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verify {
    /// Lanes on a flash device; a spinning one always has one.
    pub flash_lanes: u32,
    /// Write a new generation after `verify` and `patrol`, as `--seal` does.
    pub seal: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Media {
    /// Reads metadata with libav and makes proxies; `false` is `--no-media`.
    pub enabled: bool,
    /// `None`: a folder beside the catalog.
    pub root: Option<PathBuf>,
    pub layout: MediaLayout,
    /// Time a child gets to probe one clip.
    pub probe_limit: Duration,
    /// Time a child gets to derive one clip's files.
    pub derive_limit: Duration,
    /// Clips of which proxies are made at once; `None`: one for every four processors.
    pub workers: Option<u16>,
    /// Proxies wait while a copy or a check uses a disk that they read or write.
    pub pause_while_copying: bool,
    /// Media are read even where the kernel offers no sandbox at all.
    pub unconfined: bool,
}

/// Where proxies for relinking go; all else is always below the media root.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MediaLayout {
    /// Below the media root.
    #[default]
    Root,
    /// In `Proxy/` beside their originals, on one of the copies.
    Beside,
}

impl MediaLayout {
    pub fn name(self) -> &'static str {
        match self {
            Self::Root => "root",
            Self::Beside => "beside",
        }
    }
}

/// One kind of proxy, as `[[proxy]]` asks for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proxy {
    pub recipe: Recipe,
    /// Between the clip's stem and the file ending.
    pub suffix: String,
}

impl Proxy {
    pub fn of(preset: Preset) -> Self {
        Proxy { recipe: Recipe::of(preset), suffix: String::new() }
    }
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Patrol {
    /// Every copy shall be proven again this often; `None`: coverage is not judged.
    pub every: Option<Duration>,
    /// One pass ends after this time; `None`: when nothing is due.
    pub budget: Option<Duration>,
    /// Bytes a second, over all devices; `None`: as fast as they go.
    pub rate: Option<u64>,
    /// A volume that was not seen for longer is overdue; `None`: as `every`.
    pub absent_after: Option<Duration>,
}

/// Events that a person wants to hear of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum NotifyOn {
    /// A card was recognised.
    Card,
    /// A card is safe.
    Safe,
    /// An offload ended and the card is not safe.
    NotSafe,
    /// A job waits for a person.
    Hold,
    /// A verification or patrol found damage.
    Damage,
    /// Copies were not proven for longer than `[patrol]` allows, or will not be.
    Overdue,
}

impl NotifyOn {
    pub const ALL: [NotifyOn; 6] = [Self::Card, Self::Safe, Self::NotSafe, Self::Hold, Self::Damage, Self::Overdue];

    pub fn name(self) -> &'static str {
        match self {
            Self::Card => "card",
            Self::Safe => "safe",
            Self::NotSafe => "not-safe",
            Self::Hold => "hold",
            Self::Damage => "damage",
            Self::Overdue => "overdue",
        }
    }

    /// The `type` of a webhook's message.
    pub fn topic(self) -> &'static str {
        match self {
            Self::Card => "card.detected",
            Self::Safe => "offload.safe",
            Self::NotSafe => "offload.not_safe",
            Self::Hold => "job.hold",
            Self::Damage => "copies.damaged",
            Self::Overdue => "copies.overdue",
        }
    }

    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|on| on.name() == name)
    }
}

/// Who is told of events: a command, a webhook, or both.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notify {
    /// Program and arguments; no shell. Empty: no command.
    pub command: Vec<String>,
    pub webhook: Option<Webhook>,
    pub on: Vec<NotifyOn>,
}

/// Gets each event as a signed request (standardwebhooks.com).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Webhook {
    /// `http` or `https`.
    pub url: String,
    /// Holds `whsec_...`; settings are shown and mailed around, secrets are not.
    pub secret_file: PathBuf,
}

/// OS junk that no camera writes (cards.md 1).
pub const LITTER: [&str; 7] = [
    ".DS_Store",
    ".Spotlight-V100",
    ".Trashes",
    ".fseventsd",
    ".TemporaryItems",
    "System Volume Information",
    "$RECYCLE.BIN",
];

/// Names that a manifest leaves out besides the three that every tool does: what an operating system may put on a copy
/// later is no new file.
pub const CARD_JUNK: [&str; 6] =
    [".Spotlight-V100", ".Trashes", ".fseventsd", ".TemporaryItems", "System Volume Information", "$RECYCLE.BIN"];

impl Default for Mhl {
    fn default() -> Self {
        Mhl {
            author: None,
            author_email: None,
            author_phone: None,
            author_role: None,
            location: None,
            comment: None,
            ignore: CARD_JUNK.map(String::from).to_vec(),
        }
    }
}

impl Default for Config {
    fn default() -> Self {
        Config {
            catalog: None,
            destinations: Vec::new(),
            watches: Vec::new(),
            devices: Vec::new(),
            policy: Policy::default(),
            litter: LITTER.map(String::from).to_vec(),
            offload: Offload {
                verify: VerifyDepth::Full,
                roll_from: vec![RollFrom::Folder, RollFrom::Volume],
                set: BTreeMap::new(),
                small_below_bytes: 32 << 20,
                detach_after: Duration::from_secs(10),
                stalled_after: Duration::from_secs(30),
            },
            hash: vec![HashFormat::Xxh64],
            mhl: Mhl::default(),
            verify: Verify { flash_lanes: 4, seal: false },
            media: Media {
                enabled: true,
                root: None,
                layout: MediaLayout::Root,
                probe_limit: Duration::from_secs(30),
                derive_limit: Duration::from_secs(3600),
                workers: None,
                pause_while_copying: false,
                unconfined: false,
            },
            proxies: vec![Proxy::of(Preset::ProresProxy), Proxy::of(Preset::Web)],
            looks: Vec::new(),
            patrol: Patrol::default(),
            notify: None,
            origins: BTreeMap::new(),
        }
    }
}

impl Config {
    /// Reads and checks a config text; `origin` is the file's name, for messages.
    pub fn parse(text: &str, origin: &str) -> Result<Config, ConfigError> {
        raw::parse(text, origin)
    }

    /// Notes that a flag or the environment gave `key` its value, for `config show`.
    pub fn note_origin(&mut self, key: &str, origin: impl Into<String>) {
        self.origins.insert(key.into(), origin.into());
    }

    /// What is wrong with the file that `key` names, as an error of these settings.
    pub fn problem(&self, key: &str, problem: String, hint: &str) -> ConfigError {
        let place = self.origins.get(key).map_or("", String::as_str);
        let (origin, line) = place.rsplit_once(" line ").unwrap_or((place, ""));
        let line = line.parse().unwrap_or(1);
        ConfigError { origin: origin.into(), line, key: key.into(), problem, hint: Some(hint.into()) }
    }

    /// Every key with its value as TOML and where it came from: `default`, a file and line, or a flag.
    pub fn effective(&self) -> Vec<(String, String, String)> {
        effective::list(self, &self.origins)
    }
}

#[cfg(test)]
mod tests;
