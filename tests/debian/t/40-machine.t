#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# The Debian packages on Debian: installing, the operator's configuration, an upgrade and a downgrade while clients
# are connected, removing, purging, which leaves nothing but the user.

. tests/service/lib.sh

# Every file of the machine but those that change by themselves, those of dpkg, and those with the system's users.
snapshot()
{
	guest_script <<-'END'
		find / \( -path /proc -o -path /sys -o -path /dev -o -path /run -o -path /tmp -o -path /dmacast \
			-o -path /var/log -o -path /var/lib/dpkg -o -path /var/lib/systemd/random-seed \
			-o -path /var/lib/systemd/timers -o -path /var/lib/systemd/catalog -o -path '/etc/*passwd*' \
			-o -path '/etc/*group*' -o -path '/etc/*shadow*' -o -path /etc/.pwd.lock \) -prune \
			-o -type d -printf '%p %m %u %g\n' -o -printf '%p %m %u %g %s %T@ %l\n' | sort
	END
}

# repack PACKAGE NEW VERSION: the same package, as another version with another sample configuration.
repack()
{
	dpkg-deb -R "$1" "$work/package" &&
		sed -i "s/^Version: .*/Version: $3/" "$work/package/DEBIAN/control" &&
		echo "# $3" >>"$work/package/etc/dmacast/dmacastd.conf" &&
		dpkg-deb --root-owner-group -b "$work/package" "$2"
}

# The image leaves out documents, which a machine would have.
install_package()
{
	guest env DEBIAN_FRONTEND=noninteractive dpkg --path-include='/usr/share/*' --force-confold -i "$1"
}

property()
{
	guest systemctl show -P "$1" "${2:-dmacastd}"
}

# installed_version: and nothing that dpkg would complain of.
installed_version()
{
	# shellcheck disable=SC2016 # dpkg-query's
	guest dpkg-query -W -f '${db:Status-Status} ${Version}' dmacast
}

all_are_there()
{
	property StatusText | grep -q '4 clients'
}

env -u MAKEFLAGS -u MFLAGS -u MAKELEVEL make -s --no-print-directory BUILD="$BUILD" deb >"$work/deb" 2>&1
ok $? "make deb" || diag_file "$work/deb"
deb=$(find "$BUILD/deb" -name 'dmacast_*_amd64.deb')
version=$(dpkg-deb -f "$deb" Version)
newer=$version+newer
check "a newer version of the package" repack "$deb" "$work/newer.deb" "$newer"

service_start
log=/dev/null
target=127.0.0.1:$(vm_port 7000)
beside=127.0.0.1:$(vm_port 7001)
guest_put "$deb" /tmp/dmacast.deb
guest_put "$work/newer.deb" /tmp/newer.deb
snapshot >"$work/before"
compare "the machine's files are known" "$(wc -l <"$work/before")" -gt 2000

# --- installing ---
check "dpkg -i" install_package /tmp/dmacast.deb
is "it is installed, with all that it depends on" "$(installed_version)" "installed $version"
is "what it installed is as in the package" "$(guest dpkg --verify dmacast)" ""
snapshot >"$work/installed"
is "it changes nothing" "$(comm -23 "$work/before" "$work/installed")" ""
is "what it installs is root's" \
	"$(comm -13 "$work/before" "$work/installed" | awk '$3 != "root" || $4 != "root"')" ""
check "there is the user" guest getent passwd dmacast
is "and no service runs before it is configured" \
	"$(guest systemctl is-enabled dmacastd) $(property ActiveState)" "disabled inactive"
is "the settings of the kernel are in effect" "$(guest sysctl -n net.core.optmem_max)" 1048576
check "the manuals are there" guest test -e /usr/share/man/man8/dmacastd.8.gz
check "and the completion" guest test -e /usr/share/bash-completion/completions/dmacastctl
guest cp -r tests/service/etc/modprobe.d /etc
check "a module" guest sh -c 'modprobe dmacast_sim && modprobe dmacast && udevadm settle'
is "has the device for the group" "$(guest stat -c '%U %G %a' /dev/dmacast/sim0)" "root dmacast 660"

