#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# The units of systemd: nothing to complain of, and a tight sandbox. No systemd has to run.

. tests/lib.sh

command -v systemd-analyze >/dev/null || skip_all "no systemd-analyze"

program=$(readlink -f "$BUILD/dmacastd")

# As installed, but with the program that was built.
mkdir "$work/units"
for unit in systemd/dmacastd.service systemd/dmacastd@.service systemd/dmacastd.socket; do
	sed "s,/usr/local/sbin,${program%/*}," "$unit" >"$work/units/${unit##*/}"
done

# quiet TEXT COMMAND...: it succeeds and says nothing.
quiet()
{
	local text=$1 status=0

	shift
	"$@" >"$work/quiet" 2>&1 </dev/null || status=$?
	[ ! -s "$work/quiet" ] || status=1
	ok $((status != 0)) "$text" || diag_file "$work/quiet"
}

cd "$work/units" || exit 1
quiet "verify: dmacastd.service" systemd-analyze verify --man=no ./dmacastd.service
cp dmacastd@.service dmacastd@adc.service
quiet "verify: dmacastd@adc.service" systemd-analyze verify --man=no ./dmacastd@adc.service
quiet "verify: dmacastd.socket, and its service" systemd-analyze verify --man=no \
	./dmacastd.socket ./dmacastd.service
for unit in dmacastd.service dmacastd@adc.service; do
	check "security: the exposure of $unit is at most 1.5" \
		systemd-analyze security --offline=yes --threshold=15 "./$unit"
done
cd "$OLDPWD" || exit 1

# Both services are the same but for what names the configuration.
sections()
{
	sed '1,/^\[Unit\]/d' "$1" | sed -E 's,/etc/dmacast/(%i|dmacastd)\.conf,FILE,; s/dmacast-%i$/dmacast/; s/, %i$//'
}
sections systemd/dmacastd.service >"$work/one"
sections systemd/dmacastd@.service >"$work/each"
check "dmacastd@.service is dmacastd.service with another file" diff "$work/one" "$work/each"

# A service that systemd has given up is down until an operator comes.
for unit in systemd/dmacastd.service systemd/dmacastd@.service; do
	matches "${unit#*/}: a failure restarts it" "$unit" '^Restart=on-failure$'
	matches "${unit#*/}: ... after a pause" "$unit" '^RestartSec=[1-9]'
	matches "${unit#*/}: ... without end" "$unit" '^StartLimitIntervalSec=0$'
	is "${unit#*/}: ... and there is no other limit" \
		"$(grep -cE '^(StartLimitBurst|StartLimitAction|RestartPreventExitStatus)=' "$unit")" 0
done

# --- what the units refer to is what the tree has ---
major=$(sed -n 's/.*alloc_chrdev_region(.*, "\(.*\)");/\1/p' kmod/class.c)
matches "the devices are those that the module registers" systemd/dmacastd.service \
	"^DeviceAllow=char-$major rw\$"
user=$(sed -n 's/^u \([^ ]*\) .*/\1/p' conf/dmacast.sysusers)
matches "the user is the one that is made" systemd/dmacastd.service "^User=$user\$"
matches "its group is the one that may open the devices" conf/60-dmacast.rules "GROUP=\"$user\""
name=$(sed -n 's/^FileDescriptorName=//p' systemd/dmacastd.socket)
printf '[stream s]\npattern = 1M/s\nlisten = systemd:%s\n' "$name" >"$work/socket.conf"
check "a stream can have the socket of the example" "$program" --check -c "$work/socket.conf"
check "a reload is waited for" grep -q '^ExecReload=.*/dmacastctl --socket .* reload$' \
	systemd/dmacastd.service

# --- the system calls that the daemon needs are among those that it may use ---
if ! command -v strace >/dev/null || ! strace -o "$work/trial" true 2>/dev/null; then
	skip "the filter of system calls" "no strace, or it may not trace"
	done_testing
fi

# members SET: the calls in it, those of the sets in it included.
members()
{
	systemd-analyze syscall-filter "$1" | sed 's/^ *//' | while read -r item _; do
		case $item in
		'#'* | "$1" | '') ;;
		@*) members "$item" ;;
		*) echo "$item" ;;
		esac
	done
}
# The lines of the unit, one after the other: the first one is a list of what is allowed.
: >"$work/allowed"
sed -n 's/^SystemCallFilter=//p' systemd/dmacastd.service >"$work/filter"
while read -r line; do
	for item in ${line#"~"}; do
		case $item in
		@*) members "$item" ;;
		*) echo "$item" ;;
		esac
	done | sort -u >"$work/line"
	case $line in
	"~"*) comm -23 "$work/allowed" "$work/line" >"$work/next" ;;
	*) sort -u "$work/allowed" "$work/line" >"$work/next" ;;
	esac
	mv "$work/next" "$work/allowed"
done <"$work/filter"
compare "the filter of the unit allows some system calls" "$(wc -l <"$work/allowed")" -gt 100
is "... and none of these" "$(grep -cxE 'mount|ptrace|bpf|init_module|reboot|setuid' "$work/allowed")" 0

cat >"$work/all.conf" <<END
[stream pattern]
pattern = 50M/s
listen = 127.0.0.1:0
zerocopy = always
[stream command]
input = exec:while :; do echo data; sleep 0.1; done
listen = localhost:0
[stream remote]
input = tcp:127.0.0.1:9
listen = [::1]:0
[stream local]
input = unix:$work/none
listen = :0
END
daemon_prefix=(strace -D -f -qq -o "$work/strace" -e "signal=none")
daemon_run -c "$work/all.conf"
feed_ok "a client, under strace" --bytes 2M "127.0.0.1:$port"
kill -HUP "$daemon"
wait_until 10 grep -q 'streams: .* as before' "$log"
sleep 0.5
daemon_stop
is "exit status, under strace" "$status" 0
sed -nE 's/^[0-9]+ +([a-z_0-9]+)\(.*/\1/p' "$work/strace" | sort -u >"$work/used"
compare "system calls were seen" "$(wc -l <"$work/used")" -gt 40
is "each of them is allowed" \
	"$(comm -23 "$work/used" "$work/allowed" | tr '\n' ' ')" ""

done_testing
