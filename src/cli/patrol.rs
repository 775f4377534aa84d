//! `goodgate patrol`

use super::args::Patrol;
use super::door::Door;
use super::report::Exit;
use super::verify;
use goodgate::patrol::{self, PatrolRequest};

pub fn run(door: &mut Door, a: Patrol) -> anyhow::Result<Exit> {
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
    verify::print(door, &report)
}
