//! Requests that are served together: each as if it were alone, in their order.

use std::cell::RefCell;
use std::io;
use std::rc::Rc;
use std::sync::Arc;

use virtio_examples::blk::{BlockDevice, DeviceId, FileStorage, MemStorage, NullStorage, Storage, feature};
use virtio_examples::{Device, Served};
use virtio_fake_driver::split::Descriptor;
use virtio_fake_driver::{
    AnyDriver, AnyFixtureOptions, AnyRaw, DriverChain, Fixture, MemEvent, TestMem, UsedBuffer, features,
};
use virtio_mem_traits::{Access, DeviceRange, DriverAddr, DriverMem, DriverRange, HeapMem};
use virtio_queue_core::{AnyRing, DescChain, FatalError, QueueState, Ring};
use virtio_util::NotificationCounter;

use crate::blk_cuts::requests;
use crate::blk_file::TempFile;
use crate::disk::{FLUSH, IN, IOERR, OK, OUT, SECTOR, WRITE_ZEROES, header, pattern, segment};
use crate::storages::{Call, Recorder};

const FORMATS: [u64; 2] = [0, features::RING_PACKED];

/// A device with a queue of 1024 descriptors.
struct Disk<S> {
    device: BlockDevice<S>,
    driver: AnyDriver,
    notifications: Arc<NotificationCounter>,
    ring: AnyRing<Rc<TestMem>>,
    state: QueueState<AnyRing<Rc<TestMem>>, Arc<NotificationCounter>>,
}

impl<S: Storage> Disk<S> {
    fn new(storage: S, format: u64) -> Self {
        let options = AnyFixtureOptions {
            size: 1024,
            features: features::INDIRECT_DESC | format,
            memory_len: 65 << 20,
            ..AnyFixtureOptions::default()
        };
        let Fixture { queue, driver, notifications, .. } = options.build().unwrap();
        let (ring, state) = queue.into_parts();
        let device = BlockDevice::new(storage, DeviceId::new("disk-0").unwrap());
        Self { device, driver, notifications, ring, state }
    }

    fn serve(&mut self, budget: u32) -> Result<Served, FatalError> {
        self.device.serve_parts(&self.ring, &mut self.state, budget)
    }

    /// Makes all `chains` available before the first is served, and returns them as they come back.
    fn send(&mut self, chains: &[DriverChain]) -> Vec<UsedBuffer> {
        let ids: Vec<_> = chains.iter().map(|chain| self.driver.add(chain).unwrap()).collect();
        assert_eq!(self.serve(u32::MAX).unwrap().requests as usize, chains.len());
        let used = self.driver.reap_all().unwrap();
        assert!(used.iter().map(|used| used.id).eq(ids), "they come back out of order");
        assert_eq!(self.state.in_flight(), 0);
        used
    }
}

impl<S: Storage> Disk<S> {
    /// Makes the elements of so many bytes in a split queue longer than the driver thinks they are.
    fn enlarge(&self, from: u32, to: u32) {
        let AnyRaw::Split(raw) = self.driver.raw() else { panic!("it is a split queue") };
        for (index, descriptor) in (0..1024).map(|index| (index, raw.descriptor(index))) {
            if descriptor.len == from {
                raw.set_descriptor(index, Descriptor { len: to, ..descriptor });
            }
        }
    }

    /// Lets the device process a chain by itself.
    fn process(&mut self, chain: &DriverChain) -> UsedBuffer {
        self.driver.add(chain).unwrap();
        let token = self.state.fetch(&self.ring).unwrap().unwrap();
        let _ = self.device.process(DescChain::new(&self.ring, token, &mut self.state));
        self.driver.reap().unwrap().unwrap()
    }
}

/// Returns a request as drivers lay it out.
fn usual(kind: u32, sector: u64, readable: &[u8], writable: u32) -> DriverChain {
    let mut chain = DriverChain::new().readable(header(kind, sector));
    if !readable.is_empty() {
        chain = chain.readable(readable);
    }
    if writable > 0 {
        chain = chain.writable(writable);
    }
    chain.writable(1)
}

/// The last writable byte of each.
fn statuses(used: &[UsedBuffer]) -> Vec<u8> {
    used.iter().map(|used| *used.writable().last().unwrap()).collect()
}

