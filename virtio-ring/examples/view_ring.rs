//! Shows a split queue in a dump of memory.
//!
//! `cargo run -p virtio-ring --example view_ring -- FILE BASE SIZE DESCRIPTOR-AREA DRIVER-AREA DEVICE-AREA`
//!
//! BASE is the driver's address of the first byte of the file. Addresses are hexadecimal. Without arguments, the
//! program shows a small queue of its own.

use core::error::Error;
use std::{env, fs};

use virtio_mem_traits::{DriverAddr, DumpMem};
use virtio_ring::split::{DescriptorArea, DeviceArea, DriverArea, Layout, QueueSize, RingIndex};

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<_> = env::args().skip(1).collect();
    match args.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        [] => show(&sample(), DriverAddr(0x1000), 2, [0x1000, 0x1040, 0x1060].map(DriverAddr)),
        [file, base, size, descriptor, driver, device] => {
            let areas = [address(descriptor)?, address(driver)?, address(device)?];
            show(&fs::read(file)?, address(base)?, size.parse()?, areas)
        }
        _ => Err("six arguments are needed: FILE BASE SIZE DESCRIPTOR-AREA DRIVER-AREA DEVICE-AREA".into()),
    }
}

fn address(text: &str) -> Result<DriverAddr, Box<dyn Error>> {
    Ok(DriverAddr(u64::from_str_radix(text.trim_start_matches("0x"), 16)?))
}

/// Prints a queue of `size` descriptors, whose three areas are at `areas`.
fn show(dump: &[u8], base: DriverAddr, size: u16, areas: [DriverAddr; 3]) -> Result<(), Box<dyn Error>> {
    let mem = DumpMem::new(base, dump)?;
    let layout = Layout::new(QueueSize::new(size)?);
    let [descriptor, driver, device] = areas;
    let descriptors = DescriptorArea::new(&mem, layout, descriptor)?;
    let available = DriverArea::new(&mem, layout, driver)?;
    let used = DeviceArea::for_reading(&mem, layout, device)?;

    println!("descriptors");
    for (index, descriptor) in descriptors.table().iter().enumerate() {
        let d = descriptor?;
        println!("  {index:>5}: {:>10} bytes at {}, flags {}, next {}", d.len(), d.addr(), d.flags(), d.next());
    }
    println!("available: flags {}, index {}", available.flags()?, available.index()?);
    for slot in 0..size {
        println!("  {slot:>5}: the chain at {}", available.entry(RingIndex::new(slot))?);
    }
    println!("used: flags {}, index {}", used.flags()?, used.index()?);
    for slot in 0..size {
        let element = used.used(RingIndex::new(slot))?;
        println!("  {slot:>5}: the chain at {}, {} bytes written", element.id(), element.len());
    }
    Ok(())
}

/// Returns a queue of 2 descriptors. Both form one chain, with 16 readable and 512 writable bytes. The chain was made
/// available and used.
fn sample() -> Vec<u8> {
    let descriptors =
        [0, 0x40, 0, 0, 0, 0, 0, 0, 16, 0, 0, 0, 1, 0, 1, 0, 0, 0x50, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 2, 0, 0, 0];
    let parts: [(&[u8], usize); 3] =
        [(&descriptors, 0x40), (&[0, 0, 1, 0, 0, 0], 0x20), (&[1, 0, 1, 0, 0, 0, 0, 0, 0, 2, 0, 0], 0x20)];
    let padded = parts.map(|(bytes, len)| bytes.iter().copied().chain([0].into_iter().cycle()).take(len));
    padded.into_iter().flatten().collect()
}
