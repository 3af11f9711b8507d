#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# Commands as sources that misbehave: what they write to standard error, and how they end.

. tests/lib.sh

# --- standard error ---
# A flood for about a second: what is logged does not depend on how much of it there is.
cat >"$work/flood" <<'END'
echo begin >&2
seq 500000 >&2
printf '10%%\r20%%\r' >&2
cat /dev/zero | tr '\0' x | head -c 3000000 >&2
echo done
END
daemon_run --input "exec:sh $work/flood" --hold 1 --on-end close --flush 1ms --listen 127.0.0.1:0
got=$(timeout $((60 * patience)) cat <"/dev/tcp/127.0.0.1/$port")
daemon_wait 20
is "stderr: a flood of lines does not hold up the output" "$got" "done"
is "stderr: exit status" "$status" 0
matches "stderr: its beginning is in the log" "$log" 'command: begin$'
matches "stderr: and how much of it is missing" "$log" \
	'command: .* \([0-9]+ more suppressed\)$|command: [0-9]+ more lines suppressed$'
# 10 lines in 5 seconds.
compare "stderr: the log does not grow with it" "$(grep -c ': command: ' "$log")" -lt 200

daemon_run --input "exec:printf '10%%\r20%%\rwarning\r\n' >&2; head -c 2000 /dev/zero | tr '\0' x >&2; cat" \
	--on-end close --listen 127.0.0.1:0
daemon_wait 20
is "stderr: a progress display is logged line by line, an endless line is cut" \
	"$(sed -n 's/.*: command: //p' "$log")" "10%
20%
warning
$(printf 'x%.0s' {1..512}) [cut]"

# --- the end of a command ---
# is_gone PID: it has ended, though nobody may have reaped it.
is_gone()
{
	local state

	state=$(process_state "$1")
	[ -z "$state" ] || [ "$state" = Z ]
}

# What a recorder does: at SIGTERM it completes its file, and writes the rest to its output, too. The shell that
# runs it ends at once.
cat >"$work/recorder" <<END
trap 'sleep 0.5; seq 200000 | tee "$work/file"; echo complete >>"$work/file"; exit' TERM
echo ready
while :; do sleep 0.1; done
END
daemon_run --input "exec:sh $work/recorder; true" --flush 1ms --listen 127.0.0.1:0
wait_until 5 pgrep -f "$work/recorder"
sleep 0.5
daemon_stop
is "decent end: exit status" "$status" 0
is "decent end: the command completes its file" "$(tail -n 1 "$work/file" 2>&1)" complete
is "decent end: with all of it" "$(wc -l <"$work/file")" 200001

# One that ignores SIGTERM, with a child in another session that has the pipes, too.
cat >"$work/stubborn" <<'END'
trap '' TERM
setsid sh -c 'echo $$ >"$0/session"; exec sleep 1000' "$1" &
echo $$ >"$1/pid"
while :; do sleep 1; done
END
daemon_run --input "exec:sh $work/stubborn $work" --stop-timeout 300ms --listen 127.0.0.1:0
wait_until 5 test -s "$work/session"
will_end "$(cat "$work/session")"
daemon_stop
is "SIGTERM ignored: exit status" "$status" 0
check "SIGTERM ignored: the command is killed" is_gone "$(cat "$work/pid")"
is "SIGTERM ignored: no complaint" "$(grep -c 'does not end' "$log")" 0

# The second signal ends the waiting; until then the control socket answers.
rm "$work/pid" "$work/session"
daemon_run --input "exec:sh $work/stubborn $work" --stop-timeout 1h --drain-timeout 100ms --control "$work/control" \
	--listen 127.0.0.1:0
wait_until 5 test -s "$work/session"
will_end "$(cat "$work/session")"
kill -TERM "$daemon"
wait_until 5 grep -q stopping "$log"
sleep 0.5
check "stop-timeout = 1h: dmacastctl works meanwhile" "$BUILD/dmacastctl" --socket "$work/control" status
check "stop-timeout = 1h: the command still runs" kill -0 "$(cat "$work/pid")"
is "stop-timeout = 1h: nobody is reset" "$(grep -c resetting "$log")" 0
daemon_stop TERM
is "the second signal: exit status" "$status" 0
check "the second signal: the command is killed" is_gone "$(cat "$work/pid")"

# A daemon that is killed cannot end its command: its supervisor does.
rm "$work/pid" "$work/session"
daemon_run --input "exec:(trap '' TERM; exec sleep 1000) & echo \$! >$work/other; exec sh $work/stubborn $work" \
	--listen 127.0.0.1:0
