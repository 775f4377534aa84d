//! Whose is a file that no family knows? The clip's that it stands beside, by folder and by name, without regard to case.

use super::Found;
use crate::card::kind::folded;
use crate::clip::{Listing, Role};
use crate::relpath::RelPath;
use std::collections::HashMap;

/// A clip: which of the found, which of its clips.
pub(super) type At = (usize, usize);

pub(super) struct Beside {
    by_name: HashMap<(RelPath, Vec<u8>), At>,
    by_stem: HashMap<(RelPath, Vec<u8>), At>,
}

impl Beside {
    pub(super) fn of(listing: &Listing, found: &[Found]) -> Self {
        let mut out = Beside { by_name: HashMap::new(), by_stem: HashMap::new() };
        let clips =
            (0..).zip(found).flat_map(|(f, found)| (0..).zip(&found.clips).map(move |(c, clip)| ((f, c), clip)));
        for (at, clip) in clips {
            let own = clip.files.iter().filter(|(_, r)| matches!(r, Role::Essence | Role::Audio));
            let own: Vec<_> = own.map(|(i, _)| &listing.files[*i as usize].relpath).collect();
            for p in &own {
                out.by_name.entry((p.parent(), folded(p.name()))).or_insert(at);
                out.by_stem.entry((p.parent(), folded(p.stem()))).or_insert(at);
            }
            // A sequence has a name that none of its frames has.
            if own.len() > 1 {
                out.by_stem.entry((own[0].parent(), folded(clip.name.as_bytes()))).or_insert(at);
            }
        }
        out
    }

    pub(super) fn same_stem(&self, p: &RelPath) -> Option<At> {
        self.by_stem(&p.parent(), p.stem())
    }

    fn by_stem(&self, folder: &RelPath, stem: &[u8]) -> Option<At> {
        self.by_stem.get(&(folder.clone(), folded(stem))).copied()
    }

    /// `Proxy/A001.mov` below the folder of `A001.braw`, and `A001_Proxy.MP4` beside `A001.MP4` or below it. Without its
    /// original such a file is the recording itself.
    pub(super) fn original(&self, p: &RelPath) -> Option<At> {
        let stem = folded(p.stem());
        let marked = stem.strip_suffix(b"_proxy").filter(|s| !s.is_empty());
        let folder = p.parent();
        let below = match &folded(folder.name())[..] {
            b"proxy" | b"proxies" => Some(folder.parent()),
            _ => None,
        };
        let in_folder = below.and_then(|above| self.by_stem(&above, &stem).or_else(|| self.by_stem(&above, marked?)));
        in_folder.or_else(|| self.by_stem(&folder, marked?))
    }

    /// `A001.xml`, `A001.mov.csv`, `A001.metadata.txt`, and Sony's `C0001M01.XML` beside `C0001.MP4`.
    pub(super) fn belongs_to(&self, p: &RelPath) -> Option<At> {
        let folder = p.parent();
        let name = folded(p.name());
        let mut stem = &name[..];
        while let Some(dot) = stem.iter().rposition(|b| *b == b'.').filter(|at| *at > 0) {
            stem = &stem[..dot];
            let key = (folder.clone(), stem.to_vec());
            if let Some(clip) = self.by_name.get(&key).or_else(|| self.by_stem.get(&key)) {
                return Some(*clip);
            }
        }
        match stem {
            [clip @ .., b'm' | b'r' | b't' | b's' | b'i', b'0'..=b'9', b'0'..=b'9'] if !clip.is_empty() => {
                self.by_stem.get(&(folder, clip.to_vec())).copied()
            }
            _ => None,
        }
    }
}
