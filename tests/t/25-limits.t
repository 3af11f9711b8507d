#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# Too little of something: locked memory, descriptors, places for clients, memory for the ring.

. tests/lib.sh

stream=(--pattern max --lag-policy block --zerocopy always --listen 127.0.0.1:0)

# How many sends of all clients were copied because of ENOBUFS.
no_room()
{
	sed -n 's/.* left: .*(\([0-9]*\) after ENOBUFS)$/\1/p' "$log" |
		awk '{ sum += $1 } END { print sum + 0 }'
}

# --- locked memory; root is not limited, so another user runs the daemon ---
cp "$BUILD/dmacastd" "$work/dmacastd"
chmod 755 "$work" "$work/dmacastd"
if [ "$(id -u)" -eq 0 ]; then
	daemon_prefix=(setpriv --reuid 65534 --regid 65534 --clear-groups --bounding-set -all
		prlimit --memlock=65536:65536 --)
else
	daemon_prefix=(prlimit --memlock=65536:65536 --)
fi
if "${daemon_prefix[@]}" true 2>/dev/null; then
	BUILD=$work daemon_run "${stream[@]}"
	matches "locked memory of 64 KiB: the log says what it is enough for" "$log" \
		'RLIMIT_MEMLOCK = 64 KiB .*raise it'
	feed_ok "locked memory of 64 KiB: 8 clients have every byte" --clients 8 --bytes 16M \
		"127.0.0.1:$port"
	daemon_stop
	is "locked memory of 64 KiB: exit status" "$status" 0
	compare "locked memory of 64 KiB: sends met the limit and were copied" "$(no_room)" -gt 0
else
	skip "locked memory of 64 KiB" "cannot be limited here"
fi
daemon_prefix=()

# --- descriptors ---
daemon_prefix=(prlimit --nofile=32:32 --)
daemon_run --pattern 4M/s --listen 127.0.0.1:0
matches "32 descriptors: the log says that it is too low" "$log" 'RLIMIT_NOFILE = 32 is too low'
# Clients leave a quarter of them.
"$BUILD/tests/feedclient" --clients 60 --seconds 1 --allow-reset "127.0.0.1:$port" >"$work/many.out" 2>&1
matches "32 descriptors: clients that would take the last ones are refused" "$log" \
	'client 127\.0\.0\.1:[0-9]+ refused: the last descriptors are kept back .*LimitNOFILE='
is "32 descriptors: none is missing" "$(grep -c 'Too many open files' "$log")" 0
all_have_left()
{
	[ "$(grep -c ' left: ' "$log")" -eq "$(grep -c ' joined, ' "$log")" ]
}
wait_until 10 all_have_left
feed_ok "32 descriptors: when others have gone, new clients come in" --clients 4 --bytes 1M \
	"127.0.0.1:$port"
daemon_stop
is "32 descriptors: exit status" "$status" 0

# Connections of the operator may take all of them.
daemon_run --pattern 4M/s --listen 127.0.0.1:0 --control "$work/control"
idle=()
mkfifo "$work/silence"
exec {silence}<>"$work/silence"
for _ in $(seq 8); do
	socat - "UNIX-CONNECT:$work/control" <"$work/silence" &
	idle+=($!)
	will_end $!
done
feed_start last --clients 60 --stall 60 --seconds 60 --allow-reset "127.0.0.1:$port"
for _ in $(seq 16); do
	socat - "UNIX-CONNECT:$work/control" <"$work/silence" &
	idle+=($!)
	will_end $!
done
check "no descriptor left: logged" wait_until 10 grep -q \
	'control socket .*: accept: Too many open files; new clients have to wait' "$log"
before=$(cpu_ticks "$daemon")
sleep 1.5
after=$(cpu_ticks "$daemon")
is "no descriptor left: logged once" "$(grep -c 'accept: Too many open files' "$log")" 1
compare "no descriptor left: no busy loop" $((after - before)) -le 15
for pid in "${idle[@]}"; do
	signal_to TERM "$pid"
