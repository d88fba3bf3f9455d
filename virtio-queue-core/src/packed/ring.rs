//! The operations on a packed ring.

use core::sync::atomic::Ordering;

use virtio_mem_traits::{Access, AreaError, DeviceRange, DriverAddr, DriverMem, StableMem, fence};
use virtio_ring::RingFeatures;
use virtio_ring::event::packed_crossed;
use virtio_ring::packed::{
    BufferId, DescriptorArea, DescriptorFlags, DeviceArea, DriverArea, EventSuppression, Layout, NotificationMode,
    OffWrap, QueueSize, RingPosition, UsedDescriptor,
};

use super::descriptors::Descriptors;
use super::positions::{PackedPositions, Wanted};
use super::walk::{PackedPlace, PackedWalk};
use crate::config::{ConfigError, QueueArea, QueueConfig};
use crate::error::{ChainError, FatalError};
use crate::head::Head;
use crate::notify::Armed;
use crate::ring::{FromConfig, Ring, ServeChain};
use crate::rules::PackedLimits;
use crate::walk::Element;

/// A packed ring: three proved areas, and the negotiated features.
#[derive(Debug)]
pub struct PackedRing<M> {
    pub(super) descriptors: Descriptors<M>,
    pub(super) driver_area: DriverArea<M>,
    pub(super) device_area: DeviceArea<M>,
    pub(super) features: RingFeatures,
    pub(super) config: QueueConfig,
}

impl<M: StableMem> PackedRing<M> {
    pub(super) fn event_idx(&self) -> bool {
        self.features.contains(RingFeatures::EVENT_IDX)
    }

    /// Reads the next descriptor, and returns its Buffer ID and flags if it is available.
    ///
    /// It reads no other descriptor, because the driver makes descriptors available in the order of the ring
    /// (PACK-WRAP-6, PACK-WRAP-8). A descriptor with other flags is not used (PACK-DESC-3, HOST-18). If lists were put
    /// back, `next` is the position behind those.
    #[inline]
    fn look(&self, next: RingPosition) -> Result<Option<First>, FatalError> {
        let first = self.descriptors.area.first(next)?;
        Ok(Some(first).filter(|(_, flags)| flags.is_available(next.wrap())))
    }

    /// Asks for a notification of the descriptor at `position`, then looks for that descriptor again.
    ///
    /// The request is stored before the flags are loaded, and the driver stores the flags before it loads the request.
    /// Each side has a full fence between the two accesses. So at least one side sees the value that the other stored
    /// (BAR-6, INV-11). Release and acquire are not enough: they let a load pass an earlier store.
    fn arm(&self, positions: &mut PackedPositions, position: RingPosition) -> Result<Option<First>, FatalError> {
        let wanted = self.everything_from(position);
        self.ask_for(wanted)?;
        positions.wanted = wanted;
        fence(Ordering::SeqCst);
        self.look(position)
    }

    /// Returns the positions of a ring where both sides are at `position` and the driver was asked to notify.
    pub(super) fn at(&self, position: RingPosition) -> PackedPositions {
        PackedPositions {
            next_available: position,
            next_used: position,
            unpublished: None,
            unpublished_slots: 0,
            lost: 0,
            wanted: self.everything_from(position),
        }
    }

    /// Returns the notifications to ask for, so that the descriptor at `position` and later ones are not missed.
    fn everything_from(&self, position: RingPosition) -> Wanted {
        if self.event_idx() { Wanted::Descriptor(position) } else { Wanted::Everything }
    }

    /// Tells the driver which notifications are wanted.
    fn ask_for(&self, wanted: Wanted) -> Result<(), AreaError> {
        self.device_area.set_event_suppression(EventSuppression::new(match wanted {
            Wanted::Descriptor(position) => NotificationMode::Descriptor(position.off_wrap()),
            Wanted::Everything => NotificationMode::Enable,
            Wanted::Nothing => NotificationMode::Disable,
        }))
    }

    /// Looks for the next descriptor. If it is not available and notifications are enabled, asks for a notification of
    /// it. The last request was for a descriptor that was fetched since.
    #[inline(never)]
    pub(super) fn look_and_arm(
        &self,
        mut positions: PackedPositions,
    ) -> Result<(PackedPositions, Option<First>), FatalError> {
        let first = match positions.wanted {
            Wanted::Descriptor(position) if position != positions.next_available => {
                let next = positions.next_available;
                self.arm(&mut positions, next)?
            }
            _ => None,
        };
        Ok((positions, first))
    }

    /// Returns the number of slots that the driver can have made available: those that are not in flight. For the
    /// driver, a list is in flight until it is published as used.
    #[inline]
    pub(super) fn room(&self, positions: &PackedPositions, in_flight: u16) -> u16 {
        self.descriptors
            .size
            .get()
            .saturating_sub(in_flight)
            .saturating_sub(positions.unpublished_slots + positions.lost)
    }

