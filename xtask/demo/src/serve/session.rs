//! A block device on one thread, and a driver of it on another.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::thread;

use anyhow::{Context, Result, anyhow};
use virtio_drivers::transport::DeviceStatus;
use virtio_examples::blk::{BlockDevice, DeviceId, Storage};
use virtio_examples::{Device, Served};
use virtio_mem_traits::DriverAddr;
use virtio_queue_core::{Armed, QueueConfig, RingFeatures, SplitQueue};

use super::disk::Disk;
use super::doorbell::{Doorbell, Doorbells};
use super::shared_memory::SharedMemory;
use super::transport::{MAX_QUEUE_SIZE, Setup, ThreadTransport};

/// The features of the queue that the device offers.
const RING_FEATURES: RingFeatures =
    RingFeatures::VERSION_1.union(RingFeatures::INDIRECT_DESC).union(RingFeatures::EVENT_IDX);

/// What the device saw of a session.
#[derive(Default)]
pub(super) struct Report {
    /// The features that were negotiated.
    pub(super) features: u64,
    pub(super) requests: u64,
    pub(super) bytes: u64,
    /// Notifications of the device by the driver.
    pub(super) kicks: u64,
    /// Notifications of the driver by the device.
    pub(super) notifications: u64,
}

/// Serves `storage` on a thread of its own while `drive` uses the disk on this one.
///
/// # Errors
///
/// If either side fails. Neither can go on without the other, so both have ended in any case.
pub(super) fn with_disk<S: Storage + Send, T>(
    storage: S,
    drive: impl FnOnce(&mut Disk) -> Result<T>,
) -> Result<(T, Report)> {
    let device = BlockDevice::new(storage, DeviceId::new("xtask-demo").context("a name of 10 letters")?);
    let bells = Arc::new(Doorbells::default());
    let (ready, setup) = channel();
    let offered = RING_FEATURES.bits() | device.features();
    let transport = ThreadTransport {
        offered,
        config: device.config(MAX_QUEUE_SIZE),
        status: DeviceStatus::empty(),
        setup: Setup::default(),
        ready,
        bells: Arc::clone(&bells),
    };
    let (driven, served) = thread::scope(|scope| {
        let served = scope.spawn({
            let bells = &bells;
            move || {
                let _closing = Closing(&bells.notifications);
                serve(device, offered, &setup, bells)
            }
        });
        let driven = Disk::new(transport, Arc::clone(&bells)).and_then(|mut disk| drive(&mut disk));
        (driven, served.join())
    });
    // Where the device failed, that is why the driver did too.
    let report = served.map_err(|_| anyhow!("the device panicked"))?.context("the device failed")?;
    let report = Report { kicks: bells.kicks.rings(), notifications: bells.notifications.rings(), ..report };
    Ok((driven?, report))
}

/// Closes a doorbell when its thread ends, in whichever way.
struct Closing<'d>(&'d Doorbell);

impl Drop for Closing<'_> {
    fn drop(&mut self) {
        self.0.close();
    }
}

/// The device's thread: answers requests from when the driver is ready until it has unset its queue.
fn serve<S: Storage>(
    mut device: BlockDevice<S>,
    offered: u64,
    setup: &Receiver<Setup>,
    bells: &Doorbells,
) -> Result<Report> {
    let Ok(Setup { features, queue }) = setup.recv() else {
        // The driver has failed before it was ready, and says so itself.
        return Ok(Report::default());
    };
    device.accept(features);
    let addresses = queue.context("the driver has set up no queue")?;
    let (size, ring_features) = (addresses.size.try_into()?, RingFeatures::from_accepted(offered, features)?);
    let areas = [addresses.descriptor_area, addresses.driver_area, addresses.device_area].map(DriverAddr);
    let mut config = QueueConfig::new(size, ring_features, areas[0], areas[1], areas[2]);
    config.limits.queue_size = MAX_QUEUE_SIZE;
    let mut queue = SplitQueue::new(&config, SharedMemory::for_device(), &bells.notifications)?;
    let mut report = Report { features, ..Report::default() };
    while bells.kicks.wait() {
        queue.suppress_notifications();
        loop {
            let Served { requests, bytes, pending, .. } = device.serve(&mut queue, MAX_QUEUE_SIZE.into())?;
            report.requests += u64::from(requests);
            report.bytes += bytes;
            if !pending && queue.enable_notifications()? == Armed::Waiting {
                break;
            }
        }
    }
    Ok(report)
}
