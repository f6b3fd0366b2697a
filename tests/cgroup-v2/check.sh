# Inside the guest of qemu-cgroup-v2.sh: `masthead up` beside real containers, both cgroup drivers in turn. Known amounts are used up;
# what PromQL says of them is held against those amounts and against what the engine and the kernel say. Each line of the transcript
# is one check; the number of those that failed is left in `failed`.

. ./engine.sh

URL=http://127.0.0.1:9090
PASSED=0
FAILED=0

pass() {
    PASSED=$((PASSED + 1))
    say "pass: $*"
}

fail() {
    FAILED=$((FAILED + 1))
    say "FAIL: $*"
}

# ask QUERY: the value of the one series that the query gives; `none` when there is no series, `many` when there is more than one.
ask() {
    curl -s --max-time 60 -G --data-urlencode "query=$1" "$URL/api/v1/query" |
        jq -r 'if .status != "success" then "error: " + (.error // "?") elif (.data.result | length) == 0 then "none"
            elif (.data.result | length) > 1 then "many" else .data.result[0].value[1] end' 2>/dev/null || echo "no answer"
}

# near WHAT GOT WANT PERCENT
near() {
    if awk -v got="$2" -v want="$3" -v percent="$4" 'BEGIN {
        if (got !~ /^[0-9.e+-]+$/ || want !~ /^[0-9.e+-]+$/) exit 1
        off = got - want; if (off < 0) off = -off
        exit !(off <= want * percent / 100)
    }'; then
        pass "$1: $2 (wanted $3, within $4 %)"
    else
        fail "$1: $2 (wanted $3, within $4 %)"
    fi
}

# is WHAT GOT WANT
is() {
    if [ "$2" = "$3" ]; then pass "$1: $2"; else fail "$1: $2 (wanted $3)"; fi
}

# at_least WHAT GOT WANT
at_least() {
    if awk -v got="$2" -v want="$3" 'BEGIN { exit !(got ~ /^[0-9.e+-]+$/ && got + 0 >= want + 0) }'; then
        pass "$1: $2 (at least $3)"
    else
        fail "$1: $2 (wanted at least $3)"
    fi
}

# becomes WHAT QUERY WANT SECONDS: waits for an answer.
becomes() {
    left=$4
    until got=$(ask "$2") && [ "$got" = "$3" ]; do
        left=$((left - 3))
        [ "$left" -gt 0 ] || break
        sleep 3
    done
    is "$1" "$got" "$3"
}

id_of() {
    docker inspect -f '{{.Id}}' "$1"
}

# engine NAME PATH: a number of the engine's own statistics.
engine() {
    curl -s --unix-socket /var/run/docker.sock "http://engine/containers/$1/stats?stream=false&one-shot=true" | jq -r "$2"
}

# folder NAME: its cgroup, as the kernel has it.
folder() {
    path=$(sed -n 's/^0:://p' "/proc/$(docker inspect -f '{{.State.Pid}}' "$1")/cgroup")
    echo "/sys/fs/cgroup${path%/init}"
}

masthead_up() {
    mkdir -p /guest/data
    cat >/guest/masthead.yml <<'YML'
global:
  scrape_interval: 5s
YML
    systemd-run --quiet --unit="masthead-$1" /guest/masthead up --data-dir "/guest/data/$1" --config /guest/masthead.yml
    left=60
    until curl -s -o /dev/null "$URL/-/ready"; do
        left=$((left - 1))
        if [ "$left" = 0 ]; then
            fail "masthead does not answer"
            journalctl -u "masthead-$1" --no-pager | tail -n 20
            return 1
        fi
        sleep 1
    done
    pass "masthead answers"
}

# The containers that use up known amounts.
work() {
    box='docker run -d'
    $box --name burner --cpus 0.5 --memory 64m box:1 sh -c 'while :; do :; done' >/dev/null
    $box --name holder --memory 96m box:1 sh -c \
        'busybox mkfifo /f; busybox sleep 100000 </f & busybox dd if=/dev/zero of=/f bs=48M count=1' >/dev/null
    $box --name keeper --memory 96m --shm-size 64m box:1 sh -c \
        'busybox dd if=/dev/zero of=/dev/shm/f bs=1M count=32; exec busybox sleep 100000' >/dev/null
    $box --name writer --volume "written-$1:/data" box:1 sh -c \
        'busybox dd if=/dev/zero of=/data/f bs=1M count=32 conv=fsync; exec busybox sleep 100000' >/dev/null
    $box --name server box:1 sh -c \
        'busybox mkdir /www; busybox dd if=/dev/zero of=/www/f bs=1M count=16; exec busybox httpd -f -p 80 -h /www' >/dev/null
    $box --name client --env "SERVER=$(docker inspect -f '{{.NetworkSettings.IPAddress}}' server)" box:1 sh -c \
        'until busybox wget -q -O /dev/null http://$SERVER/f; do busybox sleep 1; done; exec busybox sleep 100000' >/dev/null
    case $1 in
    systemd) parent=app-web.slice ;;
    *) parent=/app/web ;;
    esac
    $box --name nested --cgroup-parent "$parent" --memory 32m box:1 >/dev/null
    $box --name moved --privileged box:1 sh -c \
        'busybox mkdir /sys/fs/cgroup/init && echo 1 >/sys/fs/cgroup/init/cgroup.procs; exec busybox sleep 100000' >/dev/null
    $box --name oomed --memory 16m --memory-swap 16m box:1 sh -c 'busybox sleep 5; busybox tail /dev/zero; exec busybox sleep 100000' >/dev/null
    $box --name still box:1 >/dev/null
    docker pause still >/dev/null
    web 1 >/dev/null
}

