//! Is each clip whole? Reads the head and the tail of a proven copy, never the card and never a whole file.
//!
//! What a file *is* comes from its bytes, not from its extension. Bytes that begin like no known container are not
//! judged here (libav will say what it thinks of them), except zeros: those are space that was reserved and never written.

use super::kind;
use super::warn::about;
use crate::clip::Warning;
use crate::read::which::{self, Container};
use crate::read::window::{Fault, Window};
use crate::read::{bmff, dpx, dv, ebml, exr, mpegts, mxf, r3d, riff};
use crate::relpath::RelPath;
use std::io::{Read, Seek};

/// `truncated:` when essence is cut short or was never finished, `unread:` when its header can not be read.
/// Anything but essence has no answer, and 0 bytes have theirs before the copy.
pub fn check(file: &mut (impl Read + Seek), relpath: &RelPath, size_bytes: u64) -> Option<Warning> {
    if size_bytes == 0 || !kind::of(relpath).is_essence() {
        return None;
    }
    let mut w = Window::new(file, size_bytes);
    match fault(&mut w, relpath) {
        // It asks for more reading than a header check may do: nothing is claimed of it.
        Ok(_) if w.is_spent() => None,
        Ok(fault) => fault.map(|why| about("truncated", relpath, &format!("is not whole: {why}"))),
        Err(e) => Some(about("unread", relpath, &format!("could not be checked: {e}"))),
    }
}

