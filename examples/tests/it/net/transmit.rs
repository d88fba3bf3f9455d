//! Packets of the driver.

use virtio_examples::net::{MAX_FRAME, NetDevice};
use virtio_examples::{Turn, WaitsFor};
use virtio_fake_driver::{DriverChain, Traffic, TrafficLimits};
use virtio_mem_traits::Access;

use super::nic::{FORMATS, Nic, TestPort, frame, nic, packet};

/// Checks that a packet comes through, after whatever came before.
#[track_caller]
fn check_alive(nic: &mut Nic) {
    let before = nic.device.port().taken.len();
    nic.add(&DriverChain::new().readable(packet(&frame(60, 9))));
    assert_eq!(nic.transmit(8), Turn { chains: 1, waits_for: WaitsFor::Driver });
    assert_eq!(nic.device.port().taken[before..], [frame(60, 9)]);
    assert_eq!(nic.reap().len(), 1);
    assert_eq!(nic.in_flight(), 0);
}

#[test]
fn a_packet_is_taken_however_it_is_cut() {
    for format in FORMATS {
        for cut in [&[][..], &[12], &[1; 72], &[5, 7, 1], &[0, 11, 0, 2], &[40]] {
            let mut nic = nic(TestPort::new(), format);
            for chain in [DriverChain::new(), DriverChain::new().indirect()] {
                nic.add(&chain.readable_cut(packet(&frame(60, 1)), cut));
            }
            assert_eq!(nic.transmit(8), Turn { chains: 2, waits_for: WaitsFor::Driver });
            assert_eq!(nic.device.port().taken, [frame(60, 1), frame(60, 1)]);
            assert!(nic.reap().iter().all(|used| used.len == 0));
            nic.check_transmitted(2, 120, 0);
        }
    }
}

#[test]
fn frames_have_a_least_and_a_greatest_length() {
    for (len, taken) in [(0, 0), (13, 0), (14, 1), (1518, 1), (MAX_FRAME, 1), (MAX_FRAME + 1, 0), (MAX_FRAME + 5000, 0)]
    {
        let mut nic = nic(TestPort::new(), 0);
        nic.add(&DriverChain::new().readable(packet(&frame(len, 2))));
        nic.transmit(8);
        assert_eq!(nic.device.port().taken.len(), taken, "{len}");
        nic.check_transmitted(taken as u64, (taken * len) as u64, 1 - taken as u64);
        assert_eq!(nic.reap()[0].len, 0);
        check_alive(&mut nic);
    }
}

#[test]
fn a_header_that_is_short_is_an_error() {
    for format in FORMATS {
        for (len, cut) in [(0, &[0][..]), (6, &[]), (11, &[]), (11, &[5]), (11, &[0, 10])] {
            let mut nic = nic(TestPort::new(), format);
            nic.add(&DriverChain::new().readable_cut(&packet(&[])[..len], cut));
            assert_eq!(nic.transmit(8).chains, 1);
            assert!(nic.device.port().taken.is_empty());
            nic.check_transmitted(0, 0, 1);
            assert_eq!(nic.reap()[0].len, 0);
            check_alive(&mut nic);
        }
    }
}

/// All that a header could say takes a feature that was not negotiated.
#[test]
fn what_is_in_the_header_is_passed_over() {
    let mut nic = nic(TestPort::new(), 0);
    for cut in [&[][..], &[12], &[5]] {
        nic.add(&DriverChain::new().readable_cut([&[0xff; 12][..], &frame(60, 4)].concat(), cut));
    }
    nic.transmit(8);
    assert_eq!(nic.device.port().taken, [frame(60, 4), frame(60, 4), frame(60, 4)]);
}

#[test]
fn writable_elements_are_passed_over_and_not_written() {
    for format in FORMATS {
        let mut nic = nic(TestPort::new(), format);
        nic.add(&DriverChain::new().readable(packet(&frame(60, 5))).writable(100));
        nic.add(&DriverChain::new().writable(200));
        nic.transmit(8);
        assert_eq!(nic.device.port().taken, [frame(60, 5)]);
        nic.check_transmitted(1, 60, 1);
        assert!(nic.reap().iter().all(|used| used.len == 0 && used.rest_is_untouched()));
    }
}

#[test]
fn a_malformed_chain_is_an_error_and_returned() {
    let mut nic = nic(TestPort::new(), 0);
    nic.add(&DriverChain::new().readable_cut(packet(&frame(60, 6)), &[30]));
    nic.cut_first_chain();
    assert_eq!(nic.transmit(8).chains, 1);
    assert!(nic.device.port().taken.is_empty());
    nic.check_transmitted(0, 0, 1);
    assert_eq!(nic.reap()[0].len, 0);
    check_alive(&mut nic);
}

#[test]
fn a_packet_that_cannot_be_read_is_an_error() {
    for there in [0, 6, 12, 40] {
        // Whether or not the header can be read makes no difference.
        let mut nic = nic(TestPort::new(), 0);
        let range = nic.driver.pool().alloc(72, 1).unwrap();
        nic.add(&DriverChain::new().readable(packet(&frame(60, 7))).at(range.start()));
        nic.mem.restrict(range.after(there), Access::Write);
        nic.transmit(8);
        assert!(nic.device.port().taken.is_empty());
        nic.check_transmitted(0, 0, 1);
        assert_eq!(nic.reap()[0].len, 0);
        check_alive(&mut nic);
    }
}

#[test]
fn a_turn_ends_with_the_budget_the_queue_or_the_room() {
    let turn = |chains, waits_for| Turn { chains, waits_for };
    let mut nic = nic(TestPort::new(), 0);
    for _ in 0..6 {
        nic.add(&DriverChain::new().readable(packet(&frame(60, 8))));
    }
    assert_eq!(nic.transmit(0), turn(0, WaitsFor::Turn));
    assert_eq!(nic.transmit(2), turn(2, WaitsFor::Turn));
    assert_eq!(nic.notifications.count(), 1);
    nic.device = NetDevice::new(TestPort::taking(3), 0, nic.settings.clone(), Default::default());
    assert_eq!(nic.transmit(8), turn(3, WaitsFor::Device));
    assert_eq!(nic.transmit(8), turn(0, WaitsFor::Device));
    assert_eq!((nic.reap().len(), nic.in_flight()), (5, 0));
    nic.device = NetDevice::new(TestPort::new(), 0, nic.settings.clone(), Default::default());
    assert_eq!(nic.transmit(8), turn(1, WaitsFor::Driver));
    assert_eq!(nic.transmit(8), turn(0, WaitsFor::Driver));
    assert_eq!(nic.notifications.count(), 3);
}

#[test]
fn random_chains_are_all_returned() {
    let limits = TrafficLimits { elements: 12, bytes: 2000, indirect: true };
    for format in FORMATS {
        let mut nic = nic(TestPort::new(), format);
        for chain in Traffic::new(4, limits).without_mixed_chains().take(2000) {
            nic.add(&chain);
            nic.transmit(1);
            assert_eq!(nic.reap().len(), 1);
        }
        check_alive(&mut nic);
    }
}
