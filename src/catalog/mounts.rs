//! In which lifetime of its volume a copy was written, and so whether a later read of it came after an unmount.

use super::custody::{self, Act, Entry};
use super::error::{CatalogError, Fault};
use super::rowsum::{COPY, MOUNT};
use super::{Catalog, int, maybe_time, parsed, places, text_of};
use crate::clip::{CardId, CopyRootId, VolumeId};
use crate::disk::lifetime::Lifetime;
use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, Row, params};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// A volume that was unmounted for a person.
#[derive(Clone, Debug)]
pub struct Ejection<'a> {
    pub volume: VolumeId,
    /// Cards that are on it.
    pub cards: &'a [CardId],
    pub device: &'a str,
    /// For the custody log.
    pub text: &'a str,
    /// What the kernel has let go of, and nobody else has a filesystem of that name.
    pub over: Option<&'a Lifetime>,
}

struct MountRow {
    id: i64,
    life: Lifetime,
    over: bool,
    intact: bool,
}

impl Catalog {
    /// The volume is unmounted: its lifetime ends, and the log of each card that it concerns says so.
    pub fn ejected(&mut self, ejection: &Ejection<'_>, now: Timestamp) -> Result<(), CatalogError> {
        self.write(|tx| {
            let volume = ejection.volume;
            let tail = "WHERE volume_id = ?1 AND retired_at IS NULL ORDER BY seq";
            let roots = places::copy_roots(tx, tail, params![volume.to_string()])?;
            if let Some(row) = latest(tx, volume)? {
                for root in &roots {
                    written_by_now(tx, root.id, row.id)?;
                }
                let over = row.intact && ejection.over.is_some_and(|life| !life.is_another(&row.life));
                let values = params![text_of(now), over];
                MOUNT.change(tx, [&row.id, &row.id], "ejected_at = ?3, over = ?4", values)?;
            }
            let of_copies = roots.iter().map(|r| (r.card, Some(r.id)));
            for (card, root) in ejection.cards.iter().map(|c| (*c, None)).chain(of_copies) {
                let entry = Entry { root, ..Entry::of_card(Act::Ejected, card, ejection.text) };
                custody::add_on(tx, &entry, Some(ejection.device), now)?;
            }
            Ok(())
        })
    }

    /// When any volume was ejected last.
    pub fn last_ejected(&self) -> Result<Option<Timestamp>, CatalogError> {
        self.read(|c| Ok(c.query_row("SELECT max(ejected_at) AS at FROM mount", [], |r| maybe_time(r, "at"))?))
    }

    /// When it was ejected last.
    pub fn ejected_at(&self, volume: VolumeId) -> Result<Option<Timestamp>, CatalogError> {
        self.read(|c| {
            let sql = "SELECT max(ejected_at) AS at FROM mount WHERE volume_id = ?1";
            Ok(c.prepare_cached(sql)?.query_row([volume.to_string()], |r| maybe_time(r, "at"))?)
        })
    }
}

/// The volume is mounted: the row that is open goes on, or a new one begins when the old one is over for certain.
pub(super) fn observe(
    c: &Connection,
    volume: VolumeId,
    point: &Path,
    life: &Lifetime,
    now: Timestamp,
) -> Result<(), Fault> {
    let (first, last) = life.mounts.unzip();
    let known = latest(c, volume)?;
    let goes_on = known.as_ref().filter(|row| !row.intact || !(row.over || life.follows(&row.life)));
    if goes_on.is_some_and(|row| row.intact && life.boot == row.life.boot && life.is_another(&row.life)) {
        // A clone beside it, perhaps: the row keeps what must be over before a new one begins.
        return Ok(());
    }
    let last = last.max(goes_on.and_then(|row| row.life.mounts).map(|m| m.1).filter(|_| last.is_some()));
    let same = goes_on.is_some_and(|row| {
        let was = &row.life;
        let now = (&life.boot, life.superblock, life.disk, first, last);
        row.intact && (&was.boot, was.superblock, was.disk, was.mounts.map(|m| m.0), was.mounts.map(|m| m.1)) == now
    });
    if same {
        return Ok(());
    }
    let whole = |n: Option<u64>| n.map(int);
    let values = params![
        goes_on.map(|row| row.id),
        volume.to_string(),
        point.as_os_str().as_bytes(),
        life.boot,
        whole(life.superblock),
        whole(life.disk),
        whole(first),
        whole(last),
        text_of(now)
    ];
    let id: i64 = c
        .prepare_cached(
            "INSERT INTO mount (id, volume_id, point, boot, superblock, disk, first_mount, last_mount, seen_at)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)
             ON CONFLICT (id) DO UPDATE SET volume_id = ?2, point = ?3, boot = ?4, superblock = ?5, disk = ?6,
               first_mount = ?7, last_mount = ?8, seen_at = ?9, over = 0
             RETURNING id",
        )?
        .query_row(values, |r| r.get(0))?;
    Ok(MOUNT.seal(c, [&id, &id])?)
}

