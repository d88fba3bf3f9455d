//! The log of what a device has written, next to what it has written.
//!
//! The front end here has its driver in a memory of its own. It copies that to the memory that the device sees while
//! the device has nothing to do, and writes nothing there afterwards. So whatever changes was written by the device.

use std::collections::{BTreeSet, HashMap};
use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, ensure};
use rand::RngExt;
use rand::rngs::Xoshiro256PlusPlus;
use rustix::fs::{MemfdFlags, memfd_create};
use virtio_fake_driver::{AnyDriver, DriverChain, DriverOptions, UsedBuffer};
use virtio_mem_traits::{Access, DeviceRange, DriverAddr, DriverMem, DriverRange, HeapMem};

use crate::front_end::{Areas, FrontEnd};
use crate::matrix::VERSION_1;
use crate::output::PATIENCE;

const PAGE_LEN: usize = 4096;
const PAGE: u64 = PAGE_LEN as u64;
const SECTOR: usize = 512;

/// Where the driver has its memory. The first part has the ring and all that is small.
const BASE: u64 = 0x4000_0000;
const PART: u64 = 1 << 20;
const PARTS: u64 = 3;

const QUEUE_SIZE: u16 = 256;
/// How many reads are made at a time, of up to so many sectors each, and how far apart their buffers are.
const READS: u64 = 64;
const SECTORS: usize = 16;
const STRIDE: u64 = PART / READS;

/// How long the driver waits before it looks by itself.
const STEP: Duration = Duration::from_millis(10);

/// A driver of a disk, with its ring, and what the device sees of it.
struct Driver {
    front_end: FrontEnd,
    driver: AnyDriver,
    areas: Areas,
    mem: Arc<HeapMem>,
    shared: File,
}

/// Reads from the disk behind `socket`, whose content is in the file `image`, first without a log and then with one,
/// and returns how many reads there were.
///
/// # Errors
///
/// If the device writes to a page that is not in the log, or the log has pages that it could not write to.
pub(crate) fn check(socket: &Path, features: u64, image: &Path, rng: &mut Xoshiro256PlusPlus) -> Result<u64> {
    let content = fs::read(image)?;
    let mut driver = Driver::connect(socket, features)?;
    driver.read(&content, BASE + PART, rng)?;
    let log = File::from(memfd_create("log", MemfdFlags::CLOEXEC)?);
    log.set_len((BASE + PARTS * PART) / PAGE / 8)?;
    driver.front_end.log(driver.areas, &log)?;
    let before = driver.read(&content, BASE + 2 * PART, rng)?;
    // All that it was about to write is there then.
    driver.front_end.stop()?;
    let changed = changed_pages(&before, &driver.read_shared()?);
    compare(&changed, &logged_pages(&log)?)?;
    Ok(2 * READS)
}

impl Driver {
    fn connect(socket: &Path, features: u64) -> Result<Self> {
        let features = features | VERSION_1;
        let mem = Arc::new(HeapMem::new(DriverAddr(BASE), usize::try_from(PARTS * PART)?)?);
        let shared = File::from(memfd_create("memory", MemfdFlags::CLOEXEC)?);
        shared.set_len(PARTS * PART)?;
        let options = DriverOptions { features, ..DriverOptions::default() };
        let driver = AnyDriver::within(Arc::clone(&mem), range(BASE, PART)?, QUEUE_SIZE, options);
        let [descriptor, for_driver, device] = driver.area_addresses().map(|addr| addr.0);
        let areas = Areas { size: QUEUE_SIZE, descriptor, driver: for_driver, device };
        let mut front_end = FrontEnd::connect(socket, features, &shared, BASE)?;
        front_end.start(areas)?;
        Ok(Self { front_end, driver, areas, mem, shared })
    }

    /// Reads at random places of the disk, into buffers from `buffers` on, and returns what was in the memory before
    /// the device had its turn.
    fn read(&mut self, content: &[u8], buffers: u64, rng: &mut Xoshiro256PlusPlus) -> Result<Vec<u8>> {
        let mut expected = HashMap::new();
        for read in 0..READS {
            let sectors = rng.random_range(1..=SECTORS);
            let sector = rng.random_range(0..=content.len() / SECTOR - sectors);
            let data = content.get(sector * SECTOR..(sector + sectors) * SECTOR).context("it is on the disk")?;
            let addr = DriverAddr(buffers + read * STRIDE + rng.random_range(0..PAGE));
            expected.insert(self.driver.stage(&request(sector, data.len(), addr)?)?, data);
        }
        let before = self.publish()?;
        self.front_end.kick()?;
        self.finish(expected)?;
        Ok(before)
    }

    /// Copies all that was staged to the memory that the device sees, and then what lets the device see it: a device
    /// may look at its ring without a kick. Returns what is there then.
    fn publish(&mut self) -> Result<Vec<u8>> {
        let staged = self.read_own()?;
        self.shared.write_all_at(&staged, 0)?;
        self.driver.publish();
        let published = self.read_own()?;
        let (first, last) = difference(&staged, &published).context("nothing was published")?;
        let bytes = published.get(first..=last).context("it is in the memory")?;
        self.shared.write_all_at(bytes, first.try_into()?)?;
        Ok(published)
    }

