#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# What takes time in a reload, and at the start, takes place while all streams run: names whose server does not
# answer, and large rings. In a network of the test's own, with a name server that is silent.

. tests/lib.sh

if [ "${1-}" != in-namespace ]; then
	unshare -nm true 2>/dev/null || skip_all "no network namespaces here"
	exec unshare -nm bash "$0" in-namespace
fi
command -v socat >/dev/null || skip_all "no socat"

ip link set lo up
printf 'nameserver 127.0.0.1\noptions timeout:30 attempts:1\n' >"$work/resolv.conf"
printf '127.0.0.1 localhost\n127.0.0.2 known.example\n' >"$work/hosts"
printf 'hosts: files dns\n' >"$work/nsswitch.conf"
for file in resolv.conf hosts nsswitch.conf; do
	mount --bind "$work/$file" "/etc/$file" || skip_all "/etc/$file cannot be replaced"
done
server_start()
{
	socat -u UDP4-RECV:53,bind=127.0.0.1 OPEN:/dev/null &
	server=$!
	will_end "$server"
	wait_until 10 grep -q ' 0100007F:0035 ' /proc/net/udp
}
server_start

config=$work/dmacastd.conf
ctl=("$BUILD/dmacastctl" -s "$work/control")

# configure LINE...: the stream of all reloads, and more lines.
configure()
{
	{
		printf '[daemon]\ncontrol = %s\n' "$work/control"
		printf '[stream steady]\nlisten = localhost:7000\npattern = %s/s\n' $(((20 << 20) / scale))
		printf 'block-size = 64K\nring-size = 8M\nlag-policy = block\n'
		printf '%s\n' "$@"
	} >"$config"
}

start_daemon()
{
	daemon_run -c "$config"
	wait_until 20 "${ctl[@]}" status
}

sent_bytes()
{
	"${ctl[@]}" --json status | jq .sent_bytes
}

# reload_start: in the background; its output is in $work/reload.out.
reload_start()
{
	"${ctl[@]}" reload >"$work/reload.out" 2>&1 &
	reload=$!
	will_end "$reload"
}

# progress_during: while the reload is under way, count the requests that are answered, and the times that clients
# have got more data since the last one. Sets answers, advances.
progress_during()
{
	local before=0 now

	answers=0 advances=0
	while ! process_ended "$reload" && [ "$advances" -lt 20 ]; do
		now=$(sent_bytes)
		[ -n "$now" ] || continue
		process_ended "$reload" && break
		answers=$((answers + 1))
		[ "$now" -le "$before" ] || advances=$((advances + 1))
		before=$now
		sleep 0.01
	done
}

children()
{
	ps -o pid= --ppid "$daemon" | wc -l
}

has_children()
{
	[ "$(children)" -ge "$1" ]
}

has_no_child()
{
	[ "$(children)" -eq 0 ]
}

resident_kb()
{
	awk '/^VmRSS/ { print $2 }' "/proc/$daemon/status"
}

resident_below()
{
	[ "$(resident_kb)" -lt "$1" ]
}

lines()
{
	grep -cE -- "$1" "$log"
}

configure
start_daemon
feed_start steady --clients 2 --until-end --expect-end end 127.0.0.1:7000

# ---- names ----

configure '[stream hang]' 'listen = hang.example:7001' 'pattern = 1K/s'
reload_start
progress_during
compare "a name server that is silent: requests are answered meanwhile" "$answers" -ge 20
compare "... and clients of another stream get data" "$advances" -ge 20
check "... while the reload is under way" kill -0 "$reload"
compare "... and a process asks for the name" "$(children)" -eq 1

# A second one, during the first, with the newest file.
configure '[stream second]' 'listen = known.example:7002' 'pattern = 1K/s'
kill -HUP "$daemon"
kill -HUP "$daemon"
wait "$reload"
compare "the reload is refused" $? -eq 1
matches "... for its reason" "$work/reload.out" \
	'stream hang: listen = hang.example:7001: no answer from the name server$'
