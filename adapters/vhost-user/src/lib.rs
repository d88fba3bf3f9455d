//! vhost-user back ends for virtio devices.
//!
//! A back end is a program that serves a device to each program that connects to its socket: QEMU, Cloud Hypervisor,
//! DPDK, libblkio. Everything that device types have in common in that is here. A device implements one trait,
//! [`VhostUserDevice`], and has a back end.
//!
//! # Examples
//!
//! The device says what serves a queue: a [`Worker`]. One that answers each chain **at once**:
//!
//! ```no_run
//! use std::process::ExitCode;
//! use std::time::UNIX_EPOCH;
//!
//! use virtio_chain::WritableChain;
//! use virtio_vhost_user::{Options, VhostUserDevice, Worker};
//!
//! /// Answers every chain with what the clock says.
//! struct Clock;
//!
//! impl VhostUserDevice for Clock {
//!     const TYPE: &'static str = "rng";
//!
//!     fn worker(&self, _queue: usize, _features: u64) -> Worker {
//!         Worker::at_once(|chain| {
//!             let now = UNIX_EPOCH.elapsed().map_or(0, |passed| passed.as_secs());
//!             // A chain that is malformed or too short goes back with what was written.
//!             let _ = WritableChain::new(chain).write_all(&now.to_le_bytes());
//!         })
//!     }
//! }
//!
//! /// Says what time it is
//! #[derive(clap::Parser)]
//! struct Args {
//!     #[command(flatten)]
//!     options: Options,
//! }
//!
//! fn main() -> ExitCode {
//!     virtio_vhost_user::run(|args: Args| Ok((args.options, Clock)))
//! }
//! ```
//!
//! One whose chains are answered **later**, in any order, by other threads. The chains are owned:
//!
//! ```no_run
//! use std::process::ExitCode;
//! use std::hash::{DefaultHasher, Hasher};
//! use std::sync::{Arc, Mutex, PoisonError, mpsc};
//! use std::thread;
//!
//! use virtio_chain::ReadableChain;
//! use virtio_vhost_user::{KeptChain, Options, VhostUserDevice, Worker};
//!
//! /// Answers with a checksum of what the driver sends, on a pool of threads.
//! struct Checksums {
//!     pool: mpsc::Sender<KeptChain>,
//! }
//!
//! fn answer(chain: KeptChain) -> Option<()> {
//!     let (mut checksum, mut part) = (DefaultHasher::new(), [0; 512]);
//!     let mut request = ReadableChain::new(chain);
//!     loop {
//!         match request.read(&mut part).ok()? {
//!             0 => break,
//!             len => checksum.write(part.get(..len)?),
//!         }
//!     }
//!     // The drop returns the chain, with the length of what was written.
//!     request.into_writable().ok()?.write_all(&checksum.finish().to_le_bytes()).ok()
//! }
//!
//! impl Checksums {
//!     fn new() -> Self {
//!         let (pool, chains) = mpsc::channel();
//!         let chains = Arc::new(Mutex::new(chains));
//!         for _ in 0..4 {
//!             let chains = Arc::clone(&chains);
//!             thread::spawn(move || {
//!                 loop {
//!                     let next = chains.lock().unwrap_or_else(PoisonError::into_inner).recv();
//!                     let Ok(chain) = next else { return };
//!                     answer(chain);
//!                 }
//!             });
//!         }
//!         Self { pool }
//!     }
//! }
//!
//! impl VhostUserDevice for Checksums {
//!     const TYPE: &'static str = "checksum";
//!
//!     fn worker(&self, _queue: usize, _features: u64) -> Worker {
//!         let pool = self.pool.clone();
//!         Worker::deferred(move |chain| drop(pool.send(chain)))
//!     }
//! }
//!
//! # #[derive(clap::Parser)]
//! # struct Args {
//! #     #[command(flatten)]
//! #     options: Options,
//! # }
//! fn main() -> ExitCode {
//!     virtio_vhost_user::run(|args: Args| Ok((args.options, Checksums::new())))
//! }
//! ```
//!
//! The pool has an answer for each chain. A device that keeps chains until something happens elsewhere has to put them
//! back when the queue stops: see [`Worker::on_stop`].
//!
//! One that is **`async`**, with a task for each chain:
//!
//! ```no_run
//! use std::process::ExitCode;
//! use std::time::Duration;
//!
//! use tokio::runtime::Runtime;
//! use virtio_chain::WritableChain;
//! use virtio_vhost_user::{KeptChain, Options, VhostUserDevice, Worker};
//!
//! /// Answers every chain with zeros, after a while.
//! struct Slow {
//!     runtime: Runtime,
//! }
//!
//! async fn answer(chain: KeptChain) {
//!     tokio::time::sleep(Duration::from_millis(100)).await;
//!     let _ = WritableChain::new(chain).write_all(&[0; 64]);
//! }
//!
//! impl VhostUserDevice for Slow {
//!     const TYPE: &'static str = "rng";
//!
//!     fn worker(&self, _queue: usize, _features: u64) -> Worker {
//!         let tasks = self.runtime.handle().clone();
//!         Worker::asynchronous(move |mut chains| {
//!             let tasks = tasks.clone();
//!             async move {
//!                 while let Some(chain) = chains.next_chain().await {
//!                     tasks.spawn(answer(chain));
//!                 }
//!             }
//!         })
//!     }
//! }
//!
//! # #[derive(clap::Parser)]
//! # struct Args {
//! #     #[command(flatten)]
//! #     options: Options,
//! # }
//! fn main() -> ExitCode {
//!     virtio_vhost_user::run(|args: Args| Ok((args.options, Slow { runtime: Runtime::new()? })))
//! }
//! ```
//!
//! And one whose **input comes when it comes**. The driver's buffers for input stay in the queue until there is some,
//! so that the queue can stop at any time. Each queue has a worker, and both share what outlives them:
//!
//! ```no_run
//! use std::io::{self, Write};
//! use std::process::ExitCode;
//! use std::sync::Arc;
//! use std::sync::atomic::{AtomicUsize, Ordering};
//! use std::thread;
//!
//! use tokio::sync::{Mutex, mpsc};
//! use virtio_chain::{ReadableChain, WritableChain};
//! use virtio_queue_core::Chain;
//! use virtio_vhost_user::{Chains, Options, VhostUserDevice, Worker};
//!
//! /// The driver reads what people type, and what it writes is printed.
//! struct Console {
//!     terminal: Arc<Terminal>,
//! }
//!
//! /// What both queues have.
//! struct Terminal {
//!     lines: Mutex<mpsc::Receiver<String>>,
//!     received: AtomicUsize,
//!     sent: AtomicUsize,
//! }
//!
//! impl Terminal {
//!     fn new() -> Self {
//!         let (sender, lines) = mpsc::channel(16);
//!         thread::spawn(move || {
//!             for line in io::stdin().lines().map_while(Result::ok) {
//!                 if sender.blocking_send(line + "\n").is_err() {
//!                     return;
//!                 }
//!             }
//!         });
//!         Self { lines: Mutex::new(lines), received: AtomicUsize::new(0), sent: AtomicUsize::new(0) }
//!     }
//!
//!     /// Serves the receive queue. Channels of tokio need no runtime.
//!     async fn receive(&self, mut chains: Chains) {
//!         // No chain is taken while this waits.
//!         while chains.available().await {
//!             let Some(line) = self.lines.lock().await.recv().await else { break };
//!             let mut rest = line.as_bytes();
//!             while !rest.is_empty() {
//!                 let Some(chain) = chains.next_chain().await else { return };
//!                 // A malformed chain goes back with nothing written.
//!                 let written = WritableChain::new(chain).write(rest).unwrap_or(0);
//!                 rest = rest.get(written..).unwrap_or_default();
//!                 self.received.fetch_add(written, Ordering::Relaxed);
//!             }
//!         }
//!         // There is no more input. A future that ends would leave the queue broken.
//!         std::future::pending().await
//!     }
//!
//!     /// Serves the transmit queue.
//!     fn transmit(&self, chain: impl Chain) {
//!         let (mut request, mut part) = (ReadableChain::new(chain), [0; 512]);
//!         while let Ok(len @ 1..) = request.read(&mut part) {
//!             self.sent.fetch_add(len, Ordering::Relaxed);
//!             let _ = io::stdout().write_all(part.get(..len).unwrap_or_default());
//!         }
//!     }
//! }
//!
//! impl VhostUserDevice for Console {
//!     const TYPE: &'static str = "console";
//!
//!     fn num_queues(&self) -> usize {
//!         2
//!     }
//!
//!     fn worker(&self, queue: usize, _features: u64) -> Worker {
//!         let terminal = Arc::clone(&self.terminal);
//!         if queue == 0 {
//!             Worker::asynchronous(move |chains| {
//!                 let terminal = Arc::clone(&terminal);
//!                 async move { terminal.receive(chains).await }
//!             })
//!         } else {
//!             Worker::at_once(move |chain| terminal.transmit(chain))
//!         }
//!     }
//!
//!     fn report(&self) -> String {
//!         let received = self.terminal.received.load(Ordering::Relaxed);
//!         let sent = self.terminal.sent.load(Ordering::Relaxed);
//!         format!("{received} bytes received, {sent} bytes sent")
//!     }
//! }
//!
//! # #[derive(clap::Parser)]
//! # struct Args {
//! #     #[command(flatten)]
//! #     options: Options,
//! # }
//! fn main() -> ExitCode {
//!     virtio_vhost_user::run(|args: Args| Ok((args.options, Console { terminal: Arc::new(Terminal::new()) })))
//! }
//! ```
//!
//! If the input comes from a file descriptor, [`Serve`] with [`wake`](Serve::wake) needs no thread for it.
//! [`Worker::serve`] is also for devices that are faster with many chains at a time, and for those that have to see two
//! queues.
//!
//! The examples need these crates, and the `async` ones tokio:
//!
//! ```toml
//! [dependencies]
//! clap = { version = "4", features = ["derive"] }
//! virtio-chain = "0.1"
//! virtio-queue-core = "0.1" # `Chain`, for what follows
//! virtio-vhost-user = "0.1"
//! ```
//!
//! # One function for all shapes
//!
//! A [`BorrowedChain`] and a [`KeptChain`] are different types. Both are a [`Chain`](virtio_queue_core::Chain), and so
//! are those of the crate `virtio-fake-driver`. A device that answers in a function of any `Chain` can change its
//! shape, and is tested without a front end:
//!
//! ```
//! use virtio_chain::WritableChain;
//! use virtio_fake_driver::{AnyFixtureOptions, DriverChain};
//! use virtio_queue_core::Chain;
//! use virtio_vhost_user::Worker;
//!
//! fn answer(chain: impl Chain) {
//!     let _ = WritableChain::new(chain).write_all(b"hello");
//! }
//!
//! let at_once = || Worker::at_once(|chain| answer(chain));
//! let deferred = || Worker::deferred(|chain| answer(chain));
//!
//! let mut fixture = AnyFixtureOptions::default().build()?;
//! fixture.driver.add(&DriverChain::new().writable(8))?;
//! answer(fixture.queue.next_chain()?.ok_or("nothing is available")?);
//! assert_eq!(fixture.driver.reap()?.ok_or("nothing was used")?.written(), b"hello");
//! # let _ = (at_once(), deferred());
//! # Ok::<_, Box<dyn std::error::Error>>(())
//! ```
//!
//! # Testing
//!
//! A worker needs a front end. What a worker is made of needs none:
//!
//! | the device | the test |
//! | --- | --- |
//! | answers in a function of any [`Chain`](virtio_queue_core::Chain), in any shape | calls the function with a chain of a fixture, as above |
//! | is a [`Device`] | calls [`Device::serve`] with the queue of a fixture |
//! | is [`Serve`] | calls [`Serve::serve_queue`] with the two parts of the queue of a fixture |
//!
//! The fixture of the crate `virtio-fake-driver` is a driver and a queue in the same memory, in either format:
//!
//! ```
//! use virtio_chain::WritableChain;
//! use virtio_fake_driver::{AnyFixtureOptions, DriverChain};
//! use virtio_queue_core::{Chain, FatalError};
//! use virtio_vhost_user::{Device, Serve, WaitsFor};
//!
//! struct Zeros;
//!
//! impl Device for Zeros {
//!     type Error = FatalError;
//!
//!     fn process(&mut self, chain: impl Chain) -> Result<u64, FatalError> {
//!         let _ = WritableChain::new(chain).write_all(&[0; 8]);
//!         Ok(8)
//!     }
//! }
//!
//! let mut fixture = AnyFixtureOptions::default().build()?;
//! (0..3).try_for_each(|_| fixture.driver.add(&DriverChain::new().writable(8)).map(drop))?;
//! let (ring, state) = fixture.queue.parts_mut();
//! let turn = Zeros.serve_queue(0, ring, state, 2)?;
//! assert_eq!((turn.chains, turn.waits_for), (2, WaitsFor::Turn));
//! assert_eq!(fixture.driver.reap_all()?.len(), 2);
//! # Ok::<_, Box<dyn std::error::Error>>(())
//! ```
//!
//! To test the whole back end, give one end of a `UnixStream::pair` to [`Options::inherited`], and the other end to a
//! front end, such as `Frontend` of the crate `vhost`.
//!
//! # When things happen
//!
//! Messages are handled on the thread of [`run`] or [`BackEnd::serve`]. Each worker has a thread of its own while one
//! of its queues runs.
//!
//! | the front end | a device that answers at once | chains of other devices |
//! | --- | --- | --- |
//! | starts a ring | its thread begins | its thread begins |
//! | adds, removes or resizes a memory region | pauses between two chains | keep the old memory, and return as ever, or are waited for: see [`Worker::keeping_memory`] |
//! | removes the region that contains a ring | serves the ring again when a region contains it | are fetched again when a region contains the ring |
//! | disables a ring | serves the ring again when it is enabled | are fetched again when it is enabled |
//! | names another eventfd for calls or errors | goes on | go on |
//! | writes to the configuration space (`SET_CONFIG`) | goes on, and is told: see [`VhostUserDevice::write_config`] | go on as well |
//! | stops a ring (`GET_VRING_BASE`) | is answered between two chains | is answered when none is in flight: see [`OnStop`] |
//! | starts a ring where it stopped | the same worker goes on | the same worker goes on |
//! | starts a ring elsewhere, after all rings of the worker stopped | another worker is made | another worker is made |
//! | accepts other features | another worker is made | another worker is made |
//! | resets the device (`RESET_DEVICE`), or goes | stops between two chains | cannot be returned any more; all are waited for until they are dropped: see [`OnStop`] |
//!
//! In QEMU, `stop` and `cont` stop and start a ring at the same place. If the guest reboots, or unbinds its driver and
//! binds one again, QEMU stops all rings, and starts them at their beginning. It resets few devices. So the next driver
//! has another worker: [`VhostUserDevice::worker`] has the exact rule.
//!
//! A device has ten seconds for a request that the front end waits for. After that the front end loses it, and the back
//! end goes on with the next one. When the program is to end, by SIGTERM or SIGINT, the device has one second. In both
//! cases, a line on the standard error says which queue it is.
//!
//! # After a crash
//!
//! A front end can keep a record of the chains in flight (`INFLIGHT_SHMFD`), and give it to the next process. That
//! process first passes on each chain that the earlier process had fetched and not returned. The order is that of the
//! first time. Then it passes on the new chains. It does not matter when the earlier process was killed: no chain is
//! lost, and no chain is returned twice. But a request can be executed twice, because the earlier process can have
//! written the disk without returning the chain. A device must tolerate that.
//!
//! Without a record, it depends on the front end. QEMU keeps a record only for block devices. For the others, it takes
//! the position of a split ring from the used index. So chains in flight are served again if the device answers in
//! order, as `vhost-user-net` and `vhost-user-rng` do. A packed ring has no such index in memory, and the position that
//! QEMU sends is too old. So the device does nothing until the driver resets it.
//!
//! For packed rings, the back end can keep the record itself: `--record PATH`, or [`Options::record`]. Each back end
//! needs a file of its own, and the next process must use the same file. The record belongs to one guest, which is
//! recognised by its memory. With another guest or other features, a new record begins. When the front end has
//! connected again, the guest continues to work. This is lost:
//!
//! * Network: packets from the host for the guest. Packets of the guest that were in flight: with a split ring, QEMU
//!   drops them; with a packed ring, a packet can be sent twice. TCP sends lost packets again. The link is down until
//!   the front end has connected again.
//! * Entropy: nothing. A reader waits until a back end is there again. QEMU 7.2 cannot use `reconnect=` with its
//!   entropy device.
//!
//! If a driver is reset while no process serves it, it begins a new ring, but the record does not know that. Reset the
//! driver once more, with a back end.
//!
//! # Polling
//!
//! With `--poll`, or [`Options::poll`], the thread of a worker that answers at once does not wait for a kick while
//! there is work. It looks at its rings again and again, and tells the driver that kicks are not needed. After 10,000
//! looks without a chain, which take a few milliseconds, it asks for kicks and waits. So a device without work takes no
//! processor time. A device with work uses a whole processor for each worker. Use it if the driver has a processor of
//! its own, and low latency is important. It has no effect on workers that answer later: a future can poll by itself
//! with [`Chains::try_next`].
//!
//! # Migration
//!
//! A front end that migrates a guest shares a log of dirty pages (`LOG_SHMFD`, LOG_ALL, the log addresses of rings).
//! The device marks each page that it writes, before it tells the driver. The log is switched on and off while no chain
//! is in flight, as when a ring stops. A log that is too small for the memory is refused. While pages are marked,
//! memory beyond the end of the log is refused too.
//!
//! # What is not offered
//!
//! This crate stands on the crate `vhost` 0.18. What that crate cannot say is not offered:
//!
//! | message or feature | consequence |
//! | --- | --- |
//! | `STATUS` (`GET_STATUS`, `SET_STATUS`) | The device does not see the status of the driver. A ring that breaks signals its error eventfd instead of DEVICE_NEEDS_RESET. |
//! | `CONFIG_CHANGE` (`BACKEND_CONFIG_CHANGE_MSG`) | The device cannot tell the driver that the configuration space has changed. |
//! | `NET_MTU` | The front end does not set the MTU of a network device. |
//! | IOTLB messages, ACCESS_PLATFORM (feature bit 33) | There is no IOMMU between device and memory. A driver that accepts ACCESS_PLATFORM is refused. |
//! | `INBAND_NOTIFICATIONS` | Kicks and calls come through eventfds. A ring without a kick is refused. |
//!
//! # Front ends that are not to be trusted
//!
//! A front end can make its own device fail, and nothing else:
//!
//! * Memory is mapped up to the end of its file. If the front end makes the file shorter later, or the file system has
//!   no room for a page, the device gets another page instead. The front end does not see that page.
//! * Eventfds can be full, block, or always be readable. A worker can be blocked by one. The thread that waits for the
//!   worker makes room in it.
//! * Errors are written to the standard error. The number of lines is limited. A full pipe does not block the device.
//! * If the system has no memory, files or threads left, a message is refused, or the next front end waits.
//! * Shared files are mapped in at most half of the address space of the process, and in a limited number of mappings.
//!   Further files are refused.
//!
//! A hostile front end can still do two things:
//!
//! * It can share a file of a file system that it serves itself (FUSE), and not answer accesses to the file. The back
//!   end then waits, and only SIGKILL ends it. Do not let a front end mount such a file system if you do not trust it.
//! * It can leave pages of its memory unwritten, so that the device writes them first. The system counts these pages as
//!   memory of the back end.