/// Requests of all types and in many cuts, with usual ones between them. None reads what another one writes: the order
/// of those that are there together is not promised.
fn mixture() -> Vec<DriverChain> {
    let mut chains = Vec::new();
    for (readable, writable) in requests() {
        let (header, status) = (readable.len().min(16), writable.saturating_sub(1));
        for cut in [&[][..], &[header], &[header / 2, header / 2, readable.len() - header]] {
            for writable_cut in [&[][..], &[status], &[status / 2, status / 2]] {
                let chain = DriverChain::new().readable_cut(&readable, cut).writable_cut(writable, writable_cut);
                chains.extend([usual(IN, 1, &[], 512), chain.clone(), chain.indirect()]);
            }
        }
        chains.push(usual(OUT, 5, &pattern(SECTOR), 0));
        chains.extend([usual(OUT, 6, &pattern(SECTOR), 512), usual(IN, 1, &pattern(SECTOR), 512)]);
    }
    chains
}

#[test]
fn a_batch_does_what_its_requests_do_alone() {
    for format in FORMATS {
        let storage = || MemStorage::new(pattern(8 * SECTOR));
        let (mut together, mut alone) = (Disk::new(storage(), format), Disk::new(storage(), format));
        for chains in mixture().chunks(50) {
            let expected: Vec<_> = chains.iter().map(|chain| alone.process(chain)).collect();
            let used = together.send(chains);
            for ((used, expected), chain) in used.iter().zip(&expected).zip(chains) {
                assert_eq!((used.len, used.writable()), (expected.len, expected.writable()), "{chain:?}");
            }
        }
        let [together, alone] = [together, alone].map(|disk| {
            let mut bytes = vec![0; 8 * SECTOR];
            disk.device.storage().read_at(&mut bytes, 0).unwrap();
            bytes
        });
        assert_eq!(together, alone);
    }
}

#[test]
fn the_budget_is_kept_and_batches_are_published_by_themselves() {
    let table: [(usize, u32, u32, bool, usize); 6] = [
        (0, 0, 0, true, 0),
        (0, 1, 0, false, 0),
        (5, 3, 3, true, 1),
        (5, 5, 5, true, 1),
        (100, 33, 33, true, 3),
        (100, 101, 100, false, 7),
    ];
    for (available, budget, requests, pending, notifications) in table {
        let mut disk = Disk::new(MemStorage::new(vec![0; SECTOR]), 0);
        for _ in 0..available {
            disk.driver.add(&usual(IN, 0, &[], 512)).unwrap();
        }
        let served = disk.serve(budget).unwrap();
        assert_eq!(served, Served { requests, errors: 0, bytes: u64::from(requests) * 512, pending });
        assert_eq!(disk.driver.reap_all().unwrap().len(), requests as usize);
        assert_eq!(disk.notifications.count(), notifications);
    }
}

/// A storage of which only some bytes can be had at once.
struct Slow {
    medium: Recorder,
    /// Reads that begin here or later wait.
    slow_from: u64,
    asked: RefCell<Vec<u64>>,
}

impl Storage for Slow {
    fn size(&self) -> u64 {
        self.medium.size()
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        self.medium.read_at(buf, offset)
    }

