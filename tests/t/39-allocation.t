#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# A reload without memory: each of its allocations fails once. Every time either nothing has changed, and
# the log says why, or everything has. And a client that skips without memory for the rest of its block.

. tests/lib.sh

library=$BUILD/tests/preload/failalloc.so
[[ $BUILD != *san* ]] || skip_all "a sanitizer has an allocator of its own"
[ -e "$library" ] || skip_all "no $library"

config=$work/dmacastd.conf
counter=$work/counter

# fail_allocation N: the Nth from now on, once; 0: none.
fail_allocation()
{
	# In place: the file is mapped. A byte each, the lowest first, as on all machines that Debian 12 is for.
	printf '%b' "$(printf '\\x%02x' $(($1 & 255)) $(($1 >> 8 & 255)) $(($1 >> 16 & 255)) 0)" 1<>"$counter"
}

allocations_left()
{
	od -An -tu4 -N4 "$counter" | tr -d ' '
}

finished_reloads()
{
	grep -cE 'streams: .* as before$|previous configuration stays in effect' "$log"
}

reload_is_over()
{
	[ "$(finished_reloads)" -gt "$1" ] || ! kill -0 "$daemon"
}

# reload FILE: and wait until that is over. Sets summary, what changed; it is empty if the file was refused.
reload_log=$work/reload.log
reload()
{
	local before lines

	cp "$1" "$config"
	before=$(finished_reloads)
	lines=$(wc -l <"$log")
	kill -HUP "$daemon" 2>/dev/null
	wait_until 20 reload_is_over "$before" || diag "no reload"
	tail -n +$((lines + 1)) "$log" >"$reload_log"
	summary=$(sed -n 's/.*streams: \(.* as before\)$/\1/p' "$reload_log")
}

# gives_data PORT
gives_data()
{
	local bytes

	bytes=$( (timeout 5 head -c 4096 <"/dev/tcp/127.0.0.1/$1") 2>/dev/null | wc -c)
	[ "$bytes" = 4096 ]
}

# connects PORT
connects()
{
	(: <"/dev/tcp/127.0.0.1/$1") 2>/dev/null
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

# start_daemon: with the old configuration.
truncate -s 4 "$counter"
start_daemon()
{
	fail_allocation 0
	cp "$work/old.conf" "$config"
	daemon_prefix=(env "LD_PRELOAD=$library" "DMACAST_FAIL_ALLOCATION=$counter")
	daemon_run -c "$config"
	daemon_prefix=()
	wait_until 20 grep -q 'control socket' "$log"
}

# reload_without N: a reload whose Nth allocation fails. Afterwards the old configuration is in effect, or the
# new one if the reload did without. What is wrong is added to the lists. Return: 1 if it needed fewer.
refused=0 tolerated=0
reload_without()
{
	local port left

	fail_allocation "$1"
	reload "$work/new.conf"
	left=$(allocations_left)
	fail_allocation 0
	process_ended "$daemon" && { echo "$1" >>"$work/ended" && diag_file "$log"; return 1; }
	[ "$left" = 0 ] || return 1
	if [ -z "$summary" ]; then
		refused=$((refused + 1))
		grep -Eqi 'error: .*(memory|allocat)' "$reload_log" ||
			{ echo "$1:" && cat "$reload_log"; } >>"$work/silent"
		reload "$work/old.conf"
		[ "$summary" = "0 new, 0 removed, 0 restarted, 0 changed, 4 as before" ] ||
			echo "$1: $summary" >>"$work/changed"
		listening=("${ports[@]:0:4}" "${ports[8]}")
		closed=("${ports[@]:4:4}" "${ports[9]}")
		connected=()
	else
		tolerated=$((tolerated + 1))
		reload "$work/new.conf"
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
reload "$work/old.conf"
compare "allocations are counted" "$(allocations_left)" -lt 1000000
fail_allocation 0
feed_start steady --clients 2 --until-end --expect-end end "127.0.0.1:${ports[0]}"
feed_start adapted --clients 2 --until-end --expect-end end "127.0.0.1:${ports[1]}"

begin_checks
allocation=1
while [ $allocation -lt 1000 ] && reload_without $allocation; do
	# Where it did without, the new configuration is in effect.
	reload "$work/old.conf"
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
