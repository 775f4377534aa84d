//! `goodgate daemon`

use super::door::Door;
use super::report::Exit;
use goodgate::daemon;
use serde_json::json;

/// Its voice is the log; it ends by a signal.
pub fn run(door: Door) -> anyhow::Result<Exit> {
    door.hold()?;
    let Door { station, catalog_path, out, .. } = door;
    daemon::run(station, &catalog_path)?;
    out.object(&json!({ "daemon": "stopped", "catalog": catalog_path.to_string_lossy() }))?;
    Ok(Exit::Good)
}