    fn read_now(&self, pieces: &[DeviceRange<'_>], offset: u64) -> io::Result<()> {
        if offset < self.slow_from {
            return self.read_into(pieces, offset);
        }
        assert_eq!(self.medium.calls.borrow().iter().filter(|call| call.is_read_from(self.slow_from)).count(), 0);
        self.asked.borrow_mut().push(offset);
        Err(io::ErrorKind::WouldBlock.into())
    }

    fn write_at(&self, buf: &[u8], offset: u64) -> io::Result<()> {
        self.medium.write_at(buf, offset)
    }

    fn flush(&self) -> io::Result<()> {
        self.medium.flush()
    }
}

impl Call {
    fn is_read_from(&self, from: u64) -> bool {
        matches!(self, Self::Read(offset, _) if *offset >= from)
    }
}

#[test]
fn what_has_to_wait_is_asked_for_before_anybody_waits() {
    for format in FORMATS {
        let medium = Recorder { fails_from: 5 * 512, ..Recorder::new(1 << 20) };
        let mut disk = Disk::new(Slow { medium, slow_from: 1024, asked: RefCell::default() }, format);
        let used = disk.send(&[2, 0, 3, 1, 5, 4].map(|sector| usual(IN, sector, &[], 512)));
        assert_eq!(disk.device.storage().asked.take(), [1024, 1536, 2560, 2048]);
        let reads = [0, 512, 1024, 1536, 2560, 2048].map(|offset| Call::Read(offset, 512));
        assert_eq!(disk.device.storage().medium.take_calls(), reads);
        assert_eq!(statuses(&used), [OK, OK, OK, OK, IOERR, OK]);
        assert!(used.iter().map(|used| used.len).eq([513, 513, 513, 513, 0, 513]));
    }
}

/// So many wait together, and no more: whoever stops the queue has to wait for them.
#[test]
fn who_waits_does_not_keep_others_from_being_asked_for() {
    for format in FORMATS {
        let mut disk =
            Disk::new(Slow { medium: Recorder::new(1 << 20), slow_from: 0, asked: RefCell::default() }, format);
        let chains: Vec<_> = (0..70).map(|sector| usual(IN, sector, &[], 512)).collect();
        chains.iter().for_each(|chain| assert!(disk.driver.add(chain).is_ok()));
        for (requests, pending) in [(64, true), (6, false)] {
            let served = disk.serve(64).unwrap();
            assert_eq!((served.requests, served.errors, served.pending), (requests, 0, pending));
            assert_eq!(disk.device.storage().asked.take().len(), requests as usize);
            assert_eq!(disk.device.storage().medium.take_calls().len(), requests as usize);
            assert_eq!(disk.driver.reap_all().unwrap().len(), requests as usize);
        }
    }
}

/// Whoever stops the queue has to wait for so many bytes, and not for all that is there.
#[test]
fn many_bytes_end_the_turn() {
    let odd = DriverChain::new().readable_cut(header(IN, 0), &[8]).writable(1024).writable(1);
    for chain in [usual(IN, 0, &[], 1024), odd] {
        for (len, turns) in [(1024, [5, 0, 0]), (31 << 20, [5, 0, 0]), (32 << 20, [4, 1, 0]), (64 << 20, [2, 2, 1])] {
            assert_eq!(turns_with(&chain, len), turns, "{chain:?} of {len} bytes");
        }
    }
}

/// How many bytes a request that writes zeroes is about, nobody knows when it is fetched.
#[test]
fn many_bytes_that_were_not_foreseen_end_the_turn() {
    let zeroes = [segment(0, 8192, 0), segment(8192, 8192, 0)].concat();
    let few = [segment(0, 1, 0), segment(8, 1, 0)].concat();
    for (segments, turns) in [(few, [40, 0, 0]), (zeroes, [16, 16, 8])] {
        let medium = Slow { medium: Recorder::new(8 << 20), slow_from: 1024, asked: RefCell::default() };
        let mut disk = Disk::new(medium, 0);
        for number in 0..20 {
            // The first waits, and others could be asked for meanwhile.
            disk.driver.add(&usual(IN, if number == 0 { 2 } else { 0 }, &[], 512)).unwrap();
            disk.driver.add(&usual(WRITE_ZEROES, 0, &segments, 0)).unwrap();
        }
        let served = turns.map(|_| disk.serve(64).unwrap());
        assert_eq!(served.map(|served| (served.requests, served.errors)), turns.map(|requests| (requests, 0)));
        assert_eq!(served.map(|served| served.pending), [turns[1] > 0, turns[2] > 0, false]);
    }
}

/// Returns how many requests are served in a turn, each time. They are usual reads, and two chains of which all
/// elements of 1024 bytes turn out to have `len`.
fn turns_with(chain: &DriverChain, len: u32) -> [u32; 3] {
    let mut disk = Disk::new(NullStorage::new(1 << 30), 0);
    let small = usual(IN, 0, &[], 512);
    for chain in [&small, chain, &small, chain, &small] {
        disk.driver.add(chain).unwrap();
    }
    disk.enlarge(1024, len);
    let served = [(); 3].map(|()| disk.serve(64).unwrap());
    assert!(served.iter().zip(&served[1..]).all(|(served, next)| served.pending || next.requests == 0));
    served.map(|served| served.requests)
}

#[test]
fn writes_are_made_stable_together_where_the_driver_does_not_flush() {
    let write = usual(OUT, 1, &[7; SECTOR], 0);
    for (accepted, flushes) in [(0, 1), (feature::FLUSH, 0)] {
        let mut disk = Disk::new(Recorder::new(1 << 20), 0);
        disk.device.accept(accepted);
        assert_eq!(statuses(&disk.send(&[write.clone(), usual(IN, 0, &[], 512), write.clone()])), [OK; 3]);
        let calls = disk.device.storage().take_calls();
        assert_eq!(calls.iter().filter(|call| **call == Call::Flush).count(), flushes);
        assert_eq!(*calls.last().unwrap() == Call::Flush, flushes == 1);
        disk.send(&[usual(IN, 0, &[], 512)]);
        assert_eq!(disk.device.storage().take_calls(), [Call::Read(0, 512)]);
    }
    let mut disk = Disk::new(Unflushable(MemStorage::new(vec![0; 4 * SECTOR])), 0);
    let used = disk.send(&[write.clone(), usual(IN, 0, &[], 512), write]);
    assert_eq!(statuses(&used), [IOERR, OK, IOERR]);
    assert!(used.iter().map(|used| used.len).eq([1, 513, 1]));
}

/// A storage of which nobody knows whether it is stable.
struct Unflushable(MemStorage);

impl Storage for Unflushable {
    fn size(&self) -> u64 {
        self.0.size()
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        self.0.read_at(buf, offset)
    }

