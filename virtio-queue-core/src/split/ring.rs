//! The operations on a split ring.

use core::sync::atomic::{Ordering, fence};

use virtio_mem_traits::{AreaError, StableMem};
use virtio_ring::RingFeatures;
use virtio_ring::event::split_crossed;
use virtio_ring::split::{
    DescriptorArea, DescriptorIndex, DescriptorTable, DeviceArea, DriverArea, Layout, QueueSize, RingIndex,
    UsedElement, UsedFlags,
};

use super::positions::{SplitPositions, Wanted};
use super::walk::SplitWalk;
use crate::rules::Limits;
use crate::{Armed, ConfigError, FatalError, FromConfig, Head, Lasting, Positioned, QueueArea, QueueConfig, Ring};

/// A split ring: three proved areas, and what was negotiated.
#[derive(Debug)]
pub struct SplitRing<M> {
    descriptor_area: DescriptorArea<M>,
    driver_area: DriverArea<M>,
    device_area: DeviceArea<M>,
    size: QueueSize,
    features: RingFeatures,
    limits: Limits,
}

impl<M: StableMem> SplitRing<M> {
    #[inline(always)]
    pub(super) fn table(&self) -> DescriptorTable<'_, M> {
        self.descriptor_area.table()
    }

    #[inline(always)]
    pub(super) const fn limits(&self) -> &Limits {
        &self.limits
    }

    fn event_idx(&self) -> bool {
        self.features.contains(RingFeatures::EVENT_IDX)
    }

    /// Looks for more entries, and returns whether there are any.
    fn look(&self, positions: &mut SplitPositions, in_flight: u16) -> Result<bool, FatalError> {
        let index = self.driver_area.index()?;
        let available = index.distance_from(positions.next_available);
        let size = self.size.get();
        // What was put back and not published is in flight for the driver: it has nothing yet to make available instead.
        let in_flight = in_flight + positions.next_used.distance_from(positions.published);
        if u32::from(available) + u32::from(in_flight) > u32::from(size) {
            return Err(FatalError::Oversubscribed { available, in_flight, size });
        }
        positions.known_available = index;
        Ok(available != 0)
    }

    /// Asks for a notification of the entry that will be fetched next, then looks once more for it.
    ///
    /// The request is stored before the available index is loaded, and the driver stores that index before it loads the
    /// request. With a full fence between the two on either side, one of them sees what the other stored (BAR-2).
    /// Release and acquire would not do: they let a load pass an earlier store.
    fn arm(&self, positions: &mut SplitPositions, in_flight: u16) -> Result<bool, FatalError> {
        let wanted = self.everything_from(positions.next_available);
        self.ask_for(wanted)?;
        positions.wanted = wanted;
        fence(Ordering::SeqCst);
        self.look(positions, in_flight)
    }

    /// Returns the positions of a ring where both sides are at `index`, as they are once the driver was asked to notify.
    fn at(&self, index: RingIndex) -> SplitPositions {
        SplitPositions {
            next_available: index,
            known_available: index,
            next_used: index,
            published: index,
            wanted: self.everything_from(index),
        }
    }

    /// Returns what to ask for in order not to miss the entry at `index`, nor what comes later.
    fn everything_from(&self, index: RingIndex) -> Wanted {
        if self.event_idx() { Wanted::Entry(index) } else { Wanted::Everything }
    }

    /// Tells the driver which notifications are wanted. With EVENT_IDX the flags stay 0 (SPLIT-ANOT-3), without it there is
    /// no `avail_event` (SPLIT-ANOT-8).
    fn ask_for(&self, wanted: Wanted) -> Result<(), AreaError> {
        match wanted {
            Wanted::Entry(index) => self.device_area.set_avail_event(index),
            Wanted::Everything => self.device_area.set_flags(UsedFlags::NONE),
            Wanted::Nothing if self.event_idx() => Ok(()),
            Wanted::Nothing => self.device_area.set_flags(UsedFlags::NO_NOTIFY),
        }
    }

    /// Returns how many entries are known to be available, after another look if there would be none.
    #[inline(always)]
    fn available(&self, positions: &mut SplitPositions, in_flight: u16) -> Result<u16, FatalError> {
        if positions.next_available == positions.known_available {
            *positions = self.look_and_arm(*positions, in_flight)?;
        }
        Ok(positions.known_available.distance_from(positions.next_available))
    }

    /// Returns the head in an available entry.
    #[inline(always)]
    fn head(&self, index: RingIndex) -> Result<DescriptorIndex, FatalError> {
        let head = self.driver_area.entry(index)?;
        if head.0 > self.size.last_slot() {
            return Err(FatalError::HeadOutOfRange { head, size: self.size.get() });
        }
        Ok(head)
    }

    /// Looks for more entries, and if there are none makes sure that the driver notifies of the next one if it was asked
    /// to notify at all. It was asked for an entry that has been fetched since (SPLIT-ANOT-6).
    #[inline(never)]
    fn look_and_arm(&self, mut positions: SplitPositions, in_flight: u16) -> Result<SplitPositions, FatalError> {
        if !self.look(&mut positions, in_flight)? {
            match positions.wanted {
                Wanted::Entry(index) if index != positions.next_available => {
                    self.arm(&mut positions, in_flight)?;
                }
                _ => {}
            }
        }
        Ok(positions)
    }
}

