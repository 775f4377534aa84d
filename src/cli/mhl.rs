//! `goodgate mhl seal|verify|info|flatten|export-v1`

use super::args::{Mhl, MhlAct, MhlExport, MhlFlatten, MhlInfo, MhlSeal, MhlVerify};
use super::door::Door;
use super::print::{Out, complain, count};
use super::report::{Exit, Failure};
use anyhow::Context;
use goodgate::digest::HashFormat;
use goodgate::disk::write::{Replace, write_whole};
use goodgate::disk::{Root, facts};
use goodgate::ingest;
use goodgate::mhl::{self, Creator, InPlace, Legacy, Listed, Packing, Reading, Target, TreeReport};
use goodgate::relpath::RelPath;
use jiff::Timestamp;
use serde_json::json;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

const PACKING_LIMIT_BYTES: u64 = 512 << 20;

pub fn run(door: &Door, a: Mhl) -> anyhow::Result<Exit> {
    match a.act {
        MhlAct::Verify(a) => verify(door, &a),
        MhlAct::Seal(a) => seal(door, a),
        MhlAct::Info(a) => info(door, &a),
        MhlAct::Flatten(a) => flatten(door, &a),
        MhlAct::ExportV1(a) => export(door, &a),
    }
}

fn target(path: &Path) -> anyhow::Result<Target> {
    mhl::target(path).with_context(|| format!("cannot open \"{}\"", path.display()))
}

/// The folder itself; what is no folder is a wrong call.
fn folder(path: &Path) -> anyhow::Result<(Root, Vec<mhl::LegacyFile>)> {
    match target(path)? {
        Target::Folder { root, legacy } => Ok((root, legacy)),
        _ => Err(Failure::usage(format!("\"{}\" is no folder", path.display())).into()),
    }
}

fn packing(path: &Path) -> anyhow::Result<Packing> {
    let (root, name) = place(path)?;
    let bytes = root.read_small(&name, PACKING_LIMIT_BYTES);
    let bytes = bytes.with_context(|| format!("cannot read \"{}\"", path.display()))?;
    Packing::read(&bytes).map_err(|why| {
        let failure = Failure::new(format!("\"{}\" is no packing list: {why}", path.display()));
        Failure { exit: Exit::History, ..failure }.hint("a packing list is a manifest of ASC MHL").into()
    })
}

/// A file by its folder and name.
fn place(path: &Path) -> anyhow::Result<(Root, RelPath)> {
    let path = std::path::absolute(path).with_context(|| format!("\"{}\"", path.display()))?;
    let (Some(above), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(Failure::usage(format!("\"{}\" is no file", path.display())).into());
    };
    let root = Root::open(above).with_context(|| format!("cannot open \"{}\"", above.display()))?;
    Ok((root, RelPath::new(name.as_bytes())?))
}

/// How the device below is read.
struct Device {
    fs_type: String,
    lanes: usize,
}

impl Device {
    fn of(door: &Door, root: &Root) -> anyhow::Result<Self> {
        let facts = facts::of(root.path()).with_context(|| format!("cannot look at \"{}\"", root.path().display()))?;
        let lanes = ingest::lanes(&door.station.config, &facts);
        Ok(Device { fs_type: facts.mount.fs_type, lanes })
    }

    fn reading(&self) -> Reading<'_> {
        Reading { fs_type: &self.fs_type, lanes: self.lanes }
    }
}

fn verify(door: &Door, a: &MhlVerify) -> anyhow::Result<Exit> {
    let target = target(&a.path)?;
    let progress = door.progress()?;
    let report = match (target, &a.packing_list) {
        (Target::Folder { root, .. }, Some(list)) => {
            let list = packing(list)?;
            mhl::verify_packing(&root, &list, Device::of(door, &root)?.reading(), &progress)
        }
        (Target::Folder { root, legacy }, None) if legacy.is_empty() => {
            mhl::verify(&root, Device::of(door, &root)?.reading(), &progress)
        }
        (Target::Folder { root, legacy }, None) => {
            mhl::verify_legacy(&root, legacy, Device::of(door, &root)?.reading(), &progress)
        }
        (Target::Legacy { root, list }, None) => {
            mhl::verify_legacy(&root, vec![*list], Device::of(door, &root)?.reading(), &progress)
        }
        (Target::Packing(path), _) => {
            let failure = Failure::usage(format!("\"{}\" is a packing list: name its folder", path.display()));
            return Err(failure.hint("goodgate mhl verify FOLDER --packing-list FILE").into());
        }
        _ => return Err(Failure::usage(format!("\"{}\" is no folder and no .mhl", a.path.display())).into()),
    };
    progress.finish();
    show(door, &report)?;
    let exit = Exit::of_code(report.exit_code());
    Ok(if report.complete { exit } else { exit.max(Exit::Failed) })
}

