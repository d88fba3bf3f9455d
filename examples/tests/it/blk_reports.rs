//! What the memory hears of the device: which rights it asks for, and what it says that it has written.

use std::rc::Rc;

use virtio_examples::Device;
use virtio_examples::blk::{BlockDevice, DeviceId, FileStorage, MemStorage, Storage};
use virtio_fake_driver::{AnyFixtureOptions, DriverChain, MemEvent, SplitFixture, TestMem, features};
use virtio_mem_traits::{Access, DeviceRange, DriverAddr, DriverMem, DriverRange, TranslateError};

use crate::blk_file::TempFile;
use crate::disk::{IN, OK, OUT, header};

/// Where a request is: header, payload, status, and room that is none of the device's business.
#[derive(Clone, Copy)]
struct Places {
    all: DriverRange,
}

impl Places {
    const LEN: u64 = 4096;
    const PAYLOAD: u32 = 1024;

    fn header(self) -> DriverRange {
        self.all.prefix(16)
    }

    fn payload(self) -> DriverRange {
        self.all.after(512).prefix(Self::PAYLOAD.into())
    }

    fn status(self) -> DriverRange {
        self.all.after(1600).prefix(1)
    }

    fn elsewhere(self) -> DriverRange {
        self.all.after(2048)
    }

    /// Returns a request as drivers lay it out, and one with its header in two elements: the device has a way of its
    /// own for each.
    fn requests(self, kind: u32) -> [DriverChain; 2] {
        let (bytes, at) = (header(kind, 1), self.header());
        let usual = DriverChain::new().readable(&bytes).at(at.start());
        let halves = DriverChain::new().readable(&bytes[..8]).at(at.start());
        let halves = halves.readable(&bytes[8..]).at(at.after(8).start());
        [usual, halves].map(|chain| {
            let chain =
                if kind == IN { chain.writable(Self::PAYLOAD) } else { chain.readable([0x77; Self::PAYLOAD as usize]) };
            chain.at(self.payload().start()).writable(1).at(self.status().start())
        })
    }
}

fn device<S: Storage>(storage: S) -> BlockDevice<S> {
    BlockDevice::new(storage, DeviceId::new("disk-0").unwrap())
}

/// Marks memory that nobody has written since.
const MARK: u8 = 0xcc;

/// Lets the device answer a read while the driver, at event `when`, lets the descriptor at `place` of the chain name
/// `addr`. Checks that just those bytes of `places` are reported as written that were, and returns how many.
fn check_reports(storage: impl Storage, layout: usize, change: Option<(usize, u16, DriverAddr)>) -> usize {
    let mut fixture = SplitFixture::new(16);
    let places = Places { all: fixture.driver.pool().alloc(Places::LEN, 8).unwrap() };
    fixture.driver.add(&places.requests(IN)[layout]).unwrap();
    let view = fixture.mem.view();
    view.poke(places.payload().start(), &[MARK; Places::LEN as usize - 512]);
    let before = view.peek(places.all.start(), Places::LEN as usize);

    let raw = fixture.driver.raw().clone();
    let mut events = 0;
    fixture.mem.start_log();
    fixture.mem.on_event(move |_, _| {
        if let Some((_, index, addr)) = change.filter(|(when, ..)| *when == events) {
            let mut descriptor = raw.descriptor(index);
            descriptor.addr = addr;
            raw.set_descriptor(index, descriptor);
        }
        events += 1;
    });
    device(storage).serve(&mut fixture.queue, 8).unwrap();

    let after = fixture.mem.view().peek(places.all.start(), Places::LEN as usize);
    let mut reported = vec![false; Places::LEN as usize];
    for event in fixture.mem.take_log() {
        let MemEvent::Written(range) = event else { continue };
        assert!(
            fixture.mem.view().mem().range().offset_of(range.start()).is_some(),
            "{change:?}: {range} is no memory"
        );
        if let Some(offset) = places.all.offset_of(range.start()) {
            reported[offset as usize..][..range.len() as usize].fill(true);
        }
    }
    for (offset, (before, after)) in before.iter().zip(&after).enumerate() {
        assert_eq!(reported[offset], before != after, "{change:?}: byte {offset}");
    }
    reported.into_iter().filter(|reported| *reported).count()
}

