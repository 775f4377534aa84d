//! Lists of ASC CDL corrections: `.cc`, `.ccc` and `.cdl` (the XML of ASC CDL 1.2 and 1.01), the comments of an EDL
//! (`* ASC_SOP`, `* ASC_SAT`), and the columns of an ALE. Which correction is whose is told by names.

use super::xml::{self, Element, Limits};
use super::{ale, wording};
use crate::fact::Field;
use crate::preset::look::{Cdl, triple};

pub const MAX_BYTES: usize = 16 << 20;
/// A list is of a day, not of a year.
const MAX_CORRECTIONS: usize = 20_000;
/// The start of a clip's name that EDLs have room for.
const SHORT_NAME: usize = 8;

#[derive(Clone, Debug, PartialEq)]
pub struct Corrections {
    pub all: Vec<Correction>,
    /// It is for whatever clip: a `.cc`, or a `.cdl` with one correction.
    pub for_all: bool,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Correction {
    /// Of the clip: ids and names, without file endings.
    pub names: Vec<String>,
    pub reel: Option<String>,
    pub cdl: Cdl,
}

/// What a list says of one clip.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Found {
    One(Cdl),
    None,
    /// Several that differ, and nothing says which.
    Several,
}

/// The list, or in words why there is none. `extension` is one of [`CDL_FILES`](crate::preset::look::CDL_FILES).
pub fn parse(extension: &str, bytes: &[u8]) -> Result<Corrections, String> {
    if bytes.len() > MAX_BYTES {
        return Err(format!("it has more than {MAX_BYTES} bytes"));
    }
    let all = match extension {
        "ale" => sheet(bytes)?,
        "edl" => edl(bytes)?,
        _ => document(bytes)?,
    };
    if all.is_empty() {
        return Err("no correction in it".into());
    }
    if all.len() > MAX_CORRECTIONS {
        return Err(format!("more than {MAX_CORRECTIONS} corrections in it"));
    }
    let for_all = matches!(extension, "cc" | "cdl") && all.len() == 1;
    Ok(Corrections { all, for_all })
}

impl Corrections {
    /// By the clip's names, then by what an EDL has room for of them, then by the reel where all of it agree.
    pub fn of(&self, names: &[&str], reel: Option<&str>) -> Found {
        if let (true, [only]) = (self.for_all, &self.all[..]) {
            return Found::One(only.cdl);
        }
        let names: Vec<&str> = names.iter().map(|n| stem(n)).collect();
        let exact = |id: &str| names.iter().any(|n| n.eq_ignore_ascii_case(id));
        let short = |id: &str| id.len() >= SHORT_NAME && names.iter().any(|n| begins(n, id));
        let named = |is: &dyn Fn(&str) -> bool| agreed(self.all.iter().filter(|c| c.names.iter().any(|id| is(id))));
        let of_reel = || {
            let same = |c: &&Correction| c.reel.as_deref().zip(reel).is_some_and(|(a, b)| a.eq_ignore_ascii_case(b));
            agreed(self.all.iter().filter(same))
        };
        match (named(&exact), named(&short)) {
            (Found::None, Found::None) => of_reel(),
            (Found::None, by_start) => by_start,
            (by_name, _) => by_name,
        }
    }
}

fn agreed<'a>(mut all: impl Iterator<Item = &'a Correction>) -> Found {
    let Some(first) = all.next() else { return Found::None };
    if all.all(|c| c.cdl == first.cdl) { Found::One(first.cdl) } else { Found::Several }
}

/// Whether `name` is `id` and more behind a sign: `A001C001` of `A001C001_180327_R1ZA`.
fn begins(name: &str, id: &str) -> bool {
    let head = name.get(..id.len()).is_some_and(|h| h.eq_ignore_ascii_case(id));
    head && name[id.len()..].starts_with(['_', '-', '.', ' '])
}

/// A file's name without its folders and its ending.
fn stem(name: &str) -> &str {
    let name = name.trim().rsplit(['/', '\\']).next().unwrap_or_default();
    match name.rsplit_once('.') {
        Some((stem, end)) if !stem.is_empty() && end.len() <= 4 && !end.contains(' ') => stem,
        _ => name,
    }
}

fn document(bytes: &[u8]) -> Result<Vec<Correction>, String> {
    let root = xml::parse_any(bytes, Limits::of_bytes(MAX_BYTES as u64)).map_err(|e| e.to_string())?;
    let mut out = Vec::new();
    if !matches!(root.name.as_str(), "ColorCorrection" | "ColorCorrectionCollection" | "ColorDecisionList") {
        return Err(format!("\"{}\" is no list of corrections", root.name));
    }
    collect(&root, &[], &mut out)?;
    Ok(out)
}

