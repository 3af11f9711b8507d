#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# Modules that are loaded while the service runs: it uses the device at once, and is not restarted. Its unit loads
# dmacast.ko; the driver of the DMA engine is loaded later, or both are unloaded and loaded again, or dmacast.ko is
# installed only after the start.

. tests/service/lib.sh

service_start --installed
log=/dev/null # of the daemon; it is the guest's journal
target=127.0.0.1:$(vm_port 7000)

property()
{
	guest systemctl show -P "$1" dmacastd
}

# status_is REGEX: of systemctl status; the daemon sends it every few seconds.
status_is()
{
	property StatusText | grep -Eq "$1"
}

# reloads: print how often systemd has read its units again since the boot.
reloads()
{
	guest journalctl -b -o cat --no-pager _PID=1 | grep -c '^Reloading'
}

# load_late TEXT MODULE...: load the modules while a client waits; the device must run before the back-off of 10
# seconds would try it again.
load_late()
{
	local text=$1 begin

	shift
	feed_start late --clients 2 --bytes 1M --seconds 100 "$target"
	begin=${EPOCHREALTIME/[.,]/}
	guest sh -c "for module in $*; do modprobe \$module || exit; done
		for try in \$(seq 100); do
			dmacastctl --json streams | grep -q '\"source_state\":\"running\"' && exit
			sleep 0.1
		done
		exit 1"
	ok $? "$text: the stream runs"
	compare "$text: it runs soon, in ms" $(((${EPOCHREALTIME/[.,]/} - begin) / 1000)) -lt $((8000 * patience))
	feed_end_ok "$text: clients that waited get every byte" late
	is "$text: nothing was restarted" "$(property MainPID) $(property NRestarts)" "$pid 0"
}

# unload: take the device away, and both modules.
unload()
{
	feed_start cut --clients 2 --expect-end end --seconds 60 "$target"
	guest sh -c 'echo 0 >/sys/kernel/debug/dmacast_sim/unplug'
	feed_end_ok "$1: clients get an orderly end" cut
	wait_until 20 status_is 'waiting for a device'
	ok $? "$1: the status says so" || diag "$(property StatusText)"
	check "$1: the modules can be unloaded" guest sh -c 'modprobe -r dmacast && modprobe -r dmacast_sim'
	# Until the back-off is at its maximum.
	guest sleep 13
}

is "systemd did not read its units again at boot" "$(reloads)" 0
guest_script <<'END'
sed -i '/^device/a on-end = wait' /etc/dmacast/dmacastd.conf
systemctl stop dmacastd
modprobe -r dmacast
modprobe -r dmacast_sim
systemctl start dmacastd
END
pid=$(property MainPID)
is "the service starts without a device" "$(property ActiveState)" active
check "its unit loads dmacast.ko" guest grep -q dmacast /proc/devices
wait_until 20 status_is 'waiting for a device'
ok $? "its status says that it waits"
guest sleep 13
load_late "a driver that comes late" dmacast_sim
is "a driver that comes late: systemd did not read its units again" "$(reloads)" 0

unload "the device goes for good"
load_late "both modules again" dmacast_sim dmacast

guest_script <<'END'
systemctl stop dmacastd
modprobe -r dmacast
modprobe -r dmacast_sim
mkdir -p /run/modprobe.d
echo 'install dmacast /bin/false' >/run/modprobe.d/hidden.conf
systemctl start dmacastd
END
pid=$(property MainPID)
check "dmacast.ko is not installed: the service starts" test "$pid" -gt 0
guest grep dmacast /proc/devices >"$work/devices"
is "dmacast.ko is not installed: systemd knows no number of it" "$(cat "$work/devices")" ""
guest sleep 13
guest rm /run/modprobe.d/hidden.conf
load_late "dmacast.ko is installed late" dmacast_sim dmacast
compare "dmacast.ko is installed late: systemd has read its units again" "$(reloads)" -ge 1

service_stop

done_testing
