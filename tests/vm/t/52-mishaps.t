#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# What goes wrong at a device, as the daemon's clients outside see it: no free block, transfers that fail or
# end early, a device that goes away under load, or is not to be had. And that nobody at another stream
# notices.

. tests/vm/daemon.sh

block=65536
sim=/sys/kernel/debug/dmacast_sim

# sim CHANNEL ATTRIBUTE VALUE
sim()
{
	guest sh -c "echo '$3' >$sim/ch$1/$2"
}

# driver unbind|bind CHANNEL: one of them goes, or comes back.
driver()
{
	guest sh -c "echo dmacast.$2 >/sys/bus/platform/drivers/dmacast/$1"
}

# counts CHANNEL NAME -ge NUMBER
counts()
{
	test "$(counter "$1" "$2" | tr -d ' ')" "$3" "$4"
}

# goes_on CHANNEL NUMBER: wait until this many more blocks are lent.
goes_on()
{
	local lent

	lent=$(counter "$1" lent | tr -d ' ')
	wait_until 30 counts "$1" lent -ge $((lent + $2))
}

vm_start --seconds 500
check "the modules load" guest modprobe dmacast_sim channels=4 rate=$((2000000 / scale))
check "with four channels" guest modprobe dmacast channels=sim0,sim1,sim2,sim3

# --- no free block; transfers that fail, or are short ---
daemon_start <<'END'
[daemon]
drain-timeout = 1m
[stream drops]
device = /dev/dmacast/sim0
overrun = drop-oldest
lag-policy = block
listen = 0.0.0.0:7000
block-size = 64K
ring-size = 2M
hold = 3
[stream stalls]
device = /dev/dmacast/sim1
overrun = stall
lag-policy = block
listen = 0.0.0.0:7001
block-size = 64K
ring-size = 2M
hold = 3
[stream errors]
device = /dev/dmacast/sim2
listen = 0.0.0.0:7002
block-size = 64K
ring-size = 8M
record-size = 4
hold = 2
format = framed
[stream steady]
device = /dev/dmacast/sim3
listen = 0.0.0.0:7003
block-size = 64K
ring-size = 16M
END

feed_start steady --clients 2 --seconds 600 "$(at 7003)"
for stream in 0 1; do
	feed_start stalled$stream --clients 1 --stall 1 --seconds 600 --allow-reset "$(at 700$stream)"
done
gaps=(--from-start --until-end --allow-gaps --block-gaps --block-size)
feed_start drops --clients 2 "${gaps[@]}" 64K "$(at 7000)"
# What a device that cannot wait has to give meanwhile is lost from anywhere on, but not within a block.
feed_start stalls --clients 2 --from-start --until-end --allow-gaps "$(at 7001)"
sim 1 lossy Y
feed_start errors --framed --clients 2 --from-start --until-end --block-size 64K "$(at 7002)"

wait_until 60 counts sim0 overruns -ge 20
ok $? "drop-oldest: blocks are taken back where a client holds up the ring"
wait_until 60 counts sim1 stalls -ge 1
ok $? "stall: the engine waits"
for stream in 0 1; do
	feed_end stalled$stream KILL
done
wait_until 30 said 'stream drops: client .* left'
wait_until 30 said 'stream stalls: client .* left'
goes_on sim1 50
ok $? "and goes on when the client has left"

sim 2 error 5
wait_until 30 counts sim2 errors -ge 5
goes_on sim2 10
sim 2 short "4 1002"
wait_until 30 counts sim2 short_transfers -ge 4
goes_on sim2 10
ok $? "failed and short transfers end nothing"
check "SIGTERM ends the daemon" daemon_end TERM

read -r overruns < <(counter sim0 overruns)
feed_end_ok "drop-oldest: clients get whole blocks" drops
is "drop-oldest: their gaps are what was taken back" "$(field gap_bytes)" $((2 * overruns * block))
read -r completed < <(counter sim0 completed)
is "drop-oldest: and the rest is there" "$(field bytes_total)" $((2 * (completed - overruns) * block))
compare "drop-oldest: the log tells" "$(guest grep -c 'stream drops: .* blocks lost: no block was free' \
	/tmp/daemon.log)" -ge 1
