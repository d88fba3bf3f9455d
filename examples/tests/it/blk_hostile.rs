//! Chains that no driver should make. The device reports each, returns it, and goes on.

use virtio_examples::blk::{MemStorage, RequestError};
use virtio_fake_driver::split::Descriptor;
use virtio_fake_driver::{DriverChain, Traffic, TrafficLimits};
use virtio_mem_traits::{Access, DriverAddr, DriverRange};

use crate::disk::{Disk, IN, IOERR, OK, OUT, SECTOR, header, pattern, request};

/// Checks that the device goes on after it.
fn check_alive(disk: &mut Disk) {
    assert_eq!(disk.send(&request(IN, 0, [], 512)).payload(), &disk.stored()[..SECTOR]);
    assert_eq!(disk.fixture.queue.in_flight(), 0);
}

fn new_disk() -> Disk {
    Disk::new(MemStorage::new(pattern(4 * SECTOR)))
}

/// What is writable, in such a read of four elements: header, two halves of the payload, status.
fn in_four() -> DriverChain {
    DriverChain::new().readable(header(IN, 0)).writable(256).writable(256).writable(1)
}

#[test]
fn without_a_writable_byte_nothing_is_done() {
    let data = [&header(OUT, 0)[..], &[7; SECTOR]].concat();
    for chain in [DriverChain::new().readable(&data), DriverChain::new().readable(&data).writable(0)] {
        let mut disk = new_disk();
        let reply = disk.send(&chain);
        assert!(matches!(reply.result, Err(RequestError::NoStatus)));
        assert_eq!(reply.len, 0);
        assert_eq!(disk.stored(), pattern(4 * SECTOR));
        check_alive(&mut disk);
    }
}

/// In a malformed chain, the status cannot be found: it is the last byte of something that has no end.
#[test]
fn a_malformed_chain_is_returned_unanswered() {
    type Spoil = fn(&mut Descriptor);
    let spoilers: [(&str, Spoil); 5] = [
        ("the index 5000 of the next descriptor is outside its descriptor table", |descriptor| descriptor.next = 5000),
        ("it has too many elements: there must be at most 1024", |descriptor| {
            (descriptor.len, descriptor.next) = (0, 1)
        }),
        ("the device-readable element at ", |descriptor| descriptor.flags &= !Descriptor::WRITE),
        ("256 bytes at 0xffffffffffffff80 end beyond 2^64", |descriptor| descriptor.addr = DriverAddr(!0x7f)),
        ("an indirect descriptor must be the last of its chain", |descriptor| descriptor.flags |= Descriptor::INDIRECT),
    ];
    for (error, spoil) in spoilers {
        let mut disk = new_disk();
        let head = disk.fixture.driver.add(&in_four()).unwrap();
        assert_eq!(head, 0);
        // The second half of the payload.
        let raw = disk.fixture.driver.raw();
        let mut descriptor = raw.descriptor(2);
        spoil(&mut descriptor);
        raw.set_descriptor(2, descriptor);

        let chain = disk.fixture.queue.next_chain().unwrap().unwrap();
        let result = virtio_examples::Device::process(&mut disk.device, chain);
        assert!(result.as_ref().unwrap_err().to_string().contains(error), "{error}: {result:?}");
        let used = disk.fixture.driver.reap().unwrap().unwrap();
        assert_eq!(used.len, 0);
        assert!(used.rest_is_untouched());
        check_alive(&mut disk);
    }
}

/// Returns where the elements of the chain that is staged next will be, if they have these lengths.
fn place(disk: &mut Disk, len: u64) -> DriverRange {
    disk.fixture.driver.pool().alloc(len, 1).unwrap()
}

#[test]
fn a_header_or_payload_that_cannot_be_read_is_ioerr() {
    for kind in [IN, OUT] {
        let mut disk = new_disk();
        let range = place(&mut disk, 528);
        let bytes = [&header(kind, 0)[..], &[7; SECTOR]].concat();
        // The header is there in the second case, and half of the payload in the third.
        for there in [0, 16, 272] {
            disk.fixture.mem.restrict(range, Access::ReadWrite);
            disk.fixture.mem.unmap(range.after(there));
            let chain = DriverChain::new().readable(&bytes).at(range.start()).writable(1);
            let reply = disk.send(&chain);
            let (status, len) = if kind == IN && there >= 16 { (OK, 1) } else { (IOERR, 1) };
            assert_eq!((reply.status(), reply.len), (status, len), "{there}");
        }
        // Of a write that fails, nobody knows how far it came. Here it came to where memory ends.
        let mut expected = pattern(4 * SECTOR);
        if kind == OUT {
            expected[..256].fill(7);
        }
        assert_eq!(disk.stored(), expected);
        check_alive(&mut disk);
    }
}

#[test]
fn a_payload_that_cannot_be_written_is_reported() {
    let mut disk = new_disk();
    let range = place(&mut disk, 512);
    for there in [0, 100] {
        disk.fixture.mem.restrict(range.after(there), Access::Read);
        let chain = DriverChain::new().readable(header(IN, 0)).writable(512).at(range.start()).writable(1);
        let reply = disk.send(&chain);
        assert!(matches!(reply.result, Err(RequestError::Transfer(_))), "{:?}", reply.result);
        // What can be written was, and the status behind it says why that is not all.
        assert_eq!((reply.status(), reply.len), (IOERR, there as u32));
        check_alive(&mut disk);
        disk.fixture.mem.restrict(range, Access::ReadWrite);
    }
}

#[test]
fn a_status_that_cannot_be_written_is_reported() {
    let mut disk = new_disk();
    let range = place(&mut disk, 1);
    disk.fixture.mem.restrict(range, Access::Read);
    let chain = DriverChain::new().readable([&header(OUT, 1)[..], &[7; SECTOR]].concat()).writable(1).at(range.start());
    let reply = disk.send(&chain);
    assert!(matches!(reply.result, Err(RequestError::Transfer(_))), "{:?}", reply.result);
    assert_eq!(reply.len, 0);
    check_alive(&mut disk);
}

/// HOST-20: the descriptors are read anew for the payload, and then say something else.
#[test]
fn a_chain_that_changes_meanwhile_harms_nobody() {
    for reads in 0..40 {
        for (index, flags) in [(0, 0), (1, 0), (1, Descriptor::WRITE), (2, Descriptor::NEXT), (3, 0)] {
            let mut disk = new_disk();
            disk.fixture.driver.add(&in_four()).unwrap();
            let raw = disk.fixture.driver.raw().clone();
            let spoiled = Descriptor { flags, len: 3, next: 1, ..raw.descriptor(index) };
            disk.fixture.mem.on_read(reads, move |_| raw.set_descriptor(index, spoiled));
            let chain = disk.fixture.queue.next_chain().unwrap().unwrap();
            let _ = virtio_examples::Device::process(&mut disk.device, chain);
            disk.fixture.mem.on_event(|_, _| {});
            assert!(disk.fixture.driver.reap().unwrap().is_some());
            assert_eq!(disk.stored(), pattern(4 * SECTOR));
            check_alive(&mut disk);
        }
    }
}

#[test]
fn random_chains_are_all_returned() {
    let limits = TrafficLimits { elements: 12, bytes: 2000, indirect: true };
    let mut disk = new_disk();
    for chain in Traffic::new(3, limits).take(5000) {
        let reply = disk.send(&chain);
        assert!(reply.len as usize <= reply.writable.len());
    }
    check_alive(&mut disk);
}
