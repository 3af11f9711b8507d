#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# dmacast-nats with a real server: kill -9 of the server, the publisher and the daemon under load; then the stream has
# each block once and in order, or a gap of the exact size.

. tests/lib.sh
. tests/nats.sh

command -v nats-server >/dev/null || skip_all "nats-server is not installed"
[ -x "$nats" ] || skip_all "dmacast-nats is not built: libnats-dev is not installed"
command -v jq >/dev/null || skip_all "jq is not installed"

free_ports 2
nats_ports=("${ports[0]}")
fixed=${ports[1]}
nats_start 0
serve=(--format http --block-size 64K --ring-size 96M --retain 80M --listen "127.0.0.1:$fixed")
daemon_run --feed 4M/s "${serve[@]}"
url="http://127.0.0.1:$fixed/?start=oldest"
nats_stream=dmacast_test_adc
publish=(--subject dmacast.test.adc "$url")

# --- the server and the publisher are killed ---
publish_start "${publish[@]}"
check "messages are stored" wait_until 20 stored_after 20
nats_kill 0
sleep 0.5
nats_start 0
check "they are again after kill -9 of the server" wait_until 30 stored_after "$(($(stored) + 20))"
publish_end KILL
publish_start "${publish[@]}"
check "and after kill -9 of the publisher" wait_until 30 stored_after "$(($(stored) + 20))"
publish_end KILL
nats_kill 0
nats_start 0
publish_start "${publish[@]}"
check "and of both" wait_until 30 stored_after "$(($(stored) + 20))"
publish_end TERM
is "the publisher ends in order" "$status" 0 || diag_file "$work/publish.log"

read_back raw
is "the stream is read without a loss" "$status" 0 || diag_file "$work/raw.log"
feed --check-file "$work/raw"
is "each byte is there, once and in order" "$status" 0 || diag "$report"
is "no block is stored twice" "$(report_of raw stats .duplicates)" 0

# --- frames, with the identity of the origin ---
read_back frames --framed
is "frames: without a loss" "$status" 0 || diag_file "$work/frames.log"
free_ports 1
ncat -l --send-only 127.0.0.1 "${ports[0]}" <"$work/frames" &
will_end $!
wait_until 10 "$BUILD/dmacastctl" cat --framed "tcp://127.0.0.1:${ports[0]}" -o "$work/unframed"
check "frames: they are right, end in order, and have the same bytes" cmp "$work/unframed" "$work/raw"

# --- a relay of what is stored, which begins again when the subscriber is killed ---
free_ports 1
edge=${ports[0]} origin=$daemon origin_log=$log
cat >"$work/tap" <<-END
	#!/bin/sh
	echo \$\$ >"$work/tap.pid"
	exec "$nats" subscribe --server "$(nats_url)" --start oldest --framed --quiet $nats_stream
END
chmod +x "$work/tap"
printf '%s\n' "[stream edge]" "input = exec:exec $work/tap" "input-format = framed" "block-size = 64K" "ring-size = 4M" \
	"hold = 1" "lag-policy = block" "listen = 127.0.0.1:$edge" "format = framed" >"$work/edge.conf"
daemon_run -c "$work/edge.conf" --control "$work/edge.control"
edge_value()
{
	"$BUILD/dmacastctl" --socket "$work/edge.control" --json streams | jq -r ".streams[0]$1"
}

# metadata_bytes FILE: of its first frame, with the header. It was made at another time than that of the origin.
metadata_bytes()
{
	echo $((64 + $(od -An -tu4 -j8 -N4 "$1")))
}

frames=$(($(stat -c %s "$work/frames") - $(metadata_bytes "$work/frames") - 64)) # without END
edge_has_all()
{
	[ "$(stat -c %s "$work/edge")" -ge $((frames + 64)) ] &&
		[ "$(stat -c %s "$work/edge")" -ge $((frames + $(metadata_bytes "$work/edge"))) ]
}

