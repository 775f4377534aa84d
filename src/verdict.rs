//! Policy and evidence -> SAFE or NOT SAFE, with the reasons: one pure function, the only maker of [`Verdict`].
//!
//! It is computed each time it is shown and never stored. What is not known counts as bad: each fact must be there
//! and be good, on the copies that are needed, or the card is not safe (reliability.md 3).

use crate::clip::{CopyRootId, SourceKind};
use crate::copy::{CopyState, ReadBack};
use crate::evidence::{CopyEvidence, CopyRootEvidence, Doubt, Evidence, FileEvidence, Policy, Presence};
use crate::finding::FindingKind;
use crate::relpath::{RelPath, escape};
use jiff::Timestamp;
use std::collections::{BTreeMap, BTreeSet};

/// More kinds of trouble than this are counted, not told: a page of reasons is read by nobody at 2 a.m.
const TOLD: usize = 5;

/// Whether the card may be formatted, and why. Private fields: only [`judge`] can say so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    safe: bool,
    reasons: Vec<String>,
    policy_text: String,
    as_of: Timestamp,
    card_present: bool,
    line: String,
    copies: Vec<CopyVerdict>,
}

/// What the evidence says of one copy root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CopyVerdict {
    pub root: CopyRootId,
    /// Files of the card that have a row there, proven or not.
    pub files: u64,
    /// Of these: proven, by a read-back of a class that the policy counts, the row's own checksum intact.
    pub verified: u64,
    /// The weakest class among the proven ones; `None` when none is proven.
    pub read_back: Option<ReadBack>,
}

impl Verdict {
    pub fn safe(&self) -> bool {
        self.safe
    }

    /// Sentences for people. Not safe: what blocks comes first. Then relaxations in force, then what else was
    /// weighed: accepted warnings with their notes, places that count by an older look.
    pub fn reasons(&self) -> &[String] {
        &self.reasons
    }

    /// The policy that was applied, relaxations first.
    pub fn policy_text(&self) -> &str {
        &self.policy_text
    }

    /// The oldest observation of a place that was used.
    pub fn as_of(&self) -> Timestamp {
        self.as_of
    }

    pub fn card_present(&self) -> bool {
        self.card_present
    }

    /// The words on a terminal (cli.md).
    pub fn line(&self) -> &str {
        &self.line
    }

    /// In the order of the evidence's copy roots.
    pub fn copies(&self) -> &[CopyVerdict] {
        &self.copies
    }
}

/// Judges one card at one moment.
pub fn judge(policy: &Policy, e: &Evidence, now: Timestamp) -> Verdict {
    let rules = Rules::new(policy, e);
    let used = rules.choose_roots(e);
    let mut open = card_faults(&rules, e);
    open.extend(finding_faults(e));
    open.extend(e.hold.iter().map(|hold| format!("the job is on hold: {hold}")));
    if e.card.source_kind == SourceKind::Registered {
        // No number of copies or reads would make it safe: only what is wrong with the footage itself is told.
        open.extend(in_place_faults(&rules, e));
    } else {
        let lacking = copy_faults(&rules, e, &used);
        // Enough copies that were read again since are enough.
        open.extend(doubt_fault(&rules, e).filter(|_| !lacking.is_empty()));
        open.extend(source_faults(&rules, e));
        open.extend(lacking);
    }
    open.extend(warning_faults(e));
    if e.open_job {
        open.push("its job is not finished".into());
    }

    let safe = open.is_empty();
    let relaxations = rules.relaxations();
    let mut reasons = open;
    reasons.extend(relaxations.iter().map(|text| text.to_string()));
    reasons.extend(notes(e, &used));
    // Names from a card, a config or a person may hold anything; a reason is always one line.
    let reasons: Vec<String> = reasons.iter().map(|text| escape(text.as_bytes()).into_owned()).collect();

    let roll = escape(e.card.roll.as_bytes());
    let line = match (safe, e.card.source_kind) {
        (false, _) => format!("NOT SAFE: {}", reasons[0]),
        (true, SourceKind::Card) => format!("GOOD GATE: {roll} may be formatted"),
        (true, _) => {
            let copies = e.files.iter().map(|f| rules.count(f, &used)).min().unwrap_or(0);
            format!("GOOD GATE: folder {roll} proven on {copies} copies; the card itself was not read")
        }
    };
    Verdict {
        safe,
        reasons,
        policy_text: rules.text(),
        as_of: as_of(e, &used, now),
        card_present: matches!(e.card.presence, Presence::AsRecorded { here_now: true, .. } | Presence::Differs { .. }),
        line,
        copies: e.copy_roots.iter().map(|root| rules.copy_verdict(e, root)).collect(),
    }
}

