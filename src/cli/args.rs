//! The arguments of every verb, as cli.md promises them to scripts.

use clap::builder::PossibleValuesParser;
use clap::{Args, Parser, Subcommand, ValueEnum};
use goodgate::config::{parse_duration, parse_rate};
use std::ffi::{OsStr, OsString};
use std::path::PathBuf;
use std::time::Duration;

const EXITS: &str = "\
Exit codes:
   0  good
   1  failed
   2  usage: arguments or settings
  10  files missing
  11  mismatch: bytes differ from what was proven
  12  unreadable
  20  card not safe, job on hold, coverage not held or a volume overdue
  21  only new files (mhl verify)
  30  no MHL history, or a damaged one
When several apply, the first of 11, 12, 10, 30, 20, 21, 1.
`goodgate VERB --help` says which of them a verb uses.

Data goes to stdout, everything else to stderr.
--json gives exactly one object on stdout, also for errors.
NO_COLOR switches colours off; GOODGATE_LOG=debug is a filter for the log.

Example:
  goodgate offload /media/A001 --to /mnt/raid --to /mnt/shuttle";

/// Camera cards copied with proof, clips catalogued, copies proven again for years.
#[derive(Debug, Parser)]
#[command(name = "goodgate", version, after_help = EXITS, disable_help_subcommand = true, max_term_width = 100)]
pub struct Cli {
    #[command(flatten)]
    pub global: Global,
    #[command(subcommand)]
    pub verb: Verb,
}

