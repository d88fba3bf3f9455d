//! Operations that end without having done anything: the kernel puts them off again and again, or gives them up.

use std::fs::File;
use std::thread;

use rustix::fs::inotify::{self, CreateFlags};
use rustix::io::ioctl_fionbio;

use super::medium::{Files, Pipe};
use super::read;
use super::rig::{FORMATS, Rig};
use crate::disk::{IOERR, SECTOR};
use crate::vhost_user::wait_readable;

/// An operation is begun again a few times, and not for ever.
#[test]
fn medium_that_has_nothing_for_now_fails_in_the_end() {
    for features in FORMATS {
        // Nothing is watched, so that nothing ever happens.
        let medium = File::from(inotify::init(CreateFlags::CLOEXEC).unwrap());
        let mut rig = Rig::new(Files::new(medium.try_clone().unwrap(), 1 << 20), features, 8);
        // The kernel has been told of the file by now. Otherwise it would wait by itself.
        ioctl_fionbio(&medium, true).unwrap();
        rig.add(&read(0, 1));
        rig.take();
        let mut ended = 0;
        while rig.disk.in_flight() > 0 {
            match rig.disk.turn().unwrap().ended {
                0 => wait_readable(&**rig.disk.event(), "the kernel"),
                more => ended += more,
            }
        }
        assert_eq!(ended, 17);
        let used = rig.finish(1).remove(0);
        assert_eq!((used.len, used.writable().last()), (0, Some(&IOERR)));
    }
}

/// The kernel works for a thread. When the thread ends, what it has begun is given up.
#[test]
fn requests_of_a_thread_that_has_ended_fail_and_are_answered() {
    for features in FORMATS {
        let (medium, pipe) = Pipe::new();
        let mut rig = Rig::new(medium, features, 8);
        (0..8).for_each(|_| rig.add(&read(0, 1)));
        let begin = move || {
            rig.serve();
            rig
        };
        let mut rig = thread::spawn(begin).join().unwrap();
        assert_eq!(rig.disk.in_flight(), 8);
        pipe.write(&[5; 8 * SECTOR]);
        assert!(rig.finish(8).iter().all(|used| (used.len, used.writable().last()) == (0, Some(&IOERR))));
        assert_eq!((rig.disk.in_flight(), rig.queue.chains_out()), (0, 0));
    }
}
