//! QEMU's back end for disks, which is a peer of `vhost-user-blk`.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result};

use super::back_end::BackEnd;

/// Starts `qemu-storage-daemon`, which serves `disk` on a thread that polls for a while before it waits.
pub(crate) fn start(socket: PathBuf, disk: &str) -> Result<BackEnd> {
    let mut command = Command::new("qemu-storage-daemon");
    command.args(["--object", "iothread,id=thread", "--blockdev", disk, "--export"]);
    command.arg(format!(
        "type=vhost-user-blk,id=export,node-name=disk,writable=on,iothread=thread,addr.type=unix,addr.path={}",
        socket.display()
    ));
    // It greets as soon as it has done all that comes before.
    command.args(["--chardev", "stdio,id=monitor", "--monitor", "chardev=monitor"]);
    BackEnd::spawn(command, socket, "{\"QMP\"")
        .context("qemu-storage-daemon is in the packages qemu-utils or qemu-system-common")
}
