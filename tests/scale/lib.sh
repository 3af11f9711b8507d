# shellcheck shell=bash
# SPDX-License-Identifier: BSD-2-Clause
#
# Many clients of many addresses, in several formats; adds to tests/lib.sh.
#
#   scale_enter "$@"          continue in a network namespace with two hosts on virtual wires
#   scale_run CLIENTS         start a daemon and connect clients of each address and format to it
#   scale_reload              change the configuration; nobody may lose a byte
#   scale_churn NUMBER JOINS  meanwhile NUMBER clients join and leave, together JOINS times
#   scale_end                 end the daemon; each client must have every byte until then
#   scale_spread CLIENTS SECONDS  how equally the clients of one daemon are served
#
# The results say how long something took, but no test depends on it: the daemon's own CPU time has a limit, and
# the turns of its event loop that of tests/lib.sh.

. tests/lib.sh

scale_enter()
{
	command -v jq >/dev/null || skip_all "jq is not installed"
	ulimit -n "$(ulimit -Hn)"
	if [ "${1-}" != in-namespace ]; then
		unshare -nm true 2>/dev/null || skip_all "no network namespaces here"
		rm -rf "$work"
		exec unshare -nm bash "$0" in-namespace
	fi
	ip link set lo up
	scale_add_host 1
	scale_add_host 2
}

# scale_add_host N: on a wire of its own, 10.77.N.2 and fd77:N::2 there, 10.77.N.1 and fd77:N::1 here.
declare -A scale_host
scale_add_host()
{
	local at

	ip link add "server$1" type veth peer name "client$1" || skip_all "no veth here"
	unshare -n sleep 3600 &
	scale_host[$1]=$!
	will_end "${scale_host[$1]}"
	wait_until 5 sh -c "[ \"\$(readlink /proc/${scale_host[$1]}/ns/net)\" != \"\$(readlink /proc/$$/ns/net)\" ]"
	ip link set "client$1" netns "${scale_host[$1]}"
	at=(nsenter -t "${scale_host[$1]}" -n --)
	ip addr add "10.77.$1.1/24" dev "server$1"
	ip addr add "fd77:$1::1/64" dev "server$1" nodad
	ip link set "server$1" up
	"${at[@]}" ip addr add "10.77.$1.2/24" dev "client$1"
	"${at[@]}" ip addr add "fd77:$1::2/64" dev "client$1" nodad
	"${at[@]}" ip link set "client$1" up
}

# The clients' own addresses: the host ("": this one), the address of the clients, that of the daemon.
scale_addresses=(
	" 127.0.0.2 127.0.0.1"
	" 127.0.0.3 127.0.0.1"
	"1 10.77.1.2 10.77.1.1"
	"1 fd77:1::2 [fd77:1::1]"
	"2 10.77.2.2 10.77.2.1"
)
scale_formats=(raw framed http)
declare -A scale_options=([raw]="" [framed]=--framed [http]="--http /")

# scale_feed PLACE NAME FORMAT OPTION...: start feedclient there, for this format.
scale_feed()
{
	local host source target name=$2 format=$3 options

	IFS=' ' read -r host source target <<<"${1/# /- }"
	IFS=' ' read -ra options <<<"${scale_options[$format]}"
	shift 3
	feed_prefix=()
	[ "$host" = - ] || feed_prefix=(nsenter -t "${scale_host[$host]}" -n --)
	feed_begin "$name" --source "$source" --connect-timeout $((60 * patience))s "${options[@]}" "$@" \
		"$target:${scale_port[$format]}"
	feed_prefix=()
}

# scale_value FILTER: of the daemon's only stream, as dmacastctl prints it.
scale_value()
{
	"$BUILD/dmacastctl" --socket "$work/control" --json streams | jq -r ".streams[0] | $1"
}

# scale_is FILTER LEAST: succeed if that value is at least LEAST.
scale_is()
{
	local value

	value=$(scale_value "$1") && [ "$value" -ge "$2" ]
}

# scale_configure HOLD LINE...: write the configuration; the lines are the stream's.
scale_configure()
{
	local hold=$1 format

	shift
	{
		printf '[daemon]\ncontrol = %s\ndrain-timeout = 120s\n' "$work/control"
		printf '[stream feed]\nlisten = *:0\nhold = %s\n' "$hold"
		printf '%s\n' "$@"
		for format in "${scale_formats[@]:1}"; do
			printf '[endpoint %s]\nstream = feed\nlisten = *:0\nformat = %s\n' "$format" "$format"
		done
	} >"$work/dmacastd.conf"
}

