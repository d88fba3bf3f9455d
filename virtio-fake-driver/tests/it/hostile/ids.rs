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

/// The page names every attack, and no other.
#[test]
fn page_about_the_kit_names_every_attack() {
    let page = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/hostile.md")).unwrap();
    let words = page.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '-');
    let named: BTreeSet<&str> = words.filter(|word| is_rule(word)).collect();
    let attacked = [RingFormat::Split, RingFormat::Packed].into_iter().flat_map(hostile::ids);
    assert_eq!(named, attacked.filter(|id| *id != "honest").collect::<BTreeSet<_>>());
}