is "drop-oldest: and counts the same" "$(logged 'stream drops: device .* lost$' | grep -o '[0-9]* lost')" \
	"$overruns lost"

read -r stalls overruns < <(counter sim1 stalls overruns)
feed_end_ok "stall: clients get what the device had room for" stalls
compare "stall: both have gaps" "$(field gaps)" -ge 2
# A block that comes back at the very moment may be too late for the one count, and in time for the other.
difference=$(($(field gaps) / 2 - stalls))
compare "stall: one each time that the engine ran dry" "${difference#-}" -le 1
is "stall: no block is taken back" "$overruns" 0
is "stall: both have all bytes" "$(field bytes_min)" "$(field bytes_max)"

feed_end_ok "errors: framed clients get each block, and an end" errors
is "errors: the headers say what the failed transfers lost, to the byte" \
	"$(field lost_blocks) $(field lost_bytes)" "$((2 * 5)) $((2 * 5 * block))"
is "errors: and that the clients lost nothing" "$(field gaps)" 0
compare "errors: the log tells" "$(guest grep -c 'stream errors: .* blocks lost: transfers failed' \
	/tmp/daemon.log)" -ge 1
matches "errors: of short ones, too" <(guest cat /tmp/daemon.log) \
	'stream errors: .* a transfer ended after 1002 bytes'
matches "errors: which end within a record" <(guest cat /tmp/daemon.log) \
	'stream errors: .* after 1002 bytes, within a record \(record-size = 4\)'
is "errors: and counts both" "$(logged 'stream errors: device .* lost$' | grep -o '[0-9]* short.*')" \
	"4 short, and 5 lost"
feed_end steady
is "meanwhile, at another stream: every byte" "$(field bad) $(field gaps)" "0 0"
compare "and not a few" "$(field bytes_min)" -gt $(((4 << 20) / scale))
whole "after that" sim0 sim1 sim2 sim3

# --- a device that goes away ---
daemon_start <<'END'
[stream returns]
device = /dev/dmacast/sim0
listen = 0.0.0.0:7000
block-size = 64K
ring-size = 8M
user-timeout = 0
[stream closes]
device = /dev/dmacast/sim1
on-end = close
listen = 0.0.0.0:7001
block-size = 64K
ring-size = 8M
user-timeout = 0
[stream starves]
device = /dev/dmacast/sim2
on-end = wait
lag-policy = block
listen = 0.0.0.0:7002
block-size = 64K
ring-size = 2M
user-timeout = 0
[stream steady]
device = /dev/dmacast/sim3
listen = 0.0.0.0:7003
block-size = 64K
ring-size = 16M
END

feed_start steady --clients 2 --seconds 600 "$(at 7003)"
for round in 1 2; do
	feed_start stalled$round --clients 1 --stall 1 --seconds 600 --allow-reset "$(at 7000)"
	feed_start cut --clients 2 --expect-end end --seconds 60 "$(at 7000)"
	# The same number of bytes at each rate: the client that does not read has a full socket.
	sleep $((2 * scale))
	check "the device goes under load, time $round" driver unbind 0
	feed_end_ok "its clients get right bytes and an orderly end" cut
	compare "not just a few" "$(field bytes_min)" -gt $block
	says "it says what it waits for" 'stream returns: waiting for device'
	feed_start early --clients 2 --bytes 2M "$(at 7000)"
	check "the device comes back" driver bind 0
	feed_end_ok "who came meanwhile gets the stream then" early
done
is "the client that stalled before the first time was reset at the second one" \
	"$(guest grep -c 'stream returns: client .* left: device gone again' /tmp/daemon.log)" 1
for round in 1 2; do
	feed_end stalled$round KILL
done

