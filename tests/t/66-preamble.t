#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# The preamble: each client has the head of its run once, and then whole records, whenever it joins.

. tests/lib.sh

python=$(command -v python3) || skip_all "python3 is not installed"
control=$work/control

# The feed: a head of 44 bytes, RUN and 40 characters, and records of 24 bytes, numbered from 0.
cat >"$work/feed.py" <<'END'
import sys, time
run, count, pause = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
out = sys.stdout.buffer
def put(data):
    out.write(data)
    out.flush()
head = (run[:4].ljust(4, "_") + "head of 44 bytes, as of a WAV file......").encode()
assert len(head) == 44
# The head comes in three parts, so that a client may join within it.
for part in head[:10], head[10:30], head[30:]:
    put(part)
    time.sleep(pause * 20)
for n in range(0, count, 50):
    put(b"".join(b"record %016d\n" % i for i in range(n, min(n + 50, count))))
    time.sleep(pause)
END

# The client: reads SECONDS or up to the end; prints the run, the number of its first record and what is wrong.
# With "file" the stream has no head, but the preamble is a file with one.
cat >"$work/client.py" <<'END'
import socket, sys, time
port, seconds, expected = int(sys.argv[1]), float(sys.argv[2]), sys.argv[3:]
data = b""
until = time.monotonic() + seconds
with socket.create_connection(("127.0.0.1", port)) as connection:
    connection.settimeout(0.2)
    while time.monotonic() < until or len(data) < 2000:
        try:
            part = connection.recv(1 << 16)
        except socket.timeout:
            if time.monotonic() > until + 60:
                break
            continue
        if not part:
            break
        data += part
def fail(why):
    print("bad", why, data[:100])
    sys.exit(1)
where, first, runs = 0, None, []
while where < len(data):
    if data[where + 4:where + 11] == b"head of":
        if len(data) < where + 44:
            break
        runs.append(data[where:where + 4].decode())
        if data[where + 4:where + 44] != b"head of 44 bytes, as of a WAV file......":
            fail("a head that is cut")
        where, number = where + 44, None
        continue
    record = data[where:where + 24]
    if not runs:
        fail("no head first")
    if len(record) < 24:
        if not b"record ".startswith(record[:7]):
            fail("the end")
        break
    if record[:7] != b"record " or record[23:] != b"\n":
        fail(f"no record at {where}: {record}")
    now = int(record[7:23])
    if first is None:
        first = now
    if number is not None and now != number + 1 and "gaps" not in expected:
        fail(f"record {now} behind {number}")
    number, where = now, where + 24
sys.stdout.write(f"{','.join(runs)} {first}\n")
END
producer()
{
	echo "'$python' '$work/feed.py'"
}

# --- 20 clients that join at random times, the first of them before the head is whole ---
# join_all TEXT RUNS: they join; each prints RUNS, a pattern, once.
join_all()
{
	local i pids=() wrong=0

	for i in $(seq 20); do
		"$python" "$work/client.py" "$port" 2 >"$work/client.$i" 2>&1 &
		pids+=($!)
		sleep "0.$((RANDOM % 4))$((RANDOM % 10))"
	done
	wait "${pids[@]}"
	for i in $(seq 20); do
		grep -qE "^$2 [0-9]+$" "$work/client.$i" || wrong=1
		grep -qE "^$2 [0-9]+$" "$work/client.$i" || diag_file "$work/client.$i"
	done
	ok $wrong "$1" || diag_file "$log"
}

for zerocopy in always never; do
	daemon_run --input "exec:exec $(producer) RTL0 1000000 0.01" --preamble 44 --record-size 24 --block-size 4K \
		--ring-size 1M --flush 1ms --zerocopy $zerocopy --listen 127.0.0.1:0
	join_all "zerocopy = $zerocopy: 20 clients have the head once, and then whole records" RTL0
	compare "some of them joined late" "$(cut -d' ' -f2 "$work"/client.* | sort -n | tail -n 1)" -gt 0
	daemon_stop
	is "exit status" "$status" 0
