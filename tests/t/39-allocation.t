#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# A reload without memory: each of its allocations fails once. Every time either nothing has changed, and
# the log says why, or everything has. And a client that joins without memory, and one that skips without memory for
# the rest of its block.

. tests/lib.sh

library=$BUILD/tests/preload/failalloc.so
[[ $BUILD != *san* ]] || skip_all "a sanitizer has an allocator of its own"
[ -e "$library" ] || skip_all "no $library"

config=$work/dmacastd.conf
counter=$work/counter

# The functions up to start_daemon() run hundreds of times. They use what the shell has itself: to start programs
# cost more than all reloads.

# fail_allocation N: the Nth from now on, once; 0: none.
fail_allocation()
{
	local bytes

	# In place: the file is mapped. A byte each, the lowest first, as on all machines that Debian 12 is for.
	printf -v bytes '\\x%02x' $(($1 & 255)) $(($1 >> 8 & 255)) $(($1 >> 16 & 255)) 0
	printf '%b' "$bytes" 1<>"$counter"
}

allocations_left()
{
	od -An -tu4 -N4 "$counter" | tr -d ' '
}

# reload_is_over: add to reload_log what was logged since the last time. (`read` fails, as no NUL byte comes.)
reload_is_over()
{
	local more

	IFS= read -r -d '' -u "$log_end" more
	reload_log+=$more
	[[ $reload_log =~ streams:\ ([^$'\n']*\ as\ before)$'\n' ]] ||
		[[ $reload_log = *'previous configuration stays in effect'* ]] || ! kill -0 "$daemon"
}

# reload TEXT: this configuration, and wait until that is over. Sets reload_log; and summary, what changed, which is
# empty if the configuration was refused.
reload()
{
	local before

	printf '%s\n' "$1" >"$config"
	IFS= read -r -d '' -u "$log_end" before
	reload_log='' summary=''
	kill -HUP "$daemon" 2>/dev/null
	wait_until 20 reload_is_over || diag "no reload"
	[[ ! $reload_log =~ streams:\ ([^$'\n']*\ as\ before)$'\n' ]] || summary=${BASH_REMATCH[1]}
}

# gives_data PORT: bytes that are not 0 are counted.
gives_data()
{
	local LC_ALL=C data

	IFS= read -r -t 5 -N 256 data 2>/dev/null <"/dev/tcp/127.0.0.1/$1"
}

# connects PORT
connects()
{
	true 2>/dev/null <"/dev/tcp/127.0.0.1/$1"
}

# stream NAME PORT LINE...: a section.
stream()
{
	printf '[stream %s]\nlisten = 127.0.0.1:%s\npattern = 10M/s\nlag-policy = block\n' "$1" "$2"
	shift 2
	printf '%s\n' "$@"
}

