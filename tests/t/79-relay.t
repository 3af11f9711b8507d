#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# Relays: the blocks of an origin with all that identifies them. Clients move from one relay to another, and relays from
# one origin to another, while each of them is killed: every byte once, or a loss that is known.

. tests/lib.sh

command -v python3 >/dev/null || skip_all "python3 is not installed"
command -v jq >/dev/null || skip_all "jq is not installed"
ctl=$BUILD/dmacastctl
free_ports 16
origin_http=${ports[0]} origin_framed=${ports[1]}
declare -A at=([a]=${ports[2]} [b]=${ports[3]} [c]=${ports[4]})
relay_framed=${ports[5]} relay_raw=${ports[6]} small=${ports[7]} fake=${ports[8]} plain=${ports[9]} second=${ports[10]} edge=${ports[11]}
declare -A process # of each daemon, by its name

# write_config NAME LINE...: of a daemon whose control socket is $work/NAME.
write_config()
{
	local name=$1

	shift
	printf '%s\n' "[daemon]" "control = $work/$name" "drain-timeout = 200ms" "[stream main]" "ring-size = 8M" \
		"max-clients-per-address = 99" "huge-pages = never" "$@" >"$work/$name.conf"
}

# run NAME: start a daemon, or start it again.
run()
{
	daemon_run -c "$work/$1.conf"
	process[$1]=$daemon
	cat "$log" >>"$work/$1.log"
	ln -sf "$log" "$work/$1.now"
}

# crash NAME: no chance to say good-bye.
crash()
{
	signal_to KILL "${process[$1]}"
	{ wait "${process[$1]}"; } 2>/dev/null
}

# status_of NAME JQ: print a value of its stream.
status_of()
{
	"$ctl" --socket "$work/$1" --json streams 2>/dev/null | jq -r ".streams[0]$2"
}

status_is()
{
	[ "$(status_of "$1" "$2")" = "$3" ]
}

# has_blocks NAME NUMBER: it has had at least as many.
has_blocks()
{
	[ "$(status_of "$1" .filled.blocks)" -ge "$2" ]
}

# grows FILE: it gets more bytes.
grows()
{
	local before

	before=$(stat -c %s "$1")
	wait_until 20 sh -c "[ \$(stat -c %s '$1') -gt $((before + 100000)) ]" || diag "nothing more in $1"
}

# cat_begin NAME URL...: a client that resumes at the next URL, and its bytes are in $work/NAME.
declare -A cat_process
cat_begin()
{
	local name=$1

	shift
	"$ctl" cat --json="$work/$name.json" --reconnect "$@" >"$work/$name" 2>"$work/$name.text" &
	cat_process[$name]=$!
	will_end "${cat_process[$name]}"
	wait_until 20 test -s "$work/$name" || diag_file "$work/$name.text"
}

cat_end()
{
	signal_to TERM "${cat_process[$1]}"
	{ wait "${cat_process[$1]}"; } 2>/dev/null
}

# checked TEXT NAME REGEX: the client's bytes are right, and its losses are those that it knows of.
checked()
{
	tests/relaycheck --json "$work/$2.json" <"$work/$2" >"$work/checked" || {
		ok 1 "$1: every byte once, or a loss that is known"
		diag_file "$work/checked"
		return
	}
	matches "$1" "$work/checked" "$3"
}

# --- an origin and two relays ---
write_config origin "pattern = $((1048576 / scale))/s" "pattern-form = stamped" "block-size = 4K" "retain = 6M" \
	"listen = 127.0.0.1:$origin_http" "format = http" "meta.sensor = adc" \
	"[endpoint framed]" "stream = main" "listen = 127.0.0.1:$origin_framed" "format = framed"
for name in a b; do
	write_config $name "input = http://127.0.0.1:$origin_http/" "input-format = framed" "block-size = 8K" "retain = 6M" \
		"listen = 127.0.0.1:${at[$name]}" "format = http"