done

# --- within the head: what is kept, and the rest from the blocks ---
mkfifo "$work/fifo"
exec 4<>"$work/fifo"
daemon_run --input "$work/fifo" --preamble 44 --record-size 24 --block-size 4K --ring-size 1M --flush 1ms \
	--listen 127.0.0.1:0 --control "$control"
head="ABC0head of 44 bytes, as of a WAV file......"
# join_fifo NAME: a client, once the daemon has it.
join_fifo()
{
	joined=$((${joined:-0} + 1))
	nc -d 127.0.0.1 "$port" >"$work/$1" 4>&- &
	will_end $!
	wait_until 10 clients_joined $joined
}
# source_has BYTES
source_has()
{
	"$BUILD/dmacastctl" -s "$control" --json streams | jq -e ".streams[0].filled.bytes == $1"
}
if command -v jq >/dev/null; then
	join_fifo before
	printf %s "${head:0:10}" >&4
	wait_until 10 source_has 10
	join_fifo within
	printf %s "${head:10:34}" >&4
	wait_until 10 source_has 44
	join_fifo behind
	records=$(printf 'record %016d\n' 0 1 2; echo .)
	records=${records%.}
	printf %s "${records:0:50}" >&4
	wait_until 10 source_has 92
	join_fifo late
	printf %s "${records:50}" >&4
	wait_until 10 source_has 116
	exec 4>&-
	sleep 0.2
	daemon_stop
	for name in before within behind; do
		is "a client that joined in time, $name the head" "$(cat "$work/$name"; echo .)" "$head$records."
	done
	is "joined later: the head, and no record that began before" "$(cat "$work/late")" \
		"$head$(printf 'record %016d' 2)"
else
	skip "joining within the head" "jq is not installed"
	exec 4>&-
	daemon_stop
fi

# --- a FIFO's next writer, and what is sent in between ---
daemon_run --input "$work/fifo" --on-end wait --preamble 44 --record-size 24 --block-size 4K --ring-size 1M --flush 1ms \
	--listen 127.0.0.1:0
joined=0
writer()
{
	eval "$(producer) $1 100 0" >"$work/fifo"
}
join_fifo both
writer FIRST
wait_until 10 grep -q "waiting for the next writer" "$log"
join_fifo between
writer 2ND_
wait_until 10 grep -q 'record 0*99' "$work/between"
exec 4>"$work/fifo"
printf '%s' "${head/ABC0/3RD_}" >&4
wait_until 10 grep -q '3RD_' "$work/between"
join_fifo after
wait_until 10 grep -q '3RD_' "$work/after"
exec 4>&-
daemon_stop
check_runs()
{
	is "$1" "$(grep -ao '....head of' "$work/$2" | tr '\n' ' ')" "$3"
}
check_runs "a client that is connected has each head in the stream" both "FIRShead of 2ND_head of 3RD_head of "
check_runs "one that joins between two runs has the new head only" between "2ND_head of 3RD_head of "
check_runs "one that joins later has the newest" after "3RD_head of "
is "and nothing else" "$(wc -c <"$work/after")" 44

# --- a command that is restarted, with another head each time ---
daemon_run --on-end wait --preamble 44 --record-size 24 --block-size 4K --ring-size 1M --flush 1ms --listen 127.0.0.1:0 \
	--input "exec:echo >>$work/runs; exec $(producer) R\$(wc -l <$work/runs)__ 200 0.05"
run_is()
{
	[ "$(wc -l <"$work/runs")" -ge "$1" ]
}
readers=()
for run in 1 3; do
	wait_until 30 run_is $run
	for i in 1 2 3; do
		"$python" "$work/client.py" "$port" 1 gaps >"$work/restart.$run.$i" 2>&1 &
		readers+=($!)
		sleep 0.3
	done
done
wait "${readers[@]}"
cat "$work"/restart.* >"$work/restarts"
is "each client has the heads of its runs, in order, each once" "$(grep -vE \
	'^(R1__)?,?(R2__)?,?(R3__)?,?(R4__)?,?(R5__)?,?(R6__)? [0-9]+$' "$work/restarts")" ""
