//! The report of a pass as one page: for a browser, for paper, for the shelf. No script, nothing from elsewhere.

use super::CheckReport;
use crate::finding::{Finding, FindingKind};
use crate::ingest::Station;
use jiff::Timestamp;
use std::collections::BTreeMap;

/// More findings than these are counted and not listed: a page is read by people, and the JSON has them all.
pub(super) const LISTED: usize = 5000;
/// Of one finding.
const BLOCKS: usize = 32;
const TEXT_CHARS: usize = 600;

const STYLE: &str = "\
body{font:15px/1.45 system-ui,sans-serif;color:#111;background:#fff;max-width:75rem;margin:2rem auto;padding:0 1rem}\
h1{font-size:1.4rem;margin-bottom:.2rem}h2{font-size:1.1rem;margin-top:1.8rem}\
.verdict{font-size:1.2rem;font-weight:bold;border:2px solid #111;padding:.5rem .8rem}\
.good{border-color:#17692f;background:#eef8f0}.bad{border-color:#a11;background:#fdf0f0}\
.next{font-weight:bold}.wide{overflow-x:auto}table{border-collapse:collapse;width:100%}td{max-width:24rem}\
th,td{border:1px solid #999;padding:.25rem .5rem;text-align:left;\
vertical-align:top;overflow-wrap:break-word;unicode-bidi:isolate}th{background:#eee}td.n{white-space:nowrap}\
dt{font-weight:bold}dd{margin:0 0 .4rem 0;overflow-wrap:anywhere}footer{margin-top:2rem;font-size:.85rem}\
@media print{body{margin:0;max-width:none;font-size:10pt}.wide{overflow:visible}th,td{overflow-wrap:anywhere}\
thead{display:table-header-group}tr{break-inside:avoid}\
h2{break-after:avoid}}";

/// What nobody may read into it (shown on each report).
const NOT_CLAIMED: [&str; 7] = [
    "that the camera recorded well: what is proven is that the copies are what the card gave",
    "anything of files that the card's directory did not list",
    "anything of drives that say they stored what they did not: such a lie shows only after the drive was unplugged and read again",
    "the health of a disk after the date of this report",
    "anything against a malicious disk or kernel",
    "that memory never failed in the same way in two readings",
    "that a card may be formatted: only the card's own verdict says that, and goodgate never formats anything",
];

pub(super) fn page(report: &CheckReport, station: &Station, clips: &BTreeMap<String, String>) -> String {
    let mut page = Page(String::with_capacity(16_384 + 400 * report.findings.len().min(LISTED)));
    let (good, verdict) = verdict(report);
    page.raw("<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n");
    page.raw(
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n",
    );
    page.raw("<meta name=\"viewport\" content=\"width=device-width\">\n<title>");
    page.text(&format!("{verdict}: patrol of {}", station.hostname));
    page.raw("</title>\n<style>").raw(STYLE).raw("</style>\n</head>\n<body>\n<h1>Patrol report</h1>\n");
    page.raw("<p class=\"verdict ").raw(if good { "good" } else { "bad" }).raw("\">").text(verdict).raw("</p>\n<p>");
    page.text(&report.line()).raw("</p>\n");
    if let Some(step) = report.next_step() {
        page.raw("<p class=\"next\">Next: ").text(&step).raw(".</p>\n");
    }
    about(&mut page, report, station);
    findings(&mut page, &report.findings, clips);
    absent(&mut page, report);
    page.raw("<h2>What goodgate does not claim</h2>\n<ul>\n");
    for text in NOT_CLAIMED {
        page.raw("<li>").text(text).raw("</li>\n");
    }
    page.raw("</ul>\n<footer>").text(&format!("goodgate {} on {}", station.version, station.hostname));
    page.raw("</footer>\n</body>\n</html>\n");
    page.0
}

