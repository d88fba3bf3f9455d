//! A disk on io_uring behind a front end, which stops, resets and changes everything while requests are in flight.

use std::os::unix::process::CommandExt;
use std::path::Path;
use std::sync::Arc;
use std::thread;

use clap::Parser;
use virtio_examples::blk::uring::UringDisk;
use virtio_examples::blk::{BlockDevice, DeviceId, FileStorage, Storage};
use virtio_fake_driver::DriverChain;
use virtio_vhost_user::{BackEnd, Options, VhostUserDevice, Worker};

use super::back_end::{self, command, refusal, socket_path, wait_readable};
use super::driver::{Driver, EVENT_IDX, PACKED};
use super::front_end::{
    Answer, FEATURES, FrontEnd, GET_CONFIG, GET_VRING_BASE, REM_MEM_REG, SET_CONFIG, SET_VRING_ENABLE, message, pair,
};
use super::guest::Guest;
use crate::blk_file::TempFile;
use crate::blk_uring::{Pipe, refuse_io_uring};
use crate::disk::{GET_ID, IN, OK, SECTOR, header, pattern};

const FLUSH: u64 = 1 << 9;
const CONFIG_WCE: u64 = 1 << 11;
/// How many requests are in flight.
pub(super) const DEPTH: usize = 128;

/// A disk on a storage of the test.
struct Disk<S>(Arc<S>);

impl<S: Storage + Send + Sync + 'static> VhostUserDevice for Disk<S> {
    const TYPE: &'static str = "block";

    fn worker(&self, _queue: usize, features: u64) -> Worker {
        let mut device = self.device();
        device.accept(features);
        UringDisk::new(device, DEPTH).unwrap().into_worker()
    }

    fn features(&self) -> u64 {
        self.device().features()
    }
}

impl<S: Storage> Disk<S> {
    fn device(&self) -> BlockDevice<Arc<S>> {
        BlockDevice::new(Arc::clone(&self.0), DeviceId::new("disk-0").unwrap())
    }
}

#[derive(Parser)]
struct Args {
    #[command(flatten)]
    options: Options,
}

/// Serves a disk on `storage` while `work` is done.
pub(super) fn serve<S: Storage + Send + Sync + 'static>(storage: S, work: impl FnOnce(&Path)) {
    let socket = socket_path();
    let options = Args::parse_from([Path::new(""), Path::new("--socket-path"), &socket]).options;
    let back_end = BackEnd::new(options, Disk(Arc::new(storage))).unwrap();
    thread::scope(|scope| {
        scope.spawn(|| back_end.serve().unwrap());
        // Also if the work panics.
        let _stop = Stop(&back_end);
        work(&socket);
    });
}

/// Stops a back end in the end.
struct Stop<'b, D: VhostUserDevice>(&'b BackEnd<D>);

impl<D: VhostUserDevice> Drop for Stop<'_, D> {
    fn drop(&mut self) {
        self.0.stop();
    }
}

/// With FLUSH: a write need not be stable when it is answered.
pub(super) fn guest(features: u64, len: u64) -> Guest {
    Guest::new(features | FLUSH, 512, 0x10_0000, len)
}

/// Returns a read of a sector.
fn read(sector: u64) -> DriverChain {
    DriverChain::new().readable(header(IN, sector)).writable(SECTOR as u32).writable(1)
}

/// Makes `requests` reads of a sector available, and waits for the first. The others wait for the medium.
fn first_of(requests: usize, features: u64, socket: &Path, pipe: &Pipe) -> (Guest, FrontEnd) {
    let mut guest = guest(features, 0x8_0000);
    let mut front_end = guest.connect(socket);
    guest.start(&mut front_end, guest.new_base());
    (0..requests).for_each(|_| assert!(guest.add(&read(0)).is_some()));
    guest.kick();
    pipe.write(&[1; SECTOR]);
    assert_eq!(guest.wait().len(), 1);
    (guest, front_end)
}

