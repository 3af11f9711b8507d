#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# Records: every client begins at a record, and every gap is whole records.

. tests/lib.sh

feedclient=$BUILD/tests/feedclient
rate=$((8388608 / scale))

# pages_run ARGUMENT...: daemon_run, with metrics. Sets http, their port.
pages_run()
{
	daemon_run "$@" --metrics :0
	http=$(sed -n 's,.*metrics at http://127\.0\.0\.1:\([0-9]*\)/.*,\1,p' "$log")
}

# metric_of NAME: its value now.
metric_of()
{
	local page

	exec {page}<>"/dev/tcp/127.0.0.1/$http"
	printf 'GET /metrics HTTP/1.0\r\n\r\n' >&"$page"
	timeout 30 cat <&"$page" | sed -n "s/^$1{.*} //p" | tr -d '\r'
	exec {page}>&-
}

# join_at_random NAME ARGUMENT...: 20 clients in 10 groups, each a moment of another length after the one before.
join_at_random()
{
	local name=$1 i

	shift
	for i in $(seq 10); do
		feed_start "$name$i" --clients 2 --seconds 3 "$@"
		sleep "0.$((RANDOM % 4))$((RANDOM % 10))"
	done
}

# random_ok TEXT NAME: none of them found anything wrong. Sets begins, the offsets of their first bytes.
random_ok()
{
	local i wrong=0

	begins=
	for i in $(seq 10); do
		feed_end "$2$i"
		[ "$status" = 0 ] || wrong=1
		[ "$status" = 0 ] || diag_file "$work/$2$i.err"
		begins+="$(field first_offset_min) $(field first_offset_max) "
	done
	ok $wrong "$1" || diag_file "$log"
}

lines="exec:exec '$feedclient' --generate 0 --lines --rate $rate/s"

# --- without records, lines are cut: the check that follows sees that ---
daemon_run --input "$lines" --listen 127.0.0.1:0 --block-size 64K --ring-size 1M
target=127.0.0.1:$port

begins_within_a_line()
{
	feed --lines --allow-gaps --bytes 100K "$target"
	[ "$(field bad)" -gt 0 ]
}

wait_until 10 begins_within_a_line
ok $? "without record-end, clients begin within a line"
daemon_stop

# --- lines of 17 to 1016 bytes, and half of the ring pinned by stalled clients ---
pages_run --input "$lines" --record-end '\n' --listen 127.0.0.1:0 --block-size 64K --ring-size 1M \
	--lag-policy drop --zerocopy always
target=127.0.0.1:$port
for i in $(seq 6); do
	feed_start "stalled$i" --clients 4 --stall 4 --seconds 60 "$target"
	sleep 0.1
done
feed_start slow --lines --allow-gaps --clients 4 --rate 2M/s --rcvbuf 32K --seconds 8 "$target"
join_at_random reader --lines --allow-gaps "$target"
random_ok "20 clients that join at random times begin with a line, and gaps are whole lines" reader
feed_end_ok "slow clients skip whole lines" slow
compare "... and do skip" "$(field gaps)" -gt 0
is "no line was broken" "$(metric_of dmacast_stream_broken_records_total)" 0
compare "blocks are not full: the rest of each begins the next one" \
	"$(metric_of dmacast_stream_filled_bytes_total)" -lt \
	$(($(metric_of dmacast_stream_filled_blocks_total) * 65536))
daemon_stop KILL

# --- every line to every client, through four blocks ---
daemon_run --input "exec:exec '$feedclient' --generate $((16777216 / scale)) --lines" --on-end close --record-end '\n' \
	--listen 127.0.0.1:0 --block-size 4K --ring-size 16K --low-water 1 --lag-policy block --hold 3
feed_ok "lag-policy = block: every line, in a ring of four blocks" --lines --from-start --clients 3 --until-end \
	--expect-bytes $((16777216 / scale)) "127.0.0.1:$port"
is "... from the first one on" "$(field first_offset_max)" 0
daemon_wait 20
is "... to the end" "$status" 0
matches "the last line had no end, and was sent" "$log" 'a record is not whole: sent without its end'

# --- records of 1000 bytes: 65 of them in a block ---
pages_run --pattern "$rate/s" --record-size 1000 --listen 127.0.0.1:0 --block-size 64K --ring-size 1M \
	--lag-policy drop --zerocopy always
target=127.0.0.1:$port
feed_start slow --allow-gaps --block-gaps --block-size 1000 --clients 4 --rate 2M/s --rcvbuf 32K --seconds 8 "$target"
join_at_random reader --allow-gaps --block-gaps --block-size 1000 "$target"
random_ok "with record-size, gaps are whole records" reader
inside=0
for offset in $begins; do
	[ $((offset % 1000)) = 0 ] || inside=$((inside + 1))
done
is "clients begin with a record" "$inside" 0
feed_end_ok "slow clients skip whole records" slow
compare "... and do skip" "$(field gaps)" -gt 0
is "no record was broken" "$(metric_of dmacast_stream_broken_records_total)" 0
compare "blocks have 65 records at most" "$(metric_of dmacast_stream_filled_bytes_total)" -le \
	$(($(metric_of dmacast_stream_filled_blocks_total) * 65000))
daemon_stop
is "exit status" "$status" 0

done_testing