#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Everywhere")]
pub struct Global {
    /// Settings; else $GOODGATE_CONFIG, else $XDG_CONFIG_HOME/goodgate/config.toml, else /etc/goodgate/config.toml,
    /// else built-in defaults
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Catalog, made on first use; else $GOODGATE_CATALOG, else the settings, else
    /// $XDG_STATE_HOME/goodgate/catalog.db
    #[arg(long, global = true, value_name = "FILE")]
    pub catalog: Option<PathBuf>,
    /// Exactly one JSON object on stdout
    #[arg(long, global = true)]
    pub json: bool,
    /// No progress and no notes
    #[arg(long, short, global = true, conflicts_with = "verbose")]
    pub quiet: bool,
    /// More of the log on stderr; twice for all of it
    #[arg(long, short, global = true, action = clap::ArgAction::Count)]
    pub verbose: u8,
    /// On stderr; json: one object a line
    #[arg(long, global = true, value_name = "HOW", default_value = "auto")]
    pub progress: Shown,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Shown {
    /// A bar on a terminal, lines elsewhere
    #[default]
    Auto,
    /// Lines now and then
    Plain,
    Json,
    Never,
}

#[derive(Debug, Subcommand)]
pub enum Verb {
    Offload(Offload),
    Register(Register),
    /// Watches for cards and dumps and takes each through offload by itself; ends by SIGTERM
    #[command(after_help = "\
What it watches and where it copies to is in the settings: [[watch]], [[destination]]. Its log goes to stderr.

Exit codes: 0 stopped by a signal, 1, 2.

Example:
  goodgate daemon --config /etc/goodgate/config.toml")]
    Daemon,
    /// What cards the catalog knows
    #[command(after_help = "Exit codes: 0, 1, 2.\n\nExample:\n  goodgate cards --json")]
    Cards,
    Jobs(Jobs),
    Status(Status),
    Accept(Accept),
    Verify(Verify),
    Patrol(Patrol),
    Repair(Repair),
    Retire(Retire),
    Eject(Eject),
    Mhl(Mhl),
    Log(Log),
    Find(Find),
    Show(Show),
    Sql(Sql),
    Backup(Backup),
    Restore(Restore),
    Rebuild(Rebuild),
    /// Reads the whole catalog and says what is wrong with it
    #[command(after_help = "Exit codes: 0 sound, 1 something is wrong (listed), 2.\n\nExample:\n  goodgate check")]
    Check,
    Config(Config),
    /// Looks at this rig: settings, catalog, libav, sandbox, destinations, media root
    #[command(after_help = "\
Nothing is written but a nameless file to each destination, gone at once, to see whether it is written directly.

Exit codes: 0 all good (there may be notes), 1 something is bad (listed), 2.

Example:
  goodgate doctor")]
    Doctor,
}

/// Copies a card to all destinations: hash, prove, check headers, seal, verdict; then metadata and proxies
///
/// Each file is read once and written to all destinations; each copy is read back from its device and compared before
/// it gets its name. The verdict is shown as soon as it is known. The same command again continues where a stopped
/// one was, or adds what is new on the card.
#[derive(Debug, Args)]
#[command(after_help = "\
Exit codes: 0 safe, 20 not safe or on hold (the card object is printed all the same), 1 failed or stopped, 2 usage.

Examples:
  goodgate offload /media/A001 --to /mnt/raid --to /mnt/shuttle
  goodgate offload /mnt/dump/A001 --to /mnt/raid --to /mnt/shuttle --roll A001 --hash xxh64,md5 --json")]
pub struct Offload {
    /// Root of the mounted card, or of a dump of it
    pub card: PathBuf,
    /// A destination, once for each; the roll gets a folder there. Without it, those of the settings
    #[arg(long, value_name = "DEST")]
    pub to: Vec<PathBuf>,
    /// Name of the roll; else the card's folder or volume name
    #[arg(long, value_name = "NAME")]
    pub roll: Option<String>,
    /// A value for the templates of the destinations, e.g. project=Film
    #[arg(long, value_name = "KEY=VALUE", value_parser = key_value)]
    pub set: Vec<(String, String)>,
    /// More hash formats for the manifest, by comma. XXH64 is always there; MD5, SHA-1 and C4 are serial and slow,
    /// below 1 GB/s
    #[arg(long, value_name = "FORMATS", value_delimiter = ',', value_parser = PossibleValuesParser::new(FORMATS))]
    pub hash: Vec<String>,
    /// full: read back every copy, and the card a second time. destinations: read the card once; it is then NOT SAFE
    /// unless [policy] source_reread = false
    #[arg(long, value_name = "DEPTH")]
    pub verify: Option<Depth>,
    /// Prove again also what is proven already
    #[arg(long)]
    pub rehash: bool,
    /// Destinations on one disk count as copies; recorded with the card and named first in its verdict
    #[arg(long)]
    pub allow_same_device: bool,
    /// No proxies; metadata is still read
    #[arg(long)]
    pub no_media: bool,
    /// Only say what would be done
    #[arg(long)]
    pub dry_run: bool,
}

/// Takes in footage that lies in its place already: hash, compare, seal, catalogue; then metadata and proxies
///
/// The folder is read once, past the cache. What an ASC MHL history or a legacy .mhl in it lists is compared in that same
/// read; when anything differs or is missing, it is told, and nothing is sealed. Else the next generation of its history
/// is written, or the first one, and patrol proves the folder again from then on. Where nobody may write, it is catalogued
/// without. The same command again continues where a stopped one was; later it reads all once more and adds what is new.
/// Registered footage is never safe to format a card by: no card was read.
#[derive(Debug, Args)]
#[command(after_help = "\
Exit codes: 0 all is as it should be (\"safe\" is false all the same), 11 bytes differ from what was recorded, 12 unreadable,
10 recorded files missing (the card object is printed with these), 30 a damaged history or list (nothing is read),
20 on hold for another reason, 1 failed or stopped, 2 usage: a card, or a folder that mixes with one known already.

Examples:
  goodgate register /mnt/drive/A001
  goodgate register /mnt/drive/day1 --roll DAY1 --hash xxh64,md5 --json")]
pub struct Register {
    /// The roll's folder
    pub path: PathBuf,
    /// Name of the roll; else the folder's
    #[arg(long, value_name = "NAME")]
    pub roll: Option<String>,
    /// More hash formats for the manifest, by comma. XXH64 is always there; MD5, SHA-1 and C4 are serial and slow,
    /// below 1 GB/s
    #[arg(long, value_name = "FORMATS", value_delimiter = ',', value_parser = PossibleValuesParser::new(FORMATS))]
    pub hash: Vec<String>,
    /// No proxies; metadata is still read
    #[arg(long)]
    pub no_media: bool,
}

const FORMATS: [&str; 6] = ["xxh64", "xxh3", "xxh128", "md5", "sha1", "c4"];

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Depth {
    Full,
    Destinations,
}

/// What waits and why; ends a hold, or puts a job on hold
#[derive(Debug, Args)]
#[command(
    args_conflicts_with_subcommands = true,
    disable_help_subcommand = true,
    after_help = "\
Exit codes: 0 (also when jobs are on hold: `goodgate status ROLL` judges a card), 1, 2.

Examples:
  goodgate jobs
  goodgate jobs retry 0198b2c4"
)]
pub struct Jobs {
    #[command(subcommand)]
    pub act: Option<JobsAct>,
    /// Also all that are done; without it the newest of them
    #[arg(long)]
    pub all: bool,
}

#[derive(Debug, Subcommand)]
pub enum JobsAct {
    /// The cause of the hold is gone: the job may go on
    #[command(after_help = "Exit codes: 0, 1, 2.\n\nExample:\n  goodgate jobs retry 0198b2c4")]
    Retry {
        /// Id of the job, or the start of it
        id: String,
    },
    /// The job waits until it is retried; what is proven stays
    #[command(after_help = "Exit codes: 0, 1, 2.\n\nExample:\n  goodgate jobs cancel 0198b2c4")]
    Cancel {
        /// Id of the job, or the start of it
        id: String,
    },
}

