//! What a history says, for people: its generations, and all that is recorded of one file.

use super::history::History;
use super::lists::{fault_texts, parts};
use super::manifest::Made;
use super::survey::survey;
use crate::disk::Root;
use crate::relpath::RelPath;
use serde::Serialize;

/// The object of `mhl info`.
#[derive(Clone, Debug, Serialize)]
pub struct Info {
    /// The word of cli.md.
    pub history: &'static str,
    /// The folder's own, and of each history inside it.
    pub generations: Vec<GenerationInfo>,
    pub histories: Vec<HistoryInfo>,
    /// Over all histories.
    pub files: usize,
    pub faults: Vec<String>,
    pub notes: Vec<String>,
}

#[derive(Clone, Debug, Serialize)]
pub struct HistoryInfo {
    /// Its folder.
    pub path: RelPath,
    pub files: usize,
    pub folders: usize,
    pub formats: Vec<&'static str>,
    pub ignore: Vec<String>,
    pub generations: Vec<GenerationInfo>,
}

#[derive(Clone, Debug, Serialize)]
pub struct GenerationInfo {
    pub number: u32,
    pub manifest: RelPath,
    pub c4: String,
    #[serde(flatten)]
    pub made: Made,
}

/// One digest on record.
#[derive(Clone, Debug, Serialize)]
pub struct RecordInfo {
    pub generation: u32,
    pub format: &'static str,
    pub digest: String,
    pub action: Option<&'static str>,
    pub hashdate: Option<String>,
}

/// The object of `mhl info FILE`.
#[derive(Clone, Debug, Serialize)]
pub struct FileInfo {
    pub history: &'static str,
    pub path: RelPath,
    pub size: Option<u64>,
    pub previous_path: Option<RelPath>,
    pub records: Vec<RecordInfo>,
    pub faults: Vec<String>,
}

fn generations(base: &RelPath, history: &History) -> Vec<GenerationInfo> {
    let of = |(g, made): (&crate::copy::Generation, &Made)| GenerationInfo {
        number: g.number,
        manifest: base.join_rel(&g.manifest),
        c4: g.c4.text(),
        made: made.clone(),
    };
    history.generations.iter().zip(&history.made).map(of).collect()
}

pub fn info(root: &Root) -> Info {
    let tree = survey(root, &[], false);
    let of = |(base, history): (&RelPath, &History)| HistoryInfo {
        path: base.clone(),
        files: history.records.len(),
        folders: history.folders.len(),
        formats: history.formats().into_iter().map(|f| f.name()).collect(),
        ignore: history.ignore.lines().to_vec(),
        generations: generations(base, history),
    };
    let histories: Vec<HistoryInfo> = parts(&tree).into_iter().map(of).collect();
    let own = histories.iter().find(|h| h.path.is_root());
    let unlisted = tree.unlisted().into_iter().map(|p| format!("\"{p}\" is a manifest that no chain lists"));
    Info {
        history: tree.word(),
        generations: own.map(|h| h.generations.clone()).unwrap_or_default(),
        files: histories.iter().map(|h| h.files).sum(),
        faults: fault_texts(&tree.faults).into_iter().chain(unlisted).collect(),
        notes: tree.notes(),
        histories,
    }
}

/// `None` when no history in the tree speaks of that file.
pub fn info_of(root: &Root, file: &RelPath) -> Option<FileInfo> {
    let tree = survey(root, &[], false);
    let mut owners: Vec<(&RelPath, &History)> = parts(&tree);
    owners.retain(|(base, _)| file.strip_prefix(base).is_some_and(|rest| !rest.is_root()));
    let (base, history) = owners.into_iter().max_by_key(|(base, _)| base.as_bytes().len())?;
    let record = history.records.get(&file.strip_prefix(base)?)?;
    let of = |k: &super::Known| RecordInfo {
        generation: k.generation,
        format: k.digest.format.name(),
        digest: k.digest.text(),
        action: k.action.map(super::write::action),
        hashdate: k.at.map(|at| at.to_string()),
    };
    Some(FileInfo {
        history: tree.word(),
        path: file.clone(),
        size: record.size_bytes,
        previous_path: record.previous.as_ref().map(|p| base.join_rel(p)),
        records: record.known.iter().map(of).collect(),
        faults: fault_texts(&tree.faults),
    })
}
