//! `goodgate repair ROLL|PATH`

use super::args::Repair;
use super::door::Door;
use super::print::complain;
use super::report::Exit;
use goodgate::patrol::Target;
use goodgate::repair::{self, RepairRequest};

pub fn run(door: &Door, a: Repair) -> anyhow::Result<Exit> {
    let mut catalog = door.catalog()?;
    let what = Target::named(&catalog, &a.what)?;
    let request = RepairRequest { what, dry_run: a.dry_run, in_place: a.in_place, keep_damaged: a.keep_damaged };
    let progress = door.progress()?;
    let report = repair::repair(&door.station, &mut catalog, &request, &progress)?;
    progress.finish();
    let out = &door.out;
    out.object(&report)?;
    for p in &report.planned {
        out.line(format!("would repair {} \"{}\" in {}", p.what, p.relpath, p.copy));
        for from in &p.from {
            let spans: Vec<String> = from.blocks.iter().map(|(o, l)| format!("{o}+{l}")).collect();
            match spans.is_empty() {
                true => out.line(format!("  by {}", from.path)),
                false => out.line(format!("  bytes {} from {}", spans.join(", "), from.path)),
            }
        }
    }
    for r in &report.repaired {
        out.line(format!("repaired: {} \"{}\" in {}, {} bytes written", r.what, r.relpath, r.copy, r.bytes_written));
        if let Some(kept) = &r.kept {
            out.line(format!("  the damaged one is kept in \"{kept}\""));
        }
    }
    report.unrepairable.iter().for_each(|f| out.line(format!("cannot be repaired: {}", f.line())));
    for s in &report.sealed {
        out.line(format!("sealed: generation {} of {}", s.generation, s.copy));
    }
    report.unsealed.iter().for_each(|text| complain(text));
    for absent in &report.absent {
        complain(&format!("not mounted: {} ({})", absent.volume, absent.last_mount));
    }
    out.line(report.line());
    Ok(Exit::of_code(report.exit_code()))
}
