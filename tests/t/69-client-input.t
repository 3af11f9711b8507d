#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# client-input = source: what clients send reaches a fake rtl_tcp, or the standard input of a command, whole
# and once; from allowed peers only; and what happens while the source does not read, or is away.

. tests/lib.sh

command -v jq >/dev/null || skip_all "jq is not installed"
python=$(command -v python3) || skip_all "python3 is not installed"

config=$work/dmacastd.conf
control=$work/control
commands=$work/commands
: >"$commands"

# A receiver like rtl_tcp: sends 12 bytes and samples, and logs each command with the number of the connection. It
# does not read while the file `mute` exists, and ends the connection when `drop` appears.
cat >"$work/receiver.py" <<'END'
import os, select, socket, struct, sys, time
work, port = sys.argv[1], int(sys.argv[2])
log = open(work + "/commands", "a", buffering=1)
server = socket.socket()
server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
server.bind(("127.0.0.1", port))
server.listen(8)
with open(work + "/receiver.new", "w") as file:
    file.write(str(server.getsockname()[1]))
os.rename(work + "/receiver.new", work + "/receiver.port")
run = 0
while True:
    peer, _ = server.accept()
    run += 1
    peer.sendall(b"RTL0" + struct.pack(">II", 5, 29))
    peer.setblocking(False)
    log.write(f"{run} begin\n")
    rest, open_ = b"", True
    while open_:
        if os.path.exists(work + "/drop"):
            os.remove(work + "/drop")
            break
        try:
            peer.send(b"s" * 4096)
        except BlockingIOError:
            pass
        except OSError:
            break
        if os.path.exists(work + "/mute"):
            time.sleep(0.02)
            continue
        until = time.monotonic() + 0.02
        while (left := until - time.monotonic()) > 0 and select.select([peer], [], [], left)[0]:
            try:
                data = peer.recv(4096)
            except OSError:
                data = b""
            if not data:
                open_ = False
                break
            rest += data
            while len(rest) >= 5:
                log.write(f"{run} {rest[0]} {struct.unpack('>I', rest[1:5])[0]}\n")
                rest = rest[5:]
    peer.close()
    log.write(f"{run} end {len(rest)}\n")
END

