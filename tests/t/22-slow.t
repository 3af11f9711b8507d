#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# Slow clients under each policy; under drop and disconnect other clients do not notice.

. tests/lib.sh

# A rate that all of them together can have with ease, also where everything is slow.
rate=8M
seconds=4
most=$(((8 << 20) / scale))

# enough: what a client should have received at least, in bytes: 80 % of the rate.
enough=$((most * seconds * 8 / 10))

# good_ok TEXT: three clients that are fast enough get every byte, at the full rate. On a busy machine they may not
# have the CPU for longer than the ring lasts: then they try again. Wrong bytes are never excused.
good_ok()
{
	local tries

	for ((tries = 0; tries < 6; tries++)); do
		feed --clients 3 --seconds $seconds --allow-gaps --allow-reset --block-size 64K "$target"
		{ [ "$status" -eq 0 ] && had_no_time && cpus_are_contended; } || break
	done
	is "$1: others get right bytes" "$status" 0 || diag "$report"
	is "$1: each of them, and stay" "$(field gaps) $(field resets)" "0 0"
	compare "$1: at the full rate" "$(field bytes_min)" -gt "$enough"
}

had_no_time()
{
	[ "$(field gaps) $(field resets)" != "0 0" ] || [ "$(field bytes_min)" -le "$enough" ]
}

# --- drop: one that never reads ---
daemon_run --feed $rate/s --lag-policy drop --zerocopy always --listen 127.0.0.1:0 \
	--block-size 64K --ring-size 2M
target=127.0.0.1:$port
feed_start stalled --clients 1 --stall 1 --seconds 60 "$target"
good_ok "drop: beside a client that never reads"
wait_until 10 grep -q 'dropped [0-9]* bytes for it' "$log"
matches "drop: it is logged with peer, lag in bytes and ms, and policy" "$log" \
	'client 127\.0\.0\.1:[0-9]+ lags [0-9]+ bytes, [0-9]+ ms: dropped [0-9]+ bytes .*lag-policy = drop'
feed_end stalled TERM
wait_until 10 grep -q 'left: .*dropped [1-9][0-9]* bytes' "$log"
matches "drop: what it lost is counted" "$log" 'left: .* dropped [1-9][0-9]* bytes'

# --- drop: many that never read, come at different times, and more of them than the ring has
# blocks: what is on its way to them must not take the ring from the others ---
for i in $(seq 12); do
	feed_start "stalled$i" --clients 8 --stall 8 --seconds 60 "$target"
	sleep 0.1
done
good_ok "drop: beside 96 clients that never read"

# --- drop: one that reads, but too slowly, and later fast enough again ---
feed_start slow --clients 2 --rate 2M/s --rcvbuf 32K --allow-gaps --block-size 64K \
	--seconds 600 "$target"
good_ok "drop: beside clients that are too slow"
feed_end_ok "drop: the slow ones have gaps, which begin and end at a block's boundary" slow TERM
compare "drop: and they do have gaps" "$(field gaps)" -gt 0
is "drop: no block was cut" "$(field cut_gaps)" 0
daemon_stop KILL

# --- drop: a ring that is small beside what stalled clients have in their sockets, so that half of it is
# pinned nearly always when a slow client skips: it gets a copy of the rest of its block ---
daemon_run --feed $rate/s --lag-policy drop --zerocopy always --listen 127.0.0.1:0 \
	--block-size 64K --ring-size 1M --metrics :0
target=127.0.0.1:$port
metrics=$(sed -n 's,.*metrics at http://127\.0\.0\.1:\([0-9]*\)/.*,\1,p' "$log")

# has_copies: does a client finish the copy of a block at this moment?
has_copies()
{
	local page

	exec {page}<>"/dev/tcp/127.0.0.1/$metrics"
	printf 'GET /metrics HTTP/1.0\r\n\r\n' >&"$page"
	timeout 10 cat <&"$page" >"$work/page"
	exec {page}>&-
	grep -q '^dmacast_stream_copied_rest_bytes{.*} [1-9]' "$work/page"
}

