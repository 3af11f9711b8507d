#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# A device whose clients have sections of their own, a preamble and a history: raw, framed and lagging clients of one
# ring side by side, sections that a reload adds and removes, and a device that goes away and returns.

. tests/vm/daemon.sh

block=65536

# configure: the configuration of standard input, for the next reload.
configure()
{
	cat >"$work/daemon.conf"
	guest_put "$work/daemon.conf" /tmp/daemon.conf
}

reloads=0
reload()
{
	reloads=$((reloads + 1))
	guest sh -c "kill -HUP \$(pidof dmacastd)"
	wait_until 30 reloaded
}

reloaded()
{
	[ "$(guest sh -c "grep -cE 'streams: .* as before|stays in effect' /tmp/daemon.log")" -ge "$reloads" ]
}

# raw NAME PORT: a client without a check, which stays until raw_end.
raw()
{
	nc -d 127.0.0.1 "$(vm_port "$2")" >"$work/$1" &
	raw_pid[$1]=$!
	will_end $!
	wait_until 60 has_more "$1" $((2 * block))
	ok $? "$1: gets the preamble and blocks"
}
declare -A raw_pid

# has_more NAME BYTES
has_more()
{
	[ "$(wc -c <"$work/$1")" -gt "$2" ]
}

# raw_end NAME PREAMBLE: check what it got: the file PREAMBLE once, and then the device's pattern from a block on.
raw_end()
{
	local length

	kill "${raw_pid[$1]}" 2>/dev/null
	wait "${raw_pid[$1]}" 2>/dev/null
	length=$(wc -c <"$2")
	check "$1: the preamble is first" cmp "$2" <(head -c "$length" "$work/$1")
	tail -c +$((length + 1)) "$work/$1" >"$work/$1.blocks"
	"$BUILD/tests/feedclient" --check-file "$work/$1.blocks" --allow-gaps --block-size 64K >"$work/$1.report" 2>&1
	ok $? "$1: and then blocks of the pattern" || diag_file "$work/$1.report"
}

configuration()
{
	cat <<-END
		[daemon]
		drain-timeout = 5s
		[stream adc]
		device = /dev/dmacast/sim0
		preamble = $1
		block-size = 64K
		ring-size = 4M
		retain = 1M
		listen = 0.0.0.0:7000
		[endpoint frames]
		stream = adc
		format = framed
		listen = 0.0.0.0:7001
		[endpoint viewers]
		stream = adc
		lag-policy = latest
		listen = 0.0.0.0:7002
		[endpoint past]
		stream = adc
		format = framed
		start = oldest
		listen = 0.0.0.0:7004
	END
}

vm_start --seconds 500 --ports 5
check "the modules load" guest modprobe dmacast_sim channels=1 rate=$((2000000 / scale))
check "with one channel" guest modprobe dmacast channels=sim0

# --- a file as preamble, and all sections at once ---
head -c 1000 /dev/urandom >"$work/head"
guest_put "$work/head" /tmp/head
configuration /tmp/head | daemon_start
raw own 7000
raw viewers 7002
feed_preamble=$work/preamble
feed_start frames --framed --clients 3 --preamble "$feed_preamble" --seconds 400 --allow-end "$(at 7001)"

# --- the history: what a client gets while the engine is silent can come from nowhere else ---
wait_until 60 has_more own $((2 << 20))
guest sh -c 'echo 600000 >/sys/kernel/debug/dmacast_sim/ch0/stall'
feed_ok "a client begins in the history of a silent device" --framed --clients 2 --bytes 768K --seconds 60 \
	"$(at 7004)"
is "... and has that much of it" "$(field "done")" 2
guest sh -c 'echo 0 >/sys/kernel/debug/dmacast_sim/ch0/stall'
feed_ok "the device goes on" --framed --clients 1 --bytes 512K --block-size 64K "$(at 7001)"
feed_start stalled --framed --clients 2 --stall 2 --seconds 400 --allow-end --allow-reset "$(at 7001)"
raw late 7000

# --- a reload adds a section whose peers are refused, and one more; nobody else notices ---
{
	configuration /tmp/head
	cat <<-END
		[endpoint late]
		stream = adc
		format = framed
		listen = 0.0.0.0:7003
		deny = 0.0.0.0/0
	END
} | configure
reload
feed --framed --clients 1 --bytes 4K --allow-end --allow-reset "$(at 7003)"
is "a section that denies everyone sends nothing" "$(field bytes_total)" 0
sed '/^deny/d' "$work/daemon.conf" >"$work/allowed.conf"
configure <"$work/allowed.conf"
reload
feed_ok "without the rule it does" --framed --clients 2 --bytes $((1 << 20)) --block-size 64K "$(at 7003)"
configuration /tmp/head | configure
reload
says "the section is removed" 'stream adc: endpoint late: removed'

# --- the device goes, and returns: an orderly end, and the preamble again for who joins then ---
cut_bytes=$(wc -c <"$work/own")
check "the engine goes, for a second" guest sh -c "echo 1000 >/sys/kernel/debug/dmacast_sim/unplug"
feed_end_ok "framed clients got each block and an end" frames
is "none of them had a gap" "$(field gaps)" 0
is "each had the preamble" "$(field preambles)" 3
check "which is the file" cmp "$work/head" "$feed_preamble"
feed_end stalled KILL
for name in own viewers late; do
	raw_end "$name" "$work/head"
done
compare "raw clients went on until then" "$(wc -c <"$work/own")" -ge "$cut_bytes"
wait_until 60 said 'stream adc: .*waiting for device'
raw returned 7000
raw_end returned "$work/head"
rm -f "$feed_preamble"
feed_ok "the section of frames has the device again" --framed --clients 2 --bytes $((1 << 20)) --block-size 64K \
	--preamble "$feed_preamble" "$(at 7001)"
check "with the preamble" cmp "$work/head" "$feed_preamble"
check "SIGTERM ends the daemon" daemon_end TERM
whole "after that" sim0

# --- the first bytes of the run as preamble ---
configuration 3000 | sed '/^device/a hold = 1' | daemon_start
wait_until 60 said 'stream adc: endpoint viewers: listening on'
raw first 7000
raw second 7002
# The first client started the device, whose pattern goes on where it was.
head -c 3000 "$work/first" >"$work/begin"
rm -f "$feed_preamble"
check "it is a piece of the pattern" "$BUILD/tests/feedclient" --check-file "$work/begin"
feed_ok "framed clients get the begin of the run" --framed --clients 2 --bytes $((1 << 20)) --block-size 64K \
	--preamble "$feed_preamble" "$(at 7001)"
check "to the byte" cmp "$work/begin" "$feed_preamble"
raw_end second "$work/begin"
kill "${raw_pid[first]}"
check "the daemon ends" daemon_end TERM
whole "after that" sim0
check "the modules can go" guest modprobe -r dmacast
check "both of them" guest modprobe -r dmacast_sim
vm_stop

done_testing
