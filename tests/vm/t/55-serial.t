#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# A serial port as the input: the second port of the machine, whose other end is here. Every byte value arrives,
# nothing is sent back, the speed is set, only root can open the port meanwhile, and it is as before afterwards.
# Not on debug: no module is used

. tests/vm/daemon.sh

port=/dev/ttyS1
vm_start --serial "$work/serial"

# Each byte value, the control characters of terminals once more, and no newline at the end.
for value in {0..255} 3 4 17 19 26 10 13 255; do
	printf '%b' "\\x$(printf %x "$value")"
done >"$work/bytes"

# What is written to 5 arrives at the port; what the port sends is in the file.
mkfifo "$work/line"
exec 5<>"$work/line"
socat "UNIX-CONNECT:$work/serial" STDIO <&5 >"$work/sent-back" 2>"$work/socat.err" &
will_end $!

# settings: print those of the port that matter.
settings()
{
	guest stty -a -F "$port" | tr -s ' ;' '\n' | grep -E -x -A1 'speed|-?(icanon|echo|isig|ixon|icrnl|opost|cs8)' |
		grep -E -x '[0-9]+|-?(icanon|echo|isig|ixon|icrnl|opost|cs8)' | sort | tr '\n' ' '
}

# received FILE: it has as many bytes as were sent.
received()
{
	[ "$(stat -c %s "$1")" -ge "$(stat -c %s "$work/bytes")" ]
}

# carries TEXT: a client gets the bytes that are sent to the port.
carries()
{
	local client

	socat -u "TCP:$(at 7000)" "OPEN:$work/got,creat,trunc" &
	client=$!
	will_end "$client"
	says "$1: a client" 'client .* joined'
	# The source runs when the client of `hold` has settled.
	sleep 1
	cat "$work/bytes" >&5
	wait_until 30 received "$work/got"
	check "$1: every byte arrives as it was sent" cmp "$work/bytes" "$work/got"
	signal_to TERM "$client"
	is "$1: nothing is sent back" "$(stat -c %s "$work/sent-back")" 0
}

# open_as UID: open the port.
open_as()
{
	guest unshare --setuid "$1" --setgid "$1" dd "if=$port" count=0 2>&1
}

# The guest's directories are for root only.
guest chmod 755 / /bin
guest sh -c "chmod 666 $port && stty -F $port 9600 sane"
before=$(settings)
matches "the port is a terminal with echo" <(echo "$before") '^9600 cs8 echo icanon icrnl isig ixon opost $'
check "anyone can open it" open_as 1000

daemon_with --input "$port" --baud 115200 --hold 1 --flush 50ms --on-end wait --listen 0.0.0.0:7000
is "it is raw, and has its speed" "$(settings)" "-echo -icanon -icrnl -isig -ixon -opost 115200 cs8 "
matches "only root can open it" <(open_as 1000) 'busy'
carries "a serial port"
check "the daemon ends" daemon_end TERM
is "its settings are as before" "$(settings)" "$before"
check "anyone can open it again" open_as 1000

daemon_with --input "$port" --hold 1 --flush 50ms --on-end wait --listen 0.0.0.0:7000
is "without baud it keeps its speed" "$(settings)" "-echo -icanon -icrnl -isig -ixon -opost 9600 cs8 "
carries "opened again"
check "the daemon ends" daemon_end TERM

daemon_with --input "$port" --baud 250000 --on-end wait --listen 0.0.0.0:7000
says "a speed that the port does not have" 'baud = 250000: the driver set [0-9]+; choose a speed'
check "the daemon ends" daemon_end TERM
vm_stop

done_testing
