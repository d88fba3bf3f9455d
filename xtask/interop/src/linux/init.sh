#!/bin/busybox sh
# The first process of the guest. The kernel's parameter `task` names a function, which does what is to be done. What is
# meant for the host is in lines with a mark. If anything fails, the guest ends. With `system=disk`, the system is also
# on the disk, and what is in memory only mounts that and goes.

/bin/busybox --install -s /bin
mount -t devtmpfs none /dev
mount -t proc none /proc
mount -t sysfs none /sys
exec < /dev/null > /dev/ttyS0 2>&1
set -eux -o pipefail
trap 'reboot -f' EXIT

if test "${system:-memory} ${1:-begins}" = "disk begins"; then
    modprobe virtio_pci
    modprobe virtio_blk
    mount -t ext4 /dev/vda /mnt
    exec switch_root /mnt /init goes-on
fi
# Nothing that is written there is to be on the disk.
test "${system:-memory}" = memory || mount -t tmpfs none /tmp

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

# Loads the driver of a device, which is the first one unless it is named.
load() {
    modprobe virtio_pci
    modprobe "$1"
    say features "$(cat "/sys/bus/virtio/devices/${2:-virtio0}/features")"
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
    load virtio_net "$@"
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
    counted=/sys/class/net/eth0/statistics
    say requests $(($(cat $counted/rx_packets) + $(cat $counted/tx_packets)))
}