/// Whether that is good news, and the news in words.
fn verdict(report: &CheckReport) -> (bool, &'static str) {
    match report.exit_code() {
        _ if report.already_running => (true, "NOTHING WAS DONE: another patrol was at work"),
        10..=12 => (false, "DAMAGE FOUND"),
        20 => (false, "COVERAGE IS NOT HELD"),
        0 if report.never_proven > 0 => (false, "SOME COPIES WERE NEVER PROVEN"),
        0 if report.absent.iter().any(|a| a.overdue) => (false, "VOLUMES ARE OVERDUE"),
        0 if report.complete => (true, "ALL GOOD: everything that was due is as it was recorded"),
        0 => (true, "ALL GOOD so far: what was read is as it was recorded, not everything that was due was read"),
        _ => (false, "NOT ALL COULD BE DONE"),
    }
}

fn about(page: &mut Page, report: &CheckReport, station: &Station) {
    let when = |at: Option<Timestamp>| at.map_or("not known".into(), |at| format!("{at:.0}"));
    page.raw("<h2>What was checked</h2>\n<dl>\n");
    page.fact("Begun", &when(report.began_at)).fact("Ended", &when(report.ended_at));
    page.fact("Program", &format!("goodgate {}", station.version)).fact("Station", &station.hostname);
    if let Some(catalog) = &station.config.catalog {
        page.fact("Catalog", &catalog.display().to_string());
    }
    let checked = format!("{} ({} bytes), {} good", copies(report.files), report.bytes, report.good);
    page.fact("Copies read again", &checked);
    if report.accepted > 0 {
        page.fact("Changed on purpose", &copies(report.accepted));
    }
    if report.never_proven > 0 {
        page.fact("Never proven", &copies(report.never_proven));
    }
    page.fact(
        "Everything that was due",
        if report.complete { "was read" } else { "was not read; the next pass goes on" },
    );
    page.fact("Oldest proof of all copies", &report.oldest_proof.map_or("none".into(), |at| format!("{at:.0}")));
    if let Some(coverage) = &report.coverage {
        page.fact("Coverage", &coverage.text);
    }
    for s in &report.sealed {
        page.fact("Sealed", &format!("generation {} of {}", s.generation, s.copy));
    }
    for text in &report.unsealed {
        page.fact("Not sealed", text);
    }
    page.raw("</dl>\n");
}

fn findings(page: &mut Page, all: &[Finding], clips: &BTreeMap<String, String>) {
    page.raw("<h2>Findings</h2>\n");
    if all.is_empty() {
        page.raw("<p>None.</p>\n");
        return;
    }
    let count = |kind: FindingKind| (kind.name(), all.iter().filter(|f| f.kind == kind).count());
    let counts: Vec<String> =
        FindingKind::ALL.map(count).iter().filter(|(_, n)| *n > 0).map(|(name, n)| format!("{n} {name}")).collect();
    page.raw("<p>").text(&counts.join(", "));
    if all.len() > LISTED {
        let left = all.len() - LISTED;
        page.text(&format!(
            "; the first {LISTED} are listed, {left} more are in the report as JSON and in the catalog"
        ));
    }
    page.raw(".</p>\n<div class=\"wide\"><table>\n<thead><tr>");
    for head in ["Kind", "Clip", "File", "Copy", "Timecode", "Damaged bytes (offset+length)", "Note"] {
        page.raw("<th>").raw(head).raw("</th>");
    }
    page.raw("</tr></thead>\n<tbody>\n");
    for f in all.iter().take(LISTED) {
        let clip = f.clip.as_ref().map(|id| clips.get(id).unwrap_or(id));
        page.raw("<tr><td class=\"n\">").raw(f.kind.name()).raw("</td>");
        page.cell(clip.map_or("", |c| c))
            .cell(&f.relpath.text())
            .cell(&f.copy)
            .cell(f.timecode.as_deref().unwrap_or(""));
        let spans: Vec<String> = f.blocks.iter().take(BLOCKS).map(|(o, l)| format!("{o}+{l}")).collect();
        let more = f.blocks.len().saturating_sub(BLOCKS);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        let edited = if f.mtime_changed { "its time of change is another one" } else { "" };
        let gap = if edited.is_empty() || f.note.is_empty() { "" } else { "; " };
        page.cell(&format!("{}{more}", spans.join(", "))).cell(&format!("{}{gap}{edited}", f.note)).raw("</tr>\n");
    }
    page.raw("</tbody>\n</table></div>\n");
}

