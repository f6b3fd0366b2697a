#!/bin/bash
# Masthead on a real cgroup v2 system: Debian with its cloud kernel, systemd and Docker, booted under qemu.
#
#   tests/qemu-cgroup-v2.sh check target/release/masthead     runs it inside against real containers, both cgroup drivers in turn
#   tests/qemu-cgroup-v2.sh service target/release/masthead   takes `masthead service` through its life there, beside a real engine
#   tests/qemu-cgroup-v2.sh record DIR                        records both trees as fixtures: DIR/cgroup-v2-{systemd,cgroupfs}.txt
#   tests/qemu-cgroup-v2.sh clean                             deletes the system that the first use built
#
# Wants root, qemu-system-x86, debootstrap, and about 2 GB below MASTHEAD_VM_DIR (/var/tmp/masthead-cgroup-v2). Packages come from the
# mirror that this machine's apt is configured with. Where there is no KVM the processor is emulated: that takes some ten minutes.
#
# The root disk is opened with -snapshot, so each boot begins with the system as built. What goes in and what comes out travels as a
# tar archive that lies bare on a disk of its own.
set -euo pipefail

HERE=$(cd "$(dirname "$0")" && pwd)
WORK=${MASTHEAD_VM_DIR:-/var/tmp/masthead-cgroup-v2}
SUITE=bookworm
# Boot and both drivers; the emulated processor is ten to twenty times slower than a real one.
MINUTES=${MASTHEAD_VM_MINUTES:-40}

die() {
    echo "qemu-cgroup-v2: $*" >&2
    exit 1
}

need() {
    command -v "$1" >/dev/null || die "$1 is missing: apt-get install $2"
}

