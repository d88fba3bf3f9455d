//! Moves bytes between a storage and a chain, without a copy in between if possible.

use std::io;

use virtio_chain::{Reader, TransferCause, Writer};
use virtio_mem_traits::DeviceRange;
use virtio_queue_core::ChainElements;

use super::storage::{BLOCK_LEN, Storage};
use super::straight;

/// Copies the `len` bytes of `storage` at `offset` to the next bytes of `payload`, and returns their number. It is less
/// than `len` only if `payload` ends. Only written bytes count in `payload`.
///
/// # Errors
///
/// If the bytes cannot be read, or the chain is malformed.
pub(super) fn read_chain(
    storage: &impl Storage,
    payload: &mut Writer<impl ChainElements>,
    len: u64,
    offset: u64,
) -> Result<u64, TransferCause<io::Error>> {
    if let Some(file) = storage.file() {
        return straight::read_chain(file, payload, len, offset);
    }
    let mut done = 0;
    while done < len {
        // Copies one block at a time: if a block cannot be read, none of it was written.
        let limit = usize::try_from(len - done).map_or(BLOCK_LEN, |left| left.min(BLOCK_LEN));
        let read = |piece: DeviceRange<'_>| storage.read_into(&[piece], offset + done).map(|()| piece.len());
        match payload.next_with_limit(limit, read).map_err(|failed| failed.cause)? {
            0 => break,
            count => done += count as u64,
        }
    }
    Ok(done)
}

/// Copies the next `len` bytes of `payload` to `offset` in `storage`, and returns their number. It is less than `len`
/// only if `payload` ends.
///
/// # Errors
///
/// If the bytes cannot be written, or the chain is malformed.
pub(super) fn write_chain(
    storage: &impl Storage,
    payload: &mut Reader<impl ChainElements>,
    len: u64,
    offset: u64,
) -> Result<u64, TransferCause<io::Error>> {
    if let Some(file) = storage.file() {
        return straight::write_chain(file, payload, len, offset);
    }
    let mut done = 0;
    while let Some(piece) = payload.next_with_limit(usize::try_from(len - done).unwrap_or(usize::MAX))? {
        storage.write_from(&[piece], offset + done).map_err(TransferCause::Work)?;
        done += piece.len() as u64;
    }
    Ok(done)
}