# endpoint NAME PORT LINE...: a section of the stream "adapted".
endpoint()
{
	printf '[endpoint %s]\nstream = adapted\nlisten = 127.0.0.1:%s\n' "$1" "$2"
	shift 2
	[ $# -eq 0 ] || printf '%s\n' "$@"
}

free_ports 11

# Huge pages only in the last stream: what the kernel gives decides how many allocations there are.
small=(ring-size=1M block-size=64K huge-pages=never)

# Every kind of change: an endpoint more and another limit, another ring, two streams more, and one less; and a
# section of endpoints that changes, one more, and one less. One of the new streams listens on names, for clients and
# for a producer, which child processes resolve.
{
	printf '[daemon]\ndrain-timeout = 1s\ncontrol = %s\n' "$work/control"
	stream steady "${ports[0]}" "${small[@]}"
	stream adapted "${ports[1]}" "${small[@]}"
	stream restarted "${ports[2]}" "${small[@]}"
	stream removed "${ports[3]}" "${small[@]}"
	endpoint changed "${ports[8]}"
	endpoint removed "${ports[10]}"
} >"$work/old.conf"
{
	printf '[daemon]\ndrain-timeout = 2s\ncontrol = %s\nlog-level = debug\n' "$work/control"
	stream steady "${ports[0]}" "${small[@]}"
	stream adapted "${ports[1]}" "${small[@]}" max-clients=99 "listen=127.0.0.1:${ports[4]}"
	stream restarted "${ports[2]}" "${small[@]:1}" ring-size=2M
	stream added "${ports[5]}" ring-size=1M block-size=64K
	printf '[stream fed]\nlisten = localhost:%s\nlisten-when = available\n' "${ports[6]}"
	printf 'input = tcp-listen:localhost:%s\n' "${ports[7]}"
	printf '%s\n' "${small[@]}"
	endpoint changed "${ports[8]}" max-clients=98 allow=127.0.0.0/8 congestion=reno
	endpoint added "${ports[9]}" lag-policy=latest
} >"$work/new.conf"
old=$(<"$work/old.conf")
new=$(<"$work/new.conf")

# start_daemon: with the old configuration.
no_allocation=$work/no-allocation
truncate -s 4 "$counter" "$no_allocation"
log_end=''
start_daemon()
{
	fail_allocation 0
	printf '%s\n' "$old" >"$config"
	[ -z "$log_end" ] || exec {log_end}<&-
	daemon_prefix=(env "LD_PRELOAD=$library" "DMACAST_FAIL_ALLOCATION=$counter")
	daemon_run -c "$config"
	daemon_prefix=()
	wait_until 20 grep -q 'control socket' "$log"
	exec {log_end}<"$log"
}

# reload_without N: a reload whose Nth allocation fails. Afterwards the old configuration is in effect, or the
# new one if the reload did without. What is wrong is added to the lists. Return: 1 if it needed fewer.
refused=0 tolerated=0
reload_without()
{
	local port left

	fail_allocation "$1"
	reload "$new"
	cmp -s "$counter" "$no_allocation"
	left=$?
	fail_allocation 0
	process_ended "$daemon" && { echo "$1" >>"$work/ended" && diag_file "$log"; return 1; }
	[ "$left" = 0 ] || return 1
	if [ -z "$summary" ]; then
		refused=$((refused + 1))
		[[ $reload_log =~ error:\ [^$'\n']*([Mm]emory|[Aa]llocat) ]] || echo "$1: $reload_log" >>"$work/silent"
		reload "$old"
		[ "$summary" = "0 new, 0 removed, 0 restarted, 0 changed, 4 as before" ] ||
			echo "$1: $summary" >>"$work/changed"
		listening=("${ports[@]:0:4}" "${ports[8]}")
		closed=("${ports[@]:4:4}" "${ports[9]}")
		connected=()
	else
		tolerated=$((tolerated + 1))
		reload "$new"
		[ "$summary" = "0 new, 0 removed, 0 restarted, 0 changed, 5 as before" ] ||
			echo "$1: $summary" >>"$work/half"
		listening=("${ports[@]:0:3}" "${ports[@]:4:2}" "${ports[@]:8:2}")
		closed=("${ports[3]}")
		connected=("${ports[@]:6:2}")
	fi
	for port in "${listening[@]}"; do
		gives_data "$port" || echo "$1: port $port" >>"$work/starved"
	done
	for port in "${connected[@]}"; do
		connects "$port" || echo "$1: port $port" >>"$work/half"
	done
	for port in "${closed[@]}"; do
		! connects "$port" || echo "$1: port $port" >>"$work/half"
	done
	return 0
}

# begin_checks, end_checks TEXT: around a series of these.
begin_checks()
{
	for list in ended silent changed half starved; do
		: >"$work/$list"
	done
	refused=0 tolerated=0
}

end_checks()
{
	diag "$refused reloads were refused, $tolerated did without"
	compare "$1: reloads were refused" "$refused" -ge 50
	is "$1: the daemon still runs" "$(cat "$work/ended")" ""
	is "$1: a refused reload says that memory is missing" "$(cat "$work/silent")" ""
	is "$1: a refused reload changes nothing" "$(cat "$work/changed")" ""
	is "$1: a reload that did without is complete" "$(cat "$work/half")" ""
	is "$1: clients get data after each of them" "$(cat "$work/starved")" ""
	is "$1: with enough memory the reload takes place" "$summary" \
		"2 new, 1 removed, 1 restarted, 1 changed, 1 as before"
}

# ---- one daemon, all the time, with clients ----

start_daemon
fail_allocation 1000000
reload "$old"
compare "allocations are counted" "$(allocations_left)" -lt 1000000
fail_allocation 0
feed_start steady --clients 2 --until-end --expect-end end "127.0.0.1:${ports[0]}"
feed_start adapted --clients 2 --until-end --expect-end end "127.0.0.1:${ports[1]}"

begin_checks
allocation=1
while [ $allocation -lt 1000 ] && reload_without $allocation; do
	# Where it did without, the new configuration is in effect.
	reload "$old"
	allocation=$((allocation + 1))
done
end_checks "one daemon"
daemon_stop
is "exit status" "$status" 0
feed_end_ok "the clients of the stream that stayed as it was have every byte" steady
feed_end_ok "... and so have those of the stream that was adapted" adapted

# ---- a new daemon each time: libevent allocates what it needs for a descriptor once ----

begin_checks
allocation=1
while [ $allocation -lt 1000 ]; do
	start_daemon
	reload_without $allocation || break
	daemon_stop
	[ "$status" = 0 ] || echo "$allocation: exit status $status" >>"$work/ended"
	allocation=$((allocation + 1))
done
end_checks "a new daemon"
daemon_stop

# ---- a client that joins: with the one place that there is for its address, so that no failure may keep it ----

fail_allocation 0
daemon_prefix=(env "LD_PRELOAD=$library" "DMACAST_FAIL_ALLOCATION=$counter")
daemon_run --pattern 10M/s --listen 127.0.0.1:0 --max-clients-per-address 1 --ring-size 1M --block-size 64K
daemon_prefix=()
nobody_is_left()
{
	[ "$(client_lines left)" = "$(client_lines joined)" ]
}
allocation=1
while [ $allocation -lt 100 ]; do
	fail_allocation $allocation
	gives_data "$port" || true
	[ "$(allocations_left)" = 0 ] || break
	fail_allocation 0
	wait_until 10 nobody_is_left
	wait_until 10 gives_data "$port" || echo "$allocation" >>"$work/kept"
	wait_until 10 nobody_is_left
	allocation=$((allocation + 1))
done
fail_allocation 0
compare "joining without memory: each allocation failed once" "$allocation" -gt 2
matches "... some clients were refused" "$log" 'no memory for a client'
check "... and none of them kept the place of its address" test ! -e "$work/kept"
daemon_stop
is "... the daemon still runs" "$status" 0

# ---- a client that skips while half of the ring is pinned needs memory for the rest of its block ----

fail_allocation 0
daemon_prefix=(env "LD_PRELOAD=$library" "DMACAST_FAIL_ALLOCATION=$counter")
daemon_run --pattern $(((8 << 20) / scale))/s --lag-policy drop --zerocopy always --listen 127.0.0.1:0 --block-size 64K \
	--ring-size 1M --huge-pages never
daemon_prefix=()
for i in $(seq 12); do
	feed_start "stalled$i" --clients 4 --stall 4 --seconds 120 --allow-reset "127.0.0.1:$port"
	sleep 0.1
done
feed_start slow --clients 4 --rate 2M/s --rcvbuf 32K --allow-gaps --block-gaps --block-size 64K --allow-reset \
	--seconds 60 "127.0.0.1:$port"

# fails_for_rest: let the next allocation fail, whatever it is for, until it was such a copy.
fails_for_rest()
{
	fail_allocation 1
	grep -q 'left: too slow, and no memory for the rest of its block' "$log"
}

check "a client that gets no memory for the rest of its block is reset" wait_until 40 fails_for_rest
fail_allocation 0
feed_start good --clients 2 --allow-gaps --block-gaps --block-size 64K --bytes 8M "127.0.0.1:$port"
feed_end_ok "others go on" good
feed_end_ok "no gap of a slow client begins within a block" slow TERM
is "... and none did" "$(field cut_gaps)" 0
for i in $(seq 12); do
	feed_end "stalled$i" KILL
done
daemon_stop
is "the daemon still runs" "$status" 0

done_testing
