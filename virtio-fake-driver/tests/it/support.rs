//! What the themes share: memory, and a device on a real queue.

use core::panic::AssertUnwindSafe;
use std::panic::catch_unwind;
use std::sync::Arc;

use virtio_fake_driver::DriverChain;
use virtio_mem_traits::{Access, DeviceRange, DriverAddr, DriverMem, DriverRange, HeapMem};
use virtio_queue_core::{DriverNotify, FatalError, Queue, Ring, Walk};

/// What the device answers to `request` if it may write `writable` bytes: not as many as it could.
fn answer(request: &[u8], writable: u64) -> Vec<u8> {
    let words = request.iter().chain(b"end").cycle().map(|byte| byte ^ 0x5a);
    words.take(usize::try_from(writable - writable / 3).unwrap()).collect()
}

/// What a driver finds in a buffer that the device has used.
pub(crate) fn answer_to(chain: &DriverChain) -> Vec<u8> {
    answer(&chain.readable_bytes(), chain.writable_len())
}

/// Answers all chains that are available.
pub(crate) fn serve(queue: &mut Queue<impl Ring, impl DriverNotify>) -> Result<usize, FatalError> {
    let mut served = 0;
    while let Some(chain) = queue.next_chain()? {
        let written = serve_chain(chain.mem(), chain.walk());
        chain.return_written(written).unwrap();
        served += 1;
    }
    Ok(served)
}

fn serve_chain(mem: &impl DriverMem, walk: impl Walk) -> u32 {
    let (mut request, mut writable) = (Vec::new(), Vec::new());
    for element in walk.map(Result::unwrap) {
        if element.access == Access::Write {
            writable.push(element.range);
            continue;
        }
        for_each_piece(mem, element.range, Access::Read, |range, piece| {
            mem.before_read(range);
            let mut bytes = vec![0; piece.len()];
            piece.read_bytes(0, &mut bytes).unwrap();
            request.extend(bytes);
        });
    }
    let answer = answer(&request, writable.iter().map(|range| range.len()).sum());
    let mut rest = answer.as_slice();
    for range in writable {
        for_each_piece(mem, range.prefix(rest.len() as u64), Access::Write, |range, piece| {
            let (part, after) = rest.split_at(piece.len());
            piece.write_bytes(0, part).unwrap();
            mem.written(range);
            rest = after;
        });
    }
    answer.len().try_into().unwrap()
}

fn for_each_piece(
    mem: &(impl DriverMem + ?Sized),
    mut range: DriverRange,
    access: Access,
    mut with: impl FnMut(DriverRange, DeviceRange<'_>),
) {
    while !range.is_empty() {
        let piece = mem.translate(range, access).unwrap();
        with(range.prefix(piece.len() as u64), piece);
        range = range.after(piece.len() as u64);
    }
}

/// 16 KiB at 0x1000.
pub(crate) fn heap() -> Arc<HeapMem> {
    Arc::new(HeapMem::new(DriverAddr(0x1000), 0x4000).unwrap())
}

pub(crate) fn range(start: u64, len: u64) -> DriverRange {
    DriverRange::new(DriverAddr(start), len).unwrap()
}

/// Returns what a mistake of the test is told.
pub(crate) fn panic_of<T>(mistake: impl FnOnce() -> T) -> String {
    let payload = catch_unwind(AssertUnwindSafe(mistake)).map(drop).expect_err("it is a mistake");
    let formatted = payload.downcast::<String>().map(|message| *message);
    formatted.unwrap_or_else(|payload| (*payload.downcast::<&str>().unwrap()).to_owned())
}