impl<M: StableMem> FromConfig for SplitRing<M> {
    fn from_config(config: &QueueConfig, mem: M) -> Result<Self, ConfigError> {
        config.check()?;
        if config.features.contains(RingFeatures::RING_PACKED) {
            return Err(ConfigError::Format);
        }
        QueueSize::new(config.limits.queue_size).map_err(ConfigError::Limit)?;
        let size = QueueSize::new(config.size).map_err(ConfigError::Size)?;
        let layout = Layout::new(size);
        let failed = |area| move |error| ConfigError::Area { area, error };
        let descriptor_area = DescriptorArea::new(mem.clone(), layout, config.descriptor_area);
        let driver_area = DriverArea::new(mem.clone(), layout, config.driver_area);
        let device_area = DeviceArea::new(mem, layout, config.device_area);
        Ok(Self {
            descriptor_area: descriptor_area.map_err(failed(QueueArea::Descriptor))?,
            driver_area: driver_area.map_err(failed(QueueArea::Driver))?,
            device_area: device_area.map_err(failed(QueueArea::Device))?,
            size,
            features: config.features,
            limits: Limits::new(config),
        })
    }
}

impl<M: StableMem> Ring for SplitRing<M> {
    type Mem = M;
    type Positions = SplitPositions;
    type Walk<'r>
        = SplitWalk<'r, M>
    where
        M: 'r;

    #[inline]
    fn mem(&self) -> &M {
        self.descriptor_area.mem()
    }

    #[inline]
    fn size(&self) -> u16 {
        self.size.get()
    }

    fn activate(&self) -> Result<SplitPositions, FatalError> {
        let positions = self.at(RingIndex::default());
        // The flags are ours to initialize in either case: what the driver left there may be wrong (DRV-ANOT-1).
        self.device_area.set_flags(UsedFlags::NONE)?;
        self.ask_for(positions.wanted)?;
        // As in `arm`: the first look at the ring comes after what was asked for.
        fence(Ordering::SeqCst);
        Ok(positions)
    }

    #[inline(always)]
    fn fetch(&self, positions: &mut SplitPositions, in_flight: u16) -> Result<Option<Head>, FatalError> {
        if self.available(positions, in_flight)? == 0 {
            return Ok(None);
        }
        let head = self.head(positions.next_available)?;
        positions.next_available = positions.next_available.advanced(1);
        Ok(Some(Head::new(head.0, head.0, 1)))
    }

    #[inline(always)]
    fn walk(&self, head: Head) -> SplitWalk<'_, M> {
        SplitWalk::new(self, DescriptorIndex(head.first()))
    }

    #[inline(always)]
    fn put_used(&self, positions: &mut SplitPositions, head: Head, written: u32) -> Result<bool, FatalError> {
        self.device_area.set_used(positions.next_used, UsedElement::new(DescriptorIndex(head.id()), written))?;
        // One slot for a chain; more if it stands for those before it as well (SPLIT-ORD-3).
        positions.next_used = positions.next_used.advanced(head.slots());
        Ok(true)
    }

    #[inline(always)]
    fn serve<'r>(
        &'r self,
        positions: &mut SplitPositions,
        in_flight: u16,
        limit: usize,
        mut work: impl FnMut(SplitWalk<'r, M>) -> u32,
    ) -> Result<usize, FatalError> {
        let mut own = *positions;
        let mut served = 0;
        while served < limit {
            let available = self.available(&mut own, in_flight)?;
            let count = available.min(u16::try_from(limit - served).unwrap_or(u16::MAX));
            if count == 0 {
                break;
            }
            for done in 0..count {
                let head = self.head(own.next_available.advanced(done))?;
                let written = work(SplitWalk::new(self, head));
                self.device_area.set_used(own.next_used.advanced(done), UsedElement::new(head, written))?;
            }
            own.next_available = own.next_available.advanced(count);
            own.next_used = own.next_used.advanced(count);
            served += usize::from(count);
        }
        *positions = own;
        Ok(served)
    }

    #[inline]
    fn publish(&self, positions: &mut SplitPositions) -> Result<bool, FatalError> {
        let count = positions.next_used.distance_from(positions.published);
        if count == 0 {
            return Ok(false);
        }
        positions.published = positions.next_used;
        self.device_area.publish(positions.next_used)?;
        // The index is stored before the driver's wish is loaded, and the driver stores its wish before it loads the index
        // once more. With a full fence between the two on either side, one of them sees what the other stored (BAR-3).
        fence(Ordering::SeqCst);
        if self.event_idx() {
            Ok(split_crossed(self.driver_area.used_event()?, positions.next_used, count.into()))
        } else {
            Ok(!self.driver_area.flags()?.no_interrupt())
        }
    }

    fn suppress_notifications(&self, positions: &mut SplitPositions) -> Result<(), FatalError> {
        self.ask_for(Wanted::Nothing)?;
        positions.wanted = Wanted::Nothing;
        Ok(())
    }

    fn enable_notifications(&self, positions: &mut SplitPositions, in_flight: u16) -> Result<Armed, FatalError> {
        Ok(if self.arm(positions, in_flight)? { Armed::MoreAvailable } else { Armed::Waiting })
    }
}

impl<M: StableMem> Lasting for SplitRing<M> {}

impl<M: StableMem> Positioned for SplitRing<M> {
    fn position(&self, positions: &SplitPositions) -> u16 {
        positions.next_available.get()
    }

    fn positions_at(&self, position: u16) -> Option<SplitPositions> {
        Some(self.at(RingIndex::new(position)))
    }
}
