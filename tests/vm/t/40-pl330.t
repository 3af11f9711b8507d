#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# A DMA controller with Linux' own driver for it, on 32-bit ARM, from a device tree: PL330, which Zynq-7000
# and Cyclone V have. From a timer as fast as it can, and from a serial port, fed by us, as fast as that
# asks; stopped and unbound in the middle of it; and by the daemon to clients outside. And some of the
# daemon's unit tests, where a word has 32 bits.
# On armmp.

. tests/vm/daemon.sh

vm_start --kernel armmp --serial "$work/serial" --seconds 600
target=$(at 7000)
timer=0x10050100
port=0x13800000

check "the module loads" guest modprobe dmacast
is "with a channel for each node of the device tree" "$(guest ls /dev/dmacast | tr '\n' ' ')" "serial timer "
is "whose words have 32 bits" "$(guest uname -m)" armv7l
# What counts bytes in the daemon.
for program in ring config option units; do
	guest_tap "unit/$program" "build/tests/unit/$program"
done

guest dmesg >"$work/dmesg"
matches "the engine's driver is the kernel's own" "$work/dmesg" 'dmacast timer: DMA channel .* of dma-pl330'
guest_seconds=300 guest_tap timer build/tests/vm/abi/engine /dev/dmacast/timer timer $timer strict

# serial_feed: the pattern to the port, from its first byte on.
serial_feed()
{
	"$BUILD/tests/vm/serialfeed" "$work/serial" "$vm.monitor" $((port + 0x18)) \
		>"$work/serialfeed.out" 2>"$work/serialfeed.err" &
	feeder=$!
	will_end "$feeder"
}

# serial_end TEXT: it did well.
serial_end()
{
	kill "$feeder"
	wait "$feeder"
	ok $? "$1: fed $(cat "$work/serialfeed.out") bytes" || diag_file "$work/serialfeed.err"
}

serial_feed
guest_seconds=300 guest_tap serial build/tests/vm/abi/engine /dev/dmacast/serial serial $port
serial_end "the serial port"

# stream_start NAME BLOCK_SIZE RING_SIZE
stream_start()
{
	daemon_with --device "/dev/dmacast/$1" --listen 0.0.0.0:7000 --block-size "$2" --ring-size "$3" \
		--overrun stall --lag-policy block
}

# What is still in the port is of the feed before.
guest_tap drain build/tests/vm/abi/engine /dev/dmacast/serial drain $port
stream_start serial 4K 128K
feed_start serial --clients 2 --from-start --bytes 64K --seconds 200 "$target"
# They are connected to QEMU now, which connects to the daemon.
says "both clients are there before the first byte" 'joined, 2 now'
serial_feed
feed_end_ok "from the port by the engine, the ring, the daemon and the network: every byte, for two clients" serial
check "the daemon ends in the middle of it" daemon_end TERM 20
serial_end "the stream"

# values TEXT: a client gets values of the timer, in order.
values()
{
	timeout 60 socat -u "TCP:$target" - 2>/dev/null | head -c 1048576 >"$work/values"
	is "$1: all that was wanted" "$(stat -c %s "$work/values")" 1048576
	"$BUILD/tests/vm/abi/engine" check strict <"$work/values" >"$work/check"
	ok $? "$1: in order" || diag_file "$work/check"
}

stream_start timer 64K 2M
values "a stream of the timer"
socat -u "TCP:$target" "CREATE:$work/cut" &
client=$!
will_end "$client"
wait_until 20 test -s "$work/cut"
controller=12680000.dma-controller
check "the engine's driver is unbound while a client reads" guest sh -c \
	"echo $controller >/sys/bus/amba/drivers/dma-pl330/unbind"
wait_until 30 process_ended "$client"
ok $? "the client gets an end"
"$BUILD/tests/vm/abi/engine" check strict <"$work/cut" >"$work/check"
ok $? "what it got is in order" || diag_file "$work/check"
is "the channels are gone" "$(guest sh -c 'ls /dev/dmacast 2>/dev/null')" ""
check "bound again" guest sh -c "echo $controller >/sys/bus/amba/drivers/dma-pl330/bind"
wait_until 30 guest test -e /dev/dmacast/timer
ok $? "the channels are back"
values "and the stream"
check "the daemon ends" daemon_end TERM 20

is "no block is lent, none waits" "$(guest sh -c 'cat /sys/class/dmacast/*/blocks_lent \
	/sys/class/dmacast/*/blocks_quarantine' | tr '\n' ' ')" "0 0 0 0 "
check "the module can go" guest modprobe -r dmacast
vm_stop

done_testing
