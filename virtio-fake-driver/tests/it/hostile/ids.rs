//! The rules that the kit breaks.

use std::collections::BTreeSet;
use std::fs;

use virtio_fake_driver::hostile::{self, RingFormat};

/// Returns the ids of the rules for drivers in the list of rules.
fn listed() -> BTreeSet<String> {
    let list = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/conformance.md")).unwrap();
    let rules = list.split("## Not covered by tests here").next().unwrap();
    let ids = rules.lines().filter_map(|line| line.strip_prefix("| ")?.split(' ').next());
    ids.filter(|id| id.starts_with("DRV-") || id.starts_with("HOST-")).map(String::from).collect()
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

/// The page names every attack, and no other.
#[test]
fn page_about_the_kit_names_every_attack() {
    let page = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/hostile.md")).unwrap();
    let words = page.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '-');
    let named: BTreeSet<&str> = words.filter(|word| word.starts_with("DRV-") || word.starts_with("HOST-")).collect();
    let named: BTreeSet<&str> =
        named.into_iter().filter(|word| word.ends_with(|end: char| end.is_ascii_digit())).collect();
    let attacked = [RingFormat::Split, RingFormat::Packed].into_iter().flat_map(hostile::ids);
    assert_eq!(named, attacked.filter(|id| *id != "honest").collect::<BTreeSet<_>>());
}