/// The verdict of a card with its reasons, from a fresh look; without ROLL of every card
#[derive(Debug, Args)]
#[command(after_help = "\
Exit codes: with ROLL 0 safe, 20 not safe or on hold; the list 0 whatever it shows; 1, 2.

Examples:
  goodgate status A001
  goodgate status --json")]
pub struct Status {
    /// Roll name or card id
    pub roll: Option<String>,
}

/// Accepts one warning of a card, with a note that stays in its verdict; or a file that was changed on purpose
///
/// A file, named by its path below the roll, is read on every copy that can be reached: what is not the card's any more is
/// accepted as it is now. The alarm for it ends until it changes again; it stays unproven, and nothing is sealed.
#[derive(Debug, Args)]
#[command(after_help = "\
Exit codes: 0 the card is safe now, 20 it is still not, 1, 2.

Examples:
  goodgate accept A001 CLIPS/A001C003.sidecar --note 'graded in Resolve, mk'
  goodgate accept A001 truncated:CLIPS/A001C003.MOV --note 'camera lost power, director knows'")]
pub struct Accept {
    /// Roll name or card id
    pub roll: String,
    /// Id of the warning, as `goodgate status ROLL` shows it, or a file's path below the roll
    #[arg(value_name = "WARNING|FILE")]
    pub warning: OsString,
    /// Who accepts it and why
    #[arg(long, value_name = "TEXT")]
    pub note: String,
}

/// Reads copies again, now, past the cache, and compares them with what the catalog has of the card
///
/// Without a catalog row for a PATH it compares with the ASC MHL history found there, else with the legacy .mhl files in
/// that folder, or the one that PATH names. Damage is named in blocks of 1 MiB, where the catalog knows these. A volume that is not mounted is absent, never missing.
#[derive(Debug, Args)]
#[command(after_help = "\
Exit codes: 0 good (extra files alone are listed), 11 altered, 12 unreadable, 10 missing, 30 no or damaged history
where only that could be compared with, 1 failed or stopped, 2.

Examples:
  goodgate verify A001
  goodgate verify /mnt/raid/A001/CLIPS /mnt/shuttle --json")]
pub struct Verify {
    /// Roll names, card ids, or files and folders; without any, all copies
    #[arg(value_name = "ROLL|PATH")]
    pub what: Vec<PathBuf>,
    /// Writes what was found as the next generation of each history
    #[arg(long)]
    pub seal: bool,
}

/// Proves copies again, the oldest proof first, within a budget: for cron
///
/// Each result is recorded as it comes; the next pass goes on from there. A second patrol beside a running one does
/// nothing. From what it read so far it computes how soon every copy is proven again at this budget; with [patrol] every it
/// begins in time for that date, and warns before it is missed. With --quiet nothing is printed while all is well.
#[derive(Debug, Args)]
#[command(after_help = "\
Exit codes: 0 (also when the budget ended the pass, or another patrol runs), 11 altered, 12 unreadable, 10 missing,
20 copies older than [patrol] every, or that cannot be held at this budget, or a volume not seen for longer than [patrol]
absent_after (all judged only without --due and --for), 30 nothing known of that roll, 1, 2.

Examples:
  goodgate patrol --quiet
  goodgate patrol --due 30d --for 4h --rate 200MB/s --report /var/log/goodgate.html")]
pub struct Patrol {
    /// Copies last proven longer ago are due; else [patrol] every, else 30d
    #[arg(long, value_name = "AGE", value_parser = parse_duration)]
    pub due: Option<Duration>,
    /// The pass ends after so long; else [patrol] for
    #[arg(long = "for", value_name = "TIME", value_parser = parse_duration)]
    pub budget: Option<Duration>,
    /// Bytes a second over all devices; else [patrol] rate
    #[arg(long, value_name = "RATE", value_parser = parse_rate)]
    pub rate: Option<u64>,
    /// Only this roll or card id
    #[arg(long)]
    pub roll: Option<String>,
    /// Only this volume: its label, or where it is or was mounted. After an eject, all of it that was not proven since is
    /// due, unless --due says otherwise
    #[arg(long)]
    pub volume: Option<String>,
    /// Writes what was found as the next generation of each history
    #[arg(long)]
    pub seal: bool,
    /// Also writes a report, whole: the JSON object, or a page for people and paper
    #[arg(long, value_name = "FILE.json|.html")]
    pub report: Option<PathBuf>,
}