for i in $(seq 12); do
	feed_start "stalled$i" --clients 4 --stall 4 --seconds 60 "$target"
	sleep 0.1
done
feed_start slow --clients 4 --rate 2M/s --rcvbuf 32K --allow-gaps --block-gaps --block-size 64K \
	--seconds 10 "$target"
check "drop: rests of blocks are copied" wait_until 10 has_copies
feed_end_ok "drop: also in a ring of 1 MiB, half of it pinned, every gap is whole blocks" slow
compare "drop: there are gaps" "$(field gaps)" -gt 0
is "drop: and no block was cut" "$(field cut_gaps)" 0
daemon_stop KILL

# Without stalled clients every gap is whole blocks, too, and what was lost is what was counted.
daemon_run --feed $rate/s --lag-policy drop --zerocopy always --listen 127.0.0.1:0 \
	--block-size 64K --ring-size 2M
target=127.0.0.1:$port
feed_start slow --clients 1 --rate 2M/s --rcvbuf 32K --allow-gaps --block-gaps --block-size 64K \
	--bytes 8M "$target"
feed_end_ok "drop: a slow client receives whole blocks" slow
compare "drop: with gaps between them" "$(field gaps)" -gt 0
is "drop: no block was cut" "$(field cut_gaps)" 0
lost=$(field gap_bytes)
wait_until 10 grep -q ' left: ' "$log"
counted=$(sed -n 's/.* left: .* dropped \([0-9]*\) bytes.*/\1/p' "$log" | tail -n 1)
# What was dropped after the last byte that the client looked at is counted, but it never knew.
compare "drop: the daemon counted at least what the client missed" "$counted" -ge "$lost"
compare "drop: and not more than it can have skipped later" "$counted" -le $((lost + (4 << 20)))
daemon_stop
is "drop: exit status" "$status" 0

# --- disconnect ---
daemon_run --feed $rate/s --lag-policy disconnect --zerocopy always --listen 127.0.0.1:0 \
	--block-size 64K --ring-size 2M
target=127.0.0.1:$port
feed_start stalled --clients 5 --stall 5 --seconds 60 --allow-reset "$target"
good_ok "disconnect: beside clients that never read"
wait_until 20 sh -c "[ \$(grep -c 'left: too slow' '$log') -ge 5 ]"
is "disconnect: all five were kicked, and it was logged" \
	"$(grep -Ec 'lags [0-9]+ bytes, [0-9]+ ms: kicked' "$log")" 5
is "disconnect: and they are gone" "$(grep -c 'left: too slow' "$log")" 5
feed_end stalled TERM
is "disconnect: they were reset" "$(field stalled_resets)" 5
daemon_stop
is "disconnect: exit status" "$status" 0

# --- block ---
daemon_run --feed max --lag-policy block --zerocopy always --listen 127.0.0.1:0 \
	--block-size 64K --ring-size 2M
target=127.0.0.1:$port
feed_start slow --clients 1 --rate 4M/s --rcvbuf 64K --bytes 12M "$target"
feed_start good --clients 3 --seconds 60 "$target"
feed_end_ok "block: a slow client has every byte" slow
feed_end_ok "block: the others, too" good TERM
compare "block: the source waited for the slow one" "$(field seconds)" -ge 1
feed_start stalled --clients 1 --stall 1 --seconds 60 "$target"
feed_start good --clients 1 --seconds 60 "$target"
sleep 1
before=$(cpu_ticks "$daemon")
sleep 1
after=$(cpu_ticks "$daemon")
compare "block: while the source waits for a stalled client, no CPU is used" \
	$((after - before)) -le 2
feed_end stalled KILL
sleep 0.5
feed_end_ok "block: when it is gone, the feed goes on" good TERM
compare "block: with much more data" "$(field bytes_min)" -gt $(((8 << 20) / scale))
daemon_stop
is "block: exit status" "$status" 0

done_testing