/// The policy with the relaxations of config and offload together.
struct Rules<'a> {
    copies: usize,
    same_device: bool,
    accept_server: bool,
    no_source_reread: bool,
    card_disk: Option<&'a str>,
    doubt: Option<&'a Doubt>,
}

/// What makes two copies different: the disk, or on a one-disk station the folder.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Place<'a> {
    Disk(&'a str),
    Folder(CopyRootId),
}

impl<'a> Rules<'a> {
    fn new(policy: &Policy, e: &'a Evidence) -> Self {
        let (a, b) = (policy.relaxed, e.relaxed);
        Rules {
            // The config refuses fewer; so does the function that matters.
            copies: policy.copies.max(2) as usize,
            same_device: a.same_device || b.same_device,
            accept_server: a.accept_server || b.accept_server,
            no_source_reread: a.no_source_reread || b.no_source_reread,
            card_disk: e.card.disk.id.as_deref(),
            doubt: e.doubt.as_ref(),
        }
    }

    fn relaxations(&self) -> Vec<&'static str> {
        let all = [
            (self.same_device, "one-disk station: copies may share a disk, the card's too"),
            (self.accept_server, "network copies count: a server's cache may have answered their read-back"),
            (self.no_source_reread, "one read of the card is enough: no second read is asked for"),
        ];
        all.into_iter().filter(|(on, _)| *on).map(|(_, text)| text).collect()
    }

    fn text(&self) -> String {
        let n = self.copies;
        let mut parts: Vec<String> = self.relaxations().into_iter().map(String::from).collect();
        parts.push(match self.same_device {
            true => format!("{n} proven copies in {n} different folders"),
            false => format!("{n} proven copies on {n} different disks, none the card's"),
        });
        parts.push(
            if self.no_source_reread { "one full read of the card" } else { "two equal reads of the card" }.into(),
        );
        parts.push("every file accounted for".into());
        parts.push("no open warning".into());
        parts.join("; ")
    }

    /// Why nothing in this folder counts.
    fn root_fault(&self, root: &CopyRootEvidence) -> Option<&'static str> {
        match root.presence {
            Presence::Differs { .. } => return Some("it is not as recorded"),
            Presence::Never => return Some("it was never seen as recorded"),
            Presence::AsRecorded { .. } => {}
        }
        if root.on_card {
            return Some("it lies on the card itself");
        }
        if !root.sealed {
            return Some("no manifest is sealed there");
        }
        if self.same_device {
            return None;
        }
        match (root.disk.id.as_deref(), self.card_disk) {
            (None, _) => Some("its disk is not known, so it may be one that holds the footage already"),
            (_, None) => Some("the card's disk is not known, so it may be the same one"),
            (Some(a), Some(b)) if a == b => Some("it lies on the card's own disk"),
            _ => None,
        }
    }

    /// Why this file's copy does not count, whatever its folder.
    fn copy_fault(&self, copy: &CopyEvidence) -> Option<&'static str> {
        match copy.state {
            CopyState::Planned => return Some("not copied yet"),
            CopyState::Failed => return Some("the copy failed"),
            CopyState::Conflict => return Some("the name is taken by other bytes"),
            CopyState::Proven => {}
        }
        if !copy.row_intact {
            return Some("its record in the catalog is damaged");
        }
        if copy.proven_at.is_none() {
            return Some("the record does not say when it was proven");
        }
        if self.is_doubted(copy) {
            return Some("not read again since the catalog was put back");
        }
        match copy.read_back {
            ReadBack::Cache => Some("read back from memory only, not from the disk"),
            ReadBack::Server if !self.accept_server => Some("a network copy, read back through its server only"),
            _ => None,
        }
    }

    fn is_doubted(&self, copy: &CopyEvidence) -> bool {
        self.doubt.is_some_and(|doubt| copy.proven_at.is_none_or(|at| at <= doubt.at))
    }

    fn place(&self, root: &'a CopyRootEvidence) -> Option<Place<'a>> {
        match self.same_device {
            true => Some(Place::Folder(root.id)),
            false => root.disk.id.as_deref().map(Place::Disk),
        }
    }

    /// Different places, among `roots`, where this file is proven.
    fn count(&self, file: &FileEvidence, roots: &[&'a CopyRootEvidence]) -> usize {
        let good = roots.iter().filter(|root| self.fault_here(file, root).is_none());
        good.filter_map(|root| self.place(root)).collect::<BTreeSet<_>>().len()
    }

    fn fault_here(&self, file: &FileEvidence, root: &CopyRootEvidence) -> Option<&'static str> {
        let mut rows = file.copies.iter().filter(|c| c.root == root.id).peekable();
        if rows.peek().is_none() {
            return Some("no copy there");
        }
        rows.find_map(|copy| self.copy_fault(copy))
    }

    /// The copy roots to judge by: those that are here, then as many of the gone ones, last seen first, as the policy
    /// still needs. So `as_of` moves back only when it must.
    fn choose_roots(&self, e: &'a Evidence) -> Vec<&'a CopyRootEvidence> {
        let mut usable: Vec<&CopyRootEvidence> = e.copy_roots.iter().filter(|r| self.root_fault(r).is_none()).collect();
        usable.sort_by_key(|r| std::cmp::Reverse(last_seen(&r.presence)));
        let here = usable.iter().filter(|r| is_here(&r.presence)).count();
        let enough = |n: &usize| e.files.iter().all(|f| self.count(f, &usable[..*n]) >= self.copies);
        let n = (here..usable.len()).find(enough).unwrap_or(usable.len());
        usable.truncate(n);
        usable
    }

    fn copy_verdict(&self, e: &Evidence, root: &CopyRootEvidence) -> CopyVerdict {
        let mut out = CopyVerdict { root: root.id, files: 0, verified: 0, read_back: None };
        for file in &e.files {
            let Some(copy) = file.copies.iter().find(|c| c.root == root.id) else { continue };
            out.files += 1;
            out.verified += u64::from(self.fault_here(file, root).is_none());
            if copy.state == CopyState::Proven {
                out.read_back = Some(out.read_back.map_or(copy.read_back, |weakest| weakest.min(copy.read_back)));
            }
        }
        out
    }
}

fn is_here(presence: &Presence) -> bool {
    matches!(presence, Presence::AsRecorded { here_now: true, .. })
}

/// Orders places: here before gone, the newest look first.
fn last_seen(presence: &Presence) -> (bool, Option<Timestamp>) {
    let at = match presence {
        Presence::AsRecorded { at, .. } | Presence::Differs { at, .. } => Some(*at),
        Presence::Never => None,
    };
    (is_here(presence), at)
}

fn as_of(e: &Evidence, used: &[&CopyRootEvidence], now: Timestamp) -> Timestamp {
    let differing = e.copy_roots.iter().filter(|r| matches!(r.presence, Presence::Differs { .. }));
    let places = used.iter().copied().chain(differing).map(|r| &r.presence).chain([&e.card.presence]);
    places.filter_map(|p| last_seen(p).1).chain([now]).min().unwrap_or(now)
}

fn noun(e: &Evidence) -> &'static str {
    if e.card.source_kind == SourceKind::Card { "card" } else { "folder" }
}