# scale_find_ports: set scale_port, by format.
declare -A scale_port
scale_find_ports()
{
	local format

	scale_port[raw]=$port
	for format in "${scale_formats[@]:1}"; do
		scale_port[$format]=$(sed -n "s/.*stream feed: endpoint $format: listening on .*:\([0-9]*\)$/\1/p" \
			"$log" | head -n 1)
	done
}

# seconds_since MICROSECONDS: of EPOCHREALTIME, as 1.234.
seconds_since()
{
	local microseconds=$((${EPOCHREALTIME//[!0-9]/} - $1))

	printf '%d.%03d' $((microseconds / 1000000)) $((microseconds / 1000 % 1000))
}

# cpu_ms PID: CPU time in ms, more precise than cpu_ticks.
cpu_ms()
{
	awk '{ printf "%d\n", $1 / 1000000 }' "/proc/$1/schedstat"
}

scale_all_ready()
{
	local name

	for name in "${scale_names[@]}"; do
		[ -e "$work/$name.ready" ] || return
	done
	scale_is .clients "$scale_clients"
}

# scale_run CLIENTS: at least these, as many of each address and format. Nothing is sent until all are there.
scale_settings=()
scale_run()
{
	local groups=$((${#scale_addresses[@]} * ${#scale_formats[@]})) began cpu address format limit

	scale_each=$((($1 + groups - 1) / groups))
	scale_clients=$((scale_each * groups))
	# The limit is as much as each address needs.
	scale_settings=("pattern = $((16 * 1024 / scale))/s" "lag-policy = block" "ring-size = 256K" "block-size = 4K"
		"max-clients = 9999")
	scale_configure "$scale_clients" "${scale_settings[@]}" "max-clients-per-address = $scale_each"
	daemon_run -c "$work/dmacastd.conf"
	scale_find_ports
	began=${EPOCHREALTIME//[!0-9]/}
	cpu=$(cpu_ms "$daemon")
	scale_names=()
	for address in "${scale_addresses[@]}"; do
		for format in "${scale_formats[@]}"; do
			scale_names+=("group${#scale_names[@]}")
			scale_feed "$address" "${scale_names[-1]}" "$format" --clients "$scale_each" --until-end \
				--expect-end end
		done
	done
	check "$scale_clients clients of ${#scale_addresses[@]} addresses connect, ${#scale_formats[@]} formats" \
		wait_until 240 scale_all_ready
	diag "it took $(seconds_since "$began") s"
	cpu=$(($(cpu_ms "$daemon") - cpu))
	diag "the daemon used $cpu ms of CPU time for that"
	limit=$((scale_clients * patience))
	[[ $BUILD != */san-* ]] || limit=$((limit * 10))
	compare "... which is less than 1 ms for each" "$cpu" -lt "$limit"
	is "... and none was refused" "$(scale_value .refused)" 0
	scale_feed "${scale_addresses[2]}" refused raw --clients 1 --bytes 1K
	feed_end refused
	is "one more of an address is refused" "$(scale_value '.refused_for.max_clients_per_address')" 1
	scale_refused=1
}

# scale_goes_on TEXT: the source makes more than the ring holds, which takes all clients: they block.
scale_goes_on()
{
	local bytes

	bytes=$(scale_value .filled.bytes)
	check "$1" wait_until 240 scale_is .filled.bytes $((bytes + 300000))
}

scale_reloads()
{
	grep -c 'streams: .* as before$' "$log"
}

scale_was_reloaded()
{
	[ "$(scale_reloads)" -gt "$1" ]
}

# scale_reload: another limit, an endpoint more, and a stream more; and again without the last two.
scale_reload()
{
	local before

	before=$(scale_reloads)
	scale_configure 0 "${scale_settings[@]}" "max-clients-per-address = 9999" "listen = *:0"
	printf '[stream other]\npattern = 1K/s\nlisten = *:0\n' >>"$work/dmacastd.conf"
	kill -HUP "$daemon"
	check "a reload with $scale_clients clients" wait_until 60 scale_was_reloaded "$before"
	# Not the former limit: a client that has left counts until the daemon has read that.
	scale_configure 0 "${scale_settings[@]}" "max-clients-per-address = 9998"
	kill -HUP "$daemon"
	check "... and again, without what was new" wait_until 60 scale_was_reloaded $((before + 1))
	is "... nobody left" "$(scale_value .clients)" "$scale_clients"
	scale_goes_on "... and all get data afterwards"
}

# anonymous_kib: the daemon's memory that is no ring.
anonymous_kib()
{
	awk '/^RssAnon/ { print $2 }' "/proc/$daemon/status"
}

scale_is_quiet()
{
	[ "$(scale_value .clients)" = "$scale_clients" ]
}

# scale_churn_until NUMBER JOINS: each client leaves after reading for about a second, and joins again at once.
scale_churn_until()
{
	local before began

	before=$(scale_value .joined)
	began=${EPOCHREALTIME//[!0-9]/}
	scale_feed "2 fd77:2::2 [fd77:2::1]" churn raw --clients "$1" --leave "$1" --leave-after 4K --rate 7K/s \
		--churn --seconds 3600
	wait_until 600 scale_is .joined $((before + $2)) || diag "only $(scale_value .joined) joined"
	diag "$(($(scale_value .joined) - before)) joins and leaves in $(seconds_since "$began") s"
	feed_end churn TERM
}

scale_churn()
{
	local descriptors memory joined allowed=$(($2 / 10))

	# Per join a tenth of a KiB, and at least what the allocator may keep of clients that were there at one time.
	[ "$allowed" -gt 512 ] || allowed=512
	# Before the comparison: tables grow to what this many clients need.
	scale_churn_until "$1" $(($2 / 10))
	wait_until 60 scale_is_quiet
	descriptors=$(open_fds) memory=$(anonymous_kib) joined=$(scale_value .joined)
	scale_churn_until "$1" "$2"
	ok "$status" "$1 clients join and leave all the time: every byte is right" || {
		diag "$report"
		diag_file "$work/churn.err"
	}
	check "... and all of them are gone" wait_until 60 scale_is_quiet
	compare "... they joined $2 times" $(($(scale_value .joined) - joined)) -ge "$2"
	is "... none was refused" "$(scale_value .refused)" "$scale_refused"
	is "... no descriptor is left" "$(open_fds)" "$descriptors"
	diag "anonymous memory was $memory KiB, is $(anonymous_kib) KiB"
	[[ $BUILD == */san-* ]] || compare "... nor memory" "$(anonymous_kib)" -le $((memory + allowed))
}

scale_end()
{
	local name

	diag "the daemon used $(cpu_ms "$daemon") ms of CPU time"
	daemon_stop
	is "exit status" "$status" 0
	diag "$(sed -n 's/.*\(longest turn of .*\)/\1/p' "$log")"
	for name in "${scale_names[@]}"; do
		feed_end "$name"
		[ "$status" -eq 0 ] || {
			diag "$name: feedclient gave $status: $report"
			diag_file "$work/$name.err"
		}
		echo "$status $(field ended) $(field gaps) $(($(field bytes_min) > 250000))"
	done >"$work/endings"
	grep '^#' "$work/endings"
	is "each client has every byte, and no gap" "$(grep -v '^#' "$work/endings" | sort -u)" "0 $scale_each 0 1"
}

# scale_spread CLIENTS SECONDS: all begin at the first byte, and stop at the same moment. The ring is how far one may be
# ahead of another, besides what is in the sockets.
scale_spread()
{
	local min max

	scale_configure "$1" "pattern = max" "lag-policy = block" "ring-size = 4M" "block-size = 64K" \
		"max-clients = 9999" "pattern-form = resident"
	daemon_run -c "$work/dmacastd.conf"
	scale_find_ports
	feed_start equal --clients "$1" --discard --rcvbuf 64K --seconds "$2" "127.0.0.1:$port"
	feed_end equal
	ok "$status" "$1 equal clients" || diag_file "$work/equal.err"
	min=$(field bytes_min) max=$(field bytes_max)
	diag "they got $min to $max bytes in $2 s, the median $(field bytes_median): $(((max - min) * 100 / (max + 1))) % apart"
	compare "... each got data" "$min" -gt 0
	compare "... no one is further ahead than the ring and a socket hold" $((max - min)) -le $((5 << 20))
	daemon_stop
}