done
feed_end last TERM
check "no descriptor left: when others have gone, the operator comes in" wait_until 10 \
	"$BUILD/dmacastctl" -s "$work/control" status
daemon_stop
is "no descriptor left: exit status" "$status" 0

# What else needs a descriptor has one: a source that is opened again, the operator, the metrics.
for limit in 128 40; do
	daemon_prefix=(prlimit "--nofile=$limit:$limit" --)
	what="$limit descriptors, 150 clients"
	rm -f "$work/starts"
	daemon_run --input "exec:echo \$\$ >>$work/starts; exec sleep 1000" --on-end wait --listen 127.0.0.1:0 \
		--control "$work/control" --metrics :0
	http=$(sed -n 's,.*http://127\.0\.0\.1:\([0-9]*\)/.*,\1,p' "$log")
	feed_start all --clients 150 --seconds 60 --allow-reset "127.0.0.1:$port"
	check "$what: as many as possible are refused" wait_until 10 grep -q 'refused: the last' "$log"
	"$BUILD/dmacastctl" -s "$work/control" --json streams >"$work/status" 2>&1
	is "$what: the operator sees why" \
		"$(jq '[.streams[0] | (.clients > 10), (.refused > 0), (.refused == .refused_for.no_descriptor)] | all' \
			"$work/status")" true
	exec {connection}<>"/dev/tcp/127.0.0.1/$http"
	printf 'GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n' >&"$connection"
	timeout 20 cat <&"$connection" >"$work/page"
	exec {connection}>&-
	matches "$what: the metrics count them" "$work/page" \
		'^dmacast_stream_clients_refused_total\{.*reason="no_descriptor"\} [1-9]'
	kill "$(head -n 1 "$work/starts")"
	check "$what: the source starts again" wait_until 20 sh -c "[ \$(wc -l <'$work/starts') -ge 2 ]"
	feed_end all TERM
	daemon_stop
	is "$what: exit status" "$status" 0
done
daemon_prefix=()

# The soft limit is raised to the hard one.
daemon_prefix=(prlimit --nofile=64:2000 --)
daemon_run --pattern 4M/s --listen 127.0.0.1:0 --max-clients 1500
feed_ok "a soft limit of 64 descriptors does not limit to 64 clients" --clients 200 --bytes 256K \
	"127.0.0.1:$port"
daemon_stop
daemon_prefix=()

# --- places for clients ---
daemon_run --pattern 4M/s --listen 127.0.0.1:0 --max-clients 3
feed_start three --clients 3 --seconds 60 "127.0.0.1:$port"
feed --clients 1 --seconds 1 "127.0.0.1:$port"
compare "max-clients: the fourth is turned away" "$status" -ne 0
matches "max-clients: and it is logged" "$log" 'client 127\.0\.0\.1:[0-9]+ refused: max-clients'
feed_end_ok "max-clients: the three are served" three TERM
wait_until 5 sh -c "[ \$(grep -c ' left: ' '$log') -ge 3 ]"
sleep 0.2
feed_ok "max-clients: then there is room again" --clients 3 --bytes 1M "127.0.0.1:$port"
daemon_stop

daemon_run --pattern 4M/s --listen '127.0.0.1:0' --max-clients-per-address 2
feed_start two --clients 2 --seconds 60 --source 127.0.0.2 "127.0.0.1:$port"
feed --clients 1 --seconds 1 --source 127.0.0.2 "127.0.0.1:$port"
compare "max-clients-per-address: the third from there is turned away" "$status" -ne 0
matches "max-clients-per-address: and it is logged" "$log" \
	'client 127\.0\.0\.2:[0-9]+ refused: max-clients-per-address'
feed_ok "max-clients-per-address: others are served" --clients 2 --bytes 1M --source 127.0.0.3 \
	"127.0.0.1:$port"
feed_end_ok "max-clients-per-address: so are the first two" two TERM
daemon_stop