fn day(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M UTC").to_string()
}

fn card_faults(rules: &Rules, e: &Evidence) -> Vec<String> {
    let mut out = Vec::new();
    let noun = noun(e);
    if e.card.source_kind == SourceKind::Registered {
        out.push("registered where it lies: no card was read".into());
    }
    if !e.catalog_sound {
        out.push("the catalog is damaged, so nothing it says can be relied on".into());
    }
    let broken = |f: &&FileEvidence| !f.row_intact || f.copies.iter().any(|c| !c.row_intact);
    out.extend(files_fault(
        e.files.iter().filter(broken),
        ["record in the catalog fails its own checksum", "records in the catalog fail their own checksums"],
    ));
    match &e.card.presence {
        Presence::AsRecorded { .. } => {}
        Presence::Differs { what, .. } => {
            out.push(format!("the {noun} is not as it was read: {}", told(what)));
        }
        Presence::Never => out.push(format!("the {noun} was never seen as recorded")),
    }
    if !e.card.listed_twice_equal {
        out.push(format!("the {noun} was not listed twice with the same result, before and after it was read"));
    }
    if e.files.is_empty() {
        out.push(format!("no file was found on the {noun}"));
    }
    for root in &e.copy_roots {
        if let Presence::Differs { what, .. } = &root.presence {
            out.push(format!("the copy in \"{}\" is not as recorded: {}", root.destination, told(what)));
        }
    }
    let is_card = e.card.source_kind != SourceKind::Registered;
    if is_card && !rules.same_device && rules.card_disk.is_none() && !e.files.is_empty() {
        out.push(format!("the disk below the {noun} is not known, so no copy is known to be on another one"));
    }
    out
}

