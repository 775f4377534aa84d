//! `goodgate verify [ROLL|PATH ...]`, and the report that `patrol` prints too.

use super::args::Verify;
use super::door::Door;
use super::print::{complain, count};
use super::report::Exit;
use goodgate::patrol::{self, CheckReport, Target};

pub fn run(door: &mut Door, a: Verify) -> anyhow::Result<Exit> {
    door.station.config.verify.seal |= a.seal;
    let mut catalog = door.catalog()?;
    let mut what = Vec::new();
    for word in &a.what {
        what.extend(Target::named(&catalog, word)?);
    }
    if a.what.is_empty() {
        what.push(Target::Everything);
    }
    let progress = door.progress()?;
    let report = patrol::verify(&door.station, &mut catalog, &what, &progress)?;
    progress.finish();
    print(door, &report)
}

pub fn print(door: &Door, report: &CheckReport) -> anyhow::Result<Exit> {
    let out = &door.out;
    out.object(report)?;
    report.findings.iter().for_each(|f| out.line(f.line()));
    for absent in &report.absent {
        let last = absent.last_proof.map_or("never".into(), |at| format!("{at:.0}"));
        let files = count(absent.files, "file");
        let word = if absent.overdue { "overdue" } else { "absent" };
        out.line(format!("{word}: {} ({}), {files}, last proof {last}", absent.volume, absent.last_mount));
    }
    for s in &report.sealed {
        out.line(format!("sealed: generation {} of {}", s.generation, s.copy));
    }
    report.unsealed.iter().for_each(|text| complain(text));
    let unwritten = report.unwritten.iter();
    unwritten.for_each(|text| {
        complain(&format!("{text}; the pass itself is recorded: name a writable place for the report"))
    });
    report.untold.iter().for_each(|text| complain(&format!("not told: {text}")));
    out.line(report.line());
    if let Some(step) = report.next_step() {
        out.line(format!("next: {step}"));
    }
    if !report.already_running {
        out.line(format!("oldest proof: {}", report.oldest_proof.map_or("none".into(), |at| format!("{at:.0}"))));
    }
    let exit = Exit::of_code(report.exit_code());
    if door.stop()?.asked() && !report.complete {
        complain("stopped before the end; what was checked is recorded");
        return Ok(exit.max(Exit::Failed));
    }
    Ok(exit)
}
