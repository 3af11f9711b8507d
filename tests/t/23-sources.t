#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# Every kind of source, and what happens at its end.

. tests/lib.sh

command -v socat >/dev/null || skip_all "no socat"

generate=$BUILD/tests/feedclient
"$generate" --generate 20M >"$work/pattern"
"$generate" --generate 1234567 >"$work/odd"
whole=(--lag-policy block --zerocopy always --listen 127.0.0.1:0)

# --- standard input: a pipe, a file, nothing ---
mkfifo "$work/stdin"
"$generate" --generate 20M >"$work/stdin" &
daemon_input=$work/stdin
daemon_run --input - --hold 3 "${whole[@]}"
feed_ok "standard input: three clients have every byte of it" --clients 3 --from-start \
	--until-end --expect-bytes 20M "127.0.0.1:$port"
daemon_wait 20
is "standard input: the daemon ends with it" "$status" 0

# Blocks that are full, and nothing more for now: a read for more would wait, and all clients with it.
exec {pipe}<>"$work/stdin"
daemon_input=$work/stdin
daemon_run --input - --hold 1 --block-size 64K "${whole[@]}"
for round in 1 2; do
	head -c 128K "$work/pattern" >&"$pipe"
	[ "$round" -ne 1 ] || exec {client}<>"/dev/tcp/127.0.0.1/$port"
	is "standard input: whole blocks arrive while the writer pauses, $round" \
		"$(timeout 10 head -c 128K <&"$client" | wc -c)" 131072
done
exec {client}>&- {pipe}>&-
daemon_stop

daemon_input=$work/odd
daemon_run --input - --hold 1 "${whole[@]}"
feed_ok "standard input from a file, with an odd end" --from-start --until-end \
	--expect-bytes 1234567 "127.0.0.1:$port"
daemon_wait 20
is "standard input from a file: exit status" "$status" 0
daemon_input=/dev/null
daemon_run --input - --listen 127.0.0.1:0
daemon_wait 20
is "empty standard input ends at once" "$status" 0

# --- a regular file ---
daemon_run --input "$work/pattern" --hold 2 "${whole[@]}"
feed_ok "file: every byte" --clients 2 --from-start --until-end --expect-bytes 20M \
	"127.0.0.1:$port"
daemon_wait 20
is "file: exit status" "$status" 0

# In a loop the pattern starts again: a client that reads two rounds sees the file twice.
daemon_run --input "$work/odd" --loop yes --hold 1 "${whole[@]}"
cat "$work/odd" "$work/odd" "$work/odd" >"$work/thrice"
head -c 3703701 <"/dev/tcp/127.0.0.1/$port" >"$work/looped"
check "file in a loop" cmp "$work/looped" "$work/thrice"
daemon_stop
is "file in a loop: exit status" "$status" 0
: >"$work/empty"
daemon_run --input "$work/empty" --loop yes --listen 127.0.0.1:0
daemon_wait 20
is "an empty file in a loop ends" "$status" 0

# --- a FIFO ---
mkfifo "$work/fifo"
daemon_run --input "$work/fifo" --hold 2 "${whole[@]}"
"$generate" --generate 20M >"$work/fifo" &
feed_ok "FIFO: every byte, then the end" --clients 2 --from-start --until-end \
	--expect-bytes 20M "127.0.0.1:$port"
daemon_wait 20
is "FIFO: exit status" "$status" 0

daemon_run --input "$work/fifo" --on-end wait --hold 1 "${whole[@]}"
feed_start waiting --clients 1 --from-start --bytes 20M "127.0.0.1:$port"
for part in 1 2 3 4; do
	tail -c +$(((part - 1) * 5242880 + 1)) "$work/pattern" | head -c 5242880 >"$work/fifo"
done
feed_end_ok "FIFO with on-end = wait: four writers, one stream" waiting
daemon_stop
is "FIFO with on-end = wait: exit status" "$status" 0

# Writers that come and go faster than the daemon looks: nothing may be lost between them.
daemon_run --input "$work/fifo" --on-end wait --hold 1 "${whole[@]}"
feed_start waiting --clients 1 --from-start --bytes 800K "127.0.0.1:$port"
for part in $(seq 0 199); do
	dd if="$work/pattern" bs=4K skip="$part" count=1 status=none >"$work/fifo"
done
feed_end_ok "FIFO with on-end = wait: 200 short writers in a row" waiting
daemon_stop
# Ten lines in 5 seconds; 200 writers take less than 25.
compare "FIFO with on-end = wait: few lines about them" \
	"$(grep -c 'waiting for the next writer' "$log")" -le 60
