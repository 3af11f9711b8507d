#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# dmacastctl cat: what it receives from servers with every fault, and from dmacastd, and what it says about it.

. tests/lib.sh

command -v python3 >/dev/null || skip_all "python3 is not installed"
command -v jq >/dev/null || skip_all "jq is not installed"
ctl=$BUILD/dmacastctl

# serve ARGUMENT...: start tests/frameserver. Sets server, port; $work/payload has the payload of all its blocks.
serve()
{
	rm -f "$work/port" "$work/requests"
	python3 tests/frameserver --port "$work/port" --payload "$work/payload" --requests "$work/requests" "$@" \
		2>"$work/server.err" &
	server=$!
	will_end "$server"
	wait_until 20 test -e "$work/port" || diag_file "$work/server.err"
	port=$(cat "$work/port")
}

serve_end()
{
	signal_to KILL "$server"
	{ wait "$server"; } 2>/dev/null
	[ ! -s "$work/server.err" ] || {
		ok 1 "the server has no error"
		diag_file "$work/server.err"
	}
}

# receive ARGUMENT...: run cat; its JSON is in $work/json, its text in $work/text. Sets status.
receive()
{
	timeout 120 "$ctl" cat --json="$work/json" "$@" >"$work/out" 2>"$work/text"
	status=$?
}

# event NAME JQ: print a value of each event with this name.
event()
{
	jq -r "select(.event == \"$1\") | $2" "$work/json" | paste -sd ' '
}

# same_bytes TEXT FILE EXPECTED
same_bytes()
{
	local result=0

	cmp "$2" "$3" >"$work/cmp" 2>&1 || result=1
	ok "$result" "$1" || {
		diag_file "$work/cmp"
		diag_file "$work/text"
	}
}

# expect STATUS TEXT: the status of the last run.
expect()
{
	is "$2: exit status" "$status" "$1" || diag_file "$work/text"
}

# says TEXT REGEX: the last run has written a line to standard error that matches.
says()
{
	matches "$1" "$work/text" "^dmacastctl: .*$2"
}

# has_bytes FILE SIZE
has_bytes()
{
	[ "$(stat -c %s "$1" 2>/dev/null)" = "$2" ]
}

# --- frames without a fault ---
serve all,end
receive "tcp://127.0.0.1:$port"
expect 0 "a whole stream, told by its first bytes"
same_bytes "its payload" "$work/out" "$work/payload"
is "nothing is said" "$(cat "$work/text")" ""
is "the events" "$(jq -r .event "$work/json" | paste -sd ' ')" "connected metadata end"
is "the sum" "$(event end .bytes)" "$(stat -c %s "$work/payload")"
serve_end

serve --epochs 30,60 10,long,meta,10,long,all,end
receive --framed "tcp://127.0.0.1:$port"
expect 0 "longer headers, unknown flags, metadata again, other epochs"
same_bytes "their payload" "$work/out" "$work/payload"
serve_end

serve preamble,all,end
receive "tcp://127.0.0.1:$port"
expect 0 "a preamble"
{ printf 'a head of 44 bytes, like that of a WAV file\n'; cat "$work/payload"; } >"$work/expected"
same_bytes "comes first" "$work/out" "$work/expected"
serve_end

serve raw=100
receive "tcp://127.0.0.1:$port"
expect 0 "a raw stream, told by its first bytes"
same_bytes "its bytes" "$work/out" "$work/payload"
receive --raw "tcp://127.0.0.1:$port"
same_bytes "the same with --raw" "$work/out" "$work/payload"
receive --framed "tcp://127.0.0.1:$port"
expect 1 "--framed refuses it"
says "and says why" 'expected a frame, which begins with DMCF, got'
serve_end

serve --blocks 1 --size 3 raw=1
receive "tcp://127.0.0.1:$port"
expect 0 "a raw stream that is too short to be told"
same_bytes "its bytes, too" "$work/out" "$work/payload"
serve_end

