//! Takes used buffers back from the device.

use alloc::vec::Vec;

use virtio_mem_traits::DriverMem;

use super::Driver;
use crate::error::DeviceViolation;
use crate::features::IN_ORDER;
use crate::format::{Format, Side, Used};
use crate::used::UsedBuffer;

/// Takes buffers back.
impl<F: Format, M: DriverMem + Clone> Driver<F, M> {
    /// Takes the next used buffer back, or returns `None` if there is no used buffer.
    ///
    /// The descriptors and the memory of the buffer become free.
    ///
    /// # Errors
    ///
    /// If the device has broken a rule.
    pub fn reap(&mut self) -> Result<Option<UsedBuffer>, DeviceViolation> {
        let report = match self.batch.take() {
            Some(batch) => Some(batch),
            None => self.side.used(self.next_used, self.available())?,
        };
        let Some(used) = report else { return Ok(None) };
        let place = self.find(used).inspect_err(|_| self.next_used += self.side.advance_of_unknown())?;
        if place == 0 || !self.has(IN_ORDER) {
            return self.take_back(place, Some(used.len)).map(Some);
        }
        // The buffers before the reported one are completely used too (SPLIT-ORD-5, PACK-INO-3).
        self.batch = Some(used);
        self.take_back(0, None).map(Some)
    }

    /// Takes all used buffers back, in the order in which they were used.
    ///
    /// # Errors
    ///
    /// If the device has broken a rule. Then the buffers that were taken back before are lost.
    pub fn reap_all(&mut self) -> Result<Vec<UsedBuffer>, DeviceViolation> {
        core::iter::from_fn(|| self.reap().transpose()).collect()
    }

    /// Returns the place of the reported chain among the chains in flight.
    fn find(&self, Used { id, at_most, .. }: Used) -> Result<usize, DeviceViolation> {
        let place = self.in_flight.iter().position(|chain| u32::from(chain.id) == id);
        let place = place.ok_or(DeviceViolation::UnknownId { id })?;
        if self.has(IN_ORDER) && place >= at_most {
            return Err(DeviceViolation::OutOfOrder { id, skipped: place + 1 - at_most });
        }
        Ok(place)
    }

    /// Takes a chain in flight back. The device reported `len` written bytes, or `None` if it wrote all writable bytes.
    fn take_back(&mut self, place: usize, len: Option<u32>) -> Result<UsedBuffer, DeviceViolation> {
        let chain = self.in_flight.remove(place).expect("`find` returned a place in the list");
        self.next_used += self.side.advance(&chain);
        self.rearm();
        let (id, bytes) = (chain.id, chain.placed.writable_bytes(self.side.view()));
        self.free += chain.descriptors.len();
        self.side.free(&chain);
        chain.placed.give_back(&mut self.pool);
        let writable = bytes.len() as u64;
        let len = len.unwrap_or_else(|| u32::try_from(writable).unwrap_or(u32::MAX));
        if u64::from(len) > writable {
            return Err(DeviceViolation::TooLong { id, len, writable });
        }
        Ok(UsedBuffer::new(id, len, bytes))
    }

    /// Returns the position after all used buffers, even those that are not reaped yet.
    pub(super) fn used_until(&self) -> u64 {
        let batch = self.batch.and_then(|batch| self.find(batch).ok()).map_or(0, |last| last + 1);
        let known: u64 = self.in_flight.iter().take(batch).map(|chain| self.side.advance(chain)).sum();
        self.side.used_until(self.next_used + known, self.in_flight.iter().skip(batch).collect())
    }

    /// Returns the number of positions from the used side to the available side.
    fn available(&self) -> u16 {
        u16::try_from(self.published - self.next_used).expect("the available positions fit into the ring")
    }
}