/// A line for each path, with what it is.
fn list(out: &Out, lists: &[(&str, &Vec<RelPath>)]) {
    for (what, paths) in lists {
        paths.iter().for_each(|p| out.line(format!("{what}: {p}")));
    }
}

fn show(door: &Door, report: &TreeReport) -> anyhow::Result<()> {
    let out = &door.out;
    out.object(report)?;
    if !door.global.quiet {
        report.faults.iter().chain(&report.notes).for_each(|text| complain(text));
    }
    let lists = [
        ("altered", &report.altered),
        ("unreadable", &report.unreadable),
        ("missing", &report.missing),
        ("missing folder", &report.missing_dirs),
        ("new", &report.new),
        ("neither file nor folder", &report.specials),
    ];
    list(out, &lists);
    report.renamed.iter().for_each(|r| out.line(format!("renamed, it seems: {} is now {}", r.from, r.to)));
    let mut line = format!("history {}: {} checked, {} good", report.history, count(report.files, "file"), report.good);
    for (what, paths) in lists {
        if !paths.is_empty() {
            line.push_str(&format!(", {} {what}", paths.len()));
        }
    }
    if report.unjudged > 0 {
        line.push_str(&format!("; {} below no history that can be believed", count(report.unjudged, "file")));
    }
    if !report.complete {
        line.push_str("; stopped before the end");
    }
    out.line(line);
    Ok(())
}

fn creator(door: &Door, comment: Option<String>) -> Creator {
    let usual = ingest::creator(&door.station);
    Creator { comment: comment.or(usual.comment), ..usual }
}

fn seal(door: &Door, a: MhlSeal) -> anyhow::Result<Exit> {
    let (root, legacy) = folder(&a.path)?;
    let mut lists: Vec<(String, Legacy)> = Vec::new();
    for file in legacy {
        let list = file.list.map_err(|why| {
            let failure = Failure::new(format!("the legacy list \"{}\" cannot be read: {why}", file.name));
            Failure { exit: Exit::History, ..failure }.hint("move it out of the folder to seal without it")
        })?;
        lists.push((file.name, list));
    }
    let packing = match &a.packing_list {
        Some(path) => Some((path.file_name().unwrap_or_default().to_string_lossy().into_owned(), packing(path)?)),
        None => None,
    };
    let formats: Vec<HashFormat> = match a.hash.is_empty() {
        true => door.station.config.hash.clone(),
        false => a.hash.iter().filter_map(|f| HashFormat::from_name(f)).collect(),
    };
    let mut ignore = door.station.config.mhl.ignore.clone();
    ignore.extend(a.ignore);
    let device = Device::of(door, &root)?;
    let progress = door.progress()?;
    let request = InPlace {
        root: &root,
        reading: device.reading(),
        formats: &formats,
        creator: &creator(door, a.comment),
        ignore: &ignore,
        started_at: Timestamp::now(),
        legacy: &lists,
        packing: packing.as_ref(),
        all_digests: false,
        resume: false,
    };
    let report = mhl::seal_in_place(&request, &progress)?;
    progress.finish();
    let Some(report) = report else { return Err(Failure::new("stopped; nothing was written").into()) };
    let out = &door.out;
    out.object(&report)?;
    if !door.global.quiet {
        report.faults.iter().chain(&report.notes).for_each(|text| complain(text));
    }
    let lists = [
        ("altered", &report.altered),
        ("unreadable", &report.unreadable),
        ("missing", &report.missing),
        ("missing folder", &report.missing_dirs),
        ("neither file nor folder", &report.specials),
        ("left out, no manifest can hold its name", &report.unnamed),
    ];
    list(out, &lists);
    report.renamed.iter().for_each(|r| out.line(format!("renamed: {} is now {}", r.from, r.to)));
    let (files, new) = (count(report.files, "file"), report.original);
    out.line(format!(
        "generation {}: {files} read, {} verified, {new} new; {}",
        report.generation, report.verified, report.manifest
    ));
    Ok(Exit::of_code(report.exit_code()))
}

