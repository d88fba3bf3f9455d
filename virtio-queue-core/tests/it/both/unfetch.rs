//! Chains that are put back as if they had not been fetched.

use virtio_fake_driver::features::EVENT_IDX;
use virtio_fake_driver::{DriverChain, Fixture, FixtureOptions, Packed, QueueFormat, Split};
use virtio_queue_core::{Armed, Refused, ReturnError};

use crate::support::fetch;

fn fixture<F: QueueFormat>(features: u64) -> Fixture<F> {
    FixtureOptions { size: 8, features, ..Default::default() }.build().unwrap()
}

/// Puts back what was fetched last, and finds all of it again, at every position of a small ring.
fn check_found_again<F: QueueFormat>(features: u64) {
    let mut fixture = fixture::<F>(features);
    for round in 0..40_u32 {
        let lists: Vec<_> = (0..3)
            .map(|cut| DriverChain::new().readable(b"?").writable_cut(2, &vec![1; cut % 2]))
            .map(|chain| fixture.driver.add(&chain).unwrap())
            .collect();
        let tokens: Vec<_> = (0..=round % 3).map(|_| fetch(&mut fixture.queue)).collect();
        for token in tokens.into_iter().rev() {
            fixture.queue.unfetch(token).unwrap();
        }
        assert_eq!(fixture.queue.in_flight(), 0);
        for id in lists {
            let chain = fixture.queue.next_chain().unwrap().unwrap();
            assert_eq!(chain.id(), id);
            chain.unfetch().unwrap();
            let mut burst = fixture.queue.burst();
            let chain = burst.next_chain().unwrap().unwrap();
            assert_eq!(chain.id(), id);
            chain.unfetch().unwrap();
            let token = burst.next_chain().unwrap().unwrap().into_token();
            burst.unfetch(token).unwrap();
            assert_eq!(burst.next_chain().unwrap().unwrap().id(), id);
        }
        assert!(fixture.queue.next_chain().unwrap().is_none());
        assert_eq!(fixture.driver.reap_all().unwrap().len(), 3);
        assert_eq!(fixture.driver.in_flight(), 0);
    }
}

/// BACK-1
#[test]
fn chain_put_back_is_fetched_again() {
    for features in [0, EVENT_IDX] {
        check_found_again::<Split>(features);
        check_found_again::<Packed>(features);
    }
}

/// Puts chains back in another order than the reverse one.
fn check_order<F: QueueFormat>() {
    let mut fixture = fixture::<F>(0);
    for len in 1..=3 {
        fixture.driver.add(&DriverChain::new().writable(len)).unwrap();
    }
    let [first, second, third] = [(); 3].map(|()| fetch(&mut fixture.queue));
    let id = first.id();
    let Refused { chain: first, error } = fixture.queue.unfetch(first).unwrap_err();
    assert_eq!(error, ReturnError::NotLast { id });
    assert_eq!(fixture.queue.in_flight(), 3);
    fixture.queue.complete(second, 0).unwrap();
    fixture.queue.unfetch(third).unwrap();
    // The one before it was returned: there is nothing to put this one behind.
    let Refused { chain: first, error } = fixture.queue.unfetch(first).unwrap_err();
    assert_eq!((error, fixture.queue.in_flight()), (ReturnError::NotLast { id }, 1));
    fixture.queue.complete(first, 0).unwrap();
    assert_eq!(fixture.driver.reap_all().unwrap().len(), 2);
}

/// BACK-1
#[test]
fn chain_that_is_not_the_last_is_refused() {
    check_order::<Split>();
    check_order::<Packed>();
}

/// GEN-5, QRST-8: a token of another life is refused, and is in the error.
fn check_stale<F: QueueFormat>() {
    let (mut one, mut other) = (fixture::<F>(0), fixture::<F>(0));
    for fixture in [&mut one, &mut other] {
        fixture.driver.add(&DriverChain::new().writable(1)).unwrap();
    }
    let token = fetch(&mut one.queue);
    let kept = fetch(&mut other.queue);
    let id = token.id();
    let Refused { chain: token, error } = other.queue.unfetch(token).unwrap_err();
    assert_eq!((error, other.queue.in_flight()), (ReturnError::Stale { id }, 1));
    one.queue.unfetch(token).unwrap();
    other.queue.complete(kept, 1).unwrap();
}

#[test]
fn stale_token_is_not_put_back() {
    check_stale::<Split>();
    check_stale::<Packed>();
}

/// SPLIT-ANOT-6, PACK-EVT-7: the device needs more buffers than there are, and leaves them. The driver kicks when it
/// adds another.
fn check_kick<F: QueueFormat>(features: u64) {
    let mut fixture = fixture::<F>(features);
    let chain = DriverChain::new().writable_cut(2, &[1]);
    for available in 0..3 {
        let left: Vec<_> = (0..available).map(|_| fetch(&mut fixture.queue)).collect();
        assert!(fixture.queue.next_chain().unwrap().is_none());
        for token in left.into_iter().rev() {
            fixture.queue.unfetch(token).unwrap();
        }
        assert_eq!(fixture.queue.enable_notifications_of_more().unwrap(), Armed::Waiting, "{available}");
        fixture.driver.add(&chain).unwrap();
        assert!(fixture.driver.needs_kick(), "{available}");
        assert_eq!(fixture.queue.enable_notifications_of_more().unwrap(), Armed::MoreAvailable, "{available}");
        // Without the chains that are there already, it would have to look at them at once.
        assert_eq!(fixture.queue.enable_notifications().unwrap(), Armed::MoreAvailable);
    }
}

/// BACK-2
#[test]
fn driver_kicks_for_one_more_buffer() {
    for features in [0, EVENT_IDX] {
        check_kick::<Split>(features);
        check_kick::<Packed>(features);
    }
}

/// HOST-28: a driver whose index goes back to what was put back keeps nobody busy.
#[test]
fn index_that_goes_back_to_what_was_put_back_is_waited_for() {
    for features in [0, EVENT_IDX] {
        let mut fixture = fixture::<Split>(features);
        for _ in 0..2 {
            fixture.driver.add(&DriverChain::new().writable(1)).unwrap();
        }
        let [first, second] = [(); 2].map(|()| fetch(&mut fixture.queue));
        fixture.queue.unfetch(second).unwrap();
        let index = fixture.driver.areas().available_index().start();
        fixture.driver.raw().view().poke(index, &1_u16.to_le_bytes());
        assert_eq!(fixture.queue.enable_notifications_of_more().unwrap(), Armed::Waiting);
        assert!(fixture.queue.next_chain().unwrap().is_none());
        assert_eq!(fixture.queue.enable_notifications_of_more().unwrap(), Armed::Waiting);
        fixture.queue.complete(first, 0).unwrap();
    }
}
