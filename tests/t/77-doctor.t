#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# dmacastctl doctor on this kernel: in a namespace of the test's own, with what makes zero-copy fail there, one thing
# after the other. tests/unit/doctor.c has what no namespace can show.

. tests/lib.sh

if [ "${1-}" != in-namespace ]; then
	unshare -nm true 2>/dev/null || skip_all "no network namespaces here"
	exec unshare -nm bash "$0" in-namespace
fi

command -v jq >/dev/null || skip_all "jq is not installed"
command -v ethtool >/dev/null || skip_all "ethtool is not installed"
ip link set lo up
ip link add dmx0 type veth peer name dmx1 || skip_all "no veth here"
ip addr add 10.78.0.1/24 dev dmx0
ip link set dmx0 up
ip link set dmx1 up

control=$work/control

# list_findings: those of $work/found.json as lines, in $work/found.
list_findings()
{
	jq -r '.findings[] | [.level, .check, .what, .why, .mend] | map(tostring) | join("|")' "$work/found.json" >"$work/found"
}

# doctor ARGUMENT...: run it. Sets status, $work/found.json with what it found, $work/found as text.
doctor()
{
	"$BUILD/dmacastctl" --json doctor "$@" >"$work/found.json" 2>"$work/found.err"
	status=$?
	list_findings
}

# finds TEXT LEVEL CHECK REGEX: one finding, with what is, why, and what mends it.
finds()
{
	matches "$1" "$work/found" "^$2\\|$3\\|.*$4"
}

# --- without a daemon ---
doctor
finds "no daemon: that is said" skip daemon 'no daemon has its control socket there'
finds "the interfaces that are up are looked at" note nic 'dmx0 is one end of a veth pair'
finds "their offloads are seen" ok nic 'dmx1 has scatter-gather and TX checksum offload'
is "JSON has the exit status" "$(jq .status "$work/found.json")" "$status"
is "a finding that something is wrong says why and how to mend it" \
	"$(jq '[.findings[] | select((.level == "warn" or .level == "fail") and (.why == null or .mend == null))] | length' \
		"$work/found.json")" 0

# --- offloads ---
ethtool -K dmx0 tx off sg off >/dev/null 2>&1
doctor --interface dmx0 --interface lo
is "an interface without offloads: exit status" "$status" 1
finds "... and what to do" fail nic 'dmx0 is without scatter-gather and TX checksum offload\|.*\|ethtool -K dmx0 tx on sg on$'
finds "the loopback copies" note nic 'lo is the loopback'
is "only the interfaces that were asked for" "$(grep -c 'dmx1' "$work/found")" 0
mend=$(jq -r '.findings[] | select(.level == "fail" and .check == "nic").mend' "$work/found.json")
$mend >/dev/null 2>&1
doctor --interface dmx0
finds "its command mends it" ok nic 'dmx0 has scatter-gather'
ethtool -K dmx0 sg off >/dev/null 2>&1
doctor --interface dmx0
finds "scatter-gather alone" fail nic 'dmx0 is without scatter-gather\|.*\|ethtool -K dmx0 sg on$'
ethtool -K dmx0 sg on >/dev/null 2>&1

# --- settings ---
if echo 1 2>/dev/null >/proc/sys/net/ipv4/tcp_mtu_probing; then
	doctor
	finds "MTU probing" '(fail|warn)' tcp_mtu_probing '= 1\|.*wrong data\|sysctl -w net.ipv4.tcp_mtu_probing=0$'
	is "MTU probing: exit status" "$status" 1
	echo 0 >/proc/sys/net/ipv4/tcp_mtu_probing
	doctor
	finds "no MTU probing" ok tcp_mtu_probing '= 0'
else
	skip "MTU probing" "cannot be set for a namespace here"
fi
if { echo '4096 16384 65536' >/proc/sys/net/ipv4/tcp_wmem; } 2>/dev/null; then
	doctor
	finds "small send buffers" warn tcp_wmem 'up to 64 KiB for a socket'
	echo '4096 16384 4194304' >/proc/sys/net/ipv4/tcp_wmem
fi

# --- a capture ---
capture()
{
	python3 -c "
import socket, sys, time
capture = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons($1))
if '$2':
    capture.bind(('$2', $1))
print('ready', flush=True)
time.sleep(600)" >"$work/capture.out" &
	capture=$!
	will_end "$capture"
	wait_until 20 grep -q ready "$work/capture.out"
}
end_capture()
{
	signal_to KILL "$capture"
	{ wait "$capture"; } 2>/dev/null
}
capture 3 dmx0
doctor --interface dmx0
finds "a capture, and whose it is" warn capture "process $capture \\(python3[^)]*\\) captures packets of dmx0\\|.*\\|end it \\(kill $capture\\)"
doctor --interface dmx1
finds "which matters to its interface only" ok capture 'no program'
end_capture
capture 3 ''
doctor --interface dmx1
finds "a capture on all interfaces" warn capture 'captures packets of all interfaces'
end_capture
capture 0x88cc dmx0
doctor --interface dmx0
finds "a socket for one protocol sees nothing that is sent" ok capture 'no program'
end_capture