done
run origin
run a
run b
wait_until 20 has_blocks a 20
wait_until 20 has_blocks b 20

is "a relay has the metadata of its origin" "$(curl -s "http://127.0.0.1:${at[a]}/info")" \
	"$(curl -s "http://127.0.0.1:$origin_http/info")"
# first_block PARAMETER VALUE: print its EPOCH:SEQUENCE.
first_block()
{
	curl -sI "http://127.0.0.1:$origin_http/?$1=$2" | tr -d '\r' | sed -n 's/^Dmacast-\(Epoch\|Sequence\): //p' | paste -sd :
}

# In the middle of what the origin has: the oldest blocks may be released meanwhile.
oldest=$(first_block start oldest) newest=$(first_block start live)
name=${oldest%:*}:$(((${oldest#*:} + ${newest#*:}) / 2))
for port in "$origin_http" "${at[a]}" "${at[b]}"; do
	# Without the frame of metadata, which has the time when it was made.
	curl -s "http://127.0.0.1:$port/?format=framed&start=$name" 2>/dev/null |
		head -c 60000 | python3 -c 'import sys; b = sys.stdin.buffer.read(); \
			n = 64 + int.from_bytes(b[8:12], "little"); sys.stdout.buffer.write(b[n:n + 50000])' >"$work/blocks.$port"
done
is "there are blocks after $name" "$(stat -c %s "$work/blocks.$origin_http")" 50000
check "relay a has the same headers and bytes" cmp "$work/blocks.$origin_http" "$work/blocks.${at[a]}"
check "relay b, too" cmp "$work/blocks.$origin_http" "$work/blocks.${at[b]}"

# --- a relay of two relays, and clients of each format ---
write_config c "input = http://127.0.0.1:${at[a]}/" "input = http://127.0.0.1:${at[b]}/" "input-format = framed" \
	"block-size = 4K" "retain = 4M" "input-timeout = 1s" "listen = 127.0.0.1:${at[c]}" "format = http" \
	"[endpoint framed]" "stream = main" "listen = 127.0.0.1:$relay_framed" "format = framed" \
	"[endpoint raw]" "stream = main" "listen = 127.0.0.1:$relay_raw" "format = raw"
run c
write_config plain "input = http://127.0.0.1:${at[b]}/?format=raw" "block-size = 4K" "listen = 127.0.0.1:$plain"
run plain
cat_begin moves "http://127.0.0.1:${at[a]}/" "http://127.0.0.1:${at[b]}/"
cat_begin follows "http://127.0.0.1:${at[c]}/"
cat_begin framed "tcp://127.0.0.1:$relay_framed"
for name in raw plain; do
	[ $name = raw ] && port=$relay_raw || port=$plain
	cat <"/dev/tcp/127.0.0.1/$port" >"$work/$name.bytes" &
	cat_process[$name]=$!
	will_end $!
	wait_until 20 test -s "$work/$name.bytes"
done

# --- a handover of a relay, at any byte of a frame ---
upgrades=5
for ((i = 0; i < upgrades; i++)); do
	"$ctl" --socket "$work/c" upgrade "$(readlink -f "$BUILD/dmacastd")" >"$work/ctl" 2>&1 || diag_file "$work/ctl"
	grows "$work/follows"
done
is "relay c: $upgrades upgrades" "$("$ctl" --socket "$work/c" --json status | jq .handovers.count)" "$upgrades"
is "... keep the connection to its origin" "$(status_of c .source_restarts)" 0

# --- relays are killed ---
"$ctl" --socket "$work/c" --json events >"$work/events" 2>/dev/null &
will_end $!
wait_until 20 grep -q . "$work/events"
crash a
grows "$work/moves"
grows "$work/follows"
check "relay c takes its second origin" status_is c .source "http://127.0.0.1:${at[b]}/"
is "... and counts that" "$(status_of c .origin_switches)" 1
check "... and reports it" wait_until 10 grep -q '"event":"origin_switched".*"switches":1' "$work/events"
matches "... and logs why" "$work/c.now" "input http://127.0.0.1:${at[a]}/: .*; trying http://127.0.0.1:${at[b]}/ in 100ms"
run a
wait_until 20 has_blocks a 20
signal_to STOP "${process[b]}"
check "an origin that is silent for input-timeout is left" wait_until 20 status_is c .origin_switches 2
matches "... and the log says so" "$work/c.now" 'no byte for 1s'
signal_to CONT "${process[b]}"
grows "$work/follows"
crash b
grows "$work/moves"
run b
grows "$work/framed"
grows "$work/raw.bytes"
grows "$work/plain.bytes"
cat_end raw
cat_end framed
cat_end plain
head -c $(($(stat -c %s "$work/raw.bytes") / 4096 * 4096)) "$work/raw.bytes" >"$work/whole"
tests/relaycheck <"$work/whole" >"$work/checked"
is "a raw client of relay c has every byte once" "$?" 0 || diag_file "$work/checked"
matches "... without a gap" "$work/checked" ' jumps=0 '
head -c $(($(stat -c %s "$work/plain.bytes") / 4096 * 4096)) "$work/plain.bytes" >"$work/whole"
check "raw bytes by http: are the payload" sh -c "tests/relaycheck <'$work/whole' | grep blocks="
checked "a framed client of relay c has every byte once" framed ' jumps=0 '
checked "a client that moves between relays that are killed has every byte once" moves ' jumps=0 lost=0 unknown=0'
checked "so has a client of relay c, which moves itself" follows ' jumps=0 lost=0 unknown=0'
compare "nothing was lost at relay c" "$(status_of c .filled.lost_blocks)" -eq 0
cat_end moves

# --- the origin is another one ---
crash origin
run origin
grows "$work/follows"
epoch=$(curl -s "http://127.0.0.1:$origin_http/info" | jq .epoch)
check "a new epoch of the origin goes through two relays" wait_until 20 sh -c \
	"curl -s http://127.0.0.1:${at[c]}/info | jq -e '.epoch == $epoch'"
grows "$work/follows"
cat_end follows
checked "a client that was there knows that the count is another one" follows ' unknown=1$'
matches "... as it got the end of the former one" "$work/follows.json" '"reason":"the stream has ended"'

# --- what the origin does not have any more ---
write_config second "input = tcp://127.0.0.1:$origin_framed" "input-format = framed" "block-size = 4K" \
	"listen = 127.0.0.1:$second" "format = http"
run second
cat_begin gap "http://127.0.0.1:$second/"
grows "$work/gap"
# Its connection ends, and what comes until the next one is missing.
"$ctl" --socket "$work/origin" kick "$("$ctl" --socket "$work/origin" --json clients main |
	jq -r '.clients[] | select(.section == "framed") | .peer')" >"$work/ctl" 2>&1 || diag_file "$work/ctl"
check "tcp: cannot ask for what is missing: counted as lost" wait_until 20 sh -c \
	"[ \$($ctl --socket '$work/second' --json streams | jq '.streams[0].filled.lost_blocks') -gt 0 ]"
grows "$work/gap"
cat_end gap
checked "... and its clients know" gap ' jumps=1 lost=[1-9][0-9]* unknown=0'

# --- a command that writes frames ---
cat >"$work/tap" <<-END
	#!/bin/sh
	echo \$\$ >"$work/tap.pid"
	exec ncat --recv-only 127.0.0.1 $origin_framed
END
chmod +x "$work/tap"
write_config tapped "input = exec:exec $work/tap" "input-format = framed" "block-size = 4K" "retain = 4M" \
	"listen = 127.0.0.1:$edge" "format = http"
run tapped
cat_begin edge "http://127.0.0.1:$edge/"
is "a command as the origin: the epoch is that of the feed" "$(curl -s "http://127.0.0.1:$edge/info" | jq .epoch)" "$epoch"
tap=$(cat "$work/tap.pid")
"$ctl" --socket "$work/tapped" upgrade "$(readlink -f "$BUILD/dmacastd")" >"$work/ctl" 2>&1 || diag_file "$work/ctl"
grows "$work/edge"
is "... goes on through an upgrade" "$(cat "$work/tap.pid") $(status_of tapped .source_restarts)" "$tap 0"
kill -9 "$tap"
check "... is started again when it was killed" wait_until 20 sh -c "[ \$(cat '$work/tap.pid') != $tap ]"
grows "$work/edge"
matches "... and the log says why" "$work/tapped.now" 'the command ended without the END of the stream; trying again in 100ms'
cat_end edge
checked "... and clients know what was missing meanwhile" edge ' jumps=1 lost=[1-9][0-9]* unknown=0'

# It writes the same blocks each time, and the last one in part.
curl -s "http://127.0.0.1:${at[c]}/?format=framed&start=oldest" | head -c 300000 >"$work/frames"
write_config again "input = exec:cat $work/frames" "input-format = framed" "block-size = 4K" "listen = 127.0.0.1:${ports[12]}"
run again
check "a command that ends is run again" wait_until 20 has_blocks again 50
blocks=$(status_of again .filled.blocks)
wait_until 20 status_is again ".source_restarts >= 3" true
is "a command that writes the same blocks again: none of them twice" "$(status_of again .filled.blocks)" "$blocks"
write_config hangs "input = exec:trap '' TERM; cat $work/frames; sleep 60; :" "input-format = framed" "block-size = 4K" \
	"input = http://127.0.0.1:${at[c]}/" "input-timeout = 500ms" "stop-timeout = 1s" "listen = 127.0.0.1:${ports[13]}"
run hangs
check "a command that does not end does not keep its relay from the next origin" wait_until 20 status_is hangs \
	" | .origin_switches == 1 and .source_state == \"running\"" true

# --- what is no origin ---
write_config small "input = tcp://127.0.0.1:$fake" "input-format = framed" "block-size = 4K" "listen = 127.0.0.1:$small"
python3 -c "
import socket
server = socket.create_server(('127.0.0.1', $fake))
metadata = b'DMCF' + bytes([1, 64, 8, 0, 2, 0, 0, 0, 1, 0, 0, 0]) + bytes(48) + b'{}'
block = b'DMCF' + bytes([1, 64, 0, 0, 0, 32, 0, 0, 1, 0, 0, 0]) + bytes(48) + bytes(8192)
for answer in [metadata + block, b'HTTP/1.1 200 OK' + bytes(64), metadata + metadata[:4]]:
    connection, _ = server.accept()
    connection.sendall(answer)
    try:
        connection.shutdown(socket.SHUT_WR)
        connection.recv(1)
    except OSError:
        pass
" &
will_end $!
run small
check "a block that is too large is an error with both sizes and the option" wait_until 20 grep -q \
	'a block of 8K, but block-size = 4K; raise block-size to that of the origin; trying again in ' "$work/small.now"
check "what is no frame is an error" wait_until 20 grep -q \
	'byte 0 of the connection: expected a frame, which begins with DMCF, got 48 54 54 50; trying again in ' "$work/small.now"
check "a frame that is cut is dropped" wait_until 20 grep -q \
	'the connection ended without the END of the stream; trying again in ' "$work/small.now"
is_gone()
{
	! kill -0 "$1" 2>/dev/null
}

tap=$(cat "$work/tap.pid")
for name in hangs tapped again small second plain c b a origin; do
	daemon=${process[$name]} log=$(readlink "$work/$name.now")
	daemon_stop
	is "$name: exit status" "$status" 0
done
check "no command is left" is_gone "$tap"
done_testing
