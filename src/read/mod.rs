//! **Owns** small parsers that turn the bytes of a file into facts: containers first, sidecars beside them.
//! **Never** trusts a length it read, reads a whole clip, panics or loops on hostile bytes; knows no card and no catalog.
//! **Flow** a caller hands a `Window` on an open file, or bytes; a `fault` says in words how a file is cut short.
//! **Tests** beside each parser, with made files, with mutations of them, and with the sample media where present.

pub mod bmff;
pub mod dpx;
pub mod dv;
pub mod ebml;
pub mod exr;
pub mod mediapro;
pub mod mpegts;
pub mod mpl;
pub mod mxf;
pub mod p2;
pub mod r3d;
pub mod riff;
pub mod window;
pub mod xml;
