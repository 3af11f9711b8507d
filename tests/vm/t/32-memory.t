#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# A ring in memory, sent without a copy from pages that are refilled again and again: the data that arrives outside
# is right.

. tests/vm/daemon.sh

nobody_left()
{
	[ "$(metric dmacast_stream_clients)" = 0 ]
}

# vmxnet3 pulls small frames into its descriptors, and then the kernel says "copied" of their sends. The
# divisor of how many may be:
declare -A copied_of=([e1000e]=20 [vmxnet3]=5)

for nic in e1000e vmxnet3; do
	vm_start --nic $nic
	target=$(at 7000)
	daemon_with --pattern max --block-size 64K --ring-size 2M --huge-pages never \
		--zerocopy always --lag-policy block --listen 0.0.0.0:7000 --metrics '*:7001'
	feed_ok "$nic: every byte is right" --clients 2 --bytes 40M "$target"
	feed_start victim --clients 2 --seconds 60 "$target"
	feed_start steady --clients 2 --bytes 8M "$target"
	feed_end victim KILL
	feed_end_ok "$nic: beside killed ones, too" steady
	check "$nic: the killed ones are gone" wait_until 30 nobody_left
	sends=$(metric dmacast_stream_zerocopy_sends_total)
	diag "$nic: $sends zero-copy sends, $(metric dmacast_stream_copied_sends_total) copied"
	compare "$nic: it was sent by zero-copy" "$sends" -gt 50
	is "$nic: all are complete" "$(metric dmacast_stream_completions_total)" "$sends"
	compare "$nic: few were copied after all" "$(metric dmacast_stream_completions_copied_total)" \
		-le $((sends / copied_of[$nic]))
	check "$nic: the daemon ends" daemon_end TERM 20
	is "$nic: with nothing outstanding" "$(guest grep -c 'not complete\|still has their blocks' /tmp/daemon.log)" 0
	vm_stop
done

done_testing
