//! How a family's table is read: where on the card it lies, which file is what, which files are one clip.

use super::{FAMILIES, Found, FoundClip, ReadIndex};
use crate::card::kind::folded;
use crate::clip::{CardFile, Listing, Role};
use crate::fact::{Fact, Field};
use crate::relpath::{RelPath, escape};
use regex::bytes::{Captures, Regex, RegexBuilder, RegexSet, RegexSetBuilder};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

/// A camera family as a table. Patterns are regular expressions over the whole path below the card's root, `/` between
/// folders, without regard to case. The card's root is the listing's root or a folder right below it: people copy cards
/// into folders.
pub(super) struct Family {
    /// Its name in the catalog: `sony-xavc`.
    pub layout: &'static str,
    /// A file or a folder of one of these makes it a card of this family.
    pub markers: &'static [&'static str],
    pub rules: &'static [Rule],
    /// What the table cannot say: reads indexes, joins or splits clips, names gaps.
    pub finish: Option<fn(&mut Ground, &mut Found)>,
}

/// What a file is by its path. The first rule that fits is taken. Named groups:
/// - `clip` what all files of one clip share; it is also the clip's name, unless `name` is there;
/// - `at` kept apart from the same name elsewhere (a folder, mostly);
/// - `part` its place among several essence files;
/// - `name` the clip's name, taken from the first essence file;
/// - any field's name (`reel`, `camera`, ...): what the path says of the clip. `recorded_at` holds a whole date and time
///   (`20251225_101500`), with anything between the digits.
/// - any field's name (`reel`, `camera`, ...): what the path says of the clip;
/// - `ymd` and `hms`, the day as `YYMMDD` and the time of it.
pub(super) struct Rule {
    pub role: Role,
    pub path: &'static str,
}

pub(super) const fn rule(role: Role, path: &'static str) -> Rule {
    Rule { role, path }
}

/// A card as one family sees it.
pub(super) struct Ground<'a, 'r> {
    pub listing: &'a Listing,
    /// The card's root below the listing's.
    pub base: RelPath,
    /// Files whose clip is known; a family marks those that it adds by itself.
    pub taken: &'a mut [bool],
    pub read: ReadIndex<'r>,
}

impl<'a> Ground<'a, '_> {
    pub fn relpath(&self, index: u32) -> &'a RelPath {
        &self.listing.files[index as usize].relpath
    }

    /// The card's files with their places: below one folder they stand together in the listing.
    pub fn files(&self) -> impl Iterator<Item = (u32, &'a CardFile)> + use<'a> {
        let files = &self.listing.files;
        let above = [self.base.as_bytes(), b"/"].concat();
        let from = match self.base.is_root() {
            true => 0,
            false => files.partition_point(|f| f.relpath.as_bytes() < &above[..]),
        };
        let base = self.base.clone();
        let below = move |f: &CardFile| base.is_root() || f.relpath.as_bytes().starts_with(&above);
        (from as u32..).zip(&files[from..]).take_while(move |(_, f)| below(f))
    }

    /// The part of a path below the card's root.
    pub fn below(&self, path: &RelPath) -> RelPath {
        path.strip_prefix(&self.base).unwrap_or_default()
    }

    pub fn size_bytes(&self, index: u32) -> u64 {
        self.listing.files[index as usize].size_bytes
    }

    /// Files below this card's root that no clip has yet.
    pub fn left(&self) -> impl Iterator<Item = u32> + '_ {
        self.files().map(|(index, _)| index).filter(|index| !self.taken[*index as usize])
    }
}

struct Table {
    markers: RegexSet,
    /// Whose marker it is.
    of: Vec<usize>,
    /// By family: all its rules at once, then each with its groups.
    rules: Vec<(RegexSet, Vec<Regex>)>,
}

impl Table {
    fn of(families: &[&Family]) -> Self {
        let whole = |p: &&str| format!("^(?:{p})$");
        let set = |patterns: Vec<String>| {
            RegexSetBuilder::new(patterns).case_insensitive(true).unicode(false).build().expect("a family's patterns")
        };
        let one =
            |p: &str| RegexBuilder::new(p).case_insensitive(true).unicode(false).build().expect("a family's pattern");
        let rules = |f: &&Family| {
            let patterns: Vec<String> = f.rules.iter().map(|r| whole(&r.path)).collect();
            (set(patterns.clone()), patterns.iter().map(|p| one(p)).collect())
        };
        let markers = || families.iter().enumerate().flat_map(|(n, f)| f.markers.iter().map(move |m| (n, m)));
        Table {
            markers: set(markers().map(|(_, m)| whole(m)).collect()),
            of: markers().map(|(n, _)| n).collect(),
            rules: families.iter().map(rules).collect(),
        }
    }
}

/// All that the families see in the listing. Marks the files of their clips as taken.
pub(super) fn all(listing: &Listing, taken: &mut [bool], read: ReadIndex) -> Vec<Found> {
    static TABLE: LazyLock<Table> = LazyLock::new(|| Table::of(FAMILIES));
    let mut out = Vec::new();
    for (n, base) in seen_at(&TABLE, listing) {
        let mut ground = Ground { listing, base, taken: &mut *taken, read: &mut *read };
        let mut found = group(FAMILIES[n], &TABLE.rules[n], &mut ground);
        if let Some(finish) = FAMILIES[n].finish {
            finish(&mut ground, &mut found);
        }
        found.clips.retain(|c| !c.files.is_empty());
        out.push(found);
    }
    out
}

