#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# A daemon that gives blocks back as soon as they are sent, is killed, or closes everything with data in
# flight: its client, outside, gets right bytes all the same, and the ring is whole again.
# Also on rt newest.

. tests/vm/lib.sh

vm_start
check "the modules load" guest modprobe dmacast_sim rate=0
check "with a channel" guest modprobe dmacast channels=sim0

# broken_start MODE PORT BYTES
broken_start()
{
	guest_start broken build/tests/vm/abi/broken "$@" /dev/dmacast/sim0
	wait_until 20 guest grep -q '# listening' /tmp/broken.log
}

broken_end()
{
	wait_until 60 guest grep -q '^1\.\.' /tmp/broken.log
	guest_tap "$1" cat /tmp/broken.log
}

# A client that is no match for the sender: much is in flight all the time.
broken_start early 7000 $((33554432 / scale))
feed "127.0.0.1:$(vm_port 7000)" --rate 3M/s --expect-end end --seconds 100
ok "$status" "blocks given back too early: every byte is right" || diag_file "$work/feed.err"
is "and all are there" "$(field bytes_min)" $((33554432 / scale))
broken_end "early"

# The client stops reading; the channel's next user runs for ten seconds; the client reads the rest.
inside=7001
for mode in kill close; do
	# Not divided by the scale: it has to be more than QEMU and the machine outside take.
	broken_start $mode $inside 16777216
	feed_start $mode "127.0.0.1:$(vm_port $inside)" --rcvbuf 16K --expect-end any --until-end \
		--seconds 100
	kill -STOP "${feed_pid[$mode]}"
	broken_end $mode
	sent=$(guest sed -n 's/.* after \([0-9]*\) bytes$/\1/p' /tmp/broken.log)
	kill -CONT "${feed_pid[$mode]}"
	feed_end $mode
	ok "$status" "$mode: every byte is right" || diag_file "$work/$mode.err"
	is "$mode: and all that were sent are there" "$(field bytes_min)" "$sent"
	inside=$((inside + 1))
done

check "the modules can go" guest modprobe -r dmacast
vm_stop

done_testing