# Clients: tuner.py PORT CLIENTS COMMANDS MODE [SOURCE]. Client N sends the commands N 0, N 1 ...; those with their
# bit 7 set are of floods. Prints a line for each state, and goes on receiving until standard input ends.
cat >"$work/tuner.py" <<'END'
import random, select, socket, struct, sys, threading, time
port, count, commands, mode = int(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
source = sys.argv[5] if len(sys.argv) > 5 else "127.0.0.1"
first = int(sys.argv[6]) if len(sys.argv) > 6 else 1
received = [0] * count
heads = [b""] * count
sent = [0] * count
over = threading.Event()
def text(index):
    return b"".join(struct.pack(">BI", first + index, n) for n in range(commands))
def receive(index, connection):
    while not over.is_set():
        if not select.select([connection], [], [], 0.1)[0]:
            continue
        try:
            data = connection.recv(1 << 16)
        except OSError:
            return
        if not data:
            return
        heads[index] = (heads[index] + data)[:4]
        received[index] += len(data)
def send(index, connection):
    data, dice = text(index), random.Random(index)
    while data and not over.is_set():
        # Segments of odd sizes; a flood has large ones.
        size = 4001 if mode == "flood" else dice.choice((1, 2, 3, 4, 6, 7, 11))
        if not select.select([], [connection], [], 0.1)[1]:
            continue
        try:
            n = connection.send(data[:size], socket.MSG_DONTWAIT)
        except BlockingIOError:
            continue
        except OSError:
            return
        sent[index] += n
        data = data[n:]
        if mode != "flood" and dice.random() < 0.3:
            time.sleep(0.002)
connections = []
for index in range(count):
    connection = socket.create_connection(("127.0.0.1", port), source_address=(source, 0))
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    connections.append(connection)
threads = [threading.Thread(target=receive, args=pair, daemon=True) for pair in enumerate(connections)]
senders = [threading.Thread(target=send, args=pair, daemon=True) for pair in enumerate(connections)]
for thread in threads + senders:
    thread.start()
print("connected", flush=True)
if mode != "flood":
    for thread in senders:
        thread.join()
    if mode == "half":
        for connection in connections:
            connection.shutdown(socket.SHUT_WR)
    if mode == "reset":
        for connection in connections:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            connection.close()
    print("sent", flush=True)
for line in sys.stdin:
    print(line.strip(), min(received), sum(sent), b",".join(sorted(set(heads))).decode(), flush=True)
over.set()
END

# tuners NAME ARGUMENT...: start clients. ask_tuners NAME: set answer, to: bytes received at least, sent, heads.
declare -A tuner_in
tuners()
{
	local name=$1

	shift
	mkfifo "$work/$name.in"
	"$python" "$work/tuner.py" "$@" <"$work/$name.in" >"$work/$name.out" 2>"$work/$name.err" &
	will_end $!
	exec {fd}>"$work/$name.in"
	tuner_in[$name]=$fd
	wait_until 30 grep -q connected "$work/$name.out" || diag_file "$work/$name.err"
}

ask_tuners()
{
	asked=$((${asked:-0} + 1))
	echo "ask$asked" >&"${tuner_in[$1]}"
	wait_until 20 grep -q "^ask$asked " "$work/$1.out"
	answer=$(sed -n "s/^ask$asked //p" "$work/$1.out")
}

end_tuners()
{
	local fd=${tuner_in[$1]}

	exec {fd}>&-
}

value()
{
	"$BUILD/dmacastctl" --socket "$control" --json streams 2>"$work/ctl.err" | jq -r ".streams[] | select(.name == \"${2:-sdr}\") | $1"
}

value_is()
{
	[ "$(value "$1")" = "$2" ]
}

# value_holds FILTER: succeed if it is true.
value_holds()
{
	value_is "$1" true
}

port_of()
{
	sed -n "s/.*stream $1: listening on .*:\([0-9]*\)$/\1/p" "$log" | tail -n 1
}

# lines_of RUN [FIRST LAST]: the commands of a connection, by clients with these numbers.
lines_of()
{
	awk -v run="$1" -v first="${2:-0}" -v last="${3:-255}" \
		'$1 == run && $2 ~ /^[0-9]+$/ && $2 + 0 >= first && $2 + 0 <= last { print $2, $3 }' "$commands"
}

# are_in_order FIRST: the lines of standard input have numbers from FIRST on for each client, without a gap.
are_in_order()
{
	awk -v first="$1" '{ if (!($1 in next_)) next_[$1] = first; if ($2 != next_[$1]) { print; bad = 1; exit }
		next_[$1]++ } END { exit bad }'
}

has_lines()
{
	[ "$(lines_of "$1" "$3" "$4" | wc -l)" -eq "$2" ]
}

receiver_port=0
receiver_start()
{
	rm -f "$work/receiver.port"
	"$python" "$work/receiver.py" "$work" "$receiver_port" 2>"$work/receiver.err" &
	receiver=$!
	will_end "$receiver"
	wait_until 20 test -s "$work/receiver.port" || diag_file "$work/receiver.err"
	receiver_port=$(cat "$work/receiver.port")
}

write_config()
{
	cat >"$config" <<END
[daemon]
control = $control
metrics = 127.0.0.1:0
drain-timeout = 2s
[stream sdr]
input = tcp:127.0.0.1:$receiver_port
preamble = 12
block-size = 4K
ring-size = 1M
flush = 1ms
listen = 127.0.0.1:0
allow = 127.0.0.1 127.0.0.3
client-input = ${1:-source}
client-input-size = 5
[endpoint watchers]
stream = sdr
listen = 127.0.0.1:0
client-input = discard
[endpoint ended]
stream = sdr
listen = 127.0.0.1:0
half-close = end
[stream other]
pattern = 8M/s
ring-size = 4M
listen = 127.0.0.1:0
END
}

receiver_start
write_config
daemon_run -c "$config"
wait_until 20 value_is .source_state running
sdr=$(port_of sdr)
watchers=$(port_of "sdr: endpoint watchers")
ended=$(port_of "sdr: endpoint ended")

# ---- whole commands of 20 clients at once ----

