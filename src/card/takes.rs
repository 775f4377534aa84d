//! Takes of sound by what their files say themselves: iXML's FILE_SET names the take (FAMILY_UID), counts its files and
//! numbers them; `bext` says when each begins. Names alone made the clips; this refines them once the headers are read.

use super::kind::{self, Kind, folded};
use super::layouts;
use crate::clip::{Clip, Role, Warning};
use crate::fact::{Field, Said};
use crate::relpath::{RelPath, escape};
use std::collections::{BTreeMap, BTreeSet};

/// What the files of sound said.
#[derive(Debug, Default)]
pub struct Takes(BTreeMap<RelPath, Heard>);

#[derive(Debug, Default)]
struct Heard {
    set: Option<Set>,
    /// Its place in the set, as the recorder writes it.
    index: Option<String>,
    /// Samples since midnight.
    starts: Option<u64>,
}

/// A take in one form: a recorder keeps the id when it writes the same take as one file and as many.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Set {
    id: String,
    files: usize,
}

/// Clips, by their place in what was asked, that are other clips by their own headers.
#[derive(Debug, PartialEq, Eq)]
pub struct Regrouped {
    pub from: Vec<usize>,
    pub into: Vec<Clip>,
}

/// Files of one clip to be, and which clips they were in.
struct Group {
    files: Vec<RelPath>,
    from: usize,
    set: Option<Set>,
}

impl Takes {
    /// Does the header of such a file matter here?
    pub fn wants(relpath: &RelPath) -> bool {
        matches!(relpath.extension().as_str(), "wav" | "bwf" | "rf64")
    }

    pub fn hear(&mut self, relpath: &RelPath, said: &[Said]) {
        let of = |field| said.iter().find(|s| s.fact.field == field).map(|s| s.fact.value.as_str());
        let files = of(Field::SoundFiles).and_then(|n| n.parse().ok());
        let heard = Heard {
            set: of(Field::SoundSet).zip(files).map(|(id, files)| Set { id: id.to_owned(), files }),
            index: of(Field::SoundIndex).map(str::to_owned),
            starts: of(Field::TimeReference).and_then(|n| n.parse().ok()),
        };
        self.0.insert(relpath.clone(), heard);
    }

    /// Takes that count more files than are here.
    pub fn incomplete(&self) -> Vec<Warning> {
        let mut sets: BTreeMap<&Set, Vec<&RelPath>> = BTreeMap::new();
        for (path, heard) in &self.0 {
            if let Some(set) = &heard.set {
                sets.entry(set).or_default().push(path);
            }
        }
        let short = sets.into_iter().filter(|(set, here)| here.len() < set.files);
        let warn = |(set, here): (&Set, Vec<&RelPath>)| {
            let first = here.first()?;
            let text = format!("\"{first}\" is of a take of {} files, of which {} are here", set.files, here.len());
            Some(Warning { id: format!("incomplete-take:{first}"), text })
        };
        short.filter_map(warn).collect()
    }

    /// Clips that are others by their headers. Only clips of sound alone are touched, of which every file was heard.
    pub fn regroup(&self, clips: &[Clip]) -> Vec<Regrouped> {
        let mut groups: Vec<Group> = Vec::new();
        for (n, clip) in clips.iter().enumerate().filter(|(_, c)| self.judges(c)) {
            groups.extend(self.parted(clip).into_iter().map(|files| self.group(n, files)));
        }
        let mut joined: Vec<Vec<Group>> = Vec::new();
        let mut at: BTreeMap<(RelPath, Set), usize> = BTreeMap::new();
        for group in groups {
            let key = group.set.clone().map(|set| (group.files[0].parent(), set));
            match key.as_ref().and_then(|key| at.get(key)) {
                Some(n) => joined[*n].push(group),
                None => {
                    at.extend(key.map(|key| (key, joined.len())));
                    joined.push(vec![group]);
                }
            }
        }
        // More files than the take has, or one of them twice, are copies that somebody made: they stay as their names say.
        let joined = joined.into_iter().flat_map(|groups| match self.is_one_take(&groups) {
            true => vec![groups],
            false => groups.into_iter().map(|g| vec![g]).collect(),
        });
        changes(clips, joined.collect())
    }

