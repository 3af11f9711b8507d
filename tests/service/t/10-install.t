#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# On a machine that never had dmacast: make install and what the README says after it, the module and its
# device, the units as systemd sees them, the first start; and make uninstall, which leaves nothing.

. tests/service/lib.sh

# Every file of the machine but those that change by themselves, and those with the system's users.
snapshot()
{
	guest_script <<-'END'
		find / \( -path /proc -o -path /sys -o -path /dev -o -path /run -o -path /tmp -o -path /dmacast \
			-o -path /var/log -o -path /var/lib/systemd -o -path '/etc/*passwd*' \
			-o -path '/etc/*group*' -o -path '/etc/*shadow*' \) -prune -o -type d -printf '%p %m %u %g\n' \
			-o -printf '%p %m %u %g %s %T@ %l\n' | sort
	END
}

service_start
log=/dev/null
snapshot >"$work/before"
compare "the machine's files are known" "$(wc -l <"$work/before")" -gt 2000

# --- installing ---
# The programs were built outside.
check "make install" guest make -s -o daemon -o ctl install
snapshot >"$work/installed"
check "it installs something" [ "$(comm -13 "$work/before" "$work/installed" | wc -l)" -gt 10 ]
is "it changes nothing" "$(comm -23 "$work/before" "$work/installed")" ""
is "what it installs is root's" \
	"$(comm -13 "$work/before" "$work/installed" | awk '$3 != "root" || $4 != "root"')" ""
check "systemd-sysusers" guest systemd-sysusers
check "makes the group" guest getent group dmacast
check "and the user" guest getent passwd dmacast
check "systemd-tmpfiles" guest systemd-tmpfiles --create
check "systemctl daemon-reload" guest systemctl daemon-reload

# --- the module and its device ---
check "udev reads the rule" guest udevadm control --reload
check "what the operator writes" guest cp -r tests/service/etc/modprobe.d tests/service/etc/modules-load.d /etc
check "the list of modules is read" guest systemctl restart systemd-modules-load
check "both modules are there" guest sh -c 'grep -q "^dmacast " /proc/modules && grep -q "^dmacast_sim " /proc/modules'
guest udevadm settle
is "the device is the group's" "$(guest stat -c '%U %G %a' /dev/dmacast/sim0)" "root dmacast 660"
# A member of the group, and somebody else. One of them alone has it.
check "its members may open it" guest setpriv --reuid 4000 --regid 4000 --groups dmacast \
	head -c 0 /dev/dmacast/sim0
guest setpriv --reuid 4000 --regid 4000 --clear-groups head -c 0 /dev/dmacast/sim0 >"$work/others" 2>&1
matches "others may not" "$work/others" 'Permission denied'
check "a device that comes again" guest sh -c 'echo 200 >/sys/kernel/debug/dmacast_sim/unplug; sleep 1; udevadm settle'
is "is the group's again" "$(guest stat -c '%U %G %a' /dev/dmacast/sim0)" "root dmacast 660"

# --- the units ---
for unit in $(guest sh -c 'cd /usr/local/lib/systemd/system && ls'); do
	name=$unit
	case $unit in
	*@.*) name=${unit/@/@name} ;;
	esac
	# There is no man here to look manuals up with.
	guest systemd-analyze verify --man=no "$name" >"$work/verify" 2>&1
	is "systemd-analyze verify $name: status" $? 0
	is "and nothing to say" "$(cat "$work/verify")" ""
	case $unit in
	*.service)
		guest systemd-analyze security --no-pager --threshold=15 "$name" >"$work/security" 2>&1
		ok $? "systemd-analyze security $name: at most 1.5" || diag_file "$work/security"
		diag "$(tail -n 1 "$work/security")"
		;;
	esac
done
guest sh -c 'grep -ho "man:[^ ]*" /usr/local/lib/systemd/system/* | sort -u' | while IFS=':()' read -r _ page section; do
	guest test -e "/usr/local/share/man/man$section/$page.$section" || echo "$page($section)"
done >"$work/manuals"
is "the manuals that they name are installed" "$(cat "$work/manuals")" ""

# --- the first start, as it was installed ---
check "systemctl start" guest systemctl start dmacastd
is "it is active" "$(guest systemctl is-active dmacastd)" active
guest journalctl -u dmacastd -p warning -o cat --no-pager >"$work/warnings"
is "with nothing to warn of" "$(cat "$work/warnings")" ""
check "systemctl stop" guest systemctl stop dmacastd
is "ends it well" "$(guest systemctl show -P Result dmacastd)" success
is "nothing is left in /run" "$(guest sh -c 'ls /run | grep dmacast')" ""

# --- and away with it ---
# The operator's own files are the operator's.
guest rm /etc/modprobe.d/dmacast.conf /etc/modules-load.d/dmacast_sim.conf
check "make uninstall" guest make -s uninstall
snapshot >"$work/after"
is "leaves nothing, and takes nothing else" "$(diff "$work/before" "$work/after")" ""
check "systemctl daemon-reload" guest systemctl daemon-reload
is "systemd knows it no more" "$(guest systemctl show -P LoadState dmacastd)" not-found
check "the modules can go" guest modprobe -r dmacast dmacast_sim
service_stop

done_testing
