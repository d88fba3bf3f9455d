#!/bin/busybox sh
# The first process of the guest. The kernel's parameter `task` names a function, which does what is to be done. What is
# meant for the host is in lines with a mark. If anything fails, this process ends, and the guest with it.

/bin/busybox --install -s /bin
mount -t devtmpfs none /dev
mount -t proc none /proc
mount -t sysfs none /sys
exec < /dev/null > /dev/ttyS0 2>&1
set -eux -o pipefail

say() {
    echo "@@ $*"
}

# One hash of the hashes and the names of all files in a directory.
hash_all() {
    (cd "$1" && sha256sum -- *) | hash
}

hash() {
    sha256sum | cut -d ' ' -f 1
}

load() {
    modprobe virtio_pci
    modprobe "$1"
    say features "$(cat /sys/bus/virtio/devices/virtio0/features)"
}

# The number of queues with this name that the device has sent an interrupt for, which both processors have counted.
queues() {
    awk -v name="virtio0-$1" 'index($0, name) && $2 + $3 > 0' /proc/interrupts | wc -l
}

blk() {
    load virtio_blk
    say disk "$(dd if=/dev/vda bs=256k iflag=direct | hash)"
    mount -t ext4 /dev/vda /mnt
    say host-files "$(hash_all /mnt/host)"
    say guest-files "$(hash_all /mnt/guest)"
    rm /mnt/guest/*
    fstrim /mnt
    # One writer on each processor, so that each queue has its share.
    taskset 1 dd if=/dev/urandom of=/mnt/guest/small bs=4k count=300 oflag=direct &
    taskset 2 dd if=/dev/urandom of=/mnt/guest/large bs=1M count=2 oflag=direct &
    wait
    dd if=/mnt/guest/large of=/mnt/guest/cached bs=100k
    sync
    echo 3 > /proc/sys/vm/drop_caches
    say guest-files "$(hash_all /mnt/guest)"
    umount /mnt
    say unmounted
    say queues "$(queues req)"
    # Reads, writes, discards and flushes.
    say requests "$(awk '{ print $1 + $5 + $12 + $16 }' /sys/block/vda/stat)"
}

# Reads and writes until the guest is killed.
blk_busy() {
    load virtio_blk
    mount -t ext4 /dev/vda /mnt
    while dd if=/dev/vda of=/dev/null bs=64k iflag=direct; do true; done 2> /dev/null &
    dd if=/dev/zero of=/mnt/busy bs=16k count=100 conv=fsync
    say busy
    while dd if=/dev/zero of=/mnt/busy bs=16k count=100 conv=fsync; do true; done 2> /dev/null
}

"$task"
say done
reboot -f
