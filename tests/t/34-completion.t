#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# Bash completion of dmacastctl, with a daemon to ask: the function, and Tab in a real shell.

. tests/lib.sh
. conf/dmacastctl.bash-completion

control=$work/control
ctl=$(realpath "$BUILD/dmacastctl")
cat >"$work/two.conf" <<END
[daemon]
control = $control
[stream adc]
pattern = 1M/s
listen = 127.0.0.1:0
[stream audio]
pattern = 1M/s
listen = [::1]:0
END
daemon_run -c "$work/two.conf"
wait_until 10 listens_at "$control"
feed_start four --clients 1 --seconds 600 "$(sed -n 's/.*stream adc: listening on //p' "$log")"
feed_start six --clients 1 --seconds 600 "$(sed -n 's/.*stream audio: listening on //p' "$log")"
wait_until 30 clients_joined 2
four=$("$ctl" -s "$control" --json clients adc | grep -o '127\.0\.0\.1:[0-9]*' | head -n 1)
six=$("$ctl" -s "$control" --json clients audio | grep -o '\[::1\]:[0-9]*' | head -n 1)

# completes LINE: as Tab at its end would; sets found.
completes()
{
	COMP_LINE=$1
	COMP_POINT=${#1}
	COMPREPLY=()
	_dmacastctl "$ctl"
	found=${COMPREPLY[*]}
}

# offers LINE WORD...: exactly these.
offers()
{
	local line=$1

	shift
	completes "$line"
	is "$line<Tab>" "$found" "$*"
}

with="dmacastctl --socket $control"
offers 'dmacastctl ' status streams clients top events kick reload log-level drain doctor dnssd upgrade handover cat
offers 'dmacastctl st' status streams
offers 'dmacastctl doctor --i' --interface
offers 'dmacastctl dnssd --a' --avahi
offers "$with dnssd --avahi au" audio
offers 'dmacastctl doctor --interface l' lo
offers 'dmacastctl --s' --socket
offers 'dmacastctl --json l' log-level
offers 'dmacastctl log-level ' error warning notice info debug
offers 'dmacastctl kick --' --socket --json --help --version --stream --all
offers 'dmacastctl top --o' --once
offers 'dmacastctl top -d '
offers 'dmacastctl status '
offers "dmacastctl -s $work/cont" "$control"
offers "$with clients " adc audio
offers "$with clients au" audio
offers "$with events a" adc audio
offers "dmacastctl -s $control drain ad" adc
offers "dmacastctl --socket=$control drain ad" adc
offers "$with kick --stream a" adc audio
offers "$with drain --" --socket --json --help --version --timeout
offers "$with drain --timeout 10" 10s 10m
offers "$with drain --timeout 10s ad" adc
offers "dmacastctl --socket $work/none drain a"
offers 'dmacastctl cat h' http://
offers 'dmacastctl cat --d' --direct --duration
offers 'dmacastctl cat --duration 10' 10s 10m
offers 'dmacastctl cat --rotate 1' 1G 10G
offers "dmacastctl cat -o $work/two" "$work/two.conf"

# Bash takes the colon for a separator, and puts what it gets behind it.
offers "$with kick 127.0.0.1:" "${four#*:}"
offers "$with kick --stream adc " "$four"
offers "$with kick [" "$six"
offers "$with kick [::" "${six#\[::}"
COMP_WORDBREAKS=${COMP_WORDBREAKS//:/}
offers "$with kick 127.0.0.1:" "$four"
suspend "$daemon"
SECONDS=0
offers "$with clients "
compare "a daemon that does not answer does not stop the shell" $SECONDS -le 10
resume "$daemon"

if command -v tmux >/dev/null; then
	tmux=(tmux -S "$work/tmux" -f /dev/null)
	end_tmux()
	{
		"${tmux[@]}" kill-server 2>/dev/null
		clean_up
	}
	trap end_tmux EXIT
	shows()
	{
		"${tmux[@]}" capture-pane -p -J -t shell | grep -Fq -- "$1"
	}
	"${tmux[@]}" new-session -d -s shell -x 200 -y 20 \
		"PATH=${ctl%/*}:$PATH PS1='prompt> ' bash --norc"
	wait_until 10 shows 'prompt>'
	"${tmux[@]}" send-keys -t shell ". conf/dmacastctl.bash-completion; clear" Enter
	wait_until 10 eval '! shows bash-completion'
	"${tmux[@]}" send-keys -t shell "dmacastctl -s $control kick 127.0.0.1:" Tab
	ok "$(wait_until 10 shows "kick $four"; echo $?)" "Tab in a shell: the whole address" ||
		"${tmux[@]}" capture-pane -p -t shell | sed 's/^/#   /'
	"${tmux[@]}" send-keys -t shell Enter
	ok "$(wait_until 10 shows 'kicked: 1'; echo $?)" "Tab in a shell: and that is the client"
else
	skip "Tab in a shell" "tmux is not installed"
fi

feed_end four TERM
feed_end six TERM
daemon_stop

done_testing
