# shellcheck shell=bash
# SPDX-License-Identifier: BSD-2-Clause
#
# For the tests with a daemon in the guest and its clients outside, to tests/vm/lib.sh:
#
#   daemon_start <CONFIGURATION   start it, wait until it listens everywhere
#   daemon_with OPTION...         the same with options, and one endpoint
#   daemon_end SIGNAL [SECONDS]   and wait for its end: 30
#   said REGEX                    true if its log matches
#   says TEXT REGEX               a test: its log matches, or will soon
#   logged REGEX                  print the last line of its log that matches
#   at PORT                       the address of the guest's PORT, for a client
#   metric NAME [LABEL]           of its metrics at port 7001, from outside; all samples of it together
#   counter CHANNEL NAME...       numbers of /sys/class/dmacast, each followed by a space

. tests/vm/lib.sh

log=/dev/null # of the daemon; it is in the guest

daemon_start()
{
	cat >"$work/daemon.conf"
	guest_put "$work/daemon.conf" /tmp/daemon.conf
	daemon_again
}

daemon_with()
{
	guest_start daemon build/dmacastd "$@"
	wait_until 30 said 'listening on'
}

# The same configuration once more.
daemon_again()
{
	guest_script <<-'END'
		endpoints=$(grep -c '^listen' /tmp/daemon.conf)
		: >/tmp/daemon.log
		build/dmacastd -c /tmp/daemon.conf >/tmp/daemon.log 2>&1 &
		echo $! >/tmp/daemon.pid
		for ((tries = 0; tries < 400; tries++)); do
			[ "$(grep -c 'listening on' /tmp/daemon.log)" != "$endpoints" ] || exit 0
			kill -0 $! || break
			usleep 50000
		done
		cat /tmp/daemon.log
		exit 1
	END
}

daemon_end()
{
	guest_script <<-END
		pid=\$(cat /tmp/daemon.pid)
		kill -$1 \$pid || exit 1
		for ((tries = 0; tries < ${2-30} * 20; tries++)); do
			[ -e /proc/\$pid ] || exit 0
			usleep 50000
		done
		cat /tmp/daemon.log
		exit 1
	END
}

said()
{
	guest grep -Eq -- "$1" /tmp/daemon.log
}

logged()
{
	guest grep -E -- "$1" /tmp/daemon.log | tail -n 1
}

# says TEXT REGEX: it is in the log, or will be soon.
says()
{
	wait_until 30 said "$2"
	ok $? "$1" || {
		diag "nothing matches: $2"
		guest tail -n 15 /tmp/daemon.log | sed 's/^/#   /'
	}
}

at()
{
	echo "127.0.0.1:$(vm_port "$1")"
}

metric()
{
	printf 'GET /metrics HTTP/1.0\r\n\r\n' | socat -t 10 - "TCP:$(at 7001)" |
		grep "^$1[{ ]" | grep -F "${2-}" | awk '{ sum += $NF } END { printf "%.17g\n", sum }'
}

counter()
{
	local channel=$1

	shift
	guest cat "${@/#//sys/class/dmacast/$channel/}" | tr '\n' ' '
}

# whole TEXT CHANNEL...: check that no block of these channels is lent or waits.
whole()
{
	local text=$1 channel

	shift
	for channel in "$@"; do
		wait_until 20 is_whole "$channel"
		is "$text: no block of $channel is lent, none waits" \
			"$(counter "$channel" blocks_lent blocks_quarantine)" "0 0 "
	done
}

is_whole()
{
	[ "$(counter "$1" blocks_lent blocks_quarantine)" = "0 0 " ]
}
