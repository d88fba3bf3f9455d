//! Packets for the driver.

use virtio_examples::net::{MAX_FRAME, RECEIVE};
use virtio_examples::{Turn, WaitsFor};
use virtio_fake_driver::split::Descriptor;
use virtio_fake_driver::{DriverChain, Traffic, TrafficLimits, features};
use virtio_mem_traits::Access;
use virtio_queue_core::FatalError;

use super::nic::{FORMATS, MERGEABLE, Nic, TestPort, frame, nic, received};

/// A buffer of so many bytes.
fn buffer(len: u32) -> DriverChain {
    DriverChain::new().writable(len)
}

/// A device that has these frames for a driver that accepted `features`.
fn nic_with(frames: &[Vec<u8>], features: u64) -> Nic {
    nic(TestPort::with(frames.to_vec()), features)
}

/// Checks that the next packet comes into the next buffer.
#[track_caller]
fn check_next(nic: &mut Nic, expected: &[u8]) {
    nic.add(&buffer(2000));
    nic.receive(1);
    let used = nic.reap();
    assert_eq!(used.len(), 1);
    assert_eq!(received(&used), (1, expected.to_vec()));
    assert!(used[0].rest_is_untouched());
    assert_eq!(nic.in_flight(), 0);
}

#[test]
fn a_packet_fills_a_buffer_however_it_is_cut() {
    for format in FORMATS.into_iter().flat_map(|format| [format, format | MERGEABLE]) {
        for cut in [&[][..], &[12], &[1; 100], &[5, 7, 1], &[0, 11, 0, 2], &[71]] {
            let mut nic = nic_with(&[frame(60, 1), frame(60, 2)], format);
            nic.add(&DriverChain::new().writable_cut(100, cut));
            nic.add(&DriverChain::new().writable_cut(72, &cut[..cut.len().min(72)]).indirect());
            assert_eq!(nic.receive(8), Turn { chains: 2, waits_for: WaitsFor::Device });
            let used = nic.reap();
            assert_eq!(used.iter().map(|used| used.len).collect::<Vec<_>>(), [72, 72]);
            assert_eq!(received(&used[..1]), (1, frame(60, 1)));
            assert_eq!(received(&used[1..]), (1, frame(60, 2)));
            assert!(used.iter().all(|used| used.rest_is_untouched()));
            nic.check_received(2, 120, 0);
        }
    }
}

#[test]
fn buffers_wait_for_packets() {
    let mut nic = nic_with(&[], MERGEABLE);
    nic.add(&buffer(2000));
    assert_eq!(nic.receive(8), Turn { chains: 0, waits_for: WaitsFor::Device });
    assert_eq!((nic.in_flight(), nic.notifications.count()), (0, 0));
}

#[test]
fn packets_wait_for_buffers() {
    let mut nic = nic_with(&[frame(60, 1), frame(60, 2)], 0);
    assert_eq!(nic.receive(8), Turn { chains: 0, waits_for: WaitsFor::Driver });
    check_next(&mut nic, &frame(60, 1));
    assert_eq!(nic.receive(8), Turn { chains: 0, waits_for: WaitsFor::Driver });
    check_next(&mut nic, &frame(60, 2));
}

#[test]
fn a_packet_takes_as_many_buffers_as_it_needs() {
    // The lengths of buffers, and how many of them are needed for 12 + 300 bytes.
    let table: [(&[u32], u16); 6] = [
        (&[312, 1], 1),
        (&[311, 1, 9], 2),
        (&[12, 300], 2),
        (&[100, 7, 1, 50, 60, 200], 6),
        (&[40; 8], 8),
        (&[5; 63], 63),
    ];
    for format in FORMATS {
        for (lens, needed) in table {
            let mut nic = nic_with(&[frame(300, 3), frame(60, 4)], format | MERGEABLE);
            for len in lens {
                nic.add(&buffer(*len));
            }
            nic.receive(needed.into());
            let used = nic.reap();
            assert_eq!(used.len(), usize::from(needed), "{lens:?}");
            assert_eq!(received(&used), (needed, frame(300, 3)));
            nic.check_received(1, 300, 0);
        }
    }
}

