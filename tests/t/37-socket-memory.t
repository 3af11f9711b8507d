#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# socket-memory: what the sockets of stalled clients hold is bounded, and the others do not notice them.

. tests/lib.sh

command -v ss >/dev/null || skip_all "ss is not installed"
command -v jq >/dev/null || skip_all "jq is not installed"

limit=$((2 << 20))
control=$work/control
config=$work/memory.conf

# memory_is ZEROCOPY SOCKET-MEMORY: write the configuration of a stream whose clients are always behind.
memory_is()
{
	printf '%s\n' '[daemon]' "control = $control" '[stream memory]' 'listen = 127.0.0.1:0' \
		'pattern = 2G/s' 'lag-policy = block' "zerocopy = $1" "socket-memory = $2" >"$config"
}

# held: print the bytes that the kernel holds for the sockets of the daemon, sent or not.
held()
{
	ss -tmnH state established "sport = :$port" | sed -n 's/.*skmem:(.*,t\([0-9]*\),.*,w\([0-9]*\),.*/\1 \2/p' |
		awk '{ sum += $1 + $2 } END { print sum + 0 }'
}

# sockets NUMBER: are there as many connections of the daemon at least?
sockets()
{
	[ "$(ss -tnH state established "sport = :$port" | wc -l)" -ge "$1" ]
}

# stream_is FILTER: print what the filter makes of the stream, from the daemon itself.
stream_is()
{
	"$BUILD/dmacastctl" --socket "$control" --json streams | jq -r ".streams[0] | $1"
}

granted_at_most()
{
	[ "$(stream_is .socket_memory_granted_bytes)" -le "$1" ]
}

granted_more_than()
{
	[ "$(stream_is .socket_memory_granted_bytes)" -gt "$1" ]
}

sent_more_than()
{
	[ "$(stream_is .sent_bytes)" -gt "$1" ]
}

# still: does what the sockets hold not change?
still()
{
	local before

	before=$(held)
	sleep 0.5
	[ "$(held)" -eq "$before" ]
}

# Drops are counted for clients that stall; those of the healthy client would be gaps.
rate=8M
for zerocopy in never always; do
	daemon_run --feed $rate/s --lag-policy drop --zerocopy $zerocopy --listen 127.0.0.1:0 \
		--ring-size 4M --block-size 64K --socket-memory 2M --control "$control"
	target=127.0.0.1:$port
	# These have acknowledged enough to be trusted with more when they stop reading.
	feed_start earned --clients 40 --stall 40 --stall-after 2M --allow-gaps --discard --rcvbuf 64K \
		--seconds 300 "$target"
	feed_start never --clients 300 --stall 300 --rcvbuf 16K --seconds 300 "$target"
	check "$zerocopy: 340 clients are connected" wait_until 20 sockets 340
	feed_start good --clients 1 --seconds 4 "$target"
	feed_end_ok "$zerocopy: beside them a client has every byte" good
	compare "$zerocopy: and the full rate" "$(field bytes_min)" -gt $(((8 << 20) * 4 * 8 / 10 / scale))
	wait_until 20 still
	now=$(held)
	diag "$zerocopy: $now bytes in the sockets, $(stream_is .socket_memory_granted_bytes) granted"
	compare "$zerocopy: their sockets hold at most socket-memory and 64 KiB each" "$now" -le \
		$((limit + 340 * 65536))
	compare "$zerocopy: the account is within its limit" \
		"$(stream_is .socket_memory_granted_bytes)" -le "$limit"
	is "$zerocopy: which is the one of the configuration" \
		"$(stream_is .socket_memory_limit_bytes)" "$limit"
	feed_end never TERM
	feed_end earned TERM
	wait_until 20 granted_at_most 0
	is "$zerocopy: nothing is granted without clients" \
		"$(stream_is .socket_memory_granted_bytes)" 0
	daemon_stop
	is "$zerocopy: exit status" "$status" 0
done

# --- a limit that is lowered, and clients that stop for a while ---
for zerocopy in never always; do
	memory_is $zerocopy 64M
	daemon_run -c "$config"
	feed_start busy --clients 8 --seconds 600 "127.0.0.1:$port"
	check "$zerocopy: clients that acknowledge are granted more" wait_until 60 granted_more_than $limit
	memory_is $zerocopy 2M
	kill -HUP "$daemon"
	check "$zerocopy: a reload with a lower limit takes effect on them" wait_until 60 granted_at_most $limit
	is "$zerocopy: the limit is that of the file" "$(stream_is .socket_memory_limit_bytes)" "$limit"

	signal_to STOP "${feed_pid[busy]}"
	check "$zerocopy: the clients stall" wait_until 20 still
	compare "$zerocopy: and hold at most the limit and 64 KiB each" "$(held)" -le $((limit + 8 * 65536))
	before=$(stream_is .sent_bytes)
	signal_to CONT "${feed_pid[busy]}"
	check "$zerocopy: they go on where they were" wait_until 60 sent_more_than $((before + (256 << 20) / scale))
	feed_end_ok "$zerocopy: and have every byte" busy TERM
	daemon_stop
	is "$zerocopy: exit status, after the reload" "$status" 0
done
done_testing
