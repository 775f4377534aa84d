#![deny(unsafe_code)]
pub mod clip;
pub mod config;
pub mod copy;
pub mod digest;
pub mod disk;
pub mod evidence;
pub mod finding;
pub mod progress;
pub mod relpath;
pub mod timecode;
pub mod verdict;
pub mod verify;
