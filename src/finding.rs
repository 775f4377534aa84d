//! What a verification saw. A finding is a result, not a failure to run.

use crate::relpath::RelPath;
use serde::Serialize;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum FindingKind {
    Missing,
    Altered,
    Unreadable,
    Extra,
    /// The source gave other bytes, or another listing, than before.
    Unstable,
}

impl FindingKind {
    pub const ALL: [FindingKind; 5] = [Self::Missing, Self::Altered, Self::Unreadable, Self::Extra, Self::Unstable];

    pub fn name(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Altered => "altered",
            Self::Unreadable => "unreadable",
            Self::Extra => "extra",
            Self::Unstable => "unstable",
        }
    }

    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|k| k.name() == name)
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    pub kind: FindingKind,
    /// Root of the copy, or of the card, as an absolute path.
    pub copy: String,
    pub relpath: RelPath,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub relpath_hex: Option<String>,
    /// `[offset, length]` in bytes: 1 MiB blocks, adjacent ones joined, the last cut at the file's end.
    pub blocks: Vec<(u64, u64)>,
    pub mtime_changed: bool,
    pub clip: Option<String>,
    /// Pictures that can not be seen rightly, first and last of each stretch: `01:00:04:12-01:00:05:02, ...`.
    pub timecode: Option<String>,
    /// What was seen, in words.
    pub note: String,
}

impl Finding {
    pub fn new(kind: FindingKind, copy: &std::path::Path, relpath: &RelPath, note: impl Into<String>) -> Self {
        use std::os::unix::ffi::OsStrExt;
        Finding {
            kind,
            copy: crate::relpath::escape(copy.as_os_str().as_bytes()).into_owned(),
            relpath: relpath.clone(),
            relpath_hex: relpath.hex_if_escaped(),
            blocks: Vec::new(),
            mtime_changed: false,
            clip: None,
            timecode: None,
            note: note.into(),
        }
    }

    /// One line for a terminal.
    pub fn line(&self) -> String {
        let mut text = format!("{}: \"{}\" in {}", self.kind.name(), self.relpath, self.copy);
        if !self.note.is_empty() {
            text.push_str(&format!(" ({})", self.note));
        }
        if !self.blocks.is_empty() {
            let spans: Vec<String> = self.blocks.iter().take(8).map(|(o, l)| format!("{o}+{l}")).collect();
            let more = if self.blocks.len() > 8 { ", ..." } else { "" };
            text.push_str(&format!(", damaged bytes {}{more}", spans.join(", ")));
        }
        if let Some(timecode) = &self.timecode {
            text.push_str(&format!(", timecode {timecode}"));
        }
        text
    }
}
