//! Who owns a chain in flight, and for how long it can be walked.

use static_assertions::{assert_impl_all, assert_not_impl_any};

use std::rc::Rc;
use std::sync::Arc;

use virtio_fake_driver::{DriverChain, FixtureOptions, Packed, QueueFormat, Split, SplitFixture, TestMem};
use virtio_queue_core::packed::PackedRing;
use virtio_queue_core::split::SplitRing;
use virtio_queue_core::{
    AnyRing, DescChain, InOrderRing, KeepsDescriptors, OrderSlot, OrderedRing, Queue, QueueLimits, Refused,
    ReturnError, ReturnTo, Ring, SplitQueue, Token,
};

type Mem = Rc<TestMem>;

// Used descriptors of a packed ring are written over those of chains in flight.
assert_not_impl_any!(PackedRing<Mem>: KeepsDescriptors);
assert_not_impl_any!(AnyRing<Mem>: KeepsDescriptors);
assert_not_impl_any!(InOrderRing<PackedRing<Mem>, [OrderSlot; 8]>: KeepsDescriptors);
assert_impl_all!(SplitRing<Mem>: KeepsDescriptors);
assert_impl_all!(InOrderRing<SplitRing<Mem>, [OrderSlot; 8]>: KeepsDescriptors);
assert_impl_all!(OrderedRing<PackedRing<Mem>, [OrderSlot; 8]>: KeepsDescriptors);

/// Walks along the first of two chains before and after the second was returned.
fn check_ordered<F: QueueFormat>()
where
    F::Ring<Mem>: virtio_queue_core::FromConfig,
{
    let mut fixture = FixtureOptions::<F> { size: 8, ..Default::default() }.build().unwrap();
    let config = fixture.driver.queue_config(QueueLimits::default());
    let (mem, notify) = (Rc::clone(&fixture.mem), Arc::clone(&fixture.notifications));
    let mut queue = Queue::<OrderedRing<F::Ring<Mem>, [OrderSlot; 8]>, _>::new(&config, mem, notify).unwrap();
    fixture.driver.add(&DriverChain::new().readable(b"first").writable(4)).unwrap();
    fixture.driver.add(&DriverChain::new().readable(b"2").writable(4096)).unwrap();
    let first = queue.next_chain().unwrap().unwrap().into_token();
    let second = queue.next_chain().unwrap().unwrap().into_token();
    let first = queue.chain(first).unwrap();
    let before: Vec<_> = first.walk().collect();
    let first = first.into_token();
    queue.complete(second, 4096).unwrap();
    assert_eq!(fixture.driver.reap(), Ok(None), "it waits for its turn");
    let first = queue.chain(first).unwrap();
    assert_eq!(first.walk().collect::<Vec<_>>(), before);
    first.return_written(4).unwrap();
    // One by one, because the driver knows nothing of batches.
    let used: Vec<_> = fixture.driver.reap_all().unwrap().iter().map(|used| used.len).collect();
    assert_eq!(used, [4, 4096]);
}

/// PACK-WRAP-9, HOST-20: a chain is what it was when it was fetched, whatever was returned meanwhile.
#[test]
fn chain_of_ordered_ring_can_be_walked_until_it_is_returned() {
    check_ordered::<Split>();
    check_ordered::<Packed>();
}

/// QRST-5: a driver that breaks a queue cannot keep it from being reset.
#[test]
fn chains_of_broken_queue_completed_let_reset_end() {
    let mut fixture = SplitFixture::new(8);
    (0..2).for_each(|_| _ = fixture.driver.add(&DriverChain::new().writable(4)).unwrap());
    let tokens = [(); 2].map(|()| fixture.queue.next_chain().unwrap().unwrap().into_token());
    fixture.driver.raw().set_available_index(100);
    let fault = fixture.queue.next_chain().map(drop).unwrap_err();
    for token in tokens {
        assert_eq!(fixture.queue.complete(token, 4), Err(ReturnError::Broken(fault)));
    }
    let resetting = fixture.queue.reset();
    assert!(resetting.is_complete());
    assert!(resetting.finish().is_ok());
}