compare "FIFO with on-end = wait: there are some" "$(grep -c 'waiting for the next writer' "$log")" -ge 1
# A FIFO that a script makes anew each time, and that is not there yet when the daemon starts.
daemon_run --input "$work/anew/fifo" --on-end wait --hold 1 "${whole[@]}"
is "a FIFO that is missing with on-end = wait: the daemon runs" "$(process_ended "$daemon"; echo $?)" 1
matches "... and says what it waits for" "$log" 'anew/fifo: No such file or directory; waiting until it can be opened'
feed_start waiting --clients 1 --from-start --bytes 20M "127.0.0.1:$port"
mkdir "$work/anew"
for part in 1 2 3 4; do
	rm -f "$work/anew/fifo"
	mkfifo "$work/anew/fifo"
	tail -c +$(((part - 1) * 5242880 + 1)) "$work/pattern" | head -c 5242880 >"$work/anew/fifo"
done
feed_end_ok "a FIFO that is made anew by each writer: one stream" waiting
rm "$work/anew/fifo"
mkfifo "$work/anew/fifo"
wait_until 10 grep -q 'reading the new file' "$log"
daemon_stop
is "a FIFO that is made anew: exit status" "$status" 0

daemon_run --input /dev/null --on-end wait --listen 127.0.0.1:0
sleep 1
compare "a device that is always at its end is not tried without end" "$(wc -l <"$log")" -lt 20
daemon_stop
is "a device that is always at its end: exit status" "$status" 0

# --- a terminal: what a device may send, and what line editing would take or change ---
mkfifo "$work/line"
socat -u "OPEN:$work/line" "PTY,link=$work/terminal" &
will_end $!
exec {line}>"$work/line"
wait_until 5 test -e "$work/terminal"
stty -g <"$work/terminal" >"$work/stty-before"
daemon_run --input "$work/terminal" --baud 250000 --hold 1 --flush 10ms "${whole[@]}"
exec {client}<>"/dev/tcp/127.0.0.1/$port"
printf '%b' "$(printf '\\r\\n\\x03\\x04\\x13\\x11\\x15\\x7f'; printf '\\x%02x' {0..255})" >"$work/line-sent"
cat "$work/line-sent" >&"$line"
timeout 10 head -c 264 <&"$client" >"$work/line-got"
check "terminal: every byte arrives as it is" cmp "$work/line-got" "$work/line-sent"
exec {client}>&-
daemon_stop
is "terminal: exit status" "$status" 0
stty -g <"$work/terminal" >"$work/stty-after"
check "terminal: its settings are restored" cmp "$work/stty-before" "$work/stty-after"
exec {line}>&-

# --- flush: a slow source does not wait for a full block ---
daemon_run --input "$work/fifo" --on-end wait --flush 50ms --hold 1 "${whole[@]}"
exec 4<>"$work/fifo"
exec 5<>"/dev/tcp/127.0.0.1/$port"
wait_until 5 grep -q joined "$log"
printf 'a few bytes' >&4
got=
IFS= read -r -t 5 -n 11 -u 5 got
is "flush: a few bytes come soon" "$got" "a few bytes"
exec 4>&- 5>&-
daemon_stop

# --- a Unix socket ---
socat -u "OPEN:$work/pattern" "UNIX-LISTEN:$work/socket" &
wait_until 5 listens_at "$work/socket"
daemon_run --input "unix:$work/socket" --on-end close --hold 1 "${whole[@]}"
feed_ok "unix: every byte" --from-start --until-end --expect-bytes 20M "127.0.0.1:$port"
daemon_wait 20
is "unix: exit status" "$status" 0

# --- TCP: nobody there at first, then a server that ends, then another one ---
free_ports 1
upstream=${ports[0]}
daemon_run --input "tcp:127.0.0.1:$upstream" --hold 1 "${whole[@]}"
feed_start tcp --clients 1 --from-start --bytes 20M "127.0.0.1:$port"
wait_until 5 grep -q 'Connection refused; trying again in' "$log"
matches "tcp: it says what it waits for" "$log" "tcp:127.0.0.1:$upstream: .*trying again in"
for part in 1 2; do
	tail -c +$(((part - 1) * 10485760 + 1)) "$work/pattern" | head -c 10485760 |
		socat -u - "TCP-LISTEN:$upstream,bind=127.0.0.1,reuseaddr"