tuners many "$sdr" 20 50 odd
check "20 clients: each command arrives" wait_until 60 has_lines 1 1000 1 20
lines_of 1 >"$work/got"
is "20 clients: once" "$(sort "$work/got" | uniq -d | head -n 1)" ""
check "20 clients: whole, and in the order of its client" are_in_order 0 <"$work/got"
compare "20 clients: those of several are mixed" "$(awk '$1 != before { n++; before = $1 } END { print n }' "$work/got")" -gt 20
ask_tuners many
is "20 clients: each began with the header" "${answer##* }" RTL0
is "bytes are counted as forwarded" "$(value .client_input.forwarded_bytes)" 5000
is "... and none as discarded" "$(value .client_input.discarded_bytes)" 0
is "... and for each client" "$("$BUILD/dmacastctl" --socket "$control" --json clients |
	jq -c '[.clients[].received_bytes] | unique')" "[250]"
matches "dmacastctl clients shows them" <("$BUILD/dmacastctl" --socket "$control" clients) 'RECEIVED.*STATE'
end_tuners many
wait_until 20 value_is .clients 0
is "they stay counted" "$(value .received_bytes)" 5000

# ---- discarded, refused ----

tuners watch "$watchers" 3 40 odd 127.0.0.1 30
check "another endpoint discards what its clients send" wait_until 20 value_is .client_input.discarded_bytes 600
end_tuners watch
cat >"$work/refused.py" <<'END'
import socket, sys
connection = socket.socket()
connection.bind(("127.0.0.2", 0))
try:
    connection.connect(("127.0.0.1", int(sys.argv[1])))
    connection.sendall(b"\x28\0\0\0\0" * 10)
    while connection.recv(1000):
        print("got bytes")
except OSError:
    print("reset")
END
is "a peer that is not allowed is reset" "$("$python" "$work/refused.py" "$sdr")" reset
tuners allowed "$sdr" 1 3 odd 127.0.0.3 41
check "an allowed peer's commands arrive" wait_until 20 has_lines 1 3 41 41
is "those of others never do" "$(lines_of 1 30 40)" ""
end_tuners allowed

# ---- half a command at the end ----

"$python" -c '
import socket, sys
connection = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
connection.sendall(b"\x32\0\0\0\0\x32\0\0")
connection.shutdown(socket.SHUT_WR)
connection.recv(100)' "$sdr"
check "the whole command before a client's end arrives" wait_until 20 has_lines 1 1 50 50
check "... and the part behind it is discarded" wait_until 20 value_is .client_input.discarded_bytes 603

# ---- a source that does not read ----

touch "$work/mute"
memory()
{
	awk '/^VmRSS/ { print $2 }' "/proc/$daemon/status"
}
before=$(memory)
tuners flood "$sdr" 8 1000000 flood 127.0.0.1 129
check "a flood fills the queue" wait_until 60 value_holds '.client_input.queued_bytes > 61000'
# cannot_send: the clients of the flood have sent nothing for a second, though they could have.
cannot_send()
{
	local before

	ask_tuners flood
	before=$(cut -d' ' -f2 <<<"$answer")
	sleep 1
	ask_tuners flood
	[ "$(cut -d' ' -f2 <<<"$answer")" -eq "$before" ]
}
# gets_more: each of them has received something.
gets_more()
{
	ask_tuners flood
	[ "${answer%% *}" -gt "$got" ]
}
check "flood: in the end the clients cannot send any more" wait_until 30 cannot_send
ask_tuners flood
got=${answer%% *}
check "flood: they still receive" wait_until 20 gets_more
compare "flood: the queue is bounded" "$(value .client_input.queued_bytes)" -le 65536
compare "flood: the daemon has read no more than that" "$(value .received_bytes)" -lt 1000000
case $BUILD in
*/san-*) skip "flood: the memory is bounded" "sanitizers keep what was freed" ;;
*) compare "flood: the memory is bounded" $(($(memory) - before)) -lt 8192 ;;
esac
feed_ok "flood: another stream is not affected" --clients 4 --bytes 8M "127.0.0.1:$(port_of other)"

resets=$(value .left.reset_by_peer)
tuners quiet "$sdr" 1 7 odd 127.0.0.1 60
tuners leaves "$ended" 2 7 half 127.0.0.1 70
check "a client that shuts down its side is noticed unread" wait_until 20 \
	value_is '.left.half_closed' 2
