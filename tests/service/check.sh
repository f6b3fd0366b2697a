# Inside a system that systemd runs (tests/systemd-root.sh, tests/qemu-cgroup-v2.sh service): `masthead service` from nothing and back to
# nothing, with the program beside this script. Nothing but systemd and what every Debian has is needed. The last line has the totals; the
# exit code says whether all held.

cd "$(dirname "$0")" || exit 1
PASSED=0
FAILED=0
export NO_COLOR=1
UNIT=/etc/systemd/system/masthead.service
BINARY=/usr/local/bin/masthead
DATA=/var/lib/masthead

say() {
    printf '[%s] %s\n' "${SUITE:-guest}" "$*"
}

pass() {
    PASSED=$((PASSED + 1))
    say "pass: $*"
}

fail() {
    FAILED=$((FAILED + 1))
    say "FAIL: $*"
}

# is WHAT GOT WANT
is() {
    if [ "$2" = "$3" ]; then pass "$1: $2"; else fail "$1: $2 (wanted $3)"; fi
}

# has WHAT TEXT PART
has() {
    case $2 in
    *"$3"*) pass "$1: $3" ;;
    *) fail "$1: no '$3' in: $2" ;;
    esac
}

# names JSON: the steps of an answer, in a line.
names() {
    printf '%s\n' "$1" | sed -n 's/^ *"step": "\(.*\)",*$/\1/p' | tr '\n' ' ' | sed 's/ $//'
}

# value QUERY: of the one series of an answer, from the service; `none` where there is none within 40 s.
value() {
    tries=0
    while :; do
        got=$("$BINARY" query "$1" --json 2>&1) || got="failed: $got"
        number=$(printf '%s' "$got" | tr -d ' \n' | sed -n 's/.*"values":\[\[[^,]*,"\([^"]*\)"\]\].*/\1/p')
        [ -n "$number" ] && break
        tries=$((tries + 1))
        if [ "$tries" -gt 40 ]; then
            number="none ($(printf '%s' "$got" | head -c 300))"
            break
        fi
        sleep 1
    done
    echo "$number"
}

pid() {
    systemctl show --property=MainPID masthead.service | cut -d = -f 2
}

say "$(systemctl --version | head -n 1), $(ldd --version | head -n 1)"

# Nothing is there.
./masthead service status >/dev/null
is "status of nothing" $? 4
before=$(find /etc /usr/local /var/lib -newer check.sh -name '*masthead*' | wc -l)
planned=$(names "$(./masthead service install --dry-run --json)")
is "a dry run plans" "$planned" "install-binary write-unit daemon-reload enable start wait-ready"
is "and changes nothing" "$(find /etc /usr/local /var/lib -newer check.sh -name '*masthead*' | wc -l)" "$before"

# Somebody else's unit is refused.
printf '[Service]\nExecStart=/bin/true\n' >"$UNIT"
refused=$(./masthead service install 2>&1)
is "a foreign unit is refused" $? 1
has "with the cure" "$refused" "--adopt"
is "and left as it is" "$(grep -c ExecStart=/bin/true "$UNIT")" 1
./masthead service uninstall >/dev/null 2>&1
is "uninstall refuses it too" $? 1
adopted=$(./masthead service install --adopt 2>&1)
is "--adopt replaces it" $? 0
is "and keeps it aside" "$(grep -c ExecStart=/bin/true "$UNIT.replaced")" 1
has "and is ready" "$adopted" "ready at http://127.0.0.1:9090/"
[ -n "$adopted" ] && printf '%s\n' "$adopted" | sed 's/^/         /'
rm -f "$UNIT.replaced"

# It runs.
./masthead service status
is "status of a running service" $? 0
cp ./masthead /tmp/masthead
setpriv --reuid=65534 --regid=65534 --clear-groups /tmp/masthead service status >/dev/null
is "status asked by nobody" $? 0
rm -f /tmp/masthead
is "enabled" "$(systemctl is-enabled masthead.service)" enabled
is "the data folder's mode" "$(stat -c %a "$DATA")" 750
first=$(pid)
is "a second install" "$(./masthead service install)" "nothing to do"
is "keeps the process" "$(pid)" "$first"

# Hardened, it sees what it shall see.
total=$(sed -n 's/^MemTotal: *\([0-9]*\) kB/\1/p' /proc/meminfo)
is "memory of the machine is $total kB" "$(value "node_memory_MemTotal_bytes == bool $total * 1024")" 1
# One of these two at least is shown everywhere: a root on a disk, or a /tmp in memory.
is "what it may not write to is not called read-only" "$(value 'max(node_filesystem_readonly{mountpoint=~"/|/tmp"})')" 0
is "file systems that cannot be measured" "$(value 'sum(node_filesystem_device_error)')" 0
mkdir -p /home/locked /tmp/below
chmod 700 /home/locked
chown nobody /home/locked
mkdir -p /home/locked/disk
# With sizes of their own, which nothing else has.
mount -t tmpfs -o size=12345k late /home/locked/disk
mount -t tmpfs -o size=54321k later /tmp/below
is "one mounted later below another user's folder in /home" \
    "$(value 'node_filesystem_size_bytes{mountpoint="/home/locked/disk"} / 1024')" 12348
