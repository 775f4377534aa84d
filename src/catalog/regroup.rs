//! Clips that are others by the headers of their files than by their names.

use super::error::{CatalogError, Fault};
use super::{Catalog, cards, clips};
use crate::clip::{CardId, Clip, ClipId, MediaState, Role};
use crate::relpath::RelPath;
use jiff::Timestamp;
use rusqlite::{Connection, params};
use std::collections::BTreeMap;

impl Catalog {
    /// `new` in the place of `old`, which hold the same files. A clip that still begins with the same file keeps its id.
    /// False: a person said something of one of them, and all stay as they are.
    pub fn regroup(
        &mut self,
        card: CardId,
        old: &[ClipId],
        new: &[Clip],
        now: Timestamp,
    ) -> Result<bool, CatalogError> {
        self.write(|tx| {
            let roll = cards::one(tx, card)?.roll;
            let mut first: BTreeMap<RelPath, ClipId> = BTreeMap::new();
            for id in old {
                if is_tagged(tx, *id)? {
                    return Ok(false);
                }
            }
            for id in old {
                first.extend(clips::files_of(tx, *id)?.into_iter().next().map(|(path, _)| (path, *id)));
                tx.prepare_cached("DELETE FROM clip_file WHERE clip_id = ?1")?.execute([id.to_string()])?;
            }
            for clip in new {
                let lead = clip.files.iter().find(|(_, role)| *role == Role::Essence).map(|(path, _)| path);
                let id = match lead.and_then(|path| first.remove(path)) {
                    Some(id) => {
                        let sql = "UPDATE clip SET name = ?2 WHERE id = ?1";
                        tx.prepare_cached(sql)?.execute(params![id.to_string(), clip.name])?;
                        id
                    }
                    None => clips::insert(tx, card, &roll, clip, now)?,
                };
                clips::add_files(tx, card, id, 0, &clip.files)?;
                clips::set_media(tx, id, MediaState::Pending, None)?;
                clips::index(tx, id)?;
            }
            for id in first.into_values() {
                for sql in [
                    "DELETE FROM proxy WHERE clip_id = ?1",
                    "DELETE FROM clip_said WHERE clip_id = ?1",
                    "DELETE FROM clip WHERE id = ?1",
                ] {
                    tx.prepare_cached(sql)?.execute([id.to_string()])?;
                }
            }
            Ok(true)
        })
    }
}

fn is_tagged(c: &Connection, id: ClipId) -> Result<bool, Fault> {
    let sql =
        "SELECT 1 FROM clip WHERE id = ?1 AND (rating IS NOT NULL OR circled = 1 OR notes <> '' OR keywords <> '[]'
                 OR scene IS NOT NULL OR take IS NOT NULL)";
    Ok(c.prepare_cached(sql)?.exists([id.to_string()])?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::Tag;
    use crate::catalog::tests::{Station, at, card_of};

    fn clip(name: &str, files: &[&str]) -> Clip {
        let files = files.iter().map(|p| (RelPath::new(p).unwrap(), Role::Essence)).collect();
        Clip { name: name.into(), layout: "generic".into(), files, ..Clip::default() }
    }

    /// Of a card with these files, a clip each: their ids, and `name file file` of what is catalogued.
    fn station(files: &[&str]) -> (Station, Vec<ClipId>) {
        let mut s = Station::offloaded();
        s.cat.extend_card(s.card, &card_of(files), at(1)).unwrap();
        let wanted = |p: &RelPath| files.iter().any(|f| p.as_bytes() == f.as_bytes());
        let ids = s.cat.clips(s.card).unwrap().into_iter().filter(|c| wanted(&c.files[0].0)).map(|c| c.id).collect();
        (s, ids)
    }

    fn seen(s: &Station, files: &[&str]) -> Vec<String> {
        let clips = s.cat.clips(s.card).unwrap().into_iter();
        let line = |c: crate::catalog::ClipRow| {
            let files: String = c.files.iter().map(|(p, _)| format!(" {p}")).collect();
            format!("{}:{files}", c.name)
        };
        clips.filter(|c| files.iter().any(|f| c.files[0].0.as_bytes() == f.as_bytes())).map(line).collect()
    }

    const FILES: [&str; 2] = ["T_1.MOV", "T_2.MOV"];

    #[test]
    fn two_clips_become_one_with_the_id_of_the_first_and_stay_so_when_the_card_is_seen_again() {
        let (mut s, ids) = station(&FILES);
        assert_eq!(ids.len(), 2);
        assert!(s.cat.regroup(s.card, &ids, &[clip("T", &FILES)], at(2)).unwrap());
        assert_eq!(seen(&s, &FILES), ["T: T_1.MOV T_2.MOV"]);
        assert_eq!(s.cat.clip("T").unwrap().len(), 1);
        assert!(ids.contains(&s.cat.clips(s.card).unwrap().iter().find(|c| c.name == "T").unwrap().id));
        s.cat.extend_card(s.card, &card_of(&FILES), at(3)).unwrap();
        assert_eq!(seen(&s, &FILES), ["T: T_1.MOV T_2.MOV"]);
    }

    #[test]
    fn one_clip_becomes_two_and_a_later_look_puts_no_file_into_both() {
        let (mut s, ids) = station(&FILES);
        s.cat.regroup(s.card, &ids, &[clip("T", &FILES)], at(2)).unwrap();
        let one = s.cat.clips(s.card).unwrap().into_iter().find(|c| c.name == "T").unwrap().id;
        let two = [clip("T_1", &FILES[..1]), clip("T_2", &FILES[1..])];
        assert!(s.cat.regroup(s.card, &[one], &two, at(3)).unwrap());
        assert_eq!(seen(&s, &FILES), ["T_1: T_1.MOV", "T_2: T_2.MOV"]);
        let mut card = card_of(&FILES);
        card.clips = vec![clip("T", &FILES)];
        s.cat.extend_card(s.card, &card, at(4)).unwrap();
        assert_eq!(seen(&s, &FILES), ["T_1: T_1.MOV", "T_2: T_2.MOV"]);
    }

    #[test]
    fn clips_that_a_person_said_something_of_stay_as_they_are() {
        let (mut s, ids) = station(&FILES);
        s.cat.tag(ids[1], &Tag { rating: Some(3), ..Tag::default() }).unwrap();
        assert!(!s.cat.regroup(s.card, &ids, &[clip("T", &FILES)], at(2)).unwrap());
        assert_eq!(seen(&s, &FILES).len(), 2);
    }
}