serve raw=100,wait
receive --bytes 1000 "tcp://127.0.0.1:$port"
expect 0 "--bytes of a stream that goes on"
head -c 1000 "$work/payload" >"$work/expected"
same_bytes "are exactly these" "$work/out" "$work/expected"
receive --duration 300ms "tcp://127.0.0.1:$port"
expect 0 "--duration of a stream that is silent"
same_bytes "gives all that came" "$work/out" "$work/payload"
serve_end
serve 100,end
receive --bytes 100M "tcp://127.0.0.1:$port"
expect 1 "a stream that ends before --bytes"
says "and the message has both numbers" "the stream ended after $(stat -c %s "$work/payload") of 104857600 bytes"
same_bytes "and all its bytes" "$work/out" "$work/payload"
serve_end

# --- losses ---
serve --size 1000 10,skip=3,20,skip=1,meta,10,skip=5,end
receive "tcp://127.0.0.1:$port"
expect 3 "gaps of this client, before a block, metadata and the end"
is "each has its size" "$(event gap '"\(.origin):\(.blocks):\(.bytes):\(.sequence)"')" \
	"client:3:3000:13 client:1:1000:34 client:5:5000:49"
is "and the sum" "$(event end '"\(.client.gaps):\(.client.blocks):\(.client.bytes) \(.source.gaps)"')" "3:9:9000 0"
says "and a line" 'lost 3000 bytes in 3 blocks for this client, before [0-9a-f]{8}:13 \(byte 13000\)'
says "with a sum at the end" 'received 40000 bytes, lost 9000 for this client and 0 at the source'
{ head -c 10000 "$work/payload"; tail -c +13001 "$work/payload" | head -c 20000; tail -c +34001 "$work/payload" |
	head -c 10000; } >"$work/expected"
same_bytes "the rest of the payload" "$work/out" "$work/expected"
receive --quiet "tcp://127.0.0.1:$port"
is "--quiet says nothing" "$(cat "$work/text")" ""
expect 3 "--quiet"
timeout 60 "$ctl" cat --json "tcp://127.0.0.1:$port" >/dev/null 2>"$work/json"
is "--json without a file writes to standard error, and nothing else" "$(jq -r .event "$work/json" | paste -sd ' ')" \
	"connected metadata gap gap metadata gap end"
serve_end

serve --size 1000 10,loss=2,10,loss=70000,10,end
receive "tcp://127.0.0.1:$port"
expect 3 "losses at the source"
is "each has its size, from the header" "$(event gap '"\(.origin):\(.blocks):\(.bytes):\(.sequence)"')" \
	"source:2:2000:10 source:70000:70000000:20"
says "and a line" 'lost 2000 bytes in 2 blocks at the source, before'
serve_end

serve --size 1000 loss=2,10,end
receive "tcp://127.0.0.1:$port"
expect 0 "a loss before the first block"
is "is none" "$(event gap .origin)" ""
serve_end

# --- bytes that are wrong ---
# wrong SCRIPT TEXT REGEX [BLOCKS]: an error, after these whole blocks.
wrong()
{
	serve --size 1000 "$1"
	receive "tcp://127.0.0.1:$port"
	expect 1 "$2"
	says "$2: the message" "$3"
	head -c $((${4-10} * 1000)) "$work/payload" >"$work/expected"
	same_bytes "$2: the blocks before it" "$work/out" "$work/expected"
	serve_end
}

wrong '10,bytes=garbage,10' "garbage between frames" 'byte [0-9]+ of the connection: expected a frame.* got 67 61 72 62'
wrong '10,bytes=DMCF\x02@000000000000000000000000000000000000000000000000000000000000' "another version" \
	'version 2 of frames, expected 1'
wrong '10,bytes=DMCF\x01\x3f000000000000000000000000000000000000000000000000000000000000' "a header that is too short" \
	'a header of 63 bytes, expected at least 64'
