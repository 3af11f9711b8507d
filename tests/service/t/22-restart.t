#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# A restart of the service keeps its clients, in its sandbox and on the kernel's ring; a stop, a crash, and a restart
# without a system bus end them.

. tests/service/lib.sh

service_start --installed
log=/dev/null # of the daemon; it is the guest's journal
device=127.0.0.1:$(vm_port 7000)
second=127.0.0.1:$(vm_port 7001)
target=127.0.0.1:$(vm_port 7002)

property()
{
	guest systemctl show -P "$1" dmacastd
}

# said REGEX: in the daemon's journal
said()
{
	guest journalctl -u dmacastd -o cat --no-pager | grep -Eq "$1"
}

# times_said REGEX: how often
times_said()
{
	guest journalctl -u dmacastd -o cat --no-pager | grep -cE "$1"
}

guest cat /etc/dmacast/dmacastd.conf >"$work/dmacastd.conf"
cat >>"$work/dmacastd.conf" <<'END'
[stream extra]
input = exec:echo $$ >>/run/dmacast/pids; exec cat /dev/zero
huge-pages = never
lag-policy = block
max-rate = 1M/s
listen = *:7001
[stream memory]
pattern = 1M/s
huge-pages = never
lag-policy = block
listen = *:7002
END
guest_put "$work/dmacastd.conf" /etc/dmacast/dmacastd.conf
check "a reload" guest systemctl reload dmacastd
guest systemctl is-active dbus.socket >"$work/bus"
is "there is a system bus" "$(cat "$work/bus")" active

feed_start kept --clients 10 --seconds 600 "$target"
# An emulated CPU is slower than the engine.
feed_start device --clients 2 --allow-gaps --seconds 600 "$device"
feed_start command --clients 2 --discard --seconds 600 "$second"
wait_until 20 guest test -s /run/dmacast/pids
for i in 1 2 3; do
	pid=$(property MainPID)
	check "restart $i" guest systemctl restart dmacastd
	compare "restart $i: another process" "$(property MainPID)" -ne "$pid"
	is "restart $i: it took over" "$(times_said 'took over 3 stream')" "$i"
done
guest journalctl -u dmacastd -o cat --no-pager | sed -n 's/^took over/# &/p'
is "the store is empty" "$(property NFileDescriptorStore)" 0
is "the command was started once" "$(guest cat /run/dmacast/pids | wc -l)" 1
check "... and runs" guest kill -0 "$(guest cat /run/dmacast/pids)"
check "dmacastctl upgrade, in the sandbox" guest dmacastctl upgrade
is "... took over" "$(times_said 'took over 3 stream')" 4
is "... the same service" "$(property ActiveState) $(property NRestarts)" "active 0"
feed_end_ok "clients have every byte" kept TERM
feed_end_ok "clients of the device have right bytes" device TERM
feed_end_ok "clients of the command stayed" command TERM

feed_start stopped --clients 3 --until-end --expect-end end "$target"
check "a stop" guest systemctl stop dmacastd
feed_end_ok "a stop drains" stopped
is "no command is left" "$(guest pgrep -c -u dmacast)" 0
check "a start" guest systemctl start dmacastd
is "a stop hands nothing over" "$(times_said 'took over')" 4

feed_start crashed --clients 3 --seconds 600 --allow-end --allow-reset "$target"
guest systemctl kill --signal=KILL --kill-whom=main dmacastd
wait_until 60 guest dmacastctl status
is "a crash hands nothing over" "$(times_said 'took over')" 4
feed_end crashed TERM

guest systemctl stop dbus.socket dbus.service
feed_start busless --clients 3 --until-end --expect-end end "$target"
check "a restart without a bus" guest systemctl restart dmacastd
feed_end_ok "... drains" busless
check "... and says why" said 'there is no system bus, so this counts as a stop'
is "... nothing is handed over" "$(times_said 'took over')" 4
guest systemctl start dbus.socket

service_stop
done_testing