feed_start stalled --clients 1 --stall 1 --seconds 600 --allow-reset "$(at 7001)"
feed_start cut --clients 2 --expect-end end --seconds 60 "$(at 7001)"
sleep 1
check "on-end = close: the device goes" driver unbind 1
feed_end_ok "on-end = close: right bytes and an orderly end" cut
check "on-end = close: nobody new is accepted" guest bash -c '! exec 3<>/dev/tcp/127.0.0.1/7001'
feed_end stalled KILL
says "on-end = close: when all have left, the stream has ended" 'stream closes: ended after'
check "on-end = close: the device comes back for others" driver bind 1

feed_start stalled --clients 1 --stall 1 --seconds 600 --allow-reset "$(at 7002)"
feed_start cut --clients 2 --expect-end end --seconds 60 "$(at 7002)"
wait_until 60 counts sim2 overruns -ge 1
ok $? "lag-policy = block: a stalled client has all the blocks"
check "lag-policy = block: the device goes" driver unbind 2
feed_end_ok "lag-policy = block: right bytes and an orderly end all the same" cut
check "lag-policy = block: the device comes back" driver bind 2
feed_ok "lag-policy = block: so does the stream" --clients 2 --bytes 2M "$(at 7002)"
feed_end stalled KILL

feed_end_ok "meanwhile, at another stream: every byte" steady TERM
compare "and not a few" "$(field bytes_min)" -gt $(((4 << 20) / scale))

for stream in 0 2 3; do
	feed_start cut$stream --clients 2 --expect-end end --seconds 60 "$(at 700$stream)"
done
check "the engine of all of them goes, for a second" guest sh -c "echo 1000 >$sim/unplug"
for stream in 0 2 3; do
	feed_end_ok "stream $stream: right bytes and an orderly end" cut$stream
done
for stream in 0 2 3; do
	feed_ok "stream $stream: it is there again" --clients 2 --bytes 1M "$(at 700$stream)"
done
check "SIGTERM ends the daemon" daemon_end TERM
whole "after that" sim0 sim1 sim2 sim3

# --- a device that is not to be had ---
# refused TEXT REGEX: a daemon that does not wait says why not.
refused()
{
	guest build/dmacastd --device /dev/dmacast/sim0 --listen 0.0.0.0:7001 >"$work/refused"
	is "$1: a daemon that is not to wait does not start" $? 1
	matches "$1: and says why" "$work/refused" "$2"
}

guest_start holder bash -c 'exec 3<>/dev/dmacast/sim0 && echo has it && exec sleep 1000'
wait_until 10 guest grep -q 'has it' /tmp/holder.log
refused "in use" 'device = /dev/dmacast/sim0: another process has it open'
daemon_start <<'END'
[stream wants]
device = /dev/dmacast/sim0
on-end = wait
listen = 0.0.0.0:7000
[stream steady]
device = /dev/dmacast/sim3
listen = 0.0.0.0:7003
END
says "in use: with on-end = wait, it says what it waits for" \
	'stream wants: device /dev/dmacast/sim0: another process has it open; trying again until it is there'
feed_start patient --clients 2 --bytes 2M "$(at 7000)"
feed_ok "in use: another stream is there meanwhile" --clients 2 --bytes 2M "$(at 7003)"
check "in use: the other process ends" guest sh -c "kill \$(cat /tmp/holder.pid)"
feed_end_ok "in use: then clients that waited get the stream" patient
check "SIGTERM ends the daemon" daemon_end TERM

check "the device goes" driver unbind 0
refused "missing" 'device = /dev/dmacast/sim0: No such file or directory: dmacast.ko is not loaded, or has no'
check "the same daemon again" daemon_again
says "missing: with on-end = wait, it says what it waits for" \
	'stream wants: device /dev/dmacast/sim0: .* has no such channel; trying again until it is there'
feed_start patient --clients 2 --bytes 2M "$(at 7000)"
feed_ok "missing: another stream is there meanwhile" --clients 2 --bytes 2M "$(at 7003)"
check "missing: the device comes" driver bind 0
feed_end_ok "missing: then clients that waited get the stream" patient
check "SIGTERM ends the daemon" daemon_end TERM

whole "after all" sim0 sim1 sim2 sim3
check "the modules can go" guest modprobe -r dmacast
check "both of them" guest modprobe -r dmacast_sim
vm_stop

done_testing
