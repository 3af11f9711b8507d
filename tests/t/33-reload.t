#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# SIGHUP: the configuration is read again. Clients of what is the same see nothing of it.

. tests/lib.sh

command -v socat >/dev/null || skip_all "no socat"

config=$work/dmacastd.conf

finished_reloads()
{
	grep -cE 'streams: .* as before$|previous configuration stays in effect|nothing to reload|not reloading' "$log"
}

more_reloads_than()
{
	[ "$(finished_reloads)" -gt "$1" ]
}

# reload: and wait until that is over. Sets reload_log, what was logged meanwhile.
reload_log=$work/reload.log
reload()
{
	local before lines

	before=$(finished_reloads)
	lines=$(wc -l <"$log")
	kill -HUP "$daemon"
	wait_until 20 more_reloads_than "$before" || diag "no reload"
	tail -n +$((lines + 1)) "$log" >"$reload_log"
}

# summary: what changed, as the log says it.
summary()
{
	sed -n 's/.*streams: \(.* as before\)$/\1/p' "$reload_log"
}

# stream NAME PORT LINE...: a section.
stream()
{
	printf '[stream %s]\nlisten = 127.0.0.1:%s\n' "$1" "$2"
	shift 2
	printf '%s\n' "$@"
}

is_refused()
{
	! (exec 9<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null
}

free_ports 6
steady_port=${ports[0]} a=${ports[1]} b=${ports[2]} c=${ports[3]} d=${ports[4]} wide=${ports[5]}
pattern=(pattern=10M/s lag-policy=block)

# The stream that never changes; its clients are there all the time.
steady()
{
	printf '[daemon]\ndrain-timeout = 2s\n'
	stream steady "$steady_port" pattern=10M/s lag-policy=block zerocopy=always hold=4
}

{
	steady
	stream a "$a" "${pattern[@]}"
	stream b "$b" "${pattern[@]}"
} >"$config"
daemon_run -c "$config"
main_log=$log
feed_start steady --clients 4 --from-start --until-end --expect-end end "127.0.0.1:$steady_port"

# --- nothing has changed ---
feed_start a --clients 3 --until-end --expect-end end "127.0.0.1:$a"
reload
is "the same configuration: nothing changes" "$(summary)" \
	"0 new, 0 removed, 0 restarted, 0 changed, 3 as before"

# --- a broken file ---
cp "$config" "$work/good.conf"
{
	steady
	stream a "$a" "${pattern[@]}" block-size=128K
	stream new "$c" "${pattern[@]}" rign-size=1M
} >"$config"
reload
matches "a broken file: its error is logged" "$reload_log" \
	"error: $config:$(sed -n '/rign-size/=' "$config"): \[stream new\] rign-size: unknown option"
matches "a broken file: and that it was not applied" "$reload_log" \
	"error: $config was not applied; the previous configuration stays in effect"
is "a broken file: nothing was done" "$(grep -c 'restarted\|listening' "$reload_log")" 0
check "a broken file: the new stream is not there" is_refused "$c"
rm "$config"
reload
matches "no file any more" "$reload_log" "error: $config: No such file"

# --- what could be read without end, or without an answer, is not read ---
for kind in FIFO /dev/zero directory large; do
	rm -rf "$config"
	case $kind in
	FIFO)
		mkfifo "$config"
		said="$config is a pipe; expected a regular file"
		;;
	/dev/zero)
		ln -s /dev/zero "$config"
		said="$config is a device; expected a regular file"
		;;
	directory)
		mkdir "$config"
		said="$config is a directory; expected a regular file"
		;;
	large)
		{
			cat "$work/good.conf"
			head -c 5M /dev/zero | tr '\0' '#'
		} >"$config"
		said="$config: larger than 4 MiB"
		;;
	esac
	reload
	matches "$kind as the file: said" "$reload_log" "error: $said"
	matches "$kind as the file: not applied" "$reload_log" 'previous configuration stays in effect'
	feed_ok "$kind as the file: the streams go on" --clients 1 --bytes 256K "127.0.0.1:$b"
done
rm -rf "$config"

# --- all or nothing ---
{
	steady
	stream a "$a" "${pattern[@]}" block-size=128K
	stream b "$b" "${pattern[@]}" "listen=127.0.0.1:$steady_port"
} >"$config"
reload
matches "an endpoint twice: refused" "$reload_log" "listen = 127.0.0.1:$steady_port: taken by"
socat -u "TCP-LISTEN:$d,bind=127.0.0.1,reuseaddr" STDOUT >/dev/null &
taker=$!
will_end "$taker"
wait_until 5 sh -c "ss -Hltn 'sport = :$d' | grep -q ."
{
	steady
	stream a "$a" "${pattern[@]}" block-size=128K
	stream b "$b" "${pattern[@]}" max-clients=1
	stream new "$c" "${pattern[@]}" "listen=127.0.0.1:$d"
} >"$config"
reload
matches "a port that another program has: said" "$reload_log" \
	"error: stream new: listen = 127.0.0.1:$d: Address already in use"
