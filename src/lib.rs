#![deny(unsafe_code)]
pub mod card;
pub mod catalog;
pub mod clip;
pub mod copy;
pub mod digest;
pub mod disk;
pub mod evidence;
pub mod finding;
pub mod job;
pub mod progress;
pub mod query;
pub mod read;
pub mod relpath;
pub mod timecode;
pub mod verify;