done
feed_end_ok "tcp: two servers, one after the other, one stream" tcp
daemon_stop
is "tcp: exit status" "$status" 0
socat -u "OPEN:$work/pattern" "TCP-LISTEN:$upstream,bind=127.0.0.1,reuseaddr" &
daemon_run --input "tcp:localhost:$upstream" --on-end close --hold 1 "${whole[@]}"
feed_ok "tcp: a server by its name" --from-start --until-end --expect-bytes 20M \
	"127.0.0.1:$port"
daemon_wait 20
is "tcp: exit status with on-end = close" "$status" 0

# A server that stays connected and sends nothing more: its process is stopped, its kernel still answers.
socat -u "OPEN:$work/odd,ignoreeof" "TCP-LISTEN:$upstream,bind=127.0.0.1,reuseaddr" &
silent=$!
will_end $silent
daemon_run --input "tcp:127.0.0.1:$upstream" --input-timeout 1s --hold 1 "${whole[@]}"
exec {client}<>"/dev/tcp/127.0.0.1/$port"
timeout 20 head -c 1234567 <&"$client" >"$work/first"
check "tcp: the data of a server that then is silent" cmp "$work/first" "$work/odd"
signal_to STOP $silent
socat -u "OPEN:$work/odd" "TCP-LISTEN:$upstream,bind=127.0.0.1,reuseaddr" &
timeout 20 head -c 1234567 <&"$client" >"$work/again"
check "input-timeout: a silent server is left, and another one is read" cmp "$work/again" "$work/odd"
exec {client}>&-
matches "... and the log says it" "$log" "tcp:127.0.0.1:$upstream: no byte for 1s; trying again in"
signal_to KILL $silent
{ wait $silent; } 2>/dev/null
daemon_stop
is "input-timeout: exit status" "$status" 0

# --- a command ---
daemon_run --input "exec:echo hello from it >&2; cat $work/pattern" --on-end close --hold 2 \
	"${whole[@]}"
feed_ok "exec: every byte of the output" --clients 2 --from-start --until-end \
	--expect-bytes 20M "127.0.0.1:$port"
daemon_wait 20
is "exec: exit status" "$status" 0
matches "exec: its standard error is in the log" "$log" 'stream main: command: hello from it'

cat >"$work/twice" <<END
#!/bin/sh
# The first half when it runs first, then the second one.
if mkdir "$work/ran" 2>/dev/null; then
	head -c 10485760 "$work/pattern"
	exit 3
fi
tail -c +10485761 "$work/pattern"
END
daemon_run --input "exec:sh $work/twice" --hold 1 "${whole[@]}"
feed_ok "exec: a command that ends is started again" --from-start --bytes 20M "127.0.0.1:$port"
matches "exec: its exit status is logged" "$log" 'command ended with status 3'
daemon_stop
is "exec: exit status after a restart" "$status" 0

daemon_run --input "exec:echo \$\$ >$work/pid; sleep 1000 & sleep 1000" "${whole[@]}"
wait_until 5 test -s "$work/pid"
group=$(cat "$work/pid")
daemon_stop
check "exec: nothing of a command is left behind" \
	sh -c "! ps -o pid= -g $group 2>/dev/null | grep -q ."

# --- producers that connect ---
# producers_port: print the port that producers connect to.
producers_port()
{
	sed -n 's/.*producers can connect to .*:\([0-9]*\)$/\1/p' "$log" | head -n 1
}

daemon_run --input tcp-listen:127.0.0.1:0 --on-end close --hold 2 "${whole[@]}"
socat -u "OPEN:$work/pattern" "TCP:127.0.0.1:$(producers_port)" &
feed_ok "tcp-listen: every byte of a producer, to two clients" --clients 2 --from-start \
	--until-end --expect-bytes 20M "127.0.0.1:$port"
daemon_wait 20
is "tcp-listen with on-end = close: the daemon ends with its first producer" "$status" 0
matches "tcp-listen: the log names the producer" "$log" 'producer 127\.0\.0\.1:[0-9]* connected'