is "one mounted later in /tmp" "$(value 'node_filesystem_size_bytes{mountpoint="/tmp/below"} / 1024')" 54324
umount /home/locked/disk /tmp/below
for line in 'NoNewPrivs:	1' 'Seccomp:	2'; do
    has "of the process" "$(cat "/proc/$(pid)/status")" "$line"
done
# CAP_DAC_READ_SEARCH is bit 2, CAP_SYS_PTRACE bit 19.
has "its capabilities" "$(cat "/proc/$(pid)/status")" "CapEff:	0000000000080004"
nsenter --target "$(pid)" --mount touch /etc/by-masthead /home/by-masthead /usr/by-masthead 2>/dev/null
is "nothing but its data can be written" "$(ls /etc/by-masthead /home/by-masthead /usr/by-masthead 2>/dev/null | wc -l)" 0
if command -v docker >/dev/null && docker version >/dev/null 2>&1; then
    is "a container of the engine" "$(value 'count(container_last_seen{name="box"})')" 1
    is "its open files, which are another's" "$(value 'container_file_descriptors{name="box"} > bool 0')" 1
fi
complaints=$(journalctl --identifier=masthead --no-pager --output=cat | grep -i -E 'permission|not permitted' || true)
is "nothing was forbidden that it wanted" "$complaints" ""
if systemd-analyze --help 2>/dev/null | grep -q -w security; then
    say "$(systemd-analyze security --no-pager masthead.service 2>/dev/null | tail -n 1)"
fi

# An option changes the unit alone; what is not said again is kept.
changed=$(./masthead service install --retention-time 30d --json)
is "a changed option" "$(names "$changed")" "write-unit daemon-reload restart wait-ready"
has "in the unit" "$(cat "$UNIT")" "--retention-time 30d"
changed=$(./masthead service install --listen 127.0.0.1:81 --json)
has "a port below 1024 is listened on" "$changed" '"url": "http://127.0.0.1:81"'
has "the other option stays" "$(cat "$UNIT")" "--listen 127.0.0.1:81 --retention-time 30d"
./masthead service install --retention-time never >/dev/null 2>&1
is "a wrong option is refused" $? 1
has "and changes nothing" "$(cat "$UNIT")" "--retention-time 30d"
./masthead service install --reset >/dev/null
is "--reset" $? 0
is "leaves no option" "$(grep -c -e --retention-time "$UNIT")" 0

# A start that fails is told with its cause; the next install goes on.
printf 'nonsense: true\n' >/etc/masthead-bad.yml
printf 'masthead: {collect: {interval: 15s}}\n' >/etc/masthead-test.yml
./masthead service install --config /etc/masthead-bad.yml >/dev/null 2>&1
is "a wrong configuration is refused before anything is changed" $? 1
./masthead service install --config /etc/masthead-test.yml >/dev/null
is "a right one is taken" $? 0
cp /etc/masthead-bad.yml /etc/masthead-test.yml
systemctl stop masthead.service
failed=$(./masthead service install --listen 127.0.0.1:9090 2>&1)
is "one that became wrong is refused too" $? 1
has "with its cause" "$failed" "nonsense"
systemctl start masthead.service 2>/dev/null
./masthead service status >/dev/null
is "status of a service that fails" $? 3
./masthead service install --reset >/dev/null
is "and the next install mends it" $? 0

# It comes back when it is killed, and an edit by hand is noticed.
kill -9 "$(pid)"
sleep 1
tries=0
until ./masthead service status >/dev/null || [ "$tries" -gt 60 ]; do
    tries=$((tries + 1))
    sleep 1
done
./masthead service status >/dev/null
is "status after a kill -9" $? 0
sed -i 's/^RestartSec=5$/RestartSec=7/' "$UNIT"
refused=$(./masthead service install 2>&1)
is "an edited unit is refused" $? 1
has "with the way that is kept" "$refused" "systemctl edit masthead"
sed -i 's/^RestartSec=7$/RestartSec=5/' "$UNIT"
mkdir -p "$UNIT.d"
printf '[Service]\nRestartSec=1\n' >"$UNIT.d/mine.conf"
systemctl daemon-reload
is "a drop-in is none of ours" "$(./masthead service install)" "nothing to do"
has "and is shown" "$(./masthead service status)" "$UNIT.d/mine.conf"

