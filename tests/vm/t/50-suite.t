#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# The daemon's end-to-end tests once more, in a guest, with the kernel ring as their source.

. tests/vm/lib.sh

# Those of tests/t that need a source that any kind can be.
suite="20-streaming 21-churn 22-slow 26-network 27-stop 28-idle"

# The others, each with the reason.
declare -A left_out=(
	[01-tree]="the sources and their build"
	[02-harness]="the tests' own means"
	[03-english]="comments and manuals"
	[04-mutants]="patches of the sources"
	[05-feedclient]="the checking client alone"
	[06-fuzz]="functions that parse, without any stream"
	[10-documented]="manuals and samples"
	[15-devicetree]="overlays and their schema"
	[16-dkms]="building and installing the modules"
	[23-sources]="the other sources; the device's own ways are in 52-mishaps"
	[24-tools]="an input of known bytes, to the end; 51-endurance has nc"
	[25-limits]="limits of processes, addresses, memfd: no matter what the source is"
	[29-messages]="log and arguments, the same with every source"
	[30-control]="the control socket, which knows of no source"
	[31-top]="dmacastctl in a terminal"
	[32-metrics]="the HTTP listener; 10-stream looks at a device's metrics from outside"
	[33-reload]="54-reload is about devices"
	[37-socket-memory]="kernel memory of sockets, whose data comes from any source"
	[36-listen-when]="addresses that come later, the same with every source"
	[38-overload]="the event loop, the same with every source; a guest has too little memory for the clients"
	[39-allocation]="a reload without memory; the ring of a device is not allocated"
	[34-completion]="the shell's completion"
	[35-commands]="commands as sources"
	[40-units]="the units alone"
	[41-service]="the service manager's side; the service tests run with a device"
	[43-reload-async]="names and rings in memory, which a device does not have"
	[50-nullpeer]="completions by TCP, whose memory is not looked at; tests/vm has real cards"
	[51-bench]="the benchmark: how it measures, and its arithmetic"
	[64-scale]="many clients and addresses, the same with every source"
	[65-endpoints]="sections of endpoints, the same with every source"
	[52-peers]="other servers than the daemon"
	[60-records]="lines of text and a pattern; 52-mishaps has short transfers"
	[61-frames]="commands and FIFOs as sources; 52-mishaps has frames of a device"
	[63-http]="HTTP requests, the same with every source"
	[66-preamble]="commands and FIFOs as sources"
	[69-client-input]="what clients send, which a device does not take"
	[67-history]="commands and FIFOs as sources"
	[68-on-demand]="each other kind of source; 57-on-demand has a device"
	[62-readers]="other programs that read frames"
	[72-events]="the control socket, and commands as sources"
	[70-cat]="dmacastctl as a client, mostly of a server with faults"
	[71-cat-files]="the files of dmacastctl cat"
	[75-page]="the HTTP listener and a browser"
	[79-relay]="blocks of another dmacastd; the origin's source does not matter"
	[82-nats-login]="the other end of an endpoint, the same with every source"
	[80-nats]="the other end of an endpoint, the same with every source"
	[81-faults]="faults of system calls; those of a device do not wait"
	[78-dashboards]="metrics and files for other programs; those of a device are looked up"
	[77-doctor]="settings of the kernel and of interfaces, the same with every source"
	[09-model]="a model, without a daemon"
	[76-packages]="packages, without a daemon"
	[74-handover]="handover of rings in memory; a device has a test of its own"
	[73-cat-resume]="dmacastctl as a client of a history, the same with every source"
)

for test in tests/t/*.t; do
	name=$(basename "$test" .t)
	case " $suite " in
	*" $name "*) [ -z "${left_out[$name]-}" ] || echo "$name is in both lists" ;;
	*) [ -n "${left_out[$name]-}" ] || echo "$name is in no list" ;;
	esac
done >"$work/lists"
for name in $suite "${!left_out[@]}"; do
	[ -e "tests/t/$name.t" ] || echo "$name is no test"
done >>"$work/lists"
is "every test of the daemon runs here, or there is a reason" "$(cat "$work/lists")" ""

vm_start --seconds 900
device=/dev/dmacast/sim0
sim=/sys/kernel/debug/dmacast_sim/ch0
counters=/sys/class/dmacast/sim0
check "the modules load" guest modprobe dmacast_sim
check "with a channel" guest modprobe dmacast channels=sim0

# These show gaps, losses and idle CPU time, which depend on rates. Their amounts, divided by 32 in the debug
# kernel, fill no socket there.
too_slow=
[ "$smaller" -eq 1 ] || too_slow="22-slow 26-network 28-idle"

for name in $suite; do
	case " $too_slow " in
	*" $name "*)
		skip "$name" "it depends on rates that the debug kernel does not reach"
		continue
		;;
	esac
	before=$(guest cat $sim/transfers)
	began=$SECONDS
	guest_seconds=400 guest_tap "$name" env DMACAST_TEST_DEVICE=$device DMACAST_TEST_SCALE=$((4 * scale)) \
		bash "tests/t/$name.t"
	diag "$name took $((SECONDS - began)) s"
	compare "$name: the device was the source" "$(guest cat $sim/transfers)" -gt "$before"
	is "$name: no block is lent, none waits" \
		"$(guest cat $counters/blocks_lent $counters/blocks_quarantine | tr '\n' ' ')" "0 0 "
done

check "the modules can go" guest modprobe -r dmacast
check "both of them" guest modprobe -r dmacast_sim
vm_stop

done_testing