/// The buffers that are there already are kept meanwhile, and nothing is written to them yet.
#[test]
fn a_packet_waits_for_more_buffers() {
    for format in FORMATS {
        let mut nic = nic_with(&[frame(300, 3), frame(60, 4)], format | MERGEABLE);
        for _ in 0..3 {
            nic.add(&buffer(100));
            assert_eq!(nic.receive(8), Turn { chains: 1, waits_for: WaitsFor::Driver });
            assert!(nic.reap().is_empty());
        }
        nic.add(&buffer(100));
        assert_eq!(nic.receive(8), Turn { chains: 1, waits_for: WaitsFor::Driver });
        assert_eq!(received(&nic.reap()), (4, frame(300, 3)));
        check_next(&mut nic, &frame(60, 4));
    }
}

#[test]
fn buffers_that_wait_are_put_back_when_the_queue_pauses() {
    for format in FORMATS {
        let mut nic = nic_with(&[frame(300, 3), frame(60, 4)], format | MERGEABLE);
        for _ in 0..3 {
            nic.add(&buffer(100));
        }
        nic.receive(8);
        assert_eq!(nic.in_flight(), 3);
        nic.release();
        assert!(nic.reap().is_empty());
        assert_eq!(nic.in_flight(), 0);
        // They are fetched again, and the packet is still there.
        nic.add(&buffer(100));
        assert_eq!(nic.receive(8), Turn { chains: 4, waits_for: WaitsFor::Driver });
        assert_eq!(received(&nic.reap()), (4, frame(300, 3)));
        check_next(&mut nic, &frame(60, 4));
    }
}

/// Its driver has made something else of what was available, which a driver must not do.
#[test]
fn buffers_that_cannot_be_put_back_are_returned_empty() {
    let mut nic = nic_with(&[frame(300, 3)], MERGEABLE);
    let ids = [(); 3].map(|()| nic.add(&buffer(100)));
    nic.receive(8);
    nic.raw().set_available_entry(2, 77);
    nic.release();
    let used = nic.reap();
    assert_eq!(used.iter().map(|used| (used.id, used.len)).collect::<Vec<_>>(), ids.map(|id| (id, 0)));
    assert_eq!(nic.in_flight(), 0);
}

#[test]
fn a_buffer_that_is_too_small_comes_back_empty_without_mergeable_buffers() {
    for format in FORMATS {
        for len in [1, 11, 12, 71] {
            let mut nic = nic_with(&[frame(60, 5), frame(60, 6)], format);
            nic.add(&buffer(len));
            assert_eq!(nic.receive(1).chains, 1);
            let used = nic.reap();
            assert_eq!((used.len(), used[0].len), (1, 0));
            assert!(used[0].rest_is_untouched());
            nic.check_received(0, 0, 1);
            // What did not fit is gone, what comes next is not.
            check_next(&mut nic, &frame(60, 6));
        }
    }
}

#[test]
fn a_packet_that_would_take_too_many_buffers_is_given_up() {
    for format in FORMATS {
        let mut nic = nic_with(&[frame(MAX_FRAME, 7), frame(60, 8)], format | MERGEABLE);
        for _ in 0..70 {
            nic.add(&buffer(13));
        }
        assert_eq!(nic.receive(64).chains, 64);
        let used = nic.reap();
        assert_eq!(used.len(), 64);
        assert!(used.iter().all(|used| used.len == 0 && used.rest_is_untouched()));
        nic.check_received(0, 0, 1);
        assert_eq!(nic.receive(64), Turn { chains: 6, waits_for: WaitsFor::Device });
        assert_eq!(received(&nic.reap()), (6, frame(60, 8)));
    }
}