wrong '10,back,10' "a block twice" 'cannot follow the one before: the sequence goes back'
wrong '10,from=5,10' "a sequence that goes back" ':5 \(byte 5000 of the stream\) cannot follow the one before'
wrong '10,cut=500' "a block that is cut" 'ended without the END of the stream within a frame, of which 500 bytes were dropped'
wrong '10,cut=30' "a header that is cut" 'within a frame, of which 30 bytes were dropped'
serve --size 1000 10,reset
receive "tcp://127.0.0.1:$port"
expect 1 "a connection that is reset"
says "and the message says so" 'Connection reset by peer'
serve_end
wrong '10' "no END" 'the connection ended without the END of the stream$'

# --- several URLs, and --reconnect ---
serve --size 1000 10 from=10,10,end
receive "tcp://127.0.0.1:1" "tcp://127.0.0.1:$port" "tcp://127.0.0.1:$port"
expect 0 "the next URL continues where the one before ended"
head -c 20000 "$work/payload" >"$work/expected"
same_bytes "and its bytes are in place" "$work/out" "$work/expected"
is "each failure is reported" "$(event disconnected .reason)" \
	"127.0.0.1:1: Connection refused the connection ended without the END of the stream"
serve_end

serve --size 1000 10 10,cut=300
receive "tcp://127.0.0.1:$port" "tcp://127.0.0.1:$port"
expect 1 "the last URL is gone, too"
serve_end

# Blocks that another connection has again are not written twice; those that none has are counted.
serve --size 1000 --epochs 60 10,cut=700 from=5,10 from=20,cut=1063 from=20,all,end
receive --reconnect --bytes 95000 "tcp://127.0.0.1:$port"
expect 3 "--reconnect: connections that overlap, and that leave a gap"
{ head -c 15000 "$work/payload"; tail -c +20001 "$work/payload"; } >"$work/expected"
same_bytes "--reconnect: no byte twice, none lost but the gap" "$work/out" "$work/expected"
is "--reconnect: the gap" "$(event gap '"\(.origin):\(.blocks):\(.bytes):\(.sequence)"')" client:5:5000:20
serve_end

# Another daemon begins again at 0.
serve --size 1000 --epochs 50 10,end from=50,all,end
receive --reconnect --bytes 60000 "tcp://127.0.0.1:$port"
expect 3 "--reconnect: an end, and another count"
is "--reconnect: the loss is unknown" "$(event gap '"\(.origin):\(.blocks):\(.sequence)"')" unknown:null:50
says "--reconnect: and the line says so" 'lost an unknown number of bytes between two connections, before'
{ head -c 10000 "$work/payload"; tail -c +50001 "$work/payload"; } >"$work/expected"
same_bytes "--reconnect: both parts" "$work/out" "$work/expected"
serve_end

serve --size 1000 raw=10 raw=20,wait
receive --reconnect --bytes 30000 "tcp://127.0.0.1:$port"
expect 3 "--reconnect of a raw stream: what was lost is unknown"
is "and is reported as that" "$(event gap .origin)" unknown
serve_end

serve --size 1000 preamble,10 from=10,preamble,10 from=50,preamble,10,end
receive "tcp://127.0.0.1:$port" "tcp://127.0.0.1:$port" "tcp://127.0.0.1:$port"
is "the preamble comes once for a run, whatever the connections" "$(grep -ac 'a head of 44 bytes' "$work/out")" 1
serve_end
serve --size 1000 --epochs 50 preamble,10 from=50,preamble,10,end
receive "tcp://127.0.0.1:$port" "tcp://127.0.0.1:$port"
is "and again for another run" "$(grep -ac 'a head of 44 bytes' "$work/out")" 2
serve_end

# The program ends before there is another connection.
serve --size 1000 10
receive --reconnect --duration 3s "tcp://127.0.0.1:$port" &
waiter=$!
wait_until 30 has_bytes "$work/out" 10000
serve_end
wait $waiter
expect_json_status()
{
	is "$2" "$(event end .status)" "$1"
}
expect_json_status 3 "--duration ends without a connection: an unknown loss"
is "and no other one" "$(event gap .origin)" unknown
receive --reconnect --duration 1s tcp://127.0.0.1:1
expect 1 "--duration ends without any connection"
says "and the message says so" 'no stream was received until the end'