    fn write_at(&self, buf: &[u8], offset: u64) -> io::Result<()> {
        self.0.write_at(buf, offset)
    }

    fn flush(&self) -> io::Result<()> {
        Err(io::Error::other("it is not certain"))
    }
}

#[test]
fn what_is_read_and_written_in_memory_is_reported() {
    let event = |read, range| if read { MemEvent::Read(range) } else { MemEvent::Written(range) };
    for (chain, read) in
        [(usual(IN, 1, &[], 512), [true, false, false]), (usual(OUT, 1, &[7; SECTOR], 0), [true, true, false])]
    {
        let mut disk = Disk::new(MemStorage::new(pattern(4 * SECTOR)), 0);
        disk.driver.add(&chain).unwrap();
        let AnyRaw::Split(raw) = disk.driver.raw() else { panic!("it is a split queue") };
        let raw = raw.clone();
        disk.ring.mem().start_log();
        disk.serve(1).unwrap();
        let log = disk.ring.mem().take_log();
        for (index, read) in (0..).zip(read) {
            let descriptor = raw.descriptor(index);
            let range = DriverRange::new(descriptor.addr, descriptor.len.into()).unwrap();
            assert_eq!(log.iter().filter(|found| **found == event(read, range)).count(), 1, "{index}: {log:?}");
        }
    }
}

#[test]
fn storage_errors_of_a_batch_are_ioerr() {
    let mut disk = Disk::new(Recorder { fails_from: 512, ..Recorder::new(1 << 20) }, 0);
    disk.device.accept(feature::FLUSH);
    let write = |sector| usual(OUT, sector, &[7; SECTOR], 0);
    let used =
        disk.send(&[write(0), write(1), usual(IN, 0, &[], 512), usual(IN, 1, &[], 512), usual(FLUSH, 0, &[], 0)]);
    assert_eq!(statuses(&used), [OK, IOERR, OK, IOERR, OK]);
    assert!(used.iter().map(|used| used.len).eq([1, 1, 513, 0, 1]));
}

#[test]
fn a_read_only_disk_is_not_written_in_a_batch() {
    let mut disk = Disk::new(Recorder { read_only: true, ..Recorder::new(1 << 20) }, 0);
    let used = disk.send(&[usual(OUT, 0, &[7; SECTOR], 0), usual(IN, 0, &[], 512)]);
    assert_eq!(statuses(&used), [IOERR, OK]);
    assert_eq!(disk.device.storage().take_calls(), [Call::Read(0, 512)]);
}

#[test]
fn payloads_in_more_pieces_than_a_batch_has_room_for_are_served() {
    for format in FORMATS {
        let stored = pattern(1 << 17);
        let mut disk = Disk::new(MemStorage::new(stored.clone()), format);
        let read = DriverChain::new().readable(header(IN, 0)).writable_cut((1 << 16) + 1, &[256; 256]).indirect();
        let write =
            DriverChain::new().readable(header(OUT, 200)).readable_cut(&stored[..1 << 14], &[64; 256]).writable(1);
        let used = disk.send(&[read.clone(), read.clone(), write.indirect(), read]);
        assert_eq!(statuses(&used), [OK; 4]);
        assert!([0, 1, 3].iter().all(|index| used[*index].writable()[..1 << 16] == stored[..1 << 16]));
        let mut written = vec![0; 1 << 14];
        disk.device.storage().read_at(&mut written, 200 * 512).unwrap();
        assert!(written == stored[..1 << 14]);
    }
}

#[test]
fn a_broken_queue_is_an_error_each_time() {
    let mut disk = Disk::new(MemStorage::new(vec![0; SECTOR]), 0);
    for _ in 0..2 {
        disk.driver.add(&usual(IN, 0, &[], 512)).unwrap();
    }
    let AnyRaw::Split(raw) = disk.driver.raw() else { panic!("it is a split queue") };
    raw.set_available_entry(1, 1024);
    let error = disk.serve(100).unwrap_err();
    assert!(matches!(error, FatalError::HeadOutOfRange { size: 1024, .. }), "{error}");
    assert!(disk.serve(100).is_err());
}

/// Returns memory, and its bytes cut into pieces of `len` bytes.
fn pieces(mem: &HeapMem, len: usize, access: Access) -> Vec<DeviceRange<'_>> {
    let whole = DriverRange::new(DriverAddr(0), 1 << 16).unwrap();
    let whole = mem.translate_all(whole, access).unwrap();
    (0..whole.len()).step_by(len).map(|start| whole.after(start).prefix(len)).collect()
}

