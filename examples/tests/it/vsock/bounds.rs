//! As many connections as there can be, and more.

use std::io::Write;
use std::os::unix::net::UnixStream;
use std::sync::Arc;

use virtio_examples::vsock::{
    Address, Counters, Listener, MAX_CONNECTIONS, MAX_GREETINGS, RECEIVE, TRANSMIT, VsockDevice, op,
};
use virtio_examples::{Serve, Turn, WaitsFor};
use virtio_fake_driver::DriverChain;
use zerocopy::IntoBytes;

use super::rig::{CID, Rig, check_end, header, leave, path, read};

fn address(port: usize) -> Address {
    Address { guest_port: port as u32, host_port: 7 }
}

#[test]
fn guest_has_a_bounded_number_of_connections() {
    let mut rig = Rig::new(0);
    let listener = rig.listen(7);
    let mut programs: Vec<_> = (0..MAX_CONNECTIONS).map(|port| rig.connect(&listener, address(port))).collect();
    rig.say(address(MAX_CONNECTIONS), op::REQUEST);
    rig.check_packet(address(MAX_CONNECTIONS), op::RST);
    // Those that are there go on, and the host can still have its own.
    rig.data(address(5), b"hello");
    assert_eq!(read(&programs[5]).unwrap(), b"hello");
    let _other = rig.connect_to_guest(1);
    // One that ends makes room.
    rig.say(address(5), op::RST);
    programs.push(rig.connect(&listener, address(MAX_CONNECTIONS)));
}

#[test]
fn host_has_a_bounded_number_of_connections() {
    let mut rig = Rig::new(0);
    let programs: Vec<_> = (0..MAX_CONNECTIONS).map(|_| rig.connect_to_guest(1)).collect();
    let mut one_more = rig.dial();
    one_more.write_all(b"CONNECT 1\n").unwrap();
    rig.check_nothing();
    one_more.set_nonblocking(true).unwrap();
    check_end(&one_more);
    let listener = rig.listen(7);
    let _other = rig.connect(&listener, address(1));
    rig.say(programs[3].1, op::RST);
    rig.connect_to_guest(1);
}

/// Programs that say nothing, or half a line, do not keep out those that do.
#[test]
fn flood_of_half_lines_keeps_nobody_out() {
    let mut rig = Rig::new(0);
    let mut silent: Vec<UnixStream> = Vec::new();
    for count in 0..3 * MAX_GREETINGS {
        let mut program = rig.dial();
        program.write_all(&b"CONNECT 1"[..count % 9]).unwrap();
        program.set_nonblocking(true).unwrap();
        silent.push(program);
        rig.serve();
    }
    let _greeted = rig.connect_to_guest(5);
    let open = silent.iter().filter(|program| read(program).is_some()).count();
    // The one that has just greeted had a place as well.
    assert_eq!(open, MAX_GREETINGS - 1);
    rig.check_nothing();
}

#[test]
fn programs_that_greet_wrongly_or_leave_are_forgotten() {
    let mut rig = Rig::new(0);
    for line in ["HELO\n", "CONNECT x\n", "CONNECT 1", ""] {
        let mut program = rig.dial();
        program.write_all(line.as_bytes()).unwrap();
        program.shutdown(std::net::Shutdown::Write).unwrap();
        rig.check_nothing();
        program.set_nonblocking(true).unwrap();
        check_end(&program);
        let mut program = rig.dial();
        program.write_all(line.as_bytes()).unwrap();
        leave(program);
        rig.check_nothing();
    }
    // One that is gone is not worth a question.
    let mut program = rig.dial();
    program.write_all(b"CONNECT 1\n").unwrap();
    leave(program);
    rig.check_nothing();
}

#[test]
fn program_that_leaves_before_the_guest_answers_is_the_end() {
    let mut rig = Rig::new(0);
    let mut program = rig.dial();
    program.write_all(b"CONNECT 1\n").unwrap();
    let request = rig.packet();
    leave(program);
    let address = Address { guest_port: 1, host_port: request.header.src_port.get() };
    rig.check_packet(address, op::RST);
    rig.say(address, op::RESPONSE);
    rig.check_packet(address, op::RST);
}

/// The device does not remember more and more refusals: packets of the guest wait.
#[test]
fn refusals_without_buffers_are_bounded() {
    let mut rig = Rig::without_buffers(0);
    let mut served = 0;
    for round in 0..1000 {
        add(&mut rig, round);
        let turn = rig.turn(TRANSMIT, 64);
        served += turn.chains;
        if turn.waits_for == WaitsFor::Device {
            break;
        }
        rig.transmit.driver.reap_all().unwrap();
    }
    assert_eq!(served, 256);
    add(&mut rig, 1000);
    assert_eq!(rig.turn(TRANSMIT, 64), Turn { chains: 0, waits_for: WaitsFor::Device });
    // When the guest gives buffers, both queues go on.
    rig.add_buffer();
    assert_eq!(rig.turn(RECEIVE, 64).chains, 1);
    assert_eq!(rig.turn(TRANSMIT, 64).chains, 1);
}

/// Lets the guest make a packet available that belongs to nothing.
fn add(rig: &mut Rig, port: usize) {
    let packet = header(address(port), op::RW);
    rig.transmit.driver.add(&DriverChain::new().readable(packet.as_bytes())).unwrap();
}

/// A guest that asks and resets, again and again, leaves nothing behind.
#[test]
fn connections_that_end_before_they_begin_leave_nothing() {
    let mut rig = Rig::without_buffers(0);
    let listener = rig.listen(7);
    for _ in 0..1000 {
        rig.say(address(1), op::REQUEST);
        listener.socket.accept().unwrap();
        rig.say(address(1), op::RST);
    }
    rig.add_buffer();
    rig.check_nothing();
}

#[test]
fn connections_end_with_their_device() {
    let mut rig = Rig::new(0);
    let (program, _) = rig.connect_to_guest(5);
    let socket = rig.path().to_owned();
    drop(rig);
    check_end(&program);
    assert!(!socket.exists());
}

#[test]
fn socket_that_was_left_behind_is_replaced_and_another_file_is_not() {
    let path = path();
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    let listener = Arc::new(Listener::bind(&path).unwrap());
    assert!(Listener::bind(&path).is_err());
    let device = VsockDevice::new(CID, listener, Arc::<Counters>::default()).unwrap();
    assert!(device.wake().is_some());
    drop(device);
    std::fs::write(&path, b"a file").unwrap();
    assert!(Listener::bind(&path).is_err());
    std::fs::remove_file(&path).unwrap();
}
