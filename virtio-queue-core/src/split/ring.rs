//! The operations on a split ring.

use core::sync::atomic::Ordering;

use virtio_mem_traits::{Access, AreaError, DeviceRange, DriverAddr, DriverMem, StableMem, fence};
use virtio_ring::RingFeatures;
use virtio_ring::event::split_crossed;
use virtio_ring::split::{
    DescriptorArea, DescriptorIndex, DeviceArea, DriverArea, Layout, QueueSize, RingIndex, UsedElement, UsedFlags,
};

use super::descriptors::Descriptors;
use super::positions::{SplitPositions, Wanted};
use super::walk::{SplitPlace, SplitWalk};
use crate::config::{ConfigError, QueueArea, QueueConfig};
use crate::error::{ChainError, FatalError};
use crate::head::Head;
use crate::notify::Armed;
use crate::ring::{FromConfig, KeepsDescriptors, Ring, ServeChain};
use crate::rules::SplitLimits;
use crate::walk::Element;

/// A split ring: three proved areas, and the negotiated features.
#[derive(Debug)]
pub struct SplitRing<M> {
    pub(super) descriptors: Descriptors<M>,
    pub(super) driver_area: DriverArea<M>,
    pub(super) device_area: DeviceArea<M>,
    pub(super) size: QueueSize,
    pub(super) features: RingFeatures,
    pub(super) config: QueueConfig,
}

impl<M: StableMem> SplitRing<M> {
    fn event_idx(&self) -> bool {
        self.features.contains(RingFeatures::EVENT_IDX)
    }

    /// Reads the driver's available index, and returns whether there are more entries.
    ///
    /// For the driver, every chain is in flight until it is published as used. So the driver cannot reuse the slot of a
    /// completed chain before that.
    fn look(&self, positions: &mut SplitPositions) -> Result<bool, FatalError> {
        let index = self.driver_area.index()?;
        let available = index.distance_from(positions.next_available);
        let size = self.size.get();
        let in_flight = positions.next_available.distance_from(positions.published);
        // HOST-3, HOST-4, DRV-AVAIL-1: no entry is read before this check.
        if u32::from(available) + u32::from(in_flight) > u32::from(size) {
            return Err(FatalError::Oversubscribed { available, in_flight, size });
        }
        positions.known_available = index;
        Ok(available != 0)
    }

    /// Asks for a notification of the entry at `index`, then looks for that entry again.
    ///
    /// The request is stored before the available index is loaded, and the driver stores that index before it loads the
    /// request. Each side has a full fence between the two accesses. So at least one side sees the value that the other
    /// stored (BAR-2, INV-11). Release and acquire are not enough: they let a load pass an earlier store.
    fn arm(&self, positions: &mut SplitPositions, index: RingIndex) -> Result<Armed, FatalError> {
        let wanted = self.everything_from(index);
        self.ask_for(wanted)?;
        positions.wanted = wanted;
        fence(Ordering::SeqCst);
        self.look(positions)?;
        let ahead = |index: RingIndex| index.distance_from(positions.next_available);
        let is_there = ahead(positions.known_available) > ahead(index);
        Ok(if is_there { Armed::MoreAvailable } else { Armed::Waiting })
    }

    /// Returns the positions of a ring where both sides are at `index` and the driver was asked to notify.
    pub(super) fn at(&self, index: RingIndex) -> SplitPositions {
        SplitPositions {
            next_available: index,
            known_available: index,
            next_used: index,
            published: index,
            lost: 0,
            wanted: self.everything_from(index),
        }
    }

    /// Returns the notifications to ask for, so that the entry at `index` and later ones are not missed.
    fn everything_from(&self, index: RingIndex) -> Wanted {
        if self.event_idx() { Wanted::Entry(index) } else { Wanted::Everything }
    }

    /// Tells the driver which notifications are wanted. With EVENT_IDX the flags stay 0 (SPLIT-ANOT-3). Without
    /// EVENT_IDX the flags are 0 or 1 (SPLIT-ANOT-1), and there is no `avail_event` (SPLIT-ANOT-8).
    fn ask_for(&self, wanted: Wanted) -> Result<(), AreaError> {
        match wanted {
            Wanted::Entry(index) => self.device_area.set_avail_event(index),
            Wanted::Everything => self.device_area.set_flags(UsedFlags::NONE),
            Wanted::Nothing if self.event_idx() => Ok(()),
            Wanted::Nothing => self.device_area.set_flags(UsedFlags::NO_NOTIFY),
        }
    }