/// The lifetime that the folder's volume is in; `None` when nothing certain is known of it.
pub(super) fn current(c: &Connection, root: CopyRootId) -> Result<Option<i64>, Fault> {
    let sql = "SELECT volume_id FROM copy_root WHERE id = ?1";
    let volume =
        c.prepare_cached(sql)?.query_row([root.to_string()], |r| parsed(r, "volume_id", VolumeId::parse)).optional()?;
    let Some(volume) = volume else { return Ok(None) };
    Ok(latest(c, volume)?.filter(|row| row.intact && !row.over).map(|row| row.id))
}

fn latest(c: &Connection, volume: VolumeId) -> Result<Option<MountRow>, Fault> {
    let sql = format!("{} WHERE volume_id = ?1 ORDER BY id DESC LIMIT 1", MOUNT.select);
    Ok(c.prepare_cached(&sql)?.query_row([volume.to_string()], mount_row).optional()?)
}

fn mount_row(r: &Row<'_>) -> rusqlite::Result<MountRow> {
    let number = |column: &str| Ok::<_, rusqlite::Error>(r.get::<_, Option<i64>>(column)?.map(|n| n as u64));
    let life = Lifetime {
        boot: r.get("boot")?,
        superblock: number("superblock")?,
        disk: number("disk")?,
        mounts: number("first_mount")?.zip(number("last_mount")?),
        ..Lifetime::default()
    };
    Ok(MountRow { id: r.get("id")?, life, over: r.get("over")?, intact: MOUNT.intact(r)? })
}

