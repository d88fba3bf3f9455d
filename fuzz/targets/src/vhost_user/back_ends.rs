//! Back ends that run for as long as the process, and what a session may leave behind: nothing.

use std::collections::BTreeMap;
use std::fs;
use std::os::fd::IntoRawFd;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener, UnixStream};
use std::panic;
use std::process;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use virtio_chain::ReadableChain;
use virtio_queue_core::{Chain, FatalError};
use virtio_vhost_user::{BackEnd, Device, KeptChain, Options, VhostUserDevice, Worker};

use super::wire::Wire;

/// How long what is left of a session may stay.
const PATIENCE: Duration = Duration::from_secs(8);

/// Whether something has panicked, on any thread.
static PANICKED: AtomicBool = AtomicBool::new(false);

/// Writes in upper case what the driver sent, as far as it makes sense.
fn answer(chain: impl Chain) {
    let mut text = [0; 64];
    let mut request = ReadableChain::new(chain);
    let Ok(len) = request.read(&mut text) else { return };
    let Ok(mut answer) = request.into_writable() else { return };
    text.make_ascii_uppercase();
    let _ = answer.write(&text[..len]);
}

/// A device of one of the shapes.
struct Shape(Box<dyn Fn() -> Worker + Send + Sync>);

impl VhostUserDevice for Shape {
    const TYPE: &'static str = "console";
    const QUEUES_PER_WORKER: usize = 2;
    const ANNOUNCES: bool = true;

    fn worker(&self, _queue: usize, _features: u64) -> Worker {
        (self.0)()
    }

    fn config(&self) -> Vec<u8> {
        vec![7; 12]
    }

    fn num_queues(&self) -> usize {
        3
    }
}

/// A device that is compiled for each format of rings.
struct Compiled;

impl Device for Compiled {
    type Error = FatalError;

    fn process(&mut self, chain: impl Chain) -> Result<u64, FatalError> {
        answer(chain);
        Ok(0)
    }
}

/// Hands chains to another thread, which answers them.
fn pool() -> impl Fn() -> Worker {
    let (sender, chains) = mpsc::channel();
    thread::spawn(move || chains.into_iter().for_each(|chain: KeptChain| answer(chain)));
    move || {
        let sender = sender.clone();
        Worker::deferred(move |chain| drop(sender.send(chain)))
    }
}

/// Keeps chains until it is asked for them, or until there are too many.
fn keeping() -> Worker {
    let kept: Arc<Mutex<Vec<KeptChain>>> = Arc::default();
    let put_back = Arc::clone(&kept);
    let worker = Worker::on_stop(move |_| {
        while let Some(chain) = put_back.lock().unwrap().pop() {
            let _ = chain.try_unfetch();
        }
    });
    worker.deferred(move |chain| {
        let mut kept = kept.lock().unwrap();
        kept.push(chain);
        if kept.len() > 3 {
            answer(kept.remove(0));
        }
    })
}

/// All back ends, and the files, mappings and threads that the process has while they have nothing to do.
pub(crate) struct BackEnds {
    idle: BTreeMap<String, usize>,
}

impl BackEnds {
    pub(crate) const COUNT: usize = 4;

    pub(crate) fn start() -> Self {
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |panic| {
            PANICKED.store(true, Ordering::Relaxed);
            before(panic);
        }));
        serve(0, || Worker::at_once(|chain| answer(chain)));
        serve(1, || Worker::serve(Compiled));
        serve(2, pool());
        serve(3, keeping);
        let mut back_ends = Self { idle: BTreeMap::new() };
        let _wires = back_ends.idle_wires();
        back_ends.idle = resources();
        back_ends
    }

    pub(crate) fn connect(&self, place: usize) -> UnixStream {
        UnixStream::connect_addr(&addr(place)).expect("a back end listens")
    }

    /// Connects to all of them, and waits until that is served: when all sessions before have ended.
    fn idle_wires(&self) -> [Wire; Self::COUNT] {
        [0, 1, 2, 3].map(|place| {
            let mut wire = Wire::new(self.connect(place));
            assert!(wire.wait(), "the next front end is not served");
            wire
        })
    }

    /// Checks that the next front end is served, and that nothing is left of the one before.
    pub(crate) fn check(&self) {
        let _wires = self.idle_wires();
        assert!(!PANICKED.swap(false, Ordering::Relaxed), "a thread has panicked");
        let since = Instant::now();
        // Threads end a little later than what they did.
        while resources() != self.idle {
            assert!(since.elapsed() < PATIENCE, "{:#?} is left, and there was {:#?}", resources(), self.idle);
            thread::yield_now();
        }
    }
}

/// Returns where a back end listens: at a name that belongs to this process.
fn addr(place: usize) -> SocketAddr {
    SocketAddr::from_abstract_name(format!("virtio-fuzz-{}-{place}", process::id())).unwrap()
}

/// Begins to serve a device, for good.
fn serve(place: usize, worker: impl Fn() -> Worker + Send + Sync + 'static) {
    let listener = UnixListener::bind_addr(&addr(place)).unwrap();
    let mut options = Options::inherited(listener.into_raw_fd());
    options.queue_size = 256;
    options.in_order = true;
    let back_end = BackEnd::new(options, Shape(Box::new(worker))).unwrap();
    thread::spawn(move || back_end.serve().unwrap());
}

/// Counts what sessions use: files of the kinds that are sent, mappings of such files, and threads, by their names.
fn resources() -> BTreeMap<String, usize> {
    let mut found = BTreeMap::new();
    let mut count = |name: String| *found.entry(name).or_default() += 1;
    for file in fs::read_dir("/proc/self/fd").unwrap().flatten() {
        let target = fs::read_link(file.path()).unwrap_or_default().display().to_string();
        let kinds = ["/memfd:", "anon_inode:[eventfd]", "/dev/null"];
        kinds.iter().filter(|kind| target.starts_with(**kind)).for_each(|kind| count((*kind).into()));
        // Two of each, and those of the listeners.
        if target.starts_with("socket:") {
            count("socket".into());
        }
    }
    let maps = fs::read_to_string("/proc/self/maps").unwrap();
    maps.lines().filter(|line| line.contains("/memfd:")).for_each(|_| count("mapping".into()));
    for thread in fs::read_dir("/proc/self/task").unwrap().flatten() {
        let name = fs::read_to_string(thread.path().join("comm")).unwrap_or_default();
        let ours = ["queue", "virtio-notify", "signal"].iter().any(|ours| name.starts_with(ours));
        if ours {
            count(format!("thread {}", name.trim()));
        }
    }
    found
}