#[test]
fn buffers_that_cannot_be_written_come_back_empty() {
    for features in FORMATS.into_iter().flat_map(|format| [format, format | MERGEABLE]) {
        let mut nic = nic_with(&[frame(60, 5), frame(60, 6), frame(60, 7), frame(60, 8)], features);
        // Nothing writable, and what is readable has no bytes to give.
        nic.add(&DriverChain::new().readable([1; 100]));
        // Memory that is there to be read only, from the beginning or from somewhere on.
        for there in [0, 30] {
            let range = nic.driver.pool().alloc(100, 1).unwrap();
            nic.add(&buffer(100).at(range.start()));
            nic.mem.restrict(range.after(there), Access::Read);
        }
        nic.receive(if features & MERGEABLE == 0 { 3 } else { 2 });
        assert!(nic.reap().iter().all(|used| used.len == 0));
        if features & MERGEABLE == 0 {
            nic.check_received(0, 0, 3);
            check_next(&mut nic, &frame(60, 8));
        }
    }
}

#[test]
fn readable_elements_are_passed_over() {
    for features in FORMATS.into_iter().flat_map(|format| [format, format | MERGEABLE]) {
        let mut nic = nic_with(&[frame(60, 5)], features);
        nic.add(&DriverChain::new().readable([1; 100]).writable(72));
        nic.receive(8);
        assert_eq!(received(&nic.reap()), (1, frame(60, 5)));
    }
}

/// It comes back, and so do the buffers that were waiting before it, in their order.
#[test]
fn a_malformed_buffer_is_an_error() {
    for features in [0, MERGEABLE] {
        let mut nic = nic_with(&[frame(300, 5), frame(60, 6)], features);
        let spoiled = nic.add(&DriverChain::new().writable_cut(100, &[50]));
        nic.cut_first_chain();
        nic.receive(1);
        let used = nic.reap();
        assert_eq!((used.len(), used[0].id, used[0].len), (1, spoiled, 0));
        nic.check_received(0, 0, 1);
        check_next(&mut nic, &frame(60, 6));
    }
}

/// HOST-20: a buffer is measured, then written. If it is smaller by then, the driver loses what was for it, and no
/// more.
#[test]
fn a_buffer_that_changes_meanwhile_harms_nobody() {
    for reads in 0..20 {
        let mut nic = nic_with(&[frame(60, 5), frame(60, 6)], MERGEABLE);
        nic.add(&buffer(100));
        let raw = nic.raw();
        let spoiled = Descriptor { len: 5, ..raw.descriptor(0) };
        nic.mem.on_read(reads, move |_| raw.set_descriptor(0, spoiled));
        nic.receive(1);
        nic.mem.on_event(|_, _| {});
        let waits = nic.reap().is_empty();
        nic.release();
        // It is put back if it is too small by then, and there with the next one.
        nic.add(&buffer(100));
        nic.receive(2);
        assert_eq!(received(&nic.reap()), if waits { (2, frame(60, 5)) } else { (1, frame(60, 6)) });
    }
}

#[test]
fn a_broken_queue_is_an_error_each_time() {
    for features in [0, features::EVENT_IDX] {
        let mut nic = nic_with(&[frame(60, 5)], features | MERGEABLE);
        nic.add(&buffer(100));
        nic.raw().set_available_entry(0, 256);
        for _ in 0..2 {
            let error = nic.try_serve(RECEIVE, 8).unwrap_err();
            assert!(matches!(error, FatalError::HeadOutOfRange { size: 256, .. }), "{error}");
        }
    }
}

#[test]
fn random_buffers_are_all_returned() {
    let limits = TrafficLimits { elements: 12, bytes: 2000, indirect: true };
    for features in FORMATS.into_iter().flat_map(|format| [format, format | MERGEABLE]) {
        let mut nic = nic_with(&vec![frame(1000, 5); 3000], features);
        let mut returned = 0;
        for chain in Traffic::new(4, limits).without_mixed_chains().take(2000) {
            nic.add(&chain);
            nic.receive(1);
            returned += nic.reap().len();
        }
        nic.release();
        assert_eq!(nic.in_flight(), 0);
        // Those that were put back are there still.
        nic.add(&buffer(2000));
        while nic.receive(64).chains > 0 {}
        assert_eq!(returned + nic.reap().len(), 2001);
    }
}
