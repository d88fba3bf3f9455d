//! The control queue.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use virtio_examples::net::{
    ControlError, ControlQueue, Filter, Lost, MacAddress, Offloads, Port, Settings, Source, feature,
};
use virtio_examples::{Device, Turn, WaitsFor};
use virtio_fake_driver::split::Descriptor;
use virtio_fake_driver::{AnyFixtureOptions, AnyRaw, DriverChain, Fixture, features};

use super::nic::{FORMATS, TestPort, frame, nic};

const ALL: u64 = feature::CONTROL | feature::MQ;
const OWN: MacAddress = [2, 0, 0, 0, 0, 1];

/// The port of a pair, of which it is known whether it is used.
#[derive(Clone)]
struct Pair {
    used: Rc<RefCell<Vec<usize>>>,
    index: usize,
}

impl Port for Pair {
    fn accept(&mut self, _offloads: Offloads) {}

    fn set_used(&self, used: bool) {
        let mut all = self.used.borrow_mut();
        all.retain(|index| *index != self.index);
        if used {
            all.push(self.index);
        }
    }

    fn capacity(&self) -> usize {
        0
    }

    fn room(&mut self) -> &mut [u8] {
        &mut []
    }

    fn transmit(&mut self, _len: usize) -> Result<(), Lost> {
        Err(Lost)
    }

    fn packets(&mut self) -> usize {
        0
    }

    fn packet(&mut self) -> &mut [u8] {
        &mut []
    }

    fn done(&mut self) {}
}

/// A device with three pairs, and a control queue for a driver.
struct Control {
    queue: ControlQueue<Pair>,
    settings: Arc<Settings>,
    used: Rc<RefCell<Vec<usize>>>,
    format: u64,
}

impl Control {
    fn new(features: u64) -> Self {
        Self::in_rings(0, features)
    }

    fn in_rings(format: u64, features: u64) -> Self {
        let (settings, used) = (Arc::new(Settings::new(Some(OWN))), Rc::default());
        let ports = (0..3).map(|index| Pair { used: Rc::clone(&used), index }).collect();
        let queue = ControlQueue::new(Arc::clone(&settings), ports, features);
        Self { queue, settings, used, format }
    }

    /// Lets the driver make a chain available, and returns what became of it and what the driver got.
    fn give(&mut self, chain: &DriverChain) -> (Result<u64, ControlError>, Vec<u8>) {
        let features = self.format | features::INDIRECT_DESC;
        let options = AnyFixtureOptions { features, memory_len: 4 << 20, ..Default::default() };
        let Fixture { mut queue, mut driver, .. } = options.build().unwrap();
        driver.add(chain).unwrap();
        let result = self.queue.process(queue.next_chain().unwrap().unwrap());
        let used = driver.reap().unwrap().unwrap();
        assert!(used.rest_is_untouched());
        (result, used.written().to_vec())
    }

    /// Gives a command, and checks that it is obeyed.
    #[track_caller]
    fn obey(&mut self, command: &[u8]) {
        let (result, answer) = self.give(&DriverChain::new().readable(command).writable(1));
        assert_eq!((result.unwrap(), &answer[..]), (command.len() as u64, &[0][..]), "{command:?}");
    }

    /// Gives a command, and checks that it is refused for this reason and changes nothing.
    #[track_caller]
    fn refuse(&mut self, command: &[u8], reason: &str) {
        let before = (self.settings.filter().clone(), self.used.borrow().clone());
        let (result, answer) = self.give(&DriverChain::new().readable(command).writable(1));
        assert_eq!((result.unwrap_err().to_string().as_str(), &answer[..]), (reason, &[1][..]), "{command:?}");
        assert_eq!((self.settings.filter().clone(), self.used.borrow().clone()), before, "{command:?}");
    }
}

