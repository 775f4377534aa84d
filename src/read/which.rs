//! Which container is it? What a file *is* comes from its bytes, not from its extension.

use super::window::Window;
use super::{ari, bmff, dpx, dv, ebml, exr, mpegts, mxf, r3d, riff, tiff};
use crate::relpath::RelPath;
use std::io;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Container {
    Bmff,
    Riff,
    R3d,
    Exr,
    Dpx,
    Dv,
    Ebml,
    /// Where its header partition begins.
    Mxf(usize),
    /// Stride of the packets and offset of their first sync byte.
    MpegTs((usize, usize)),
    Ari,
    /// DNG among others.
    Tiff,
}

/// `None` for what begins like no container that is known here. `head` is the first 4096 bytes or so.
pub fn of(w: &mut Window, head: &[u8], name: &RelPath) -> io::Result<Option<Container>> {
    let by_mark = [
        (bmff::is_here(head), Container::Bmff),
        (riff::is_here(head), Container::Riff),
        (r3d::is_here(head), Container::R3d),
        (exr::is_here(head), Container::Exr),
        (dpx::is_here(head), Container::Dpx),
        (dv::is_here(head), Container::Dv),
        (ebml::is_here(head), Container::Ebml),
        (ari::is_here(head), Container::Ari),
        (tiff::is_here(head), Container::Tiff),
    ];
    if let Some((_, found)) = by_mark.into_iter().find(|(here, _)| *here) {
        return Ok(Some(found));
    }
    Ok(match mxf_start(w, head, name)? {
        Some(start) => Some(Container::Mxf(start)),
        None => mpegts::shape(head).map(Container::MpegTs),
    })
}

/// Only a file that says so by name is searched for an MXF header behind other bytes.
fn mxf_start(w: &mut Window, head: &[u8], name: &RelPath) -> io::Result<Option<usize>> {
    match mxf::find(head) {
        None if name.extension() == "mxf" => Ok(mxf::find(&w.read(0, 65_536 + 14)?)),
        found => Ok(found),
    }
}
