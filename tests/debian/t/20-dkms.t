#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# dmacast-dkms in a Debian 12 with the headers of a kernel: installing builds both modules, removing takes them away.

. tests/debian/lib.sh

# shellcheck disable=SC2016 # the root's
in_root "$packages" '
	installed() { find /lib/modules -name "dmacast*.ko*" -printf "%f\n" | sed "s/\.[xg]z$//" | sort | tr "\n" " "; }
	export DEBIAN_FRONTEND=noninteractive
	dpkg -i /packages/dmacast-dkms_*.deb >/tmp/log 2>&1; echo "install: $?"
	cat /tmp/log | sed "s/^/log: /"
	find /var/lib/dkms -name make.log -exec sed "s/^/make: /" {} +
	echo "installed: $(installed)"
	echo "status: $(dkms status)"
	echo "module: $(modinfo -F license $(find /lib/modules -name "dmacast.ko*"))"
	echo "loaded at boot: $(grep -v "^#" /usr/lib/modules-load.d/dmacast.conf)"
	dpkg -P dmacast-dkms >/tmp/log 2>&1; echo "purge: $?"
	echo "left: $(installed)$(ls -d /usr/src/dmacast* /var/lib/dkms/dmacast* 2>/dev/null)"
' dkms,linux-headers-amd64 >"$work/out"
ok $? "a root file system with dkms" || diag_file "$work/in.err"
matches "dpkg -i" "$work/out" '^install: 0$' || diag_file "$work/out"
matches "both modules are built and installed" "$work/out" '^installed: dmacast.ko dmacast_sim.ko $' ||
	diag_file "$work/out"
matches "dkms knows them" "$work/out" '^status: dmacast/.*: installed$'
matches "without a warning of the compiler" <(grep -c '^make: .*warning:' "$work/out") '^0$'
matches "under the GPL" "$work/out" '^module: GPL'
matches "the module is loaded at boot" "$work/out" '^loaded at boot: dmacast$'
matches "dpkg -P" "$work/out" '^purge: 0$'
matches "nothing is left" "$work/out" '^left: $'

done_testing
