#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# A daemon that is killed under load and started again, 50 times: no client gets a wrong byte, and the rings
# are whole afterwards.

. tests/vm/daemon.sh

times=50

vm_start --seconds 400
check "the modules load" guest modprobe dmacast_sim channels=2 rate=$((8000000 / scale))
check "with two channels" guest modprobe dmacast channels=sim0,sim1
daemon_start <<'END'
[stream adc]
device = /dev/dmacast/sim0
listen = 0.0.0.0:7000
block-size = 64K
ring-size = 4M
[stream dac]
device = /dev/dmacast/sim1
listen = 0.0.0.0:7001
block-size = 128K
ring-size = 4M
lag-policy = block
overrun = stall
END

right=0
bytes=0
for ((round = 1; round <= times; round++)); do
	# What is in flight to one that has stalled stays in the kernel when the daemon has died.
	feed_start stalled$round --clients 1 --stall 1 --stall-after 64K --seconds 600 --allow-end \
		--allow-reset "$(at 7000)"
	feed_start adc --clients 2 --seconds 60 --allow-gaps --block-size 8 --allow-end --allow-reset "$(at 7000)"
	feed_start dac --clients 2 --seconds 60 --allow-end --allow-reset "$(at 7001)"
	sleep 0.$((RANDOM % 5))
	daemon_end KILL || break
	daemon_again || break
	feed_end adc
	[ "$status" -eq 0 ] || diag_file "$work/adc.err"
	wrong=$status
	bytes=$((bytes + $(field bytes_total)))
	feed_end dac
	[ "$status" -eq 0 ] || diag_file "$work/dac.err"
	bytes=$((bytes + $(field bytes_total)))
	right=$((right + (status == 0 && wrong == 0)))
done >"$work/rounds"
sed 's/^/# /' "$work/rounds"
is "killed $times times: what clients got is right" "$right" "$times"
compare "and it was not nothing" "$bytes" -gt $(((times << 20) / scale))
for ((round = 1; round <= times; round++)); do
	[ -z "${feed_pid[stalled$round]-}" ] || feed_end stalled$round KILL
done

feed_ok "after that it works as before" --clients 2 --bytes 4M "$(at 7000)"
feed_ok "the other stream, too" --clients 2 --bytes 4M "$(at 7001)"
check "SIGTERM ends the daemon" daemon_end TERM
whole "after all" sim0 sim1
check "the modules can go" guest modprobe -r dmacast
check "both of them" guest modprobe -r dmacast_sim
vm_stop

done_testing
