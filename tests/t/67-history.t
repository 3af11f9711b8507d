#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# History: where clients begin, raw and framed, what is kept for them, and that it costs nobody anything.

. tests/lib.sh

python=$(command -v python3) || skip_all "python3 is not installed"
command -v jq >/dev/null || skip_all "jq is not installed"

config=$work/dmacastd.conf
control=$work/control

# The feed: lines of 64 bytes, each with its own position in all that was written, up to a number of blocks of 4K.
cat >"$work/feed.py" <<'END'
import sys
first, end = (int(number) * 4096 for number in sys.argv[1:])
sys.stdout.buffer.write(b"".join(b"%063d\n" % at for at in range(first, end, 64)))
END

# The client: connects, reads up to the byte END of the feed, and checks each. With "framed" it checks that nothing is
# missing by the frames, too. Prints the position of its first byte, and of each metadata (M), preamble (P) and first
# block of an epoch (S) the position and the number of the epoch, from 1. With "head" the feed begins with a line HEAD.
cat >"$work/client.py" <<'END'
import json, socket, struct, sys
port, end, how = int(sys.argv[1]), int(sys.argv[2]) * 4096, " ".join(sys.argv[3:]).split()
connection = socket.create_connection(("127.0.0.1", port))
connection.settimeout(60)
stream = connection.makefile("rb")
events, epochs, heads = [], [], 0
def epoch_number(epoch):
    if epoch not in epochs:
        epochs.append(epoch)
    return epochs.index(epoch) + 1
def read(length):
    data = stream.read(length)
    if len(data) != length:
        sys.exit(f"{len(data)} bytes of {length}; {' '.join(events)}")
    return data
def check(data):
    global at, first, heads
    for i in range(0, len(data), 64):
        line = data[i:i + 64]
        if line[:4] == b"HEAD":
            heads += 1
            continue
        if first is None:
            first = at = int(line)
        if line != b"%063d\n" % at:
            sys.exit(f"{line} at {at}")
        at += 64
first, at, place, epoch = None, 0, None, 0
while at < end:
    if "framed" not in how:
        check(read(64))
        continue
    (magic, version, size, flags, length, now, sequence, position, *rest) = struct.unpack("<4sBBHIIQQQQQII", read(64))
    if place is not None and (sequence, position) != place:
        sys.exit(f"gap: {(sequence, position)}, expected {place}")
    data = read(length)
    if flags & (8 | 32):
        events.append(f"{'M' if flags & 8 else 'P'}{position}e{epoch_number(now)}")
        if flags & 8 and json.loads(data)["epoch"] != now:
            sys.exit(f"another epoch in the metadata: {data}")
        heads += flags & 32 and data[:4] == b"HEAD"
        place = (sequence, position)
        continue
    if flags & 16:
        events.append(f"S{position}e{epoch_number(now)}")
        epoch = now
    elif epoch and now != epoch:
        sys.exit(f"epoch {now} without START")
    epoch = now
    check(data)
    place = (sequence + 1, position + length)
if "head" in how and heads != 1:
    sys.exit(f"{heads} heads")
if at != end:
    sys.exit(f"{at} bytes, expected {end}")
print(first, *events)
END

# daemon_control: start with the configuration of standard input and a control socket.
daemon_control()
{
	{
		printf '[daemon]\ncontrol = %s\ndrain-timeout = 5s\n' "$control"
		cat
	} >"$config"
	daemon_run -c "$config"
	wait_until 20 listens_at "$control" || diag "no control socket"
}

# reload SED: change the configuration.
reload()
{
	sed -i "$1" "$config"
	check "reload: $1" "$BUILD/dmacastctl" --socket "$control" reload
}

# port_of LABEL: print the port of the endpoint with this label in the log.
port_of()
{
	sed -n "s/.*stream $1: listening on .*:\([0-9]*\)$/\1/p" "$log" | tail -n 1
}

# value FILTER: of the first stream in the answer to `streams`.
value()
{
	"$BUILD/dmacastctl" --socket "$control" --json streams 2>"$work/ctl.err" | jq -r ".streams[0] | $1"
}

has_value()
{
	[ "$(value "$1")" = "$2" ]
}

# pour BLOCKS: write the next ones, and wait until the daemon has them.
poured=0
extra=0
pour()
{
	"$python" "$work/feed.py" "$poured" $((poured + $1)) >&4
	poured=$((poured + $1))
	wait_until 60 has_value .filled.bytes $((poured * 4096 + extra)) || diag "not read"
}

# begins TEXT LABEL EXPECTED [HOW]: a client that connects now gets all up to what was poured; it prints EXPECTED.
begins()
{
	local got

	got=$("$python" "$work/client.py" "$(port_of "a: endpoint $2")" "$poured" "${4:-}" 2>"$work/client.err")
	is "$1" "$got" "$3" || diag_file "$work/client.err"
}

