//! Memory that comes and goes, and all else that makes a driver or QEMU set devices up anew, while the guest works.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::json;

use super::rig::{Rig, Root, Servers};
use super::system::System;
use super::worker::{Setup, Worker};
use crate::extent::Extent;
use crate::matrix::Row;

/// A module of memory in MiB, and how many of them there are.
const DIMM_SIZE: u64 = 128;
const DIMMS: usize = 2;

/// How often the guest is stopped, and for how long, and how long it works in between.
const STOPS: u32 = 3;
const STOP: Duration = Duration::from_millis(300);

/// How often the guest may refuse to give a module back. It works in between.
const REFUSALS: u32 = 10;

/// How long the guest may take to find a new module.
const PATIENCE: Duration = Duration::from_secs(60);

const WITH_SLOTS: Setup<'static> = Setup { place: 0, memory: "256,slots=4,maxmem=1G", socket: "", options: &[] };

/// Something that happens to a guest.
type Event = fn(&mut Worker<'_>) -> Result<()>;

/// All that happens, in this order, and what it is called.
const EVENTS: [(&str, Event); 5] = [
    ("memory plugged in", plug_in),
    ("guest stopped", stop),
    ("memory pulled out", pull_out),
    ("driver unbound", rebind),
    ("guest reset", reset),
];

/// Lets all of it happen to a guest, in each format, and returns whether nothing was lost.
pub(crate) fn run(extent: &Extent) -> Result<bool> {
    let (system, servers) = (System::prepare()?, Servers::prepare(extent)?);
    let mut passed = true;
    for &features in servers.formats() {
        let row =
            Row { driver: "Linux", device: servers.both(), features, about: "memory, stop, unbind, reset".into() };
        let result = Rig::with_both(&system, &servers, features, Root::Memory);
        passed &= row.report(&result.and_then(|rig| change(&rig)));
    }
    Ok(passed)
}

/// Returns the number of requests that a guest has made since it was reset.
fn change(rig: &Rig<'_>) -> Result<u64> {
    let _back_ends = (rig.start_disk(0)?, rig.start_net(0)?);
    let mut worker = Worker::start(rig, &WITH_SLOTS)?;
    worker.load()?;
    worker.begin()?;
    worker.advance()?;
    for (name, event) in EVENTS {
        event(&mut worker).with_context(|| format!("'{name}'"))?;
        worker.advance().with_context(|| format!("after '{name}'"))?;
    }
    worker.finish()
}

fn plug_in(worker: &mut Worker<'_>) -> Result<()> {
    for dimm in 0..DIMMS {
        let before = worker.number("memory")?;
        let memory = json!({
            "qom-type": "memory-backend-memfd", "id": format!("memory{dimm}"), "size": DIMM_SIZE << 20, "share": true,
        });
        worker.monitor.execute("object-add", &memory)?;
        let device = json!({ "driver": "pc-dimm", "id": format!("dimm{dimm}"), "memdev": format!("memory{dimm}") });
        worker.monitor.execute("device_add", &device)?;
        wait_for_memory(worker, before)?;
    }
    Ok(())
}

/// Waits until there is another module. The kernel keeps a little of it for itself.
fn wait_for_memory(worker: &mut Worker<'_>, before: u64) -> Result<()> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let now = worker.number("memory")?;
        if now >= before + DIMM_SIZE * 3 / 4 {
            return Ok(());
        }
        ensure!(Instant::now() < deadline, "the guest has {now} MiB after {before} MiB and another {DIMM_SIZE} MiB");
        thread::sleep(Duration::from_millis(200));
    }
}

fn pull_out(worker: &mut Worker<'_>) -> Result<()> {
    for dimm in 0..DIMMS {
        let id = format!("dimm{dimm}");
        let mut refusals = 0;
        while !is_given_back(worker, &id)? {
            refusals += 1;
            ensure!(refusals < REFUSALS, "the guest refuses {REFUSALS} times to give '{id}' back");
            worker.advance()?;
        }
        worker.monitor.execute("object-del", &json!({ "id": format!("memory{dimm}") }))?;
    }
    Ok(())
}

/// Asks for a module, and returns whether the guest gives it back, which it need not.
fn is_given_back(worker: &mut Worker<'_>, id: &str) -> Result<bool> {
    worker.monitor.execute("device_del", &json!({ "id": id }))?;
    let events = ["DEVICE_DELETED", "MEM_UNPLUG_ERROR", "DEVICE_UNPLUG_GUEST_ERROR"];
    Ok(worker.monitor.event(&events, id)? == "DEVICE_DELETED")
}

fn stop(worker: &mut Worker<'_>) -> Result<()> {
    for _ in 0..STOPS {
        worker.monitor.execute("stop", &json!({}))?;
        thread::sleep(STOP);
        worker.monitor.execute("cont", &json!({}))?;
        thread::sleep(STOP);
    }
    Ok(())
}

fn rebind(worker: &mut Worker<'_>) -> Result<()> {
    worker.rest()?;
    worker.check_complaints()?;
    worker.answer("rebind_disk", "rebound")?;
    worker.rebind_net()?;
    worker.begin()
}

fn reset(worker: &mut Worker<'_>) -> Result<()> {
    worker.monitor.execute("set-action", &json!({ "reboot": "reset" }))?;
    worker.monitor.execute("system_reset", &json!({}))?;
    worker.load()?;
    worker.begin()
}
