//! A device that keeps its chains, with a record of them and a log of what they are written.

use std::path::Path;
use std::sync::{Arc, Condvar, Mutex};
use std::thread;

use clap::Parser;
use virtio_chain::WritableChain;
use virtio_fake_driver::DriverChain;
use virtio_vhost_user::{BackEnd, KeptChain, Options, VhostUserDevice, Worker};

use super::back_end::{PATIENCE, socket_path};
use super::dirty_log::{LOG_ALL, Log, PAGE};
use super::driver::PACKED;
use super::front_end::{Answer, FEATURES, SET_FEATURES};
use super::guest::Guest;

/// Keeps all chains until somebody takes them.
#[derive(Clone, Default)]
struct Keeper(Arc<(Mutex<Vec<KeptChain>>, Condvar)>);

impl Keeper {
    /// Waits until there are so many, and takes them.
    fn take(&self, count: usize) -> Vec<KeptChain> {
        let (chains, changed) = &*self.0;
        let kept = changed.wait_timeout_while(chains.lock().unwrap(), PATIENCE, |chains| chains.len() < count);
        let (mut kept, timeout) = kept.unwrap();
        assert!(!timeout.timed_out(), "{} chains, not {count}", kept.len());
        std::mem::take(&mut *kept)
    }

    /// Waits until there are so many.
    fn wait(&self, count: usize) {
        let chains = self.take(count);
        self.0.0.lock().unwrap().extend(chains);
    }
}

impl VhostUserDevice for Keeper {
    const TYPE: &'static str = "console";

    fn worker(&self, _queue: usize, _features: u64) -> Worker {
        let [keeper, putter] = [self.clone(), self.clone()];
        let keep = move |chain| {
            keeper.0.0.lock().unwrap().push(chain);
            keeper.0.1.notify_all();
        };
        let put_back = move |_| {
            while let Some(chain) = { putter.0.0.lock().unwrap().pop() } {
                let _ = chain.unfetch();
            }
        };
        Worker::on_stop(put_back).deferred(keep)
    }
}

#[derive(Parser)]
struct Args {
    #[command(flatten)]
    options: Options,
}

/// Runs a back end while `work` is done.
fn serve<T>(keeper: &Keeper, socket: &Path, work: impl FnOnce() -> T) -> T {
    let options = Args::parse_from([Path::new(""), Path::new("--socket-path"), socket]).options;
    let back_end = BackEnd::new(options, keeper.clone()).unwrap();
    thread::scope(|scope| {
        scope.spawn(|| back_end.serve().unwrap());
        let result = work();
        back_end.stop();
        result
    })
}

/// What is left of a process that is killed: here, of one whose memory is made what it was.
fn check_kept(features: u64) {
    let (keeper, socket) = (Keeper::default(), socket_path());
    let mut guest = Guest::new(features, 8, 0x10_0000, 0x1_0000);
    let lens: [u32; 4] = [11, 12, 13, 14];
    let ids = lens.map(|len| guest.add(&DriverChain::new().writable_cut(len, &[3])).unwrap());
    let left = serve(&keeper, &socket, || {
        let mut front_end = guest.connect(&socket);
        guest.hand_over_record(&mut front_end, 1);
        guest.start(&mut front_end, guest.new_base());
        let mut chains = keeper.take(4);
        chains.remove(1).return_written(0).unwrap();
        assert_eq!(guest.wait().iter().map(|used| used.id).collect::<Vec<_>>(), [ids[1]]);
        let left = [guest.mem.bytes(), guest.record_bytes()];
        drop(front_end);
        left
    });
    guest.mem.restore(&left[0]);
    guest.restore_record(&left[1]);
    let next = Keeper::default();
    serve(&next, &socket, || {
        let mut front_end = guest.connect(&socket);
        guest.hand_over_record(&mut front_end, 1);
        guest.start(&mut front_end, guest.new_base());
        let last = guest.add(&DriverChain::new().writable(15)).unwrap();
        guest.kick();
        // In the order of before, and then what is new.
        let chains = next.take(4);
        let writable = |chain: KeptChain| {
            let mut chain = WritableChain::new(chain);
            let len = chain.remaining().unwrap().bytes;
            chain.write_all(&vec![7; len as usize]).unwrap();
            len
        };
        let mut lens: Vec<_> = chains.into_iter().rev().map(writable).collect();
        lens.reverse();
        assert_eq!(lens, [11, 13, 14, 15]);
        let mut used = Vec::new();
        while used.len() < 4 {
            used.extend(guest.wait().into_iter().map(|used| (used.id, used.written().len())));
        }
        assert_eq!(used, [(last, 15), (ids[3], 14), (ids[2], 13), (ids[0], 11)]);
        drop(front_end);
    });
}

/// RECORD-1, RECORD-2, RECORD-3
#[test]
fn chains_that_were_kept_are_kept_again_in_order() {
    check_kept(0);
    check_kept(PACKED);
}

/// What is kept while a log begins is put back, and is in the log when it is written.
#[test]
fn chains_that_were_kept_are_written_under_the_log() {
    for features in [0, PACKED] {
        let (keeper, socket) = (Keeper::default(), socket_path());
        let mut guest = Guest::new(features, 8, 0x10_0000, 0x1_0000);
        serve(&keeper, &socket, || {
            let mut front_end = guest.connect(&socket);
            guest.start(&mut front_end, guest.new_base());
            guest.add(&DriverChain::new().writable(9)).unwrap();
            guest.kick();
            keeper.wait(1);
            let log = Log::new(0x11_0000 / PAGE / 8);
            assert!(log.share(&mut front_end));
            let logged = features | FEATURES | LOG_ALL;
            assert_eq!(front_end.set(SET_FEATURES, &logged.to_le_bytes()), Answer::Yes);
            let chain = keeper.take(1).remove(0);
            log.take();
            let before = guest.mem.bytes();
            WritableChain::new(chain).write_all(&[7; 9]).unwrap();
            assert_eq!(guest.wait().len(), 1);
            let written =
                before.iter().zip(&guest.mem.bytes()).position(|(before, after)| *after == 7 && before != after);
            let page = (0x10_0000 + written.unwrap() as u64) / PAGE;
            assert!(log.take().contains(&page));
            drop(front_end);
        });
    }
}
