#!/bin/bash
# Masthead as a service of a real systemd: a Debian root whose systemd is booted in namespaces of its own, with no machine emulated.
#
#   tests/systemd-root.sh SUITE MIRROR FOLDER MASTHEAD
#
# Makes the root of the suite in FOLDER when it is not there, boots it, and runs tests/service/check.sh inside with this program. What is
# changed in the root goes with it: it lies on a layer of memory. Wants root and debootstrap. cgroup v2 is mounted inside without
# controllers, so that nothing of the machine's own cgroups is touched.
set -euo pipefail

HERE=$(cd "$(dirname "$0")" && pwd)
SUITE=$1 MIRROR=$2 FOLDER=$(realpath -m "$3") MASTHEAD=$(realpath "$4")
ROOT=$FOLDER/$SUITE

die() {
    echo "systemd-root: $*" >&2
    exit 1
}

[ "$(id -u)" = 0 ] || die "namespaces and debootstrap want root"
command -v debootstrap >/dev/null || die "debootstrap is missing: apt-get install debootstrap"
if [ ! -e "$ROOT/usr/bin/systemctl" ] && [ ! -e "$ROOT/bin/systemctl" ]; then
    rm -rf "$ROOT" "$ROOT.new"
    mkdir -p "$FOLDER"
    debootstrap --variant=minbase --include=systemd-sysv,dbus,openssh-server,openssh-client "$SUITE" "$ROOT.new" "$MIRROR" >"$FOLDER/$SUITE.log" 2>&1 ||
        die "debootstrap $SUITE failed, see $FOLDER/$SUITE.log"
    rm -rf "$ROOT.new"/var/cache/apt/archives/*.deb
    mv "$ROOT.new" "$ROOT"
fi

WORK=$(mktemp -d /tmp/masthead-systemd.XXXXXX)
# Namespaces and the mounts in them go with the first process.
# shellcheck disable=SC2016
unshare --mount --pid --uts --ipc --net --cgroup --fork --kill-child --propagation private sh -ec '
    root=$1 work=$2 here=$3 masthead=$4
    mount -t tmpfs tmpfs "$work"
    mkdir "$work/upper" "$work/over" "$work/root"
    mount -t overlay -o "lowerdir=$root,upperdir=$work/upper,workdir=$work/over" overlay "$work/root"
    cd "$work/root"
    mkdir -p guest
    cp "$masthead" guest/masthead
    cp "$here"/service/*.sh guest/
    mount -t proc proc proc
    mount -t sysfs -o ro sysfs sys
    mount -t tmpfs -o mode=755 tmpfs run
    mount -t tmpfs tmpfs tmp
    mount -t tmpfs -o mode=755 tmpfs dev
    for device in null zero full random urandom tty; do
        touch "dev/$device"
        mount --bind "/dev/$device" "dev/$device"
    done
    mkdir dev/pts dev/shm
    ln -s /proc/self/fd dev/fd
    ln -s pts/ptmx dev/ptmx
    mount -t cgroup2 cgroup2 sys/fs/cgroup
    hostname masthead-test
    mkdir -p oldroot
    pivot_root . oldroot
    umount -l /oldroot
    # As on a machine: what is mounted later reaches the services.
    mount --make-rshared /
    exec env -i container=masthead-test PATH=/usr/sbin:/usr/bin:/sbin:/bin /lib/systemd/systemd --log-target=journal --show-status=0 </dev/null >/dev/null 2>&1
' sh "$ROOT" "$WORK" "$HERE" "$MASTHEAD" &
OUTER=$!
finish() {
    kill -KILL "$OUTER" 2>/dev/null || true
    wait "$OUTER" 2>/dev/null || true
    rmdir "$WORK" 2>/dev/null || true
}
trap finish EXIT

inside() {
    nsenter --target "$INIT" --mount --pid --uts --ipc --net --cgroup --root --wd "$@"
}

tries=0
until INIT=$(pgrep --parent "$OUTER" --exact systemd) &&
    state=$(inside systemctl is-system-running 2>/dev/null) || [ "${state:-}" = degraded ]; do
    tries=$((tries + 1))
    [ "$tries" -lt 120 ] || die "systemd of $SUITE did not come up (${state:-no answer})"
    kill -0 "$OUTER" 2>/dev/null || die "the namespaces of $SUITE could not be made"
    sleep 0.5
done
inside env SUITE="$SUITE" sh /guest/check.sh
