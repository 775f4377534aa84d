//! `goodgate daemon`

use super::door::Door;
use super::report::Exit;

pub fn run(door: Door) -> anyhow::Result<Exit> {
    goodgate::daemon::run(door.station, &door.catalog_path)?;
    Ok(Exit::Good)
}