tuners resets "$sdr" 2 7 reset 127.0.0.1 80
check "... and one that resets" wait_until 20 value_is .left.reset_by_peer $((resets + 2))
is "what they sent is discarded, and counted" "$(value .client_input.discarded_bytes)" $((603 + 4 * 35))
is "nobody else has left" "$(value .clients)" 9
rm "$work/mute"
check "when the source reads, a quiet client's commands arrive beside the flood" wait_until 60 has_lines 1 7 60 60
check "... whole and in order" are_in_order 0 < <(lines_of 1 60 60)
check "the flood is whole and in order" are_in_order 0 < <(lines_of 1 129 255)
compare "each client of the flood is read" "$(lines_of 1 129 255 | cut -d' ' -f1 | sort -u | wc -l)" -eq 8
end_tuners quiet
end_tuners leaves
end_tuners resets

# ---- the source restarts ----

touch "$work/mute"
check "the queue is full again" wait_until 60 value_holds '.client_input.queued_bytes > 61000'
discarded=$(value .client_input.discarded_bytes)
touch "$work/drop"
check "the source connects again" wait_until 60 grep -q '^2 begin' "$commands"
rm "$work/mute"
compare "what was queued for the former run is discarded" \
	$(($(value .client_input.discarded_bytes) - discarded)) -gt 61000
check "the next run gets commands" wait_until 60 grep -q '^2 1[23]' "$commands"
# goes_on: the commands are those of the flood, and those of each client have no gap.
goes_on()
{
	lines_of 2 | awk '{ if ($1 < 129 || $1 > 136 || (($1 in at) && $2 != at[$1] + 1)) { print; bad = 1; exit }
		at[$1] = $2 } END { exit bad }'
}
check "... and they are whole" goes_on
end_tuners flood
wait_until 20 value_is .clients 0

# ---- while it is away ----

signal_to TERM "$receiver"
check "the source is away" wait_until 20 value_holds '.source_state != "running"'
tuners early "$sdr" 2 6 odd 127.0.0.1 90
forwarded=$(value .client_input.forwarded_bytes)
is "what clients send meanwhile waits" "$(value .client_input.forwarded_bytes)" "$forwarded"
: >"$commands"
receiver_start
check "... and arrives when the source is back" wait_until 60 has_lines 1 12 90 91
check "... whole and in order" are_in_order 0 < <(lines_of 1)
end_tuners early

# ---- metrics ----

metrics=$(sed -n 's/.*metrics at http:.*:\([0-9]*\)\/*.*$/\1/p' "$log" | tail -n 1)
"$python" -c '
import sys, urllib.request
sys.stdout.write(urllib.request.urlopen("http://127.0.0.1:%s/metrics" % sys.argv[1]).read().decode())' \
	"$metrics" >"$work/metrics" 2>&1
for name in input_forwarded_bytes_total input_discarded_bytes_total received_bytes_total; do
	matches "metrics: $name" "$work/metrics" "^dmacast_stream_$name\{stream=\"sdr\"\} [1-9]"
done
matches "metrics: input_queued_bytes" "$work/metrics" '^dmacast_stream_input_queued_bytes\{stream="sdr"\} 0$'

# ---- reload ----

tuners before "$sdr" 1 2 odd 127.0.0.1 100
check "before a reload: forwarded" wait_until 20 has_lines 1 2 100 100
write_config discard
check "a reload" "$BUILD/dmacastctl" --socket "$control" reload
discarded=$(value .client_input.discarded_bytes)
tuners after "$sdr" 1 4 odd 127.0.0.1 101
check "client-input = discard holds for clients that connect from then on" wait_until 20 \
	value_is .client_input.discarded_bytes $((discarded + 20))
is "... whose commands do not arrive" "$(lines_of 1 101 101)" ""
write_config source
sed -i 's/^allow = .*/deny = 10.0.0.1/' "$config"
check "a reload without allow is refused" test "$("$BUILD/dmacastctl" --socket "$control" reload >"$work/ctl.out" 2>&1; echo $?)" -ne 0
matches "... and says what to do" "$log" 'client-input = source: every peer could control the source; expected allow = '
check "--check refuses it, too" test "$("$BUILD/dmacastd" --check -c "$config" >"$work/check" 2>&1; echo $?)" -ne 0
write_config source
check "the reload back succeeds" "$BUILD/dmacastctl" --socket "$control" reload
tuners again "$sdr" 1 4 odd 127.0.0.1 102
check "... and new clients are forwarded" wait_until 20 has_lines 1 4 102 102
end_tuners before
end_tuners after
end_tuners again
daemon_stop
is "exit status" "$status" 0
signal_to TERM "$receiver"

