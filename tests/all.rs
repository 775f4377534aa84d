//! Everything that is tested from outside the crate: one binary, one file a subject.

#[path = "all/cli.rs"]
mod cli;
#[path = "all/code.rs"]
mod code;
#[path = "all/config_samples.rs"]
mod config_samples;
#[path = "all/floors.rs"]
mod floors;
#[path = "all/media.rs"]
mod media;
#[allow(dead_code)]
#[path = "all/place.rs"]
mod place;
#[path = "all/verify.rs"]
mod verify;