# block N: print the position of a block.
block()
{
	echo $(($1 * 4096))
}

mkfifo "$work/fifo"
exec 4<>"$work/fifo"
stream="input = $work/fifo
block-size = 4K
record-size = 4K
ring-size = 1M
lag-policy = disconnect
flush = 1h"
# endpoint NAME LINE...
endpoint()
{
	printf '[endpoint %s]\nstream = a\nlisten = 127.0.0.1:0\n' "$1"
	printf '%s\n' "${@:2}"
}

# ---- each start, raw and framed; the source is silent whenever a client connects ----

daemon_control <<END
[stream a]
$stream
retain = 400K
$(endpoint oldest "start = oldest")
$(endpoint size "start = -40K")
$(endpoint within "start = -40961")
$(endpoint long "start = -900K")
$(endpoint time "start = -1h")
$(endpoint framed "start = oldest" "format = framed")
$(endpoint framedsize "start = -40K" "format = framed")
$(endpoint live "start = live")
END
pids=()
for name in oldest size time live; do
	"$python" "$work/client.py" "$(port_of "a: endpoint $name")" 50 >"$work/empty.$name" 2>"$work/empty.$name.err" &
	pids+=($!)
	will_end $!
done
wait_until 30 has_value .clients 4
pour 50
wait "${pids[@]}"
is "before the first block, each start begins with it" "$(cat "$work"/empty.{oldest,size,time,live} | tr '\n' ' ')" "0 0 0 0 "
is "what all clients have is kept" "$(value .ring.retained) $(value .retained_bytes)" "50 $(block 50)"
is "and is a state of its own" "$(value '.ring | .all == .free + .filling + .window + .retained + .pinned')" true
begins "oldest: all, while that is less than retain" oldest 0
begins "-900K: not more than what is there" long 0
pour 150
is "retain = SIZE: exactly this much is kept" "$(value .ring.retained) $(value .retained_bytes)" "100 $(block 100)"
begins "oldest" oldest "$(block 100)"
begins "-SIZE" size "$(block 190)"
begins "-SIZE within a block: the whole block" within "$(block 189)"
begins "-SIZE beyond retain: the oldest block" long "$(block 100)"
begins "-TIME" time "$(block 100)"
begins "oldest, framed: the metadata has the place of the first block" framed \
	"$(block 100) M$(block 100)e1" framed
begins "-SIZE, framed" framedsize "$(block 190) M$(block 190)e1" framed
compare "the age of the oldest block is known" "$(value '.retained_seconds * 1000000 | floor')" -gt 0

# A client that begins in the past gets what comes meanwhile, too; so does one that begins live.
joined=$(value .joined)
for name in oldest live; do
	"$python" "$work/client.py" "$(port_of "a: endpoint $name")" 300 >"$work/on.$name" 2>"$work/on.$name.err" &
	pids+=($!)
	will_end $!
done
wait_until 30 has_value .joined $((joined + 2))
pour 100
wait "${pids[@]:4}"
is "history and what comes after it, without a gap" "$(cat "$work/on.oldest")" "$(block 100)"
is "live: what comes after it" "$(cat "$work/on.live")" "$(block 200)"

# ---- reload ----

reload 's/^retain = .*/retain = 80K/'
wait_until 30 has_value .ring.retained 20
is "reload: a smaller retain at once" "$(value .ring.retained)" 20
begins "and clients begin there" oldest "$(block 280)"
reload 's/^start = -40K/start = -8K/'
begins "start: for new clients" size "$(block 298)"
reload 's/^retain = .*/retain = 300K/'
pour 10
is "a larger retain from then on" "$(value .ring.retained)" 30
reload 's/^retain = .*/retain = 500ms/'
wait_until 30 has_value .ring.retained 0
is "retain = TIME: old blocks go while the source is silent" "$(value .ring.retained)" 0
reload 's/^retain = .*/retain = 1h/'
pour 300
compare "retain = TIME: it is bounded by the ring and low-water" "$(value .ring.retained)" -le 224
compare "and is most of it" "$(value .ring.retained)" -ge 150
compare "free blocks stay above low-water, or at it" "$(value .ring.free)" -ge 32
is "no source waited" "$(value .filled.waits)" 0
first=$((poured - $(value .ring.retained)))
begins "of what is kept, every byte" oldest "$(block $first)"
reload '/^retain = /d'
wait_until 30 has_value .ring.retained 0
pour 5
is "without retain nothing is kept" "$(value .ring.retained)" 0
is "and every block is free, or being filled" "$(value '.ring | .free + .filling')" 256
daemon_stop
is "exit status" "$status" 0

# ---- two epochs, and metadata of both ----