is "a port that another program has: nothing else is done" \
	"$(grep -c 'restarted because\|max-clients changed' "$reload_log")" 0
check "a port that another program has: nor is the other endpoint kept" is_refused "$c"
kill "$taker"
{
	steady
	stream a "$a" "${pattern[@]}" block-size=128K
	stream b "$b" "${pattern[@]}"
	stream new "$c" "input=$work/missing"
} >"$config"
reload
matches "an input that is missing: said" "$reload_log" "error: stream new: input = $work/missing: "
is "an input that is missing: nothing else is done" "$(grep -c restarted "$reload_log")" 0
sed -i "s,^input=.*,device=/dev/no-such-device," "$config"
reload
matches "a device that is missing: said" "$reload_log" \
	'error: stream new: device = /dev/no-such-device: '
is "a device that is missing: nothing else is done" "$(grep -c restarted "$reload_log")" 0
{
	cat "$work/good.conf"
	stream new "$c" device=/dev/no-such-device on-end=wait
} >"$config"
reload
is "... but where it is waited for, it is taken" "$(summary)" \
	"1 new, 0 removed, 0 restarted, 0 changed, 3 as before"
reload
is "while a device is waited for: nothing changes" "$(summary)" \
	"0 new, 0 removed, 0 restarted, 0 changed, 4 as before"
feed_start waiting --clients 2 --until-end --expect-end end --expect-bytes 0 "127.0.0.1:$c"
sed -i 's/^on-end=wait/&\nblock-size=64K/' "$config"
reload
matches "while a device is waited for: its ring changes" "$reload_log" \
	'stream new: restarted because block-size changed'
feed_end_ok "... waiting clients have an end in order" waiting
cp "$work/good.conf" "$config"
reload
is "while a device is waited for: it is removed" "$(summary)" \
	"0 new, 1 removed, 0 restarted, 0 changed, 3 as before"

# --- new and removed streams ---
{
	cat "$work/good.conf"
	stream new "$c" "${pattern[@]}" hold=2
} >"$config"
reload
is "a new stream" "$(summary)" "1 new, 0 removed, 0 restarted, 0 changed, 3 as before"
feed_ok "a new stream: its clients have it from the first byte on" --clients 2 --from-start \
	--bytes 2M "127.0.0.1:$c"
feed_start new --clients 3 --until-end --expect-end end "127.0.0.1:$c"
cp "$work/good.conf" "$config"
reload
is "a removed stream" "$(summary)" "0 new, 1 removed, 0 restarted, 0 changed, 3 as before"
feed_end_ok "a removed stream: its clients have an end in order" new
check "a removed stream: nobody listens there" is_refused "$c"

# --- what takes effect at once ---
{
	steady
	stream a "$a" "${pattern[@]}"
	stream b "$b" "${pattern[@]}" max-clients=1 keepalive=10s
} >"$config"
feed_start b --clients 2 --until-end --expect-end end "127.0.0.1:$b"
reload
matches "limits change at once" "$reload_log" 'stream b: max-clients, keepalive changed$'
feed --clients 1 --seconds 1 --allow-end --allow-reset "127.0.0.1:$b"
matches "limits change at once: one more client is refused" "$log" \
	'stream b: client .* refused: max-clients is reached'

# The endpoints of a stream come and go, its clients stay.
{
	steady
	stream a "$a" "${pattern[@]}" "listen=127.0.0.1:$c"
	stream b "$b" "${pattern[@]}"
} >"$config"
reload
feed_ok "one more endpoint" --bytes 1M "127.0.0.1:$c"
feed_start c --clients 2 --until-end --expect-end end "127.0.0.1:$c"
{
	steady
	stream a "$c" "${pattern[@]}"
	stream b "$b" "${pattern[@]}"
} >"$config"
reload
matches "one endpoint less: said" "$reload_log" "stream a: no longer listening on 127.0.0.1:$a"
check "one endpoint less: nobody listens there" is_refused "$a"
check "one endpoint less: its clients are still there" kill -0 "${feed_pid[a]}"
{
	steady
	printf '[stream a]\npattern=10M/s\nlag-policy=block\nlisten = :%s\n' "$c"
	stream b "$b" "${pattern[@]}" "listen=127.0.0.1:$wide"
} >"$config"
reload
feed_ok "an address of the machine becomes all of them" --clients 2 --bytes 1M "127.0.0.1:$c"
is "... without an error" "$(grep -c 'error:' "$reload_log")" 0
feed_ok "... and another stream has one more" --bytes 1M "127.0.0.1:$wide"