fn info(door: &Door, a: &MhlInfo) -> anyhow::Result<Exit> {
    let out = &door.out;
    if let Some(path) = &a.packing_list {
        let list = packing(path)?;
        out.object(&json!({ "history": "ok", "files": list.files(), "made": list.made, "notes": list.notes }))?;
        out.line(format!("packing list of {}{}", count(list.files() as u64, "file"), made(&list.made)));
        return Ok(Exit::Good);
    }
    let path = a.path.as_deref().unwrap_or(Path::new("."));
    match target(path)? {
        Target::Folder { root, legacy } if legacy.is_empty() => {
            let info = mhl::info(&root);
            out.object(&info)?;
            if !door.global.quiet {
                info.faults.iter().chain(&info.notes).for_each(|text| complain(text));
            }
            for history in &info.histories {
                let name =
                    if history.path.is_root() { root.path().display().to_string() } else { history.path.to_string() };
                let files = count(history.files as u64, "file");
                out.line(format!("{name}: {files}, {}", history.formats.join(", ")));
                for g in &history.generations {
                    out.line(format!("  {:04}{}", g.number, made(&g.made)));
                }
            }
            out.line(format!("history {}", info.history));
            Ok(if info.history == "ok" { Exit::Good } else { Exit::History })
        }
        Target::Folder { legacy, .. } => show_legacy(door, legacy),
        Target::Legacy { list, .. } => show_legacy(door, vec![*list]),
        Target::Packing(path) => {
            let failure = Failure::usage(format!("\"{}\" is a packing list", path.display()));
            Err(failure.hint("goodgate mhl info --packing-list FILE").into())
        }
        Target::File { root, relpath } => {
            let Some(info) = mhl::info_of(&root, &relpath) else {
                let failure = Failure::new(format!("no history speaks of \"{}\"", path.display()));
                return Err(Failure { exit: Exit::History, ..failure }.into());
            };
            out.object(&info)?;
            out.line(format!("{} in {}", info.path, root.path().display()));
            for r in &info.records {
                let (action, date) = (r.action.unwrap_or("-"), r.hashdate.as_deref().unwrap_or("-"));
                out.line(format!("  {:04} {action} {date} {} {}", r.generation, r.format, r.digest));
            }
            Ok(if info.history == "ok" { Exit::Good } else { Exit::History })
        }
    }
}

fn show_legacy(door: &Door, lists: Vec<mhl::LegacyFile>) -> anyhow::Result<Exit> {
    let out = &door.out;
    let good = lists.iter().all(|l| l.list.is_ok());
    let of = |l: &mhl::LegacyFile| match &l.list {
        Ok(list) => json!({ "name": l.name, "files": list.files(), "made": list.made, "notes": list.notes }),
        Err(why) => json!({ "name": l.name, "fault": why }),
    };
    let history = if good { "ok" } else { "manifest_modified" };
    out.object(&json!({ "history": history, "legacy": lists.iter().map(of).collect::<Vec<_>>() }))?;
    for l in &lists {
        out.line(match &l.list {
            Ok(list) => format!("{}: MHL 1 of {}{}", l.name, count(list.files() as u64, "file"), made(&list.made)),
            Err(why) => format!("{}: {why}", l.name),
        });
    }
    Ok(if good { Exit::Good } else { Exit::History })
}

fn made(made: &mhl::Made) -> String {
    let tool = match (&made.tool, &made.tool_version) {
        (Some(tool), Some(version)) => Some(format!("{tool} {version}")),
        (tool, _) => tool.clone(),
    };
    let parts = [&made.created, &made.process, &tool, &made.hostname];
    let mut text: String = parts.into_iter().flatten().map(|p| format!(" {p}")).collect();
    made.authors.iter().chain(&made.location).chain(&made.comment).for_each(|p| text.push_str(&format!(", {p}")));
    text
}

