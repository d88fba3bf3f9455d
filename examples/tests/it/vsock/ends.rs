//! Connections of which somebody does not see the end.

use virtio_examples::vsock::{Address, Credit, MAX_CONNECTIONS, op, shutdown};

use super::rig::{Rig, fill, leave, read, write};

const ADDRESS: Address = Address { guest_port: 4000, host_port: 7 };
const BOTH: u32 = shutdown::SEND | shutdown::RECEIVE;

fn address(port: usize) -> Address {
    Address { guest_port: port as u32, host_port: 7 }
}

/// Nobody reads what the program has written. If the device did not end the connection, the guest would keep its half
/// for ever.
#[test]
fn program_that_is_gone_is_the_end_of_both_directions_when_the_guest_reads_no_more() {
    let mut rig = Rig::new(0);
    let listener = rig.listen(7);
    let program = rig.connect_with(&listener, ADDRESS, Credit { buf_alloc: 0, fwd_cnt: 0 });
    write(&program, b"there is no room for this");
    leave(program);
    rig.check_packet(ADDRESS, op::CREDIT_REQUEST);
    rig.shut(ADDRESS, shutdown::RECEIVE);
    assert_eq!(rig.check_packet(ADDRESS, op::SHUTDOWN).header.flags.get(), BOTH);
    rig.shut(ADDRESS, shutdown::SEND);
    rig.check_packet(ADDRESS, op::RST);
}

/// Programs do not read, and the guest forgets its connections to them. It can still have as many others as ever.
#[test]
fn connections_that_the_guest_has_forgotten_do_not_keep_out_others() {
    const FORGOTTEN: usize = 4;
    let mut rig = Rig::new(0);
    let listener = rig.listen(7);
    let mut forgotten = Vec::new();
    for port in 0..FORGOTTEN {
        let program = rig.connect(&listener, address(port));
        let sent = fill(&mut rig, address(port)).len();
        rig.shut(address(port), BOTH);
        rig.say(address(port), op::RST);
        rig.check_nothing();
        forgotten.push((program, sent));
    }
    // There is room for these.
    let ports = FORGOTTEN..MAX_CONNECTIONS;
    let mut others: Vec<_> = ports.map(|port| rig.connect(&listener, address(port))).collect();
    // The oldest ones have to make room for these.
    others.extend([0, 1].map(|port| rig.connect(&listener, address(port))));
    for (place, (program, sent)) in forgotten.iter().enumerate() {
        let mut got = 0;
        while let Some(more) = read(program) {
            got += more.len();
            rig.serve();
        }
        assert_eq!(got == *sent, place >= 2, "{place}: {got} bytes of {sent}");
    }
    others.extend([2, 3].map(|port| rig.connect(&listener, address(port))));
    // All that there are now are known to the guest.
    rig.say(address(MAX_CONNECTIONS), op::REQUEST);
    rig.check_packet(address(MAX_CONNECTIONS), op::RST);
    for (port, other) in (FORGOTTEN..MAX_CONNECTIONS).chain(0..FORGOTTEN).zip(&others) {
        rig.data(address(port), b"hello");
        assert_eq!(read(other).unwrap(), b"hello");
    }
}