# --- limits of this shell, and another user ---
readable=$(jq -r '[.findings[] | select(.level == "skip")] | length' "$work/found.json")
chmod 755 "$work"
install -m 755 "$BUILD/dmacastctl" "$work/dmacastctl"
capture 3 dmx0
(ulimit -l 64 && setpriv --reuid 65534 --regid 65534 --clear-groups "$work/dmacastctl" --json doctor --interface dmx0) \
	>"$work/found.json" 2>"$work/found.err"
list_findings
finds "little locked memory" warn memlock 'this shell: RLIMIT_MEMLOCK = 64 KiB: enough for about 0 busy clients\|.*ulimit -l'
finds "without root: a capture of somebody" warn capture 'a process of user 0 captures packets of dmx0\|.*\|.*as root'
is "without root everything can be looked at" "$(jq '[.findings[] | select(.level == "skip")] | length' "$work/found.json")" "$readable"
end_capture

# --- a daemon ---
daemon_prefix=(prlimit --memlock=2097152:2097152 --nofile=128:128 -- setpriv --bounding-set -ipc_lock)
daemon_run --feed 8M/s --control "$control" --zerocopy always --max-clients 100 --listen 127.0.0.1:0
daemon_prefix=()
wait_until 10 listens_at "$control"
feed_start some --clients 2 --seconds 600 "127.0.0.1:$port"
copied()
{
	[ "$("$BUILD/dmacastctl" -s "$control" --json streams | jq '.streams[0].completed_copied')" -gt 10 ]
}
wait_until 30 copied
doctor -s "$control"
finds "a daemon: its process" ok daemon "process $daemon, streams: 1, clients: 2"
finds "a daemon: the interface of its clients" note nic 'lo is the loopback'
is "a daemon: no other interface" "$(grep -c dmx "$work/found")" 0
finds "a daemon: the kernel copied" note copies 'stream main: the kernel copied [0-9]+ %'
finds "a daemon: its own limit of descriptors" warn descriptors 'RLIMIT_NOFILE = 128, [0-9]+ are open; clients that may come: 100\|.*\|LimitNOFILE='
finds "a daemon: its own limit of locked memory" '(note|warn)' memlock 'dmacastd: RLIMIT_MEMLOCK = 2 MiB: enough for about 2 busy clients; there may be 100, there are 2'
finds "a daemon: its ring" '(ok|note|warn)' ring 'stream main: '
"$BUILD/dmacastctl" -s "$control" doctor >"$work/brief"
"$BUILD/dmacastctl" -s "$control" doctor -v >"$work/verbose"
is "what is fine is not printed" "$(grep -c '^ok' "$work/brief")" 0
compare "unless that is asked for" "$(grep -c '^ok' "$work/verbose")" -gt 3
matches "text: what is wrong" "$work/brief" '^warn  descriptors +dmacastd: RLIMIT_NOFILE = 128'
matches "text: what mends it" "$work/brief" '^ +mend: LimitNOFILE='
is "no colour but on a terminal" "$(grep -c $'\033' "$work/verbose")" 0
if command -v script >/dev/null; then
	script -qec "$BUILD/dmacastctl -s $control doctor -v" /dev/null </dev/null >"$work/terminal"
	compare "colour on a terminal" "$(grep -c $'\033\[33mwarn' "$work/terminal")" -gt 0
else
	skip "colour on a terminal" "script is not installed"
fi
unshare -n "$BUILD/dmacastctl" -s "$control" --json doctor >"$work/found.json"
matches "a daemon in another network namespace" "$work/found.json" \
	"dmacastd is in another network namespace.*nsenter -t $daemon -n"
if unshare -pf --mount-proc true 2>/dev/null; then
	unshare -pf --mount-proc "$BUILD/dmacastctl" -s "$control" --json doctor >"$work/found.json"
	matches "a daemon in another PID namespace" "$work/found.json" 'dmacastd is in another PID namespace'
	matches "... whose limits are not those of another process" "$work/found.json" 'dmacastd: its limits cannot be read'
else
	skip "a daemon in another PID namespace" "no PID namespaces here"
fi
feed_end some TERM
daemon_stop

# --- the manual ---
# The first text of each call is the name of the check.
perl -0777 -ne 'while (/findings_add\((.*?)\);/gs) { my $call = $1; print "$1\n" if $call =~ /"([a-z_-]+)"/ }' \
	daemon/ctl/doctor*.c daemon/ctl/nic.c | sort -u >"$work/checks"
compare "there are checks" "$(wc -l <"$work/checks")" -ge 15
sed -n '/^\.Sh DOCTOR/,/^\.Sh [^D]/p' daemon/man/dmacastctl.8 | sed -n 's/^\.It Cm //p' | tr -s ' ,' '\n' | sort -u >"$work/documented"
is "dmacastctl.8 has each check" "$(comm -23 "$work/checks" "$work/documented")" ""

# --- when it cannot look ---
doctor -s "$work/nowhere"
is "no daemon at the socket that was given: exit status" "$status" 2
finds "... and what is there" skip daemon 'No such file'
doctor --interface nothing0
is "no such interface: exit status" "$status" 2
matches "... and why" "$work/found.err" 'nothing0: no such interface; see ip link'
"$BUILD/dmacastctl" doctor --stream x >"$work/usage" 2>&1
is "an option of another command: exit status" $? 2
"$BUILD/dmacastctl" doctor >/dev/full 2>"$work/full"
is "a full disk: exit status" $? 2

done_testing
