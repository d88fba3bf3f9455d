//! Packets of a guest for the socket device, and programs of the host.

use std::fs;
use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use virtio_examples::Serve;
use virtio_examples::vsock::{
    Counters, HEADER_LEN, HOST_CID, Listener, RECEIVE, STREAM, TRANSMIT, VsockDevice, VsockHeader, op,
};

use crate::honest::Honest;
use crate::input::Input;

const CID: u64 = 3;

/// The port that a program of the host listens at.
const PORT: u32 = 7;

/// Sends packets through the device, and lets programs of the host do so.
pub(crate) fn run(input: &[u8]) {
    let mut input = Input::new(input);
    let pair = (Honest::new(&mut input), Honest::new(&mut input));
    let (Some(receive), Some(transmit)) = pair else { return };
    let mut queues = [receive, transmit];
    let mut host = Host::new();
    let listener = Arc::new(Listener::bind(&host.path).unwrap());
    let mut device = VsockDevice::new(CID, listener, Arc::<Counters>::default()).unwrap();
    if input.flag() {
        queues[input.below(2)].become_hostile(&mut input);
    }
    for _ in 0..60 {
        if input.is_empty() || queues.iter().any(|honest| honest.queue.is_broken()) {
            break;
        }
        match input.u8() % 8 {
            0 | 1 => send(&mut input, &mut queues[TRANSMIT]),
            2 => {
                let room = input.one_of(&[0, 43, 44, 45, 100, 1000]);
                queues[RECEIVE].add(&mut input, &[], room);
            }
            3 => host.act(&mut input),
            _ => {
                let index = input.below(2);
                serve(&mut input, &mut device, index, &mut queues[index]);
            }
        }
    }
    for honest in &mut queues {
        honest.reap();
        honest.mem.check();
    }
}

/// Lets the guest send a packet, a sensible one as a rule.
fn send(input: &mut Input<'_>, honest: &mut Honest) {
    let len = u32::from(input.u8()) * u32::from(input.u8() % 8);
    let said = if input.u8() == 7 { input.u32() } else { len };
    let odd = input.u8();
    let header = VsockHeader {
        src_cid: if odd == 1 { input.u64() } else { CID }.into(),
        dst_cid: if odd == 2 { input.u64() } else { HOST_CID }.into(),
        src_port: input.one_of(&[1_u32, 2, 3]).into(),
        dst_port: input.one_of(&[PORT, PORT, 8, 1 << 30, (1 << 30) + 1]).into(),
        len: said.into(),
        type_: if odd == 3 { input.u16() } else { STREAM }.into(),
        op: if odd == 4 { input.u16() } else { input.one_of(&[1, 2, 3, 4, 5, 5, 5, 6, 7]) }.into(),
        flags: input.one_of(&[0_u32, 1, 2, 3, u32::MAX]).into(),
        buf_alloc: input.one_of(&[0_u32, 1, 1000, 1 << 16, u32::MAX]).into(),
        fwd_cnt: if odd == 5 { input.u32() } else { input.u8().into() }.into(),
    };
    let mut packet = zerocopy::IntoBytes::as_bytes(&header).to_vec();
    packet.resize(HEADER_LEN + len as usize, 0x55);
    packet.truncate(if input.u8() == 7 { input.u8().into() } else { packet.len() });
    honest.add(input, &packet, 0);
}

fn serve(input: &mut Input<'_>, device: &mut VsockDevice, place: usize, honest: &mut Honest) {
    let before = honest.mem.work();
    let (ring, state) = honest.queue.parts_mut();
    let _ = device.serve_queue(place, ring, state, usize::from(input.u8() % 70));
    let work = honest.mem.work() - before;
    assert!(work < 60_000, "{work} accesses and translations for a turn of 32 slots");
    assert!(honest.queue.in_flight() == 0 || honest.queue.is_broken(), "buffers were kept");
    for used in honest.reap().iter().filter(|used| used.len > 0) {
        check(used.written());
    }
}

/// Checks a packet for the guest.
fn check(packet: &[u8]) {
    let (header, payload) = zerocopy::FromBytes::read_from_prefix(packet).expect("a packet has a header");
    let VsockHeader { dst_cid, len, op, .. } = header;
    assert_eq!(dst_cid, CID);
    assert_eq!(len.get() as usize, payload.len());
    assert!(payload.is_empty() || op.get() == op::RW);
}

/// Programs of the host.
struct Host {
    path: PathBuf,
    listener: UnixListener,
    programs: Vec<UnixStream>,
}

impl Host {
    fn new() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("virtio-fuzz-vsock-{}-{number}", std::process::id()));
        let listener = UnixListener::bind(Self::beside(&path)).unwrap();
        listener.set_nonblocking(true).unwrap();
        Self { path, listener, programs: Vec::new() }
    }

    fn beside(path: &std::path::Path) -> PathBuf {
        PathBuf::from(format!("{}_{PORT}", path.display()))
    }

    /// Lets a program do something.
    fn act(&mut self, input: &mut Input<'_>) {
        self.programs.extend(self.listener.accept().map(|(program, _)| program));
        let what = input.u8() % 8;
        if what < 2 {
            let mut program = UnixStream::connect(&self.path).unwrap();
            let greeting = input.one_of(&["CONNECT 1\n", "CONNECT 2\n", "CONNECT 3\nhello", "CONN", "what?\n", ""]);
            let _ = program.write_all(greeting.as_bytes());
            self.programs.push(program);
        } else if !self.programs.is_empty() {
            let index = input.below(self.programs.len());
            let program = &mut self.programs[index];
            program.set_nonblocking(true).unwrap();
            match what {
                2 => drop(program.shutdown(Shutdown::Write)),
                3 => drop(program.shutdown(Shutdown::Read)),
                4 => drop(self.programs.remove(index)),
                5 => drop(program.read(&mut [0; 5000])),
                _ => drop(program.write(&vec![0x66; input.u16().into()])),
            }
        }
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        let _ = fs::remove_file(Self::beside(&self.path));
    }
}
