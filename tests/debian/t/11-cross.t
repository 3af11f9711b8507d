#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# make deb for arm64 and armhf, in a root file system with their libraries and compilers.

. tests/debian/lib.sh

for arch in arm64 armhf; do
	build_packages DEB_HOST_ARCH=$arch DEB_CHROOT=yes
	changes=$(find "$packages" -name "dmacast_*_$arch.changes")
	clean_by_lintian "$changes"
	deb=$(find "$packages" -name "dmacast_*_$arch.deb")
	is "the package is for $arch" "$(dpkg-deb -f "$deb" Architecture)" $arch
	dpkg-deb -x "$deb" "$work/$arch"
	case $arch in
	arm64) machine='AArch64' ;;
	armhf) machine='ARM' ;;
	esac
	for program in dmacastd dmacastctl; do
		is "so is $program" "$(readelf -h "$work/$arch/usr/sbin/$program" | sed -n 's/^ *Machine: *//p')" "$machine"
	done
	matches "its libraries are those of this machine's package" <(dpkg-deb -f "$deb" Depends) \
		'libbsd0.*libcbor0.*libevent-core.*libevent-extra.*libhttp-parser.*libinih1.*libjansson4.*libncursesw6.*libsystemd0'
done

# What is missing on this machine is named, and so is the other way. Both libevent-dev cannot be installed together.
if dpkg-query -W libevent-dev:arm64 >/dev/null 2>&1; then
	skip "without the root, what is missing is named" "libevent-dev:arm64 is installed"
else
	DEB_HOST_ARCH=arm64 conf/deb "$work/none" >"$work/refused" 2>&1
	compare "without the root and the libraries it fails" $? -ne 0
	matches "it says what is missing" "$work/refused" 'libevent-dev'
	matches "and what to do" "$work/refused" 'DEB_CHROOT=yes'
fi

done_testing