    fn judges(&self, clip: &Clip) -> bool {
        let is_sound = |p: &RelPath| kind::of(p) == Kind::Audio && self.0.contains_key(p);
        // A folder of one take is one take, whatever lies in it.
        let in_take = |p: &RelPath| p.parent().extension() == "take";
        clip.essence().next().is_some()
            && clip.essence().all(|p| is_sound(p) && !in_take(p))
            && clip.files.iter().all(|(_, role)| matches!(role, Role::Essence | Role::Sidecar))
    }

    fn group(&self, from: usize, files: Vec<RelPath>) -> Group {
        let set = files.iter().find_map(|p| self.0[p].set.clone());
        Group { files, from, set }
    }

    /// The files of one clip, apart where two of them cannot be of one take.
    fn parted(&self, clip: &Clip) -> Vec<Vec<RelPath>> {
        let mut parts: Vec<Vec<RelPath>> = Vec::new();
        for path in clip.essence() {
            match parts.iter_mut().find(|part| part.iter().all(|p| !self.differ(p, path))) {
                Some(part) => part.push(path.clone()),
                None => parts.push(vec![path.clone()]),
            }
        }
        parts
    }

    fn differ(&self, a: &RelPath, b: &RelPath) -> bool {
        let (a, b) = (&self.0[a], &self.0[b]);
        match (&a.set, &b.set) {
            (Some(a), Some(b)) => a != b,
            _ => matches!((a.starts, b.starts), (Some(a), Some(b)) if a != b),
        }
    }

    fn is_one_take(&self, groups: &[Group]) -> bool {
        let files = || groups.iter().flat_map(|g| &g.files);
        let mut known = BTreeSet::new();
        let mut indexes = files().filter_map(|p| self.0[p].index.as_deref());
        let count = groups.iter().find_map(|g| g.set.as_ref()).map_or(0, |set| set.files);
        groups.len() == 1 || files().count() <= count && indexes.all(|index| known.insert(index))
    }
}

/// The groups that are not the clips they came from.
fn changes(clips: &[Clip], groups: Vec<Vec<Group>>) -> Vec<Regrouped> {
    // Clips that exchange files change together: each points to one of them, the last to itself.
    let mut one_of: Vec<usize> = (0..clips.len()).collect();
    fn last(one_of: &mut [usize], mut n: usize) -> usize {
        while one_of[n] != n {
            one_of[n] = one_of[one_of[n]];
            n = one_of[n];
        }
        n
    }
    for group in &groups {
        for other in &group[1..] {
            let (a, b) = (last(&mut one_of, group[0].from), last(&mut one_of, other.from));
            one_of[a.max(b)] = a.min(b);
        }
    }
    let mut change: BTreeMap<usize, (BTreeSet<usize>, Vec<Vec<Group>>)> = BTreeMap::new();
    for group in groups {
        let (from, all) = change.entry(last(&mut one_of, group[0].from)).or_default();
        from.extend(group.iter().map(|g| g.from));
        all.push(group);
    }
    change.retain(|_, (from, groups)| from.len() != 1 || groups.len() != 1);
    let regrouped = |(from, groups): (BTreeSet<usize>, Vec<Vec<Group>>)| {
        let mut into: Vec<Clip> = groups.iter().map(|groups| clip_of(clips, groups)).collect();
        for (path, role) in from.iter().flat_map(|n| &clips[*n].files).filter(|(_, r)| *r != Role::Essence) {
            let beside = |c: &Clip| c.essence().any(|p| folded(p.stem()) == folded(path.stem()));
            let n = into.iter().position(beside).unwrap_or(0);
            into[n].files.push((path.clone(), *role));
        }
        Regrouped { from: from.into_iter().collect(), into }
    };
    change.into_values().map(regrouped).collect()
}