    /// Returns the Buffer ID of the next available list and the number of its slots, if there is one.
    #[inline(always)]
    pub(super) fn next_list(
        &self,
        positions: &mut PackedPositions,
        room: u16,
    ) -> Result<Option<(BufferId, u16)>, FatalError> {
        let start = positions.next_available;
        let mut first = self.look(start)?;
        if first.is_none() {
            (*positions, first) = self.look_and_arm(*positions)?;
        }
        let Some(first) = first else { return Ok(None) };
        let (id, slots) = self.list(start, first)?;
        // HOST-5, DRV-PSG-3: more slots than are free.
        if slots > room {
            let size = self.descriptors.size.get();
            return Err(FatalError::Oversubscribed { available: slots, in_flight: size - room, size });
        }
        positions.next_available = start.advanced(slots, self.descriptors.size);
        Ok(Some((id, slots)))
    }

    /// Returns the Buffer ID of the list that begins at `start` with `first`, and the number of its slots.
    #[inline(always)]
    fn list(&self, start: RingPosition, (id, flags): First) -> Result<(BufferId, u16), FatalError> {
        if flags.contains(DescriptorFlags::NEXT) { self.measure(start) } else { Ok((id, 1)) }
    }

    /// Marks a list as used.
    ///
    /// Its slot is the one behind the list that was completed before: the order is that of completion (PACK-WRAP-9).
    #[inline(always)]
    pub(super) fn complete_list(
        &self,
        positions: &mut PackedPositions,
        id: BufferId,
        slots: u16,
        written: u32,
    ) -> Result<(), AreaError> {
        let position = positions.next_used;
        let used = UsedDescriptor::new(id, written, position.wrap());
        if positions.unpublished.is_some() {
            self.descriptors.area.set_used(position, used)?;
        } else {
            positions.unpublished = Some((position, used));
        }
        positions.next_used = position.advanced(slots, self.descriptors.size);
        positions.unpublished_slots += slots;
        Ok(())
    }

    /// Follows the list that begins at `start` to its end, and returns its Buffer ID and the number of its slots.
    ///
    /// The driver makes the first descriptor available last, so the others are complete (PACK-SG-6). Their wrap bits do
    /// not tell where the list ends, and are ignored.
    fn measure(&self, start: RingPosition) -> Result<(BufferId, u16), FatalError> {
        let (size, start) = (self.descriptors.size.get(), start.slot());
        for slot in start + 1..size {
            let (id, flags) = self.descriptors.area.later(slot)?;
            if !flags.contains(DescriptorFlags::NEXT) {
                return Ok((id, slot - start + 1));
            }
        }
        for slot in 0..start {
            let (id, flags) = self.descriptors.area.later(slot)?;
            if !flags.contains(DescriptorFlags::NEXT) {
                return Ok((id, size - start + slot + 1));
            }
        }
        Err(FatalError::EndlessList { size })
    }
}

/// The Buffer ID and the flags of the first descriptor of a list.
type First = (BufferId, DescriptorFlags);

impl<M: StableMem> FromConfig for PackedRing<M> {
    fn from_config(config: &QueueConfig, mem: M) -> Result<Self, ConfigError> {
        if !config.features.contains(RingFeatures::RING_PACKED) {
            return Err(ConfigError::Format { packed: false });
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
                size,
                limits: PackedLimits::new(config),
            },
            driver_area: driver_area.map_err(failed(QueueArea::Driver))?,
            device_area: device_area.map_err(failed(QueueArea::Device))?,
            features: config.features,
            config: *config,
        })
    }
}

impl<M: StableMem> Ring for PackedRing<M> {
    type Mem = M;
    type Positions = PackedPositions;
    type Walk<'r>
        = PackedWalk<'r, M>
    where
        M: 'r;
    type Place = PackedPlace;

    #[inline]
    fn mem(&self) -> &M {
        self.descriptors.mem()
    }

    #[inline]
    fn size(&self) -> u16 {
        self.descriptors.size.get()
    }

    fn activate(&self) -> Result<PackedPositions, FatalError> {
        let positions = self.at(RingPosition::START);
        self.ask_for(positions.wanted)?;
        // As in `arm`, the request is stored before the ring is read for the first time.
        fence(Ordering::SeqCst);
        Ok(positions)
    }

    #[inline(always)]
    fn fetch(&self, positions: &mut PackedPositions, in_flight: u16) -> Result<Option<Head>, FatalError> {
        let start = positions.next_available;
        let list = self.next_list(positions, self.room(positions, in_flight))?;
        Ok(list.map(|(id, slots)| Head::new(id.0, start.off_wrap().bits(), slots)))
    }