# --- HTTP ---
for begin in '' chunked; do
	serve --http "${begin:+$begin,}all,end"
	receive "http://127.0.0.1:$port/stream?x=1"
	expect 0 "HTTP, ${begin:-up to the end}"
	same_bytes "HTTP, ${begin:-up to the end}: the payload" "$work/out" "$work/payload"
	is "HTTP: frames are asked for" "$(cat "$work/requests")" "GET /stream?x=1&format=framed HTTP/1.1"
	is "HTTP: the events are in order" "$(jq -r .event "$work/json" | paste -sd ' ')" "connected metadata end"
	serve_end
done
serve --http --size 1000 length=10000,raw=10,wait
receive --raw "http://127.0.0.1:$port"
expect 0 "HTTP, by length: ends without waiting for the server"
head -c 10000 "$work/payload" >"$work/expected"
same_bytes "and has this length" "$work/out" "$work/expected"
is "HTTP: --raw asks for what the URL says" "$(cat "$work/requests")" "GET / HTTP/1.1"
serve_end
serve --http --size 1000 length=20000,raw=10
receive --raw "http://127.0.0.1:$port"
expect 1 "HTTP, shorter than its length"
says "and the message says so" 'the answer was cut'
same_bytes "with the bytes that came" "$work/out" "$work/expected"
serve_end
serve --http --size 1000 chunked,raw=10,unfinished
receive --raw "http://127.0.0.1:$port"
expect 1 "HTTP, in chunks without the last one"
same_bytes "with the bytes that came, too" "$work/out" "$work/expected"
serve_end

# refused STATUS REGEX
refused()
{
	serve --http "status=$1"
	receive "http://127.0.0.1:$port"
	expect 1 "HTTP $1"
	says "HTTP $1: the message" "$2: refused with $1"
	is "HTTP $1: one request" "$(wc -l <"$work/requests")" 1
	serve_end
}
refused 404 'the server answers 404 Not Found'
refused 302 'the server answers 302 Found; redirects are not followed: give the URL of the stream itself'
refused 503 'the server answers 503 Service Unavailable'
refused 410 'the server answers 410 Gone'
serve --http close
receive "http://127.0.0.1:$port"
expect 1 "HTTP: no answer"
says "HTTP: no answer: the message" 'closed the connection without an answer'
serve_end
serve --http 'http=220 ftp ready\r\n'
receive "http://127.0.0.1:$port"
expect 1 "HTTP: another protocol"
says "HTTP: another protocol: the message" 'does not answer in HTTP'
serve_end
serve --http hang
receive --duration 60s "http://127.0.0.1:$port"
expect 1 "HTTP: a header that does not come"
says "HTTP: a header that does not come: the message" 'the server does not answer$'
serve_end

# resumed TEXT STATUS GAPS REQUESTS SERVER_ARGUMENT...: all blocks over several connections.
resumed()
{
	local text=$1 expected=$2 gaps=$3 requests=$4

	shift 4
	serve --http --size 1000 "$@"
	receive --reconnect --bytes "${resumed_bytes:-100000}" "http://127.0.0.1:$port/?start=0"
	expect "$expected" "$text"
	is "$text: gaps" "$(event gap '"\(.origin):\(.blocks):\(.bytes)"')" "$gaps"
	is "$text: requests" "$(sed -E 's/GET .*start=([^ &]*).*/\1/; s/[0-9a-f]{8}:/E:/' "$work/requests" |
		paste -sd ' ')" "$requests"
	serve_end
}
resumed "HTTP: resumed behind the last whole block" 0 "" "0 E:9 E:30" from=0,10,cut=700 20,cut=1064,cut=9 all,end
same_bytes "HTTP: no byte lost or twice" "$work/out" "$work/payload"
resumed "HTTP: resumed in another epoch" 0 "" "0 E:9 E:19" --epochs 10,15 from=0,10 10,cut=64 all,end
same_bytes "HTTP: no byte lost or twice over epochs" "$work/out" "$work/payload"
resumed_bytes=60000 resumed "HTTP: too old, in the same epoch" 3 client:30:30000 "0 E:9 oldest" --oldest 40 from=0,10,cut=99 all
{ head -c 10000 "$work/payload"; tail -c +40001 "$work/payload"; } >"$work/expected"
head -c 60000 "$work/expected" >"$work/first"
same_bytes "HTTP: too old: what is left" "$work/out" "$work/first"
resumed_bytes=60000 resumed "HTTP: too old, in another epoch" 3 client:30:30000 "0 E:9 oldest" --epochs 20 --oldest 40 \
	from=0,10,cut=99 all