mkfifo "$work/fifo2"
poured=0
daemon_control <<END
[stream a]
${stream/input = $work\/fifo/input = exec:exec cat $work/fifo2}
on-end = wait
retain = 400K
$(endpoint oldest "start = oldest")
$(endpoint framed "start = oldest" "format = framed")
$(endpoint framedsize "start = -20K" "format = framed")
END
# pour_run BLOCKS: the next run of the command.
pour_run()
{
	exec 4>"$work/fifo2"
	pour "$1"
	exec 4>&-
}
pour_run 20
wait_until 60 has_value .source_restarts 1
begins "between two epochs: history of the first one, and metadata of the next" framed \
	"0 M0e1 S0e1" framed
pour_run 10
begins "two epochs, raw" oldest 0
begins "two epochs, framed: metadata before each" framed \
	"0 M0e1 S0e1 M$(block 20)e2 S$(block 20)e2" framed
begins "begin in the second one: one metadata" framedsize "$(block 25) M$(block 25)e1" framed
wait_until 60 has_value .source_restarts 2
pour_run 100
begins "the first one is gone" framed "$(block 30) M$(block 30)e1 S$(block 30)e1" framed
daemon_stop

# ---- with a preamble ----

exec 4<>"$work/fifo"
poured=0
extra=64
printf 'HEAD%059d\n' 0 >&4
daemon_control <<END
[stream a]
$stream
preamble = 64
retain = 80K
$(endpoint oldest "start = oldest")
$(endpoint framed "start = oldest" "format = framed")
$(endpoint framedsize "start = -8K" "format = framed")
END
pour 10
begins "preamble: the head is still in the history" oldest 0 head
begins "and so framed" framed "0 M0e1 S0e1" "framed head"
begins "begin behind it: the preamble comes first" framedsize \
	"$(block 8) M$(($(block 8) + 64))e1 P$(($(block 8) + 64))e1" "framed head"
pour 40
begins "the head has gone: the preamble comes first" oldest "$(block 30)" head
daemon_stop
extra=0

# ---- nobody is worse off for it ----

# stalled RETAIN: a client that does not read, while 700 blocks come one by one; print its drops and what it lost.
stalled()
{
	exec 4<>"$work/fifo"
	poured=0
	daemon_control <<-END >/dev/null
		[stream a]
		${stream/disconnect/drop}
		zerocopy = never
		send-buffer = 16K
		retain = $1
		$(endpoint live "start = live")
	END
	pour 200 # what is kept fills the ring
	"$python" -c 'import socket, sys, time
connection = socket.socket()
connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
connection.connect(("127.0.0.1", int(sys.argv[1])))
time.sleep(600)' "$(port_of "a: endpoint live")" &
	reader=$!
	will_end $reader
	wait_until 30 has_value .clients 1
	while [ "$poured" -lt 900 ]; do
		pour 20
	done
	value '"\(.drops) \(.dropped_bytes) \(.filled.waits)"' >"$work/lost"
	value '"\(.ring.retained)"' >"$work/retained"
	signal_to KILL $reader
	{ wait $reader; } 2>/dev/null
	daemon_stop
}
stalled none
without=$(cat "$work/lost")
stalled 800K
is "a stalled client loses as much with retain as without" "$(cat "$work/lost")" "$without"
matches "and it does lose something, while the source never waits" "$work/lost" '^[1-9][0-9]* [1-9][0-9]* 0$'
compare "what it lost is kept for others" "$(cat "$work/retained")" -gt 0

# Under `block` the source waits for clients, but never for history. A daemon that had no CPU for a while finds clients
# that take all of the ring at once: then history would keep the rest of it.
head -c 24M /dev/zero | tr '\0' x >"$work/file"
daemon_run --input "$work/file" --hold 4 --lag-policy block --block-size 16K --ring-size 512K --retain 448K \
	--listen 127.0.0.1:0
for i in 1 2 3 4; do
	"$python" -c 'import socket, sys, time
connection = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
connection.settimeout(60)
count = 0
while data := connection.recv(1 << 16):
    count += len(data)
    if int(sys.argv[2]) and count % 7 == 0:
        time.sleep(0.001)
print(count)' "$port" $((i % 2)) >"$work/block.$i" &
	pids[i]=$!
	will_end $!
done
for ((i = 0; i < 300; i++)); do
	process_ended "$daemon" && break
	suspend "$daemon"
	sleep 0.02
	resume "$daemon"
	sleep 0.002
done
daemon_wait 120
wait "${pids[@]:1:4}"
is "block: every byte to every client, and the end" "$(cat "$work"/block.[1-4] | sort -u)" $((24 << 20))
is "exit status" "$status" 0

# A ring with history, and space beyond it for clients that catch up.
daemon_run --feed 40M/s --lag-policy drop --block-size 64K --ring-size 16M --retain 8M --start oldest \
	--listen 127.0.0.1:0 --control "$control"
wait_until 30 has_value '.retained_bytes >= 8388608' true
feed_ok "clients that catch up get every byte" --clients 8 --bytes 24M --block-size 64K "127.0.0.1:$port"
is "none of them lost something" "$(value .dropped_bytes)" 0
daemon_stop

done_testing