/// Of all corrections below `element`; `media` are the names that a decision gives them.
fn collect(element: &Element, media: &[String], out: &mut Vec<Correction>) -> Result<(), String> {
    if element.name == "ColorCorrection" {
        let id = element.attribute("id").map(stem).filter(|id| !id.is_empty()).map(str::to_owned);
        let cdl = correction(element).map_err(|why| match &id {
            Some(id) => format!("correction \"{id}\": {why}"),
            None => why,
        })?;
        out.push(Correction { names: id.into_iter().chain(media.iter().cloned()).collect(), reel: None, cdl });
        return Ok(());
    }
    let refs = element.children.iter().filter(|c| c.name == "MediaRef").filter_map(|c| c.attribute("ref"));
    let media: Vec<String> = refs.map(|r| stem(r).to_owned()).collect();
    element.children.iter().try_for_each(|child| collect(child, &media, out))
}

fn correction(element: &Element) -> Result<Cdl, String> {
    let node = |names: [&str; 2]| element.children.iter().find(|c| names.contains(&c.name.as_str()));
    let (sop, sat) = (node(["SOPNode", "SOPNODE"]), node(["SatNode", "SATNode"]));
    if sop.is_none() && sat.is_none() {
        return Err("neither SOPNode nor SatNode in it".into());
    }
    let mut cdl = Cdl::NEUTRAL;
    for (name, to) in [("Slope", &mut cdl.slope), ("Offset", &mut cdl.offset), ("Power", &mut cdl.power)] {
        if let Some(said) = sop.and_then(|s| s.local(name)) {
            *to = triple(&said.text).ok_or_else(|| format!("{name} is not three numbers"))?;
        }
    }
    if let Some(said) = sat.and_then(|s| s.local("Saturation")) {
        let number = said.text.trim().parse().ok().filter(|v: &f64| v.is_finite());
        cdl.saturation = number.ok_or("Saturation is not a number")?;
    }
    match cdl.problem() {
        Some(problem) => Err(problem.into()),
        None => Ok(cdl),
    }
}

/// CMX 3600: a line that begins with a number is an event, with its reel; the comments behind it belong to it.
fn edl(bytes: &[u8]) -> Result<Vec<Correction>, String> {
    let text = wording::text(bytes, MAX_BYTES).unwrap_or_default();
    let mut out = Vec::new();
    let mut event: Option<Event> = None;
    let mut events = 0;
    for line in text.split(['\n', '\r']).map(str::trim) {
        let mut words = line.split_whitespace();
        let number = words.next().is_some_and(|w| w.len() >= 3 && w.bytes().all(|b| b.is_ascii_digit()));
        if let Some(reel) = words.next().filter(|_| number) {
            out.extend(event.take().and_then(Event::correction));
            event = Some(Event { reel: reel.to_owned(), ..Event::default() });
            events += 1;
        } else if let Some(said) = line.strip_prefix('*')
            && let Some(event) = &mut event
        {
            event.note(said.trim());
        }
    }
    if events == 0 {
        return Err("no event in it: not an EDL".into());
    }
    // Without the end of its line the last number may be cut.
    let cut = !text.ends_with(['\n', '\r']) && text.lines().last().is_some_and(|l| l.contains("ASC_"));
    out.extend(event.filter(|_| !cut).and_then(Event::correction));
    Ok(out)
}

#[derive(Default)]
struct Event {
    reel: String,
    names: Vec<String>,
    sop: Option<String>,
    sat: Option<String>,
}

impl Event {
    fn note(&mut self, said: &str) {
        let after = |key: &str| {
            let head = said.get(..key.len()).filter(|h| h.eq_ignore_ascii_case(key))?;
            Some(said[head.len()..].trim_start_matches([':', ' ', '\t']).trim().to_owned())
        };
        for key in ["FROM CLIP NAME", "SOURCE FILE", "CLIP NAME", "LOC CLIP NAME"] {
            self.names.extend(after(key).map(|n| stem(&n).to_owned()).filter(|n| !n.is_empty()));
        }
        self.sop = after("ASC_SOP").or(self.sop.take());
        self.sat = after("ASC_SAT").or(self.sat.take());
    }

    /// `None` also for what no correction may say.
    fn correction(self) -> Option<Correction> {
        let told = self.sop.is_some() || self.sat.is_some();
        let cdl = Cdl::parse(self.sop.as_deref(), self.sat.as_deref()).filter(|_| told)?;
        Some(Correction { names: self.names, reel: Some(self.reel), cdl })
    }
}

