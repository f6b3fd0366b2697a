# Records what a collector reads of a Docker host, as a text archive: the fixtures `collect/tests/fixtures/cgroup-*.txt`.
#
# Inside the guest of qemu-cgroup-v2.sh: both drivers in turn, left on the third disk. On any other machine, with DOCKER_HOST set to a
# daemon of your own that has the image `box:1`: `sh record.sh FILE` (so the tree of cgroup v1 was made).
#
# The archive: `== PATH` and then the file's lines; `=> PATH TARGET` is a symbolic link. What is below /docker is no file of the
# machine but what the engine says of the container at that moment, one `key value` a line, to compare with.
#
# All containers have done their work and lie still when they are recorded, so that counters read one after the other agree.

# One of each kind that the collector has to get right.
containers_up() {
    driver=$1
    # A quota of half a processor and a limit of 64 MiB; both are reached for: time is throttled, and 8 MiB lie in shared memory.
    docker run -d --name burner --cpus 0.5 --memory 64m --pids-limit 50 --shm-size 16m --label com.docker.compose.project=shop \
        --label com.docker.compose.service=burner box:1 sh -c \
        'busybox dd if=/dev/zero of=/dev/shm/held bs=1M count=8; busybox timeout 12 sh -c "while :; do :; done"; exec busybox sleep 100000'
    # 24 MiB that reach the disk.
    docker run -d --name writer --volume written:/data box:1 sh -c \
        'busybox dd if=/dev/zero of=/data/file bs=1M count=24 conv=fsync; exec busybox sleep 100000'
    docker run -d --name paused box:1
    # 4 MiB over the bridge, from one container's network namespace into another's.
    docker run -d --name server --network "$(network)" box:1 sh -c \
        'busybox mkdir /www; busybox dd if=/dev/zero of=/www/file bs=1M count=4; exec busybox httpd -f -p 80 -h /www'
    docker run -d --name client --network "$(network)" --env "SERVER=$(address server)" box:1 sh -c \
        'until busybox wget -q -O /dev/null http://$SERVER/file; do busybox sleep 1; done; exec busybox sleep 100000'
    # Its process is below a cgroup that somebody named.
    case $driver in
    systemd) parent=app-web.slice ;;
    *) parent=/app/web ;;
    esac
    docker run -d --name nested --cgroup-parent "$parent" --memory 32m box:1
    # Its first process moved into a cgroup that it made itself, as systemd and the engine do inside a container.
    if [ -e /sys/fs/cgroup/cgroup.controllers ]; then
        docker run -d --name moved --privileged box:1 sh -c \
            'busybox mkdir /sys/fs/cgroup/init && echo 1 >/sys/fs/cgroup/init/cgroup.procs; exec busybox sleep 100000'
    fi
    # A process of it was killed for memory, the first one lives on.
    docker run -d --name oomed --memory 16m --memory-swap 16m box:1 sh -c 'busybox tail /dev/zero; exec busybox sleep 100000'
    # No network namespace of its own.
    docker run -d --name hostnet --network host box:1
    docker run --name ended box:1 sh -c 'exit 3'
    docker pause paused
}

network() {
    echo "${NETWORK:-bridge}"
}

address() {
    docker inspect -f '{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}' "$1"
}

# contents <PATHS: those of the named files that can be read; some files of a cgroup refuse it, each in its own way. One process for
# all of them, since each one started takes long on an emulated processor.
contents() {
    perl -ne '
        chomp;
        next unless -f $_ && open(my $file, "<", $_);
        my ($text, $read) = ("", 1);
        $text .= $part while $read = sysread($file, $part, 65536);
        next unless defined $read;
        $text .= "\n" if $text =~ /[^\n]\z/;
        print "== $_\n$text";'
}

# file PATH...
file() {
    printf '%s\n' "$@" | contents
}

# link PATH...: symbolic links.
link() {
    printf '%s\n' "$@" | perl -ne 'chomp; my $target = readlink($_); print "=> $_ $target\n" if defined $target;'
}

# cgroup FOLDER [DEPTH]: the files of this one cgroup, or of all below it. Left out is what no metric is made of.
cgroup() {
    unwanted='/(hugetlb|rdma|misc|devices|net_prio)\.|/(notify_on_release|release_agent|cgroup\.(clone_children|sane_behavior))$|kmem\.(tcp|slabinfo)'
    # In the root are the processes of the whole machine.
    [ -n "$GUEST" ] || unwanted="$unwanted|^/sys/fs/cgroup(/[a-z]*)?/(tasks|cgroup\.(procs|threads))$"
    find "$1" ${2:--maxdepth 1} -type f |
        grep -v -E "$unwanted" |
        sort | contents
}

tree() {
    cgroup "$1" -depth
}

