# Sourced by check.sh and record.sh inside the guest: a Docker daemon with a given cgroup driver, and an image of busybox alone.

ENGINE=/guest/engine

# say TEXT...: a line of the transcript, with the seconds since boot.
say() {
    printf '[%7.1f] %s\n' "$(cut -d ' ' -f 1 /proc/uptime)" "$*"
}

# engine_up DRIVER: systemd or cgroupfs. A daemon that does not answer in time is a failure of the script.
engine_up() {
    mkdir -p "$ENGINE"
    # As a unit of its own, as a packaged daemon is; its containers are no children of this script's cgroup.
    systemd-run --quiet --unit="dockerd-$1" --property=Delegate=yes --property=KillMode=process \
        dockerd --exec-opt "native.cgroupdriver=$1" --data-root "$ENGINE/$1" --log-level warn
    tries=0
    until docker version >/dev/null 2>&1; do
        tries=$((tries + 1))
        if [ "$tries" -gt 120 ]; then
            say "dockerd did not come up"
            journalctl -u "dockerd-$1" --no-pager | tail -n 20
            return 1
        fi
        sleep 1
    done
    mkdir -p "$ENGINE/image/bin"
    cp /bin/busybox "$ENGINE/image/bin/"
    ln -sf busybox "$ENGINE/image/bin/sh"
    tar -C "$ENGINE/image" -cf - . | docker import --change 'ENV PATH=/bin' --change 'CMD ["/bin/busybox","sleep","100000"]' - box:1 >/dev/null
    # Two tags of one image: a deployment of something new, as far as names go.
    docker tag box:1 box:2
}

engine_down() {
    docker ps -aq | xargs -r docker rm -f >/dev/null
    systemctl stop "dockerd-$1"
    rm -rf "${ENGINE:?}/$1"
}