edge_is_right()
{
	cmp <(tail -c "+$(($(metadata_bytes "$work/frames") + 1))" "$work/frames" | head -c "$frames") \
		<(tail -c "+$(($(metadata_bytes "$work/edge") + 1))" "$work/edge" | head -c "$frames")
}

ncat --recv-only 127.0.0.1 "$edge" >"$work/edge" &
reader=$!
will_end $reader
check "edge: its clients get what is stored" wait_until 30 edge_has_all
tap=$(cat "$work/tap.pid")
blocks=$(edge_value .filled.blocks)
kill -9 "$tap"
edge_restarted()
{
	[ "$(cat "$work/tap.pid")" != "$tap" ] && [ "$(edge_value .source_restarts)" -ge 1 ] &&
		[ "$(edge_value .source_state)" = running ]
}
check "edge: a subscriber that was killed is started again" wait_until 30 edge_restarted
# It writes all of it again, and then what is new.
publish_start "${publish[@]}"
check "edge: new blocks follow" wait_until 30 sh -c "[ \$(stat -c %s '$work/edge') -gt $((frames + 1000000)) ]"
publish_end TERM
signal_to KILL $reader
{ wait $reader; } 2>/dev/null
is "edge: frame by frame as at the origin" "$(edge_is_right; echo $?)" 0
is "edge: no block was lost or came twice" "$(edge_value .filled.lost_blocks) $(tail -c +$(($(metadata_bytes "$work/edge") + 1)) \
	"$work/edge" | python3 -c '
import sys
data, at, sequences = sys.stdin.buffer.read(), 0, []
while at + 64 <= len(data):
    if not data[at + 6] & 8:
        sequences.append(int.from_bytes(data[at + 16:at + 24], "little"))
    at += 64 + int.from_bytes(data[at + 8:at + 12], "little")
print(sequences == list(range(sequences[0], sequences[0] + len(sequences))) and len(sequences) > int(sys.argv[1]))' "$blocks")" \
	"0 True"
daemon_stop
is "edge: exit status" "$status" 0
daemon=$origin log=$origin_log

# --- a durable consumer goes on ---
durable_start()
{
	"$nats" subscribe --server "$(nats_url)" --start durable:edge "$nats_stream" >>"$work/durable" 2>>"$work/durable.log" &
	durable=$!
	will_end $durable
}

durable_has()
{
	[ "$(stat -c %s "$work/durable")" -ge "$1" ]
}

durable_start
check "durable: all is there" wait_until 20 durable_has "$(stat -c %s "$work/raw")"
signal_to TERM $durable
wait $durable
is "durable: it ends in order" $? 0 || diag_file "$work/durable.log"
publish_start "${publish[@]}"
wait_until 30 stored_after "$(($(stored) + 20))"
durable_start
check "durable: it goes on" wait_until 20 durable_has "$(($(stat -c %s "$work/raw") + 500000))"
publish_end TERM
signal_to TERM $durable
wait $durable
is "durable: it ends in order again" $? 0 || diag_file "$work/durable.log"
feed --check-file "$work/durable"
is "durable: each byte is there, once and in order" "$status" 0 || diag "$report"

# --- the daemon is killed ---
publish_start "${publish[@]}"
wait_until 30 stored_after "$(($(stored) + 5))"
kill -9 "$daemon"
{ wait "$daemon"; } 2>/dev/null
daemon_run --feed 4M/s "${serve[@]}"
check "messages are stored after kill -9 of the daemon" wait_until 30 stored_after "$(($(stored) + 20))"
publish_end TERM
is "the publisher says that something was lost" "$status" 3
read_back again
is "the reader, too" "$status" 3
is "one loss, of unknown size" "$(report_of again end '"\(.unknown.gaps) \(.client.gaps) \(.source.gaps)"')" "1 0 0"
daemon_stop
done_testing
