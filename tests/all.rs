//! Everything that is tested from outside the crate: one binary, one file a subject.

#[path = "all/backups.rs"]
mod backups;
#[path = "all/bad_input.rs"]
mod bad_input;
#[path = "all/bench.rs"]
mod bench;
#[path = "cards/mod.rs"]
mod cards;
#[path = "all/cards_cinema.rs"]
mod cards_cinema;
#[path = "all/cards_hostile.rs"]
mod cards_hostile;
#[path = "all/cards_other.rs"]
mod cards_other;
#[path = "all/cli.rs"]
mod cli;
#[path = "all/code.rs"]
mod code;
#[path = "all/config_samples.rs"]
mod config_samples;
#[path = "all/daemon.rs"]
mod daemon;
#[path = "all/derive_end.rs"]
mod derive_end;
#[path = "all/devices.rs"]
mod devices;
#[path = "all/eject.rs"]
mod eject;
#[path = "all/faults.rs"]
mod faults;
#[path = "all/floors.rs"]
mod floors;
#[path = "all/gone.rs"]
mod gone;
#[path = "all/hostile_media.rs"]
mod hostile_media;
#[path = "all/inputs.rs"]
mod inputs;
#[path = "all/kill.rs"]
mod kill;
#[path = "all/looks.rs"]
mod looks;
#[path = "all/matrix.rs"]
mod matrix;
#[path = "all/media.rs"]
mod media;
#[path = "all/mhl.rs"]
mod mhl;
#[path = "all/mhl_cards.rs"]
mod mhl_cards;
#[path = "all/mhl_hostile.rs"]
mod mhl_hostile;
#[path = "all/nights.rs"]
mod nights;
#[path = "all/oracle.rs"]
mod oracle;
#[allow(dead_code)]
#[path = "all/place.rs"]
mod place;
#[path = "all/powercut.rs"]
mod powercut;
#[path = "all/proxies.rs"]
mod proxies;
#[path = "all/proxy_matrix.rs"]
mod proxy_matrix;
#[path = "all/real_media.rs"]
mod real_media;
#[path = "all/register.rs"]
mod register;
#[path = "all/repair.rs"]
mod repair;
#[path = "all/shim.rs"]
mod shim;
#[path = "all/station.rs"]
mod station;
#[path = "all/told.rs"]
mod told;
#[path = "all/truth.rs"]
mod truth;
#[path = "all/verify.rs"]
mod verify;