# --- ghosts: clients that connect and close, while there is nothing to send to them ---
# ghosts NUMBER: connect and close at once.
ghosts()
{
	local i fd

	for ((i = 0; i < $1; i++)); do
		exec {fd}<>"/dev/tcp/127.0.0.1/$port" && exec {fd}>&-
	done
}

daemon_run --feed none --listen 127.0.0.1:0 --max-clients 20 --max-clients-per-address 20
ghosts 100
wait_until 10 clients_joined 100
is "ghosts: none is refused" "$(grep -c refused "$log")" 0
feed_start live --clients 20 --seconds 60 "127.0.0.1:$port"
wait_until 10 clients_joined 120
is "ghosts: 20 clients take their places" "$(client_lines joined)" 120
matches "ghosts: the log says why they left" "$log" 'left: half-closed by the peer, and its place was needed; '
feed --clients 1 --seconds 1 "127.0.0.1:$port"
compare "ghosts: live clients do not give way" "$status" -ne 0
feed_end_ok "ghosts: the live clients are served" live TERM
daemon_stop

# Probes find them when their kernel forgets them, after 60 seconds; here it forgets them earlier.
if unshare --net true 2>/dev/null; then
	cat >"$work/forgetful" <<-EOF
		ip link set lo up && echo 1 >/proc/sys/net/ipv4/tcp_fin_timeout && exec "\$@"
	EOF
	daemon_prefix=(unshare --net sh "$work/forgetful")
	daemon_run --feed none --listen 127.0.0.1:0 --keepalive 0
	in_namespace=(nsenter --net="/proc/$daemon/ns/net")
	"${in_namespace[@]}" bash -c "for i in 1 2 3; do exec 3<>/dev/tcp/127.0.0.1/$port; exec 3>&-; done"
	wait_until 30 clients_left 3
	is "ghosts: probes find them" "$(grep -c 'left: reset by peer' "$log")" 3
	daemon_stop
	daemon_prefix=()
else
	skip "ghosts: probes find them" "no network namespace here"
fi

# hold = 3: three ghosts do not start the source; three clients do, from its first byte.
"$BUILD/tests/feedclient" --generate 4M >"$work/held"
daemon_run --input "$work/held" --listen 127.0.0.1:0 --hold 3
ghosts 3
wait_until 10 clients_joined 3
sleep 0.5
feed_ok "hold: ghosts do not count, and clients get the whole file" --clients 3 --from-start \
	--until-end --expect-bytes 4M "127.0.0.1:$port"
daemon_wait 20
is "hold: exit status" "$status" 0

# --- half-closed clients ---
daemon_run --feed none --listen 127.0.0.1:0
feed_start half --clients 1 --half-close --bytes 1M "127.0.0.1:$port"
sleep 7
source_pour 2M
feed_end_ok "half-close = keep: after seconds of quiet, and probes, the client gets the feed" half
daemon_stop
daemon_run --feed none --listen 127.0.0.1:0 --half-close end
ghosts 5
feed --clients 2 --half-close --seconds 20 "127.0.0.1:$port"
wait_until 10 clients_left 7
is "half-close = end: all of them are ended in order" "$(grep -c 'left: half-closed by the peer; ' "$log")" 7
daemon_stop

# --- memory ---
daemon_run --pattern 4M/s --listen 127.0.0.1:0 --ring-size 1024G --block-size 64M
daemon_wait 10
is "a ring larger than the machine is refused" "$status" 1
matches "and the log says what to do" "$log" 'no memory for the ring: needs 1 TiB, limit .*lower ring-size'

# memory_cgroup BYTES: make a memory cgroup below our own with that limit, and set group, or fail.
memory_cgroup()
{
	local path

	path=$(sed -n 's/^[0-9]*:memory://p' /proc/self/cgroup)
	if [ -n "$path" ]; then
		group=/sys/fs/cgroup/memory${path%/}/dmacast-test.$$
		limit_file=memory.limit_in_bytes
	else
		path=$(sed -n 's/^0:://p' /proc/self/cgroup)
		group=/sys/fs/cgroup${path%/}/dmacast-test.$$
		limit_file=memory.max
	fi
	mkdir "$group" 2>/dev/null || return 1
	{ echo "$1" >"$group/$limit_file"; } 2>/dev/null && return 0
	rmdir "$group"
	return 1
}

