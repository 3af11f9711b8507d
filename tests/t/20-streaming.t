#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# Every client gets every byte, for any number of clients, kind of connection and way of sending.

. tests/lib.sh

for mode in always auto never; do
	daemon_run --feed max --lag-policy block --zerocopy "$mode" --listen 127.0.0.1:0
	for clients in 1 3 64; do
		feed_ok "$clients clients, zerocopy = $mode" --clients "$clients" --bytes 24M \
			"127.0.0.1:$port"
	done
	daemon_stop
	is "exit status, zerocopy = $mode" "$status" 0
done

# A small ring of small blocks, and one of odd blocks: many blocks in a send, many ends of blocks.
daemon_run --feed max --lag-policy block --zerocopy always --listen 127.0.0.1:0 \
	--block-size 4K --ring-size 1M
feed_ok "8 clients, blocks of one page" --clients 8 --bytes 32M "127.0.0.1:$port"
daemon_stop
daemon_run --feed max --lag-policy block --zerocopy always --listen 127.0.0.1:0 \
	--block-size 1228K --ring-size 6M
feed_ok "8 clients, blocks of 307 pages, a ring of 5" --clients 8 --bytes 64M "127.0.0.1:$port"
daemon_stop

daemon_run --feed 500K/s --lag-policy block --zerocopy always --listen 127.0.0.1:0
feed_ok "1000 clients at a pace" --clients 1000 --bytes 1M "127.0.0.1:$port"
compare "all 1000 were connected" "$(field connected)" -eq 1000
daemon_stop
is "exit status after 1000 clients" "$status" 0
is "every client's end is logged" "$(client_lines left)" 1000

# Families of addresses.
daemon_run --feed max --lag-policy block --zerocopy always --listen '*:0'
feed_ok "IPv4 client of an endpoint for every address" --clients 4 --bytes 16M "127.0.0.1:$port"
if [ -e /proc/net/if_inet6 ]; then
	feed_ok "IPv6 client of the same endpoint" --clients 4 --bytes 16M "[::1]:$port"
	matches "an IPv4 client of an IPv6 socket is logged as IPv4" "$log" 'client 127\.0\.0\.1:'
else
	skip "IPv6 client" "no IPv6 here"
fi
daemon_stop
if [ -e /proc/net/if_inet6 ]; then
	daemon_run --feed max --lag-policy block --zerocopy always --listen '[::1]:0'
	feed_ok "IPv6 endpoint" --clients 4 --bytes 16M "[::1]:$port"
	daemon_stop
	daemon_run --feed max --lag-policy block --listen localhost:0
	if command -v getent >/dev/null; then
		is "a host name stands for all its addresses" "$(grep -c 'listening on' "$log")" \
			"$(getent ahosts localhost | awk '$2 == "STREAM"' | wc -l)"
	else
		skip "a host name stands for all its addresses" "no getent here"
	fi
	daemon_stop
fi

# Several streams, several endpoints.
cat >"$work/two.conf" <<'END'
[stream fast]
pattern = max
lag-policy = block
zerocopy = always
listen = 127.0.0.1:0
listen = 127.0.0.1:0
[stream slow]
pattern = 1M/s
listen = 127.0.0.1:0
END
daemon_run -c "$work/two.conf"
wait_until 5 grep -q 'stream slow: listening' "$log"
mapfile -t ports < <(sed -n 's/.* listening on .*:\([0-9]*\)$/\1/p' "$log")
feed_start slow --seconds 60 "127.0.0.1:${ports[2]}" ||
	diag "the slow stream's client does not connect"
feed_ok "first endpoint of a stream" --clients 2 --bytes 32M "127.0.0.1:${ports[0]}"
feed_ok "second endpoint of the same stream" --clients 2 --bytes 32M "127.0.0.1:${ports[1]}"
sleep 0.5
feed_end slow TERM
compare "a second stream goes on beside it" "$(field bytes_total)" -gt 200000
is "and is right" "$(field bad)" 0
daemon_stop
is "exit status with two streams" "$status" 0

done_testing