# Streams exchange their endpoints: it is the stream that matters.
{
	steady
	stream a "$wide" "${pattern[@]}"
	printf '[stream b]\npattern=10M/s\nlag-policy=block\nlisten = :%s\nlisten = 127.0.0.1:%s\n' "$c" "$b"
} >"$config"
reload
is "streams exchange endpoints: without opening one" "$(grep -c 'listening on' "$reload_log")" 0
joined=$(client_lines joined)
joined_a=$(client_lines joined a)
feed_start exchanged --clients 1 --until-end --expect-end end "127.0.0.1:$wide"
wait_until 10 clients_joined $((joined + 1))
is "streams exchange endpoints: a new client joins the new one" \
	"$(($(client_lines joined a) - joined_a)) $(($(client_lines joined) - joined))" "1 1"
feed_end exchanged TERM

# --- a restart, and a stream of another name, under load, with clients that come all the time ---
come_and_go()
{
	local refused=0 tries=0

	while [ ! -e "$work/enough" ]; do
		tries=$((tries + 1))
		is_refused "$wide" && refused=$((refused + 1))
	done
	echo "$tries $refused" >"$work/came"
}
come_and_go &
will_end $!
for change in block-size=128K ring-size=8M pattern=20M/s huge-pages=never block-size=512K; do
	option=${change%%=*}
	{
		steady
		if [ "$option" = pattern ]; then
			stream a "$wide" "$change" lag-policy=block
		else
			stream a "$wide" "${pattern[@]}" "$change"
		fi
		stream b "$b" "${pattern[@]}"
	} >"$config"
	feed_start restarted --clients 3 --until-end --expect-end end "127.0.0.1:$wide"
	reload
	matches "restarted because $option changed" "$reload_log" \
		"stream a: restarted because .*$option.* changed"
	feed_end_ok "... its clients have what was read, and an end in order" restarted
	feed_ok "... and clients can come back" --clients 3 --bytes 1M "127.0.0.1:$wide"
done
{
	steady
	stream other "$wide" "${pattern[@]}"
	stream b "$b" "${pattern[@]}"
} >"$config"
feed_start renamed --clients 3 --until-end --expect-end end "127.0.0.1:$wide"
reload
is "another name: another stream" "$(summary)" \
	"1 new, 1 removed, 0 restarted, 0 changed, 2 as before"
feed_end_ok "another name: the clients have an end in order" renamed
touch "$work/enough"
wait_until 10 test -s "$work/came"
read -r tries refused <"$work/came"
compare "somebody connected all the time" "$tries" -ge 20
is "... and was never refused" "$refused" 0
feed_end_ok "clients whose endpoint went away ended with their stream" a
feed_end_ok "clients whose endpoint another stream got ended with theirs" c

# --- drain-timeout bounds the end of a stream ---
# The clients that came and went may have used up the lines that a stream logs in 5 s.
sleep 5
feed_start stalled --clients 2 --stall 2 --seconds 60 --allow-reset "127.0.0.1:$wide"
sleep 0.5
{
	steady
	stream b "$b" "${pattern[@]}"
} >"$config"
reload
wait_until 20 grep -q 'stream other: drain-timeout is over' "$log"
wait_until 10 grep -q 'stream other: ended after' "$log"
is "who takes too long is reset" "$(grep -c 'stream other: .* left: drain-timeout is over' "$log")" 2
feed_end stalled TERM

# --- and the clients of what never changed? ---
check "the clients of the stream that never changed are there" kill -0 "${feed_pid[steady]}"
check "... and so are those of the stream that was adapted" kill -0 "${feed_pid[b]}"
daemon_stop
is "exit status" "$status" 0
feed_end_ok "the stream that never changed: every byte, no gap, an end in order" steady
is "... for each of the same number of bytes" "$(field bytes_min)" "$(field bytes_max)"
feed_end_ok "the stream that was adapted: no gap, an end in order" b
is "nobody of the first one left before" \
	"$(grep -c 'stream steady: client .* left: end of stream' "$main_log")" 4