is "later ones have a later head first" "$(cut -c 1-2 "$work/restarts" | sort -u | grep -c R1) $(
	tail -n 3 "$work/restarts" | grep -c ^R1)" "1 0"
daemon_stop

# --- a file ---
printf '%s' "${head/ABC0/FIL1}" >"$work/head"
records()
{
	local i

	for i in $(seq 0 "$1"); do printf 'record %016d\n' "$i"; done
}
daemon_run --input "$work/fifo" --on-end wait --preamble "$work/head" --record-size 24 --block-size 4K --ring-size 1M \
	--flush 1ms --listen 127.0.0.1:0
joined=0
join_fifo early
# The producer writes the file before its first byte.
exec 4>"$work/fifo"
printf '%s' "${head/ABC0/FIL2}" >"$work/head"
records 9 >&4
wait_until 10 grep -q 'record 0*9$' "$work/early"
printf '%s' "${head/ABC0/FIL3}" >"$work/head"
join_fifo late
wait_until 10 grep -q FIL2 "$work/late"
ok $? "a file is sent at once while the source runs"
exec 4>&-
wait_until 10 grep -q "waiting for the next writer" "$log"
join_fifo between
records 4 >"$work/fifo"
wait_until 10 grep -q 'record 0*4$' "$work/between"
rm "$work/head"
records 4 >"$work/fifo"
wait_until 10 grep -q "preamble = .*no such file.*new clients get its former content" "$log"
ok $? "a file that has gone is logged"
join_fifo former
records 4 >"$work/fifo"
wait_until 10 grep -q FIL3 "$work/former"
ok $? "and its former content is sent"
daemon_stop
is "the file is read again with the first byte of the source" "$(head -c 44 "$work/early" | cut -c 1-4)" FIL2
is "and when the source starts again" "$(head -c 44 "$work/between" | cut -c 1-4)" FIL3
is "those that are connected get the stream only" "$(grep -ac 'head of' "$work/early")" 1
is "all of it" "$(tail -c +45 "$work/early" | head -c 240)" "$(records 9)"

printf '%s' "$head" >"$work/head"
daemon_run --feed 4M/s --preamble "$work/head" --listen 127.0.0.1:0
sleep 0.3
nc -d 127.0.0.1 "$port" | head -c 44 >"$work/pattern"
is "a file for the other sources, too" "$(cat "$work/pattern")" "$head"
daemon_stop

# --- framed clients ---
generate="$BUILD/tests/feedclient --generate"
daemon_run --input "exec:$generate 0 --rate $(((4 << 20) / scale))/s" --preamble 96 --format framed --block-size 64K \
	--ring-size 2M --listen 127.0.0.1:0
sleep 0.5
feed_preamble=$work/preamble
for i in 1 2 3; do
	feed_start "framed$i" --framed --clients 4 --bytes 1M --preamble "$feed_preamble.$i" "127.0.0.1:$port"
	sleep 0.3
done
for i in 1 2 3; do
	feed_end_ok "framed clients get metadata, the preamble and blocks" "framed$i"
	is "each a preamble" "$(field preambles)" 4
	check "which is the begin of the run" cmp "$feed_preamble.$i" <($generate 96)
done
daemon_stop
daemon_run --input "exec:$generate 9M" --hold 2 --on-end close --lag-policy block --preamble 96 --format framed \
	--block-size 64K --ring-size 2M --listen 127.0.0.1:0
feed_ok "from the start: no preamble, as the blocks have it" --framed --clients 2 --block-size 64K --from-start \
	--until-end --expect-end end "127.0.0.1:$port"
is "none" "$(field preambles)" 0
daemon_wait 20

# --- a client that is skipped needs no preamble again; the bytes count as sent ---
daemon_run --feed 16M/s --preamble 4096 --format framed --lag-policy drop --block-size 64K --ring-size 2M \
	--listen 127.0.0.1:0 --control "$control"
