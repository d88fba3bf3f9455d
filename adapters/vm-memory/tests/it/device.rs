//! The device under test.

use virtio_mem_traits::{Access, DriverMem, DriverRange};
use virtio_queue_core::{AnyQueue, DriverNotify, QueueConfig};
use virtio_vm_memory::{Handle, VmMemory};

pub(crate) struct Nobody;

impl DriverNotify for Nobody {
    fn notify(&self) {}
}

pub(crate) type Queue<H> = AnyQueue<VmMemory<H>, Nobody>;

/// Makes a queue in the memory that `handle` is on.
pub(crate) fn queue<H: Handle>(config: &QueueConfig, handle: H) -> Queue<H> {
    AnyQueue::new(config, VmMemory::new(handle), Nobody).unwrap()
}

/// Writes in upper case what the driver sent, for every chain that is available, and returns how many that were.
pub(crate) fn serve<H: Handle>(queue: &mut Queue<H>) -> usize {
    let mut burst = queue.burst();
    let mut served = 0;
    while let Some(chain) = burst.next_chain().unwrap() {
        let (mut request, mut written) = (Vec::new(), 0);
        for element in chain.walk().map(Result::unwrap) {
            match element.access {
                Access::Read => read(chain.mem(), element.range, &mut request),
                _ => written = write(chain.mem(), element.range, &request.to_ascii_uppercase()),
            }
        }
        chain.return_written(written).unwrap();
        served += 1;
    }
    served
}

/// Appends what `range` holds, piece by piece.
fn read(mem: &impl DriverMem, range: DriverRange, request: &mut Vec<u8>) {
    let mut rest = range;
    while !rest.is_empty() {
        let piece = mem.translate(rest, Access::Read).unwrap();
        let mut buf = vec![0; piece.len()];
        piece.read_bytes(0, &mut buf).unwrap();
        request.extend(buf);
        rest = rest.after(piece.len() as u64);
    }
}

/// Writes `answer`, piece by piece and one report for all of it, and returns its length.
fn write(mem: &impl DriverMem, range: DriverRange, answer: &[u8]) -> u32 {
    let whole = range.prefix(answer.len() as u64);
    let (mut rest, mut bytes) = (whole, answer);
    while !rest.is_empty() {
        let piece = mem.translate(rest, Access::Write).unwrap();
        let (now, later) = bytes.split_at(piece.len());
        piece.write_bytes(0, now).unwrap();
        (rest, bytes) = (rest.after(now.len() as u64), later);
    }
    mem.written(whole);
    u32::try_from(answer.len()).unwrap()
}
