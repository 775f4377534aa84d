//! **Owns** the command line: arguments, settings from their files, what is printed where, exit codes, signals.
//! **Never** decides anything about footage: it parses, calls a story or the catalog, and prints the answer.
//! **Flow** arguments -> `Door` (settings, catalog, output) -> one file a verb -> `Exit`; failures -> `report`.
//! **Tests** beside the code; the contract as scripts see it in `tests/all/cli.rs`.

mod accept;
mod args;
mod backup;
mod bar;
mod card;
mod cards;
mod check;
mod config;
mod daemon;
mod doctor;
mod door;
mod eject;
mod find;
mod jobs;
mod log;
mod mhl;
mod offload;
mod patrol;
mod print;
mod rebuild;
mod register;
mod repair;
mod report;
mod restore;
mod retire;
mod show;
mod sql;
mod status;
mod stop;
mod tally;
mod verify;

use args::{Cli, Verb};
use clap::Parser;
use clap::error::ErrorKind;
use door::Door;
use print::Out;
use report::{Exit, Failure};
use std::ffi::OsString;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Mutex, PoisonError};

/// Runs one command line, from the program's name on; returns the exit code.
pub fn run(args: Vec<OsString>) -> u8 {
    let out = Out::new(args::wants_json(&args));
    let done = match Cli::try_parse_from(args::searchable(args)) {
        Ok(cli) => guarded(|| dispatch(cli, &out)),
        Err(e) => match usage(e, &out) {
            Ok(exit) => return exit.code(),
            Err(failure) => Err(failure.into()),
        },
    };
    // A full disk behind stdout is a failure too; a reader that went away is none.
    let done = done.and_then(|exit| Ok(out.finish().map(|()| exit)?));
    match done {
        Ok(exit) => exit.code(),
        Err(e) => {
            let failure = report::failure(&e);
            out.failure(&failure);
            failure.exit.code()
        }
    }
}

/// Groups of small files are held open: what the system allows on request is asked for.
fn raise_open_files() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
}

fn dispatch(cli: Cli, out: &Out) -> anyhow::Result<Exit> {
    raise_open_files();
    // The log is all that a daemon says.
    let verbose = cli.global.verbose + u8::from(matches!(cli.verb, Verb::Daemon));
    start_logging(verbose, cli.global.quiet);
    let door = Door::open(cli.global, out.clone())?;
    let config = door.station.config.clone();
    answer(door, cli.verb).map_err(|e| report::of_damage(e, &config))
}

fn answer(mut door: Door, verb: Verb) -> anyhow::Result<Exit> {
    match verb {
        Verb::Offload(a) => offload::run(&mut door, a),
        Verb::Register(a) => register::run(&door, a),
        Verb::Daemon => daemon::run(door),
        Verb::Cards => cards::run(&door),
        Verb::Jobs(a) => jobs::run(&door, a),
        Verb::Status(a) => status::run(&door, a),
        Verb::Accept(a) => accept::run(&door, a),
        Verb::Verify(a) => verify::run(&mut door, a),
        Verb::Patrol(a) => patrol::run(&mut door, a),
        Verb::Repair(a) => repair::run(&door, a),
        Verb::Retire(a) => retire::run(&door, a),
        Verb::Eject(a) => eject::run(&door, a),
        Verb::Mhl(a) => mhl::run(&door, a),
        Verb::Log(a) => log::run(&door, a),
        Verb::Find(a) => find::run(&door, a),
        Verb::Show(a) => show::run(&door, a),
        Verb::Sql(a) => sql::run(&door, a),
        Verb::Backup(a) => backup::run(&door, a),
        Verb::Restore(a) => restore::run(&door, a),
        Verb::Rebuild(a) => rebuild::run(&door, a),
        Verb::Check => check::run(&door),
        Verb::Config(a) => config::run(&door, a),
        Verb::Doctor => doctor::run(&door),
    }
}

/// Help and version are answers; all else that the parser says is a usage error.
fn usage(e: clap::Error, out: &Out) -> Result<Exit, Failure> {
    match e.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
            // Nothing to be done for a reader that went away.
            let _ = e.print();
            Ok(Exit::Good)
        }
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand if !out.json() => {
            let _ = e.print();
            Ok(Exit::Usage)
        }
        _ => Err(report::of_clap(&e)),
    }
}

fn start_logging(verbose: u8, quiet: bool) {
    let default = match (quiet, verbose) {
        (true, _) => "error",
        (_, 0) => "warn",
        (_, 1) => "info",
        _ => "debug",
    };
    let filter = tracing_subscriber::EnvFilter::try_from_env("GOODGATE_LOG");
    let filter = filter.unwrap_or_else(|_| tracing_subscriber::EnvFilter::new(default));
    let started = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(print::colours_err())
        .with_target(false)
        .try_init();
    if let Err(e) = started {
        eprintln!("logging: {e}");
    }
}

static PANIC: Mutex<Option<String>> = Mutex::new(None);

/// A panic anywhere below becomes a failure with one sentence instead of a trace.
fn guarded(work: impl FnOnce() -> anyhow::Result<Exit>) -> anyhow::Result<Exit> {
    std::panic::set_hook(Box::new(|info| {
        let place = info.location().map(|l| format!(" at {}:{}", l.file(), l.line())).unwrap_or_default();
        let payload = info.payload();
        let words = payload.downcast_ref::<&str>().copied().or(payload.downcast_ref::<String>().map(String::as_str));
        let text = format!("{}{place}", words.unwrap_or("no reason given"));
        tracing::error!("panic: {text}");
        // The first one is the cause; a thread that waits for it panics in turn.
        PANIC.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(text);
    }));
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|_| {
        let text = PANIC.lock().unwrap_or_else(PoisonError::into_inner).take().unwrap_or_default();
        let failure = Failure::new(format!("the program failed inside: {text}"));
        Err(failure.hint("what was proven stays recorded; run the same command again, and report this line").into())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_a_failure_with_a_sentence() {
        let done = guarded(|| panic!("no wheel"));
        let failure = report::failure(&done.unwrap_err());
        assert_eq!(failure.exit, Exit::Failed);
        assert!(failure.error.contains("no wheel") && failure.hint.is_some());
    }
}