/// Makes damaged and missing copies whole again, block by block, from any copies that still have the bytes
///
/// Reads what is named again first, as verify does. A damaged file is rebuilt beside itself from its own good blocks and
/// those of other copies, also of the same file in other rolls; the whole is read back and compared before it takes the
/// name, and a generation of the history says so. Manifests, chains and damaged rows of the catalog are restored where
/// something that was sealed vouches for them. A file that was written to since it was proven is kept aside in any case.
#[derive(Debug, Args)]
#[command(after_help = "\
Exit codes: 0 all is whole (also when nothing was damaged), and what cannot be repaired: 11 altered, 12 unreadable,
10 missing; 30 nothing known of that name, 1 failed, stopped, busy, or repaired and not sealed, 2.

Examples:
  goodgate repair A001 --dry-run
  goodgate repair /mnt/raid/A001/CLIPS/A001C001.MOV --keep-damaged")]
pub struct Repair {
    /// Roll name, card id, or a file or folder
    #[arg(value_name = "ROLL|PATH")]
    pub what: PathBuf,
    /// Only say which blocks would come from where
    #[arg(long)]
    pub dry_run: bool,
    /// Write only the bad blocks, into the damaged file itself, with a journal of the old ones: for full disks
    #[arg(long)]
    pub in_place: bool,
    /// Keep the damaged original, in .goodgate/salvage beside the roll
    #[arg(long)]
    pub keep_damaged: bool,
}

/// Says that copies are meant to be gone: they count no more, and nobody is alarmed; nothing is deleted
///
/// All copies of a roll, all on a volume, or those at or below a path; the drive need not be mounted. The custody log keeps
/// the reason. Offload to the same place again takes a copy back into use.
#[derive(Debug, Args)]
#[command(after_help = "\
Exit codes: 0, 30 nothing known of that name, 1, 2.

Examples:
  goodgate retire SHUTTLE3 --reason 'drive went to the archive, 2026-05-04 mk'
  goodgate retire /mnt/raid/A001 --reason 'show is delivered'")]
pub struct Retire {
    /// Roll name, card id, label of a volume, or a file or folder
    #[arg(value_name = "ROLL|VOLUME|PATH")]
    pub what: PathBuf,
    /// Who gives it up and why
    #[arg(long, value_name = "TEXT")]
    pub reason: String,
}

/// Unmounts a card or a destination when nothing uses it, and powers it off where that can be done
///
/// A roll means its card. What was written is brought to the medium first; what is in use stays, and whoever uses it is
/// named. Only that filesystem is unmounted, everywhere it is mounted; the disk loses its power when no other one on it is.
/// The next read of the copies there is then a proof of class `remounted`, the strongest: `patrol --volume` reads all of
/// them.
#[derive(Debug, Args)]
#[command(after_help = "\
Exit codes: 0 (also for a card that is not safe to format: it is said first), 1 in use, refused or not mounted, 2.

Examples:
  goodgate eject A001
  goodgate eject SHUTTLE3
  goodgate eject /mnt/shuttle --json")]
pub struct Eject {
    /// Roll name or card id; or a volume: its label, or where it is mounted
    #[arg(value_name = "ROLL|VOLUME")]
    pub what: PathBuf,
}

/// Histories (ASC MHL) and legacy MHL of any folder, without a catalog
#[derive(Debug, Args)]
#[command(
    disable_help_subcommand = true,
    after_help = "\
Exit codes: 0 good, 11 altered, 12 unreadable, 10 missing, 30 no history or a damaged one, 21 only new files, 1, 2.

Examples:
  goodgate mhl verify /mnt/raid/A001
  goodgate mhl verify /mnt/raid/A001/A001_2016-04-18_144722.mhl --json"
)]
pub struct Mhl {
    #[command(subcommand)]
    pub act: MhlAct,
}

#[derive(Debug, Subcommand)]
pub enum MhlAct {
    Verify(MhlVerify),
    Seal(MhlSeal),
    Info(MhlInfo),
    Flatten(MhlFlatten),
    #[command(name = "export-v1")]
    ExportV1(MhlExport),
}

/// Reads every file that a history lists, once for all its formats, and says what is altered, missing or new
///
/// A chain is trusted only while its C4 digests hold. Nested histories judge their own files. Nothing is written, no
/// link is followed. PATH may also be a legacy .mhl, or a folder with some and no history: files that these do not list
/// are told and are no fault.
#[derive(Debug, Args)]
#[command(after_help = "\
Exit codes: 0 good, 11 altered, 12 unreadable, 10 files or folders missing, 30 no history or a damaged one (what is not
in doubt is checked all the same), 21 only new files, 1 stopped or failed, 2. When several apply, the first of these.