# ---- a command ----

allow=(--allow 127.0.0.1 --client-input source --flush 1ms --listen 127.0.0.1:0)
cat >"$work/echo.sh" <<END
trap '' TERM
echo ready
while read -r line; do echo "got \$line"; done
echo complete >"$work/complete"
END
# say TEXT...: connect, send the lines, print what comes up to the answer of the last one.
say()
{
	"$python" -c '
import socket, sys
connection = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
connection.settimeout(60)
for line in sys.argv[2:]:
    connection.sendall(line.encode() + b"\n")
data = b""
while not data.endswith(b"got " + sys.argv[-1].encode() + b"\n"):
    part = connection.recv(1000)
    if not part:
        break
    data += part
print(data.decode(), end="")' "$port" "$@"
}
daemon_run --input "exec:sh $work/echo.sh" --hold 1 --stop-timeout 1h "${allow[@]}"
is "a command reads what clients send" "$(say one two | grep got)" "got one
got two"
is "... of each client" "$(say three | grep got)" "got three"
daemon_stop
is "its input ends when it is stopped, and so it ends without a signal" "$(cat "$work/complete" 2>&1)" complete
is "exit status" "$status" 0

# run_is_over: the one stream waits for a client.
run_is_over()
{
	[ "$(value '.state == "idle" and .client_input.queued_bytes == 0' main)" = true ]
}

# With on-demand the first command comes before there is a source, and each run has its own. Nothing is sent to a
# client that has closed, whose kernel would answer for it for a minute.
daemon_run --input "exec:sh $work/echo.sh" --on-demand yes --linger 0 --stop-timeout 1h "${allow[@]}" \
	--half-close end --control "$control"
for text in one two; do
	is "on-demand: what a client sends starts no source, and reaches the one that starts for it: $text" \
		"$(say "$text" "$text again" | tr '\n' ' ')" "ready got $text got $text again "
	check "... which ends behind it" wait_until 60 run_is_over
done
is "each was a run of its own" "$(value .source_starts main)" 2
is "nothing was discarded" "$(value .client_input.discarded_bytes main)" 0
daemon_stop
is "exit status" "$status" 0

cat >"$work/flags.py" <<'END'
import fcntl, os, sys
print(bool(fcntl.fcntl(0, fcntl.F_GETFL) & os.O_NONBLOCK), os.readlink("/proc/self/fd/0"), flush=True)
sys.stdin.read()
END
receive_line()
{
	timeout $((60 * patience)) head -n 1 <"/dev/tcp/127.0.0.1/$port"
}
daemon_run --input "exec:exec $python $work/flags.py" --hold 1 "${allow[@]}"
matches "the command's end of the pipe blocks" <(receive_line) '^False pipe:'
daemon_stop
daemon_run --input "exec:$python $work/flags.py" --hold 1 --on-end close --listen 127.0.0.1:0
is "without the option its input is /dev/null" "$(receive_line)" "False /dev/null"
daemon_wait 20

# A command that closes its input goes on without it.
daemon_run --input "exec:exec 0<&-; while :; do echo x; sleep 0.05; done" "${allow[@]}" --control "$control"
port_line()
{
	"$python" -c '
import socket, sys, time
connection = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
for i in range(3):
    connection.sendall(b"nobody reads this\n")
    time.sleep(0.1)
connection.settimeout(60)
print(len(connection.recv(1)))
connection.recv(1)' "$port"
}
is "a command that closes its input is still a source" "$(port_line)" 1
matches "... and that is logged" "$log" 'takes no more from clients: Broken pipe; what they send is discarded until its next run'
is "what clients send is discarded" "$(value .client_input.discarded_bytes main)" 54
daemon_stop

# ---- configurations that are refused ----

for source in "--pattern 1M/s" "--input $work/commands" "--input -"; do
	# shellcheck disable=SC2086 # a list of words
	"$BUILD/dmacastd" $source "${allow[@]}" --check >"$work/check" 2>&1
	is "$source: refused" $? 1
	matches "... with what is possible" "$work/check" \
		'client-input = source: expected a source that reads: an input of exec:, tcp:, unix:, tcp-listen: or unix-listen:, with input-format = raw$'
done
done_testing