# The second server has other epochs: it does not know the place.
resumed_bytes=20000 resumed "HTTP: 409" 3 unknown:null:null "0 E:9 oldest" --epochs 50 from=0,10 status=409 from=50,all
resumed_bytes=20000 resumed "HTTP: 404 for a while" 0 "" "0 E:9 E:9 E:9" from=0,10 status=404 status=404 10,wait
resumed_bytes=20000 resumed "HTTP: too old, and then another connection" 0 "" "0 E:9 oldest E:9" from=0,10 status=410 close 10,wait

# --- standard output ---
serve all,end
timeout 60 "$ctl" cat "tcp://127.0.0.1:$port" >/dev/full 2>"$work/text"
status=$?
expect 1 "standard output is full"
says "standard output is full: the message" 'standard output: No space left on device; 0 bytes were written to it'
timeout 60 "$ctl" cat "tcp://127.0.0.1:$port" 2>"$work/text" | :
status=${PIPESTATUS[0]}
if [ "$status" -eq 0 ]; then
	skip "standard output is closed" "the pipe took all before it was closed"
else
	expect 1 "standard output is closed"
	says "standard output is closed: the message" 'standard output: Broken pipe; [0-9]+ bytes were written to it'
fi
timeout 60 "$ctl" cat --json="$work/json" "tcp://127.0.0.1:$port" >&- 2>"$work/text"
status=$?
expect 1 "standard output is not open"
says "standard output is not open: the message" 'standard output: Bad file descriptor; 0 bytes were written to it'
is "standard output is not open: no payload goes elsewhere" "$(jq -r .event "$work/json" | paste -sd ' ')" \
	"connected metadata error end"
serve_end
serve --size 100000 all,end
timeout 60 "$ctl" cat "tcp://127.0.0.1:$port" 2>"$work/text" | { sleep 1; cat; } >"$work/out"
same_bytes "a slow reader of a pipe gets all" "$work/out" "$work/payload"
timeout 60 "$ctl" cat "tcp://127.0.0.1:$port" 2>"$work/text" |
	python3 -c 'import fcntl, os, sys; assert not fcntl.fcntl(0, fcntl.F_GETFL) & os.O_NONBLOCK; sys.stdin.buffer.read()'
is "the pipe does not become non-blocking for others" "${PIPESTATUS[*]}" "0 0"
serve_end

serve all,end
timeout 60 "$ctl" cat --json=/dev/full "tcp://127.0.0.1:$port" >"$work/out" 2>"$work/text"
status=$?
expect 1 "the file of --json is full"
says "the file of --json is full: the message" 'the reports in JSON could not be written completely'
same_bytes "the file of --json is full: the payload" "$work/out" "$work/payload"
serve_end

# The stream ends while standard output is full, so that nothing more is received.
serve --http --size 3000000 --blocks 2 1,end 1,wait
"$ctl" cat --json="$work/json" --reconnect --bytes 6000000 "http://127.0.0.1:$port" 2>"$work/text" | { sleep 13; cat; } >"$work/out"
same_bytes "a reader that stops for longer than an answer may take gets all" "$work/out" "$work/payload"
is "and the connection after it was not given up" "$(event disconnected .reason)" "the stream has ended"
serve_end

# A signal: what came is written, and the status is as otherwise.
serve --size 1000 10,skip=1,10,wait
"$ctl" cat --json="$work/json" "tcp://127.0.0.1:$port" >"$work/out" 2>"$work/text" &
cat_pid=$!
will_end $cat_pid
wait_until 30 has_bytes "$work/out" 20000
signal_to TERM $cat_pid
wait $cat_pid
status=$?
expect 3 "SIGTERM"
is "SIGTERM: the sum" "$(event end '"\(.bytes) \(.client.bytes)"')" "20000 1000"
serve_end