    /// Returns the number of known available entries. Reads the available index again if there are none.
    #[inline(always)]
    pub(super) fn available(&self, positions: &mut SplitPositions) -> Result<u16, FatalError> {
        if positions.next_available == positions.known_available {
            *positions = self.look_and_arm(*positions)?;
        }
        Ok(positions.known_available.distance_from(positions.next_available))
    }

    /// Reads the used index that an earlier life of the queue published.
    pub(super) fn used_index(&self) -> Result<RingIndex, FatalError> {
        Ok(self.device_area.reader()?.index()?)
    }

    /// Returns the head in an available entry.
    #[inline(always)]
    pub(super) fn head(&self, index: RingIndex) -> Result<DescriptorIndex, FatalError> {
        self.checked(self.driver_area.entry(index)?)
    }

    /// Checks that the ring has the descriptor of a head.
    #[inline(always)]
    pub(super) fn checked(&self, head: DescriptorIndex) -> Result<DescriptorIndex, FatalError> {
        let size = self.size.get();
        if head.0 > self.size.last_slot() { Err(FatalError::HeadOutOfRange { head, size }) } else { Ok(head) }
    }

    /// Looks for more entries. If there are none and notifications are enabled, asks for a notification of the next
    /// entry. The last request was for an entry that was fetched since (SPLIT-ANOT-6).
    #[inline(never)]
    pub(super) fn look_and_arm(&self, mut positions: SplitPositions) -> Result<SplitPositions, FatalError> {
        if !self.look(&mut positions)? {
            match positions.wanted {
                Wanted::Entry(index) if index != positions.next_available => {
                    let next = positions.next_available;
                    let _ = self.arm(&mut positions, next)?;
                }
                _ => {}
            }
        }
        Ok(positions)
    }
}

