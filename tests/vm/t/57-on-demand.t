#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# on-demand with a device: its engine stands still while no client is there, and goes on without a loss.

. tests/vm/daemon.sh

# counts NAME NUMBER: true if the channel's counter is that.
counts()
{
	[ "$(counter sim0 "$1" | tr -d ' ')" = "$2" ]
}

# stands_still TEXT: the engine is stopped, and no block is filled.
stands_still()
{
	local completed

	check "$1: the engine stops" wait_until 60 counts running 0
	completed=$(counter sim0 completed blocks_ready)
	sleep 1
	is "$1: and fills nothing" "$(counter sim0 completed blocks_ready)" "$completed"
}

# driver unbind|bind
driver()
{
	guest sh -c "echo dmacast.0 >/sys/bus/platform/drivers/dmacast/$1"
}

vm_start --seconds 400
check "the modules load" guest modprobe dmacast_sim channels=1 rate=$((4000000 / scale))
check "with a channel" guest modprobe dmacast channels=sim0

daemon_start <<'END'
[stream main]
device = /dev/dmacast/sim0
listen = 0.0.0.0:7000
block-size = 64K
ring-size = 4M
overrun = stall
lag-policy = block
zerocopy = always
on-demand = yes
linger = 0
END
stands_still "before the first client"
is "and it was never started" "$(counter sim0 completed)" "0 "
for run in 1 2 3; do
	feed_ok "run $run: every byte to two clients" --clients 2 --bytes 2M "$(at 7000)"
	stands_still "run $run"
done
compare "the blocks are those of three runs" "$(counter sim0 completed | tr -d ' ')" -ge $((3 * 32 / scale))
whole "after three runs" sim0

# What a killed client has in flight stays lent over the stop and the next start.
feed_start stalled --clients 2 --stall 2 --seconds 600 "$(at 7000)"
check "clients that do not read: the engine runs" wait_until 60 counts running 1
sleep $((2 * scale))
feed_end stalled KILL
feed_ok "they are killed: every byte to the next ones" --clients 2 --bytes 2M "$(at 7000)"
stands_still "after that"
whole "after that" sim0
is "no block was taken back or replaced, and no page is left behind" \
	"$(counter sim0 overruns errors replaced left_behind left_refused)" "0 0 0 0 0 "
is "the log tells of no loss" "$(guest grep -c 'blocks lost' /tmp/daemon.log)" 0
compare "and of each start" "$(guest grep -c 'starting the source for' /tmp/daemon.log)" -ge 4

# It goes while it is stopped, and comes back.
check "the device goes" driver unbind
says "the daemon waits for it" 'stream main: waiting for device'
check "the device comes back" driver bind
wait_until 60 test "$(guest sh -c 'test -e /sys/class/dmacast/sim0 && echo there')" = there
feed_ok "a client gets every byte then" --bytes 2M "$(at 7000)"
stands_still "after its return"
check "SIGTERM ends the daemon while the engine stands still" daemon_end TERM
whole "in the end" sim0

check "the modules can go" guest modprobe -r dmacast
check "both of them" guest modprobe -r dmacast_sim
vm_stop
done_testing