/// A row without a correction that can be understood has none.
fn sheet(bytes: &[u8]) -> Result<Vec<Correction>, String> {
    let ale = ale::rows(bytes).ok_or("not an ALE")?;
    let row = |row: &Vec<(String, String)>| {
        let facts = ale::facts(row, ale.fps);
        let said = |field| facts.iter().find(|f| f.field == field).map(|f| f.value.as_str());
        let (sop, sat) = (said(Field::AscSop), said(Field::AscSat));
        let cdl = Cdl::parse(sop, sat).filter(|_| sop.is_some() || sat.is_some())?;
        let names = said(Field::ClipName).map(|n| stem(n).to_owned()).into_iter().collect();
        Some(Correction { names, reel: said(Field::Reel).map(str::to_owned), cdl })
    };
    Ok(ale.rows.iter().filter_map(row).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn cc(id: &str, slope: &str, sat: &str) -> String {
        format!(
            "<ColorCorrection id=\"{id}\"><SOPNode><Description>d</Description><Slope>{slope}</Slope>\
             <Offset>0 0 0</Offset><Power>1 1 1</Power></SOPNode><SatNode><Saturation>{sat}</Saturation></SatNode>\
             </ColorCorrection>"
        )
    }

    const NS: &str = "xmlns=\"urn:ASC:CDL:v1.2\"";

    fn slope(found: Found) -> f64 {
        match found {
            Found::One(cdl) => cdl.slope[0],
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn one_correction_is_for_every_clip_and_a_collection_is_by_id() {
        let one = parse("cc", cc("anything", "1.5 1 1", "0.5").as_bytes()).unwrap();
        assert_eq!(slope(one.of(&["A001C001"], None)), 1.5);
        assert_eq!(one.all[0].cdl.saturation, 0.5);
        let both = [cc("A001C001_180327_R1ZA", "1.1 1 1", "1"), cc("A001C002.mov", "1.2 1 1", "1")].concat();
        let text = format!("<ColorCorrectionCollection {NS}>{both}</ColorCorrectionCollection>");
        let ccc = parse("ccc", text.as_bytes()).unwrap();
        assert_eq!(slope(ccc.of(&["a001c001_180327_r1za"], None)), 1.1);
        assert_eq!(slope(ccc.of(&["A001C002.mxf"], None)), 1.2);
        assert_eq!(ccc.of(&["A001C003"], Some("A001")), Found::None);
        let single = format!("<ColorCorrectionCollection>{}</ColorCorrectionCollection>", cc("A", "1 1 1", "1"));
        assert_eq!(parse("ccc", single.as_bytes()).unwrap().of(&["B"], None), Found::None);
    }

    #[test]
    fn a_decision_list_is_by_the_media_it_names() {
        let decision = |media: &str, slope: &str| {
            format!("<ColorDecision><MediaRef ref=\"file:///x/{media}\"/>{}</ColorDecision>", cc("", slope, "1"))
        };
        let list = [decision("A001C001.mov", "1.1 1 1"), decision("A001C002.mov", "1.2 1 1")].concat();
        let cdl = parse("cdl", format!("<ColorDecisionList {NS}>{list}</ColorDecisionList>").as_bytes()).unwrap();
        assert!(!cdl.for_all);
        assert_eq!(slope(cdl.of(&["A001C002"], None)), 1.2);
        let one = format!("<ColorDecisionList>{}</ColorDecisionList>", decision("other.mov", "1.3 1 1"));
        assert_eq!(slope(parse("cdl", one.as_bytes()).unwrap().of(&["A001C001"], None)), 1.3);
    }

    const EDL: &str = "TITLE: day\r\nFCM: NON-DROP FRAME\r\n\r\n\
        001  A001C001 V     C        01:00:00:00 01:00:01:00 00:00:00:00 00:00:01:00\r\n\
        * FROM CLIP NAME: A001C001_180327_R1ZA.MOV\r\n* ASC_SOP (1.1 1 1)(0 0 0)(1 1 1)\r\n*ASC_SAT: 0.9\r\n\
        002  A001C002 V     C        01:00:00:00 01:00:01:00 00:00:01:00 00:00:02:00\r\n\
        * ASC_SOP (1.2 1 1)(0 0 0)(1 1 1)\r\n\
        003  A001C003 V     C        01:00:00:00 01:00:01:00 00:00:01:00 00:00:02:00\r\n\
        004  B001 V C 01:00:00:00 01:00:01:00 00:00:01:00 00:00:02:00\r\n* ASC_SAT 0.5\r\n\
        005  B001 V C 01:00:00:00 01:00:01:00 00:00:01:00 00:00:02:00\r\n* ASC_SAT 0.6\r\n";

    #[test]
    fn an_edl_is_by_clip_name_and_by_reel_where_the_reel_agrees() {
        let edl = parse("edl", EDL.as_bytes()).unwrap();
        assert_eq!(edl.all.len(), 4);
        assert_eq!(slope(edl.of(&["A001C001_180327_R1ZA"], None)), 1.1);
        assert_eq!(slope(edl.of(&["x"], Some("A001C002"))), 1.2);
        assert_eq!(edl.of(&["A001C003"], Some("A001C003")), Found::None);
        assert_eq!(edl.of(&["x"], Some("B001")), Found::Several);
        let Found::One(cdl) = edl.of(&["A001C001_180327_R1ZA"], None) else { panic!() };
        assert_eq!(cdl.saturation, 0.9);
    }

    #[test]
    fn edls_are_read_as_programs_write_them() {
        let Some(bytes) = crate::read::tests::told::sample("sidecars/edl/cdl.edl") else { return };
        // Its power of 0 is no correction, in none of the ways it is written.
        assert_eq!(parse("edl", &bytes).unwrap_err(), "no correction in it");
        let legal = String::from_utf8(bytes).unwrap().replace("(1.0 0.0 1.0)", "(1.0 0.5 1.0)");
        let edl = parse("edl", legal.as_bytes()).unwrap();
        assert!(edl.all.len() > 1, "{edl:?}");
        let Found::One(cdl) = edl.of(&["ZZ100_501.LAY3.01"], None) else { panic!("{edl:?}") };
        assert_eq!((cdl.slope, cdl.offset[1], cdl.power[1]), ([0.1, 0.2, 0.3], -0.0122, 0.5));
    }

    #[test]
    fn a_short_name_stands_for_the_clip_that_begins_with_it() {
        let text = format!("<ColorCorrectionCollection>{}</ColorCorrectionCollection>", cc("A001C001", "1.4 1 1", "1"));
        let ccc = parse("ccc", text.as_bytes()).unwrap();
        assert_eq!(slope(ccc.of(&["A001C001_180327_R1ZA"], None)), 1.4);
        assert_eq!(ccc.of(&["A001C0011"], None), Found::None);
    }

    #[test]
    fn an_ale_is_by_name() {
        let head = "Heading\nFIELD_DELIM\tTABS\nFPS\t24\n\nColumn\nName\tTape\tStart\tASC_SOP\tASC_SAT\n\nData\n";
        let rows = "A001C001\tA001\t01:00:00:00\t(1.1 1 1)(0 0 0)(1 1 1)\t0.8\nA001C002\tA001\t01:00:00:00\t\t\n";
        let ale = parse("ale", format!("{head}{rows}").as_bytes()).unwrap();
        assert_eq!((ale.all.len(), slope(ale.of(&["A001C001"], None))), (1, 1.1));
    }

    #[test]
    fn what_is_no_list_is_refused_in_words() {
        let refused = |kind: &str, text: &str| parse(kind, text.as_bytes()).unwrap_err();
        assert!(refused("cc", &cc("a", "1 1", "1")).contains("correction \"a\": Slope is not three numbers"));
        assert!(refused("cc", &cc("a", "-1 1 1", "1")).contains("never below 0"));
        assert!(refused("cc", &cc("a", "1 1 inf", "1")).contains("Slope"));
        assert!(refused("cc", &cc("a", "1 1 1", "x")).contains("Saturation"));
        assert!(refused("cc", "<ColorCorrection/>").contains("neither"));
        assert!(refused("ccc", "<html/>").contains("\"html\" is no list"));
        assert!(refused("ccc", "<ColorCorrectionCollection/>").contains("no correction"));
        assert!(refused("cdl", "<!DOCTYPE a><ColorDecisionList/>").contains("refused"));
        assert!(refused("edl", "hello").contains("not an EDL"));
        assert!(refused("edl", "001 A V C\n* ASC_SOP (1 1 1)(0 0\n").contains("no correction"));
        assert!(refused("edl", "001 A V C\n* ASC_SAT 0.").contains("no correction"));
        assert!(refused("ale", "Name\tTape\n").contains("not an ALE"));
        let text = cc("a", "1 1 1", "1");
        for len in 0..text.len() {
            assert!(parse("cc", &text.as_bytes()[..len]).is_err(), "cut to {len}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_stop_it(bytes in proptest::collection::vec(any::<u8>(), 0..200), keep in 0usize..200) {
            for kind in crate::preset::look::CDL_FILES {
                let good = if kind == "edl" { EDL.to_owned() } else { cc("a", "1 1 1", "1") };
                let _ = parse(kind, &bytes);
                let hurt = [&good.as_bytes()[..keep.min(good.len())], &bytes].concat();
                if let Ok(list) = parse(kind, &hurt) {
                    let _ = list.of(&["A001C001", "é.mov", ""], Some("A001"));
                }
            }
        }
    }
}