serve --size 1000 10,wait
(trap '' HUP && exec "$ctl" cat "tcp://127.0.0.1:$port") >"$work/out" 2>"$work/text" &
cat_pid=$!
will_end $cat_pid
wait_until 30 has_bytes "$work/out" 10000
signal_to HUP $cat_pid
signal_to TERM $cat_pid
wait $cat_pid
is "SIGHUP is ignored after nohup" "$? $(cat "$work/text")" "0 "
serve_end

# --- the line of progress ---
# on_terminal COLUMNS: what a terminal with this many columns gets is in $work/terminal.
cat >"$work/terminal.py" <<'END'
import fcntl, os, pty, struct, sys, termios
pid, fd = pty.fork()
if not pid:
    fcntl.ioctl(2, termios.TIOCSWINSZ, struct.pack("HHHH", 24, int(sys.argv[3]), 0, 0))
    os.dup2(os.open("/dev/null", os.O_WRONLY), 1)
    os.execv(sys.argv[1], [sys.argv[1], "cat", sys.argv[2]])
data = b""
try:
    while part := os.read(fd, 4096):
        data += part
except OSError:
    pass
os.waitpid(pid, 0)
sys.stdout.buffer.write(data)
END
on_terminal()
{
	python3 "$work/terminal.py" "$ctl" "tcp://127.0.0.1:$port" "$1" >"$work/terminal" 2>&1
}
serve --size 1000 --blocks 30 10,skip=1,19,end
on_terminal 80
matches "on a terminal: total, rate, lag and gaps" "$work/terminal" \
	'28\.3 KiB  .*/s  lag [0-9.]+ s  gaps 1 \(1000 bytes\)'
matches "on a terminal: messages have lines of their own" "$work/terminal" 'dmacastctl: lost 1000 bytes'
on_terminal 20
matches "on a narrow terminal: a line that is not wrapped" "$work/terminal" $'\\[K28\\.3 KiB  .{9}\r$'
serve_end

# --- the command line ---
# usage TEXT REGEX ARGUMENT...
usage()
{
	local text=$1 regex=$2

	shift 2
	receive "$@"
	expect 2 "$text"
	says "$text: the message" "$regex"
}
usage "no URL" 'expected a URL; see dmacastctl cat --help'
usage "another kind of URL" 'https://x/: expected tcp://HOST:PORT or http://' https://x/
usage "an unknown option" '--foo: unknown option' --foo tcp://127.0.0.1:1
usage "raw and framed" 'expected --raw or --framed, not both' --raw --framed tcp://127.0.0.1:1
usage "no duration" '--duration 5: expected a time such as' --duration 5 tcp://127.0.0.1:1
usage "no bytes" '--bytes 0: expected a size such as' --bytes 0 tcp://127.0.0.1:1
usage "no value" 'bytes: expected a value' tcp://127.0.0.1:1 --bytes
check "--help" "$ctl" cat --help
matches "the general --help has the command" <("$ctl" --help) 'cat \[OPTION\]\.\.\. URL\.\.\.'
is "its options come behind it" "$("$ctl" -j cat tcp://127.0.0.1:1 2>&1)" \
	"dmacastctl: cat: expected its options behind it: dmacastctl cat [OPTION]... URL...; see dmacastctl --help"

# --- the real daemon ---
generate="$BUILD/tests/feedclient --generate"
bytes=$(((9 << 20) / scale + 40))
$generate $bytes >"$work/expected"
for format in raw framed; do
	daemon_run --input "exec:$generate $bytes" --hold 1 --on-end close --lag-policy block --format $format \
		--block-size 64K --ring-size 2M --listen 127.0.0.1:0
	receive "tcp://127.0.0.1:$port"
	expect 0 "dmacastd, $format"
	same_bytes "dmacastd, $format: every byte" "$work/out" "$work/expected"
	daemon_wait 20