# web REPLICA IMAGE: one container of a compose service.
web() {
    docker run -d --name "shop-web-$1" --label com.docker.compose.project=shop --label com.docker.compose.service=web "box:${2:-1}"
}

check_names() {
    for name in burner holder keeper writer server client nested moved oomed still shop-web-1; do
        becomes "$name is known by its name" "count(container_last_seen{name=\"$name\"})" 1 90
    done
    path=$(folder nested)
    is "nested: id is the path of its cgroup" \
        "$(ask 'count(container_last_seen{name="nested",id="'"${path#/sys/fs/cgroup}"'"})')" 1
    path=$(folder moved)
    is "moved: id is the container's cgroup, not the one it made" \
        "$(ask 'count(container_last_seen{name="moved",id="'"${path#/sys/fs/cgroup}"'"})')" 1
    is "groups of no container have no name" "$(ask 'count(container_cpu_usage_seconds_total{id="/system.slice",name=""})')" 1
    is "the machine's processors" "$(ask machine_cpu_cores)" 2
    is "the machine's memory" "$(ask machine_memory_bytes)" "$(awk '/^MemTotal/ { printf "%d", $2 * 1024 }' /proc/meminfo)"
    is "burner runs, says the state" "$(ask 'masthead_container_state{name="burner",state="running"}')" 1
    is "still is paused, says the state" "$(ask 'masthead_container_state{name="still",state="paused"}')" 1
}

check_cpu() {
    # A minute of ticks lies behind when this is asked.
    near "burner: processors in use" "$(ask 'rate(container_cpu_usage_seconds_total{name="burner"}[1m])')" 0.5 3
    docker pause burner >/dev/null
    sleep 11
    usage=$(awk '/^usage_usec/ { printf "%.6f", $2 / 1e6 }' "$(folder burner)/cpu.stat")
    near "burner: CPU seconds, as the kernel counts them" "$(ask 'container_cpu_usage_seconds_total{name="burner"}')" "$usage" 3
    near "burner: CPU seconds, as the engine says" "$(ask 'container_cpu_usage_seconds_total{name="burner"}')" \
        "$(engine burner '.cpu_stats.cpu_usage.total_usage / 1e9')" 3
    near "burner: user and system make up the whole" \
        "$(ask 'container_cpu_user_seconds_total{name="burner"} + container_cpu_system_seconds_total{name="burner"}')" "$usage" 3
    is "burner: periods that were throttled" "$(ask 'container_cpu_cfs_throttled_periods_total{name="burner"}')" \
        "$(engine burner '.cpu_stats.throttling_data.throttled_periods')"
    near "burner: seconds throttled" "$(ask 'container_cpu_cfs_throttled_seconds_total{name="burner"}')" \
        "$(engine burner '.cpu_stats.throttling_data.throttled_time / 1e9')" 3
    is "burner: quota by period" \
        "$(ask 'container_spec_cpu_quota{name="burner"} / on (name) container_spec_cpu_period{name="burner"}')" 0.5
}

check_memory() {
    near "holder: anonymous memory" "$(ask 'container_memory_rss{name="holder"}')" $((48 * 1024 * 1024)) 3
    near "holder: working set, as the engine says" "$(ask 'container_memory_working_set_bytes{name="holder"}')" \
        "$(engine holder '.memory_stats.usage - .memory_stats.stats.inactive_file')" 3
    near "keeper: shared memory counts as used" "$(ask 'container_memory_usage_bytes{name="keeper"}')" $((32 * 1024 * 1024)) 3
    near "keeper: usage, as the engine says" "$(ask 'container_memory_usage_bytes{name="keeper"}')" "$(engine keeper .memory_stats.usage)" 3
    is "holder: its limit" "$(ask 'container_spec_memory_limit_bytes{name="holder"}')" $((96 * 1024 * 1024))
    is "server: no limit is 0" "$(ask 'container_spec_memory_limit_bytes{name="server"}')" 0
    is "nested: its limit" "$(ask 'container_spec_memory_limit_bytes{name="nested"}')" $((32 * 1024 * 1024))
    is "oomed: one kill in the cgroup" "$(ask 'container_oom_events_total{name="oomed"}')" \
        "$(awk '/^oom_kill / { print $2 }' "$(folder oomed)/memory.events")"
    at_least "oomed: the engine told of it" "$(ask 'masthead_container_events_total{app="oomed",event="oom_kill"}')" 1
    at_least "oomed: marks" "$(curl -s "$URL/api/masthead/v1/events?app=oomed" | jq '[.data.events[] | select(.event == "oom_kill")] | length')" 1
}

