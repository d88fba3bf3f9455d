//! Files of packets, as testpmd reads and writes them.

use std::fs;
use std::ops::RangeInclusive;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use rand::{Rng, RngExt};

/// What such a file begins with: numbers in the order of this machine, microseconds, version 2.4, Ethernet.
const MAGIC: u32 = 0xa1b2_c3d4;
const VERSION: u32 = 4 << 16 | 2;
const ETHERNET: u32 = 1;
const HEADER_LEN: usize = 24;

/// The largest packet that is written.
const SNAP_LEN: u32 = 65535;

/// Writes a file.
pub(super) fn write(path: &Path, packets: &[Vec<u8>]) -> Result<()> {
    let mut bytes: Vec<u8> =
        [MAGIC, VERSION, 0, 0, SNAP_LEN, ETHERNET].iter().flat_map(|word| word.to_ne_bytes()).collect();
    for packet in packets {
        let len = u32::try_from(packet.len())?;
        bytes.extend([0, 0, len, len].iter().flat_map(|word| word.to_ne_bytes()));
        bytes.extend(packet);
    }
    fs::write(path, bytes).with_context(|| format!("cannot write {}", path.display()))
}

/// Reads a file.
pub(super) fn read(path: &Path) -> Result<Vec<Vec<u8>>> {
    let bytes = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    let mut rest = bytes.get(HEADER_LEN..).context("a file of packets has a header")?;
    let mut packets = Vec::new();
    while let Some((record, after)) = rest.split_first_chunk::<16>() {
        let [_, _, len, wire_len] = zerocopy::transmute!(*record);
        let len: u32 = len;
        ensure!(len == wire_len, "a packet of {wire_len} bytes was cut to {len}");
        let (packet, after) =
            after.split_at_checked(usize::try_from(len)?).context("the last packet is not all there")?;
        packets.push(packet.to_vec());
        rest = after;
    }
    Ok(packets)
}

/// Returns random packets of so many bytes. The shortest and the longest are there.
pub(super) fn random(count: usize, lens: RangeInclusive<usize>, rng: &mut impl Rng) -> Vec<Vec<u8>> {
    let mut packets: Vec<_> = (0..count).map(|_| vec![0; rng.random_range(lens.clone())]).collect();
    packets.extend([lens.start(), lens.end()].map(|len| vec![0; *len]));
    packets.iter_mut().for_each(|packet| rng.fill_bytes(packet));
    packets
}