matches "... and the answer has that" "$work/reload.out" 'the previous configuration stays in effect'
check "the requests that came meanwhile are one reload" wait_until 20 grep -q '1 new, 0 removed' "$log"
sleep 0.2
is "... after it" "$(lines 'reading .* again')" 2
matches "... and a name of /etc/hosts is one that is known" "$log" 'stream second: listening on 127.0.0.2:7002'
check "no process is left" wait_until 20 has_no_child

configure '[stream dial]' 'listen = :7003' 'input = tcp:hang.example:7000' 'on-end = wait'
check "an input whose name server is silent: the reload is done" "${ctl[@]}" reload
check "... while a process asks for the name" wait_until 20 has_children 1
"${ctl[@]}" --json streams >"$work/streams"
is "... and requests are answered" \
	"$(jq -r '.streams[] | select(.name == "dial").source_state' "$work/streams" 2>/dev/null | grep -c connecting)" 1
configure
check "... and the stream can be removed" "${ctl[@]}" reload
check "... with that process" wait_until 20 has_no_child

# An input that listens: its name must have an address, as that of an endpoint.
configure '[stream in]' 'listen = :7006' 'input = tcp-listen:known.example:7010'
check "an input that listens on a name: the reload is done" "${ctl[@]}" reload
matches "... and it listens" "$log" 'stream in: input tcp-listen:known.example:7010: producers can connect to 127.0.0.2:7010'
printf '127.0.0.1 localhost\n' >"$work/hosts"
configure '[stream in]' 'listen = :7006' 'input = tcp-listen:known.example:7010' 'block-size = 128K'
check "... and its successor, which has the socket, needs no name" "${ctl[@]}" reload
printf '127.0.0.1 localhost\n127.0.0.2 known.example\n' >"$work/hosts"
configure '[stream in]' 'listen = :7006' 'input = tcp-listen:hang.example:7010'
reload_start
progress_during
compare "... with a silent name server: requests are answered meanwhile" "$answers" -ge 20
wait "$reload"
compare "... and the reload is refused" $? -eq 1
matches "... for its reason" "$work/reload.out" \
	'stream in: input = tcp-listen:hang.example:7010: no answer from the name server$'

# An endpoint that waits: it asks again and again, while all streams run.
configure '[stream wait]' 'listen = hang.example:7007' 'pattern = 1K/s' 'listen-when = available'
reload_start
progress_during
compare "listen-when = available, with a silent name server: requests are answered meanwhile" "$answers" -ge 20
wait "$reload"
compare "... and the reload is done" $? -eq 0
check "... and the endpoint waits" sh -c "'${ctl[0]}' -s '$work/control' status |
	grep -q 'listen = hang.example:7007: no answer from the name server'"
check "... and asks again" wait_until 20 has_children 1
reload_start
progress_during
wait "$reload"
compare "... while another reload is done" $? -eq 0
printf '127.0.0.1 localhost\n127.0.0.2 known.example\n127.0.0.3 hang.example\n' >"$work/hosts"
check "... and it listens when the name has an address" wait_until 60 grep -q \
	'stream wait: listening on 127.0.0.3:7007' "$log"
printf '127.0.0.1 localhost\n127.0.0.2 known.example\n' >"$work/hosts"
configure '[stream wait]' 'listen = hang.example:7008' 'pattern = 1K/s' 'listen-when = available'
check "... and with another endpoint" "${ctl[@]}" reload
check "... it asks for that name" wait_until 20 has_children 1
configure
check "... and the stream can be removed" "${ctl[@]}" reload
check "... with that process" wait_until 20 has_no_child

# ---- rings ----