if memory_cgroup 256M; then
	trap 'clean_up; rmdir "$group" 2>/dev/null' EXIT
	# shellcheck disable=SC2016 # for the inner shell
	daemon_prefix=(sh -c 'echo $$ >"$0/cgroup.procs" && exec "$@"' "$group")
	daemon_run --pattern 4M/s --listen 127.0.0.1:0 --ring-size 300M
	daemon_wait 10
	is "a ring larger than the memory cgroup: refused, not killed" "$status" 1
	matches "... and the log says what to do" "$log" \
		"stream main: no memory for the ring: needs 300 MiB, limit 256 MiB, of which .* are left \($group/$limit_file\); raise it"
	section()
	{
		printf '[stream %s]\nlisten = 127.0.0.1:%s\npattern = 4M/s\nring-size = %s\n' "$@"
	}
	section a 0 64M >"$work/group.conf"
	daemon_run -c "$work/group.conf"
	feed_start steady --clients 2 --until-end --expect-end end "127.0.0.1:$port"
	section a 0 200M >"$work/group.conf"
	kill -HUP "$daemon"
	check "a reload to such a ring is refused" wait_until 20 grep -q 'previous configuration stays' "$log"
	section a 0 64M >"$work/group.conf"
	section b 0 200M >>"$work/group.conf"
	kill -HUP "$daemon"
	check "... and of a stream that is new" wait_until 20 grep -q \
		'stream b: no memory for the ring: needs 200 MiB, limit 256 MiB' "$log"
	feed_ok "... and the stream goes on" --clients 1 --bytes 1M "127.0.0.1:$port"

	# Another process of the cgroup takes memory while the ring is made: the daemon is stopped in the middle.
	section a 0 64M >"$work/group.conf"
	{ section b 0 128M && echo 'huge-pages = never'; } >"$work/both.conf"
	cat "$work/group.conf" >>"$work/both.conf"
	resident_bytes()
	{
		awk '/^VmRSS/ { print $2 * 1024 }' "/proc/$daemon/status"
	}
	made=-1
	for _ in 1 2 3 4 5; do
		before=$(resident_bytes)
		# shellcheck disable=SC2016 # for perl
		timeout 60 perl -e 'my ($pid, $bytes, $page) = @ARGV;
			for (;;) {
				open my $file, "<", "/proc/$pid/statm" or exit 1;
				my @size = split " ", <$file>;
				kill("STOP", $pid) && exit if $size[1] * $page >= $bytes;
			}' "$daemon" $((before + (20 << 20))) "$(getconf PAGESIZE)" &
		watcher=$!
		cp "$work/both.conf" "$work/group.conf"
		kill -HUP "$daemon"
		wait "$watcher"
		made=$(($(resident_bytes) - before))
		[ $made -gt $((80 << 20)) ] || break
		kill -CONT "$daemon"
		section a 0 64M >"$work/group.conf"
		reloads=$(grep -c '1 removed' "$log")
		kill -HUP "$daemon"
		# shellcheck disable=SC2016 # for the inner shell
		wait_until 20 sh -c '[ "$(grep -c "1 removed" "$0")" -gt "$1" ]' "$log" "$reloads"
	done
	diag "stopped with $((made >> 20)) MiB of the ring"
	if [ $made -le $((80 << 20)) ]; then
		# shellcheck disable=SC2016 # for the inner shell and perl
		sh -c 'echo $$ >"$0/cgroup.procs" && exec "$@"' "$group" \
			perl -e 'vec(my $memory, (96 << 20) - 1, 8) = 1; open my $f, ">", $ARGV[0]; sleep 600' \
			"$work/taken" &
		other=$!
		will_end "$other"
		wait_until 20 [ -e "$work/taken" ] || diag "no memory was taken"
		kill -CONT "$daemon"
		check "memory that is taken while a ring is made: the reload is refused" wait_until 20 grep -q \
			'stream b: no memory for the ring: needs 128 MiB, limit 256 MiB' "$log"
		signal_to TERM "$other"
		wait "$other" 2>/dev/null
		feed_ok "... and the stream goes on" --clients 1 --bytes 1M "127.0.0.1:$port"
	else
		skip "memory that is taken while a ring is made" "the ring was made too fast"
	fi
	daemon_stop
	is "... to its end" "$status" 0
	feed_end_ok "... without a gap" steady
	sed -i '/longest turn of the event loop/d' "$log" # it was stopped in one
	daemon_prefix=()
	rmdir "$group"
