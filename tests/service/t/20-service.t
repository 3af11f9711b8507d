#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# The service from boot on, on the kernel's ring, in its sandbox: readiness, status, reload under load, what
# is refused; the watchdog, a crash; sockets before the daemon; an instance; draining; the journal.

. tests/service/lib.sh

service_start --installed
log=/dev/null # of the daemon; it is the guest's journal
target=127.0.0.1:$(vm_port 7000)
second=127.0.0.1:$(vm_port 7001)

property()
{
	guest systemctl show -P "$1" "${2:-dmacastd}"
}

# said REGEX [OPTION]...: in the daemon's journal
said()
{
	local regex=$1

	shift
	guest journalctl -u dmacastd -o cat --no-pager "$@" | grep -Eq "$regex"
}

# status_is REGEX: of systemctl status; the daemon says so every few seconds.
status_is()
{
	property StatusText | grep -Eq "$1"
}

# configure: standard input is the configuration.
configure()
{
	cat >"$work/dmacastd.conf"
	guest_put "$work/dmacastd.conf" /etc/dmacast/dmacastd.conf
}

# drop_in UNIT: standard input is what is other than in the unit.
drop_in()
{
	cat >"$work/drop-in"
	guest mkdir -p "/etc/systemd/system/$1.d"
	guest_put "$work/drop-in" "/etc/systemd/system/$1.d/test.conf"
	guest systemctl daemon-reload
}

guest cat /etc/dmacast/dmacastd.conf >"$work/first.conf"

# --- from boot on ---
is "it is active after boot" "$(property ActiveState)" active
is "the modules were loaded, the device is the group's" "$(guest stat -c '%U %G %a' /dev/dmacast/sim0)" \
	"root dmacast 660"
is "the settings of the kernel are ours" \
	"$(guest sysctl -n net.core.optmem_max net.ipv4.tcp_mtu_probing | tr '\n' ' ')" "1048576 0 "
is "nothing to warn of" "$(guest journalctl -u dmacastd -p warning -o cat --no-pager)" ""
is "it is nobody's root" "$(guest ps -o user= -p "$(property MainPID)")" dmacast
guest cat "/proc/$(property MainPID)/status" >"$work/status"
matches "without a capability" "$work/status" '^CapBnd:.0+$'
matches "without a way to privileges" "$work/status" '^NoNewPrivs:.1$'
matches "with a filter of system calls" "$work/status" '^Seccomp:.2$'
feed_start two --clients 2 --seconds 120 "$target"
wait_until 20 status_is '^1 stream, 2 clients, .*/s$'
ok $? "the status has streams, clients, rate" || diag "$(property StatusText)"
feed_ok "clients outside get every byte" --clients 3 --bytes 4M "$target"

# --- reload, with clients ---
configure <<END
$(cat "$work/first.conf")
[stream extra]
pattern = 2M/s
listen = *:7001
END
check "a reload with a new stream" guest systemctl reload dmacastd
feed_ok "which is there when systemctl returns" --clients 2 --bytes 1M "$second"
feed_start removed --clients 1 --seconds 60 --expect-end end "$second"
configure <"$work/first.conf"
check "a reload without it" guest systemctl reload dmacastd
feed_end_ok "its client gets an orderly end" removed

# --- options of clients that a kernel may refuse: the daemon tries each on a socket, within the sandbox ---
interface=$(guest ls /sys/class/net | grep -v '^lo$' | head -n 1)
congestion=$(guest sysctl -n net.ipv4.tcp_available_congestion_control | tr ' ' '\n' | head -n 1)
options()
{
	configure <<-END
		$(cat "$work/first.conf")
		[stream extra]
		pattern = 2M/s
		[endpoint marked]
		stream = extra
		listen = *:7001
		interface = $1
		dscp = CS5
		congestion = $congestion
		max-rate = 8M/s
	END
	check "a reload with interface = $1, dscp, congestion and max-rate" guest systemctl reload dmacastd
}
options "$interface"
feed_ok "clients that come by the interface get every byte" --clients 1 --bytes 1M "$second"
options lo
feed --clients 1 --bytes 1 --connect-timeout 2s --allow-end --allow-reset "$second"
is "others get none" "$(field bytes_total)" 0
configure <"$work/first.conf"
check "a reload without them" guest systemctl reload dmacastd