#[test]
fn a_file_moves_any_pieces_of_memory() {
    let stored = pattern(1 << 17);
    for len in [100, 512, 4096, 1 << 16] {
        let file = TempFile::new(&stored);
        let storage = FileStorage::open(file.path()).unwrap();
        let mem = HeapMem::new(DriverAddr(0), 1 << 16).unwrap();
        storage.read_into(&pieces(&mem, len, Access::Write), 1000).unwrap();
        let mut bytes = vec![0; 1 << 16];
        pieces(&mem, 1 << 16, Access::Read)[0].read_bytes(0, &mut bytes).unwrap();
        assert_eq!(bytes, stored[1000..][..1 << 16]);
        storage.write_from(&pieces(&mem, len, Access::Read), 7).unwrap();
        assert_eq!(file.bytes()[7..][..1 << 16], bytes);
        // It is in the page cache, since it was written just now.
        storage.read_now(&pieces(&mem, len, Access::Write), 7).unwrap();
    }
}

#[test]
fn a_file_refuses_what_it_has_not_and_what_memory_is_not_for() {
    let file = TempFile::new(&pattern(1 << 16));
    let storage = FileStorage::open(file.path()).unwrap();
    let mem = HeapMem::new(DriverAddr(0), 1 << 16).unwrap();
    let kind = |result: io::Result<()>| result.unwrap_err().kind();
    let (readable, writable) = (pieces(&mem, 4096, Access::Read), pieces(&mem, 4096, Access::Write));
    assert_eq!(kind(storage.read_into(&writable, 1)), io::ErrorKind::UnexpectedEof);
    assert_eq!(kind(storage.read_now(&writable, 1)), io::ErrorKind::WouldBlock);
    assert_eq!(kind(storage.read_into(&readable, 0)), io::ErrorKind::PermissionDenied);
    assert_eq!(kind(storage.write_from(&writable, 0)), io::ErrorKind::PermissionDenied);
    assert!(storage.read_into(&writable, u64::MAX).is_err());
    let read_only = FileStorage::open_read_only(file.path()).unwrap();
    assert!(read_only.write_from(&readable, 0).is_err());
    assert_eq!(file.bytes(), pattern(1 << 16));
}