/// Proven before anybody wrote down in which lifetime: at the latest in this one.
fn written_by_now(c: &Connection, root: CopyRootId, mount: i64) -> Result<(), Fault> {
    let key = root.to_string();
    let sql = "SELECT relpath FROM copy WHERE copy_root_id = ?1 AND state = 'proven' AND written_on IS NULL";
    let paths: Vec<Vec<u8>> = c.prepare_cached(sql)?.query_map([&key], |r| r.get(0))?.collect::<Result<_, _>>()?;
    for path in paths {
        COPY.change(c, [&key, &path], "written_on = ?3", params![mount])?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::tests::{CLIP, Station, at, rel};
    use crate::catalog::{Mark, Proof, Seen, VolumeSeen};
    use crate::copy::ReadBack;
    use crate::verify::Part;

    fn life(n: u64) -> Lifetime {
        Lifetime { boot: Some("x".into()), superblock: Some(n), ..Lifetime::default() }
    }

    fn see(s: &mut Station, life: Lifetime, second: i64) {
        let row = s.cat.volumes().unwrap().into_iter().find(|v| v.key == "uuid:a").unwrap();
        let seen = VolumeSeen {
            key: row.key,
            fs_type: row.fs_type,
            label: row.label,
            disk_text: row.disk,
            mount: row.last_mount,
            life,
        };
        s.cat.volume(&seen, at(second)).unwrap();
    }

    const PROOF: Proof = Proof { size_bytes: 5_000_000, mtime_ns: 7, read_back: ReadBack::Device };

    fn again(s: &mut Station, proof: Proof, second: i64) -> Option<ReadBack> {
        s.cat.mark_proven(s.roots[0], &rel(CLIP), proof, at(second)).unwrap();
        let row = s.cat.copy(s.roots[0], &rel(CLIP)).unwrap().unwrap();
        assert!(row.row_intact && s.cat.check().unwrap().is_empty());
        row.read_back
    }

    /// Offloaded in a known lifetime.
    fn written() -> Station {
        let mut s = Station::offloaded();
        see(&mut s, life(1), 1);
        let again = s.proven(0, CLIP);
        s.cat.apply(s.card, &[again], at(1)).unwrap();
        s
    }

    fn volume(s: &Station) -> VolumeId {
        s.cat.copy_root_row(s.roots[0]).unwrap().volume
    }

    fn eject(s: &mut Station, over: bool, second: i64) {
        let volume = volume(s);
        let life = Lifetime::default();
        let over = over.then_some(&life);
        let ejection = Ejection { volume, cards: &[], device: "A", text: "unmounted", over };
        s.cat.ejected(&ejection, at(second)).unwrap();
    }

    #[test]
    fn a_copy_is_remounted_when_it_is_read_in_another_lifetime_than_it_was_written_in() {
        let mut s = written();
        assert_eq!(again(&mut s, PROOF, 2), Some(ReadBack::Device));
        see(&mut s, life(1), 3);
        assert_eq!(again(&mut s, PROOF, 4), Some(ReadBack::Device), "the same one");
        see(&mut s, life(2), 5);
        assert_eq!(again(&mut s, PROOF, 6), Some(ReadBack::Remounted));
        assert_eq!(again(&mut s, PROOF, 7), Some(ReadBack::Remounted), "it stays so in this lifetime");
        let cache = Proof { read_back: ReadBack::Cache, ..PROOF };
        assert_eq!(again(&mut s, cache, 8), Some(ReadBack::Remounted), "a weaker check proves less");
        // Written to in the meantime: these bytes were in memory.
        assert_eq!(again(&mut s, Proof { mtime_ns: 8, ..PROOF }, 9), Some(ReadBack::Device));
        assert_eq!(again(&mut s, Proof { mtime_ns: 8, ..PROOF }, 10), Some(ReadBack::Device));
        see(&mut s, life(3), 11);
        assert_eq!(again(&mut s, Proof { mtime_ns: 8, ..PROOF }, 12), Some(ReadBack::Remounted));
        // Offloaded there anew.
        let fresh = s.proven(0, CLIP);
        s.cat.apply(s.card, &[fresh], at(13)).unwrap();
        assert_eq!(again(&mut s, PROOF, 14), Some(ReadBack::Device));
    }

    #[test]
    fn what_is_not_certain_is_no_remount() {
        for odd in [Lifetime::default(), Lifetime { boot: None, ..life(2) }] {
            let mut s = written();
            see(&mut s, odd, 5);
            assert_eq!(again(&mut s, PROOF, 6), Some(ReadBack::Device));
        }
        // Only part of it was read, or memory may have answered, or the copy was not whole in between.
        for class in [ReadBack::Cache, ReadBack::Server] {
            let mut s = written();
            see(&mut s, life(2), 5);
            assert_eq!(again(&mut s, Proof { read_back: class, ..PROOF }, 6), Some(ReadBack::Device));
        }
        let mut s = written();
        see(&mut s, life(2), 5);
        let finding = crate::finding::Finding::new(crate::finding::FindingKind::Altered, "/a".as_ref(), &rel(CLIP), "");
        s.cat.mark_failed(s.roots[0], &rel(CLIP), &finding, at(6)).unwrap();
        assert_eq!(again(&mut s, PROOF, 7), Some(ReadBack::Device));
        let mut s = written();
        see(&mut s, life(2), 5);
        s.cat.repaired(s.roots[0], &rel(CLIP), PROOF, "repaired", at(6)).unwrap();
        assert_eq!(again(&mut s, PROOF, 7), Some(ReadBack::Device));
        // A chain that we go on with ourselves.
        let mut s = written();
        see(&mut s, life(2), 5);
        let mark = Mark { root: s.roots[0], relpath: rel(CLIP), at: at(6), seen: Seen::Anew(PROOF) };
        s.cat.mark(&[mark]).unwrap();
        assert_eq!(s.cat.copy(s.roots[0], &rel(CLIP)).unwrap().unwrap().read_back, Some(ReadBack::Device));
    }

    #[test]
    fn a_clone_of_the_drive_beside_it_is_no_remount_nor_is_its_eject() {
        let mut s = written();
        let clone = Lifetime { superblocks: [1, 2].into(), ..life(2) };
        see(&mut s, clone.clone(), 5);
        assert_eq!(again(&mut s, PROOF, 6), Some(ReadBack::Device));
        let volume = volume(&s);
        let ejection = Ejection { volume, cards: &[], device: "A", text: "unmounted", over: Some(&clone) };
        s.cat.ejected(&ejection, at(7)).unwrap();
        see(&mut s, life(1), 8);
        assert_eq!(again(&mut s, PROOF, 9), Some(ReadBack::Device), "it was mounted all the time");
        see(&mut s, life(3), 10);
        assert_eq!(again(&mut s, PROOF, 11), Some(ReadBack::Remounted));
    }

    #[test]
    fn a_damaged_row_never_makes_a_remount() {
        for sql in ["UPDATE mount SET superblock = 99", "UPDATE mount SET boot = 'y'", "UPDATE mount SET over = 1"] {
            let mut s = written();
            let volume = volume(&s).to_string();
            s.cat.conn.execute(&format!("{sql} WHERE volume_id = ?1"), [volume]).unwrap();
            assert!(!s.cat.check().unwrap().is_empty(), "{sql}");
            see(&mut s, life(1), 5);
            assert_eq!(again(&mut s, PROOF, 6), Some(ReadBack::Device), "{sql}");
            see(&mut s, life(2), 7);
            assert_eq!(again(&mut s, PROOF, 8), Some(ReadBack::Remounted), "{sql}: it is healed by the next look");
        }
        let mut s = written();
        see(&mut s, life(2), 5);
        let sql = "UPDATE copy SET written_on = written_on - 1 WHERE copy_root_id = ?1 AND relpath = ?2";
        s.cat.conn.execute(sql, params![s.roots[0].to_string(), rel(CLIP).as_bytes()]).unwrap();
        assert!(!s.cat.copy(s.roots[0], &rel(CLIP)).unwrap().unwrap().row_intact);
        assert_eq!(again(&mut s, PROOF, 6), Some(ReadBack::Device));
    }

    #[test]
    fn a_large_copy_that_was_begun_before_the_unmount_is_not_read_after_it() {
        let mut s = written();
        let part = Part { size_bytes: 5_000_000, mtime_ns: 7, reached_bytes: 2 << 20, bad: vec![], begun_at: at(3) };
        s.cat.keep_parts(&[(s.roots[0], rel(CLIP), part.clone())]).unwrap();
        see(&mut s, life(2), 5);
        let more = Part { reached_bytes: 3 << 20, ..part };
        s.cat.keep_parts(&[(s.roots[0], rel(CLIP), more.clone())]).unwrap();
        assert_eq!(again(&mut s, PROOF, 6), Some(ReadBack::Device));
        // Begun anew in this one.
        s.cat.keep_parts(&[(s.roots[0], rel(CLIP), Part { begun_at: at(7), ..more })]).unwrap();
        assert_eq!(again(&mut s, PROOF, 8), Some(ReadBack::Remounted));
    }

    #[test]
    fn an_eject_that_the_kernel_vouches_for_ends_a_lifetime() {
        // Of a filesystem that says nothing of itself.
        let mut s = Station::offloaded();
        assert_eq!(s.cat.ejected_at(volume(&s)).unwrap(), None);
        eject(&mut s, false, 3);
        see(&mut s, Lifetime::default(), 4);
        assert_eq!(again(&mut s, PROOF, 5), Some(ReadBack::Device));
        assert_eq!(s.cat.ejected_at(volume(&s)).unwrap(), Some(at(3)));
        eject(&mut s, true, 6);
        assert_eq!(again(&mut s, PROOF, 7), Some(ReadBack::Device), "not seen mounted since: whatever was read");
        see(&mut s, Lifetime::default(), 8);
        assert_eq!(again(&mut s, PROOF, 9), Some(ReadBack::Remounted));
        assert_eq!(s.cat.ejected_at(volume(&s)).unwrap(), Some(at(6)));
        let last = s.cat.custody(s.card).unwrap().into_iter().rfind(|r| r.act == "ejected").unwrap();
        assert_eq!((last.text.as_str(), last.device.as_deref(), last.at), ("unmounted", Some("A"), at(6)));
    }

    #[test]
    fn copies_of_an_older_catalog_are_written_by_the_time_of_the_eject() {
        let mut s = Station::offloaded();
        s.cat.conn.execute("UPDATE copy SET written_on = NULL", []).unwrap();
        let rows = "SELECT copy_root_id, relpath FROM copy";
        let mut statement = s.cat.conn.prepare(rows).unwrap();
        let keys = statement.query_map([], |r| Ok((r.get(0)?, r.get(1)?))).unwrap();
        let keys: Vec<(String, Vec<u8>)> = keys.map(Result::unwrap).collect();
        drop(statement);
        keys.iter().for_each(|(root, path)| COPY.seal(&s.cat.conn, [root, path]).unwrap());
        see(&mut s, life(1), 2);
        eject(&mut s, true, 3);
        see(&mut s, life(2), 4);
        assert_eq!(again(&mut s, PROOF, 5), Some(ReadBack::Remounted));
    }
}
