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
