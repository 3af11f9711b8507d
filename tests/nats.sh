# shellcheck shell=bash
# SPDX-License-Identifier: BSD-2-Clause
#
# For tests with NATS, after tests/lib.sh: servers of one or three, publishers and subscribers.

nats=$BUILD/dmacast-nats
work=${work:?}
nats_stream=
nats_ports=()   # of the servers for clients
nats_cluster=() # and for each other; empty: a single one
nats_pid=()
nats_login=() # options with which all programs log in

# nats_config N [LINE]...: write the configuration of a server, with these lines, too. Its store is below $work.
nats_config()
{
	local route routes=

	cat >"$work/nats.$1.conf" <<-END
		server_name: n$1
		listen: 127.0.0.1:${nats_ports[$1]}
		jetstream: { store_dir: "$work/nats.$1", max_memory_store: 1GB, max_file_store: 20GB }
	END
	[ $# -eq 1 ] || printf '%s\n' "${@:2}" >>"$work/nats.$1.conf"
	[ ${#nats_cluster[@]} -gt 0 ] || return 0
	for route in "${nats_cluster[@]}"; do
		routes+="nats://127.0.0.1:$route "
	done
	echo "cluster: { name: c, listen: 127.0.0.1:${nats_cluster[$1]}, routes: [ ${routes// /, } ] }" >>"$work/nats.$1.conf"
}

# nats_start N [LINE]...: start a server, with the memory that Go may use. LINE as in nats_config
nats_start()
{
	nats_config "$@"
	GOMEMLIMIT=1GiB nats-server -c "$work/nats.$1.conf" >>"$work/nats.$1.log" 2>&1 &
	nats_pid[$1]=$!
	will_end "${nats_pid[$1]}"
}

# nats_kill N: end it without any warning.
nats_kill()
{
	signal_to KILL "${nats_pid[$1]}"
	{ wait "${nats_pid[$1]}"; } 2>/dev/null
}

# nats_url: print the servers for --server.
nats_url()
{
	local port list=

	for port in "${nats_ports[@]}"; do
		list+=${list:+,}nats://127.0.0.1:$port
	done
	echo "$list"
}

# publish_start ARGUMENT...: start a publisher. Sets publisher.
publish_start()
{
	"$nats" publish --server "$(nats_url)" "${nats_login[@]}" --json="$work/publish.json" "$@" 2>>"$work/publish.log" &
	publisher=$!
	will_end $publisher
}

# publish_end SIGNAL: end it. Sets status.
publish_end()
{
	signal_to "$1" "$publisher"
	{ wait "$publisher"; } 2>/dev/null
	status=$?
}

# stored: print the sequence of the last message of $nats_stream; nothing while it cannot be read.
stored()
{
	timeout 10 "$nats" subscribe --server "$(nats_url)" "${nats_login[@]}" --check "$nats_stream" 2>/dev/null |
		sed -n 's/^messages: [0-9]* to \([0-9]*\),.*/\1/p'
}

# stored_after NUMBER: succeed if there are more messages.
stored_after()
{
	local last

	last=$(stored)
	[ "${last:-0}" -gt "$1" ]
}

# read_back NAME ARGUMENT...: read the stream from the oldest message to the last one, into $work/NAME and
# $work/NAME.json. Sets status.
read_back()
{
	local name=$1 pid bytes=-1 now

	shift
	: >"$work/$name"
	"$nats" subscribe --server "$(nats_url)" "${nats_login[@]}" --start oldest --json="$work/$name.json" "$@" "$nats_stream" \
		>"$work/$name" 2>"$work/$name.log" &
	pid=$!
	will_end $pid
	# Until nothing comes any more: the publisher has ended.
	while now=$(stat -c %s "$work/$name"); [ "$now" -eq 0 ] || [ "$now" != "$bytes" ]; do
		bytes=$now
		sleep 1
		kill -0 $pid 2>/dev/null || break
	done
	signal_to TERM $pid
	{ wait $pid; } 2>/dev/null
	status=$?
}

# report_of NAME JQ: print a value of the last report of read_back.
report_of()
{
	jq -r "select(.event == \"$2\") | $3" "$work/$1.json" | tail -n 1
}
