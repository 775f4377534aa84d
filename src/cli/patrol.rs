//! `goodgate patrol`

use super::args::Patrol;
use super::door::Door;
use super::report::Exit;
use super::verify;
use goodgate::patrol::{self, PatrolRequest};

/// Others go first: less of the processor, and of each disk what nobody else wants. The kernel has no call for the second
/// that is safe to name here, so util-linux makes it; threads that are started later inherit it. Without it the pass is
/// only less polite.
fn step_back() {
    let _ = rustix::process::nice(10);
    let id = std::process::id().to_string();
    let _ = std::process::Command::new("ionice").args(["-c", "3", "-p", &id]).output();
}

pub fn run(door: &mut Door, a: Patrol) -> anyhow::Result<Exit> {
    step_back();
    door.station.config.verify.seal |= a.seal;
    let request = PatrolRequest {
        // A pass of other bounds than the configured ones says nothing about what those promise.
        judge_coverage: a.due.is_none() && a.budget.is_none(),
        due: a.due,
        budget: a.budget,
        rate: a.rate,
        roll: a.roll,
        volume: a.volume,
        report: a.report,
    };
    let mut catalog = door.catalog()?;
    let progress = door.progress()?;
    let report = patrol::patrol(&door.station, &mut catalog, &request, &progress)?;
    progress.finish();
    // cron mails whatever is printed: with --quiet that is bad news only.
    if door.global.quiet && !door.out.json() && report.is_quiet() && !door.stop()?.asked() {
        return Ok(Exit::Good);
    }
    verify::print(door, &report)
}