# The second one connects and has sent all that the sockets hold before the first one ends.
daemon_run --input tcp-listen:0 --hold 1 --metrics 127.0.0.1:0 --control "$work/control" "${whole[@]}"
producers=$(producers_port)
http=$(sed -n 's,.*metrics at http://127\.0\.0\.1:\([0-9]*\)/.*,\1,p' "$log")
# up VALUE: do the metrics say that the source is up, or not, and the status that it waits, or not?
up()
{
	local fd

	exec {fd}<>"/dev/tcp/127.0.0.1/$http"
	printf 'GET /metrics HTTP/1.0\r\n\r\n' >&"$fd"
	timeout 30 cat <&"$fd" >"$work/page"
	exec {fd}>&-
	"$BUILD/dmacastctl" --socket "$work/control" status >"$work/status"
	grep -q "^dmacast_stream_source_up{stream=\"main\"} $1\$" "$work/page" &&
		grep -Eq "^sources +1 $([ "$1" -eq 1 ] && echo '(running|silent)' || echo waiting)" "$work/status"
}
check "tcp-listen: without a producer the source is not up, and waits" up 0
feed_start waiting --clients 1 --from-start --bytes 20M "127.0.0.1:$port"
exec {first}<>"/dev/tcp/127.0.0.1/$producers"
head -c 10000001 "$work/pattern" >&"$first"
(
	exec {first}>&-
	tail -c +10000002 "$work/pattern" | socat -u - "TCP:127.0.0.1:$producers"
) &
second=$!
will_end "$second"
check "tcp-listen: with a producer it is up" wait_until 10 up 1
sleep 0.3
is "tcp-listen: the second producer waits" "$(grep -c 'producer .* connected' "$log")" 1
exec {first}>&-
feed_end_ok "tcp-listen: one producer after the other, one stream" waiting
check "tcp-listen: when the last one has ended it waits again" wait_until 10 up 0
is "tcp-listen: each is one restart, but the first" \
	"$(sed -n 's/^dmacast_stream_source_restarts_total{stream="main"} //p' "$work/page")" 1

# A producer that is killed while it writes, and one that is killed while it waits.
socat -u OPEN:/dev/zero "TCP:127.0.0.1:$producers" &
killed=$!
will_end "$killed"
wait_until 10 up 1
(
	exec 3<>"/dev/tcp/127.0.0.1/$producers"
	exec sleep 600
) &
gone=$!
will_end "$gone"
wait_until 10 sh -c "ss -Htn state established '( dport = :$producers )' | grep -c . | grep -qx 2"
signal_to KILL "$gone"
signal_to KILL "$killed"
{ wait "$killed" "$gone"; } 2>/dev/null
exec {client}<>"/dev/tcp/127.0.0.1/$port"
sleep 0.5 # the zeros are over for a client that connects now
printf 'after the killed ones' | socat -u - "TCP:127.0.0.1:$producers"
check "tcp-listen: after producers that were killed the next one is read" \
	wait_until 20 sh -c "[ \"\$(grep -c 'producer .* connected' '$log')\" -ge 4 ]"
check "tcp-listen: ... to its end" wait_until 20 up 0
exec {client}>&-
daemon_stop
is "tcp-listen: exit status" "$status" 0

# --- producers: a block that is not full, and silence ---
daemon_run --input "tcp-listen:127.0.0.1:0" --flush 1h --input-timeout 500ms --hold 1 "${whole[@]}"
producers=$(producers_port)
exec {client}<>"/dev/tcp/127.0.0.1/$port"
exec {first}<>"/dev/tcp/127.0.0.1/$producers"
printf abc >&"$first"
exec {second}<>"/dev/tcp/127.0.0.1/$producers"
printf def >&"$second"
is "a producer that is silent: what it sent arrives, and then what the next one sends" \
	"$(timeout 20 head -c 6 <&"$client")" abcdef
matches "... which the log says" "$log" 'producer 127.*: no byte for 500ms; waiting for the next one'
exec {client}>&- {first}>&- {second}>&-
daemon_stop

# --- producers by a Unix socket ---
socat UNIX-LISTEN:"$work/producers",unlink-close=0 - </dev/null >/dev/null &
live=$!
will_end "$live"
wait_until 10 listens_at "$work/producers"
kill -STOP "$live"
daemon_run --input "unix-listen:$work/producers" "${whole[@]}"
daemon_wait 10
is "unix-listen: the socket of another process is refused" "$status" 1
matches "... which the log says" "$log" "input = unix-listen:$work/producers: another process listens there"
kill -CONT "$live"
signal_to KILL "$live"
{ wait "$live"; } 2>/dev/null
check "unix-listen: the socket that it leaves is there" test -S "$work/producers"
daemon_run --input "unix-listen:$work/producers" --hold 1 "${whole[@]}"
matches "unix-listen: one that nothing listens on is replaced" "$log" 'replaced one that nothing listened on'
socat -u "OPEN:$work/pattern" "UNIX:$work/producers" &
feed_ok "unix-listen: every byte" --from-start --bytes 20M "127.0.0.1:$port"
daemon_stop
is "unix-listen: exit status" "$status" 0
ok "$([ ! -e "$work/producers" ]; echo $?)" "unix-listen: the socket is removed at the end"