wait_until 5 test -s "$work/session"
will_end "$(cat "$work/session")"
will_end "$(cat "$work/pid")"
will_end "$(cat "$work/other")"
check "kill -9: the command runs before" kill -0 "$(cat "$work/pid")"
supervisor=$(pgrep -P "$daemon" -x dmacast-command)
if [[ $BUILD == *san* ]] || [ -n "${DMACAST_TEST_WRAPPER-}" ]; then
	skip "its supervisor has little memory of its own" "the tool has some in each process"
else
	compare "its supervisor has little memory of its own, in KiB" \
		"$(awk '/^Private_(Clean|Dirty)/ { sum += $2 } END { print sum }' "/proc/$supervisor/smaps_rollup")" -lt 512
fi
{ daemon_stop KILL; } 2>/dev/null
check "kill -9: the command ends" wait_until 10 is_gone "$(cat "$work/pid")"
check "kill -9: with its process group" wait_until 10 is_gone "$(cat "$work/other")"
check "kill -9: and its supervisor" wait_until 10 is_gone "$supervisor"

# A command that may run once at a time, as with a USB device, and that takes its time to give it back.
cat >"$work/exclusive" <<END
exec 9>"$work/lock"
flock -n 9 || echo busy >>"$work/busy"
trap 'sleep 0.3; exit' TERM
echo start
exec >&-
while :; do sleep 0.1; done
END
daemon_run --input "exec:exec sh $work/exclusive" --flush 1ms --listen 127.0.0.1:0
exec {client}<>"/dev/tcp/127.0.0.1/$port"
is "a command is started again" "$(timeout $((30 * patience)) head -n 2 <&"$client" | grep -c start)" 2
is "but not before the former one has ended" "$(cat "$work/busy" 2>&1)" "cat: $work/busy: No such file or directory"
exec {client}>&-
daemon_stop

# --- one that cannot be signalled: with other user ids than the daemon's, as under sudo ---
# Its stream is restarted, and goes on; another stream is not paused.
cannot_signal()
{
	local as_nobody=(setpriv --reuid=65534 --regid=65534 --clear-groups)

	[ "$(id -u)" -eq 0 ] || { echo "not root"; return 1; }
	command -v setpriv >/dev/null || { echo "no setpriv"; return 1; }
	cp "$(command -v setpriv)" "$work/as-root" && chmod 4755 "$work/as-root" && chmod 755 "$work" || return
	"${as_nobody[@]}" "$BUILD/dmacastd" --version >/dev/null 2>&1 ||
		{ echo "$BUILD is not readable for others"; return 1; }
	[ "$("${as_nobody[@]}" "$work/as-root" --reuid=0 id -u 2>/dev/null)" = 0 ] ||
		{ echo "set-user-ID programs have no effect here"; return 1; }
	daemon_prefix=("${as_nobody[@]}")
}
if ! cannot_signal >"$work/reason"; then
	skip "a command that cannot be signalled" "$(cat "$work/reason")"
else
	cannot_signal
	config=$work/config
	{
		printf '[daemon]\ndrain-timeout = 100ms\n[stream steady]\nlisten = 127.0.0.1:0\npattern = 4M/s\n'
		printf 'block-size = 64K\n[stream sudo]\nlisten = 127.0.0.1:0\nstop-timeout = 500ms\n'
		printf 'input = exec:echo a; exec %s --reuid=0 sleep 1000\n' "$work/as-root"
	} >"$config"
	daemon_run -c "$config"
	wait_until 5 pgrep -xf 'sleep 1000' -u 0 -P "$(pgrep -P "$daemon" -x dmacast-command)"
	stubborn=$(pgrep -xf 'sleep 1000' -u 0 -P "$(pgrep -P "$daemon" -x dmacast-command)")
	will_end "$stubborn"
	sed -i 's/echo a/echo b/; s/exec .*/exec sleep 1001/' "$config"
	exec {client}<>"/dev/tcp/127.0.0.1/$port"
	signal_to HUP "$daemon"
	# Pieces of the other stream that arrive until the command is left.
	pieces=0
	while ! grep -q 'going on without' "$log" && [ $pieces -lt $((200 * patience)) ]; do
		[ "$(timeout $((10 * patience)) head -c 100000 <&"$client" | wc -c)" -eq 100000 ] || break
		pieces=$((pieces + 1))
	done
	exec {client}>&-
	matches "a command that cannot be signalled is logged" "$log" \
		"stream sudo: command: process $stubborn \(sleep\) does not end after SIGKILL; going on without it"
	# It takes 2.5 s, and 40 pieces arrive each second.
	compare "another stream goes on meanwhile" "$pieces" -ge 20
	check "a restart starts the next command" wait_until 10 pgrep -xf 'sleep 1001' -u 65534
	check "though the former one still runs" kill -0 "$stubborn"
	signal_to KILL "$stubborn"
	check "which is reaped when it ends" wait_until 10 grep -q "command: process $stubborn has ended" "$log"
	daemon_stop
	is "exit status" "$status" 0
	daemon_prefix=()
fi

done_testing