#![deny(unsafe_code)]
#![expect(clippy::std_instead_of_alloc, reason = "a back end has the standard library")]

mod addresses;
mod back_end;
mod bell;
mod chains;
mod deferred;
mod early;
mod event;
mod group;
mod inflight;
mod lanes;
#[expect(unsafe_code, reason = "bits of shared memory are set by atomic operations")]
mod log;
#[expect(unsafe_code, reason = "what is mapped is vouched for here")]
mod memory;
mod not_running;
mod options;
mod own_record;
mod pages;
mod patience;
mod program;
mod report;
mod serve;
mod session;
#[expect(unsafe_code, reason = "what is mapped is vouched for here")]
mod shm;
#[expect(unsafe_code, reason = "a signal handler, and the pages that it replaces")]
mod sigbus;
#[expect(unsafe_code, reason = "a file descriptor is taken over by its number")]
mod socket;
mod vhost_user_device;
mod vring;
mod worker;

pub use back_end::BackEnd;
pub use chains::{Chains, KeptChain};
pub use event::Call;
pub use inflight::any::{AnyRecordedRing, AnyRecorder};
pub use log::Logged;
pub use memory::{GuestMem, Mapping};
pub use options::Options;
pub use program::run;
pub use report::report;
pub use serve::{Device, Serve, Served, Turn, WaitsFor};
pub use vhost_user_device::VhostUserDevice;
pub use worker::{BorrowedChain, OnStop, Worker};
