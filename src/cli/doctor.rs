//! `goodgate doctor`

use super::door::Door;
use super::print::complain;
use super::report::Exit;
use goodgate::ingest::{Health, doctor};
use serde_json::json;

pub fn run(door: &Door) -> anyhow::Result<Exit> {
    let file = door.config_file.as_ref().map(|f| f.display().to_string());
    let points = doctor(&door.station);
    let good = points.iter().all(|p| p.health != Health::Bad);
    door.out.object(&json!({ "config": file, "good": good, "points": points }))?;
    door.out.line(format!("good  settings: {}", file.map_or("built-in defaults".into(), |f| format!("\"{f}\""))));
    for p in &points {
        let word = match p.health {
            Health::Good => "good",
            Health::Note => "note",
            Health::Bad => "BAD",
        };
        door.out.line(format!("{word:<5} {}: {}", p.what, p.text));
    }
    if good {
        return Ok(Exit::Good);
    }
    if !door.out.json() {
        complain("hint: put right what is BAD and run doctor again");
    }
    Ok(Exit::Failed)
}
