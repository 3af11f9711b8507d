#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# The tools that people use as clients.

. tests/lib.sh

"$BUILD/tests/feedclient" --generate 30M >"$work/pattern"
daemon_input=$work/pattern

# receive NAME COMMAND...: run a client with standard_input, whose output is kept.
standard_input=/dev/null
receive()
{
	local name=$1

	shift
	"$@" >"$work/$name" 2>"$work/$name.err" <"$standard_input" &
	will_end $!
	receivers+=("$!")
	names+=("$name")
}

clients=0
for tool in nc socat ncat; do
	command -v "$tool" >/dev/null && clients=$((clients + 1))
done
[ "$clients" -gt 0 ] || skip_all "neither nc nor socat here"

receivers=()
names=()
daemon_run --input - --hold $((clients + 2)) --lag-policy block --zerocopy always \
	--listen 127.0.0.1:0
command -v nc >/dev/null && receive nc nc -d 127.0.0.1 "$port"
command -v socat >/dev/null && receive socat socat -u "TCP:127.0.0.1:$port" -
command -v ncat >/dev/null && receive ncat ncat --recv-only 127.0.0.1 "$port"
receive bash bash -c "cat <'/dev/tcp/127.0.0.1/$port'"
# It half-closes when the feed has begun: clients that have done so before do not count for hold at once.
mkfifo "$work/silence"
exec {silence}<>"$work/silence"
standard_input=$work/silence
receive half-closed bash -c "exec $silence>&-; exec nc -N 127.0.0.1 $port"
standard_input=/dev/null
wait_until 20 test -s "$work/half-closed"
exec {silence}>&-
for pid in "${receivers[@]}"; do
	wait "$pid"
done
daemon_wait 20
is "exit status" "$status" 0
for name in "${names[@]}"; do
	check "$name has the whole file" cmp "$work/$name" "$work/pattern"
done

done_testing