# The system, built once.
build() {
    if [ -e "$WORK/root.img" ]; then
        return
    fi
    [ "$(id -u)" = 0 ] || die "debootstrap and chroot want root"
    need debootstrap debootstrap
    need mke2fs e2fsprogs
    local mirror root=$WORK/root
    mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' "Suite: $SUITE" | head -n 1)
    [ -n "$mirror" ] || mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' "Codename: $SUITE" | head -n 1)
    [ -n "$mirror" ] || die "apt on this machine knows no mirror with Debian $SUITE"
    rm -rf "$root"
    mkdir -p "$root"
    echo "==> debootstrap $SUITE"
    debootstrap --variant=minbase --include=systemd-sysv,dbus,udev "$SUITE" "$root" "$mirror" >"$WORK/build.log" 2>&1 ||
        die "debootstrap failed, see $WORK/build.log"
    echo "==> kernel and Docker"
    # No service may start inside the chroot.
    printf '#!/bin/sh\nexit 101\n' >"$root/usr/sbin/policy-rc.d"
    chmod 755 "$root/usr/sbin/policy-rc.d"
    mount -t proc proc "$root/proc"
    local failed=0
    DEBIAN_FRONTEND=noninteractive chroot "$root" apt-get install -y --no-install-recommends \
        linux-image-cloud-amd64 zstd docker.io iptables ca-certificates curl jq busybox-static iproute2 >>"$WORK/build.log" 2>&1 || failed=1
    umount "$root/proc"
    [ "$failed" = 0 ] || die "apt-get install failed, see $WORK/build.log"
    rm -rf "$root/usr/sbin/policy-rc.d" "$root"/var/cache/apt/archives/*.deb "$root"/var/lib/apt/lists/*
    echo masthead-v2 >"$root/etc/hostname"
    printf '127.0.0.1 localhost masthead-v2\n' >"$root/etc/hosts"
    printf '/dev/vda / ext4 defaults,noatime 0 1\n' >"$root/etc/fstab"
    # Nothing here is for a login; Docker and its daemon's options are started by the guest's own script.
    chroot "$root" systemctl disable docker.service docker.socket containerd.service >>"$WORK/build.log" 2>&1
    chroot "$root" systemctl mask docker.service docker.socket systemd-timesyncd.service apt-daily.timer apt-daily-upgrade.timer \
        e2scrub_reap.service fstrim.timer getty@tty1.service serial-getty@ttyS0.service >>"$WORK/build.log" 2>&1
    cat >"$root/etc/systemd/system/guest.service" <<'UNIT'
[Unit]
Description=what the host handed in
After=multi-user.target

[Service]
Type=oneshot
StandardOutput=tty
StandardError=tty
TTYPath=/dev/ttyS0
TimeoutStartSec=infinity
Delegate=no
ExecStart=/bin/sh -c 'mkdir -p /guest && cd /guest && tar xf /dev/vdb && sh ./start.sh'
ExecStopPost=/bin/systemctl --no-block poweroff

[Install]
WantedBy=multi-user.target
UNIT
    sed -i 's/^After=multi-user.target$/After=basic.target/' "$root/etc/systemd/system/guest.service"
    chroot "$root" systemctl enable guest.service containerd.service >>"$WORK/build.log" 2>&1
    cp "$root"/boot/vmlinuz-* "$WORK/vmlinuz"
    cp "$root"/boot/initrd.img-* "$WORK/initrd"
    rm -f "$root"/boot/initrd.img-*
    echo "==> disk image"
    mke2fs -q -t ext4 -d "$root" "$WORK/root.img.new" 4G
    rm -rf "$root"
    mv "$WORK/root.img.new" "$WORK/root.img"
}

# Boots with the files of a folder as /guest (start.sh is run) and unpacks what it left on its third disk into another.
boot() {
    local in=$1 out=$2 status=0 accel=tcg,thread=multi,tb-size=256
    # A machine that shows /dev/kvm but not the processor's extensions has a KVM for kernels that were built for it.
    if [ -w /dev/kvm ] && grep -q -w -E 'vmx|svm' /proc/cpuinfo; then
        accel=kvm
    fi
    need qemu-system-x86_64 qemu-system-x86
    tar -cf "$WORK/in.tar" -C "$in" .
    rm -f "$WORK/out.tar"
    truncate -s 64M "$WORK/out.tar"
    timeout $((MINUTES * 60)) qemu-system-x86_64 -accel "$accel" -cpu max -smp 2 -m 1024 -nographic -no-reboot \
        -kernel "$WORK/vmlinuz" -initrd "$WORK/initrd" \
        -append "root=/dev/vda rw console=ttyS0 quiet systemd.show_status=0 loglevel=3 mitigations=off apparmor=0 selinux=0" \
        -drive "file=$WORK/root.img,format=raw,if=virtio,snapshot=on" \
        -drive "file=$WORK/in.tar,format=raw,if=virtio,readonly=on" \
        -drive "file=$WORK/out.tar,format=raw,if=virtio" \
        -net none </dev/null 2>"$WORK/qemu.log" | sed -u 's/\r//g' || status=$?
    [ "$status" = 0 ] || die "the system did not end within $MINUTES minutes (or qemu failed, see $WORK/qemu.log)"
    rm -rf "$out"
    mkdir -p "$out"
    tar -xf "$WORK/out.tar" -C "$out" || die "the system left nothing behind"
}

mkdir -p "$WORK"
case "${1:-}" in
check)
    [ -x "${2:-}" ] || die "say which masthead: $0 check target/release/masthead"
    build
    rm -rf "$WORK/in"
    mkdir -p "$WORK/in"
    cp "$HERE"/cgroup-v2/*.sh "$WORK/in/"
    cp "$2" "$WORK/in/masthead"
    printf 'exec sh ./check.sh\n' >"$WORK/in/start.sh"
    boot "$WORK/in" "$WORK/out"
    [ "$(cat "$WORK/out/failed" 2>/dev/null)" = 0 ] || die "not every check held"
    ;;
service)
    [ -x "${2:-}" ] || die "say which masthead: $0 service target/release/masthead"
    build
    rm -rf "$WORK/in"
    mkdir -p "$WORK/in"
    cp "$HERE"/service/*.sh "$HERE"/cgroup-v2/engine.sh "$WORK/in/"
    cp "$2" "$WORK/in/masthead"
    cat >"$WORK/in/start.sh" <<'START'
. ./engine.sh
engine_up systemd || exit 1
docker run -d --name box box:1 >/dev/null
SUITE=qemu sh ./check.sh
echo $? >failed
tar -cf /dev/vdc failed
START
    boot "$WORK/in" "$WORK/out"
    [ "$(cat "$WORK/out/failed" 2>/dev/null)" = 0 ] || die "not every check held"
    ;;
record)
    [ -n "${2:-}" ] || die "say where to: $0 record DIR"
    build
    rm -rf "$WORK/in"
    mkdir -p "$WORK/in"
    cp "$HERE"/cgroup-v2/*.sh "$WORK/in/"
    printf 'exec sh ./record.sh\n' >"$WORK/in/start.sh"
    boot "$WORK/in" "$WORK/out"
    cp "$WORK"/out/cgroup-v2-*.txt "$2/"
    ;;
clean)
    rm -rf "$WORK"
    ;;
*)
    sed -n '2,14s/^# \?//p' "$0"
    exit 2
    ;;
esac
