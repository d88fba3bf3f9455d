//! Chains of an earlier process that are left to be fetched again.

use virtio_fake_driver::{DriverChain, Split};

use super::*;

/// RECORD-3: a ring cannot say where it is before all of them were fetched again. Chains that are put back are left
/// again.
#[test]
fn chains_are_left_until_they_were_fetched_again() {
    let mem = Memory::new();
    let mut driver = driver::<Split>(&mem, 8, None);
    let config = config(&driver);
    let base = start::<Split>(&config, None);
    let mut queue = resume::<Split>(&mem, &config, &base).unwrap();
    let [_first, second, _third] = [(); 3].map(|()| {
        driver.add(&DriverChain::new().writable(1)).unwrap();
        queue.next_chain().unwrap().unwrap().into_token()
    });
    // Without a gap, the ring would go back instead.
    queue.complete(second, 0).unwrap();
    let ring = RingOf::<Split>::from_config(&config, Rc::clone(&mem)).unwrap();
    let (recorder, saved) = ring.resume(&config, record::<Split>(&mem, 8), base).unwrap();
    let left = recorder.left();
    let again = RecordedRing::new(ring, recorder);
    let mut queue = Queue::restore(again, NotificationCounter::new(), &saved).unwrap().0;
    assert!(!left.is_nothing());
    let [_first, third] = [false, true].map(|is_last| {
        let token = queue.next_chain().unwrap().unwrap().into_token();
        assert_eq!(left.is_nothing(), is_last);
        token
    });
    queue.unfetch(third).unwrap();
    assert!(!left.is_nothing());
}
