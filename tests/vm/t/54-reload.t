#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# The configuration is read again with kernel rings, of which each has one owner: a changed ring waits
# for the clients of the one before, clients of other streams see nothing, streams exchange devices.

. tests/vm/daemon.sh

vm_start
target=$(at 7000)
other=$(at 7001)
counters=/sys/class/dmacast

check "the modules load" guest modprobe dmacast_sim channels=2 rate=$((4000000 / scale))
check "with two channels" guest modprobe dmacast channels=sim0,sim1

# section NAME PORT DEVICE LINE...
section()
{
	printf '[stream %s]\nlisten = 0.0.0.0:%s\ndevice = /dev/dmacast/%s\n' "$1" "$2" "$3"
	shift 3
	printf '%s\n' block-size=128K "$@"
}

# configure: from standard input.
configure()
{
	cat >"$work/daemon.conf"
	guest_put "$work/daemon.conf" /tmp/daemon.conf
}

reloads=0
# reload SUMMARY: what the log is to say.
reload()
{
	reloads=$((reloads + 1))
	guest sh -c "kill -HUP \$(pidof dmacastd)"
	wait_until 20 reloaded
	is "reload: $1" "$(guest sh -c "sed -n 's/.*streams: //p' /tmp/daemon.log | tail -n 1")" "$1"
}

reloaded()
{
	[ "$(guest sh -c "grep -cE 'streams: .* as before|stays in effect' /tmp/daemon.log")" -ge "$reloads" ]
}

{
	printf '[daemon]\ndrain-timeout = 2s\n'
	section a 7000 sim0 ring-size=4M
	section b 7001 sim1 ring-size=4M
} | daemon_start
feed_start same --clients 2 --allow-gaps --block-size 128K --seconds 300 "$other"

# Everyone took everything: the device changes hands at once.
feed_start cut --clients 2 --until-end --expect-end end "$target"
sed 's/^ring-size=4M/ring-size=2M/; /stream b/,$s/2M/4M/' "$work/daemon.conf" >"$work/new.conf"
configure <"$work/new.conf"
reload "0 new, 0 removed, 1 restarted, 0 changed, 1 as before"
feed_end_ok "a changed ring: its clients get right bytes and an orderly end" cut
feed_ok "a changed ring: and the stream is there again" --clients 2 --bytes 2M "$target"
check "the daemon says that it waits for the former stream" said \
	'stream a: waiting for device /dev/dmacast/sim0 until its former stream has ended'
is "nothing was tried in vain" "$(guest sh -c "grep -c 'trying again' /tmp/daemon.log")" 0

# Somebody does not take it: drain-timeout, and then.
feed_start stalled --clients 1 --stall 1 --seconds 300 --allow-end --allow-reset "$target"
sleep $((2 * scale))
sed 's/^ring-size=2M/ring-size=8M/' "$work/new.conf" | configure
reload "0 new, 0 removed, 1 restarted, 0 changed, 1 as before"
feed_ok "after a stalled client had its time, the stream is there again" --clients 2 --bytes 2M "$target"
check "it was reset then" said 'stream a: drain-timeout is over'
feed_end stalled KILL

# The same ring, other names: each has the other's device.
{
	printf '[daemon]\ndrain-timeout = 2s\n'
	section x 7000 sim0 ring-size=4M
	section b 7001 sim1 ring-size=4M
} | configure
reload "1 new, 1 removed, 0 restarted, 0 changed, 1 as before"
feed_ok "another stream has the device and the endpoint" --bytes 2M "$target"

# What cannot be had is refused, and the device is still the old one's.
{
	section x 7000 sim0 ring-size=4M
	section b 7001 sim1 ring-size=4M
	section none 7002 no-such ring-size=4M
} | configure
reloads=$((reloads + 1))
guest sh -c "kill -HUP \$(pidof dmacastd)"
wait_until 20 reloaded
check "a device that is missing is refused" said 'error: stream none: device = /dev/dmacast/no-such: '
feed_ok "and everything goes on" --bytes 2M "$target"

is "clients of the other stream are all there" \
	"$(guest sh -c "grep -c 'stream b: client .* left' /tmp/daemon.log")" 0
feed_end_ok "and every byte they had is right" same TERM

# A device that goes, and a reload while it is waited for.
feed_start cut --clients 1 --until-end --expect-end end "$target"
check "the engine goes, for a while" guest sh -c "echo 4000 >/sys/kernel/debug/dmacast_sim/unplug"
feed_end_ok "its clients get an orderly end" cut
wait_until 20 said 'stream x: waiting for device'
{
	section x 7000 sim0 ring-size=2M
	section b 7001 sim1 ring-size=4M
} | configure
reload "0 new, 0 removed, 1 restarted, 0 changed, 1 as before"
feed_ok "it comes back with the ring that was asked for meanwhile" --bytes 2M "$target"

check "SIGTERM ends the daemon" daemon_end TERM 10
is "no block is lent, none waits" \
	"$(guest sh -c "cat $counters/sim?/blocks_lent $counters/sim?/blocks_quarantine" | tr '\n' ' ')" \
	"0 0 0 0 "
vm_stop

done_testing
