//! Atomos recorders: unit, scene, shot and take are in the name, and nowhere else.

use super::family::{Family, rule};
use crate::clip::Role::{Essence, Sidecar};

pub(super) const FAMILY: Family = Family {
    layout: "atomos",
    markers: &[r"[a-z0-9-]+_s\d{3}_s\d{3}_t\d{3}\.mov"],
    rules: &[
        rule(Essence, r"(?<clip>(?<camera>[a-z0-9-]+)_s(?<scene>\d{3})_s(?<shot>\d{3})_t(?<take>\d{3}))\.(mov|mp4)"),
        rule(Sidecar, r"(?<clip>[a-z0-9-]+_s\d{3}_s\d{3}_t\d{3})\.(fcpxml|xml|wav|txt)"),
    ],
    finish: None,
};

#[cfg(test)]
mod tests {
    use crate::card::tests::{clips, listing, recognise};

    #[test]
    fn a_take_is_a_clip_and_its_name_says_which() {
        let names = ["NINJAV_S001_S002_T003.MOV", "NINJAV_S001_S002_T003.FCPXML", "Frame Grab 1.png"];
        let line =
            "atomos NINJAV_S001_S002_T003: NINJAV_S001_S002_T003.MOV=essence NINJAV_S001_S002_T003.FCPXML=sidecar";
        assert_eq!(clips(&names), [line]);
        let card = recognise(listing(&[(b"dump/NINJAV_S001_S002_T003.MOV", 1)]));
        let said = card.clips[0].said.iter().map(|s| format!("{}={}", s.fact.field.name(), s.fact.value));
        assert_eq!(said.collect::<Vec<_>>(), ["camera=NINJAV", "scene=001", "shot=002", "take=003"]);
    }

    #[test]
    fn other_names_with_underscores_are_not_taken() {
        assert_eq!(clips(&["A_S1_S1_T1.MOV"]), ["generic A_S1_S1_T1: A_S1_S1_T1.MOV=essence"]);
    }
}
