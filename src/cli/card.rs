//! A card's standing, as `offload`, `status` and `accept` show it.

use super::door::Door;
use super::print::{complain, count};
use super::report::Exit;
use goodgate::ingest::Standing;
use goodgate::offload::plan::human;

/// The object, or its words; `line`: the verdict is not on the screen yet.
pub fn print(door: &Door, standing: &Standing, line: bool) -> anyhow::Result<()> {
    let out = &door.out;
    out.object(&standing.report)?;
    let r = &standing.report;
    if let Some(text) = &r.unfinished {
        complain(&format!("{text}; make room or name another [media] root, then the same command continues"));
    }
    if line {
        out.verdict(r.safe, &standing.line);
    }
    let clips = count(r.clips as u64, "clip");
    out.line(format!(
        "roll {} ({}, {}): {}, {}, {clips}; {} {}",
        r.roll,
        if r.registered { "registered" } else { r.source_kind },
        r.layout,
        count(r.files, "file"),
        human(r.bytes),
        if r.registered { "folder" } else { "card" },
        if r.card_present { "present" } else { "not present" }
    ));
    out.line(format!("policy: {}", r.policy));
    out.line(format!("as of {}, card id {}", r.as_of, r.card));
    if let Some(step) = &r.step {
        out.line(match &r.hold {
            Some(hold) => format!("on hold at {step}: {hold}"),
            None => format!("still to do: {step}"),
        });
    }
    for reason in &r.reasons {
        out.line(format!("reason: {reason}"));
    }
    for c in &r.copies {
        let absent = if c.present { "" } else { ", not here now" };
        let seal = if c.sealed { "sealed" } else { "not sealed" };
        let note = c.note.as_ref().map(|n| format!(" ({n})")).unwrap_or_default();
        let proof = c.read_back.name();
        let (path, files, disk) = (&c.path, count(c.files, "file"), &c.disk);
        out.line(format!("copy {path}: {} of {files} proven ({proof}), {seal}, disk {disk}{absent}{note}", c.verified));
    }
    for w in &r.warnings {
        if w.accepted {
            out.line(format!("accepted: {}: {}", w.text, w.note.as_deref().unwrap_or_default()));
        } else {
            out.line(format!("warning: {}", w.text));
            out.line(format!("  to accept it: {}", accept_with(&r.roll, &w.id)));
        }
    }
    for finding in &r.findings {
        out.line(finding.line());
    }
    if !r.skipped.is_empty() {
        let names: Vec<String> = r.skipped.iter().take(5).map(ToString::to_string).collect();
        let more = if r.skipped.len() > 5 { ", ..." } else { "" };
        out.line(format!("left out: {} of OS junk: {}{more}", count(r.skipped.len() as u64, "file"), names.join(", ")));
    }
    Ok(())
}

pub fn exit(standing: &Standing) -> Exit {
    if standing.report.safe { Exit::Good } else { Exit::NotSafe }
}

/// The command to type, whatever the id holds.
pub fn accept_with(roll: &str, id: &str) -> String {
    format!("goodgate accept {} {} --note 'who and why'", quoted(roll), quoted(id))
}

fn quoted(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-./:+,@%=".contains(c);
    if !text.is_empty() && text.chars().all(plain) && !text.starts_with('-') {
        return text.into();
    }
    format!("'{}'", text.replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_to_accept_can_be_typed_as_shown() {
        assert_eq!(
            accept_with("A001", "truncated:A/B.MOV"),
            "goodgate accept A001 truncated:A/B.MOV --note 'who and why'"
        );
        assert!(accept_with("A 1", "x:it's").contains(" 'A 1' 'x:it'\\''s' "));
    }
}