fn fault(w: &mut Window, relpath: &RelPath) -> Fault {
    let head = w.read(0, 4096)?;
    match which::of(w, &head, relpath)? {
        Some(Container::Bmff) => bmff::fault(w),
        Some(Container::Riff) => riff::fault(w),
        Some(Container::R3d) => r3d::fault(w),
        Some(Container::Exr) => exr::fault(w),
        Some(Container::Dpx) => dpx::fault(w),
        Some(Container::Dv) => dv::fault(w),
        Some(Container::Ebml) => ebml::fault(w),
        Some(Container::Mxf(start)) => mxf::fault(w, start),
        Some(Container::MpegTs(shape)) => mpegts::fault(w, shape),
        // Nothing in these says where they should end.
        Some(Container::Ari | Container::Tiff) => Ok(None),
        None => Ok(head.iter().all(|b| *b == 0).then(|| "it begins with zeros: it was never written".into())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::read::tests::samples;
    use crate::read::{bmff, dpx, ebml, exr, mpegts, mxf, r3d, riff};
    use proptest::prelude::*;
    use std::io::Cursor;

    fn check_bytes(name: &str, bytes: &[u8]) -> Option<Warning> {
        check(&mut Cursor::new(bytes), &RelPath::new(name).unwrap(), bytes.len() as u64)
    }

    /// One whole file a container.
    fn whole_files() -> Vec<(&'static str, Vec<u8>)> {
        let mut dv = vec![0; 240_000];
        dv[..4].copy_from_slice(&[0x1f, 7, 0, 0x3f]);
        vec![
            ("a.mov", bmff::tests::movie(20, false)),
            ("a.wav", riff::tests::wav(&[1; 400])),
            ("b.wav", riff::tests::rf64(&[1; 400])),
            ("a.avi", riff::tests::avi_file()),
            ("a.aif", riff::tests::aiff()),
            ("a.mxf", mxf::tests::mxf(0, true, true)),
            ("b.mxf", mxf::tests::mxf(5000, true, true)),
            ("a.mts", mpegts::tests::ts(192, 64, 0x1f)),
            ("a.ts", mpegts::tests::ts(188, 64, 0)),
            ("a.dv", dv),
            ("a.r3d", r3d::tests::r3d()),
            ("a.exr", exr::tests::exr()),
            ("a.dpx", dpx::tests::dpx(5000)),
            ("a.mkv", ebml::tests::mkv(true)),
        ]
    }

    #[test]
    fn whole_files_raise_nothing_and_cut_ones_are_named() {
        for (name, bytes) in whole_files() {
            assert_eq!(check_bytes(name, &bytes), None);
            let cut = check_bytes(name, &bytes[..bytes.len() - 10]).unwrap_or_else(|| panic!("{name} was not noticed"));
            assert_eq!(cut.id, format!("truncated:{name}"));
        }
    }

    #[test]
    fn the_bytes_decide_not_the_extension() {
        let movie = bmff::tests::movie(20, false);
        assert_eq!(check_bytes("a.r3d", &movie), None);
        assert!(check_bytes("a.r3d", &movie[..100]).is_some());
    }

    #[test]
    fn other_files_are_not_judged() {
        let cut = &bmff::tests::movie(20, false)[..100];
        for name in ["a.xml", "a.lrv", "._a.mov", "a.jpg"] {
            assert_eq!(check_bytes(name, cut), None, "{name}");
        }
        assert_eq!(check_bytes("a.mov", b"no container that is known here"), None);
        assert_eq!(check_bytes("a.mov", b""), None);
    }

    #[test]
    fn reserved_space_that_was_never_written_is_a_warning() {
        assert!(check_bytes("a.mov", &[0; 10_000]).unwrap().text.contains("never written"));
    }

    #[test]
    fn a_copy_that_cannot_be_read_is_not_called_whole() {
        struct Broken;
        impl Read for Broken {
            fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
                Err(std::io::Error::other("bad sector"))
            }
        }
        impl Seek for Broken {
            fn seek(&mut self, _: std::io::SeekFrom) -> std::io::Result<u64> {
                Ok(0)
            }
        }
        let w = check(&mut Broken, &RelPath::new("a.mov").unwrap(), 100).unwrap();
        assert_eq!(w.id, "unread:a.mov");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(300))]

        #[test]
        fn no_bytes_make_a_check_panic(bytes in proptest::collection::vec(any::<u8>(), 0..600), n in 0..14usize) {
            let (name, whole) = &whole_files()[n];
            check_bytes(name, &bytes);
            // The same behind a head that the parser takes for its own.
            check_bytes(name, &[&whole[..whole.len().min(16)], &bytes].concat());
        }

        #[test]
        fn no_damage_to_a_whole_file_makes_a_check_panic(
            n in 0..14usize,
            damage in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
            zeros in any::<prop::sample::Index>(),
            cut in any::<prop::sample::Index>(),
        ) {
            let (name, mut bytes) = whole_files().swap_remove(n);
            for (at, value) in damage {
                let at = at.index(bytes.len().min(2000));
                bytes[at] = value;
            }
            check_bytes(name, &bytes);
            let at = zeros.index(bytes.len());
            bytes[at..].iter_mut().take(8).for_each(|b| *b = 0xff);
            check_bytes(name, &bytes);
            bytes.truncate(cut.index(bytes.len()));
            check_bytes(name, &bytes);
        }
    }

    #[test]
    fn sample_media_that_are_cut_warn_and_those_that_decode_do_not() {
        let Some(root) = samples() else { return };
        let manifest = std::fs::read_to_string(root.join("MANIFEST.tsv")).unwrap();
        let (mut cut, mut clean, mut wrong) = (0, 0, Vec::new());
        for line in manifest.lines().skip(1) {
            let relpath = RelPath::new(line.split('\t').next().unwrap()).unwrap();
            let short = ["truncated", "header only", "no essence", "first 1160 bytes"].iter().any(|w| line.contains(w));
            if !kind::of(&relpath).is_essence() || !short && !line.contains("decodes clean") {
                continue;
            }
            let mut file = std::fs::File::open(relpath.under(&root)).unwrap();
            let size = file.metadata().unwrap().len();
            let warning = check(&mut file, &relpath, size);
            if warning.is_some() != short {
                wrong.push(format!("{relpath}: {warning:?}"));
            }
            if short { cut += 1 } else { clean += 1 }
        }
        assert!(wrong.is_empty(), "{wrong:#?}");
        assert!(cut >= 5 && clean >= 30, "{cut} cut, {clean} clean: the manifest has changed");
    }
}