# --- hold, flush and lag-policy change in what is running ---
mkfifo "$work/fifo"
exec 4<>"$work/fifo"
ring=2M
fifo()
{
	stream f "$a" "input=$work/fifo" on-end=wait block-size=64K "ring-size=$ring" \
		zerocopy=always user-timeout=0 "$@"
}
fifo hold=2 flush=1h lag-policy=block >"$config"
daemon_run -c "$config"
exec 5<>"/dev/tcp/127.0.0.1/$a"
printf 'a few bytes' >&4
fifo hold=1 flush=1h lag-policy=block >"$config"
reload
sleep 0.3
got=
IFS= read -r -t 0.3 -n 11 -u 5 got
is "hold: fulfilled by a lower one; flush: not time yet" "$got" ""
fifo hold=1 flush=50ms lag-policy=block >"$config"
reload
IFS= read -r -t 5 -n 11 -u 5 got
is "flush: what waits comes as soon as the new one says" "$got" "a few bytes"
exec 5>&-
wait_until 5 grep -q ' left: ' "$log"
feed_start block --clients 1 --stall 1 --rcvbuf 8K --seconds 100 --allow-reset "127.0.0.1:$a"
"$BUILD/tests/feedclient" --generate 0 >&4 2>/dev/null &
generator=$!
will_end "$generator"
sleep 1
feed --clients 1 --bytes 8M --seconds 2 --allow-gaps "127.0.0.1:$a"
compare "lag-policy = block: one stalled client stops the stream" "$(field bytes_total)" -lt 8388608
fifo hold=1 lag-policy=drop >"$config"
reload
matches "lag-policy: changed" "$reload_log" 'stream f: .*lag-policy changed'
feed_ok "lag-policy = drop: it goes on for others" --clients 1 --bytes 8M --allow-gaps \
	"127.0.0.1:$a"
feed_end block TERM
kill "$generator"
daemon_stop
exec 4>&-

# --- what is read before and after a restart is all there is ---
"$BUILD/tests/feedclient" --generate 20M >"$work/whole"
rm "$work/fifo"
mkfifo "$work/fifo"
exec 4<>"$work/fifo"
fifo hold=1 lag-policy=block >"$config"
daemon_run -c "$config"
socat -T 20 -u "TCP:127.0.0.1:$a" "CREATE:$work/part1" &
first=$!
wait_until 5 grep -q 'joined' "$log"
head -c 11M "$work/whole" >&4
ring=4M
fifo hold=1 lag-policy=block >"$config"
reload
matches "a FIFO's ring changes" "$reload_log" 'stream f: restarted because ring-size changed'
wait "$first"
socat -T 20 -u "TCP:127.0.0.1:$a" "CREATE:$work/part2" &
second=$!
tail -c +$((11 * 1024 * 1024 + 1)) "$work/whole" >&4
wait_until 20 sh -c "[ \$(cat '$work/part1' '$work/part2' | wc -c) -ge 20971520 ]"
cat "$work/part1" "$work/part2" >"$work/both"
check "not a byte of a FIFO is lost at a restart" cmp "$work/whole" "$work/both"
compare "... and it was a restart in the middle" "$(wc -c <"$work/part2")" -gt 1000000
daemon_stop
wait "$second"
exec 4>&-

# --- a command runs once at a time ---
cat >"$work/owner" <<-END
	#!/bin/sh
	# Owns something that can have one owner only, and does not let go of it by itself.
	exec 9>"$work/owned"
	flock -w 0.5 9 || echo clash >>"$work/clash"
	trap : TERM
	while :; do yes 9>&- | head -c 1M 9>&-; sleep 0.05 9>&-; done
END
owner()
{
	printf '[daemon]\ndrain-timeout = 1500ms\n'
	stream x "$a" "input=exec:sh $work/owner" "ring-size=$1" block-size=64K
}
owner 1M >"$config"
daemon_run -c "$config"
wait_until 5 test -e "$work/owned"
for size in 2M 3M; do
	feed_start slow --clients 1 --stall 1 --rcvbuf 8K --seconds 60 --allow-reset "127.0.0.1:$a"
	sleep 0.3
	owner "$size" >"$config"
	reload
	got=
	IFS= read -r -t 20 got <"/dev/tcp/127.0.0.1/$a"
	is "a command is started again for the new ring" "${got: -1}" y
	feed_end slow TERM
done
is "... when the clients of the former one had their time" \
	"$(grep -c 'stream x: drain-timeout is over' "$log")" 2
check "a command runs once at a time" test ! -e "$work/clash"
daemon_stop
is "a command: exit status" "$status" 0

