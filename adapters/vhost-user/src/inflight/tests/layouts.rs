//! How a record lies in memory: libvhost-user and DPDK have it like this.

use virtio_fake_driver::DriverChain;

use super::*;
use crate::inflight::layout;

/// Writes what it stands for at an offset.
fn bytes(len: usize, fields: &[(usize, &[u8])]) -> Vec<u8> {
    let mut bytes = vec![0; len];
    for (offset, field) in fields {
        bytes[*offset..*offset + field.len()].copy_from_slice(field);
    }
    bytes
}

/// The sizes are `ALIGN_UP(sizeof(VuDescStateSplit) * queue_size + sizeof(uint16_t), 64)` in libvhost-user, and those
/// of the structures in DPDK.
#[test]
fn parts_for_queues_are_as_far_apart_as_elsewhere() {
    for size in [1_u16, 2, 3, 4, 5, 128, 256, 1024, 32768] {
        let entries = u64::from(size);
        assert_eq!(layout::SPLIT.stride(size), (16 * entries + 2).next_multiple_of(64), "{size}");
        assert_eq!(layout::PACKED.stride(size), (32 + 32 * entries).next_multiple_of(64), "{size}");
    }
    assert_eq!([layout::SPLIT.len(4), layout::PACKED.len(4)], [16 + 4 * 16, 32 + 4 * 32]);
}

/// Two chains are fetched, the second is returned, and a third is fetched.
#[test]
fn split_record_lies_in_memory_as_the_text_has_it() {
    let mem = Memory::new();
    let mut driver = driver::<Split>(&mem, 4, Some(0xffff));
    let config = config(&driver);
    let mut queue = resume::<Split>(&mem, &config, &start::<Split>(&config, Some(0xffff))).unwrap();
    let ids = [(); 3].map(|()| driver.add(&DriverChain::new().writable(1)).unwrap());
    let _first = queue.next_chain().unwrap().unwrap().into_token();
    let second = queue.next_chain().unwrap().unwrap().into_token();
    queue.complete(second, 0).unwrap();
    let _third = queue.next_chain().unwrap().unwrap().into_token();
    let [first, second, third] = ids.map(|id| 16 + 16 * usize::from(id));
    let expected = bytes(
        80,
        &[
            (8, &1_u16.to_ne_bytes()),   // version
            (10, &4_u16.to_ne_bytes()),  // desc_num
            (12, &ids[1].to_ne_bytes()), // last_batch_head
            (14, &0_u16.to_ne_bytes()),  // used_idx, after 0xffff
            (first, &[1]),               // inflight
            (first + 8, &0_u64.to_ne_bytes()),
            (second, &[0]),
            (second + 6, &0_u16.to_ne_bytes()), // next
            (second + 8, &1_u64.to_ne_bytes()), // counter
            (third, &[1]),
            (third + 8, &2_u64.to_ne_bytes()),
        ],
    );
    assert_eq!(mem.peek(0, 80), expected);
}

/// A chain of two is fetched, then one of one, which is returned; then a third is fetched. The ring ends between them.
#[test]
fn packed_record_lies_in_memory_as_the_text_has_it() {
    let mem = Memory::new();
    let mut driver = driver::<Packed>(&mem, 4, Some(0x8003));
    let config = config(&driver);
    let mut queue = resume::<Packed>(&mem, &config, &start::<Packed>(&config, Some(0x8003))).unwrap();
    let two = DriverChain::new().readable([7; 3]).writable(5);
    let ids = [driver.add(&two), driver.add(&DriverChain::new().writable(1))].map(Result::unwrap);
    let first = queue.next_chain().unwrap().unwrap();
    let ranges: Vec<_> = first.walk().map(|element| element.unwrap().range).collect();
    let _first = first.into_token();
    let second = queue.next_chain().unwrap().unwrap().into_token();
    queue.complete(second, 0).unwrap();
    let found = mem.peek(0, 32 + 4 * 32);
    let header = bytes(
        32,
        &[
            (8, &1_u16.to_ne_bytes()),  // version
            (10, &4_u16.to_ne_bytes()), // desc_num
            (12, &2_u16.to_ne_bytes()), // free_head
            (14, &2_u16.to_ne_bytes()), // old_free_head
            (16, &0_u16.to_ne_bytes()), // used_idx
            (18, &0_u16.to_ne_bytes()), // old_used_idx
            (20, &[0, 0]),              // used_wrap_counter, old_used_wrap_counter
        ],
    );
    assert_eq!(found[..32], header);
    let head = bytes(
        32,
        &[
            (0, &[1]),                  // inflight
            (2, &1_u16.to_ne_bytes()),  // next
            (4, &1_u16.to_ne_bytes()),  // last
            (6, &2_u16.to_ne_bytes()),  // num
            (8, &0_u64.to_ne_bytes()),  // counter
            (18, &found[50..52]),       // flags: below
            (20, &3_u32.to_ne_bytes()), // len
            (24, &ranges[0].start().0.to_ne_bytes()),
        ],
    );
    let id = found[48..50].to_vec();
    assert_eq!(found[32..64], bytes(32, &[(0, &head), (16, &id)]));
    let [head_flags, last_flags] = [50, 82].map(|at| u16::from_ne_bytes([found[at], found[at + 1]]));
    // NEXT and AVAIL; WRITE, AVAIL in the lap after it, where it is USED.
    assert_eq!((head_flags, last_flags), (1 | 1 << 7, 2 | 1 << 15));
    assert_eq!(found[80..82], ids[0].to_ne_bytes(), "the Buffer ID, in the last descriptor");
    // Returned: not in flight, free, and in front of what was free before.
    let free = 96;
    assert_eq!((found[free], &found[free + 2..free + 4]), (0, &3_u16.to_ne_bytes()[..]));
    assert_eq!(found[free + 8..free + 16], 1_u64.to_ne_bytes(), "counter");
}