Examples:
  goodgate mhl verify /mnt/raid/A001 --json
  goodgate mhl verify /mnt/raid/A001 --packing-list packinglist_A001_2026-01-02_030405Z.mhl")]
pub struct MhlVerify {
    /// A folder with a history (`ascmhl`), or a legacy .mhl
    pub path: PathBuf,
    /// Compare with this list instead of the folder's history
    #[arg(long, value_name = "FILE")]
    pub packing_list: Option<PathBuf>,
}

/// Reads a folder where it lies and writes the next generation of its history, or begins one
///
/// Known files are checked, with the word failed where they differ; new ones are recorded; a renamed one is told by its
/// bytes. Histories inside the folder are continued first. Legacy .mhl files in a folder without a history are compared
/// with in the same read. Nothing is written when a history in the folder does not hold.
#[derive(Debug, Args)]
#[command(after_help = "\
Exit codes: 0, 11 altered (the generation says failed), 12 unreadable (left out), 10 missing, 30 a damaged history
(nothing is written), 1, 2.

Examples:
  goodgate mhl seal /mnt/raid/A001
  goodgate mhl seal /mnt/raid/day1 --hash xxh64,c4 --ignore '*.tmp'")]
pub struct MhlSeal {
    /// The folder
    pub path: PathBuf,
    /// Hash formats, by comma; else [hash] formats, which is xxh64 by default. A format that the history has is added
    /// where none of these is known of a file. MD5, SHA-1 and C4 are serial and slow
    #[arg(long, value_name = "FORMATS", value_delimiter = ',', value_parser = PossibleValuesParser::new(FORMATS))]
    pub hash: Vec<String>,
    /// A pattern (one gitignore line) to add to those in force; once for each
    #[arg(long, value_name = "PATTERN")]
    pub ignore: Vec<String>,
    /// Says in the manifest; else [mhl] comment
    #[arg(long, value_name = "TEXT")]
    pub comment: Option<String>,
    /// Compare with this list in the same read
    #[arg(long, value_name = "FILE")]
    pub packing_list: Option<PathBuf>,
}

/// What a history says: its generations, or all records of one file
#[derive(Debug, Args)]
#[command(after_help = "\
Exit codes: 0, 30 no history or a damaged one, 1, 2.

Examples:
  goodgate mhl info /mnt/raid/A001
  goodgate mhl info /mnt/raid/A001/CLIPS/A001C001.MOV --json")]
pub struct MhlInfo {
    /// A folder with a history, a file in one, or a legacy .mhl
    #[arg(required_unless_present = "packing_list")]
    pub path: Option<PathBuf>,
    /// Of this list
    #[arg(long, value_name = "FILE", conflicts_with = "path")]
    pub packing_list: Option<PathBuf>,
}

/// Writes a packing list: one manifest with every file of a history and of those inside it
#[derive(Debug, Args)]
#[command(after_help = "\
Exit codes: 0, 30 no history or a damaged one, 1, 2.

Example:
  goodgate mhl flatten /mnt/raid/A001 --packing-list /mnt/shuttle/A001.mhl")]
pub struct MhlFlatten {
    /// A folder with a history
    pub path: PathBuf,
    /// Where to write it, a file that is not there yet, a folder, or - for stdout; else the folder one stands in
    #[arg(long, short = 'o', alias = "output", value_name = "FILE")]
    pub packing_list: Option<PathBuf>,
}

/// Writes a legacy list (MHL 1.1) of what a history records
///
/// One digest a file: xxhash64be, else md5, else sha1; a file that has none of these is read, compared and hashed. In a
/// folder without a history all files are.
#[derive(Debug, Args)]
#[command(name = "export-v1")]
#[command(after_help = "\
Exit codes: 0, 11 altered, 12 unreadable, 10 missing (of the files that had to be read), 30 a damaged history, 1, 2.

Examples:
  goodgate mhl export-v1 /mnt/raid/A001
  goodgate mhl export-v1 /mnt/raid/A001 -o /mnt/raid/A001.mhl")]
pub struct MhlExport {
    /// A folder with a history
    pub path: PathBuf,
    /// Where to write it, a file that is not there yet, a folder, or - for stdout; else PATH itself. Above PATH, the
    /// paths in the list begin there
    #[arg(long, short, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Of this list instead of the history
    #[arg(long, value_name = "FILE")]
    pub packing_list: Option<PathBuf>,
}

/// The custody log of a card: what happened to it, and when
#[derive(Debug, Args)]
#[command(after_help = "Exit codes: 0, 1, 2.\n\nExample:\n  goodgate log A001")]
pub struct Log {
    /// Roll name or card id
    pub roll: String,
}

