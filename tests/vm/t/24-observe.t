#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# What an operator can see of the ring: events, whose memory it is, and on which node.

. tests/vm/daemon.sh

vm_start --append "numa=fake=2"
tracing=/sys/kernel/tracing
counters=/sys/class/dmacast/sim0

# load PARAMETER...: of the simulated engine
load()
{
	guest modprobe dmacast_sim "$@" && guest modprobe dmacast channels=sim0
}

unload()
{
	guest modprobe -r dmacast && guest modprobe -r dmacast_sim
}

# stream_start OPTION...
stream_start()
{
	daemon_with --device /dev/dmacast/sim0 --listen 0.0.0.0:7000 "$@"
}

# count NAME
count()
{
	guest cat "$counters/$1"
}

# events NAME: of the trace
events()
{
	guest grep -c " dmacast_$1: sim0 block=[0-9]* sequence=[0-9]* length=[0-9]*" $tracing/trace
}

check "the modules load" load rate=$((4000000 / scale))
check "events can be had" guest_script <<-END
	echo 8192 >$tracing/buffer_size_kb
	echo 1 >$tracing/events/dmacast/enable
END
stream_start --block-size 64K --ring-size 1M
feed_ok "a client is served" --bytes 4M "$(at 7000)"
check "the daemon ends" daemon_end TERM
check "no more events" guest sh -c "echo 0 >$tracing/tracing_on"
compare "blocks were filled" "$(count completed)" -ge $((64 / scale))
is "an event for each block that was filled" "$(events complete)" "$(count completed)"
is "for each that was lent" "$(events lend)" "$(count lent)"
is "for each that was given back" "$(events recycle)" "$(count recycled)"
compare "and for each that the engine got" "$(events submit)" -ge "$(count completed)"
is "with the length" "$(guest grep 'dmacast_complete' $tracing/trace | grep -vc 'length=65536$')" 0

# Nobody reads: blocks are taken back. Pages in use elsewhere: their blocks wait.
check "from the start" guest_script <<-END
	echo >$tracing/trace
	echo 1 >$tracing/tracing_on
END
guest_seconds=300 guest_tap overrun build/tests/vm/abi/overrun /dev/dmacast/sim0
compare "an event for an overrun" "$(events overrun)" -gt 0
guest_seconds=300 guest_tap guard build/tests/vm/abi/guard /dev/dmacast/sim0
compare "and for a quarantine" "$(events quarantine)" -gt 0
check "the modules go" unload

# The ring is charged to who asked for it, and what is not allowed is refused; nobody is killed.
check "the modules load again" load rate=$((4000000 / scale))
check "a group with little memory" guest_script <<-'END'
	mkdir -p /sys/fs/cgroup && mount -t cgroup2 cgroup /sys/fs/cgroup
	echo +memory >/sys/fs/cgroup/cgroup.subtree_control
	mkdir /sys/fs/cgroup/small
	echo 40M >/sys/fs/cgroup/small/memory.max
END
check "a ring that is too large for it is refused" guest_script <<-'END'
	(
		echo $BASHPID >/sys/fs/cgroup/small/cgroup.procs
		exec timeout 60 build/dmacastd --device /dev/dmacast/sim0 --listen 0.0.0.0:7000 --on-end close \
			--block-size 256K --ring-size 64M
	) >/tmp/refused.log 2>&1
	[ $? -eq 1 ] && grep -q 'no 64 MiB of memory for the ring; lower ring-size' /tmp/refused.log
END
diag "$(guest cat /tmp/refused.log)"
check "the kernel's log says what to do" guest sh -c "dmesg | grep -q 'no memory for block .*lower the ring'"
check "nobody was killed for it" guest grep -q '^oom_kill 0$' /sys/fs/cgroup/small/memory.events
compare "it left nothing" "$(guest cat /sys/fs/cgroup/small/memory.current)" -lt $((8 << 20))
guest_start daemon sh -c 'echo $$ >/sys/fs/cgroup/small/cgroup.procs
	exec build/dmacastd --device /dev/dmacast/sim0 --listen 0.0.0.0:7000 --block-size 256K --ring-size 16M'
wait_until 20 said 'listening on'
feed_ok "one that fits works" --bytes 4M "$(at 7000)"
compare "the group is charged for it" "$(guest cat /sys/fs/cgroup/small/memory.current)" -ge $((16 << 20))
check "the daemon ends" daemon_end TERM
check "the modules go again" unload

# The node that the engine is at.
is "the guest has two nodes" "$(guest cat /sys/devices/system/node/online)" "0-1"
for node in 0 1; do
	check "an engine at node $node" load rate=$((4000000 / scale)) node=$node
	stream_start --block-size 256K --ring-size 16M
	feed_ok "a client is served" --bytes 4M "$(at 7000)"
	# shellcheck disable=SC2016 # the guest's
	guest sh -c 'cat /proc/$(pidof dmacastd)/numa_maps' >"$work/maps"
	is "the ring is at node $node" "$(grep 'file=/dev/dmacast/sim0' "$work/maps" | grep -o 'N[01]=' | sort -u)" \
		"N$node=" || diag_file "$work/maps"
	check "the daemon ends" daemon_end TERM
	check "the modules go" unload
done
vm_stop

done_testing
