#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# For DMACAST_TEST_MINUTES (3) daemons with random settings, which have no CPU for up to 30 ms at a time: the first
# seconds they are stopped and continued. Each stream must end, and each client have every byte, or a gap that is allowed.

. tests/lib.sh

minutes=${DMACAST_TEST_MINUTES:-3}
RANDOM=${DMACAST_TEST_SEED:-$$}
diag "DMACAST_TEST_SEED=${DMACAST_TEST_SEED:-$$}"
feed_bytes=$((12 << 20))
"$BUILD/tests/feedclient" --generate $feed_bytes >"$work/feed"
mkfifo "$work/fifo"

# pick NAME VALUE...: set a variable to one of the values.
pick()
{
	local -n picked=$1

	shift
	picked=${*:RANDOM % $# + 1:1}
}

# pause_ms MOST: sleep for a random time.
pause_ms()
{
	local seconds

	printf -v seconds '0.%03d' $((RANDOM % $1))
	sleep "$seconds"
}

# pick_settings: set the options of a daemon, and what its clients may see.
pick_settings()
{
	local block=0 blocks=0 low=0 retain=0 room value

	pick block 4 16 64 256
	pick blocks 8 9 12 16 32 64
	pick low 0 0 1 2 $((blocks / 4)) $((blocks / 2))
	# What low-water is by default, and at least 2, cannot be history.
	room=$((blocks - (low > 2 ? low : low ? 2 : blocks / 8 > 4 ? blocks / 8 : 4)))
	pick retain 0 1 $((room / 2)) $((room - 1)) $room
	pick policy block block drop disconnect
	pick format raw raw framed
	pick clients 1 2 4 6
	pick input file fifo exec
	pick value auto always never
	options=(--block-size "${block}K" --ring-size "$((block * blocks))K" --lag-policy "$policy" --zerocopy "$value"
		--huge-pages never --format "$format" --hold "$clients" --on-end close)
	[ "$low" -eq 0 ] || options+=(--low-water "$low")
	[ "$retain" -eq 0 ] || options+=(--retain "$((block * retain))K")
	pick value none none 1ms 20ms
	# A gap of a raw client is known by its size, a number of whole blocks.
	[ "$policy $format" != "drop raw" ] || value=60s
	[ "$value" = none ] || options+=(--flush "$value")
	case ${input:?} in
	file) options+=(--input "$work/feed") ;;
	fifo) options+=(--input "$work/fifo") ;;
	exec) options+=(--input "exec:cat $work/feed") ;;
	esac
	client_options=(--until-end)
	case ${policy:?} in
	block) client_options+=(--expect-end end --from-start) ;;
	drop) client_options+=(--expect-end end --allow-gaps --block-size "${block}K" --allow-reset) ;;
	disconnect) client_options+=(--expect-end any --allow-reset) ;;
	esac
	[ "${format:?}" = raw ] || client_options+=(--framed)
}

# clients_begin: each of them as fast as it can, slow, or with small reads.
clients_begin()
{
	local i kind=

	client_pids=()
	for ((i = 0; i < clients; i++)); do
		pick kind fast fast "--rate 6M/s --rcvbuf 32K" "--read-size 3000"
		[ "$kind" != fast ] || kind=
		# shellcheck disable=SC2086 # options
		"$BUILD/tests/feedclient" "${client_options[@]}" $kind "127.0.0.1:$port" >"$work/client.$i" 2>&1 &
		client_pids+=($!)
		will_end $!
	done
}

# disturb: stop and continue the daemon for up to 3 s, while it runs.
disturb()
{
	local end=$((SECONDS + 1 + RANDOM % 3)) stopped=0 going=0

	pick stopped 3 10 30
	pick going 1 4 10
	while [ $SECONDS -lt $end ] && ! process_ended "$daemon"; do
		suspend "$daemon"
		pause_ms "$stopped"
		resume "$daemon"
		pause_ms "$going"
	done
}

# clients_end: return false if one of them has failed.
clients_end()
{
	local i failed=0

	for ((i = 0; i < clients; i++)); do
		wait "${client_pids[i]}" && continue
		diag "client $i:"
		diag_file "$work/client.$i"
		failed=1
	done
	return $failed
}

one_daemon()
{
	local failed=0

	pick_settings
	daemon_run "${options[@]}" --listen 127.0.0.1:0
	if [ "$input" = fifo ]; then
		cat "$work/feed" >"$work/fifo" &
		will_end $!
	fi
	clients_begin
	disturb
	daemon_wait 60
	clients_end || failed=1
	[ $failed -eq 0 ] && [ "$status" -eq 0 ] && return
	ok 1 "dmacastd ${options[*]}; clients ${client_options[*]}"
	diag_file "$log"
}

daemons=0
end=$((SECONDS + 60 * minutes))
while [ $SECONDS -lt $end ] && [ "$test_failures" -lt 5 ]; do
	one_daemon
	daemons=$((daemons + 1))
done
is "streams that did not end as they should, of $daemons" "$test_failures" 0
done_testing