check_disk() {
    written=$(ask 'sum(container_fs_writes_bytes_total{name="writer"})')
    near "writer: bytes written" "$written" $((32 * 1024 * 1024)) 3
    near "writer: bytes written, as the engine says" "$written" \
        "$(engine writer '[.blkio_stats.io_service_bytes_recursive[]? | select(.op | ascii_downcase == "write") | .value] | add // 0')" 3
    sync
    echo 3 >/proc/sys/vm/drop_caches
    before=$(ask 'sum(container_fs_reads_bytes_total{name="writer"})')
    docker exec writer busybox dd if=/data/f of=/dev/null bs=1M 2>/dev/null
    sleep 11
    read=$(ask 'sum(container_fs_reads_bytes_total{name="writer"})')
    # With the file, busybox itself is read again.
    near "writer: bytes read back" "$(awk -v a="$read" -v b="$before" 'BEGIN { print a - b }')" $((32 * 1024 * 1024)) 6
    near "writer: bytes read, as the engine says" "$read" \
        "$(engine writer '[.blkio_stats.io_service_bytes_recursive[]? | select(.op | ascii_downcase == "read") | .value] | add // 0')" 3
}

check_network() {
    received=$(ask 'container_network_receive_bytes_total{name="client",interface="eth0"}')
    near "client: bytes received, beside 16 MiB of content" "$received" $((16 * 1024 * 1024)) 3
    near "client: bytes received, as the engine says" "$received" "$(engine client .networks.eth0.rx_bytes)" 3
    near "server: bytes sent, as the engine says" "$(ask 'container_network_transmit_bytes_total{name="server",interface="eth0"}')" \
        "$(engine server .networks.eth0.tx_bytes)" 3
}

check_processes() {
    for name in holder still moved; do
        is "$name: processes" "$(ask 'container_processes{name="'$name'"}')" "$(engine $name .pids_stats.current)"
    done
}

check_redeploy() {
    old=$(id_of shop-web-1)
    docker rm -f shop-web-1 >/dev/null
    web 1 2 >/dev/null
    becomes "redeployed: the new container is there under the old app" 'count(container_last_seen{app="shop-web",project="shop",image="box:2"})' 1 60
    becomes "redeployed: the old one is gone" 'count(container_last_seen{id=~".*'"$old"'.*"}) or vector(0)' 0 60
    is "redeployed: one app over both containers" \
        "$(ask 'count(count by (app) (last_over_time(container_last_seen{app=~"shop.*"}[10m])))')" 1
    is "redeployed: two containers in its history" \
        "$(ask 'count(count by (id) (last_over_time(container_last_seen{app="shop-web"}[10m])))')" 2
    is "redeployed: a mark for each" \
        "$(curl -s "$URL/api/masthead/v1/events?app=shop-web" | jq '[.data.events[] | select(.event == "deploy")] | length')" 2
}

check_commands() {
    echo '----- masthead doctor'
    if ./masthead doctor; then pass "doctor finds nothing wrong"; else fail "doctor ended with $?"; fi
    echo '----- masthead metrics container holder'
    if ./masthead metrics container holder --url "$URL"; then pass "metrics container"; else fail "metrics container ended with $?"; fi
    echo '-----'
    series=$(./masthead metrics system --url "$URL" --json | jq -r 'type') 2>/dev/null
    is "metrics system --json is an object" "$series" object
    say "masthead's own cost: $(ask 'process_resident_memory_bytes{job="masthead"} / 1048576') MiB, $(ask 'rate(process_cpu_seconds_total{job="masthead"}[2m])') processors (emulated)"
}

for driver in systemd cgroupfs; do
    echo "===== cgroup v2, driver $driver"
    engine_up "$driver" || exit 1
    say "Linux $(uname -r), $(docker info -f 'Docker {{.ServerVersion}}, cgroup v{{.CgroupVersion}}, driver {{.CgroupDriver}}')"
    is "the engine uses this driver on v2" "$(docker info -f '{{.CgroupDriver}} {{.CgroupVersion}}')" "$driver 2"
    masthead_up "$driver" || exit 1
    work "$driver"
    say "the containers work"
    check_names
    sleep 60
    check_cpu
    check_memory
    check_disk
    check_network
    check_processes
    check_redeploy
    check_commands
    kill -INT "$(systemctl show -p MainPID --value "masthead-$driver")"
    sleep 5
    is "masthead ends when asked" "$(systemctl is-active "masthead-$driver")" inactive
    journalctl -u "masthead-$driver" --no-pager -o cat | grep -E 'WARN|ERROR' | head -n 20
    engine_down "$driver"
done
echo "===== $PASSED checks held, $FAILED failed"
echo "$FAILED" >failed
echo "$PASSED checks held, $FAILED failed" >total
tar -cf /dev/vdc failed total
