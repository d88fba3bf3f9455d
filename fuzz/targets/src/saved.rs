//! Positions and chains of an earlier life that are not to be trusted.

use std::sync::Arc;

use virtio_mem_traits::zerocopy::FromBytes;
use virtio_queue_core::{AnyRing, FromConfig, Head, Queue, Restorable, SavedQueue};
use virtio_ring::packed::Descriptor;

use crate::input::Input;
use crate::memory::Memory;
use crate::ring::{Ring, config};

/// Restores a queue, adopts chains, and goes on.
pub(crate) fn run(input: &[u8]) {
    let mut input = Input::new(input);
    let mem = Memory::new(&mut input);
    let packed = input.flag();
    let config = config(&mut input, packed);
    let mut ring = Ring::new(&mem, &config);
    (0..input.u8() % 8).for_each(|_| ring.write_descriptor(&mut input));
    (0..input.u8() % 4).for_each(|_| ring.write_anywhere(&mut input));
    let saved = if input.flag() {
        SavedQueue::at(input.u16(), input.u16(), config.features)
    } else {
        let Ok(saved) = SavedQueue::from_vring_base(input.u32(), config.features) else { return };
        saved
    };
    let Ok(from) = AnyRing::from_config(&config, Arc::clone(&mem)) else { return };
    let before = mem.work();
    let restored = Queue::restore(from, Arc::<crate::ring::Interrupts>::default(), &saved);
    // Each slot is looked at once, and translated if the ring is in pieces.
    assert!(mem.work() - before <= 4 * u64::from(config.size) + 20);
    let Ok((mut queue, _)) = restored else { return };
    assert_eq!(queue.in_flight(), 0);
    let tokens: Vec<_> = (0..input.u8() % 8).filter_map(|_| adopt(&mut input, &mut queue).ok()).collect();
    assert!(queue.in_flight() <= config.size);
    while !input.is_empty() {
        ring.offer(&mut input);
        match queue.next_chain() {
            Ok(Some(chain)) => assert!(chain.walk().count() <= usize::from(u16::MAX)),
            Ok(None) => {}
            Err(_) => break,
        }
    }
    let broken = queue.is_broken();
    for token in tokens {
        assert!(queue.complete(token, input.u32()).is_ok() || broken || queue.is_broken());
    }
    assert!(broken || queue.is_broken() || queue.in_flight() == 0);
    mem.check();
}

type Restored = Queue<AnyRing<Arc<Memory>>, Arc<crate::ring::Interrupts>>;

/// Adopts a chain, and walks along what was stored of it.
fn adopt(
    input: &mut Input<'_>,
    queue: &mut Restored,
) -> Result<virtio_queue_core::Token, virtio_queue_core::AdoptError> {
    let head = Head::new(u16::from(input.u8()), input.u16(), u16::from(input.u8() % 8));
    let stored: Vec<_> =
        (0..input.u8() % 8).filter_map(|_| Descriptor::read_from_bytes(input.bytes(Descriptor::SIZE)).ok()).collect();
    let token = queue.adopt(head)?;
    let (ring, _) = queue.parts_mut();
    assert!(ring.walk_stored(head, &stored).count() <= usize::from(u16::MAX));
    Ok(token)
}