fn no_history(path: &Path) -> Failure {
    let failure = Failure::new(format!("\"{}\" has no history", path.display()));
    Failure { exit: Exit::History, ..failure }.hint("goodgate mhl seal PATH begins one")
}

fn flatten(door: &Door, a: &MhlFlatten) -> anyhow::Result<Exit> {
    let (root, _) = folder(&a.path)?;
    let at = Timestamp::now();
    let list = mhl::flatten(&root, &creator(door, None), at)?.ok_or_else(|| no_history(&a.path))?;
    let name = format!("packinglist_{}_{}.mhl", base_name(&root), at.strftime("%Y-%m-%d_%H%M%SZ"));
    let output = a.packing_list.clone().unwrap_or_else(|| PathBuf::from("."));
    write(door, &list, &output, &name, "packing_list")
}

fn base_name(root: &Root) -> String {
    let name = root.path().file_name().map_or("root".into(), |n| n.to_string_lossy().into_owned());
    name.chars().filter(|c| !c.is_control()).take(100).collect()
}

fn export(door: &Door, a: &MhlExport) -> anyhow::Result<Exit> {
    let (root, _) = folder(&a.path)?;
    let at = Timestamp::now();
    let output = a.output.clone().unwrap_or_else(|| root.path().to_path_buf());
    let above = if output.is_dir() { output.clone() } else { output.parent().unwrap_or(Path::new("")).to_path_buf() };
    let above = if above.as_os_str().is_empty() { PathBuf::from(".") } else { above };
    let above = above.canonicalize().with_context(|| format!("cannot open \"{}\"", above.display()))?;
    // Elsewhere the paths are those of the folder: that is where such a list is carried to.
    let is_stdout = output == Path::new("-");
    let prefix = RelPath::below(&above, root.path()).filter(|_| !is_stdout).unwrap_or_default();
    let list = a.packing_list.as_deref().map(packing).transpose()?;
    let device = Device::of(door, &root)?;
    let progress = door.progress()?;
    let creator = creator(door, None);
    let listed = mhl::export_v1(&root, list.as_ref(), &prefix, &creator, at, device.reading(), &progress)?;
    progress.finish();
    let Some(mut listed) = listed else { return Err(Failure::new("stopped; nothing was written").into()) };
    if above == root.path() && root.path().join(mhl::FOLDER).is_dir() && !is_stdout {
        listed.notes.push("to the folder's ASC MHL history this list is a new file".into());
    }
    let name = format!("{}_{}.mhl", base_name(&root), at.strftime("%Y-%m-%d_%H%M%S"));
    write(door, &listed, &output, &name, "mhl")
}

/// Writes a list to a new file, `name` when `output` is a folder, and says where.
fn write(door: &Door, list: &Listed, output: &Path, name: &str, key: &str) -> anyhow::Result<Exit> {
    if output == Path::new("-") {
        door.out.document(&String::from_utf8_lossy(&list.bytes));
        return Ok(Exit::of_code(list.exit_code()));
    }
    let path = if output.is_dir() { output.join(name) } else { output.to_path_buf() };
    let (root, name) = place(&path)?;
    if root.path().components().any(|c| c.as_os_str() == mhl::FOLDER) {
        return Err(Failure::usage("nothing but a history's own files may lie in its folder").into());
    }
    write_whole(&root, &name, &list.bytes, Replace::Never).map_err(|e| {
        let failure = Failure::new(format!("cannot write \"{}\": {e}", path.display()));
        failure.hint("name a new file in a writable folder")
    })?;
    let full = name.under(root.path());
    let lists = [("altered", &list.altered), ("unreadable", &list.unreadable), ("missing", &list.missing)];
    let mut object = serde_json::to_value(list)?;
    object[key] = json!(full.to_string_lossy());
    door.out.object(&object)?;
    if !door.global.quiet {
        list.notes.iter().for_each(|text| complain(text));
    }
    for (what, paths) in lists {
        paths.iter().for_each(|p| door.out.line(format!("{what}, left out: {p}")));
    }
    door.out.line(format!("{}: {}", full.display(), count(list.files as u64, "file")));
    Ok(Exit::of_code(list.exit_code()))
}
