#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# Without work the daemon sleeps: no busy loop with stalled, half-closed, reset or dead clients.

. tests/lib.sh

# quiet TEXT: the daemon is to use no measurable CPU time and to sleep, for two seconds.
quiet()
{
	local ticks wakeups tries

	# What is still to be done comes first; where everything is slow, that takes a while.
	for ((tries = 0; tries < 20; tries++)); do
		ticks=$(cpu_ticks "$daemon")
		sleep 0.5
		[ $(($(cpu_ticks "$daemon") - ticks)) -gt 1 ] || break
	done
	ticks=$(cpu_ticks "$daemon")
	wakeups=$(sleeps "$daemon")
	sleep 2
	ticks=$(($(cpu_ticks "$daemon") - ticks))
	wakeups=$(($(sleeps "$daemon") - wakeups))
	compare "$1: CPU time in 10 ms" "$ticks" -le 1
	compare "$1: returns of epoll_wait" "$wakeups" -le "${2:-40}"
}

daemon_run --feed none --zerocopy always --lag-policy block --user-timeout 0 \
	--listen 127.0.0.1:0 --ring-size 8M --block-size 256K
target=127.0.0.1:$port
quiet "no client"

# More than the sockets take, so that sends stay unfinished; then nothing more comes.
feed_start stalled --clients 1000 --stall 1000 --rcvbuf 8K --seconds 600 "$target"
source_pour 6M
sleep 2
quiet "1000 stalled clients with unfinished sends" 200
is "all of them are still there" "$(client_lines left)" 0

# They shut down their side, or die, while stalled.
feed_end stalled KILL
wait_until 20 clients_left 1000
is "1000 stalled clients killed: all of them left" "$(client_lines left)" 1000
quiet "after that"

feed_start half --clients 100 --half-close --stall 100 --seconds 600 "$target"
quiet "100 half-closed clients"
source_pour 6M
sleep 1
quiet "100 half-closed and stalled clients" 200
feed_end half TERM
wait_until 20 clients_left 1100

# Clients that talk, then stop.
feed_start talking --clients 20 --send 4M --seconds 600 "$target"
sleep 1
quiet "20 clients that sent 4 MiB each"
feed_end talking TERM
sleep 0.5
daemon_stop
is "exit status" "$status" 0

done_testing