pid=$(property MainPID)
configure <<END
$(cat "$work/first.conf")
no-such-option = 1
END
guest systemctl reload dmacastd >"$work/reload" 2>&1
compare "a reload of a broken file fails" $? -ne 0
check "the journal says why" said 'no-such-option' -p err
is "it is active as before" "$(property ActiveState) $(property MainPID)" "active $pid"
guest kill -HUP "$pid"
wait_until 20 said 'was not applied' -p err
ok $? "with a plain SIGHUP, too, the journal says so"
is "it is active as before" "$(property ActiveState) $(property MainPID)" "active $pid"
configure <"$work/first.conf"
check "the right file again" guest systemctl reload dmacastd
feed_end_ok "who was connected all the time got every byte" two TERM

# --- it is ready when systemd says so ---
cat >"$work/after.service" <<'END'
[Unit]
Requires=dmacastd.service
After=dmacastd.service
[Service]
Type=oneshot
ExecStart=/bin/bash -c "exec 3<>/dev/tcp/127.0.0.1/7000 && head -c 100000 <&3 >/run/after.bytes"
END
guest_put "$work/after.service" /etc/systemd/system/after.service
guest sh -c 'systemctl daemon-reload; systemctl stop dmacastd'
check "a unit that starts after it finds the endpoint" guest systemctl start after.service
is "and gets data" "$(guest stat -c %s /run/after.bytes)" 100000

# --- a loop that hangs ---
drop_in dmacastd.service <<'END'
[Service]
WatchdogSec=8
END
guest systemctl restart dmacastd
pid=$(property MainPID)
feed_start hung --clients 2 --seconds 90 --allow-end --allow-reset "$target"
guest sleep 12
is "it serves the watchdog" "$(property MainPID)" "$pid"
guest kill -STOP "$pid"
restarted()
{
	[ "$(property NRestarts)" = "$1" ] && [ "$(property ActiveState)" = active ]
}
wait_until 60 restarted 1
ok $? "a daemon that hangs is killed and started again"
check "by the watchdog" guest sh -c 'journalctl -u dmacastd -o cat --no-pager | grep -q "Watchdog timeout"'
feed_end_ok "what its clients had is right" hung
feed_ok "and the stream is there again, on the same ring" --clients 2 --bytes 2M "$target"

guest sh -c 'rm -r /etc/systemd/system/dmacastd.service.d; systemctl daemon-reload; systemctl restart dmacastd'

# --- a crash ---
feed_start crash --clients 2 --seconds 60 --allow-end --allow-reset "$target"
guest kill -KILL "$(property MainPID)"
wait_until 60 restarted 1
ok $? "a daemon that is killed is started again"
feed_end_ok "what its clients had is right" crash
feed_ok "and the stream is there again" --clients 2 --bytes 2M "$target"

# --- the device goes and comes, and is the group's each time ---
feed_start cut --clients 2 --expect-end end --seconds 60 "$target"
# Long enough for the status, which is looked at every five seconds.
guest sh -c 'echo 15000 >/sys/kernel/debug/dmacast_sim/unplug'
feed_end_ok "the device goes: an orderly end" cut
wait_until 20 status_is 'waiting for a device'
ok $? "the status says so" || diag "$(property StatusText)"
feed_ok "it comes back, and the stream with it" --clients 2 --bytes 2M --connect-timeout 60s "$target"

# --- an instance beside it ---
cat >"$work/beside.conf" <<'END'
[stream sim1]
device = /dev/dmacast/sim1
listen = *:7002
block-size = 64K
ring-size = 2M
END
guest_put "$work/beside.conf" /etc/dmacast/beside.conf
check "an instance with a file of its own" guest systemctl start dmacastd@beside
feed_ok "streams its ring" --clients 2 --bytes 2M "127.0.0.1:$(vm_port 7002)"
feed_ok "beside the other one" --clients 2 --bytes 1M "$target"
check "and is stopped alone" guest systemctl stop dmacastd@beside
is "the other one is active" "$(property ActiveState)" active