fn clip_of(clips: &[Clip], groups: &[Group]) -> Clip {
    let old = &clips[groups[0].from];
    let mut files: Vec<RelPath> = groups.iter().flat_map(|g| g.files.iter().cloned()).collect();
    files.sort_by_cached_key(|p| (layouts::track(p.stem()).map(|(_, track)| track), p.clone()));
    // What the stems share before their track; one file has its own name.
    let base = |p: &RelPath| layouts::track(p.stem()).map(|(base, _)| folded(base));
    let shared = files.len() > 1 && files.iter().all(|p| base(p) == base(&files[0]));
    let own = files[0].stem();
    let name = layouts::track(own).filter(|_| shared).map_or(own, |(base, _)| base);
    Clip {
        name: escape(name).into_owned(),
        layout: old.layout.clone(),
        said: old.said.clone(),
        files: files.into_iter().map(|p| (p, Role::Essence)).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fact::{Fact, Origin};

    /// A file, its set with the count of its files and its place there, and when it begins.
    type File<'a> = (&'a str, Option<(&'a str, &'a str, &'a str)>, Option<&'a str>);

    fn takes(files: &[File]) -> Takes {
        let mut takes = Takes::default();
        for (path, set, starts) in files {
            let (id, count, index) = set.map_or((None, None, None), |(a, b, c)| (Some(a), Some(b), Some(c)));
            let said = [
                (Field::SoundSet, id),
                (Field::SoundFiles, count),
                (Field::SoundIndex, index),
                (Field::TimeReference, *starts),
            ];
            let said: Vec<Said> = said
                .into_iter()
                .filter_map(|(field, value)| Fact::new(field, value?))
                .map(|fact| Said { fact, origin: Origin::File, by: "ixml".into() })
                .collect();
            takes.hear(&RelPath::new(path).unwrap(), &said);
        }
        takes
    }

    fn clip(name: &str, files: &[&str]) -> Clip {
        let files = files.iter().map(|p| {
            let role = if p.ends_with(".xml") { Role::Sidecar } else { Role::Essence };
            (RelPath::new(p).unwrap(), role)
        });
        Clip { name: name.into(), layout: "sound-devices".into(), files: files.collect(), ..Clip::default() }
    }

    /// `from -> name: file file`, one line a new clip.
    fn regrouped(files: &[File], clips: &[Clip]) -> Vec<String> {
        let line = |from: &[usize], c: &Clip| {
            let files: String = c.files.iter().map(|(p, _)| format!(" {p}")).collect();
            format!("{from:?} -> {}:{files}", c.name)
        };
        let all = takes(files).regroup(clips);
        all.iter().flat_map(|r| r.into.iter().map(|c| line(&r.from, c))).collect()
    }

    fn of<'a>(id: &'a str, index: &'a str) -> Option<(&'a str, &'a str, &'a str)> {
        Some((id, "2", index))
    }

    #[test]
    fn files_of_one_family_are_one_clip_whatever_their_names_and_sizes() {
        let files: &[File] = &[("s/BOOM.WAV", of("F", "1"), None), ("s/LAV.WAV", of("F", "2"), None)];
        let clips = [clip("BOOM", &["s/BOOM.WAV"]), clip("LAV", &["s/LAV.WAV", "s/LAV.xml"])];
        assert_eq!(regrouped(files, &clips), ["[0, 1] -> BOOM: s/BOOM.WAV s/LAV.WAV s/LAV.xml"]);
        let files: &[File] = &[("T_10.WAV", of("F", "1"), None), ("T_2.WAV", of("F", "2"), None)];
        let clips = [clip("T_10", &["T_10.WAV"]), clip("T_2", &["T_2.WAV"])];
        assert_eq!(regrouped(files, &clips), ["[0, 1] -> T: T_2.WAV T_10.WAV"], "tracks in their order");
    }

    #[test]
    fn files_named_alike_of_two_families_are_two_clips() {
        let files: &[File] = &[("A_1.WAV", of("F", "1"), None), ("A_2.WAV", of("G", "1"), None)];
        assert_eq!(
            regrouped(files, &[clip("A", &["A_1.WAV", "A_2.WAV", "A_2.xml"])]),
            ["[0] -> A_1: A_1.WAV", "[0] -> A_2: A_2.WAV A_2.xml"]
        );
    }

    #[test]
    fn without_families_files_that_begin_at_other_times_are_two_clips() {
        let starts =
            |a, b| regrouped(&[("A_1.WAV", None, a), ("A_2.WAV", None, b)], &[clip("A", &["A_1.WAV", "A_2.WAV"])]);
        assert_eq!(starts(Some("10"), Some("20")).len(), 2);
        assert!(starts(Some("10"), Some("10")).is_empty() && starts(Some("10"), None).is_empty());
    }

    #[test]
    fn tracks_of_two_takes_that_names_mixed_up_find_each_other() {
        let files: &[File] = &[
            ("A_1.WAV", of("F", "1"), None),
            ("A_2.WAV", of("G", "1"), None),
            ("B_1.WAV", of("F", "2"), None),
            ("B_2.WAV", of("G", "2"), None),
        ];
        let clips = [clip("A", &["A_1.WAV", "A_2.WAV"]), clip("B", &["B_1.WAV", "B_2.WAV"])];
        assert_eq!(regrouped(files, &clips), ["[0, 1] -> A_1: A_1.WAV B_1.WAV", "[0, 1] -> A_2: A_2.WAV B_2.WAV"]);
    }

    #[test]
    fn one_take_as_one_file_and_as_many_and_copies_of_a_file_stay_apart() {
        let poly = Some(("F", "1", "A"));
        let files: &[File] = &[("A.WAV", poly, None), ("A_1.WAV", of("F", "1"), None), ("A_2.WAV", of("F", "2"), None)];
        assert!(regrouped(files, &[clip("A", &["A.WAV"]), clip("A", &["A_1.WAV", "A_2.WAV"])]).is_empty());
        let copies: &[File] = &[("A_1.WAV", of("F", "1"), None), ("copy.WAV", of("F", "1"), None)];
        assert!(regrouped(copies, &[clip("A_1", &["A_1.WAV"]), clip("copy", &["copy.WAV"])]).is_empty());
        let folders: &[File] = &[("a/A_1.WAV", of("F", "1"), None), ("b/A_2.WAV", of("F", "2"), None)];
        assert!(regrouped(folders, &[clip("A_1", &["a/A_1.WAV"]), clip("A_2", &["b/A_2.WAV"])]).is_empty());
    }

    #[test]
    fn thousands_of_takes_are_regrouped_in_linear_time() {
        let names: Vec<(String, String)> =
            (0..20_000).map(|n| (format!("s/X{n:05}.WAV"), format!("F{}", n / 2))).collect();
        let files: Vec<File> =
            (0..).zip(&names).map(|(n, (p, id))| (p.as_str(), of(id, ["1", "2"][n % 2]), None)).collect();
        let clips: Vec<Clip> = names.iter().map(|(p, _)| clip(&p[2..8], &[p])).collect();
        // Work that grows with the square would take minutes here.
        assert_eq!(takes(&files).regroup(&clips).len(), 10_000);
    }

    #[test]
    fn sound_of_a_picture_a_take_folder_and_what_was_not_heard_are_left_alone() {
        let files: &[File] = &[("A_1.WAV", of("F", "1"), None), ("x.TAKE/A_2.WAV", of("F", "2"), None)];
        let mut picture = clip("A", &["A.mov", "A_1.WAV"]);
        picture.files[1].1 = Role::Audio;
        assert!(regrouped(files, &[picture, clip("A", &["x.TAKE/A_2.WAV"])]).is_empty());
        assert!(regrouped(&[], &[clip("A", &["A_1.WAV", "A_2.WAV"])]).is_empty());
    }

    #[test]
    fn a_take_is_incomplete_by_its_own_count_and_its_mix_fills_no_gap() {
        let ids = |files: &[File]| takes(files).incomplete().into_iter().map(|w| w.id).collect::<Vec<_>>();
        assert_eq!(ids(&[("A_1.WAV", of("F", "1"), None)]), ["incomplete-take:A_1.WAV"]);
        assert!(ids(&[("A_1.WAV", of("F", "1"), None), ("A_2.WAV", of("F", "2"), None)]).is_empty());
        let poly = ("A.WAV", Some(("F", "1", "A")), None);
        assert_eq!(ids(&[poly, ("A_1.WAV", of("F", "1"), None)]), ["incomplete-take:A_1.WAV"]);
    }
}
