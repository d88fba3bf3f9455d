//! The corpus and random inputs, without a fuzzer.

use std::env;
use std::fs;
use std::path::Path;

use rand::rngs::SmallRng;
use rand::{Rng, RngExt, SeedableRng};
use virtio_fuzz_targets::{TARGETS, differential, run};

/// INV-5, HOST-1: nothing that a fuzzer has come to is a finding.
#[test]
fn corpus_of_every_target_has_no_finding() {
    for (target, _) in TARGETS {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../corpus").join(target);
        let inputs = fs::read_dir(&folder).expect("each target has a corpus");
        let inputs: Vec<_> = inputs.map(|entry| entry.unwrap().path()).collect();
        assert!(!inputs.is_empty(), "{target} has a corpus");
        for input in inputs {
            println!("{}", input.display());
            run(target, &fs::read(&input).unwrap());
        }
    }
}

/// Returns bytes of any length below 2000.
fn random_input(random: &mut SmallRng) -> Vec<u8> {
    let mut input = vec![0; random.random_range(0..2000)];
    random.fill_bytes(&mut input);
    input
}

/// As many inputs for each target as `VIRTIO_RANDOM_INPUTS` says, or 300.
#[test]
fn random_inputs_of_every_target_have_no_finding() {
    let wanted = env::var("VIRTIO_RANDOM_INPUTS").map_or(300, |count| count.parse().unwrap());
    let mut random = SmallRng::seed_from_u64(1);
    for (target, _) in TARGETS {
        for _ in 0..wanted {
            run(target, &random_input(&mut random));
        }
    }
}

/// SPLIT-UNOT-4, EVA-1: rust-vmm's virtio-queue and ours agree on chains, on used rings and on when to notify. As many
/// chains as `VIRTIO_DIFFERENTIAL_CHAINS` says, or 100,000.
#[test]
fn random_traffic_is_the_same_on_both_queues() {
    let wanted = env::var("VIRTIO_DIFFERENTIAL_CHAINS").map_or(100_000, |count| count.parse().unwrap());
    let mut random = SmallRng::seed_from_u64(2);
    let mut chains = 0;
    while chains < wanted {
        chains += differential(&random_input(&mut random));
    }
}