# --- stopping ---
feed_start drained --clients 3 --seconds 60 --expect-end end "$target"
check "systemctl stop" guest systemctl stop dmacastd
feed_end_ok "every client gets an orderly end, and right bytes" drained
is "it ended well" "$(property Result) $(property ExecMainStatus)" "success 0"
is "no block is lent, none waits" \
	"$(guest sh -c 'cd /sys/class/dmacast/sim0; cat blocks_lent blocks_quarantine' | tr '\n' ' ')" "0 0 "

# What was read from the source everybody gets, though it takes longer than systemd would wait.
"$BUILD/tests/feedclient" --generate 6M >"$work/feed"
guest_put "$work/feed" /var/lib/feed
guest mkfifo /var/lib/feed.fifo
guest_start writer sh -c "cat /var/lib/feed >/var/lib/feed.fifo"
drop_in dmacastd.service <<'END'
[Service]
TimeoutStopSec=4
END
configure <<'END'
[daemon]
drain-timeout = 2m
[stream file]
input = /var/lib/feed.fifo
on-end = wait
hold = 2
lag-policy = block
ring-size = 16M
listen = *:7000
END
check "a stream from a file" guest systemctl start dmacastd
feed_start slow --clients 2 --rate 600K/s --rcvbuf 64K --from-start --expect-bytes 6M --expect-end end --seconds 100 \
	"$target"
# What the daemon has not read yet is still the FIFO's, and a stop leaves it there.
all_is_read()
{
	guest dmacastctl --json streams | jq -e '.streams[0].filled.bytes == 6 * 1024 * 1024'
}
check "the source is read to its end" wait_until 60 all_is_read
check "systemctl stop" guest systemctl stop dmacastd
is "ends it well, after all that time" "$(property Result)" success
feed_end_ok "and slow clients get all of it" slow
guest sh -c 'rm -r /etc/systemd/system/dmacastd.service.d; systemctl daemon-reload'

# --- clients before the daemon ---
guest cp /usr/local/share/doc/dmacast/examples/dmacastd.socket /etc/systemd/system/dmacastd.socket
guest sed -i 's/^ListenStream=.*/ListenStream=7003/; s/^FileDescriptorName=.*/FileDescriptorName=early/' \
	/etc/systemd/system/dmacastd.socket
configure <<END
$(cat "$work/first.conf")
listen = systemd:early
END
guest systemctl daemon-reload
check "the socket unit starts" guest systemctl start dmacastd.socket
is "and the daemon does not" "$(property ActiveState)" inactive
feed_ok "who connects gets the stream" --clients 4 --bytes 2M "127.0.0.1:$(vm_port 7003)"
is "as the daemon was started for it" "$(property ActiveState)" active
feed_start early --clients 2 --seconds 60 --allow-end --allow-reset --allow-gaps --churn --leave 2 --leave-after 500K \
	"127.0.0.1:$(vm_port 7003)"
check "a restart, with its clients" guest systemctl restart dmacastd
feed_ok "others connect again" --clients 2 --bytes 1M "127.0.0.1:$(vm_port 7003)"
feed_end_ok "nobody was refused" early TERM
guest systemctl stop dmacastd.socket dmacastd

# --- a start that cannot work ---
configure <<END
[stream sim0]
device = /dev/dmacast/not-there
listen = *:7000
END
guest systemctl start dmacastd >"$work/start" 2>&1
compare "a start without the device fails" $? -ne 0
check "and the journal has the reason, as an error" said '/dev/dmacast/not-there' -p err
guest sh -c 'systemctl stop dmacastd; systemctl reset-failed dmacastd'

# --- the journal ---
guest journalctl -u dmacastd -o json --output-fields=PRIORITY,MESSAGE,SYSLOG_IDENTIFIER --no-pager |
	grep '"SYSLOG_IDENTIFIER":"dmacastd"' >"$work/journal"
matches "clients are information" "$work/journal" '"PRIORITY":"6".*joined|joined.*"PRIORITY":"6"'
matches "a reload is a notice" "$work/journal" '"PRIORITY":"5".*reading|reading.*"PRIORITY":"5"'
matches "a broken file is an error" "$work/journal" '"PRIORITY":"3".*no-such-option|no-such-option.*"PRIORITY":"3"'
is "no line has its level in its text" "$(grep -cE '"MESSAGE":"(<[0-9]>|dmacastd?: )' "$work/journal")" 0
service_stop

done_testing