/// Which family lies where, in the families' order, and within one family in the order of the paths.
fn seen_at(table: &Table, listing: &Listing) -> BTreeSet<(usize, RelPath)> {
    let mut seen = BTreeSet::new();
    for path in listing.files.iter().map(|f| &f.relpath).chain(&listing.folders) {
        for base in bases(path) {
            let Some(below) = path.strip_prefix(&base).filter(|p| !p.is_root()) else { continue };
            for marker in table.markers.matches(below.as_bytes()) {
                seen.insert((table.of[marker], base.clone()));
            }
        }
    }
    seen
}

/// The listing's root, and the folder right below it that the path lies in.
fn bases(path: &RelPath) -> Vec<RelPath> {
    let mut out = vec![RelPath::root()];
    out.extend(path.ancestors().into_iter().filter(|p| !p.is_root()).take(1));
    out
}

#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    at: Vec<u8>,
    clip: Vec<u8>,
}

#[derive(Default)]
struct Draft {
    essence: Vec<Essence>,
    rest: Vec<(u32, Role)>,
}

struct Essence {
    part: Vec<u8>,
    index: u32,
    name: String,
    facts: Vec<Fact>,
}

fn group(family: &Family, (set, rules): &(RegexSet, Vec<Regex>), ground: &mut Ground) -> Found {
    let mut drafts: BTreeMap<Key, Draft> = BTreeMap::new();
    for (index, file) in ground.files() {
        if ground.taken[index as usize] || file.relpath.name().starts_with(b"._") {
            continue;
        }
        let below = ground.below(&file.relpath);
        let Some(n) = set.matches(below.as_bytes()).iter().next() else { continue };
        let Some(caps) = rules[n].captures(below.as_bytes()) else { continue };
        let group = |name: &str| caps.name(name).map(|m| m.as_bytes());
        let Some(clip) = group("clip") else { continue };
        let key = Key { at: folded(group("at").unwrap_or_default()), clip: folded(clip) };
        let draft = drafts.entry(key).or_default();
        let role = family.rules[n].role;
        if role == Role::Essence {
            let part = folded(group("part").unwrap_or_default());
            let name = escape(group("name").unwrap_or(clip)).into_owned();
            draft.essence.push(Essence { part, index, name, facts: facts(&rules[n], &caps) });
        } else {
            draft.rest.push((index, role));
        }
    }
    let mut found = Found { layout: family.layout, ..Found::default() };
    for draft in drafts.into_values().filter(|d| !d.essence.is_empty()) {
        found.clips.push(clip(draft));
    }
    for (index, _) in found.clips.iter().flat_map(|c| &c.files) {
        ground.taken[*index as usize] = true;
    }
    found
}

fn clip(mut draft: Draft) -> FoundClip {
    draft.essence.sort_by(|a, b| in_order(&a.part).cmp(&in_order(&b.part)).then(a.index.cmp(&b.index)));
    draft.rest.sort_by_key(|(index, role)| (*role, *index));
    let essence = draft.essence.iter().map(|e| (e.index, Role::Essence));
    let files = essence.chain(draft.rest).collect();
    let first = draft.essence.swap_remove(0);
    FoundClip { name: first.name, files, facts: first.facts, said: Vec::new() }
}

/// Numbers by their value: `2` before `10`.
fn in_order(part: &[u8]) -> (usize, &[u8]) {
    let from = part.iter().position(|b| *b != b'0').unwrap_or(part.len());
    (part.len() - from, &part[from..])
}

fn facts(rule: &Regex, caps: &Captures) -> Vec<Fact> {
    let named = rule.capture_names().flatten();
    let said = named.filter_map(|name| Some((Field::from_name(name)?, caps.name(name)?)));
    said.filter_map(|(field, m)| fact(field, m.as_bytes())).chain(day_and_time(caps)).collect()
}

/// The day, and the time of it where the name has one. Digits that are no date say nothing.
fn day_and_time(caps: &Captures) -> Option<Fact> {
    let pairs = |name: &str| -> Option<[i8; 3]> {
        let text = std::str::from_utf8(caps.name(name)?.as_bytes()).ok().filter(|t| t.len() == 6)?;
        let pair = |at: usize| text.get(at..at + 2)?.parse().ok();
        Some([pair(0)?, pair(2)?, pair(4)?])
    };
    let [year, month, day] = pairs("ymd")?;
    let date = jiff::civil::Date::new(2000 + i16::from(year), month, day).ok()?;
    let time = pairs("hms").and_then(|[h, m, s]| jiff::civil::Time::new(h, m, s, 0).ok());
    Fact::new(Field::RecordedAt, time.map_or_else(|| date.to_string(), |time| date.to_datetime(time).to_string()))
}

/// `None` where the text can not be a value of the field.
pub(super) fn fact(field: Field, text: &[u8]) -> Option<Fact> {
    match field {
        Field::RecordedAt => Fact::new(field, recorded_at(text)?),
        _ => Fact::new(field, escape(text)),
    }
}

/// A name's date and time to the second; a camera's clock has no zone. Fourteen other digits are no date.
fn recorded_at(text: &[u8]) -> Option<String> {
    let digits: Vec<u8> = text.iter().copied().filter(u8::is_ascii_digit).take(14).collect();
    let digits = std::str::from_utf8(&digits).ok().filter(|d| d.len() == 14)?;
    let at = jiff::civil::DateTime::strptime("%Y%m%d%H%M%S", digits).ok()?;
    (1990..2200).contains(&at.year()).then(|| at.strftime("%Y-%m-%dT%H:%M:%S").to_string())
}
