//! AJA Ki Pro: scene, a letter for the shot, take: `SC1ATK1.mov`.

use super::family::{Family, rule};
use crate::clip::Role::Essence;

pub(super) const FAMILY: Family = Family {
    layout: "aja-ki-pro",
    markers: &[r"(aja/)?sc\d{1,4}[a-z]?tk\d{1,4}\.(mov|mxf|mp4)"],
    rules: &[rule(
        Essence,
        r"(?<at>(?:aja/)?)(?<clip>sc(?<scene>\d{1,4})(?<shot>[a-z]?)tk(?<take>\d{1,4}))\.(mov|mxf|mp4)",
    )],
    finish: None,
};

#[cfg(test)]
mod tests {
    use crate::card::tests::{listing, recognise};

    #[test]
    fn scene_shot_and_take_are_in_the_name() {
        let card = recognise(listing(&[(b"AJA/SC12ATK3.mov", 1), (b"AJA/SC2TK1.mov", 1)]));
        let said = |n: usize| card.clips[n].said.iter().map(|s| format!("{}={}", s.fact.field.name(), s.fact.value));
        assert_eq!(said(0).collect::<Vec<_>>(), ["scene=12", "shot=A", "take=3"]);
        assert_eq!(said(1).collect::<Vec<_>>(), ["scene=2", "take=1"]);
        assert_eq!(card.layouts, ["aja-ki-pro"]);
    }
}
