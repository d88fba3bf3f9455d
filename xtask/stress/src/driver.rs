//! A driver that sleeps until it is interrupted.

use std::sync::Arc;

use virtio_chain::{ReadableChain, WritableChain};
use virtio_fake_driver::{AnyDriver, DriverChain, DriverOptions};
use virtio_mem_traits::{DriverAddr, HeapMem};
use virtio_queue_core::{Chain, QueueConfig, QueueLimits};

use crate::line::Line;

/// The length of a request, and of the answer.
const LEN: usize = 40;

/// Sets up a driver, and returns what the device needs to know.
pub(crate) fn start(features: u64, size: u16) -> (AnyDriver, QueueConfig, Arc<HeapMem>) {
    let mem = Arc::new(HeapMem::new(DriverAddr(0x1000), 0x1_0000).unwrap());
    let options = DriverOptions { features, scramble: Some(5), ..Default::default() };
    let driver = AnyDriver::new(Arc::clone(&mem), size, options);
    let config = driver.queue_config(QueueLimits::default());
    (driver, config, mem)
}

/// Makes so many chains available and takes them back. Sleeps where there is nothing to do.
pub(crate) fn run(mut driver: AnyDriver, chains: usize, kick: impl Fn(), interrupt: &Line) {
    let mut asked = vec![0; driver.size().into()];
    let (mut added, mut received) = (0, 0);
    while received < chains {
        while added < chains {
            let Ok(id) = driver.stage(&request(added, driver.size())) else { break };
            asked[usize::from(id)] = added;
            added += 1;
            if added % 3 != 0 || driver.free_descriptors() == 0 {
                driver.publish();
            }
            if driver.needs_kick() {
                kick();
            }
        }
        driver.publish();
        if driver.needs_kick() {
            kick();
        }
        driver.disable_interrupts();
        for used in driver.reap_all().expect("the device keeps to the rules") {
            let request = bytes(asked[usize::from(used.id)]);
            let answer = request.map(|byte| !byte);
            assert_eq!(used.written(), &answer[..used.writable().len()], "an answer to something else");
            received += 1;
        }
        let more = driver.in_flight().saturating_sub(1) / 2;
        let ready = if received % 3 == 0 { driver.enable_interrupts() } else { driver.enable_interrupts_after(more) };
        if driver.in_flight() != 0 && !ready {
            interrupt.wait();
        }
    }
}

fn bytes(number: usize) -> [u8; LEN] {
    let number = (number as u64).to_le_bytes();
    std::array::from_fn(|index| number[index % 8].wrapping_add(index as u8))
}

/// A request that is cut as the number says, as far as the queue has descriptors.
fn request(number: usize, size: u16) -> DriverChain {
    match size {
        1 => DriverChain::new().readable(bytes(number)),
        _ => {
            let cut: &[usize] = if size >= 8 && number % 2 == 0 { &[number % LEN] } else { &[] };
            DriverChain::new().readable_cut(bytes(number), cut).writable(LEN as u32)
        }
    }
}

/// Answers each byte with its complement.
pub(crate) fn serve(chain: impl Chain) {
    let mut request = ReadableChain::new(chain);
    let mut bytes = [0; LEN];
    let len = request.read(&mut bytes).unwrap();
    bytes.iter_mut().for_each(|byte| *byte = !*byte);
    let mut answer = WritableChain::from_incomplete_readable(request);
    answer.write(&bytes[..len]).unwrap();
    answer.return_prefix().unwrap();
}
