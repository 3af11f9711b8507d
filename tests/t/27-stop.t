#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# Stopping: clients get all that was read, then the end; those that take too long are reset.

. tests/lib.sh

for signal in TERM INT; do
	daemon_run --feed max --lag-policy block --zerocopy always --listen 127.0.0.1:0 \
		--drain-timeout 1m
	feed_start all --clients 20 --until-end --expect-end end "127.0.0.1:$port"
	sleep 0.5
	daemon_stop $signal
	is "SIG$signal under load: exit status" "$status" 0
	feed_end_ok "SIG$signal under load: 20 clients end in order, every byte right" all
	compare "SIG$signal under load: and there was a load" "$(field bytes_total)" -gt $((10000000 / scale))
	is "SIG$signal under load: nobody was reset" "$(grep -c 'left: end of stream' "$log")" 20
done

# Everything that was read is delivered: the source stops within the stream, and everyone stops at
# the same place.
daemon_run --feed 20M/s --lag-policy block --zerocopy always --hold 5 --listen 127.0.0.1:0
feed_start all --clients 5 --from-start --until-end "127.0.0.1:$port"
sleep 1
daemon_stop
feed_end_ok "SIGTERM: five clients end in order" all
is "SIGTERM: all of them have the same number of bytes" "$(field bytes_min)" "$(field bytes_max)"
is "SIGTERM: all that was read" "$(field bytes_min)" \
	"$(sed -n 's/.*ended after \([0-9]*\) bytes.*/\1/p' "$log")"

# A client that never reads is given drain-timeout, and no more.
daemon_run --feed max --lag-policy drop --zerocopy always --listen 127.0.0.1:0 --drain-timeout 1s
feed_start stalled --clients 3 --stall 3 --seconds 60 --allow-reset "127.0.0.1:$port"
sleep 0.5
begin=${EPOCHREALTIME/[.,]/}
daemon_stop
took=$(((${EPOCHREALTIME/[.,]/} - begin) / 1000))
is "stalled clients: exit status" "$status" 0
compare "stalled clients: were given drain-timeout" $took -ge 900
compare "stalled clients: and not much more" $took -lt 6000
is "stalled clients: reset" "$(grep -c 'left: drain-timeout is over' "$log")" 3
feed_end stalled TERM
is "stalled clients: they see the reset" "$(field stalled_resets)" 3

# The second signal ends the waiting.
daemon_run --feed max --lag-policy drop --zerocopy always --listen 127.0.0.1:0 --drain-timeout 1h
feed_start stalled --clients 3 --stall 3 --seconds 60 --allow-reset "127.0.0.1:$port"
sleep 0.5
kill -TERM "$daemon"
wait_until 5 grep -q stopping "$log"
check "the first signal waits" kill -0 "$daemon"
feed --clients 1 --seconds 1 "127.0.0.1:$port"
is "while it waits nobody new is accepted" "$(field connected)" 0
daemon_stop TERM
is "the second signal ends it: exit status" "$status" 0
feed_end stalled TERM

# Nothing to do.
daemon_run --feed 1M/s --listen 127.0.0.1:0
daemon_stop
is "without clients: exit status" "$status" 0
daemon_run --input - --hold 2 --listen 127.0.0.1:0
daemon_stop
is "while holding: exit status" "$status" 0

done_testing