# --- the operator's configuration ---
cat >"$work/dmacastd.conf" <<'END'
[stream demo]
pattern = 2M/s
lag-policy = block
listen = *:7000
END
guest_put "$work/dmacastd.conf" /etc/dmacast/dmacastd.conf
sed 's/demo/beside/; s/7000/7001/' "$work/dmacastd.conf" >"$work/beside.conf"
guest_put "$work/beside.conf" /etc/dmacast/beside.conf
check "systemctl enable --now" guest systemctl enable --now dmacastd dmacastd@beside
feed_ok "clients get every byte" --clients 2 --bytes 1M "$target"

# --- an upgrade, with clients ---
feed_start stays --clients 4 --seconds 200 "$target"
feed_start instance --clients 2 --seconds 200 "$beside"
wait_until 20 all_are_there
ok $? "clients are connected" || diag "$(property StatusText)"
before="$(property MainPID) $(property MainPID dmacastd@beside)"
check "dpkg -i of a newer version" install_package /tmp/newer.deb
is "it is installed" "$(installed_version)" "installed $newer"
is "both services run" "$(property ActiveState) $(property ActiveState dmacastd@beside)" "active active"
after="$(property MainPID) $(property MainPID dmacastd@beside)"
compare "the daemon is a new one" "${before% *}" -ne "${after% *}"
compare "that of the instance, too" "${before#* }" -ne "${after#* }"
is "the configuration is the operator's" "$(guest cat /etc/dmacast/dmacastd.conf)" "$(cat "$work/dmacastd.conf")"
feed_ok "clients get every byte" --clients 2 --bytes 1M "$target"
feed_ok "of the instance, too" --clients 2 --bytes 1M "$beside"
feed_end_ok "the clients of before are still there, and miss no byte" stays TERM
feed_end_ok "those of the instance, too" instance TERM

# --- a service that was stopped stays so ---
guest systemctl stop dmacastd
check "dpkg -i of the older version" install_package /tmp/dmacast.deb
is "it starts no service that did not run, and restarts the other one" \
	"$(installed_version): $(property ActiveState) $(property ActiveState dmacastd@beside)" \
	"installed $version: inactive active"
check "systemctl start" guest systemctl start dmacastd

# --- removing ---
check "dpkg -r" guest dpkg -r dmacast
is "no daemon runs" "$(guest pgrep -c dmacastd)" 0
is "the configuration stays" "$(guest cat /etc/dmacast/dmacastd.conf)" "$(cat "$work/dmacastd.conf")"
check "no program is left" guest sh -c '! ls /usr/sbin/dmacast*'

# --- again, and purging ---
check "dpkg -i with the old configuration" install_package /tmp/newer.deb
is "which is still the operator's" "$(guest cat /etc/dmacast/dmacastd.conf)" "$(cat "$work/dmacastd.conf")"
check "systemctl start" guest systemctl start dmacastd
feed_ok "and clients get every byte" --clients 2 --bytes 1M "$target"
check "dpkg -P" guest dpkg -P dmacast
is "no daemon runs" "$(guest pgrep -c dmacastd)" 0
is "the configuration of the instance is the operator's" "$(guest sh -c 'cd /etc/dmacast && echo *')" beside.conf
guest rm -r /etc/dmacast /etc/modprobe.d/dmacast.conf
snapshot >"$work/after"
is "nothing is left, nothing else is taken" "$(diff "$work/before" "$work/after")" ""
is "dpkg knows it no more" "$(guest dpkg -l dmacast 2>&1 | grep -c '^[a-z][a-z] ')" 0
is "systemd, neither" "$(property LoadState)" not-found
check "but the user stays, as files may be its own" guest getent passwd dmacast
check "the modules can go" guest modprobe -r dmacast dmacast_sim
service_stop

done_testing