sleep 0.3
feed_start slow --framed --clients 3 --rate 2M/s --rcvbuf 32K --allow-gaps --block-size 64K --seconds 5 "127.0.0.1:$port"
feed_end_ok "a slow client has gaps" slow
compare "there were some" "$(field gaps)" -gt 0
is "and one preamble" "$(field preambles)" 3
daemon_stop

# --- sections: each with its format and rules, all with the preamble of their stream ---
cat >"$work/sections.conf" <<END
[daemon]
control = $control
[stream feed]
input = exec:exec $generate 0 --rate $(((4 << 20) / scale))/s
preamble = 96
block-size = 64K
ring-size = 4M
listen = 127.0.0.1:0
[endpoint frames]
stream = feed
format = framed
listen = 127.0.0.1:0
[endpoint viewers]
stream = feed
lag-policy = latest
listen = 127.0.0.1:0
[endpoint nobody]
stream = feed
deny = 127.0.0.0/8
listen = 127.0.0.1:0
END
daemon_run -c "$work/sections.conf"
# section_port LABEL
section_port()
{
	sed -n "s/.*stream feed$1: listening on .*:\([0-9]*\)$/\1/p" "$log"
}
# It joins when the run has begun, and stays until the daemon stops.
sleep 0.5
readers=()
for name in own viewers nobody; do
	label=": endpoint $name"
	nc -d 127.0.0.1 "$(section_port "${label#: endpoint own}")" >"$work/section.$name" &
	readers+=($!)
done
feed_start sections --framed --clients 3 --bytes 1M --preamble "$work/sections.preamble" \
	"127.0.0.1:$(section_port ": endpoint frames")"
feed_end_ok "sections: framed clients get blocks without a gap" sections
is "sections: and a preamble each" "$(field preambles)" 3
for name in own viewers; do
	wait_until 20 test -s "$work/section.$name"
done
daemon_stop
wait "${readers[@]}"
check "sections: it is the begin of the run" cmp "$work/sections.preamble" <($generate 96)
for name in own viewers; do
	check "sections: raw clients of \"$name\" begin with it" cmp "$work/sections.preamble" \
		<(head -c 96 "$work/section.$name")
	compare "sections: and go on with blocks" "$(wc -c <"$work/section.$name")" -gt 96
done
is "sections: who is refused gets no byte of it" "$(wc -c <"$work/section.nobody")" 0

# --- errors ---
# refused TEXT VALUE PATTERN OPTION...
refused()
{
	local text=$1 value=$2 pattern=$3

	shift 3
	timeout 20 "$BUILD/dmacastd" --pattern 1M/s --listen 127.0.0.1:0 --preamble "$value" "$@" >"$work/out" 2>&1
	is "$text: exit status" "$?" 1
	matches "$text" "$work/out" "$pattern"
}
mkdir "$work/folder"
head -c 1048577 /dev/zero >"$work/large"
refused "a missing file" "$work/nothing" 'preamble = .*nothing: no such file; create it'
refused "a directory" "$work/folder" 'preamble = .*folder: is a directory; expected a regular file'
refused "a FIFO" "$work/fifo" 'preamble = .*fifo: is no regular file; expected one'
refused "a file that is too large" "$work/large" 'preamble = .*large: larger than 1 MiB; expected a smaller file'
refused "a relative path" head.wav 'preamble head.wav: expected the absolute path of a file, or a size'
refused "a size that is too large" 1048577 'expected the absolute path of a file, or a size .* to 1M'
head -c 1048576 /dev/zero >"$work/large"
check "1 MiB is not too large" "$BUILD/dmacastd" --check --pattern 1M/s --listen :0 --preamble "$work/large"
"$BUILD/dmacastd" --check --pattern 1M/s --listen :0 --preamble 44 >"$work/out"
matches "--check prints it back" "$work/out" '^preamble = 44$'
refused "a pattern of whole blocks" 44 'preamble = 44: .*expected pattern-form = offsets' --record-size 24 \
	--pattern-form stamped

done_testing