    /// Waits until all is read, and sees whether it is what is on the disk.
    ///
    /// The driver cannot ask for another notification, because it does not write to the memory that the device sees.
    /// So there can be one for the first of several bursts alone, and the driver looks again by itself.
    fn finish(&mut self, mut expected: HashMap<u16, &[u8]>) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            self.whole(Access::Write)?.write_bytes(0, &self.read_settled()?)?;
            let used = self.driver.reap_all().map_err(|error| anyhow!("the device breaks a rule: {error}"))?;
            for used in used {
                let data = expected.remove(&used.id).context("the device has used a buffer twice")?;
                check_answer(&used, data)?;
            }
            if expected.is_empty() {
                return Ok(());
            }
            let left = expected.len();
            ensure!(Instant::now() < deadline, "the device does not answer {left} requests within {PATIENCE:?}");
            self.front_end.wait_for_call(STEP)?;
        }
    }

    /// Reads what the device sees between two of its writes: what was read twice was there at the same time.
    fn read_settled(&self) -> Result<Vec<u8>> {
        let deadline = Instant::now() + PATIENCE;
        let mut before = self.read_shared()?;
        loop {
            let now = self.read_shared()?;
            if now == before {
                return Ok(now);
            }
            ensure!(Instant::now() < deadline, "the device goes on writing for {PATIENCE:?}");
            before = now;
        }
    }

    fn read_shared(&self) -> Result<Vec<u8>> {
        let mut bytes = vec![0; self.mem.range().len().try_into()?];
        self.shared.read_exact_at(&mut bytes, 0)?;
        Ok(bytes)
    }

    fn read_own(&self) -> Result<Vec<u8>> {
        let mut bytes = vec![0; self.mem.range().len().try_into()?];
        self.whole(Access::Read)?.read_bytes(0, &mut bytes)?;
        Ok(bytes)
    }

    fn whole(&self, access: Access) -> Result<DeviceRange<'_>> {
        Ok(self.mem.translate_all(self.mem.range(), access)?)
    }
}

fn range(start: u64, len: u64) -> Result<DriverRange> {
    DriverRange::new(DriverAddr(start), len).context("it is far from the end")
}

/// Returns a read of `len` bytes from `sector` on, whose data goes to `addr`.
fn request(sector: usize, len: usize, addr: DriverAddr) -> Result<DriverChain> {
    let header = [0, u64::try_from(sector)?].map(u64::to_le_bytes);
    let data = DriverChain::new().readable(header.as_flattened()).writable(len.try_into()?).at(addr);
    Ok(data.writable(1))
}

fn check_answer(used: &UsedBuffer, data: &[u8]) -> Result<()> {
    let answer = used.written().split_last().context("the device has written nothing")?;
    ensure!(answer == (&0, data), "the device has read something else than what is on the disk");
    Ok(())
}

/// Returns where the first and the last difference is.
fn difference(before: &[u8], after: &[u8]) -> Option<(usize, usize)> {
    let differs = |index: &usize| before.get(*index) != after.get(*index);
    Some(((0..before.len()).find(differs)?, (0..before.len()).rfind(differs)?))
}

/// Returns which pages differ, by the addresses of the driver.
fn changed_pages(before: &[u8], after: &[u8]) -> BTreeSet<u64> {
    let pages = before.chunks(PAGE_LEN).zip(after.chunks(PAGE_LEN)).zip(BASE / PAGE..);
    pages.filter(|((before, after), _)| before != after).map(|(_, page)| page).collect()
}

/// Returns which pages are in the log.
fn logged_pages(log: &File) -> Result<BTreeSet<u64>> {
    let mut bytes = vec![0; log.metadata()?.len().try_into()?];
    log.read_exact_at(&mut bytes, 0)?;
    let bits = bytes.into_iter().flat_map(|byte| (0..8).map(move |bit| byte & 1 << bit != 0));
    Ok((0..).zip(bits).filter(|(_, logged)| *logged).map(|(page, _)| page).collect())
}

/// Compares what was written while there was a log with what is in there.
fn compare(changed: &BTreeSet<u64>, logged: &BTreeSet<u64>) -> Result<()> {
    ensure!(changed.len() as u64 >= READS, "the device has written to {} pages only", changed.len());
    let missing: Vec<_> = changed.difference(logged).map(|page| format!("{:#x}", page * PAGE)).collect();
    ensure!(
        missing.is_empty(),
        "{} of {} pages that the device has written to are not in the log: {}",
        missing.len(),
        changed.len(),
        missing.join(" ")
    );
    // What is small is written without a change now and then: flags, and the status of a request.
    let small = BASE / PAGE..(BASE + PART) / PAGE;
    let excess: Vec<_> = logged.difference(changed).filter(|page| !small.contains(page)).collect();
    ensure!(excess.is_empty(), "{} pages are in the log that the device has not written to since", excess.len());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns as many pages as make the log worth a look, behind the small part.
    fn pages() -> BTreeSet<u64> {
        (0..READS).map(|page| (BASE + PART) / PAGE + page).collect()
    }

    fn check_refused(changed: &BTreeSet<u64>, logged: &BTreeSet<u64>, expected: &str) {
        let error = compare(changed, logged).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }

    #[test]
    fn log_of_what_was_written_is_accepted() {
        compare(&pages(), &pages()).unwrap();
    }

    #[test]
    fn page_that_is_missing_from_the_log_is_named() {
        let mut logged = pages();
        logged.pop_first();
        check_refused(&pages(), &logged, "1 of 64 pages that the device has written to are not in the log: 0x40100000");
    }

    #[test]
    fn page_that_was_not_written_is_refused_but_for_small_things() {
        let mut logged = pages();
        logged.insert(BASE / PAGE);
        compare(&pages(), &logged).unwrap();
        logged.insert((BASE + 2 * PART) / PAGE);
        check_refused(&pages(), &logged, "1 pages are in the log");
    }

    #[test]
    fn changed_pages_have_the_addresses_of_the_driver() {
        let (before, mut after) = ([0; 3 * PAGE_LEN], [0; 3 * PAGE_LEN]);
        after[2 * PAGE_LEN - 1] = 1;
        assert_eq!(changed_pages(&before, &after), BTreeSet::from([BASE / PAGE + 1]));
    }
}