/// Bytes that lie beside the footage harm nothing: extra files alone do not block.
fn finding_faults(e: &Evidence) -> Vec<String> {
    let mut out = Vec::new();
    for kind in FindingKind::ALL.into_iter().filter(|k| *k != FindingKind::Extra) {
        let mut found = e.findings.iter().filter(|f| f.kind == kind);
        let Some(first) = found.next() else { continue };
        let more = found.count();
        let first = format!("\"{}\" in {}", first.relpath, first.copy);
        out.push(match more {
            0 => format!("1 open finding: {} {first}", kind.name()),
            more => format!("{} open findings: {}, first {first}", more + 1, kind.name()),
        });
    }
    out
}

fn source_faults(rules: &Rules, e: &Evidence) -> Vec<String> {
    let noun = noun(e);
    let reads = if rules.no_source_reread { 1 } else { 2 };
    let unstable = e.files.iter().filter(|f| f.unstable);
    let unread = e.files.iter().filter(|f| f.equal_reads == 0);
    let once = e.files.iter().filter(|f| f.equal_reads > 0 && f.equal_reads < reads);
    let gave_other = format!("gave other bytes when the {noun} was read again");
    let twice = match &e.card.only_cached {
        Some(fs_type) => format!("read from the {noun} once only: on {fs_type} memory may answer a second read"),
        None => format!("read from the {noun} once only, with no second read to compare"),
    };
    let whole = format!("never read whole from the {noun}");
    [
        files_fault(unstable, [&format!("file {gave_other}"), &format!("files {gave_other}")]),
        files_fault(unread, [&format!("file was {whole}"), &format!("files were {whole}")]),
        files_fault(once, [&format!("file was {twice}"), &format!("files were {twice}")]),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// The catalog was put back, and a copy of this card was not read again since.
fn doubt_fault(rules: &Rules, e: &Evidence) -> Option<String> {
    let doubted = |c: &CopyEvidence| c.state == CopyState::Proven && rules.is_doubted(c);
    let doubt = rules.doubt.filter(|_| e.files.iter().any(|f| f.copies.iter().any(doubted)))?;
    Some(format!(
        "{}; what was proven before counts again when it was read again: goodgate verify {}",
        doubt.why, e.card.roll
    ))
}

/// Of footage that is registered where it lies.
fn in_place_faults(rules: &Rules, e: &Evidence) -> Vec<String> {
    let noun = noun(e);
    let unread = e.files.iter().filter(|f| f.equal_reads == 0);
    let was = format!("never read whole in the {noun}, or was not what was recorded of it");
    let were = format!("never read whole in the {noun}, or were not what was recorded of them");
    let mut out: Vec<String> = doubt_fault(rules, e).into_iter().collect();
    out.extend(files_fault(unread, [&format!("file was {was}"), &format!("files were {were}")]));
    for (class, by) in
        [(ReadBack::Cache, "from memory only, not from the disk"), (ReadBack::Server, "through its server only")]
    {
        let weak = |f: &&FileEvidence| f.copies.iter().any(|c| c.state == CopyState::Proven && c.read_back == class);
        let (one, many) = (format!("file was read {by}"), format!("files were read {by}"));
        out.extend(files_fault(e.files.iter().filter(weak), [&one, &many]));
    }
    if e.copy_roots.iter().any(|root| !root.sealed) {
        out.push("no manifest is sealed beside it".into());
    }
    out
}

/// Files that lack copies, gathered by what is wrong with them.
fn copy_faults<'a>(rules: &Rules<'a>, e: &'a Evidence, used: &[&'a CopyRootEvidence]) -> Vec<String> {
    let mut kinds: BTreeMap<String, (usize, &RelPath)> = BTreeMap::new();
    for file in &e.files {
        let proven = rules.count(file, used);
        if proven < rules.copies {
            let why = format!("proven on {proven} of {} copies needed{}", rules.copies, lacking(rules, e, file));
            kinds.entry(why).or_insert((0, &file.relpath)).0 += 1;
        }
    }
    let mut kinds: Vec<_> = kinds.into_iter().collect();
    kinds.sort_by_key(|(_, (n, _))| std::cmp::Reverse(*n));
    let rest: usize = kinds.iter().skip(TOLD).map(|(_, (n, _))| n).sum();
    let mut out: Vec<String> = Vec::new();
    for (why, (n, first)) in kinds.into_iter().take(TOLD) {
        out.push(match n {
            1 => format!("\"{first}\" is {why}"),
            n => format!("{n} files are not proven on {} copies, first \"{first}\": {why}", rules.copies),
        });
    }
    if rest > 0 {
        out.push(format!("{rest} more files are not proven on {} copies", rules.copies));
    }
    out
}

