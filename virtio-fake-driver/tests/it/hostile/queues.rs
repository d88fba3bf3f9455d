//! Queues of their own, good and bad, that use the memory of the kit directly.

use std::sync::Arc;

use virtio_fake_driver::features::VERSION_1;
use virtio_fake_driver::hostile::{Breach, DeviceResult, HostileMem, Kit, Report, Setup};
use virtio_mem_traits::DriverAddr;

/// A split queue as somebody would write it who knows the layout, and little more.
struct OwnQueue {
    mem: Arc<HostileMem>,
    size: u16,
    areas: [u64; 3],
    next: u16,
    used: u16,
    /// The mistake in it.
    mistake: Mistake,
}

#[derive(Clone, Copy, PartialEq)]
enum Mistake {
    None,
    UsesTwice,
    FollowsLoops,
    ServesJumps,
    TrustsHeads,
}

impl OwnQueue {
    fn new(setup: &Setup, mistake: Mistake) -> DeviceResult<Self> {
        let Setup { size, descriptor_area, driver_area, device_area, .. } = *setup;
        let areas = [descriptor_area.0, driver_area.0, device_area.0];
        let lens = [16 * u64::from(size), 6 + 2 * u64::from(size), 6 + 8 * u64::from(size)];
        let inside = |(area, len): (&u64, u64)| {
            let range = setup.mem.range();
            let offset = range.offset_of(DriverAddr(*area));
            offset.is_some_and(|offset| len <= range.len() - offset)
        };
        let aligned = areas.iter().zip([16, 2, 4]).all(|(area, align)| area % align == 0);
        if !size.is_power_of_two() || size > setup.max_size || !aligned || !areas.iter().zip(lens).all(inside) {
            return Err("a bad configuration".into());
        }
        if setup.features != VERSION_1 {
            return Err("a bad feature".into());
        }
        Ok(Self { mem: Arc::clone(&setup.mem), size, areas, next: 0, used: 0, mistake })
    }

    fn read<const N: usize>(&self, addr: u64) -> DeviceResult<[u8; N]> {
        let mut bytes = [0; N];
        self.mem.read(DriverAddr(addr), &mut bytes)?;
        Ok(bytes)
    }

    fn serve(&mut self) -> DeviceResult {
        loop {
            let index = u16::from_le_bytes(self.read(self.areas[1] + 2)?);
            if index == self.next {
                return Ok(());
            }
            if index.wrapping_sub(self.next) > self.size && self.mistake != Mistake::ServesJumps {
                return Err("the index jumps".into());
            }
            let slot = u64::from(self.next % self.size);
            let head = u16::from_le_bytes(self.read(self.areas[1] + 4 + 2 * slot)?);
            if head >= self.size && self.mistake != Mistake::TrustsHeads {
                return Err("a head outside of the table".into());
            }
            self.next = self.next.wrapping_add(1);
            let len = self.walk(head)?;
            self.complete(head, len)?;
            if self.mistake == Mistake::UsesTwice {
                self.complete(head, len)?;
            }
        }
    }

    /// Reads the descriptors, and writes a byte to the first writable element, which can go on beyond memory.
    fn walk(&self, head: u16) -> DeviceResult<u32> {
        let (mut next, mut steps, mut written) = (head, 0, None);
        loop {
            let descriptor: [u8; 16] = self.read(self.areas[0] + 16 * u64::from(next))?;
            let flags = u16::from_le_bytes([descriptor[12], descriptor[13]]);
            next = u16::from_le_bytes([descriptor[14], descriptor[15]]);
            steps += 1;
            let is_writable = flags & 6 == 2 && descriptor[8..12] != [0; 4];
            if is_writable && written.is_none() {
                let addr = u64::from_le_bytes(descriptor[..8].try_into()?);
                written = Some(self.mem.write(DriverAddr(addr), &[7]).map_or(0, |()| 1));
            }
            let is_bad = next >= self.size || steps == self.size;
            if flags & 1 == 0 || (is_bad && self.mistake != Mistake::FollowsLoops) || next >= self.size {
                return Ok(written.unwrap_or(0));
            }
        }
    }

    fn complete(&mut self, head: u16, len: u32) -> DeviceResult {
        let element = self.areas[2] + 4 + 8 * u64::from(self.used % self.size);
        let bytes = [u32::from(head).to_le_bytes(), len.to_le_bytes()].concat();
        self.mem.write(DriverAddr(element), &bytes)?;
        self.used = self.used.wrapping_add(1);
        Ok(self.mem.write(DriverAddr(self.areas[2] + 2), &self.used.to_le_bytes())?)
    }
}

fn run(mistake: Mistake) -> Report {
    run_kit(&Kit::new().offers(0), mistake)
}

fn run_kit(kit: &Kit, mistake: Mistake) -> Report {
    kit.run_device(move |setup| {
        let (mut queue, mut is_broken) = (OwnQueue::new(&setup, mistake)?, false);
        Ok(move || {
            if is_broken {
                return Err("the queue is broken".into());
            }
            let served = queue.serve();
            is_broken = served.is_err();
            served
        })
    })
}

#[track_caller]
fn check_found(mistake: Mistake, is_it: impl Fn(&Breach) -> bool) {
    let report = run(mistake);
    assert!(report.findings().any(|finding| is_it(&finding.breach)), "{report}");
}

#[test]
fn good_queue_passes() {
    let report = run(Mistake::None);
    assert!(report.passed(), "{report}");
}

#[test]
fn double_completion_is_found() {
    check_found(Mistake::UsesTwice, |breach| matches!(breach, Breach::UsedTwice { .. }));
}

/// A variant alone is what it was among all others.
#[test]
fn one_variant_alone_is_found_again() {
    let report = run(Mistake::TrustsHeads);
    let first = report.findings().next().unwrap();
    let kit = Kit::new().offers(0).only_split().only(first.id).only_variant(first.variant);
    let again = run_kit(&kit, Mistake::TrustsHeads);
    assert!(again.findings().any(|finding| finding.to_string() == first.to_string()), "{again}");
    assert!(again.findings().all(|finding| finding.variant == first.variant), "{again}");
    assert!(again.rows().iter().all(|row| row.runs <= 2), "{again}");
}

/// It must not hang, either.
#[test]
fn loop_without_a_bound_is_found() {
    check_found(Mistake::FollowsLoops, |breach| matches!(breach, Breach::Unbounded { .. }));
}

#[test]
fn jump_of_the_index_that_is_served_is_found() {
    check_found(Mistake::ServesJumps, |breach| matches!(breach, Breach::Unbounded { .. }));
}

#[test]
fn head_that_is_trusted_is_found() {
    check_found(Mistake::TrustsHeads, |breach| matches!(breach, Breach::NotLent { .. }));
}
