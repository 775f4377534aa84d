//! **Owns** the bounded parsers that turn bytes of files into facts.
//! **Never** opens a file, panics on input, or believes a length that the bytes do not bear out.
//! **Flow** bytes of a head, a tail or a small file in; plain values or a refusal out.
//! **Tests** beside each parser, on cut, hostile and real files.

pub mod xml;
//! **Owns** small parsers that turn the bytes of a file into facts: containers first, sidecars beside them.
//! **Never** trusts a length it read, reads a whole clip, panics or loops on hostile bytes; knows no card and no catalog.
//! **Flow** a caller hands a `Window` on an open file, or bytes; a `fault` says in words how a file is cut short.
//! **Tests** beside each parser, with made files, with mutations of them, and with the sample media where present.

pub mod bmff;
pub mod dpx;
pub mod dv;
pub mod ebml;
pub mod exr;
pub mod mpegts;
pub mod mxf;
pub mod r3d;
pub mod riff;
pub mod window;