/// QRST-5, GEN-5: a chain that could not be returned is counted once, whoever holds on to it.
#[test]
fn refused_chain_is_not_in_flight() {
    let mut fixture = FixtureOptions::<Split>::default().build_on(|heap, driver| {
        let mem = TestMem::new(heap);
        mem.split_at(driver.areas().used_element(0).start());
        Rc::new(mem)
    });
    let fixture = fixture.as_mut().unwrap();
    (0..2).for_each(|_| _ = fixture.driver.add(&DriverChain::new().writable(4)).unwrap());
    let other = fixture.queue.next_chain().unwrap().unwrap().into_token();
    let chain = fixture.queue.next_chain().unwrap().unwrap();
    fixture.mem.unmap(fixture.driver.areas().used_ring());
    let Refused { chain, .. } = chain.try_return_written(0).unwrap_err();
    let token = chain.into_token();
    assert_eq!(fixture.queue.in_flight(), 1);
    assert!(fixture.queue.complete(Token::from_u64(token.into_u64()), 0).is_err());
    assert_eq!(fixture.queue.in_flight(), 1);
    assert!(fixture.queue.complete(other, 0).is_err());
    assert_eq!(fixture.queue.in_flight(), 0);
}

/// Tries to return a chain to where none is taken.
fn check_refused<F: QueueFormat>() {
    struct Nowhere;
    impl<R: Ring> ReturnTo<R> for Nowhere {
        fn complete(&mut self, _: &R, token: Token, _: u32) -> Result<(), ReturnError> {
            Err(ReturnError::Stale { id: token.id() })
        }

        fn unfetch(&mut self, _: &R, token: Token) -> Result<(), Refused<Token, ReturnError>> {
            let error = ReturnError::Stale { id: token.id() };
            Err(Refused { chain: token, error })
        }
    }
    let mut fixture = FixtureOptions::<F> { size: 8, ..Default::default() }.build().unwrap();
    let [_, id] = [4, 5].map(|len| fixture.driver.add(&DriverChain::new().writable(len)).unwrap());
    let (ring, mut state) = fixture.queue.into_parts();
    let [_, token] = [(); 2].map(|()| state.fetch(&ring).unwrap().unwrap());
    let chain = DescChain::new(&ring, token, Nowhere);
    let before: Vec<_> = chain.walk().collect();
    let Refused { chain, error } = chain.try_return_written(0).unwrap_err();
    assert_eq!(error, ReturnError::Stale { id });
    assert_eq!((chain.id(), chain.walk().collect()), (id, before));
    assert_eq!(state.check(&chain.into_token()), Err(ReturnError::Stale { id }), "it was used up");
}

#[test]
fn refused_chain_is_as_it_was_before() {
    check_refused::<Split>();
    check_refused::<Packed>();
}

/// QRST-8, GEN-5: a token of an earlier life becomes no chain, and nothing is accessed on its account.
#[test]
fn stale_token_becomes_no_chain() {
    let SplitFixture { mut queue, mut driver, mem, notifications } = SplitFixture::new(8);
    let id = driver.add(&DriverChain::new().writable(4)).unwrap();
    let old = queue.next_chain().unwrap().unwrap().into_token();
    drop(queue);
    let config = driver.queue_config(QueueLimits::default());
    let mut queue = SplitQueue::new(&config, Rc::clone(&mem), notifications).unwrap();
    mem.start_log();
    assert_eq!(queue.chain(old).map(drop), Err(ReturnError::Stale { id }));
    assert_eq!(mem.take_log(), []);
}

/// Nothing of the place where a chain returns to is left behind, however the chain ends.
#[test]
fn home_of_a_chain_ends_with_it() {
    struct Home {
        _queue: Rc<()>,
    }
    impl<R: Ring> ReturnTo<R> for Home {
        fn complete(&mut self, _: &R, _: Token, _: u32) -> Result<(), ReturnError> {
            Ok(())
        }

        fn unfetch(&mut self, _: &R, _: Token) -> Result<(), Refused<Token, ReturnError>> {
            Ok(())
        }
    }
    let home = Rc::new(());
    let mut fixture = SplitFixture::new(8);
    let (ring, mut state) = {
        (0..5).for_each(|_| _ = fixture.driver.add(&DriverChain::new().writable(4)).unwrap());
        fixture.queue.into_parts()
    };
    let mut chain = || DescChain::new(&ring, state.fetch(&ring).unwrap().unwrap(), Home { _queue: Rc::clone(&home) });
    drop(chain());
    chain().return_written(4).unwrap();
    assert!(chain().return_written(5).is_err());
    let _ = chain().into_token();
    chain().unfetch().unwrap();
    assert_eq!(Rc::strong_count(&home), 1);
}
