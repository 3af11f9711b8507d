#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# An origin, two relays and 50 clients that move between the relays, for DMACAST_TEST_MINUTES (3): all of them are killed
# and restarted at random. Each client has every byte once, or knows exactly what it lost.

. tests/lib.sh

command -v python3 >/dev/null || skip_all "python3 is not installed"
command -v jq >/dev/null || skip_all "jq is not installed"
minutes=${DMACAST_TEST_MINUTES:-3}
clients=${DMACAST_TEST_CLIENTS:-50}
RANDOM=${DMACAST_TEST_SEED:-$$}
diag "DMACAST_TEST_SEED=${DMACAST_TEST_SEED:-$$}"
ctl=$BUILD/dmacastctl
free_ports 3
declare -A at=([origin]=${ports[0]} [a]=${ports[1]} [b]=${ports[2]})
declare -A process kills=([origin]=0 [a]=0 [b]=0 [client]=0)

# write_config NAME LINE...
write_config()
{
	local name=$1

	shift
	printf '%s\n' "[daemon]" "control = $work/$name" "drain-timeout = 300ms" "[stream main]" "ring-size = 8M" \
		"block-size = 4K" "huge-pages = never" "max-clients-per-address = 999" \
		"listen = 127.0.0.1:${at[$name]}" "format = http" "$@" >"$work/$name.conf"
}

# run NAME: start a daemon, or start it again.
run()
{
	daemon_run -c "$work/$1.conf"
	process[$1]=$daemon
	log_of[$1]=$log
}

# stop NAME SIGNAL
declare -A log_of
stop()
{
	{
		signal_to "$2" "${process[$1]}"
		wait "${process[$1]}"
	} 2>/dev/null
	kills[$1]=$((kills[$1] + 1))
	grep -Eq 'please report|not complete|Assertion|ERROR: |runtime error' "${log_of[$1]}" && cat "${log_of[$1]}" >>"$work/alarms"
}

# The client NUMBER, for the first time or again. What its check says is in $work/NUMBER.RUN.result.
declare -a run_of client_process
client_begin()
{
	local name urls=("http://127.0.0.1:${at[a]}/" "http://127.0.0.1:${at[b]}/")

	run_of[$1]=$((${run_of[$1]:-0} + 1))
	name=$work/$1.${run_of[$1]}
	[ $(($1 % 2)) -eq 0 ] || urls=("${urls[1]}" "${urls[0]}")
	: >"$name.json"
	"$ctl" cat --json="$name.json" --reconnect "${urls[@]}" 2>"$name.text" \
		> >(tests/relaycheck --json "$name.json" --killed "$name.killed" >"$name.part" 2>&1
			echo "exit=$?" >>"$name.part" && mv "$name.part" "$name.result") &
	client_process[$1]=$!
	will_end $!
}

client_kill()
{
	: >"$work/$1.${run_of[$1]}.killed"
	signal_to KILL "${client_process[$1]}"
	{ wait "${client_process[$1]}"; } 2>/dev/null
	kills[client]=$((kills[client] + 1))
}

# random_sleep MILLISECONDS: up to this long.
random_sleep()
{
	sleep "$(awk -v ms=$((RANDOM % $1)) 'BEGIN { print ms / 1000 }')"
}

# Kill one of them, and start it again.
disturb()
{
	local signal=KILL number victims=(a a a b b b both client client client client origin) victim

	victim=${victims[RANDOM % ${#victims[@]}]}
	if [ "$victim" = client ]; then
		number=$((RANDOM % clients))
		client_kill "$number"
		client_begin "$number"
		return
	fi
	[ $((RANDOM % 4)) -gt 0 ] || signal=TERM
	if [ "$victim" = both ]; then
		stop a "$signal"
		stop b "$signal"
		random_sleep 3000
		run a
		run b
		return
	fi
	stop "$victim" "$signal"
	random_sleep 1500
	run "$victim"
}

# A second is 128 KiB. What the relays do not retain is lost for a client that comes too late.
write_config origin "pattern = $((131072 / scale))/s" "pattern-form = stamped" "retain = 6M"
for name in a b; do
	write_config $name "input = http://127.0.0.1:${at[origin]}/" "input-format = framed" "input-timeout = 5s" \
		"retain = 64K"
done
for name in origin a b; do
	run $name
done
for ((i = 0; i < clients; i++)); do
	client_begin "$i"
done
end=$((SECONDS + minutes * 60))
while [ $SECONDS -lt $end ]; do
	disturb
	random_sleep 2000
done

# Without more of that, each client comes back.
note_sizes()
{
	for ((i = 0; i < clients; i++)); do
		awk '$1 == "wchar:" { print $2 }' "/proc/${client_process[$i]}/io"
	done
}

all_receive()
{
	note_sizes | paste "$work/sizes" - | awk '$2 < $1 + 65536 { slow = 1 } END { exit slow }'
}

note_sizes >"$work/sizes"
check "all $clients clients receive again" wait_until 60 all_receive
for ((i = 0; i < clients; i++)); do
	signal_to TERM "${client_process[$i]}"
done
all_checked()
{
	local results=("$work"/*.result) parts

	parts=$(find "$work" -name '*.part' | wc -l)
	[ ${#results[@]} -eq $((clients + kills[client])) ] && [ "$parts" -eq 0 ]
}
check "the bytes of all are checked" wait_until 60 all_checked
for name in a b origin; do
	daemon=${process[$name]} log=${log_of[$name]}
	daemon_stop
	is "$name: exit status" "$status" 0
done
is "no daemon has logged an alarm" "$(cat "$work/alarms" 2>/dev/null)" ""
grep -L '^exit=0$' "$work"/*.result >"$work/wrong"
is "each client has every byte once, or knows exactly what it lost" "$(wc -l <"$work/wrong")" 0 ||
	while read -r name; do
		diag_file "$name"
		diag_file "${name%.result}.json"
	done < <(head -n 5 "$work/wrong")
most=$(sed -n 's/.* unknown=//p' "$work"/*.result | sort -n | tail -n 1)
compare "no client lost its count more often than the origin began another one" "$most" -le "${kills[origin]}"
compare "every component was killed" "$(printf '%s\n' "${kills[@]}" | sort -n | head -n 1)" -gt 0
diag "in $minutes minutes: the origin was killed or stopped ${kills[origin]} times, the relays ${kills[a]} and ${kills[b]}" \
	"times, clients ${kills[client]} times"
cat "$work"/*.result | sed -n 's/^blocks=\([0-9]*\) jumps=\([0-9]*\) lost=\([0-9]*\) unknown=\([0-9]*\)$/\1 \2 \3 \4/p' |
	awk '{ blocks += $1; jumps += $2; lost += $3 / 4096; unknown += $4; clean += $2 == 0 } END {
		printf "# %d clients received %d blocks once; %d of them have no gap; %d gaps: %d blocks lost, all known; " \
			"%d ends of a count\n", NR, blocks, clean, jumps, lost, unknown }'
done_testing