/// Searches clips
///
/// Words are joined by AND; OR, -word, "a phrase", word* and key:value narrow it: roll: card: camera: codec: fps: tc:
/// date: name: path: is: has: limit: sort:. No query is an error; what is not understood is searched as text, with a
/// hint.
#[derive(Debug, Args)]
#[command(after_help = "\
Exit codes: 0 (also without hits), 1, 2.

Examples:
  goodgate find camera:A fps:23.976 has:proxy limit:50
  goodgate find rain -night --json")]
pub struct Find {
    /// Without it: every clip, newest first
    pub query: Vec<OsString>,
}

/// Everything about a clip
#[derive(Debug, Args)]
#[command(after_help = "Exit codes: 0, 1, 2 no such clip, or several.\n\nExample:\n  goodgate show A001C001")]
pub struct Show {
    /// Id, unique start of an id, or name of the clip
    pub clip: String,
}

/// Answers one SELECT on the views clips, files, copies, cards, proxies, problems, reverify_due
#[derive(Debug, Args)]
#[command(after_help = "\
At most 10000 rows and five seconds; nothing can be written. Columns: SELECT * FROM schema_doc.

Exit codes: 0, 1, 2.

Example:
  goodgate sql 'SELECT roll, count(*) FROM clips GROUP BY roll'")]
pub struct Sql {
    /// One SELECT, WITH or EXPLAIN
    pub text: String,
}

/// A consistent copy of the catalog while it is in use; never overwrites
///
/// After each verdict the destinations get one by themselves, in .goodgate/catalog, where the newest three stay.
#[derive(Debug, Args)]
#[command(after_help = "Exit codes: 0, 1, 2.\n\nExample:\n  goodgate backup /mnt/nas/catalog-2026-03-04.db")]
pub struct Backup {
    /// A file that does not exist yet
    pub file: PathBuf,
}

/// Puts a backup in the catalog's place
///
/// The backup is checked first, each row by its checksum. The catalog that was there is kept under a dated name beside it.
/// What was recorded after the backup is not in it: offload or register those cards again. No copy counts any more that
/// was proven before: `goodgate verify ROLL` reads them again, and then they do.
#[derive(Debug, Args)]
#[command(after_help = "\
Refused while another goodgate process uses the catalog.

Exit codes: 0, 1 the backup is not good, or the catalog can be read and --replace is not given, 2.

Example:
  goodgate restore /mnt/raid/.goodgate/catalog/2026-11-27_113000Z-1c3f...-412-9f3b22c1d0e4a677.db")]
pub struct Restore {
    /// Made by `goodgate backup`, or found in DEST/.goodgate/catalog
    pub file: PathBuf,
    /// Also in place of a catalog that can be read
    #[arg(long)]
    pub replace: bool,
}

/// Makes a new catalog of the copies that lie on the destinations, when the old one and all its backups are lost
///
/// Every folder with a history (ascmhl) at or below the paths is read past the cache, compared with its history, and
/// catalogued with its clips and proxies, as register does it. Copies of one roll on several paths are copies of one card.
/// No proof is taken over from before, and as this catalog read no card, none is ever safe to format by it. The same
/// command again goes on, and more paths can follow.
#[derive(Debug, Args)]
#[command(after_help = "\
Exit codes: 0, 11 bytes differ from what was recorded, 12 unreadable, 10 recorded files missing, 30 a damaged history (the
other copies are taken in all the same), 20 on hold for another reason, 1 failed, stopped, or the catalog can be read and
--replace is not given, 2.

Examples:
  goodgate rebuild /mnt/raid /mnt/shuttle --dry-run
  goodgate rebuild /mnt/raid /mnt/shuttle")]
pub struct Rebuild {
    /// Destinations, folders of rolls, or any folders above these
    #[arg(required = true, value_name = "PATH")]
    pub paths: Vec<PathBuf>,
    /// Only say what would be rebuilt
    #[arg(long)]
    pub dry_run: bool,
    /// Also when the catalog can be read: it is kept under a dated name
    #[arg(long)]
    pub replace: bool,
    /// No proxies; metadata is still read
    #[arg(long)]
    pub no_media: bool,
}

/// Settings: are they good, and where does each come from
#[derive(Debug, Args)]
#[command(
    disable_help_subcommand = true,
    after_help = "Exit codes: 0, 1, 2 the settings are wrong.\n\nExample:\n  goodgate config check --config new.toml"
)]
pub struct Config {
    #[command(subcommand)]
    pub act: ConfigAct,
}

#[derive(Clone, Copy, Debug, Subcommand)]
pub enum ConfigAct {
    /// Says whether the settings are good, and the files that looks name
    #[command(
        after_help = "Exit codes: 0 good, 2 wrong (line and key are named), 1.\n\nExample:\n  goodgate config check"
    )]
    Check,
    /// Every setting with its value and origin
    #[command(after_help = "Exit codes: 0, 1, 2.\n\nExample:\n  goodgate config show --json")]
    Show,
}

