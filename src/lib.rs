#![deny(unsafe_code)]
pub mod clip;
pub mod copy;
pub mod digest;
pub mod disk;
pub mod evidence;
pub mod finding;
pub mod hash;
pub mod mhl;
pub mod offload;
pub mod progress;
pub mod read;
pub mod relpath;
pub mod timecode;
pub mod verify;