# --- producers and a reload ---
free_ports 1
free=${ports[0]}
printf '[stream s]\ninput = tcp-listen:%s\nlisten = 127.0.0.1:0\nring-size = 16M\n' \
	"127.0.0.1:$free" >"$work/reload.conf"
ctl()
{
	"$BUILD/dmacastctl" --socket "$work/control" "$@"
}
daemon_run -c "$work/reload.conf" --control "$work/control"
exec {first}<>"/dev/tcp/127.0.0.1/$free"
wait_until 10 grep -q 'producer .* connected' "$log"
exec {second}<>"/dev/tcp/127.0.0.1/$free"
sed -i 's/16M/8M/' "$work/reload.conf"
check "reload: another ring of a stream with producers" ctl reload
check "reload: ... the producer that waited is the next one" \
	wait_until 10 sh -c "[ \"\$(grep -c 'producer .* connected' '$log')\" -eq 2 ]"
exec {first}>&- {second}>&-
# The port becomes an endpoint of another stream: not in one step, and nothing changes.
cp "$work/reload.conf" "$work/before.conf"
printf '[stream s]\npattern = 1M/s\nlisten = 127.0.0.1:0\n[stream t]\npattern = 1M/s\nlisten = 127.0.0.1:%s\n' \
	"$free" >"$work/reload.conf"
ok "$(! ctl reload 2>"$work/refused"; echo $?)" "reload: a port that an input has cannot become an endpoint at once"
matches "reload: ... which the answer says" "$work/refused" \
	"listen = 127.0.0.1:$free: Address already in use by this daemon; to move a port, remove its former use"
check "reload: ... and producers are accepted as before" \
	sh -c "printf x | socat -u - TCP:127.0.0.1:$free"
sed -i '/stream t/,$d' "$work/reload.conf"
check "reload: the input is removed" ctl reload
ok "$(! socat -u - "TCP:127.0.0.1:$free" </dev/null 2>/dev/null; echo $?)" "reload: ... and nothing listens there"
printf '[stream t]\npattern = 1M/s\nlisten = 127.0.0.1:%s\n' "$free" >>"$work/reload.conf"
check "reload: then the port can be an endpoint" ctl reload
printf '[stream s]\ninput = tcp-listen:%s\nlisten = 127.0.0.1:0\n' "127.0.0.1:$free" >"$work/reload.conf"
ok "$(! ctl reload 2>"$work/refused"; echo $?)" "reload: nor can the port of an endpoint become an input at once"
matches "reload: ... which the answer says" "$work/refused" \
	"input = tcp-listen:127.0.0.1:$free: Address already in use by this daemon; to move a port"
feed_ok "reload: ... and clients are served there as before" --bytes 64K "127.0.0.1:$free"
daemon_stop
is "reload: exit status" "$status" 0

# --- what is not there ---
for input in "$work/missing" "$work"; do
	daemon_run --input "$input" --listen 127.0.0.1:0
	daemon_wait 5
	is "input $(basename "$input"): refused" "$status" 1
	matches "input $(basename "$input"): and named" "$log" "input = $input: "
done

for input in udp:0.0.0.0:5000 C:foo; do
	"$BUILD/dmacastd" --check --input "$input" --listen 127.0.0.1:0 >"$work/check.log" 2>&1
	is "input $input: refused by --check" "$?" 1
	matches "input $input: ... which names the kinds" "$work/check.log" 'unix-listen:PATH, tcp-listen:HOST:PORT or exec:COMMAND'
done

# --- drop: a client that comes later starts with what comes then ---
daemon_run --pattern 20M/s --zerocopy always --listen 127.0.0.1:0
sleep 0.5
feed_ok "a late client gets the live feed" --bytes 4M "127.0.0.1:$port"
compare "and not its beginning" "$(field first_offset_min)" -gt 1000000
daemon_stop

# --- the rate of a pattern, also after the daemon did not run for longer than the ring lasts ---
daemon_run --pattern 4M/s --zerocopy always --listen 127.0.0.1:0 --block-size 64K --ring-size 1M
feed_start paced --clients 1 --seconds 3 "127.0.0.1:$port"
suspend "$daemon"
sleep 1
resume "$daemon"
feed_end_ok "a daemon that was stopped for a second: every byte is right" paced
compare "and the rate is what it was before" "$(field bytes_min)" -lt $((14 << 20))
daemon_stop

done_testing
