//! The allocator of addresses.

use virtio_fake_driver::AddressPool;
use virtio_mem_traits::DriverAddr;

use crate::support::range;

#[test]
fn blocks_are_aligned_and_apart() {
    let mut pool = AddressPool::new(range(0x1001, 0x1000));
    let mut taken = vec![false; 0x1000];
    for (len, align) in [(1, 1), (16, 16), (3, 1), (8, 8), (5, 4), (256, 256), (7, 2), (100, 32)].repeat(4) {
        let block = pool.alloc(len, align).unwrap();
        assert!(block.start().is_aligned_to(align));
        assert_eq!(block.len(), len);
        let start = usize::try_from(block.start().0 - 0x1001).unwrap();
        for byte in &mut taken[start..start + usize::try_from(len).unwrap()] {
            assert!(!*byte, "{block} was taken before");
            *byte = true;
        }
    }
}

#[test]
fn everything_can_be_taken_again_in_one_piece_after_it_was_freed_in_any_order() {
    for order in [[0, 1, 2, 3], [3, 2, 1, 0], [1, 3, 0, 2], [2, 0, 3, 1]] {
        let mut pool = AddressPool::new(range(u64::MAX - 39, 40));
        let blocks = [(); 4].map(|()| pool.alloc(10, 1).unwrap());
        assert_eq!(pool.alloc(1, 1), None);
        for index in order {
            pool.free(blocks[index]);
        }
        assert_eq!(pool.alloc(40, 1), Some(range(u64::MAX - 39, 40)));
    }
}

#[test]
fn no_bytes_are_always_there() {
    let mut pool = AddressPool::new(range(0x1001, 1));
    let one = pool.alloc(1, 1).unwrap();
    let none = pool.alloc(0, 16).unwrap();
    assert_eq!((none.start(), none.len()), (DriverAddr(0x1001), 0));
    pool.free(none);
    pool.free(one);
    assert_eq!(pool.alloc(2, 1), None);
    assert_eq!(pool.alloc(1, 2), None);
}
