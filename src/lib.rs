#![deny(unsafe_code)]
pub mod clip;
pub mod copy;
pub mod digest;
pub mod disk;
pub mod finding;
pub mod media;
pub mod preset;
pub mod relpath;
pub mod timecode;
pub mod verify;
