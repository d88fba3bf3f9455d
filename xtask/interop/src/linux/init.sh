#!/bin/busybox sh
# The first process of the guest. The kernel's parameter `task` names a function, which does what is to be done. What is
# meant for the host is in lines with a mark. If anything fails, the guest ends.

/bin/busybox --install -s /bin
mount -t devtmpfs none /dev
mount -t proc none /proc
mount -t sysfs none /sys
exec < /dev/null > /dev/ttyS0 2>&1
set -eux -o pipefail
trap 'reboot -f' EXIT

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
    taskset 2 dd if=/dev/urandom of=/mnt/guest/large bs=1M count=2 oflag=direct
    wait $!
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

set_up_network() {
    load virtio_net
    ip address add 192.0.2.2/24 dev eth0
    ip link set eth0 up
}

net() {
    set_up_network
    nc 192.0.2.1 7001 > /tmp/fetched
    say fetched "$(hash < /tmp/fetched)"
    base64 /tmp/fetched > /tmp/sent
    # In both directions at once, on both processors, so that each pair of queues has its share.
    taskset 1 nc 192.0.2.1 7002 < /tmp/sent &
    taskset 2 nc 192.0.2.1 7001 > /tmp/fetched
    wait $!
    say fetched "$(hash < /tmp/fetched)"
    say sent "$(hash < /tmp/sent)"
    say queues "$(ls -d /sys/class/net/eth0/queues/rx-* | wc -l)"
    say requests $(($(cat /sys/class/net/eth0/statistics/rx_packets) + $(cat /sys/class/net/eth0/statistics/tx_packets)))
}

# Sends and receives until the guest is killed.
net_busy() {
    set_up_network
    while taskset 1 nc 192.0.2.1 7001 > /dev/null; do true; done &
    nc 192.0.2.1 7001 > /dev/null
    say busy
    while cat /dev/zero | taskset 2 nc 192.0.2.1 7002; do true; done
}

rng() {
    load virtio-rng
    test "$(cat /sys/class/misc/hw_random/rng_current)" = virtio_rng.0
    head -c 200000 /dev/hwrng > /tmp/random
    # Nothing that could be made shorter.
    test "$(gzip < /tmp/random | wc -c)" -gt 200000
    say random
    say queues "$(queues input)"
    say requests "$(awk '/virtio0-input/ { print $2 + $3 }' /proc/interrupts)"
}

# Reads until the guest is killed.
rng_busy() {
    load virtio-rng
    head -c 2000 /dev/hwrng > /dev/null
    say busy
    cat /dev/hwrng > /dev/null
}

"$task"
say done