# Backup and restore of the running service, its configuration too.
mkdir -p /etc/masthead
echo 'global: {}' >/etc/masthead/masthead.yml
./masthead service install --config /etc/masthead/masthead.yml >/dev/null
backup=$(./masthead backup /tmp/b.tar.gz --json 2>&1)
is "a backup of the running service" $? 0
has "of this kind" "$backup" '"kind":"embedded"'
is "readable for root alone" "$(stat -c %a /tmp/b.tar.gz)" 600
echo 'wrong: {}' >/etc/masthead/masthead.yml
./masthead backup /tmp/wrong.tar.gz >/dev/null 2>&1
is "a backup with a configuration that does not do" $? 0
echo 'masthead: {}' >/etc/masthead/masthead.yml
ran=$(pid)
head -c 500 /tmp/b.tar.gz >/tmp/cut.tar.gz
cut=$(./masthead restore /tmp/cut.tar.gz --yes 2>&1)
is "half a backup" $? 1
has "is refused" "$cut" "it is damaged"
is "and nothing is touched" "$(pid)" "$ran"
undone=$(./masthead restore /tmp/wrong.tar.gz --yes 2>&1)
is "one that does not start" $? 1
has "is undone" "$undone" "what was there before is there again"
is "its configuration too" "$(cat /etc/masthead/masthead.yml)" "masthead: {}"
./masthead service status >/dev/null
is "and it runs" $? 0
restored=$(./masthead restore /tmp/b.tar.gz --yes 2>&1)
is "a restore" $? 0
has "says so" "$restored" "masthead is ready"
is "brings the configuration" "$(cat /etc/masthead/masthead.yml)" "global: {}"
is "and leaves nothing" "$(find "$DATA" -name '.masthead-*' | wc -l)" 0
./masthead service status >/dev/null
is "it runs" $? 0
rm /tmp/*.tar.gz

# An update: another program in the same place.
cp ./masthead ./masthead.newer
printf 'x' >>./masthead.newer
updated=$(./masthead.newer service install --json)
is "a new version" "$(names "$updated")" "install-binary restart wait-ready"
is "is the one that runs" "$(cmp "/proc/$(pid)/exe" ./masthead.newer && echo same)" same

# And away.
removed=$("$BINARY" service uninstall 2>&1)
is "uninstall, by the installed program" $? 0
has "keeps the data" "$removed" "the data stays in $DATA"
is "removes unit and program" "$(ls "$UNIT" "$BINARY" 2>/dev/null | wc -l)" 0
is "and leaves the drop-in" "$(ls "$UNIT.d")" mine.conf
is "data" "$(ls -d "$DATA/wal")" "$DATA/wal"
./masthead service status >/dev/null
is "status afterwards" $? 4
is "a second uninstall" "$(./masthead service uninstall)" "nothing to do"
./masthead service install >/dev/null && ./masthead service uninstall --purge-data >/dev/null
is "--purge-data" $? 0
is "removes it" "$(ls -d "$DATA" 2>/dev/null | wc -l)" 0

# From a machine that has this one as a registered server: `setup --runtime embedded` over a real sshd.
if [ -x /usr/sbin/sshd ] && [ -x /usr/bin/ssh ]; then
    mkdir -p /run/sshd /root/.ssh
    ssh-keygen -q -t ed25519 -N '' -f /root/.ssh/id_ed25519
    cp /root/.ssh/id_ed25519.pub /root/.ssh/authorized_keys
    ls /etc/ssh/ssh_host_ed25519_key >/dev/null 2>&1 || ssh-keygen -A >/dev/null
    /usr/sbin/sshd -p 2222 -o ListenAddress=127.0.0.1 -o PermitRootLogin=yes
    ./masthead server add box root@127.0.0.1:2222 --accept-new-host-key >/dev/null 2>&1
    planned=$(./masthead setup --runtime embedded --server box --dry-run 2>&1)
    is "embedded over ssh, planned" $? 0
    has "names the copy" "$planned" "sha256"
    is "and changes nothing" "$(ls "$UNIT" "$BINARY" 2>/dev/null | wc -l)" 0
    remote=$(./masthead setup --runtime embedded --server box --port prometheus=9191 --json 2>/tmp/embedded.err)
    is "embedded over ssh" $? 0
    has "answers on loopback" "$remote" '"url":"http://127.0.0.1:9191"'
    is "with the same program" "$(cmp ./masthead "$BINARY" && echo same)" same
    is "and nothing left over" "$(find /usr/local/bin -name '.masthead.*' | wc -l)" 0
    is "again" "$(./masthead setup --runtime embedded --server box 2>&1 | head -n 1)" "nothing to do"
    has "with another option" "$(./masthead setup --runtime embedded --server box --retention-time 90d 2>&1)" "restart masthead"
    ./masthead server list >/dev/null 2>&1
    sleep 2
    has "is asked through the tunnel" "$(./masthead query 'vector(42)' --server box --json 2>&1)" '"42"'
    # The service watches registered servers too, from within its sandbox; here it is its own server.
    sleep 20
    seen=$(./masthead query 'up{server="box",job="node-exporter"}' --url http://127.0.0.1:9191 --json 2>&1)
    has "the service scrapes a registered server" "$seen" '"1"'
    ./masthead server remove box >/dev/null 2>&1
    ./masthead service uninstall --purge-data >/dev/null
else
    say "skipped: there is no openssh here, so nothing over ssh was tried"
fi

say "===== $PASSED checks held, $FAILED failed"
[ "$FAILED" = 0 ]
