//! Tokens that were made up, for a queue that remembers its chains.

use rand::rngs::Xoshiro256PlusPlus;
use rand::{RngExt, SeedableRng};
use virtio_fake_driver::features::EVENT_IDX;
use virtio_fake_driver::{DriverChain, QueueFormat};
use virtio_queue_core::{OrderStorage, ReturnError, Token};

use super::{Rig, chain, for_each_ring, packed_rig};
use crate::support::logged;

fn check_made_up<F: QueueFormat, S: OrderStorage>(features: u64) {
    let mut rig = Rig::<F, S>::new(8, features);
    for _ in 0..9 {
        let mut chains = vec![DriverChain::new().writable(2); 6];
        chains[0] = chain(0);
        let tokens = rig.fetch(&chains);
        let numbers: Vec<u64> = tokens.into_iter().map(|token| token.unwrap().into_u64()).collect();
        let in_flight = rig.queue.in_flight();
        for number in &numbers {
            // The id is right, and where the chain begins or how many slots it takes is not.
            for other in [1 << 16, 1 << 18, 1 << 31, 1 << 32] {
                let made_up = Token::from_u64(number ^ other);
                let refused = Err(ReturnError::Stale { id: made_up.id() });
                let (returned, log) = logged(&rig.mem, || rig.queue.complete(made_up, 0));
                assert_eq!((returned, log, rig.queue.in_flight()), (refused, vec![], in_flight), "{other:#x}");
            }
        }
        for (number, len) in numbers.iter().zip([0, 2, 2, 2, 2, 2]).rev() {
            rig.queue.complete(Token::from_u64(*number), len).unwrap();
        }
        for number in numbers {
            let id = Token::from_u64(number).id();
            assert_eq!(rig.queue.complete(Token::from_u64(number), 0), Err(ReturnError::Stale { id }), "twice");
        }
        assert_eq!(rig.reap(), [0, 2, 2, 2, 2, 2]);
    }
}

/// QRST-8, INV-1, INV-4: a queue that keeps the order remembers its chains: of numbers that were made up, those with
/// the wrong place or length are refused even if the id is one in flight.
#[test]
fn tokens_with_wrong_place_refused() {
    for_each_ring!(check_made_up(0, EVENT_IDX));
}

/// INV-1, INV-4: numbers that were made up for a queue that keeps the order. They may return somebody else's chain, and
/// do nothing worse.
#[test]
fn forged_tokens_do_no_harm() {
    let (mut rig, _) = packed_rig(8, 0);
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(3);
    for _ in 0..300 {
        let lists = [1, 3, 2, 2].map(|len| DriverChain::new().writable_cut(len, &vec![1; len as usize]));
        for list in lists {
            let _ = rig.driver.add(&list);
        }
        let mut last = None;
        while let Ok(Some(chain)) = rig.queue.next_chain() {
            last = Some(chain.into_token().into_u64());
        }
        let Some(number) = last else { break };
        for _ in 0..8 {
            // Everything but the generation, in its higher bits.
            let made_up = Token::from_u64(number ^ rng.random::<u64>() & 0x7_0007_0007);
            let _ = rig.queue.complete(made_up, 1);
        }
        assert!(rig.queue.in_flight() <= 8);
        let _ = rig.driver.reap_all();
    }
}