fn absent(page: &mut Page, report: &CheckReport) {
    page.raw("<h2>Volumes that are not mounted</h2>\n");
    if report.absent.is_empty() {
        page.raw("<p>None that anything is due on.</p>\n");
        return;
    }
    page.raw("<div class=\"wide\"><table>\n<thead><tr><th>Volume</th><th>Last at</th><th>Copies</th><th>Not proven since</th>");
    page.raw("<th>Overdue</th></tr></thead>\n<tbody>\n");
    for a in &report.absent {
        let since = a.last_proof.map_or("never proven".into(), |at| format!("{at:.0}"));
        page.raw("<tr>").cell(&a.volume).cell(&a.last_mount).cell(&a.files.to_string()).cell(&since);
        page.cell(if a.overdue { "OVERDUE" } else { "no" }).raw("</tr>\n");
    }
    page.raw("</tbody>\n</table></div>\n");
}

fn copies(n: u64) -> String {
    if n == 1 { "1 copy".into() } else { format!("{n} copies") }
}

struct Page(String);

impl Page {
    /// Our own markup.
    fn raw(&mut self, text: &str) -> &mut Self {
        self.0.push_str(text);
        self
    }

    /// Anything: names come from cards, and may hold tags, quotes, or marks that turn a line around.
    fn text(&mut self, text: &str) -> &mut Self {
        for c in text.chars() {
            match c {
                '&' => self.0.push_str("&amp;"),
                '<' => self.0.push_str("&lt;"),
                '>' => self.0.push_str("&gt;"),
                '"' => self.0.push_str("&quot;"),
                '\'' => self.0.push_str("&#39;"),
                c if is_unseen(c) => self.0.push_str(&format!("\\u{{{:x}}}", u32::from(c))),
                c => self.0.push(c),
            }
        }
        self
    }

    fn cell(&mut self, text: &str) -> &mut Self {
        self.raw("<td>");
        match text.char_indices().nth(TEXT_CHARS) {
            Some((end, _)) => self.text(&text[..end]).text(" ..."),
            None => self.text(text),
        };
        self.raw("</td>")
    }

    fn fact(&mut self, name: &str, text: &str) -> &mut Self {
        self.raw("<dt>").text(name).raw("</dt><dd>").text(text).raw("</dd>\n")
    }
}

