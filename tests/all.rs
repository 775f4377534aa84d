//! Everything that is tested from outside the crate: one binary, one file a subject.

#[path = "all/code.rs"]
mod code;
#[path = "all/config_samples.rs"]
mod config_samples;
#[path = "all/faults.rs"]
mod faults;
#[path = "all/floors.rs"]
mod floors;
#[path = "all/kill.rs"]
mod kill;
#[path = "all/media.rs"]
mod media;
#[allow(dead_code)]
#[path = "all/place.rs"]
mod place;
#[path = "all/shim.rs"]
mod shim;
