//! The rules that the kit breaks.

use std::collections::BTreeSet;
use std::fs;

use virtio_fake_driver::hostile::{self, RingFormat};

/// Returns the ids of the rules for drivers in the list of rules.
fn listed() -> BTreeSet<String> {
    let list = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/conformance.md")).unwrap();
    let rules = list.split("## Not covered by tests here").next().unwrap();
    let ids = rules.lines().filter_map(|line| line.strip_prefix("| ")?.split(' ').next());
    ids.filter(|word| is_rule(word)).map(String::from).collect()
}

/// Returns whether a word is the id of a rule for drivers, and not the prefix of several.
fn is_rule(word: &str) -> bool {
    let of_drivers = word.starts_with("DRV-") || word.starts_with("HOST-");
    of_drivers && word.ends_with(|end: char| end.is_ascii_digit())
}

/// FD-13
#[test]
fn every_rule_for_drivers_has_an_attack_or_a_reason() {
    let attacked = [RingFormat::Split, RingFormat::Packed].into_iter().flat_map(hostile::ids);
    let attacked: BTreeSet<String> = attacked.filter(|id| *id != "honest").map(String::from).collect();
    let reasons: BTreeSet<String> = hostile::not_covered().map(|(id, _)| id.to_string()).collect();
    assert_eq!(attacked.intersection(&reasons).collect::<Vec<_>>(), [] as [&String; 0]);
    assert_eq!(attacked.union(&reasons).cloned().collect::<BTreeSet<_>>(), listed());
}

/// What the ids of rules about one format begin with.
const SPLIT_AREAS: [&str; 7] =
    ["DRV-FRM-1", "DRV-DESC-", "DRV-IND-", "DRV-AVAIL-", "DRV-UNOT-", "DRV-ANOT-", "DRV-BAR-"];
const PACKED_AREAS: [&str; 4] = ["DRV-PDESC-", "DRV-PSG-", "DRV-PIND-", "DRV-PBAR-"];

/// Rules that only a split ring can break: packed rings have no index, no entries and no links, take no table after
/// direct elements, and bound their slots by HOST-5 instead of HOST-4.
const SPLIT_ONLY: [&str; 8] = ["DRV-CFG-1", "DRV-FEAT-6", "HOST-1", "HOST-2", "HOST-3", "HOST-4", "HOST-26", "HOST-31"];

/// Rules that only a packed ring can break: split rings have no wrap counters, no Buffer IDs and no event modes, and
/// their chains take one slot.
const PACKED_ONLY: [&str; 5] = ["DRV-CFG-2", "HOST-5", "HOST-18", "HOST-19", "HOST-21"];

/// FD-13: a rule that is not about one format is broken in both.
#[test]
fn every_rule_about_both_formats_has_an_attack_in_both() {
    let about =
        |id: &str, areas: &[&str], only: &[&str]| areas.iter().any(|area| id.starts_with(area)) || only.contains(&id);
    let [split, packed]: [BTreeSet<&str>; 2] =
        [RingFormat::Split, RingFormat::Packed].map(|format| hostile::ids(format).collect());
    let all = &split | &packed;
    let of_split = all.iter().copied().filter(|id| !about(id, &PACKED_AREAS, &PACKED_ONLY));
    assert_eq!(split, of_split.collect::<BTreeSet<_>>());
    let of_packed = all.iter().copied().filter(|id| !about(id, &SPLIT_AREAS, &SPLIT_ONLY));
    assert_eq!(packed, of_packed.collect::<BTreeSet<_>>());
}

/// The page names every attack, and no other.
#[test]
fn page_about_the_kit_names_every_attack() {
    let page = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/hostile.md")).unwrap();
    let words = page.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '-');
    let named: BTreeSet<&str> = words.filter(|word| is_rule(word)).collect();
    let attacked = [RingFormat::Split, RingFormat::Packed].into_iter().flat_map(hostile::ids);
    assert_eq!(named, attacked.filter(|id| *id != "honest").collect::<BTreeSet<_>>());
}
