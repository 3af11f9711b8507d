#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# dmacastctl top in a terminal of any size, what it leaves behind, and without a terminal; completion.

. tests/lib.sh

for tool in tmux jq; do
	command -v $tool >/dev/null || skip_all "$tool is not installed"
done

control=$work/control
ctl=("$BUILD/dmacastctl" --socket "$control")

daemon_on_config()
{
	daemon_run -c "$work/top.conf"
	wait_until 10 listens_at "$control"
}

cat >"$work/top.conf" <<END
[daemon]
control = $control
[stream adc]
pattern = 20M/s
zerocopy = always
listen = 127.0.0.1:0
[stream a-long-name.of-a-stream]
pattern = 1M/s
listen = 127.0.0.1:0
END
daemon_on_config
endpoint=$(sed -n 's/.*stream adc: listening on \(.*\)/\1/p' "$log")
feed_start reading --clients 20 --seconds 600 --allow-gaps --allow-reset "$endpoint"
feed_start stalled --clients 1 --stall 1 --seconds 600 --allow-gaps --allow-reset "$endpoint"

# ---- a terminal ----

tmux=(tmux -S "$work/tmux" -f /dev/null)
screen=$work/screen

# What a test starts, it ends.
end_tmux()
{
	"${tmux[@]}" kill-server 2>/dev/null
	clean_up
}
trap end_tmux EXIT

look()
{
	"${tmux[@]}" capture-pane -p -t top >"$screen"
}

# sees REGEX: is it on the screen now?
sees()
{
	look && grep -Eq -- "$1" "$screen"
}

# shows TEXT REGEX: it must appear soon.
shows()
{
	local status=0

	wait_until 8 sees "$2" || status=1
	ok "$status" "$1" || {
		diag "nothing matches: $2"
		sed 's/^/#   /' "$screen"
	}
}

keys()
{
	"${tmux[@]}" send-keys -t top "$@"
}

of_pane()
{
	"${tmux[@]}" display-message -p -t top "#{$1}"
}

# Each command line says when it is done, and how.
type_line()
{
	keys "$1; echo \"done: \$?\"" Enter
}

widest()
{
	awk '{ if (length > most) most = length } END { print most + 0 }' "$screen"
}

first_client()
{
	sed -n '/^CLIENT/{ n; s/ .*//p }' "$screen"
}

stalled_first()
{
	look && [ "$(first_client)" = "$stalled" ]
}

# comes_first TEXT: the one who reads nothing; not at once, for dropping blocks makes up for lag.
comes_first()
{
	ok "$(wait_until 8 stalled_first; echo $?)" "$1" || sed 's/^/#   /' "$screen"
}

top_line="$(realpath "${ctl[0]}") -s $control top -d 0.5"

# ctl_top TEXT: start it.
ctl_top()
{
	type_line "clear; $top_line"
	shows "$1" '^CLIENT +STREAM'
}

check "there is a terminal" "${tmux[@]}" new-session -d -s top -x 80 -y 24 "PS1='prompt> ' bash --norc"
shows "and a shell" '^prompt>'
keys "stty -g >$work/before" Enter

ctl_top "80x24: clients"
shows "80x24: the daemon" "^dmacastd [0-9.]+, pid $daemon, running, up "
shows "80x24: totals" '^streams 2, clients 21, in [0-9.]+M/s, out [0-9.]+M/s$'
shows "80x24: streams with clients and rates" '^adc +running +21 +[0-9.]+M +[0-9.]+M '
shows "80x24: what a stream without clients does" '^a-long-name.of-a-stream +running +0 '
wait_until 8 sees '^CLIENT.*PINNED.*COPIED'
is "80x24: columns of a client" "$(grep ^CLIENT "$screen")" \
	"$(grep ^CLIENT "$screen" | grep -E '^CLIENT +STREAM +OUT/S +LAG +BEHIND +PINNED +COPIED')"
stalled=$("${ctl[@]}" --json clients | jq -r '.clients | max_by(.lag_seconds).peer')
shows "80x24: a client that reads nothing gets nothing" "^$stalled +adc +0 .*[0-9]ms "
comes_first "80x24: the client that reads nothing is first"
compare "80x24: no line is wider" "$(widest)" -le 80
matches "80x24: the last line has the keys" <(tail -n 1 "$screen") '^q quit .*: lag'