# --- streams that have ended ---
{
	stream file "$a" "input=$work/whole" hold=1 lag-policy=block
	stream b "$b" "${pattern[@]}"
} >"$config"
daemon_run -c "$config"
feed_ok "a file, once" --from-start --until-end --expect-bytes 20M "127.0.0.1:$a"
wait_until 5 grep -q 'stream file: ended after' "$log"
reload
matches "a stream that has ended stays so" "$reload_log" 'stream file: already ended and unchanged; not restarted'
check "... and nobody listens there" is_refused "$a"
sed -i 's/^hold=1/hold=2/' "$config"
reload
is "if it is changed, it is a new one" "$(summary)" \
	"1 new, 0 removed, 0 restarted, 0 changed, 1 as before"
feed_ok "... with every byte" --clients 2 --from-start --until-end --expect-bytes 20M \
	"127.0.0.1:$a"
daemon_stop

# --- the daemon's own options ---
{
	printf '[daemon]\nlog-level = warning\n'
	stream b "$b" "${pattern[@]}"
} >"$config"
daemon_run --log-level info -c "$config"
sed -i 's/^log-level.*/log-level = debug/' "$config"
feed --bytes 1M "127.0.0.1:$b"
is "the command line is stronger than the file" "$(grep -c 'client .* joined' "$log")" 1
reload
is "... also when the file is read again" "$(grep -c debug: "$log")" 0
daemon_stop
{
	printf '[daemon]\nlog-level = debug\n'
	stream b "$b" "${pattern[@]}"
} >"$config"
daemon_run -c "$config"
sed -i 's/^log-level.*/log-level = info/' "$config"
reload
lines=$(grep -c debug: "$log")
compare "log-level = debug" "$lines" -ge 1
feed --bytes 1M "127.0.0.1:$b"
is "log-level changes at once" "$(grep -c debug: "$log")" "$lines"

# --- signals ---
kill -HUP "$daemon"
kill -HUP "$daemon"
sed -i 's/^log-level.*/&\ndrain-timeout = 1h/' "$config"
reload
feed_ok "two of them in a row, and a third one" --bytes 1M "127.0.0.1:$b"
feed_start stalled --clients 1 --stall 1 --rcvbuf 8K --seconds 60 --allow-reset "127.0.0.1:$b"
sleep 0.5
kill -TERM "$daemon"
wait_until 5 grep -q 'clients have 3600000 ms' "$log"
reload
matches "when it is stopping, it says so" "$reload_log" 'not reloading: dmacastd is stopping'
check "... and goes on to stop" kill -0 "$daemon"
daemon_stop
is "... and ends" "$status" 0
feed_end stalled TERM

daemon_prefix=(env --block-signal=HUP sh -c "kill -HUP \$\$; exec \"\$@\"" -)
daemon_run -c "$config"
daemon_prefix=()
wait_until 5 grep -q 'streams: .* 1 as before' "$log"
matches "one that came too early is not lost" "$log" 'streams: .* 1 as before'
daemon_stop
is "... and does not end anything" "$status" 0

daemon_run --pattern 1M/s --listen 127.0.0.1:0
reload
matches "without a file there is nothing to reload" "$reload_log" \
	'warning: nothing to reload: dmacastd was started without a configuration file'
feed_ok "... and the stream goes on" --bytes 64K "127.0.0.1:$port"
daemon_stop
is "... to its end" "$status" 0

# --- a hundred of them ---
{
	stream steady "$steady_port" "${pattern[@]}"
	stream a "$a" "${pattern[@]}" ring-size=1M block-size=64K
} >"$config"
cp "$config" "$work/one.conf"
{
	stream steady "$steady_port" "${pattern[@]}"
	stream a "$a" "${pattern[@]}" ring-size=2M block-size=64K
	stream b "$b" "${pattern[@]}" ring-size=1M block-size=64K
} >"$work/other.conf"
daemon_run -c "$config"
feed_start steady --clients 2 --until-end --expect-end end "127.0.0.1:$steady_port"
resident()
{
	awk '/^VmRSS/ { print $2 }' "/proc/$daemon/status"
}
several()
{
	for _ in $(seq "$1"); do
		cp "$work/other.conf" "$config"
		reload
		cp "$work/one.conf" "$config"
		reload
	done
	wait_until 10 sh -c "[ \$(grep -c 'stream [ab]: ended' '$log') -ge $((3 * $2)) ]"
}
several 5 5
before=$(open_fds)
resident_before=$(resident)
several 45 50
is "a hundred reloads: no descriptor is left behind" "$(open_fds)" "$before"
# ASan keeps what is free for a while.
[[ $BUILD == *san* ]] ||
	compare "a hundred reloads: no memory is left behind, in KiB" \
		$(($(resident) - resident_before)) -lt 2048
daemon_stop
feed_end_ok "a hundred reloads: two clients have every byte" steady

done_testing
