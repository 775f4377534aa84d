//! What a clip says of itself, read where libav stops: picks the parser by the first bytes.

use super::form::Facts;
use super::which::{self, Container};
use super::window::Window;
use super::{ari, bext, dng, dpx, exr, movie, mxf, r3d};
use crate::fact::Fact;
use crate::relpath::RelPath;
use std::io;

/// A document inside a container, which whoever parses such sidecars reads too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Xml {
    /// Sony's NonRealTimeMeta, as in the sidecar `C0001M01.XML`.
    SonyNrt,
    /// Panasonic's ClipMain, as in P2's `CLIP/*.XML`.
    ClipMain,
}

impl Xml {
    /// Told by the root element's name, which stands in the first bytes of every such document.
    pub(crate) fn of(bytes: &[u8]) -> Option<Self> {
        let head = &bytes[..bytes.len().min(4096)];
        let has = |name: &[u8]| head.windows(name.len()).any(|w| w == name);
        if has(b"NonRealTimeMeta") {
            Some(Self::SonyNrt)
        } else {
            (has(b"ClipMain") || has(b"P2Main")).then_some(Self::ClipMain)
        }
    }
}

/// What one file says: values with the name of their parser, and documents that were not parsed here.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Embedded {
    pub facts: Vec<(Fact, &'static str)>,
    pub xml: Vec<(Xml, Vec<u8>)>,
}

impl From<Facts> for Embedded {
    fn from(facts: Facts) -> Self {
        Embedded { facts: facts.list(), xml: Vec::new() }
    }
}

/// Everything that the bytes of `name` say and libav does not. Bytes that are cut short or damaged say less.
pub fn of(w: &mut Window, name: &RelPath) -> io::Result<Embedded> {
    let head = w.read(0, 4096)?;
    Ok(match which::of(w, &head, name)? {
        Some(Container::Bmff) => movie::facts(w)?,
        Some(Container::Riff) => Embedded { facts: bext::facts(w)?, xml: Vec::new() },
        Some(Container::R3d) => r3d::facts(w)?.into(),
        Some(Container::Exr) => exr::facts(w)?.into(),
        Some(Container::Dpx) => dpx::facts(w)?.into(),
        Some(Container::Ari) => ari::facts(w)?.into(),
        Some(Container::Tiff) => dng::facts(w)?.into(),
        Some(Container::Mxf(start)) => mxf::facts(w, start)?.into(),
        Some(Container::Dv | Container::Ebml | Container::MpegTs(_)) | None => Embedded::default(),
    })
}
