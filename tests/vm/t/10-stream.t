#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# The whole path: the simulated engine, the kernel's ring, the daemon, and clients outside that check
# every byte; with slow and killed clients, an engine that goes and comes back, a killed daemon.
# On every kernel.

. tests/vm/daemon.sh

vm_start
target=$(at 7000)
sim=/sys/kernel/debug/dmacast_sim
counters=/sys/class/dmacast/sim0

check "the modules load" guest modprobe dmacast_sim channels=2 rate=$((4000000 / scale))
check "with two channels" guest modprobe dmacast channels=sim0,sim1

stream_start()
{
	daemon_with --device /dev/dmacast/sim0 --listen 0.0.0.0:7000 --block-size 128K --ring-size 8M \
		--metrics '*:7001'
}

stream_start
feed_ok "three clients get every byte" --clients 3 --bytes 4M "$target"
feed_start slow --clients 1 --stall 1 --seconds 100 --allow-end --allow-reset "$target"
feed_start victim --clients 2 --seconds 60 "$target"
feed_start steady --clients 2 --bytes 8M "$target"
feed_end victim KILL
feed_end_ok "beside a stalled one and killed ones, too" steady
is "the engine never ran dry, nothing was lost" "$(guest cat $counters/stalls $counters/overruns | tr '\n' ' ')" "0 0 "
feed_end slow KILL

is "metrics: the kernel has each block of the ring in some state" "$(metric dmacast_device_blocks)" 64
compare "metrics: the DMA engine filled what clients got, or more" \
	"$(metric dmacast_device_completed_bytes_total)" -ge $((8388608 / scale))
is "metrics: no send was copied after all" "$(metric dmacast_stream_completions_copied_total)" 0
compare "metrics: it is known when blocks were acknowledged" \
	"$(metric dmacast_capture_to_acknowledged_seconds_count)" -gt $((50 / scale))
sent=$(metric dmacast_stream_sent_bytes_total)
compare "metrics: what clients got was sent" "$sent" -ge $((((3 * 4 + 2 * 8) << 20) / scale))
filled=$(metric dmacast_stream_filled_bytes_total)

feed_start cut --clients 2 --expect-end end --seconds 60 "$target"
wait_until 20 test -e "$work/cut.ready"
sleep 1
check "the engine goes, for a second" guest sh -c "echo 1000 >$sim/unplug"
feed_end_ok "its clients get right bytes and an orderly end" cut
wait_until 20 said 'waiting for device'
ok $? "the daemon says so"
feed_ok "and the stream is there again" --clients 2 --bytes 4M "$target"
compare "metrics: what was sent before still counts" "$(metric dmacast_stream_sent_bytes_total)" \
	-ge $((sent + (2 * 4 << 20) / scale))
compare "metrics: and what was filled" "$(metric dmacast_stream_filled_bytes_total)" -ge $((filled + (4 << 20) / scale))

check "SIGTERM ends the daemon" daemon_end TERM 20
for round in 1 2 3; do
	stream_start
	feed_start "round$round" --clients 2 --seconds 60 --allow-gaps --allow-end --allow-reset "$target"
	sleep 0.5
	check "the daemon is killed, time $round" daemon_end KILL 20
	feed_end_ok "what its clients got is right" "round$round"
done
stream_start
feed_ok "after that it works as before" --clients 2 --bytes 4M "$target"
check "the daemon ends" daemon_end TERM 20
is "no block is lent, none waits" "$(guest cat $counters/blocks_lent $counters/blocks_quarantine | tr '\n' ' ')" "0 0 "
check "the modules can go" guest modprobe -r dmacast
check "both of them" guest modprobe -r dmacast_sim
vm_stop

done_testing