else
	skip "memory cgroups" "none can be made here"
fi

# Huge pages are the whole machine's: one such test at a time.
exec 8>"${TMPDIR:-/tmp}/dmacast-huge-pages.lock"
flock 8
if [ "$(cat /proc/sys/vm/nr_hugepages 2>/dev/null)" = 0 ]; then
	daemon_run --pattern 4M/s --listen 127.0.0.1:0 --huge-pages require
	daemon_wait 10
	is "huge-pages = require without any is refused" "$status" 1
	matches "and the log says what to do" "$log" 'raise vm.nr_hugepages'
fi
if [ "$(id -u)" -eq 0 ] && echo 12 2>/dev/null >/proc/sys/vm/nr_hugepages &&
	[ "$(cat /proc/sys/vm/nr_hugepages)" -ge 8 ]; then
	# Rings of other tests, with huge-pages = auto, take some of them, too.
	for pages in 12 24 48 96 192; do
		echo $pages >/proc/sys/vm/nr_hugepages
		daemon_run "${stream[@]}" --huge-pages require
		grep -q 'no .* of huge pages' "$log" || break
		daemon_wait 10
	done
	matches "huge pages: used and said" "$log" 'memfd, 2 MiB pages'
	feed_ok "huge pages: every byte" --clients 4 --bytes 32M "127.0.0.1:$port"
	daemon_stop
	is "huge pages: exit status" "$status" 0
	echo 0 >/proc/sys/vm/nr_hugepages
else
	skip "huge pages" "there are none, and they cannot be made here"
fi
transparent=/sys/kernel/mm/transparent_hugepage/enabled
before=$(sed 's/.*\[\(.*\)\].*/\1/' $transparent 2>/dev/null)
if [ -n "$before" ] && [ "$before" != never ]; then
	daemon_run "${stream[@]}"
	matches "transparent huge pages: used and said" "$log" \
		'(memfd|anonymous), 4 KiB pages, [0-9]+ MiB of it in transparent huge pages'
	feed_ok "transparent huge pages: every byte" --clients 4 --bytes 32M "127.0.0.1:$port"
	daemon_stop
	is "transparent huge pages: exit status" "$status" 0
	daemon_run "${stream[@]}" --huge-pages never
	matches "huge-pages = never: none" "$log" ' memfd, 4 KiB pages$'
	daemon_stop
else
	skip "transparent huge pages" "this kernel has none"
fi
if [ "$(id -u)" -eq 0 ] && echo never 2>/dev/null >$transparent; then
	daemon_run "${stream[@]}"
	matches "transparent huge pages that are off: none" "$log" ' memfd, 4 KiB pages$'
	feed_ok "transparent huge pages that are off: every byte" --clients 4 --bytes 32M "127.0.0.1:$port"
	daemon_stop
	is "transparent huge pages that are off: exit status" "$status" 0
	echo "$before" >$transparent
else
	skip "transparent huge pages that are off" "they cannot be switched off here"
fi
flock -u 8

# --- an endpoint that is taken ---
daemon_run --pattern 4M/s --listen 127.0.0.1:0
first=$daemon
taken=$port
daemon_run --pattern 4M/s --listen "127.0.0.1:$taken"
daemon_wait 10
is "an endpoint that is in use is refused" "$status" 1
matches "and named" "$log" "listen = 127.0.0.1:$taken: Address already in use"
kill -TERM "$first"
wait "$first"

done_testing