/// Control characters, and those that are not seen but change what is: marks of direction, joiners, tags.
fn is_unseen(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::patrol::{Absent, Coverage};
    use crate::relpath::RelPath;
    use std::path::Path;

    fn station() -> Station {
        let (state, version) = ("/s".into(), "9.9.9");
        Station { config: Config::default(), state, hostname: "cart-1 <b>".into(), version }
    }

    fn found(name: &str, note: &str) -> Finding {
        let mut f = Finding::new(FindingKind::Altered, Path::new("/mnt/a"), &RelPath::new(name).unwrap(), note);
        (f.blocks, f.timecode) = (vec![(1 << 20, 1 << 20)], Some("01:00:04:12-01:00:05:02".into()));
        f.clip = Some("id-1".into());
        f
    }

    #[test]
    fn what_names_hold_is_shown_and_never_becomes_markup() {
        let evil = "<script>alert(1)</script> \"'& \u{202e}gpj\u{1b}[31m\u{85}\u{2028}";
        let mut report = CheckReport { findings: vec![found(evil, evil)], ..CheckReport::default() };
        let (volume, last_mount) = (evil.to_owned(), evil.to_owned());
        report.absent.push(Absent { volume, last_mount, files: 3, last_proof: None, overdue: true });
        report.coverage = Some(Coverage { text: evil.into(), ..Coverage::default() });
        let clips = BTreeMap::from([("id-1".to_owned(), evil.to_owned())]);
        let text = page(&report, &station(), &clips);
        for tag in ["<script", "<b>"] {
            assert!(!text.contains(tag), "{tag}: {text}");
        }
        assert!(!text.chars().any(|c| is_unseen(c) && c != '\n'), "{text}");
        assert!(text.matches("&lt;script&gt;").count() >= 6 && text.contains("\\u{202e}gpj"), "{text}");
        assert!(text.contains("&quot;&#39;&amp;"));
    }

    #[test]
    fn all_that_is_known_stands_on_it_and_the_verdict_stands_first() {
        let at: Timestamp = "2026-01-02T03:04:05Z".parse().unwrap();
        let mut report = CheckReport { findings: vec![found("CLIPS/x.mov", "")], ..CheckReport::default() };
        (report.files, report.bytes, report.good, report.began_at, report.ended_at) = (7, 99, 6, Some(at), Some(at));
        report.oldest_proof = Some("2025-12-31T00:00:00Z".parse().unwrap());
        let (volume, last_mount) = ("SHUTTLE_07".to_owned(), "/mnt/x".to_owned());
        report.absent.push(Absent { volume, last_mount, files: 120, last_proof: Some(at), overdue: true });
        report.coverage = Some(Coverage { text: "each 9 days".into(), ..Coverage::default() });
        let text = page(&report, &station(), &BTreeMap::from([("id-1".into(), "A001C001".into())]));
        for part in [
            "9.9.9",
            "cart-1",
            "7 copies (99 bytes), 6 good",
            "2026-01-02T03:04:05Z",
            "2025-12-31T00:00:00Z",
            "altered",
            "A001C001",
            "CLIPS/x.mov",
            "/mnt/a",
            "1048576+1048576",
            "01:00:04:12-01:00:05:02",
            "SHUTTLE_07",
            "OVERDUE",
            "each 9 days",
            "does not claim",
            "goodgate repair &quot;/mnt/a&quot; --dry-run",
            "camera recorded well",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
        let place = |part: &str| text.find(part).unwrap();
        assert!(place("DAMAGE FOUND</p>") < place("What was checked") && place("<body>") < place("DAMAGE FOUND</p>"));
        for out in ["http://", "https://", "src=", "url(", "<link", "@import"] {
            assert!(!text.contains(out), "{out}");
        }
    }

    #[test]
    fn the_verdict_is_said_in_words() {
        let of = |report: &CheckReport| verdict(report);
        let good = CheckReport { complete: true, ..CheckReport::default() };
        assert!(of(&good).0 && of(&good).1.starts_with("ALL GOOD:"));
        assert!(of(&CheckReport::default()).1.contains("not everything"));
        let lost = CheckReport { coverage_lost: true, ..good.clone() };
        assert_eq!(of(&lost), (false, "COVERAGE IS NOT HELD"));
        let unsealed = CheckReport { unsealed: vec!["x".into()], ..good };
        assert!(!of(&unsealed).0);
    }

    #[test]
    fn a_list_without_end_is_cut_and_counted() {
        let mut one = found("x", &"n".repeat(5000));
        one.blocks = (0..100_000).map(|n| (n << 21, 1 << 20)).collect();
        let mut findings = vec![one];
        findings.extend((1..100_000).map(|n| found(&format!("f{n}"), "")));
        let report = CheckReport { findings, ..CheckReport::default() };
        let begun = std::time::Instant::now();
        let text = page(&report, &station(), &BTreeMap::new());
        assert!(text.len() < 4 << 20, "{}", text.len());
        assert!(text.contains("100000 altered; the first 5000 are listed, 95000 more") && text.contains("99968 more"));
        assert_eq!(text.matches("<tr><td").count(), LISTED);
        assert!(begun.elapsed().as_secs() < 10, "{:?}", begun.elapsed());
    }
}
