//! Where front ends connect.

use std::os::fd::{IntoRawFd, RawFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::Arc;
use std::thread;

use vhost::VhostBackend;
use virtio_vhost_user::{BackEnd, Options};

use crate::devices::all;
use crate::front_end::FrontEnd;

fn device() -> crate::devices::TestDevice {
    all().remove(0).1
}

#[test]
fn connected_socket_is_served_until_the_front_end_goes() {
    let (ours, theirs) = UnixStream::pair().unwrap();
    let back_end = BackEnd::new(Options::inherited(theirs.into_raw_fd()), device()).unwrap();
    thread::scope(|scope| {
        let served = scope.spawn(|| back_end.serve());
        let front_end = FrontEnd::on(ours);
        front_end.connection.get_features().unwrap();
        drop(front_end);
        served.join().unwrap().unwrap();
    });
}

#[test]
fn listening_socket_is_served_until_the_back_end_is_stopped_and_stays() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("socket");
    let listener = UnixListener::bind(&path).unwrap();
    let inherited = listener.try_clone().unwrap().into_raw_fd();
    let back_end = Arc::new(BackEnd::new(Options::inherited(inherited), device()).unwrap());
    thread::scope(|scope| {
        let served = scope.spawn(|| back_end.serve());
        for _ in 0..3 {
            FrontEnd::on(UnixStream::connect(&path).unwrap()).connection.get_features().unwrap();
        }
        back_end.stop();
        served.join().unwrap().unwrap();
    });
    drop(back_end);
    // Whoever made the socket can start another back end with it.
    assert!(UnixStream::connect(&path).is_ok());
}

#[test]
fn file_descriptor_that_is_no_such_socket_is_refused() {
    let file = std::fs::File::open("/dev/null").unwrap().into_raw_fd();
    let datagram = std::os::unix::net::UnixDatagram::unbound().unwrap().into_raw_fd();
    let table: [(RawFd, &str); 3] = [
        (1_000_000, "it is not open"),
        (file, "it must be a Unix domain socket of the stream kind"),
        (datagram, "it must be a Unix domain socket of the stream kind"),
    ];
    for (fd, expected) in table {
        let error = BackEnd::new(Options::inherited(fd), device()).unwrap_err();
        assert_eq!(error.to_string(), expected);
    }
}