done
daemon_run --feed 8M/s --format framed --block-size 16K --ring-size 1M --listen 127.0.0.1:0 --control "$work/control"
receive_start()
{
	timeout 120 "$ctl" cat --json="$work/json" "$@" >"$work/out" 2>"$work/text" &
	cat_pid=$!
	will_end $cat_pid
}
received()
{
	[ "$(stat -c %s "$work/out")" -ge "$1" ]
}
# receive_stop: end it when it has received more than now.
receive_stop()
{
	wait_until 60 received $(($(stat -c %s "$work/out") + 100000))
	signal_to TERM $cat_pid
	wait $cat_pid
	status=$?
}
kicks()
{
	[ "$("$ctl" --socket "$work/control" kick --all)" = 'kicked: 1' ]
}
# Each kick resets the connection; the next one continues later, in the same count.
receive_start --reconnect "tcp://127.0.0.1:$port"
for _ in 1 2 3; do
	wait_until 60 received $(($(stat -c %s "$work/out") + 1000000))
	wait_until 60 kicks
done
receive_stop
expect 3 "dmacastd: three kicks"
is "dmacastd: three kicks: each is reported" "$(event disconnected .url | wc -w)" 3
is "dmacastd: three kicks: no loss is unknown" "$(event end .unknown.gaps)" 0
# The pattern has its own positions, so the gaps show in the payload.
feed --check-file "$work/out" --allow-gaps --block-size 16K --block-gaps
is "dmacastd: three kicks: gaps are whole blocks" "$status" 0
is "dmacastd: three kicks: the loss reported is the truth" "$(event end .client.bytes)" "$(field gap_bytes)"
daemon_stop

# --- the daemon is restarted ---
fixed=$port
daemon_run --feed 8M/s --format framed --block-size 16K --ring-size 1M --listen "127.0.0.1:$fixed"
receive_start --reconnect "tcp://127.0.0.1:$fixed"
wait_until 60 received 1000000
daemon_stop
daemon_run --feed 8M/s --format framed --block-size 16K --ring-size 1M --listen "127.0.0.1:$fixed"
has_gap()
{
	[ -n "$(event gap .origin)" ]
}
wait_until 60 has_gap
receive_stop
expect 3 "dmacastd is restarted"
is "dmacastd is restarted: the loss is unknown" "$(event gap .origin)" unknown
is "dmacastd is restarted: the first one has ended in order" "$(event disconnected .reason | sed 's/ended .*/ended/')" \
	"the stream has ended"
daemon_stop

# --- a slow reader of standard output: what is lost is what the daemon has counted ---
mkfifo "$work/fifo"
exec 4<>"$work/fifo"
daemon_run --input "$work/fifo" --format framed --lag-policy drop --block-size 64K --ring-size 2M --listen 127.0.0.1:0 \
	--control "$work/control"
{
	timeout 120 "$ctl" cat --json="$work/json" "tcp://127.0.0.1:$port" 2>"$work/text"
	echo $? >"$work/status"
} | {
	wait_until 60 test -e "$work/go"
	cat >"$work/out"
} &
reader=$!
client_value()
{
	"$ctl" --socket "$work/control" --json clients | jq -r ".clients[0].$1"
}
is_streaming()
{
	[ "$(client_value state)" = streaming ]
}
wait_until 30 is_streaming
$generate $(((48 << 20) / scale)) >&4
touch "$work/go"
is_drained()
{
	[ "$(client_value lag_bytes)" = 0 ]
}
wait_until 60 is_drained
dropped=$(client_value dropped_bytes)
daemon_stop
wait $reader
exec 4>&-
status=$(cat "$work/status")
expect 3 "a reader that is too slow"
compare "a reader that is too slow loses blocks" "$dropped" -gt 0
is "and the loss is what the daemon has counted" "$(event end '"\(.client.bytes) \(.source.gaps) \(.unknown.gaps)"')" \
	"$dropped 0 0"
is "and the rest is there" "$(stat -c %s "$work/out")" $(((48 << 20) / scale - dropped))

done_testing