keys r
shows "r: by rate" 'pinned: rate'
is "r: the client that reads nothing has no rate, and is not first" "$(first_client | grep -c "^$stalled\$")" 0
keys p
shows "p: by pinned blocks" 'pinned: pinned'
keys d
shows "d: by dropped bytes" 'pinned: dropped'
comes_first "d: the client that reads nothing is first"
keys Down
hides()
{
	look && ! grep -Eq -- "$1" "$screen"
}
ok "$(wait_until 8 hides "^$stalled"; echo $?)" "Down: scrolls"
keys Home
shows "Home: scrolls back" "^$stalled"
keys x
keys l
shows "other keys do nothing, and l orders by lag" 'pinned: lag'

"${tmux[@]}" resize-window -t top -x 40 -y 10
shows "40x10: has the keys in its last line" '^q quit  up/down scroll  by l lag, r rate, $|^q quit .*'
shows "40x10: the daemon" '^dmacastd [0-9.]+, pid'
compare "40x10: no line is wider" "$(widest)" -le 40
is "40x10: no more lines" "$(wc -l <"$screen")" 10
"${tmux[@]}" resize-window -t top -x 12 -y 3
sleep 1
look
compare "12x3: no line is wider" "$(widest)" -le 12
"${tmux[@]}" resize-window -t top -x 170 -y 50
shows "170x50: more columns" '^STREAM.* DROPPED +LOST +ACK99 +SOURCE'
shows "170x50: all clients" '^CLIENT.* SENT +RECEIVED +TIME +STATE'
is "170x50: really" "$(grep -c ' adc  .*streaming$' "$screen")" 21
suspend "$daemon"
sleep 1
"${tmux[@]}" resize-window -t top -x 80 -y 24
sleep 0.5
look
is "a changed size does not disturb a question" "$(grep -c 'Interrupted\|Trying' "$screen")" 0
resume "$daemon"
shows "and is heeded after it" '^CLIENT.* COPIED( +DROPPED)?( +SENT)?$'

# ---- what it leaves behind ----

# back TEXT STATUS: the shell is there, and the terminal as it was.
back()
{
	shows "$1: the shell is back" "^done: $2\$"
	keys "clear; stty -g >$work/after" Enter
	wait_until 8 test -s "$work/after"
	check "$1: the terminal's settings are as before" cmp "$work/before" "$work/after"
	is "$1: so are screen and cursor" "$(of_pane alternate_on) $(of_pane cursor_flag)" "0 1"
	rm -f "$work/after"
}

keys q
back "q" 0
ctl_top "and again"
keys C-c
back "^C" 0
ctl_top "and again"
pid=$("${tmux[@]}" display-message -p -t top '#{pane_pid}')
top_pid=$(ps -o pid= --ppid "$pid" | tr -d ' ')
check "is the only child of the shell" test -n "$top_pid"
kill -TERM "$top_pid"
back "SIGTERM" 0

# ---- the daemon goes, and comes ----

ctl_top "once more"
{ kill -KILL "$daemon" && wait "$daemon"; } 2>/dev/null
shows "a daemon that is gone: says so" "^$control: Connection refused"
shows "a daemon that is gone: is waited for" '^Trying again'
daemon_on_config
shows "a daemon that is back" "^dmacastd [0-9.]+, pid $daemon, running"
keys q
back "after that" 0
type_line "clear; $top_line -n 1"
back "-n 1: ends by itself" 0

# ---- without a terminal ----

"${ctl[@]}" top --once >"$work/once" 2>&1 </dev/null
is "without a terminal: exit status" "$?" 0
matches "without a terminal: the daemon" "$work/once" "^dmacastd [0-9.]+, pid $daemon, running, up "
matches "without a terminal: streams, with every column" "$work/once" '^STREAM .* SOURCE$'
is "without a terminal: nothing but text" "$(tr -d '\n[:print:]' <"$work/once" | wc -c)" 0
"${ctl[@]}" top -d 0.2 -n 3 >"$work/three" 2>&1 </dev/null
is "-n 3: three of them" "$(grep -c '^dmacastd ' "$work/three")" 3
daemon_stop
"${ctl[@]}" top >"$work/none" 2>&1 </dev/null
is "without a daemon: exit status" "$?" 1
matches "without a daemon: says so" "$work/none" 'No such file or directory: no daemon'
feed_end reading TERM
feed_end stalled TERM

done_testing