fn key_value(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.trim().is_empty() => Ok((key.trim().into(), value.into())),
        _ => Err("write it as key=value, such as project=Film".into()),
    }
}

/// Whether errors of the parser itself shall be JSON: it gives no arguments when it fails.
pub fn wants_json(args: &[OsString]) -> bool {
    args.iter().skip(1).take_while(|a| *a != "--").any(|a| a == "--json")
}

/// Lets the words of `find` begin with a minus: the parser takes an argument that begins with a blank as it is, and
/// to the search language the blank is nothing.
pub fn searchable(mut args: Vec<OsString>) -> Vec<OsString> {
    let Some(verb) = verb_at(&args) else { return args };
    if args[verb] != "find" {
        return args;
    }
    for arg in args.iter_mut().skip(verb + 1).take_while(|a| **a != "--") {
        let bytes = arg.as_encoded_bytes();
        let flag = bytes.starts_with(b"--") || matches!(bytes, b"-v" | b"-vv" | b"-q" | b"-h" | b"-V");
        if bytes.starts_with(b"-") && !flag {
            let mut word = OsString::from(" ");
            word.push(&*arg);
            *arg = word;
        }
    }
    args
}

/// The first argument that is no flag and no value of one.
fn verb_at(args: &[OsString]) -> Option<usize> {
    let takes_value = |a: &OsStr| ["--config", "--catalog", "--progress"].iter().any(|f| a == *f);
    let mut i = 1;
    while i < args.len() {
        match args[i].as_encoded_bytes() {
            _ if takes_value(&args[i]) => i += 2,
            [b'-', ..] => i += 1,
            _ => return Some(i),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    fn parse(line: &str) -> Result<Cli, clap::Error> {
        let words = std::iter::once("goodgate").chain(line.split_whitespace());
        Cli::try_parse_from(searchable(words.map(OsString::from).collect()))
    }

    fn offload(line: &str) -> Offload {
        match parse(line).unwrap_or_else(|e| panic!("{line}: {e}")).verb {
            Verb::Offload(a) => a,
            other => panic!("{other:?}"),
        }
    }

    fn query(line: &str) -> Vec<String> {
        match parse(line).unwrap_or_else(|e| panic!("{line}: {e}")).verb {
            Verb::Find(a) => a.query.iter().map(|w| w.to_string_lossy().trim().to_owned()).collect(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_parser_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn offload_takes_all_its_flags() {
        let a = offload(
            "offload /c --to /a --to /b --roll A001 --set project=Film --set day=3=x --hash xxh64,md5 --hash c4 \
             --verify destinations --rehash --allow-same-device --no-media --dry-run",
        );
        assert_eq!(a.to, [PathBuf::from("/a"), PathBuf::from("/b")]);
        assert_eq!(a.roll.as_deref(), Some("A001"));
        assert_eq!(a.set, [("project".into(), "Film".into()), ("day".into(), "3=x".into())]);
        assert_eq!(a.hash, ["xxh64", "md5", "c4"]);
        assert_eq!(a.verify, Some(Depth::Destinations));
        assert!(a.rehash && a.allow_same_device && a.no_media && a.dry_run);
        let a = offload("offload --to /a /c");
        assert_eq!((a.card, a.verify), (PathBuf::from("/c"), None));
        assert!(!(a.rehash || a.allow_same_device || a.no_media || a.dry_run) && a.hash.is_empty());
        assert_eq!(offload("offload /c --verify full").verify, Some(Depth::Full));
    }

    #[test]
    fn patrol_takes_all_its_flags() {
        let line = "patrol --due 30d --for 4h --rate 200MB/s --roll A001 --volume RAID --report r.json";
        let Verb::Patrol(a) = parse(line).unwrap().verb else { panic!("another verb") };
        let hours = |n: u64| Some(Duration::from_secs(n * 3600));
        assert_eq!((a.due, a.budget, a.rate), (hours(30 * 24), hours(4), Some(200_000_000)));
        assert_eq!((a.roll.as_deref(), a.volume.as_deref()), (Some("A001"), Some("RAID")));
        assert_eq!(a.report, Some("r.json".into()));
    }

    #[test]
    fn flags_for_all_verbs_stand_before_and_behind_the_verb() {
        for line in [
            "--config c.toml --catalog x.db --json --quiet --progress json cards",
            "cards --config c.toml --catalog x.db --json --quiet --progress json",
            "--json --config=c.toml cards --catalog=x.db --progress=json -q",
        ] {
            let g = parse(line).unwrap_or_else(|e| panic!("{line}: {e}")).global;
            assert_eq!((g.config, g.catalog), (Some("c.toml".into()), Some("x.db".into())), "{line}");
            assert!(g.json && g.quiet && g.progress == Shown::Json, "{line}");
        }
        assert_eq!(parse("-v cards").unwrap().global.verbose, 1);
        assert_eq!(parse("cards -vv").unwrap().global.verbose, 2);
        for how in ["auto", "plain", "json", "never"] {
            assert!(parse(&format!("--progress {how} cards")).is_ok(), "{how}");
        }
    }

    #[test]
    fn every_verb_of_the_contract_is_read() {
        for line in [
            "register /x",
            "register /x --roll R1 --hash xxh64,md5 --no-media --json",
            "daemon",
            "cards",
            "verify",
            "verify A001 /mnt/a/A001 --seal",
            "patrol --seal",
            "patrol",
            "jobs",
            "jobs --all",
            "jobs retry 0198",
            "jobs cancel 0198 --json",
            "status",
            "status A001",
            "accept A001 w:x --note ok",
            "mhl verify /x",
            "mhl verify /x --packing-list p.mhl --json",
            "mhl seal /x --hash xxh64,md5 --ignore *.tmp --ignore b --comment c --packing-list p.mhl",
            "mhl info /x",
            "mhl info --packing-list p.mhl",
            "mhl flatten /x --packing-list p.mhl",
            "mhl flatten /x -o p.mhl",
            "mhl export-v1 /x",
            "mhl export-v1 /x -o y.mhl --packing-list p.mhl",
            "repair A001",
            "eject A001",
            "eject /mnt/a --json",
            "retire A001 --reason sold",
            "retire /x --reason sold --json",
            "repair /x --dry-run --in-place --keep-damaged --json",
            "log A001",
            "find",
            "find a b",
            "show A001C001",
            "sql select",
            "backup /x/c.db",
            "restore /x/c.db",
            "restore /x/c.db --replace --json",
            "rebuild /x /y --dry-run",
            "rebuild /x --replace --no-media --json",
            "check",
            "config check",
            "config show --json",
        ] {
            parse(line).unwrap_or_else(|e| panic!("{line}: {e}"));
        }
    }

    #[test]
    fn wrong_calls_are_refused() {
        for line in [
            "",
            "ofload /c",
            "offload",
            "offload /c --to",
            "offload /c --set project",
            "offload /c --set =x",
            "offload /c --hash md6",
            "offload /c --hash blake3",
            "offload /c --verify half",
            "cards A001",
            "daemon now",
            "patrol --due 30",
            "patrol --for soon",
            "patrol --rate 200MB",
            "patrol --rate 0B/s",
            "patrol A001",
            "jobs retry",
            "jobs --all retry 0198",
            "accept A001 w",
            "accept A001 --note ok",
            "mhl",
            "mhl verify",
            "mhl seal /x --hash md6",
            "mhl info",
            "mhl export /x",
            "log",
            "show",
            "sql",
            "backup",
            "restore",
            "restore /x /y",
            "rebuild",
            "config",
            "config edit",
            "cards --progress loud",
            "cards -q -v",
            "register",
            "register /x /y",
            "register /x --hash md6",
            "register /x --to /y",
            "repair",
            "eject",
            "eject A001 B001",
            "retire A001",
            "retire --reason sold",
            "repair /x /y",
        ] {
            assert!(parse(line).is_err(), "{line}");
        }
    }

    #[test]
    fn a_search_may_exclude_words_and_still_has_flags() {
        assert_eq!(query("find rain -night -camera:A --json"), ["rain", "-night", "-camera:A"]);
        assert!(parse("find rain -night --json").unwrap().global.json);
        assert_eq!(query("--catalog find find -v -x"), ["-x"]);
        assert_eq!(query("find -- --odd"), ["--odd"]);
        assert!(parse("find --jsn").is_err(), "a mistyped flag is no search");
    }

    #[test]
    fn json_is_seen_without_the_parser() {
        let wants = |line: &str| wants_json(&line.split(' ').map(OsString::from).collect::<Vec<_>>());
        assert!(wants("goodgate --json ofload") && wants("goodgate cards --json"));
        assert!(!wants("goodgate cards") && !wants("goodgate find -- --json") && !wants("--json cards"));
    }

    #[test]
    fn every_help_has_exit_codes_and_an_example() {
        fn check(c: &clap::Command) {
            let help = c.get_after_help().map(ToString::to_string).unwrap_or_default();
            assert!(help.contains("Exit codes:") && help.contains("Example"), "{}", c.get_name());
            assert!(c.get_about().is_some(), "{}", c.get_name());
            c.get_subcommands().for_each(check);
        }
        check(&Cli::command());
    }
}
