//! **Owns** small parsers that turn the bytes of a file into facts: containers first, sidecars beside them.
//! **Never** trusts a length it read, reads a whole clip, panics or loops on hostile bytes; knows no card and no catalog.
//! **Flow** a caller hands a `Window` on an open file, or bytes; a `fault` says in words how a file is cut short,
//! `facts` what it says of its clip.
//! **Tests** beside each parser, with made files, with mutations of them, and with the sample media where present.

pub mod ari;
pub mod bext;
pub mod bmff;
mod braw;
mod canon;
pub mod dng;
pub mod dpx;
pub mod dv;
pub mod ebml;
pub mod exr;
pub mod facts;
pub(crate) mod form;
pub mod gpmf;
mod ixml;
mod mdta;
pub mod movie;
pub mod mpegts;
pub mod mxf;
pub mod r3d;
pub mod riff;
#[cfg(test)]
mod tests;
pub mod tiff;
mod udta;
pub mod which;
pub mod window;
pub mod xml;
