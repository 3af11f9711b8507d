#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# dmacast-nats with a cluster of three servers under load: kill -9 of a server (leader or not), the publisher or the
# daemon, at random, for DMACAST_TEST_MINUTES and until DMACAST_TEST_GB are stored. Then the stream has each block once
# and in order, or gaps of the size that is marked. It keeps DMACAST_TEST_KEEP of them.

. tests/lib.sh
. tests/nats.sh

command -v nats-server >/dev/null || skip_all "nats-server is not installed"
[ -x "$nats" ] || skip_all "dmacast-nats is not built: libnats-dev is not installed"
command -v jq >/dev/null || skip_all "jq is not installed"

minutes=${DMACAST_TEST_MINUTES:-3}
gigabytes=${DMACAST_TEST_GB:-0}
keep=${DMACAST_TEST_KEEP:-4G}
rate=${DMACAST_TEST_RATE:-4M}
seed=${DMACAST_TEST_SEED:-$RANDOM}
RANDOM=$seed
diag "seed $seed"

free_ports 7
nats_ports=("${ports[@]:0:3}")
nats_cluster=("${ports[@]:3:3}")
fixed=${ports[6]}
for server in 0 1 2; do
	nats_start $server
done
serve=(--lag-policy block --format http --block-size 64K --ring-size 192M --retain 160M --listen "127.0.0.1:$fixed")
daemon_run --feed "$rate/s" "${serve[@]}"
nats_stream=dmacast_test_adc
publish=(--subject dmacast.test.adc --replicas 3 --max-bytes "$keep" --max-pending 8M
	"http://127.0.0.1:$fixed/?start=oldest")
publish_start "${publish[@]}"
check "messages are stored" wait_until 60 stored_after 20

daemon_kills=0
kills=0

# kill_one CHOICES: kill a server, or with 7 choices the publisher, with 8 the daemon; and start it again.
kill_one()
{
	local victim=$((RANDOM % 3))

	case $((RANDOM % $1)) in
	[0-4])
		nats_kill $victim
		sleep "0.$((RANDOM % 10))"
		nats_start $victim
		;;
	5 | 6)
		publish_end KILL
		publish_start "${publish[@]}"
		;;
	7)
		signal_to KILL "$daemon"
		{ wait "$daemon"; } 2>/dev/null
		daemon_run --feed "$rate/s" "${serve[@]}"
		daemon_kills=$((daemon_kills + 1))
		;;
	esac
	kills=$((kills + 1))
}

# kill_for SECONDS BYTES CHOICES: kill something again and again, each time after messages are stored again.
kill_for()
{
	local end=$((SECONDS + $1)) before

	while [ $SECONDS -lt $end ] || [ "$(($(stored) * 65536))" -lt "$2" ]; do
		before=$(stored)
		kill_one "$3"
		wait_until 90 stored_after "$((${before:-0} + 20))" && continue
		ok 1 "messages are stored after kill $kills"
		diag_file "$work/publish.log"
		return
	done
}

# judge NAME: read the stream, and judge what it has.
judge()
{
	publish_end TERM
	is "$1: the publisher ends in order" "$((status == 0 || status == 3))" 1 || diag_file "$work/publish.log"
	diag "$kills kills, $daemon_kills of the daemon; $(stored) messages"
	diag "$(report_of publish stats 'tojson')"
	read_back raw
	diag "$(report_of raw end 'tojson')"
	is "$1: no block is stored twice" "$(report_of raw stats .duplicates)" 0
	is "$1: each message is ours" "$(report_of raw stats .foreign)" 0
	compare "$1: what is lost is unknown only where the daemon was killed" \
		"$(report_of raw end .unknown.gaps)" -le "$daemon_kills"
}

kill_for $((minutes * 30)) $((gigabytes << 29)) 7
judge "servers and publisher"
feed --check-file "$work/raw" --allow-gaps --block-size 64K --block-gaps
is "servers and publisher: each byte is there, once and in order" "$status" 0 || diag "$report"
is "servers and publisher: what is missing by the pattern is what is marked" "$(field gap_bytes)" \
	"$(report_of raw end .client.bytes)"
publish_start "${publish[@]}"
kill_for $((minutes * 30)) $((gigabytes << 30)) 8
judge "the daemon, too"
daemon_stop
done_testing
