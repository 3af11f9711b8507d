#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# Handover of a device: the next process maps the ring of the open device again, reads the completions of sends that a
# NIC has under way, and no client of any format loses a byte.

. tests/vm/daemon.sh

times=12

# took_over NUMBER: true once the log tells of that many successors.
took_over()
{
	[ "$(guest grep -c 'took over' /tmp/daemon.log)" -ge "$1" ]
}

# upgrade TEXT NUMBER: a new process takes over; the log has NUMBER of these then.
upgrade()
{
	guest build/dmacastctl -s /tmp/control upgrade >"$work/upgrade" 2>&1 || diag_file "$work/upgrade"
	wait_until 60 took_over "$2"
	ok $? "$1"
}

vm_start --seconds 500
check "the modules load" guest modprobe dmacast_sim channels=1 rate=$((4000000 / scale))
check "with a channel" guest modprobe dmacast channels=sim0
daemon_start <<'END'
[daemon]
control = /tmp/control
[stream main]
device = /dev/dmacast/sim0
block-size = 64K
ring-size = 4M
overrun = stall
lag-policy = block
zerocopy = always
listen = 0.0.0.0:7000
[endpoint frames]
stream = main
format = framed
listen = 0.0.0.0:7001
[endpoint web]
stream = main
format = http
listen = 0.0.0.0:7002
[endpoint viewers]
stream = main
lag-policy = drop
listen = 0.0.0.0:7003
END

pid=$(guest pidof dmacastd)
feed_start raw --clients 2 --seconds 600 "$(at 7000)"
feed_start framed --clients 2 --framed --seconds 600 "$(at 7001)"
feed_start http --clients 2 --http / --seconds 600 "$(at 7002)"
# What a client that does not read has in flight stays lent, from one process to the next.
feed_start stalled --clients 1 --stall 1 --stall-after 64K --allow-gaps --block-size 64K --seconds 600 "$(at 7003)"
for ((number = 1; number <= times; number++)); do
	upgrade "process $number takes over" "$number"
	sleep $((scale / 2 + 1))
done
is "it is one process all the time" "$(guest pidof dmacastd)" "$pid"
compare "its blocks are lent while clients are there" "$(counter sim0 blocks_lent | tr -d ' ')" -gt 0
is "no block was taken back, replaced or left behind" \
	"$(counter sim0 overruns errors replaced left_behind left_refused)" "0 0 0 0 0 "
guest build/dmacastctl -s /tmp/control --json streams >"$work/streams"
# The totals are those of all processes.
compare "sends by zero-copy" "$(jq '[.streams[].zerocopy_sends] | add' "$work/streams")" -gt $((times * 10 / scale))
compare "hardly any of which the kernel copied" "$(jq '[.streams[] | .completed_copied * 50 - .completed] | max' "$work/streams")" -lt 0
for name in raw framed http; do
	feed_end $name TERM
	is "$name: each client has every byte until it leaves" "$status" 0 || diag_file "$work/$name.err"
	compare "$name: and it was not nothing" "$(field bytes_total)" -gt $(((times << 18) / scale))
done
feed_end stalled KILL
feed_ok "afterwards it works as before" --clients 2 --bytes 2M "$(at 7000)"

# A process that is killed is no handover: the guard has what is in flight.
feed_start killed --clients 2 --seconds 600 --allow-end --allow-reset "$(at 7000)"
sleep 1
check "SIGKILL ends the daemon" daemon_end KILL
check "it starts again" daemon_again
feed_end killed
is "what the clients got is right" "$status" 0
feed_ok "and all is as at first" --clients 2 --bytes 2M "$(at 7000)"

check "SIGTERM ends the daemon" daemon_end TERM
whole "in the end" sim0
check "the modules can go" guest modprobe -r dmacast
check "both of them" guest modprobe -r dmacast_sim
vm_stop
done_testing
