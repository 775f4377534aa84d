//! `doctor`: what an offload and its proxies will find on this rig. Looks, and leaves nothing behind.

use super::Station;
use crate::catalog::{Catalog, CatalogError};
use crate::disk::write::takes_direct;
use crate::disk::{facts, kmsg::KernelLog};
use crate::media::Tool;
use crate::offload::plan::human;
use serde::Serialize;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Health {
    Good,
    /// Works, with less than it could.
    Note,
    Bad,
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Point {
    /// `catalog`, `libav`, `sandbox`, `destination`, `media root`, `kernel log`.
    pub what: &'static str,
    pub health: Health,
    pub text: String,
}

/// All that can be looked at without a card.
pub fn doctor(station: &Station) -> Vec<Point> {
    let mut out = vec![catalog(station)];
    let tool = Tool::find();
    match tool.about() {
        Ok(about) => {
            let found = format!("\"{}\" with libav {}", tool.path.display(), about.libav);
            out.push(match about.lacking.is_empty() {
                true => point("libav", Health::Good, found),
                false => {
                    let lacks = format!("{found}, built without {}: what needs them fails", about.lacking.join(", "));
                    point("libav", Health::Bad, lacks)
                }
            });
            out.push(sandbox(station, &tool, about.landlock, about.seccomp));
        }
        Err(e) => out.push(point("libav", Health::Bad, format!("no metadata and no proxies: {e}"))),
    }
    if station.config.destinations.is_empty() {
        out.push(point("destination", Health::Note, "none in the settings: each offload needs --to".into()));
    }
    let mut disks: Vec<(String, PathBuf)> = Vec::new();
    for d in &station.config.destinations {
        out.push(place("destination", &d.path.fixed(), &mut disks));
    }
    let mut own = Vec::new();
    out.push(place("media root", &station.media_root(), &mut own));
    out.push(match KernelLog::open() {
        Ok(_) => point("kernel log", Health::Good, "can be read: errors that the kernel hides are told".into()),
        Err(e) => {
            point("kernel log", Health::Note, format!("can not be read ({e}): errors that the kernel hides stay so"))
        }
    });
    out
}

fn point(what: &'static str, health: Health, text: String) -> Point {
    Point { what, health, text }
}

fn catalog(station: &Station) -> Point {
    let Some(path) = &station.config.catalog else { return point("catalog", Health::Bad, "no place for it".into()) };
    let name = path.display();
    let (health, text) = match Catalog::open_read_only(path) {
        Ok(_) => (Health::Good, format!("\"{name}\" on a local disk")),
        Err(_) if !path.exists() => (Health::Good, format!("\"{name}\" will be made by the first offload")),
        Err(CatalogError::Older { .. }) => {
            (Health::Good, format!("\"{name}\" will be brought up to date by the next verb"))
        }
        Err(e) => (Health::Bad, e.to_string()),
    };
    point("catalog", health, text)
}

fn sandbox(station: &Station, tool: &Tool, has_landlock: bool, has_seccomp: bool) -> Point {
    if let Err(e) = tool.check() {
        return point("sandbox", Health::Bad, format!("no metadata and no proxies: {e}"));
    }
    let (health, text) = match (has_landlock, has_seccomp) {
        (true, true) => (Health::Good, "Landlock and seccomp hold the child that reads media"),
        (true, false) => (Health::Note, "only Landlock holds the child that reads media: this kernel has no seccomp"),
        (false, true) => (Health::Note, "only seccomp holds the child that reads media: this kernel has no Landlock"),
        (false, false) if station.config.media.unconfined => (Health::Note, "none, and the settings allow that"),
        (false, false) => (Health::Bad, "none: no metadata and no proxies unless [media] unconfined = true"),
    };
    point("sandbox", health, text.into())
}

/// `disks`: those that destinations before this one lie on.
fn place(what: &'static str, path: &Path, disks: &mut Vec<(String, PathBuf)>) -> Point {
    let name = path.display();
    let bad = |why: String| point(what, Health::Bad, format!("\"{name}\": {why}"));
    // What is missing is made: a destination in a folder that is there, the media root with all above it.
    let above = if what == "destination" { path.parent() } else { path.ancestors().find(|p| p.exists()) };
    let at = above.filter(|_| !path.exists()).unwrap_or(path);
    let seen = match facts::of(at) {
        Ok(facts) => facts,
        Err(e) if e.kind() == ErrorKind::NotFound => return bad("neither it nor the folder above it is there".into()),
        Err(e) => return bad(e.to_string()),
    };
    if seen.mount.read_only {
        return bad("mounted read-only".into());
    }
    let (mut health, mut text) = (Health::Good, format!("\"{name}\" on {}, {}", seen.disk.text, seen.mount.fs_type));
    text += &format!(", {} free", human(seen.free_bytes));
    match takes_direct(at) {
        Ok(Some(true)) => text += ", written directly",
        Ok(Some(false)) => {
            health = Health::Note;
            text += ", through the page cache (no direct I/O there)";
        }
        Ok(None) => {}
        Err(e) => return bad(format!("can not be written to: {e}")),
    }
    let class = facts::read_back_class(&seen.mount.fs_type).name();
    text += &format!(", proofs of class {class}");
    if let Some(id) = seen.disk.id {
        match disks.iter().find(|(other, _)| *other == id) {
            Some((_, other)) => {
                health = Health::Note;
                text += &format!("; the same disk as \"{}\": together they count as one copy", other.display());
            }
            None => disks.push((id, path.to_path_buf())),
        }
    }
    point(what, health, text)
}