# Sends to the host, and receives from it after that, until the host ends the connection.
net_flows() {
    set_up_network
    sockets send 192.0.2.1:7003
    sockets receive 192.0.2.1:7003
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

# The second time, after the device was taken away from its driver while sockets were used, and given back.
vsock() {
    load vmw_vsock_virtio_transport
    sockets exchange
    sockets busy > /tmp/busy 2>&1 &
    busy=$!
    until grep -q busy /tmp/busy; do
        sleep 0.2
    done
    echo virtio0 > /sys/bus/virtio/drivers/vmw_vsock_virtio_transport/unbind
    # Its connections are gone, and so it ends.
    wait "$busy" || true
    echo virtio0 > /sys/bus/virtio/drivers/vmw_vsock_virtio_transport/bind
    sockets exchange
    say queues "$(queues rx)"
    say requests "$(awk '/virtio0-[rt]x/ { sum += $2 + $3 } END { print sum }' /proc/interrupts)"
}

# Sends and receives until the guest is killed.
vsock_busy() {
    load vmw_vsock_virtio_transport
    sockets busy
}

# Does one thing after the other that the host asks for, until it asks for the end.
obey() {
    stty -F /dev/ttyS0 -echo
    exec 3< /dev/ttyS0
    echo online_movable > /sys/devices/system/memory/auto_online_blocks
    head -c 4194304 /dev/urandom > /tmp/content
    workers=
    # With the type of what is mounted there.
    say ready "$(awk '$2 == "/" { type = $3 } END { print type }' /proc/mounts)"
    while read -r request <&3 && test "$request" != end; do
        # With its arguments.
        $request
    done
}

# Repeats something in the background, each time with the number of the round, and counts the rounds.
work() {
    touch /tmp/busy "/tmp/rounds-$1-$2"
    (
        set +x
        exec 2> "/tmp/errors-$1-$2"
        trap 'test ! -e /tmp/busy || touch /tmp/failed' EXIT
        round=0
        while test -e /tmp/busy; do
            "$@" $round
            round=$((round + 1))
            echo >> "/tmp/rounds-$1-$2"
        done
    ) &
    workers="$workers $!"
}

# The number of rounds that all workers have done.
rounds() {
    wc -l /tmp/rounds-* | awk '$2 != "total" { print $1 }' | sort -n | head -n 1
}

# Waits until all workers have done two more rounds.
advance() {
    set +x
    goal=$(($(rounds) + 2))
    while test "$(rounds)" -lt $goal; do
        test ! -e /tmp/failed || fail
        sleep 0.2
    done
    set -x
    say advanced
}

# Lets the workers end.
rest() {
    rm /tmp/busy
    for worker in $workers; do
        wait "$worker" || fail
    done
    workers=
    rm /tmp/rounds-* /tmp/errors-*
    say rested
}

fail() {
    tail -n 4 /tmp/errors-*
    exit 1
}

# Starts those who work on the disk: on the file system, behind it with short and long requests, and all over it.
use_disk() {
    mount -t ext4 /dev/vda /mnt
    rm -f /mnt/guest/*
    work file on disk
    work raw 26 4
    work raw 28 64
    work scan disk
    work cache "$(hash_all /mnt/host)"
}

# Makes a file with another mebibyte of random content each round.
fill() {
    dd if=/tmp/content of="$1" bs=4k skip=$(($2 * 7 % 768)) count=256
}

# Writes one of four files, and reads it back.
file() {
    fill /tmp/file "$3"
    dd if=/tmp/file of="/mnt/guest/$(($3 % 4))" bs=16k conv=fsync
    dd if="/mnt/guest/$(($3 % 4))" bs=16k iflag=direct | cmp - /tmp/file
}

# Writes a mebibyte behind so many, in blocks of so many KiB, and reads it back.
raw() {
    fill "/tmp/raw-$1" "$3"
    dd if="/tmp/raw-$1" of=/dev/vda bs="$2k" seek=$(($1 * 1024 / $2)) oflag=direct
    dd if=/dev/vda bs="$2k" skip=$(($1 * 1024 / $2)) count=$((1024 / $2)) iflag=direct | cmp - "/tmp/raw-$1"
}

# Lets the device write to the pages of files, and looks at these pages afterwards.
cache() {
    echo 1 > /proc/sys/vm/drop_caches
    cat /mnt/host/* > /dev/null
    test "$(hash_all /mnt/host)" = "$1"
}

scan() {
    dd if=/dev/vda of=/dev/null bs=256k iflag=direct
}

# What the disk has, which nobody uses any more.
check_disk() {
    sync
    echo 3 > /proc/sys/vm/drop_caches
    say host-files "$(hash_all /mnt/host)"
    say guest-files "$(hash_all /mnt/guest)"
    umount /mnt
    test "${system:-memory}" = memory || mount -o remount,ro /
    say disk "$(dd if=/dev/vda bs=256k iflag=direct | hash)"
    # Reads, writes, discards and flushes.
    say requests "$(awk '{ print $1 + $5 + $12 + $16 }' /sys/block/vda/stat)"
}

# The number of lines in which the kernel finds fault with the disk.
complaints() {
    say complaints "$(dmesg | awk '/I\/O error|EXT4-fs (error|warning)|not a head|blocked for more/' | wc -l)"
}

# Starts those who use the network: they fetch what has this hash, and send it back.
use_net() {
    nc 192.0.2.1 7001 > /tmp/fetched
    work fetch "$1"
    work send net
}

fetch() {
    test "$(nc 192.0.2.1 7001 | hash)" = "$1"
}

send() {
    nc 192.0.2.1 7002 < /tmp/fetched
}

# Takes the disk away from its driver while requests are under way, and gives it back. Whoever reads finds the end of
# the disk then, and whoever writes cannot go on.
rebind_disk() {
    umount /mnt
    # They go on until there is no disk any more.
    while [ -b /dev/vda ] && dd if=/dev/vda of=/dev/null bs=512 iflag=direct; do true; done &
    reader=$!
    while [ -b /dev/vda ] && dd if=/dev/zero of=/dev/vda bs=512 seek=49152 count=16384 oflag=direct; do true; done &
    writer=$!
    until awk '{ exit $1 + $2 == 0 }' /sys/block/vda/inflight; do true; done
    echo virtio0 > /sys/bus/virtio/drivers/virtio_blk/unbind
    wait "$reader" "$writer"
    # Where the writer was between two turns, it has made a file of that name.
    rm -f /dev/vda
    echo virtio0 > /sys/bus/virtio/drivers/virtio_blk/bind
    say rebound
}

# The same with the network, in which nobody learns that it is gone.
rebind_net() {
    while nc 192.0.2.1 7001 > /dev/null; do true; done &
    fetcher=$!
    sleep 0.3
    echo virtio1 > /sys/bus/virtio/drivers/virtio_net/unbind
    # It ends by itself if it notices.
    kill "$fetcher" || true
    killall nc || true
    wait "$fetcher" || true
    echo virtio1 > /sys/bus/virtio/drivers/virtio_net/bind
    set_up_network virtio1
    say rebound
}

# The memory in MiB.
memory() {
    say memory "$(awk '/MemTotal/ { print int($2 / 1024) }' /proc/meminfo)"
}

"$task"
say done
