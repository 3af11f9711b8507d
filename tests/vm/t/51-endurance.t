#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# Two streams in one daemon for two minutes, to clients outside of every kind: those that keep up get
# every byte, without a copy.
# Not on debug: its rates are more than that kernel reaches

. tests/vm/daemon.sh

seconds=120
rate=$((2000000 / scale))
nc=$(command -v nc.openbsd || command -v nc)

vm_start --seconds 420
check "the modules load" guest modprobe dmacast_sim channels=2 rate=$rate
check "with two channels" guest modprobe dmacast channels=sim0,sim1
daemon_start <<END
[stream adc]
device = /dev/dmacast/sim0
listen = 0.0.0.0:7000
block-size = 64K
ring-size = $((16384 / scale))K
lag-policy = drop

[stream dac]
device = /dev/dmacast/sim1
listen = 0.0.0.0:7001
block-size = 300K
ring-size = $((12288 / scale))K
lag-policy = block
overrun = stall
END

feed_start adc --clients 3 --seconds $seconds "$(at 7000)"
feed_start dac --clients 2 --seconds $seconds "$(at 7001)"
feed_start stalled --clients 2 --stall 2 --seconds 600 --allow-reset "$(at 7000)"
feed_start slow --clients 1 --rate 300K/s --rcvbuf 64K --allow-gaps --block-gaps --block-size 64K \
	--seconds $((seconds - 10)) "$(at 7000)"
began=$SECONDS

# round: clients that are killed, leave, reset, and stay for a while.
round()
{
	feed_start victims --clients 2 --seconds 60 "$(at 7000)" || return
	feed_start others --clients 2 --seconds 60 "$(at 7001)" || return
	feed --clients 4 --leave 2 --leave-after 100K --reset 2 --reset-after 200K --churn --seconds 3 \
		"$(at 7000)"
	[ "$status" -eq 0 ] || return
	feed_end victims KILL
	feed_end others KILL
	feed --clients 2 --bytes 2M "$(at 7001)"
	[ "$status" -eq 0 ]
}
rounds=0
while [ $((SECONDS - began)) -lt $((seconds - 30)) ]; do
	round || break
	rounds=$((rounds + 1))
done
ok "$status" "clients that are killed, leave, reset and come again: $rounds rounds of them" ||
	diag_file "$work/feed.err"
compare "more than a few" $rounds -gt 3
timeout 5 "$nc" -d 127.0.0.1 "$(vm_port 7000)" >"$work/nc.out"
check "what nc writes is right" "$BUILD/tests/feedclient" --check-file "$work/nc.out"
compare "and not a little" "$(stat -c %s "$work/nc.out")" -gt $rate

feed_end_ok "adc, lag-policy = drop: every byte to those that keep up" adc
compare "at a rate" "$(field bytes_min)" -gt $((seconds * rate / 4))
feed_end_ok "dac, lag-policy = block: every byte" dac
compare "at a rate" "$(field bytes_min)" -gt $((seconds * rate / 4))
feed_end_ok "one that is too slow has gaps between blocks, and nothing wrong" slow
compare "it does have gaps" "$(field gaps)" -gt 0
is "the two that never read were ended by user-timeout" \
	"$(guest grep -c 'stream adc: client .* left: timed out' /tmp/daemon.log)" 2
feed_end stalled TERM
is "adc: the engine never ran dry, lost nothing" "$(counter sim0 stalls overruns errors)" "0 0 0 "
is "dac: nothing was lost" "$(counter sim1 overruns errors)" "0 0 "
for channel in sim0 sim1; do
	read -r blocks recycled < <(counter $channel block_count recycled)
	compare "$channel: its ring of $blocks blocks went around" "$recycled" -gt $((10 * blocks))
done

check "SIGTERM ends the daemon" daemon_end TERM
guest cat /tmp/daemon.log >"$work/daemon.log"
# Sums over all clients; what is small is copied, and so are probes that are not answered yet.
read -r zerocopy by_kernel copied no_room < <(sed -nE \
	's/.* left: .*sends: ([0-9]+) zero-copy \(([0-9]+) copied by the kernel\), ([0-9]+) copied \(([0-9]+) after.*/\1 \2 \3 \4/p' \
	"$work/daemon.log" | awk '{ for (i = 1; i <= 4; i++) sum[i] += $i } END { print sum[1], sum[2], sum[3], sum[4] }')
diag "sends: $zerocopy zero-copy ($by_kernel copied by the kernel), $copied copied ($no_room after ENOBUFS)"
is "the kernel copied no zero-copy send" "$by_kernel" 0
compare "most was sent without a copy" "$zerocopy" -gt $((4 * copied))
is "nothing alarming in the log" "$(grep -Ec 'please report|not complete|Assertion' "$work/daemon.log")" 0
whole "after all" sim0 sim1
check "the modules can go" guest modprobe -r dmacast
check "both of them" guest modprobe -r dmacast_sim
vm_stop

done_testing