/// What is wrong with each copy of `file` that does not count.
fn lacking<'a>(rules: &Rules<'a>, e: &'a Evidence, file: &FileEvidence) -> String {
    let mut places: BTreeMap<Place, &str> = BTreeMap::new();
    let mut out = Vec::new();
    for root in &e.copy_roots {
        let fault = rules.root_fault(root).or_else(|| rules.fault_here(file, root)).map(String::from).or_else(|| {
            let other = places.get(&rules.place(root)?)?;
            Some(format!("on the same disk as \"{other}\""))
        });
        match fault {
            Some(fault) => out.push(format!("in \"{}\": {fault}", root.destination)),
            None => places.extend(rules.place(root).map(|p| (p, &root.destination[..]))),
        }
    }
    match out.is_empty() {
        true => ", and there is no other copy".into(),
        false => format!("; {}", told(&out)),
    }
}

fn warning_faults(e: &Evidence) -> Vec<String> {
    let open: Vec<_> = e.warnings.iter().filter(|w| w.accepted.as_ref().is_none_or(|n| n.trim().is_empty())).collect();
    let mut out: Vec<String> =
        open.iter().take(TOLD).map(|w| format!("open warning {}: {}", w.warning.id, w.warning.text)).collect();
    if open.len() > TOLD {
        out.push(format!("{} more warnings are open", open.len() - TOLD));
    }
    out
}

/// What was weighed and does not block.
fn notes(e: &Evidence, used: &[&CopyRootEvidence]) -> Vec<String> {
    let mut out = Vec::new();
    if let Presence::AsRecorded { at, here_now: false } = e.card.presence {
        out.push(format!(
            "the {} is not here: it counts as last seen on {}; what was recorded on it since is not covered",
            noun(e),
            day(at)
        ));
    }
    for root in used {
        if let Presence::AsRecorded { at, here_now: false } = root.presence {
            out.push(format!(
                "the copy in \"{}\" is not here: it counts as last seen on {}",
                root.destination,
                day(at)
            ));
        }
    }
    out.extend(e.source_checks.iter().cloned());
    for w in &e.warnings {
        if let Some(note) = w.accepted.as_ref().filter(|n| !n.trim().is_empty()) {
            out.push(format!("accepted warning {}: {} (note: {note})", w.warning.id, w.warning.text));
        }
    }
    let extra = e.findings.iter().filter(|f| f.kind == FindingKind::Extra).count();
    if extra > 0 {
        out.push(format!("{extra} extra file{} beside the copies", if extra == 1 { " lies" } else { "s lie" }));
    }
    out
}

/// `3 files WHAT, first "CLIPS/A.MOV"`; `None` for no file.
fn files_fault<'a>(files: impl Iterator<Item = &'a FileEvidence>, what: [&str; 2]) -> Option<String> {
    let mut files = files.peekable();
    let first = files.peek()?.relpath.clone();
    Some(match files.count() {
        1 => format!("1 {}: \"{first}\"", what[0]),
        n => format!("{n} {}, first \"{first}\"", what[1]),
    })
}

fn told(items: &[String]) -> String {
    let mut text = items.iter().take(TOLD).map(String::as_str).collect::<Vec<_>>().join("; ");
    if items.len() > TOLD {
        text.push_str(&format!("; and {} more", items.len() - TOLD));
    }
    if text.is_empty() { "it is not said how".into() } else { text }
}

#[cfg(test)]
mod tests;