/// GET_VRING_BASE is not answered before the last request is.
#[test]
fn ring_stops_when_nothing_is_in_flight() {
    for features in [0, PACKED] {
        let (medium, pipe) = Pipe::new();
        serve(medium, |socket| {
            let (mut guest, mut front_end) = first_of(2, features, socket, &pipe);
            let feeder = thread::spawn(move || {
                front_end.send_raw(&message(GET_VRING_BASE, 1, &pair(0, 0)), &[]).unwrap();
                assert!(!front_end.is_answered());
                pipe.write(&[2; SECTOR]);
                front_end.receive().unwrap().1
            });
            let base = u32::from_le_bytes(feeder.join().unwrap()[4..].try_into().unwrap());
            let used = guest.driver.reap_all().unwrap();
            assert_eq!(used[0].written(), [&[2; SECTOR][..], &[OK]].concat());
            let expected = if features == 0 { 2 } else { 0x8006_8006 };
            assert_eq!(base, expected);
        });
    }
}

/// The kernel may write to memory until the front end is told that it has the memory back. The queue goes on when its
/// memory is there again.
#[test]
fn memory_stays_until_requests_in_flight_have_ended() {
    for features in [0, PACKED] {
        let (medium, pipe) = Pipe::new();
        serve(medium, |socket| {
            let (mut guest, mut front_end) = first_of(8, features, socket, &pipe);
            front_end.send_raw(&message(REM_MEM_REG, 1 | 1 << 3, &guest.region().message()), &[]).unwrap();
            assert!(!front_end.is_answered());
            assert!(guest.driver.reap_all().unwrap().is_empty());
            pipe.write(&[2; 7 * SECTOR]);
            assert_eq!(front_end.receive().unwrap(), (REM_MEM_REG, vec![0; 8]));
            let used = guest.driver.reap_all().unwrap();
            assert_eq!(used.len(), 7);
            assert!(used.iter().all(|used| used.written() == [&[2; SECTOR][..], &[OK]].concat()));
            assert!(guest.add(&read(0)).is_some());
            guest.kick();
            let bytes = guest.mem.bytes();
            pipe.write(&[3; SECTOR]);
            assert!(!front_end.is_answered() && guest.mem.bytes() == bytes);
            assert_eq!(front_end.add_memory(guest.region(), guest.mem.file()), Answer::Yes);
            assert_eq!(guest.wait()[0].written(), [&[3; SECTOR][..], &[OK]].concat());
        });
    }
}

/// Where there is no io_uring, the program says so in one line, and works.
#[test]
fn without_io_uring_there_are_plain_reads_and_writes() {
    for args in [&[][..], &["--io", "uring"]] {
        let mut model = pattern(1 << 16);
        let file = TempFile::new(&model);
        let socket = socket_path();
        let mut command = command(&socket, &["--blk-file", file.path().to_str().unwrap()]);
        command.args(args);
        // SAFETY: between `fork` and `exec`, it makes two system calls, and allocates nothing.
        unsafe { command.pre_exec(refuse_io_uring) };
        let back_end = back_end::BackEnd::spawn(command, socket);
        let mut driver = Driver::connect(back_end.socket(), EVENT_IDX, 1, 64);
        driver.exercise(&mut model, 10, 8, || {});
        drop(driver);
        let said = back_end.end_with(rustix::process::Signal::TERM);
        assert_eq!(
            said,
            "plain reads and writes are used, because there is no io_uring: Operation not permitted (os error 1)\n"
        );
        assert!(file.bytes() == model);
    }
}

#[test]
fn io_uring_is_refused_where_it_cannot_be() {
    let file = TempFile::new(&[0; SECTOR]);
    let path = file.path().to_str().unwrap();
    let table: [&[&str]; 2] = [&["--io", "uring", "--null", "512"], &["--io", "threads", "--blk-file", path]];
    for args in table {
        let said = refusal(command(&socket_path(), args));
        assert!(said.starts_with("error: ") && (said.contains("--io") || said.contains("--null")), "{said}");
    }
}