    fn unfetch(&self, positions: &mut PackedPositions, head: Head) -> Result<bool, FatalError> {
        let start = RingPosition::from_off_wrap(OffWrap::from_bits(head.first()), self.descriptors.size);
        let last =
            start.filter(|start| start.advanced(head.slots(), self.descriptors.size) == positions.next_available);
        let Some(start) = last else { return Ok(false) };
        // A used descriptor can have been written over a chain of an earlier process.
        let Some(first) = self.look(start)? else { return Ok(false) };
        let is_there = self.list(start, first)? == (BufferId(head.id()), head.slots());
        if is_there {
            positions.next_available = start;
        }
        Ok(is_there)
    }

    #[inline(always)]
    fn walk(&self, head: Head) -> PackedWalk<'_, M> {
        PackedWalk::new(&self.descriptors, BufferId(head.id()), OffWrap::from_bits(head.first()).offset(), head.slots())
    }

    #[inline(always)]
    fn start(&self, head: Head) -> PackedPlace {
        let first = OffWrap::from_bits(head.first()).offset();
        PackedPlace::before(&self.descriptors.limits.plain, BufferId(head.id()), first, head.slots())
    }

    #[inline(always)]
    fn next_element(&self, place: &mut PackedPlace) -> Option<Result<Element, ChainError>> {
        place.step(&self.descriptors)
    }

    /// The driver reads used descriptors in order, and stops at the first one that is not used. So the later ones are
    /// written immediately, and writing the first one publishes them all (PACK-MB-1).
    #[inline(always)]
    fn complete(&self, positions: &mut PackedPositions, head: Head, written: u32) -> Result<bool, FatalError> {
        self.complete_list(positions, BufferId(head.id()), head.slots(), written)?;
        Ok(true)
    }

    #[inline(always)]
    fn serve(
        &self,
        positions: &mut PackedPositions,
        in_flight: u16,
        limit: usize,
        work: impl ServeChain,
    ) -> Result<usize, FatalError> {
        self.serve_chains(positions, in_flight, limit, work)
    }

    #[inline(always)]
    fn serve_one(
        &self,
        positions: &mut PackedPositions,
        in_flight: u16,
        work: impl ServeChain,
    ) -> Result<Option<bool>, FatalError> {
        self.serve_one_list(positions, in_flight, work)
    }

    #[inline(always)]
    fn gather<'m, P: DriverMem + ?Sized>(
        &self,
        positions: &mut PackedPositions,
        in_flight: u16,
        limit: usize,
        mem: &'m P,
        access: Access,
        take: impl FnMut(Head, DriverAddr, DeviceRange<'m>),
    ) -> Result<u16, FatalError> {
        self.gather_chains(positions, in_flight, limit, mem, access, take)
    }

    #[inline(always)]
    fn complete_all(
        &self,
        positions: &mut PackedPositions,
        heads: impl Iterator<Item = (Head, u32)>,
        _refuse: impl FnMut(Head),
    ) -> Result<(), FatalError> {
        self.complete_chains(positions, heads)
    }

    #[inline(always)]
    fn publish(&self, positions: &mut PackedPositions) -> Result<bool, FatalError> {
        let count = core::mem::take(&mut positions.unpublished_slots);
        let Some((position, used)) = positions.unpublished.take() else { return Ok(false) };
        self.descriptors.area.set_used(position, used)?;
        // The flags are stored before the driver's request is loaded, and the driver stores its request before it reads
        // the ring again. Each side has a full fence between the two accesses. So at least one side sees the value that
        // the other stored (BAR-7).
        fence(Ordering::SeqCst);
        Ok(match self.driver_area.event_suppression()?.mode(self.event_idx()) {
            NotificationMode::Enable => true,
            NotificationMode::Disable => false,
            NotificationMode::Descriptor(event) => {
                packed_crossed(self.descriptors.size, event, positions.next_used.off_wrap(), count.into())
            }
        })
    }

    fn suppress_notifications(&self, positions: &mut PackedPositions) -> Result<(), FatalError> {
        self.ask_for(Wanted::Nothing)?;
        positions.wanted = Wanted::Nothing;
        Ok(())
    }

    fn enable_notifications(&self, positions: &mut PackedPositions) -> Result<Armed, FatalError> {
        self.enable_notifications_of_more(positions, 0)
    }

    fn enable_notifications_of_more(
        &self,
        positions: &mut PackedPositions,
        unfetched: u16,
    ) -> Result<Armed, FatalError> {
        let next = positions.next_available.advanced(unfetched, self.descriptors.size);
        Ok(if self.arm(positions, next)?.is_some() { Armed::MoreAvailable } else { Armed::Waiting })
    }
}
