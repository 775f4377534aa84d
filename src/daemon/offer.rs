//! A volume that was ejected and is back: a line says how its copies are proven once more, and a person decides.

use crate::catalog::{Catalog, CatalogError};
use crate::disk::facts::{self, Facts};
use crate::eject;
use jiff::Timestamp;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

#[derive(Default)]
pub(super) struct Offers {
    /// Mounts that were asked once: facts of one do not change while it lasts.
    known: BTreeMap<(u64, PathBuf), Option<Facts>>,
    /// Any volume.
    last_ejected: Option<Timestamp>,
    said: BTreeSet<(String, Timestamp)>,
}

impl Offers {
    /// Blocking. Each volume is offered once for each time that it was ejected; nothing is looked at while no mount came
    /// and nothing was ejected.
    pub(super) fn look(&mut self, catalog: &Path) -> Result<Vec<String>, CatalogError> {
        // Before the mounts: what is ejected in between is seen the next time.
        let catalog = Catalog::open_read_only(catalog)?;
        let last_ejected = catalog.last_ejected()?;
        let now = facts::mounts().unwrap_or_default();
        let now: Vec<_> = now.into_iter().filter(|m| m.source.starts_with("/dev")).collect();
        self.known.retain(|(id, point), _| now.iter().any(|m| m.id == *id && m.point == *point));
        if last_ejected != self.last_ejected {
            // A drive that comes back at once may get the number of its old mount.
            self.known.clear();
            self.last_ejected = last_ejected;
        }
        let before = self.known.len();
        for mount in &now {
            let facts = || facts::of(&mount.point).ok().filter(|f| f.mount.id == mount.id);
            self.known.entry((mount.id, mount.point.clone())).or_insert_with(facts);
        }
        if self.known.len() == before {
            return Ok(Vec::new());
        }
        let keys = self.known.values().flatten().map(|f| f.volume_key.clone()).collect();
        let offers = eject::offers(&catalog, &keys)?;
        Ok(offers.into_iter().filter(|o| self.said.insert(o.clone())).map(|(text, _)| text).collect())
    }
}