machine() {
    file /proc/stat /proc/meminfo /proc/diskstats /proc/partitions /proc/uptime /proc/loadavg /proc/vmstat /proc/swaps /proc/cgroups \
        /proc/1/net/dev /proc/net/dev /proc/sys/kernel/hostname \
        /proc/sys/kernel/osrelease /proc/sys/fs/file-nr /proc/sys/kernel/pid_max /proc/sys/kernel/threads-max
    [ -z "$GUEST" ] || file /proc/sys/kernel/random/boot_id /etc/machine-id /sys/class/dmi/id/product_uuid /proc/version
    # A processor's flags are long, and of no use here.
    printf '== /proc/cpuinfo\n'
    grep -v -E '^(flags|vmx flags|bugs|model name)' /proc/cpuinfo
    # Mounts of containers name their layers at length; the collector looks for cgroups.
    printf '== /proc/self/mountinfo\n'
    grep -E ' - (cgroup2?|ext4|proc|sysfs) ' /proc/self/mountinfo | grep -E ' /(sys/fs/cgroup[^ ]*|proc|sys)? '
    file /sys/devices/system/cpu/online /sys/devices/system/cpu/possible /sys/devices/system/node/online
    file /sys/devices/system/cpu/cpu[0-9]*/topology/core_id /sys/devices/system/cpu/cpu[0-9]*/topology/physical_package_id
    link /sys/dev/block/*
    for device in $(readlink -f /sys/dev/block/*); do
        file "$device/uevent" "$device/dev" "$device/size"
    done
}

# Of each cgroup hierarchy: the root, what is right below it (in the guest; what runs on another machine is nobody's business), and all
# of the containers'.
cgroups() {
    grep -E ' - cgroup2? ' /proc/self/mountinfo | cut -d ' ' -f 5 | sort -u | while read -r mount; do
        cgroup "$mount"
        for top in "$mount"/*/; do
            top=${top%/}
            case ${top#"$mount"/} in
            docker | app | app.slice) ;;
            *) [ -z "$GUEST" ] || cgroup "$top" ;;
            esac
        done
        for parent in "$mount/app" "$mount/app.slice"; do
            [ -d "$parent" ] && tree "$parent"
        done
        [ -d "$mount/docker" ] && cgroup "$mount/docker"
        docker ps -q --no-trunc | while read -r id; do
            for folder in "$mount/docker/$id" "$mount/system.slice/docker-$id.scope"; do
                [ -d "$folder" ] && tree "$folder"
            done
        done
        [ -d "$mount/system.slice/containerd.service" ] && tree "$mount/system.slice/containerd.service"
    done
}

processes() {
    docker ps -q | while read -r id; do
        grep -l "$id" /proc/[0-9]*/cgroup 2>/dev/null
    done | cut -d / -f 3 | while read -r pid; do
        root=/proc/$pid
        file "$root/cgroup" "$root/stat" "$root/status" "$root/limits" "$root/schedstat" "$root/net/dev" "$root/comm"
        if [ "$(readlink "$root/ns/net")" != "$(readlink /proc/1/ns/net)" ]; then
            file "$root/net/tcp" "$root/net/tcp6" "$root/net/udp" "$root/net/udp6" "$root/net/sockstat"
        fi
        link "$root/ns/net" "$root/fd"/*
        for task in "$root"/task/*; do
            file "$task/stat"
        done
    done
}

# What the engine says: numbers that do not come from us.
engine_says() {
    docker info -f '== /docker/info
version {{.ServerVersion}}
driver {{.CgroupDriver}}
cgroup {{.CgroupVersion}}'
    docker ps -aq --no-trunc | while read -r id; do
        docker inspect -f '== /docker/{{slice .Name 1}}/inspect
id {{.Id}}
pid {{.State.Pid}}
state {{.State.Status}}
image {{.Config.Image}}
created {{.Created}}
started {{.State.StartedAt}}
network {{.HostConfig.NetworkMode}}
nano_cpus {{.HostConfig.NanoCpus}}
memory {{.HostConfig.Memory}}
memory_swap {{.HostConfig.MemorySwap}}' "$id"
        name=$(docker inspect -f '{{slice .Name 1}}' "$id")
        [ "$(docker inspect -f '{{.State.Pid}}' "$id")" != 0 ] || continue
        printf '== /docker/%s/stats\n' "$name"
        curl -s --unix-socket "${SOCKET:-/var/run/docker.sock}" "http://engine/containers/$id/stats?stream=false&one-shot=true" |
            jq -r 'del(.precpu_stats) | paths(type != "object" and type != "array") as $path | ($path | map(tostring) | join(".")) + " " + (getpath($path) | tostring)'
    done
}

archive() {
    echo "Recorded by tests/cgroup-v2/record.sh, which says what the format is: Linux $(uname -r), Docker $(docker info -f '{{.ServerVersion}}, cgroup v{{.CgroupVersion}}, driver {{.CgroupDriver}}')."
    machine
    cgroups
    processes
    engine_says
}

# Waits until they have done their work.
settle() {
    for wait in $(seq 120); do
        sleep 2
        # Each of them ends by becoming `sleep`.
        grep -q -a -E '[b]usybox (timeout 12|dd if=/dev/zero of=/data|wget -q -O|tail /dev/zero)' /proc/[0-9]*/cmdline 2>/dev/null && continue
        break
    done
    sync
    sleep 3
}

GUEST=
if [ -n "${1:-}" ]; then
    containers_up "$(docker info -f '{{.CgroupDriver}}')" >/dev/null
    settle
    archive >"$1"
    exit
fi

GUEST=1
. ./engine.sh
mkdir -p out
for driver in systemd cgroupfs; do
    say "driver $driver"
    engine_up "$driver" || exit 1
    containers_up "$driver"
    say "they work"
    settle
    docker ps -a
    docker stats --no-stream
    archive >"out/cgroup-v2-$driver.txt"
    say "recorded: $(wc -c <"out/cgroup-v2-$driver.txt") bytes"
    engine_down "$driver"
done
tar -C out -cf /dev/vdc .
