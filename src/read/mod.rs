//! **Owns** small parsers that turn the bytes of a file into facts: containers first, sidecars beside them.
//! **Never** trusts a length it read, reads a whole clip, panics or loops on hostile bytes; knows no card and no catalog.
//! **Flow** a caller hands a `Window` on an open file, or bytes; a `fault` says in words how a file is cut short,
//! `facts` what it says of its clip.
//! **Tests** beside each parser, with made files, with mutations of them, and with the sample media where present.

pub mod ale;
pub mod ari;
pub mod bext;
pub mod bmff;
mod braw;
pub mod braw_sidecar;
mod canon;
pub mod canon_xml;
pub mod cdl;
pub mod csv_meta;
pub mod cube;
pub mod dji_srt;
pub mod dng;
pub mod dpx;
pub mod dv;
pub mod ebml;
pub mod exr;
pub mod facts;
pub(crate) mod form;
pub mod gpmf;
mod ixml;
pub mod mdpm;
mod mdta;
pub mod mediapro;
pub mod mentions;
pub mod movie;
pub mod mpegts;
pub mod mpl;
pub mod mxf;
pub mod p2;
pub mod r3d;
pub mod riff;
pub mod sony_nrt;
#[cfg(test)]
pub(crate) mod tests;
pub mod tiff;
mod udta;
pub mod which;
pub mod window;
pub(crate) mod wording;
pub mod xml;