impl<M: StableMem> FromConfig for SplitRing<M> {
    fn from_config(config: &QueueConfig, mem: M) -> Result<Self, ConfigError> {
        if config.features.contains(RingFeatures::RING_PACKED) {
            return Err(ConfigError::Format { packed: true });
        }
        let size = config.check(QueueSize::new)?;
        let layout = Layout::new(size);
        let failed = |area| move |error| ConfigError::Area { area, error };
        let descriptor_area = DescriptorArea::new(mem.clone(), layout, config.descriptor_area);
        let driver_area = DriverArea::new(mem.clone(), layout, config.driver_area);
        let device_area = DeviceArea::new(mem, layout, config.device_area);
        Ok(Self {
            descriptors: Descriptors {
                area: descriptor_area.map_err(failed(QueueArea::Descriptor))?,
                limits: SplitLimits::new(config),
            },
            driver_area: driver_area.map_err(failed(QueueArea::Driver))?,
            device_area: device_area.map_err(failed(QueueArea::Device))?,
            size,
            features: config.features,
            config: *config,
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
    type Place = SplitPlace;

    #[inline]
    fn mem(&self) -> &M {
        self.descriptors.mem()
    }

    #[inline]
    fn size(&self) -> u16 {
        self.size.get()
    }

    fn activate(&self) -> Result<SplitPositions, FatalError> {
        let positions = self.at(RingIndex::default());
        // The device initializes the flags in either case, because the driver can have left wrong ones (DRV-ANOT-1).
        self.device_area.set_flags(UsedFlags::NONE)?;
        self.ask_for(positions.wanted)?;
        // As in `arm`, the request is stored before the ring is read for the first time.
        fence(Ordering::SeqCst);
        Ok(positions)
    }

    #[inline(always)]
    fn fetch(&self, positions: &mut SplitPositions, _in_flight: u16) -> Result<Option<Head>, FatalError> {
        if self.available(positions)? == 0 {
            return Ok(None);
        }
        let entry = positions.next_available;
        let head = self.head(entry)?;
        positions.next_available = entry.advanced(1);
        Ok(Some(Head::new(head.0, entry.get(), 1)))
    }

    fn unfetch(&self, positions: &mut SplitPositions, head: Head) -> Result<bool, FatalError> {
        let entry = RingIndex::new(positions.next_available.get().wrapping_sub(1));
        // A chain of an earlier process has no entry in the ring any more.
        let is_last = entry.get() == head.first() && self.driver_area.entry(entry)?.0 == head.id();
        if is_last {
            positions.next_available = entry;
        }
        Ok(is_last)
    }

    #[inline(always)]
    fn walk(&self, head: Head) -> SplitWalk<'_, M> {
        SplitWalk::new(&self.descriptors, DescriptorIndex(head.id()))
    }

    #[inline(always)]
    fn start(&self, head: Head) -> SplitPlace {
        SplitPlace::new(&self.descriptors.limits.plain, DescriptorIndex(head.id()))
    }

    #[inline(always)]
    fn next_element(&self, place: &mut SplitPlace) -> Option<Result<Element, ChainError>> {
        place.step(&self.descriptors)
    }

    #[inline(always)]
    fn complete(&self, positions: &mut SplitPositions, head: Head, written: u32) -> Result<bool, FatalError> {
        self.device_area.set_used(positions.next_used, UsedElement::new(DescriptorIndex(head.id()), written))?;
        // A chain has one slot. A batch has one for each of its chains (SPLIT-ORD-3).
        positions.next_used = positions.next_used.advanced(head.slots());
        Ok(true)
    }

    #[inline(always)]
    fn serve(
        &self,
        positions: &mut SplitPositions,
        _in_flight: u16,
        limit: usize,
        work: impl ServeChain,
    ) -> Result<usize, FatalError> {
        self.serve_chains(positions, limit, work)
    }

    #[inline(always)]
    fn serve_one(
        &self,
        positions: &mut SplitPositions,
        _in_flight: u16,
        work: impl ServeChain,
    ) -> Result<Option<bool>, FatalError> {
        self.serve_one_chain(positions, work)
    }

    #[inline(always)]
    fn gather<'m, P: DriverMem + ?Sized>(
        &self,
        positions: &mut SplitPositions,
        _in_flight: u16,
        limit: usize,
        mem: &'m P,
        access: Access,
        take: impl FnMut(Head, DriverAddr, DeviceRange<'m>),
    ) -> Result<u16, FatalError> {
        self.gather_chains(positions, limit, mem, access, take)
    }

    #[inline(always)]
    fn complete_all(
        &self,
        positions: &mut SplitPositions,
        heads: impl Iterator<Item = (Head, u32)>,
        _refuse: impl FnMut(Head),
    ) -> Result<(), FatalError> {
        self.complete_chains(positions, heads)
    }

    #[inline(always)]
    fn publish(&self, positions: &mut SplitPositions) -> Result<bool, FatalError> {
        let count = positions.next_used.distance_from(positions.published);
        if count == 0 {
            return Ok(false);
        }
        positions.published = positions.next_used;
        self.device_area.publish(positions.next_used)?;
        // The index is stored before the driver's request is loaded, and the driver stores its request before it loads
        // the index again. Each side has a full fence between the two accesses. So at least one side sees the value
        // that the other stored (BAR-3).
        fence(Ordering::SeqCst);
        if self.event_idx() {
            // Only the event decides (SPLIT-UNOT-4, SPLIT-UNOT-5, SPLIT-UNOT-6, DRV-UNOT-2).
            Ok(split_crossed(self.driver_area.used_event()?, positions.next_used, count.into()))
        } else {
            // Only the flags decide (SPLIT-UNOT-1, SPLIT-UNOT-2, SPLIT-UNOT-3).
            Ok(!self.driver_area.flags()?.no_interrupt())
        }
    }

    fn suppress_notifications(&self, positions: &mut SplitPositions) -> Result<(), FatalError> {
        self.ask_for(Wanted::Nothing)?;
        positions.wanted = Wanted::Nothing;
        Ok(())
    }

    fn enable_notifications(&self, positions: &mut SplitPositions) -> Result<Armed, FatalError> {
        self.arm(positions, positions.next_available)
    }

    fn enable_notifications_of_more(
        &self,
        positions: &mut SplitPositions,
        unfetched: u16,
    ) -> Result<Armed, FatalError> {
        self.arm(positions, positions.next_available.advanced(unfetched))
    }
}

impl<M: StableMem> KeepsDescriptors for SplitRing<M> {}
