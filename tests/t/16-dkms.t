#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# make dkms-install and dkms-uninstall, in a tree of their own, for a kernel whose headers are unpacked only.

. tests/lib.sh

command -v dkms >/dev/null || skip_all "dkms is not installed"
[ "$(id -u)" -eq 0 ] || skip_all "dkms works for root only"
kernel=$(tests/vm/kernels 6.1) || {
	ok 1 "there is a kernel to build for"
	done_testing
}
release=$(cat "$kernel/release")
root=$work/root
mkdir -p "$root"/{var/lib/dkms,usr/src,"lib/modules/$release"}
# dkms looks there for what it would replace, and for the map of symbols.
cp "$kernel/lib/modules/$release"/modules.{order,builtin} "$root/lib/modules/$release"

dkms_make()
{
	env -u MAKEFLAGS -u MFLAGS -u MAKELEVEL make -s "$1" DKMS_ROOT="$root" DKMS_KERNEL="$release" \
		DKMS_OPTIONS="--kernelsourcedir $kernel/lib/modules/$release/build --no-depmod"
}

installed()
{
	find "$root/lib/modules" -name '*.ko*' | sed 's,.*/,,; s,\.[xg]z$,,' | sort | tr '\n' ' '
}

check "make dkms-install" dkms_make dkms-install
is "both modules are installed" "$(installed)" "dmacast.ko dmacast_sim.ko "
module=$(find "$root/lib/modules" -name 'dmacast.ko*' | head -n 1)
is "for that kernel" "$(modinfo -F vermagic "${module:-/dev/null}" | cut -d ' ' -f 1)" "$release"
check "and again, over what is there" dkms_make dkms-install
is "still both" "$(installed)" "dmacast.ko dmacast_sim.ko "
check "make dkms-uninstall" dkms_make dkms-uninstall
is "no module is left" "$(installed)" ""
is "no source is left" "$(find "$root/usr/src" "$root/var/lib/dkms" -name 'dmacast*')" ""

done_testing
