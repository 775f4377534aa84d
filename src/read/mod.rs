//! **Owns** the bounded parsers that turn bytes of files into facts.
//! **Never** opens a file, panics on input, or believes a length that the bytes do not bear out.
//! **Flow** bytes of a head, a tail or a small file in; plain values or a refusal out.
//! **Tests** beside each parser, on cut, hostile and real files.

pub mod xml;