#[test]
fn frames_are_chosen_as_the_driver_says() {
    for format in FORMATS {
        let mut control = Control::in_rings(format, ALL);
        let expected = |change: fn(&mut Filter)| {
            let mut filter = Filter::new(Some(OWN));
            change(&mut filter);
            filter
        };
        let table: [(&[u8], Filter); 9] = [
            (&[0, 0, 0], expected(|filter| filter.promiscuous = false)),
            (&[0, 0, 1], expected(|_| ())),
            (&[0, 1, 1], expected(|filter| filter.all_multicast = true)),
            (&[0, 2, 1], expected(|filter| filter.all_unicast = true)),
            (&[0, 3, 1], expected(|filter| filter.no_multicast = true)),
            (&[0, 4, 1], expected(|filter| filter.no_unicast = true)),
            (&[0, 5, 1], expected(|filter| filter.no_broadcast = true)),
            (&[1, 1, 2, 0, 0, 0, 0, 9], expected(|filter| filter.address = Some([2, 0, 0, 0, 0, 9]))),
            (
                &[1, 0, 1, 0, 0, 0, 2, 0, 0, 0, 0, 7, 1, 0, 0, 0, 0x33, 0x33, 0, 0, 0, 1],
                expected(|filter| {
                    filter.unicast.extend([[2, 0, 0, 0, 0, 7]]);
                    filter.multicast.extend([[0x33, 0x33, 0, 0, 0, 1]]);
                }),
            ),
        ];
        for (command, filter) in table {
            control.obey(command);
            assert_eq!(*control.settings.filter(), filter, "{command:?}");
            // Back to how it was.
            match command {
                [0, kind, 1] if *kind > 0 => control.obey(&[0, *kind, 0]),
                [1, 1, ..] => control.obey(&[&[1, 1][..], &OWN].concat()),
                _ => {}
            }
        }
        control.obey(&[1, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(*control.settings.filter(), Filter::new(Some(OWN)));
    }
}

#[test]
fn driver_uses_one_pair_until_it_says_how_many() {
    let mut control = Control::new(ALL);
    assert_eq!(*control.used.borrow(), [0]);
    for (pairs, used) in [(3, &[0, 1, 2][..]), (2, &[0, 1]), (1, &[0]), (2, &[0, 1])] {
        control.obey(&[4, 0, pairs, 0]);
        assert_eq!(*control.used.borrow(), used);
    }
    // The next driver can be one without a control queue.
    let used = Rc::clone(&control.used);
    drop(control);
    assert_eq!(*used.borrow(), [0, 1, 2]);
}

#[test]
fn next_driver_finds_nothing_that_another_one_has_set() {
    let mut control = Control::new(ALL);
    control.obey(&[0, 0, 0]);
    control.obey(&[1, 1, 2, 0, 0, 0, 0, 9]);
    assert_eq!(control.settings.address(), Some([2, 0, 0, 0, 0, 9]));
    let settings = Arc::clone(&control.settings);
    drop(control);
    assert_eq!(*settings.filter(), Filter::new(Some(OWN)));
}

#[test]
fn announcement_is_acknowledged() {
    Control::new(ALL).obey(&[3, 0]);
}

#[test]
fn command_that_is_malformed_is_refused_and_changes_nothing() {
    let unknown = |class, command| format!("command {command} of class {class} is unknown, or was not negotiated");
    let after = |bytes: u64| format!("{bytes} bytes after the end of the command");
    let table = |entries: u32, bytes: u64| format!("a table of {entries} addresses in {bytes} bytes: each takes 6");
    let pairs = |pairs| format!("{pairs} pairs of queues: there must be 1 to 3");
    let cases: &[(u64, &[u8], String)] = &[
        (ALL, &[2, 0, 1, 0], unknown(2, 0)),
        (ALL, &[5, 0, 0, 0, 0, 0, 0, 0, 0, 0], unknown(5, 0)),
        (ALL, &[0xff, 0xff], unknown(0xff, 0xff)),
        (ALL, &[0, 6, 1], unknown(0, 6)),
        (ALL, &[1, 2, 0, 0, 0, 0, 0, 0], unknown(1, 2)),
        (ALL, &[3, 1], unknown(3, 1)),
        (ALL, &[4, 1, 1, 0], unknown(4, 1)),
        (ALL & !feature::CTRL_RX, &[0, 0, 0], unknown(0, 0)),
        (ALL & !feature::CTRL_RX, &[1, 0, 0, 0, 0, 0, 0, 0, 0, 0], unknown(1, 0)),
        (ALL & !feature::CTRL_RX_EXTRA, &[0, 5, 1], unknown(0, 5)),
        (ALL & !feature::CTRL_MAC_ADDR, &[1, 1, 2, 0, 0, 0, 0, 9], unknown(1, 1)),
        (ALL & !feature::GUEST_ANNOUNCE, &[3, 0], unknown(3, 0)),
        (feature::CONTROL, &[4, 0, 1, 0], unknown(4, 0)),
        (ALL, &[0, 0, 2], "2 is no switch: it must be 0 or 1".into()),
        (ALL, &[0, 1, 0xff], "255 is no switch: it must be 0 or 1".into()),
        (ALL, &[0, 0, 0, 0], after(1)),
        (ALL, &[3, 0, 0, 0, 0], after(3)),
        (ALL, &[1, 1, 2, 0, 0, 0, 0, 9, 0], after(1)),
        (ALL, &[1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff], after(1)),
        (ALL, &[4, 0, 2, 0, 0], after(1)),
        (ALL, &[1, 0, 1, 0, 0, 0, 2, 0, 0, 0, 0], table(1, 5)),
        (ALL, &[1, 0, 0xff, 0xff, 0xff, 0xff, 2, 0, 0, 0, 0, 1], table(u32::MAX, 6)),
        (ALL, &[1, 0, 0, 0, 0, 0, 2, 0, 0, 0, 2, 0, 0, 0, 0, 1], table(2, 6)),
        (ALL, &[4, 0, 0, 0], pairs(0)),
        (ALL, &[4, 0, 4, 0], pairs(4)),
        (ALL, &[4, 0, 0xff, 0xff], pairs(0xffff)),
    ];
    for (features, command, reason) in cases {
        Control::new(*features).refuse(command, reason);
    }
}

/// Each command, cut off after each of its bytes.
#[test]
fn command_that_is_cut_off_is_refused_and_changes_nothing() {
    let commands: [&[u8]; 4] = [
        &[0, 0, 0],
        &[1, 1, 2, 0, 0, 0, 0, 9],
        &[1, 0, 1, 0, 0, 0, 2, 0, 0, 0, 0, 7, 1, 0, 0, 0, 0x33, 0x33, 0, 0, 0, 1],
        &[4, 0, 2, 0],
    ];
    for command in commands {
        for len in 0..command.len() {
            let mut control = Control::new(ALL);
            let chain = DriverChain::new().readable(&command[..len]).writable(1);
            let (result, answer) = control.give(&chain);
            assert!(matches!(result, Err(ControlError::Transfer(_) | ControlError::Table { .. })), "{result:?}");
            assert_eq!(answer, [1]);
            assert_eq!(*control.settings.filter(), Filter::new(Some(OWN)));
            assert_eq!(*control.used.borrow(), [0]);
        }
    }
}

#[test]
fn command_is_obeyed_however_it_is_cut() {
    for format in FORMATS {
        for cut in [&[][..], &[1], &[2, 1, 1], &[0, 2], &[1; 7]] {
            let mut control = Control::in_rings(format, ALL);
            let address = [1, 1, 2, 0, 0, 0, 0, 9];
            for chain in [DriverChain::new(), DriverChain::new().indirect()] {
                let (result, answer) = control.give(&chain.readable_cut(address, cut).writable(1).writable(3));
                assert_eq!((result.unwrap(), &answer[..]), (8, &[0][..]));
            }
            assert_eq!(control.settings.address(), Some([2, 0, 0, 0, 0, 9]));
        }
    }
}

#[test]
fn command_without_room_for_an_answer_is_not_obeyed() {
    let mut control = Control::new(ALL);
    let (result, answer) = control.give(&DriverChain::new().readable([1, 1, 2, 0, 0, 0, 0, 9]));
    assert!(matches!(result, Err(ControlError::NoAck)), "{result:?}");
    assert!(answer.is_empty());
    assert_eq!(control.settings.address(), Some(OWN));
}

/// A table of four million addresses takes no longer than one of a hundred, of which the last are not remembered.
#[test]
fn table_that_is_too_long_has_all_addresses() {
    let many = |count: u32| [&count.to_le_bytes()[..], &[4; 6].repeat(count as usize)].concat();
    for count in [65, 100, 500_000] {
        let mut control = Control::new(ALL);
        control.obey(&[&[1, 0][..], &many(count), &many(1)].concat());
        let filter = control.settings.filter().clone();
        assert!(filter.unicast.has(&OWN) && !filter.multicast.has(&OWN));
    }
}

/// The chain leads nowhere after its first element: there is no saying where the answer would be.
#[test]
fn command_in_a_chain_without_an_end_is_not_obeyed() {
    let (settings, ports) = (Arc::new(Settings::new(Some(OWN))), Vec::<Pair>::new());
    let mut control = ControlQueue::new(Arc::clone(&settings), ports, ALL);
    let Fixture { mut queue, mut driver, .. } = AnyFixtureOptions::default().build().unwrap();
    driver.add(&DriverChain::new().readable([1, 1, 2, 0, 0, 0, 0, 9]).writable(1)).unwrap();
    let AnyRaw::Split(raw) = driver.raw() else { panic!("it is a packed queue") };
    raw.set_descriptor(0, Descriptor { next: 5000, ..raw.descriptor(0) });
    let served = control.serve(&mut queue, 8).unwrap();
    assert_eq!((served.requests, served.errors), (1, 1));
    assert_eq!(driver.reap().unwrap().unwrap().len, 0);
    assert_eq!(settings.address(), Some(OWN));
}

/// Lets a driver give a command, which is obeyed.
fn give(control: &mut ControlQueue<Pair>, command: &[u8]) {
    let Fixture { mut queue, mut driver, .. } = AnyFixtureOptions::default().build().unwrap();
    driver.add(&DriverChain::new().readable(command).writable(1)).unwrap();
    control.process(queue.next_chain().unwrap().unwrap()).unwrap();
}

/// All that the port has are broadcasts, and the driver wants none: that must not keep others from their turn.
#[test]
fn frames_without_end_that_the_driver_does_not_want_end_a_turn() {
    let features = feature::CTRL_VQ | feature::CTRL_RX;
    let mut nic = nic(Source::new(64, 1, u64::MAX).unwrap(), features);
    let mut control = ControlQueue::new(Arc::clone(&nic.settings), Vec::<Pair>::new(), ALL);
    for command in [[0, 0, 0], [0, 5, 1]] {
        give(&mut control, &command);
    }
    for _ in 0..8 {
        nic.add(&DriverChain::new().writable(100));
    }
    for _ in 0..3 {
        assert_eq!(nic.receive(8), Turn { chains: 0, waits_for: WaitsFor::Turn });
    }
    assert!(nic.reap().is_empty());
    give(&mut control, &[0, 5, 0]);
    assert_eq!(nic.receive(4), Turn { chains: 4, waits_for: WaitsFor::Turn });
    nic.check_received(4, 4 * 64, 0);
}

/// What the driver does not want takes no buffer, and what comes after it is not lost.
#[test]
fn frames_that_the_driver_does_not_want_are_dropped() {
    let to = |address: MacAddress| [&address[..], &frame(60, 1)].concat();
    let (own, other, everybody) = (to(OWN), to([2, 0, 0, 0, 0, 2]), to([0xff; 6]));
    for features in [0, feature::CTRL_VQ | feature::CTRL_RX] {
        for format in FORMATS {
            let frames = [&other, &own, &other, &other, &everybody, &other].map(Clone::clone);
            let mut nic = nic(TestPort::with(frames), format | features);
            let mut control = ControlQueue::new(Arc::clone(&nic.settings), Vec::<Pair>::new(), ALL);
            give(&mut control, &[0, 0, 0]);
            give(&mut control, &[&[1, 1][..], &OWN].concat());
            for _ in 0..8 {
                nic.add(&DriverChain::new().writable(100));
            }
            let turn = nic.receive(8);
            let frames: Vec<_> = nic.reap().iter().map(|used| used.written()[12..].to_vec()).collect();
            if features == 0 {
                assert_eq!(frames.len(), 6);
            } else {
                assert_eq!(frames, [own.clone(), everybody.clone()]);
                assert_eq!(turn, Turn { chains: 2, waits_for: WaitsFor::Device });
                nic.check_received(2, 132, 0);
            }
        }
    }
}