available=$(awk '/^MemAvailable/ { print int($2 / 1024) }' /proc/meminfo)
size=1024
[ "$available" -gt 3072 ] && [ "$scale" -eq 1 ] || size=256
for pages in auto never; do
	before=$(resident_kb)
	configure '[stream large]' 'listen = :7004' 'pattern = 1K/s' "ring-size = ${size}M" "huge-pages = $pages" \
		'block-size = 64K'
	reload_start
	progress_during
	diag "$answers answers, $advances advances"
	compare "a ring of $size MiB, huge-pages = $pages: requests are answered meanwhile" "$answers" -ge 2
	compare "... and clients of another stream get data" "$advances" -ge 2
	wait "$reload"
	compare "... and the reload is done" $? -eq 0
	compare "... and the memory is there" "$(resident_kb)" -ge $((before + size * 1000))
	configure
	check "... and the ring can be removed" "${ctl[@]}" reload
	check "... and its memory is given back" wait_until 60 resident_below $((before + 16384))
done

before=$(resident_kb)
configure '[stream small]' 'listen = :7004' 'pattern = 1K/s' 'ring-size = 64M' \
	'[stream huge]' 'listen = :7005' 'pattern = 1K/s' 'ring-size = 1T' 'block-size = 64M'
"${ctl[@]}" reload >"$work/reload.out" 2>&1
compare "a ring that is larger than the memory is refused" $? -eq 1
matches "... for its reason" "$work/reload.out" 'stream huge: no memory for the ring: needs 1 TiB, limit '
check "... and the ring before it is given back" wait_until 20 resident_below $((before + 16384))
is "... and its endpoint was not opened" "$(lines 'listening on .*:7004$')" 2

# ---- the end ----

configure '[stream hang]' 'listen = hang.example:7001' 'pattern = 1K/s' \
	'[stream hang2]' 'listen = hang2.example:7001' 'pattern = 1K/s'
reload_start
check "a process for each name" wait_until 20 has_children 2
mapfile -t child < <(ps -o pid= --ppid "$daemon")
daemon_stop
is "SIGTERM during a reload: exit status" "$status" 0
feed_end_ok "... and the clients had every byte, over all reloads" steady
wait "$reload"
compare "... and the reload is refused" $? -eq 1
matches "... for its reason" "$work/reload.out" 'not reloaded: dmacastd is stopping'
is "... and did not take its time" "$(lines 'stream hang: .*no answer from the name server')" 1
gone()
{
	local pid

	for pid in "${child[@]}"; do
		process_ended "$((pid))" || return 1
	done
}
check "... and no process is left" wait_until 20 gone

# With huge pages another process works for the ring first, whose name is dmacast-memory.
ring_is_being_made()
{
	[ "$(resident_kb)" -gt $((before + 8192)) ] || [ "$(ps -o comm= --ppid "$daemon")" = dmacast-memory ]
}
for pages in never auto; do
	configure '[stream large]' 'listen = :7004' 'pattern = 1K/s' "ring-size = ${size}M" "huge-pages = $pages"
	cp "$config" "$work/large.conf"
	configure
	start_daemon
	before=$(resident_kb)
	cp "$work/large.conf" "$config"
	kill -HUP "$daemon"
	wait_until 20 ring_is_being_made
	mapfile -t child < <(ps -o pid= --ppid "$daemon")
	daemon_stop
	is "SIGTERM while a ring is made, huge-pages = $pages: exit status" "$status" 0
	is "... and the stream of the ring was not opened" "$(lines 'stream large')" 0
	check "... and no process is left" wait_until 20 gone
done

# ---- the start ----

configure '[stream hang]' 'listen = hang.example:7001' 'pattern = 1K/s'
"$BUILD/dmacastd" -c "$config" 2>"$work/start.log" &
daemon=$!
log=$work/start.log
will_end "$daemon"
check "at the start a process asks for the name, too" wait_until 20 has_children 1
daemon_stop
is "SIGTERM before the start is complete: exit status" "$status" 0
matches "... which is logged" "$log" 'Terminated: stopping before the start is complete'
is "... and nothing was opened" "$(lines 'listening on')" 0

signal_to TERM "$server"
wait "$server" 2>/dev/null
"$BUILD/dmacastd" -c "$config" 2>"$work/start.log"
is "a name without a name server at the start: exit status" $? 1
matches "... for its reason" "$log" 'error: stream hang: listen = hang.example:7001: Temporary failure in name resolution$'

done_testing