/// HOST-20: the memory is told of what was written, wherever the driver says meanwhile that it is.
#[test]
fn bytes_that_were_written_are_reported_and_no_others() {
    let file = TempFile::new(&[0x77; 4096]);
    for layout in [0, 1] {
        let in_memory = |change| check_reports(MemStorage::new(vec![0x77; 4096]), layout, change);
        let in_file = |change| check_reports(FileStorage::open(file.path()).unwrap(), layout, change);
        assert_eq!((in_memory(None), in_file(None)), (1025, 1025));
        for when in 0..40 {
            for index in 0..4 {
                let places = Places { all: SplitFixture::new(16).driver.pool().alloc(Places::LEN, 8).unwrap() };
                for addr in [DriverAddr(0xdead_0000_0000), places.elsewhere().start()] {
                    in_memory(Some((when, index, addr)));
                    in_file(Some((when, index, addr)));
                }
            }
        }
    }
}

/// Memory whose translations last, so that its regions are remembered.
struct Lasting(TestMem);

impl DriverMem for Lasting {
    fn translate(&self, range: DriverRange, access: Access) -> Result<DeviceRange<'_>, TranslateError> {
        self.0.translate(range, access)
    }

    fn region(&self, range: DriverRange, access: Access) -> Result<(DriverRange, DeviceRange<'_>), TranslateError> {
        self.0.translate(range, access)?;
        self.0.view().mem().region(range, access)
    }

    fn translations_last(&self) -> bool {
        true
    }

    fn before_read(&self, range: DriverRange) {
        self.0.before_read(range);
    }

    fn written(&self, range: DriverRange) {
        self.0.written(range);
    }
}

/// FEAT-12: not even for a region that is remembered is a right asked for that nobody needs.
#[test]
fn no_access_is_asked_for_with_both_rights() {
    for format in [0, features::RING_PACKED] {
        for kind in [IN, OUT] {
            let options = AnyFixtureOptions { size: 16, features: format, ..AnyFixtureOptions::default() };
            let mut fixture = options.build_on(|mem, _| Rc::new(Lasting(TestMem::new(mem)))).unwrap();
            let places = Places { all: fixture.driver.pool().alloc(Places::LEN, 8).unwrap() };
            let requests = places.requests(kind);
            requests.iter().for_each(|chain| assert!(fixture.driver.add(chain).is_ok()));
            fixture.mem.0.start_log();
            let served = device(MemStorage::new(vec![0x77; 4096])).serve(&mut fixture.queue, 8).unwrap();
            assert_eq!((served.requests, served.errors), (2, 0));
            let log = fixture.mem.0.take_log();
            let both = |event: &MemEvent| matches!(event, MemEvent::Translate { access: Access::ReadWrite, .. });
            assert!(!log.iter().any(both), "{log:?}");
        }
    }
}

/// FEAT-11, FEAT-12: an IOMMU lets each buffer be accessed as its descriptor says, and has nothing to complain of.
#[test]
fn requests_behind_an_iommu_cause_no_fault() {
    for format in [0, features::RING_PACKED] {
        for kind in [IN, OUT] {
            let options = AnyFixtureOptions { size: 16, features: format, ..AnyFixtureOptions::default() };
            let mut fixture = options.build().unwrap();
            let places = Places { all: fixture.driver.pool().alloc(Places::LEN, 8).unwrap() };
            let payload = if kind == IN { Access::Write } else { Access::Read };
            let rights =
                [(places.header(), Access::Read), (places.payload(), payload), (places.status(), Access::Write)];
            rights.iter().for_each(|(range, access)| fixture.mem.restrict(*range, *access));
            for chain in places.requests(kind) {
                fixture.driver.add(&chain).unwrap();
                fixture.mem.start_log();
                let served = device(MemStorage::new(vec![0x77; 4096])).serve(&mut fixture.queue, 8).unwrap();
                assert_eq!((served.requests, served.errors), (1, 0));
                assert_eq!(fixture.driver.reap().unwrap().unwrap().writable().last(), Some(&OK));
                for event in fixture.mem.take_log() {
                    let MemEvent::Translate { range, access } = event else { continue };
                    let right = rights.iter().find(|(place, _)| place.offset_of(range.start()).is_some());
                    assert_eq!(right.map_or(access, |(_, right)| *right), access, "{range}");
                }
            }
        }
    }
}
