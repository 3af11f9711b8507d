#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# The benchmark itself: that it measures what it says, and that its report is right about samples that were
# made up so that the result is known. How fast anything is does not matter here.

. tests/lib.sh

data=tests/bench # made up by hand
command -v /usr/bin/python3 >/dev/null || skip_all "no python3 of Debian"
[ -x "$BUILD/bench/sink" ] || skip_all "no benchmark programs: make bench-programs"

mapfile -t programs < <(grep -ls '^#!.*python3' bench/*)
mapfile -t modules < <(ls bench/*.py)
check "python3 can read all of it" /usr/bin/python3 -c '
import sys
for name in sys.argv[1:]:
    compile(open(name).read(), name, "exec")' "${programs[@]}" "${modules[@]}"
if command -v pyflakes3 >/dev/null; then
	check "pyflakes" pyflakes3 "${programs[@]}" "${modules[@]}"
else
	skip "pyflakes" "not installed"
fi

# shellcheck disable=SC2016 # that is Python
check "what a process says is whole, however often it is read meanwhile" /usr/bin/python3 -c '
import subprocess, sys
sys.path.insert(0, "bench")
from log import Log
log = Log()
child = subprocess.Popen(["sh", "-c", "i=0; while [ $i -lt 20000 ]; do echo $i; i=$((i + 1)); done"], stdout=log)
while child.poll() is None:
    log.text()
assert log.text().split() == [str(i) for i in range(20000)], log.text()[:200]'

# run ARGUMENT...: run bench/run. Sets status; its output is in $work/said.
run()
{
	status=0
	timeout 120 bench/run "$@" >"$work/said" 2>&1 || status=$?
}

# report ARGUMENT...: bench/report. Sets status; its tables are in $work/report, complaints in $work/said.
report()
{
	status=0
	timeout 120 bench/report "$@" >"$work/report" 2>"$work/said" || status=$?
}

# refused TEXT STATUS REGEX: the last program said so and failed.
refused()
{
	is "$1: exit status" "$status" "$2"
	matches "$1: says why" "$work/said" "$3"
}

# ---- bench/sink: its checks ----

# sink OPTION...: two clients of the server that runs. Sets status; its line is in $work/sink, complaints in $work/said.
sink()
{
	status=0
	timeout 60 "$BUILD/bench/sink" --connect "127.0.0.1:$port" --clients 2 --seconds 300ms \
		--warmup 0s --server-pid "$pid" "$@" >"$work/sink" 2>"$work/said" || status=$?
}

# figure KEY: of its line.
figure()
{
	tr ' ' '\n' <"$work/sink" | sed -n "s/^$1=//p"
}

# served TEXT COMMAND...: a server, and a sink that checks what it sends.
served()
{
	local text=$1

	shift
	server_start "$@"
	sink --check "${sink_options[@]}"
	ok "$status" "$text: every byte is right" || diag_file "$work/said"
	server_end
}

# server_start COMMAND...: sets pid and port.
server_start()
{
	: >"$work/server.log" # the last server's is not this one's
	"$@" --listen 127.0.0.1:0 --hold 2 --block-size 64K --ring-size 1M 2>"$work/server.log" &
	pid=$!
	will_end "$pid"
	wait_until 20 grep -q 'listening on' "$work/server.log"
	port=$(sed -n 's/.*listening on .*:\([0-9]*\)$/\1/p' "$work/server.log")
}

server_end()
{
	signal_to TERM "$pid"
	wait "$pid" 2>/dev/null
}

for form in offsets stamped resident; do
	sink_options=(--block-size 64K --pattern-form "$form")
	served "$form, dmacastd" "$BUILD/dmacastd" --pattern max --pattern-form $form --lag-policy block
	printf 'GET / HTTP/1.1\r\nHost: a\r\n\r\n' >"$work/get"
	sink_options+=(--send "$work/get")
	served "$form, dmacastd by HTTP" "$BUILD/dmacastd" --pattern max --pattern-form $form --lag-policy block --format http
	sink_options=(--block-size 64K --pattern-form "$form")
	served "$form, bareloop" "$BUILD/bench/bareloop" --pattern-form $form
	served "$form, bareloop with zero-copy" "$BUILD/bench/bareloop" --pattern-form $form --zerocopy
done
server_start "$BUILD/dmacastd" --pattern 20M/s --pattern-form stamped --lag-policy block
sink --latency --histogram "$work/histogram" "${sink_options[@]}"
ok "$status" "latency: a run" || diag_file "$work/said"
check "latency: percentiles grow, and are those of a machine" awk -v a="$(figure latency_p50)" \
	-v b="$(figure latency_p99)" -v c="$(figure latency_p999)" -v d="$(figure latency_max)" \
	'BEGIN { exit !(0 < a && a <= b && b <= c && c <= d && d < 5) }'
# Of two clients; some blocks are on their way at both ends of the time.
# shellcheck disable=SC2016 # those are awk's
check "latency: the histogram has each block" awk -v bytes="$(figure bytes)" \
	'{ blocks += $2 } END { wanted = bytes / 65536; exit !(blocks > 8 && blocks - wanted < 3 && wanted - blocks < 3) }' \
	"$work/histogram"
server_end

server_start "$BUILD/dmacastd" --pattern 20M/s --lag-policy drop
sink --stalled 1
ok "$status" "a client that never reads: a run" || diag_file "$work/said"
compare "a client that never reads: the other one receives" "$(figure min)" -gt 1000000
compare "a client that never reads: the memory is that of the ring, or more" "$(figure server_memory)" -gt 1048576
sink --stalled 2
refused "no client reads" 2 'expected fewer than the 2 clients'
server_end

# A server that connects to its clients.
free_ports 1
port=${ports[0]}
"$BUILD/bench/sink" --listen --connect "127.0.0.1:$port" --clients 1 --seconds 100ms --warmup 0s \
	>"$work/sink" 2>"$work/said" &
pid=$!
will_end "$pid"
port_listens()
{
	grep -q "$(printf ':%04X 00000000:0000 0A' "$port")" /proc/net/tcp
}
wait_until 20 port_listens
"$BUILD/bench/feed" --connect "127.0.0.1:$port"
wait "$pid"
is "a server that connects: exit status" $? 0
compare "a server that connects: data came" "$(figure bytes)" -gt 0

# A wrong byte, and a block that is missing.
"$BUILD/bench/feed" --bytes 1M >"$work/right"
{ head -c 300000 "$work/right"; printf x; tail -c +300002 "$work/right"; } >"$work/wrong"
{ head -c 128K "$work/right"; tail -c +$((192 * 1024 + 1)) "$work/right"; } >"$work/gap"
for file in right wrong gap; do
	server_start "$BUILD/dmacastd" --input "$work/$file" --lag-policy block
	sink --check --block-size 64K
	case $file in
	right) refused "a right feed, which ends" 1 'end of stream' ;;
	wrong) refused "a wrong byte" 1 'near byte 300000 of the stream: a byte within a block' ;;
	gap) refused "a missing block" 1 'a block is not the one that follows' ;;
	esac
	server_end
done

sink --latency
refused "latency without a time stamp" 2 'expected a --pattern-form with a time stamp'

# ---- time slices ----

# have_slices: those of $sink, to its end. Sets slices, their number; together, in how many the server still ran after one.
have_slices()
{
	slices=0 together=0
	while wait_until 20 process_stopped "$sink" && ! process_ended "$sink"; do
		slices=$((slices + 1))
		[ "$(process_state "$pid")" = T ] || together=$((together + 1))
		sleep 0.05 # for the others
		kill -CONT "$sink"
	done
}

process_stopped()
{
	[ "$(process_state "$1")" = T ] || process_ended "$1"
}

server_start "$BUILD/bench/bareloop"
"$BUILD/bench/sink" --connect "127.0.0.1:$port" --clients 2 --seconds 1s --warmup 100ms --server-pid "$pid" \
	--slice 20ms >"$work/sink" 2>"$work/said" &
sink=$!
will_end $sink
began=$(date +%s%N)
have_slices
wait $sink
ok $? "slices: a run" || diag_file "$work/said"
# The program gets as much of the machine as it can, and a slice ends where it can: some are longer, on a busy
# machine most of them.
compare "slices: there are enough" "$slices" -ge 8
compare "... and no more" "$slices" -le 56
is "slices: with each the server stops, too" "$together" 0
is "slices: ... and with the last one" "$(process_state "$pid")" T
check "slices: the time of others is not counted: $(figure seconds) s" awk -v told="$(figure seconds)" \
	-v all=$((($(date +%s%N) - began) / 1000000)) -v others=$((slices * 50)) \
	'BEGIN { exit !(told >= 1 && told * 1000 <= all - others) }'
check "slices: nor is CPU time: $(figure server_cpu) s" awk -v cpu="$(figure server_cpu)" -v told="$(figure seconds)" \
	'BEGIN { exit !(cpu > 0.01 && cpu <= told * 1.1) }'
kill -CONT "$pid"
server_end

server_start "$BUILD/bench/bareloop"
sink --slice 20ms --latency
refused "slices and latency" 2 'expected no --latency'
status=0
"$BUILD/bench/sink" --connect "127.0.0.1:$port" --slice 20ms >"$work/said" 2>&1 || status=$?
refused "slices without a server" 2 'expected --server-pid, too'
server_end

# ---- CPU time of ksoftirqd ----

# Sum over all CPUs, in seconds.
ksoftirqd_cpu()
{
	local pid

	for pid in $(pgrep -x 'ksoftirqd/[0-9]*'); do
		cat "/proc/$pid/schedstat"
	done | awk '{ sum += $1 } END { printf "%.6f\n", sum / 1e9 }'
}

server_start "$BUILD/bench/bareloop" --zerocopy
before=$(ksoftirqd_cpu)
sink --clients 100 --seconds 1s
used=$(awk -v a="$before" -v b="$(ksoftirqd_cpu)" 'BEGIN { print b - a }')
server_end
# That of the start is not counted. Where it has nothing to do there is nothing to see.
check "CPU time of ksoftirqd: $(figure softirq_cpu) of $used s" awk -v used="$used" -v told="$(figure softirq_cpu)" \
	'BEGIN { exit !(told != "" && told <= used + 0.01 && (used < 0.005 || told > used / 5)) }'

# ---- bench/run: arguments ----

run
refused "no directory" 2 'required: directory'
run "$work/out" --modes zerocopy,fast
refused "a mode that is none" 2 "'fast': expected some of zerocopy,copy,auto"
run "$work/out" --blocks 64K,many
refused "a size that is none" 2 'many: expected a size such as 256K'
run "$work/out" --seconds 3
refused "a duration without a unit" 2 "'3': expected a duration such as 400ms"
run "$work/out" --clients 0
refused "no clients" 2 "'0': expected a number from 1"
run "$work/out" --blocks 24K
refused "blocks that do not fill the ring" 2 'expected a multiple of each block, such as 24576'
BUILD=$work/empty run "$work/out" --parts matrix --transports loopback
refused "nothing is built" 1 'dmacastd: make bench-programs builds it'
check "and nothing was written" test ! -e "$work/out/samples.csv"

# ---- bench/run: the plan ----

run "$work/out" --plan --parts matrix --transports loopback --pages small --clients 2 --blocks 64K \
	--rounds 3 --seconds 1s --warmup 1s
is "a plan: exit status" "$status" 0
matches "a plan: as many measurements as servers and rounds" "$work/said" \
	'^matrix: 1 cells, 12 measurements of 1 s in slices of 25 ms after 1 s and more: about 0:2[4-9] min'
run "$work/out" --plan --parts matrix --transports null --pages small --clients 8 --blocks 64K,1M --rounds 1
matches "a bare loop beside the daemon in each cell, for each mode" "$work/said" \
	'matrix: 2 cells, 8 measurements'
run "$work/out" --plan --quick
matches "the quick plan takes less than two minutes" "$work/said" '^2 rounds: about 1:'
run "$work/out" --plan
matches "the whole plan takes less than 20 minutes" "$work/said" '^6 rounds: about 1[0-9]:'
run "$work/out" --plan --parts fed
matches "programs with a feed: less than eight minutes" "$work/said" '^6 rounds: about [4-7]:'
check "and nothing was written by plans" test ! -e "$work/out/samples.csv"

# ---- bench/run: a small run ----

tiny=(--parts matrix --pages small --clients 2 --blocks 64K --rounds 2 --seconds 400ms --warmup 10ms --tries 1)

# column NAME CONDITION...: of samples.csv, the values in rows for which all of NAME=VALUE hold.
column()
{
	/usr/bin/python3 -c '
import csv, sys
rows = csv.DictReader(line for line in open(sys.argv[1]) if line[0] != "#")
wanted = [word.split("=", 1) for word in sys.argv[3:]]
for row in rows:
    if all(row[key] == value for key, value in wanted):
        print(row[sys.argv[2]])' "$work/out/samples.csv" "$@"
}

# sane TRANSPORT GROUPS
sane()
{
	is "$1: the servers of the first round, in order" \
		"$(paste -sd ' ' <(paste -d : <(column server transport="$1" round=1) \
			<(column mode transport="$1" round=1)))" \
		"bareloop:zerocopy dmacastd:zerocopy bareloop:copy dmacastd:copy"
	is "$1: another one is first in the second round" \
		"$(column server transport="$1" round=2 | sed -n 1p)" dmacastd
	is "$1: in the first round they are measured at the same time" \
		"$(column at transport="$1" round=1 | sort -u | wc -l)" "$2"
	is "$1: each has two clients" "$(column clients transport="$1" | sort -u)" 2
	is "$1: and the blocks that were asked for" "$(column block transport="$1" | sort -u)" 65536
	is "$1: servers say what their ring is in" "$(column memory transport="$1" | sort -u)" \
		"memfd, 4 KiB pages"
	is "$1: the duration is about right" \
		"$(column seconds transport="$1" | awk '$1 < 0.4 || $1 > 4' | wc -l)" 0
	is "$1: data came" "$(column bytes transport="$1" | awk '$1 < 1000000' | wc -l)" 0
	is "$1: CPU time of the server is there, of no more than one CPU" \
		"$(paste <(column server_cpu transport="$1") <(column seconds transport="$1") |
			awk '$1 <= 0.001 || $1 > $2 * 1.2' | wc -l)" 0
	is "$1: and of the clients" \
		"$(paste <(column client_cpu transport="$1") <(column seconds transport="$1") |
			awk '$1 <= 0.0001 || $1 > $2 * 1.2' | wc -l)" 0
}

transports=loopback
reason=
[ "$(id -u)" -eq 0 ] || reason="not root"
[ -x "$BUILD/bench/nullpeer" ] || reason="bench/nullpeer is not built"
[ -n "$reason" ] || transports=loopback,null
run "$work/out" "${tiny[@]}" --transports $transports
ok "$status" "a small run" || diag_file "$work/said"
sane loopback 2
is "loopback: each client has its share" "$(column client_min transport=loopback | awk '$1 < 1000' | wc -l)" 0
if [ -z "$reason" ]; then
	sane null 1
else
	skip "null" "$reason"
fi
matches "the environment: the kernel" "$work/out/environment.txt" "^kernel: Linux $(uname -r) "
setting=/proc/sys/net/ipv4/tcp_congestion_control
own=$(bench/nullnet cat $setting 2>/dev/null || cat $setting)
matches "the environment: congestion control" "$work/out/environment.txt" "^congestion control, loopback: $own$"
report --no-figures "$work/out"
ok "$status" "the report takes it" || diag_file "$work/said"

run "$work/out" "${tiny[@]}" --transports loopback --rounds 1 --slice 0ms
ok "$status" "without slices: a run" || diag_file "$work/said"
is "without slices: all are measured, one after the other" "$(column at | sort -u | wc -l)" 4

run "$work/out" --parts peers --transports loopback --clients 2 --rounds 1 --warmup 10ms --tries 1
ok "$status" "other programs: a run" || diag_file "$work/said"
is "other programs: one process is measured at the same time as the daemon" \
	"$(column at server=ncat)" "$(column at server=dmacastd mode=input)"
check "other programs: several processes are not" \
	test "$(column at server=socat)" != "$(column at server=dmacastd mode=input)"
is "other programs: CPU time is there, of socat of all its processes" \
	"$(paste <(column server_cpu) <(column seconds) | awk '$1 <= 0.001 || $1 > $2 * 1.2' | wc -l)" 0

run "$work/out" "${tiny[@]}" --transports loopback --least 100
refused "not as fast as wanted" 1 'loopback, 2 clients, 64K, copy: [0-9.]+ of the bare loop'

run "$work/out" --parts latency --blocks 64K --modes copy --rounds 1 --seconds 400ms --warmup 10ms --tries 1
ok "$status" "latency: a run" || diag_file "$work/said"
is "latency: of blocks, in order" "$(paste -d ' ' <(column latency_p50) <(column latency_p99) \
	<(column latency_p999) <(column latency_max) |
	awk '0 < $1 && $1 <= $2 && $2 <= $3 && $3 <= $4 && $4 < 10' | wc -l)" 2

# A run that is broken off leaves whole rows, and no server.
bench/run "$work/broken-off" "${tiny[@]}" --transports loopback --rounds 500 2>"$work/said" &
runner=$!
will_end "$runner"
enough_rows()
{
	[ "$(grep -c , "$work/broken-off/samples.csv")" -gt 3 ]
}
wait_until 30 enough_rows
kill -TERM $runner
wait $runner
is "broken off: exit status" $? 130
matches "broken off: says so" "$work/said" 'interrupted'
is "broken off: whole rows" "$(awk -F, '!/^#/ { print NF - /,"/ }' "$work/broken-off/samples.csv" | sort -u | wc -l)" 1
# The end of a process takes its time on a busy machine.
no_server_is_left()
{
	! pgrep -f "^$BUILD/(dmacastd|bench/bareloop) .*--hold 2 " >/dev/null
}
check "broken off: no server is left" wait_until 30 no_server_is_left

# ---- bench/run: servers that are not as they should be ----

# fake TEXT: a bare loop that says so.
mkdir -p "$work/fake/bench"
fake()
{
	printf '#!/bin/sh\necho "%s" >&2\necho "listening on 127.0.0.1:9" >&2\nexec sleep 60\n' "$1" \
		>"$work/fake/bench/bareloop"
	chmod +x "$work/fake/bench/bareloop"
}
for program in dmacastd bench/sink; do
	ln -s "$(realpath "$BUILD/$program")" "$work/fake/$program"
done
huge=("${tiny[@]}" --pages huge --transports loopback)
fake "memfd, 4 KiB pages"
BUILD=$work/fake run "$work/out" "${huge[@]}"
refused "no huge pages" 1 'is in "memfd, 4 KiB pages"; to fix it, use'
matches "no huge pages: how to get them" "$work/said" 'madvise >/sys/kernel/mm/transparent_hugepage/enabled'
fake "anonymous, 4 KiB pages, 14 MiB of it in transparent huge pages"
BUILD=$work/fake run "$work/out" "${huge[@]}"
refused "not all of it in huge pages" 1 '14 MiB of it in transparent huge pages"; to fix it, use'
fake "anonymous, 4 KiB pages, 16 MiB of it in transparent huge pages"
BUILD=$work/fake run "$work/out" "${huge[@]}" --rounds 1
refused "huge pages, but no clients" 1 'bareloop:copy: .*the clients failed'
printf '#!/bin/sh\necho "no memory today" >&2\nexit 3\n' >"$work/fake/bench/bareloop"
BUILD=$work/fake run "$work/out" "${tiny[@]}" --transports loopback --rounds 1
refused "a server that does not start" 1 'no memory today'
is "a server that does not start: the others are measured" "$(column server | sort | uniq -c | xargs)" \
	"2 dmacastd"

# ---- bench/report: known samples ----

# section NAME: of the report.
section()
{
	awk -v name="## $1" '/^## / { inside = ($0 == name) } inside' "$work/report"
}

# row TEXT SECTION ROW: the section has exactly this row.
row()
{
	local status=0

	section "$2" | grep -Fxq -- "$3" || status=1
	ok "$status" "$1" || {
		diag "section $2 has no row: $3"
		section "$2" >"$work/section"
		diag_file "$work/section"
	}
}

report --no-figures $data
ok "$status" "known samples: a report" || diag_file "$work/said"
row "a ratio is the median of the rounds' ratios, not the ratio of medians" loopback \
	"| 8 | 256K | 7.20 | 8.00 | 0.94 (0.90-0.99) | 4.00 | 4.00 | 1.00 (1.00-1.00) |"
row "CPU time: the server's, and with the null peer's; zero-copy beside copying" null \
	"| 1 | 64K | 100 (150) | 83 (133) | 1.08 (1.05-1.20) | 125 (175) | 125 (175) | 1.00 (1.00-1.00) | 1.25 (1.25-1.25) |"
row "a target that is missed, and where" targets \
	"| throughput to the bare loop, loopback, zero-copy, blocks of 256 KiB and more | >= 0.95 | **no** | 3 of 4 | 0 | 0.99 (0.98-1.02) | 0.94 (0.90-0.99) | loopback, 8 clients, 256K, zerocopy |"
row "copying is told apart" targets \
	"| throughput to the bare loop, loopback, copying, blocks of 256 KiB and more | >= 0.95 | yes | 4 of 4 | 0 | 1.00 (1.00-1.00) | 1.00 (1.00-1.00) | loopback, 1 client, 256K, copy |"
row "the CPU time of the server" targets \
	"| CPU per GB to the bare loop, loopback, zero-copy, blocks of 64 KiB | <= 1.1 | yes | 2 of 2 | 0 | 1.00 (1.00-1.00) | 1.00 (1.00-1.00) | loopback, 1 client, 64K, zerocopy |"
row "and with that of the clients and of ksoftirqd" targets \
	"| the same, server, clients and ksoftirqd together, blocks of 64 KiB | <= 1.1 | yes | 2 of 2 | 0 | 1.02 (1.00-1.07) | 1.06 (1.04-1.07) | loopback, 8 clients, 64K, zerocopy |"
row "a target that is met, but not everywhere as well" targets \
	"| CPU per GB to the bare loop, null, blocks of 64 KiB | <= 1.1 | yes | 4 of 4 | 0 | 1.00 (1.00-1.05) | 1.08 (1.05-1.20) | null, 1 client, 64K, zerocopy |"
row "what zero-copy saves: huge pages are judged" targets \
	"| CPU per GB, copying to zero-copy, null, huge pages, 1M | >= 2.2 | yes | 2 of 2 | 0 | 3.12 (3.12-3.12) | 3.12 (3.12-3.12) | null, 1 client, 1M, huge pages |"
row "what zero-copy saves: pages of 4 KiB are shown" null \
	"| 1 | 1M | 100 (150) | 100 (150) | 1.00 (1.00-1.00) | 250 (300) | 250 (300) | 1.00 (1.00-1.00) | 2.50 (2.50-2.50) |"
row "flat over the number of clients" targets \
	"| CPU per client-GB to the mean of all numbers of clients, null | 1 +- 0.15 | yes | 20 of 20 | 0 |  | 0.90 (0.90-0.90) | null, 1 client, 256K, huge pages, copy |"
row "other programs are beside the daemon with their feed" targets \
	"| throughput to ncat --broker | >= 3 | yes | 1 of 1 | 0 | 4.00 (4.00-4.00) | 4.00 (4.00-4.00) | loopback, 8 clients, 256K, ncat |"
row "and those without a feed beside the daemon without one" targets \
	"| throughput to each other peer | >= 1 | yes | 1 of 1 | 0 | 1.40 (1.40-1.40) | 1.40 (1.40-1.40) | loopback, 8 clients, 256K, nginx |"
row "frames beside the raw bytes" targets \
	"| CPU per GB framed to raw, blocks of 256 KiB | <= 1.03 | yes | 1 of 1 | 0 | 1.02 (1.01-1.03) | 1.02 (1.01-1.03) | loopback, 8 clients, 256K, copy |"
row "HTTP beside the raw bytes" targets \
	"| CPU per GB HTTP to raw, blocks of 256 KiB | <= 1.03 | yes | 1 of 1 | 0 | 1.00 (0.99-1.01) | 1.00 (0.99-1.01) | loopback, 8 clients, 256K, copy |"
row "... and a row for each cell" formats \
	"| loopback | 8 | 256K | ring in 4 KiB pages | copy | framed | 102 (152) | 100 (150) | 1.02 (1.01-1.03) | 1.00 (1.00-1.00) |"
row "... and format" formats \
	"| loopback | 8 | 256K | ring in 4 KiB pages | copy | http | 100 (150) | 100 (150) | 1.00 (0.99-1.01) | 1.00 (1.00-1.00) |"
row "latency" targets \
	"| 99th percentile of latency to the bare loop, 8 clients | <= 1.2 | yes | 2 of 2 | 0 | 1.15 (1.10-1.30) | 1.15 (1.10-1.30) | loopback, 8 clients, 64K, copy |"
row "memory" targets \
	"| user memory of a client, 10000 clients | < 4096 bytes | yes | 1 of 1 |  |  | 819 bytes |  |"
row "two that are the same" noise \
	"| null | 123 | 3 | copy 1.00 (0.97-1.02) | copy 1.00 (1.00-1.00) | 75%, 75% | 0.00, 0.10 | 3 | 0 |"
row "the environment" environment "| CPU | made up, 2 of 2 CPUs |"

mkdir "$work/always"
cp $data/* "$work/always"
grep -Ev '^matrix,3,[^,]*,loopback,small,8,262144,.*,zerocopy,' $data/samples.csv >"$work/always/samples.csv"
report --no-figures "$work/always"
row "one that is missed in every round" targets \
	"| throughput to the bare loop, loopback, zero-copy, blocks of 256 KiB and more | >= 0.95 | **no** | 3 of 4 | 1 | 1.00 (0.98-1.02) | 0.92 (0.90-0.94) | loopback, 8 clients, 256K, zerocopy |"

report --no-figures --check $data
refused "a missed target with --check" 1 'not all targets are met'
mkdir "$work/met" "$work/half"
cp $data/* "$work/met"
grep -v ',loopback,small,8,262144,.*,dmacastd,zerocopy,' $data/samples.csv >"$work/met/samples.csv"
report --no-figures --check "$work/met"
ok "$status" "without that cell all are met" || diag_file "$work/said"
rm "$work/met/memory.csv"
report --no-figures --check "$work/met"
refused "a target that was not measured is not met" 1 'not all targets are met'
row "and the report says so" targets "| user memory of a client, 10000 clients | < 4096 bytes | not measured |  |  |  |  |  |"

cut -d , -f 1-20 $data/samples.csv >"$work/half/samples.csv"
report --no-figures "$work/half"
refused "no samples" 1 'no samples: there is no column'
sed 's/,0.5,/,soon,/' $data/samples.csv >"$work/half/samples.csv"
report --no-figures "$work/half"
refused "a number that is none" 1 "sample 1: seconds is 'soon', expected float"
report --no-figures "$work/nowhere"
refused "no directory" 1 'nowhere/samples.csv: No such file'

# ---- bench/report: programs with a feed ----

# fed_sample ROUND CLIENTS FEED SERVER MODE BYTES CPU STALLED MEMORY: a row, of half a second.
fed_sample()
{
	echo "fed,$1,0,loopback,small,$2,262144,16777216,$3,resident,$4,$5,,0.5,$6,$(($6 * 2 / $2)),0,0,$7,0,0,0,0,1,0,0,0,0,0,$8,$9"
}

mkdir "$work/fed"
cp $data/environment.txt "$work/fed"
{
	sed -n '2s/$/,stalled,server_memory/p' $data/samples.csv
	for round in 1 2; do
		fed_sample $round 1 max dmacastd input 1000000000 0.2 0 0
		fed_sample $round 1 max zeromq "" 800000000 0.24 0 0
		fed_sample $round 8 100M/s dmacastd input 400000000 0.04 1 20971520
		fed_sample $round 8 100M/s mbuffer "" 0 0.01 1 22020096
	done
} >"$work/fed/samples.csv"
report --no-figures "$work/fed"
ok "$status" "programs with a feed: a report" || diag_file "$work/said"
row "programs with a feed: CPU per GB beside the daemon's" fed \
	"| max | 1 | zeromq | 1.60 | 1600 (1600-1600) | 300 | 1.50 (1.50-1.50) |"
row "programs with a feed: the target" fed \
	"| CPU per GB of each program to dmacastd, 1 client | >= 1.3 | yes | 1 of 1 | 0 | 1.50 (1.50-1.50) | 1.50 (1.50-1.50) | loopback, 1 client, 256K, max, zeromq |"
row "programs with a feed: the memory with a stalled client" fed \
	"| 100M/s | 8 | dmacastd | 0.80 | 100 (100-100) | 100 |  | 20 (20-20) |"
row "programs with a feed: a program that stops for all" fed \
	"| 100M/s | 8 | mbuffer | 0.00 | 0 (0-0) |  |  | 21 (21-21) |"
printf 'before\n<!-- bench/report: %s -->\nold\n<!-- bench/report: end of %s -->\n' memory memory fed fed >"$work/page.md"
report --no-figures "$work/fed" --into "$work/page.md"
is "programs with a feed: other sections stay as they are" "$(grep -c '^old$' "$work/page.md")" 1
matches "programs with a feed: and this one is written" "$work/page.md" '^\| max \| 1 \| zeromq '

# ---- bench/report --into ----

cat >"$work/page.md" <<-END
	before
	<!-- bench/report: memory -->
	old
	<!-- bench/report: end of memory -->
	between
	<!-- bench/report: latency -->
	<!-- bench/report: end of latency -->
	after
END
report --no-figures $data --into "$work/page.md"
ok "$status" "--into" || diag_file "$work/said"
is "--into: prose stays where it is" "$(grep -nE '^(before|between|after)$' "$work/page.md" | cut -d : -f 2 | xargs)" \
	"before between after"
is "--into: what was between marks does not" "$(grep -c '^old$' "$work/page.md")" 0
matches "--into: a table is" "$work/page.md" '^\| 10000 \| 9000 \| 11000 \| 819 \|$'
cp "$work/page.md" "$work/page.before"
report --no-figures $data --into "$work/page.md"
check "--into: twice gives the same" cmp "$work/page.md" "$work/page.before"
sed 's/memory/memories/' "$work/page.before" >"$work/page.md"
report --no-figures $data --into "$work/page.md"
refused "--into: a section that is none" 1 'no section memories'
sed '/end of memory/d' "$work/page.before" >"$work/page.md"
report --no-figures $data --into "$work/page.md"
refused "--into: a section without an end" 1 'section memory has no end'
echo nothing >"$work/page.md"
report --no-figures $data --into "$work/page.md"
refused "--into: no marks" 1 'nowhere to put a section'
cp bench/RESULTS.md "$work/page.md"
report --no-figures $data --into "$work/page.md"
ok "$status" "--into: the page of the tree has marks" || diag_file "$work/said"

# ---- hops ----

if [ -x "$BUILD/dmacast-nats" ] && command -v nats-server >/dev/null; then
	status=0
	BUILD=$BUILD timeout 120 bench/hops --rounds 1 --seconds 0.5 --rate 20M/s --clients 2 --chains 0,2,nats \
		>"$work/hops" 2>"$work/said" || status=$?
	ok "$status" "hops: it measures relays and NATS" || diag_file "$work/said"
	is "hops: the programs of each chain" "$(sed -nE 's/^\| (.*) \| ([a-z].*) \| [1-9][0-9]* \(.*/\1: \2/p' "$work/hops" | paste -sd,)" \
		"0: origin,2: origin,2: relay 1,2: relay 2,nats: nats-server,nats: origin,nats: publisher,nats: subscriber and edge"
	is "hops: a latency and a rate for each" "$(grep -cE '^\| (0 relays|2 relays|NATS JetStream)( \| [1-9][0-9]* \([0-9-]+\)){4} \|$' "$work/hops")" 3
else
	skip "hops" "dmacast-nats or nats-server is not there"
fi
status=0
bench/hops --chains 0,7 >"$work/said" 2>&1 || status=$?
is "hops: a chain that is not known" "$status $(grep -c 'expected some of 0,1,2,3,nats' "$work/said")" "2 1"

# ---- figures ----

if /usr/bin/python3 -c 'import matplotlib' 2>/dev/null; then
	mkdir "$work/figures"
	cp $data/* "$work/figures"
	cp bench/RESULTS.md "$work/figures/page.md"
	report "$work/figures" --into "$work/figures/page.md"
	ok "$status" "figures" || diag_file "$work/said"
	is "figures: all of them" "$(cd "$work/figures" && echo *.svg)" \
		"gain.svg latency.svg loopback.svg null.svg peers.svg"
	check "figures: each is XML" /usr/bin/python3 -c '
import sys, xml.dom.minidom
for name in sys.argv[1:]:
    xml.dom.minidom.parse(name)' "$work"/figures/*.svg
	is "figures: each has a licence" "$(head -qn 3 "$work"/figures/*.svg | grep -c SPDX)" 5
	matches "figures: the page shows them" "$work/figures/page.md" '^!\[.*\]\(\./null\.svg\)$'
	cat "$work"/figures/*.svg >"$work/first"
	report "$work/figures"
	cat "$work"/figures/*.svg >"$work/second"
	check "figures: the same samples give the same" cmp "$work/first" "$work/second"
else
	skip "figures" "python3-matplotlib is not installed"
fi

done_testing