/// Past the page cache, or not, in each way: the driver and the file agree.
#[test]
fn file_is_read_and_written_past_the_page_cache() {
    let mut model = pattern(1 << 20);
    let file = TempFile::new(&model);
    let path = file.path().to_str().unwrap();
    if FileStorage::open(path).unwrap().past_the_page_cache().is_err() {
        return;
    }
    for io in ["plain", "uring"] {
        for features in [EVENT_IDX, PACKED] {
            let back_end = back_end::BackEnd::start(&["--blk-file", path, "--direct", "--io", io]);
            let mut driver = Driver::connect(back_end.socket(), features, 1, 64);
            let config = driver.config();
            assert!(u32::from(config.blk_size) >= 512);
            driver.exercise(&mut model, 20, 8, || {});
            drop(driver);
            back_end.end();
            assert!(file.bytes() == model);
        }
    }
}

/// A driver reads the serial number, and chooses the mode of the cache.
#[test]
fn serial_number_is_the_one_of_the_command_line() {
    let file = TempFile::new(&[0; SECTOR]);
    let path = file.path().to_str().unwrap();
    for io in ["plain", "uring"] {
        let back_end = back_end::BackEnd::start(&["--blk-file", path, "--io", io, "--serial", "S/N 0815"]);
        let mut guest = guest(CONFIG_WCE, 0x8_0000);
        let mut front_end = guest.connect(back_end.socket());
        guest.start(&mut front_end, guest.new_base());
        for mode in [0, 1] {
            let written = [pair(32, 1), vec![0; 4], vec![mode]].concat();
            assert_eq!(front_end.set(SET_CONFIG, &written), Answer::Yes);
            let read = front_end.ask(GET_CONFIG, &[pair(32, 1), vec![0; 5]].concat()).unwrap();
            assert_eq!(read.last(), Some(&mode));
            guest.add(&DriverChain::new().readable(header(GET_ID, 0)).writable(20).writable(1)).unwrap();
            guest.kick();
            assert_eq!(guest.wait()[0].writable(), [&b"S/N 0815"[..], &[0; 12], &[OK]].concat());
        }
        drop(front_end);
        back_end.end();
    }
}

/// With some files left there are plain reads and writes. With none, the front end is told so, and can try again.
#[test]
fn queue_starts_as_well_as_it_can_with_few_files() {
    let file = TempFile::new(&pattern(1 << 16));
    let back_end = back_end::BackEnd::start(&["--blk-file", file.path().to_str().unwrap(), "--io", "uring"]);
    let mut answers = Vec::new();
    for spare in 0..6 {
        let mut guest = guest(0, 0x8_0000);
        let mut front_end = guest.connect(back_end.socket());
        guest.prepare(&mut front_end, guest.new_base());
        let before = back_end.leave_files(spare);
        let answer = front_end.set_ring(SET_VRING_ENABLE, 0, 1);
        back_end.limit_files(before);
        if answer == Answer::No {
            assert_eq!(front_end.set_ring(SET_VRING_ENABLE, 0, 1), Answer::Yes);
        }
        answers.push(answer);
        assert!(guest.add(&read(1)).is_some());
        guest.kick();
        // The driver is told, however often it took to start.
        wait_readable(&guest.call, "the call");
        assert_eq!(guest.wait()[0].written(), [&file.bytes()[SECTOR..2 * SECTOR], &[OK]].concat());
    }
    let said = back_end.end_with(rustix::process::Signal::TERM);
    assert!(answers.contains(&Answer::No) && answers.last() == Some(&Answer::Yes), "{answers:?}: {said}");
    assert!(
        said.contains("plain reads and writes are used, because there is no io_uring: Too many open files"),
        "{said}"
    );
}

/// Front ends that go with requests in flight leave nothing.
#[test]
fn front_ends_come_and_go_with_requests_in_flight() {
    let file = TempFile::new(&pattern(1 << 20));
    let back_end = back_end::BackEnd::start(&["--blk-file", file.path().to_str().unwrap(), "--io", "uring"]);
    let counts = |back_end: &back_end::BackEnd| {
        drop(FrontEnd::agreed(back_end.socket(), FEATURES));
        let _last = FrontEnd::agreed(back_end.socket(), FEATURES);
        back_end.check_rings(0);
        (back_end.files(), back_end.mappings())
    };
    let before = counts(&back_end);
    for round in 0..20 {
        let mut driver = Driver::connect(back_end.socket(), [EVENT_IDX, PACKED][round % 2], 1, 64);
        driver.send_read();
    }
    assert_eq!(counts(&back_end), before);
    back_end.end();
}
