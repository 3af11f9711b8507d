#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# make deb for this machine: what lintian says, that a second build gives the same bytes, what is in the packages.

. tests/debian/lib.sh

arch=$(dpkg --print-architecture)
build_packages
changes=$(find "$packages" -name "dmacast_*_$arch.changes")
clean_by_lintian "$changes"
deb=$(find "$packages" -name "dmacast_*_$arch.deb")
dkms=$(find "$packages" -name 'dmacast-dkms_*_all.deb')

# The tree is copied to another directory for each build, and the copy has another time.
cp "$deb" "$dkms" "$work"
build_packages
for file in "$deb" "$dkms"; do
	check "again, $(basename "$file") has the same bytes" cmp "$file" "$work/$(basename "$file")"
done

# --- the programs ---
dpkg-deb -x "$deb" "$work/root"
check "the daemon runs" "$work/root/usr/sbin/dmacastd" --check -c "$work/root/etc/dmacast/dmacastd.conf"
is "so does dmacastctl" "$("$work/root/usr/sbin/dmacastctl" --version)" "dmacastctl $(dpkg-deb -f "$deb" Version | cut -d - -f 1)"
grep -rl /usr/local "$work/root/lib" "$work/root/usr/lib" "$work/root/usr/sbin" >"$work/local"
is "no unit or program refers to /usr/local" "$(cat "$work/local")" ""

# --- the units ---
find "$work/root" -name 'dmacastd*.service' >"$work/units"
is "both units are in the package" "$(wc -l <"$work/units")" 2
while read -r unit; do
	sed -n 's/^Exec[A-Za-z]*=-\{0,1\}\([^ ]*\).*/\1/p' "$unit" | sort -u | while read -r program; do
		[ -x "$work/root$program" ] || echo "$unit: $program"
	done
done <"$work/units" >"$work/missing"
is "and start what is in it" "$(cat "$work/missing")" ""

# --- the module's sources ---
dpkg-deb -x "$dkms" "$work/dkms"
sources=$(find "$work/dkms/usr/src" -maxdepth 1 -name 'dmacast-*')
is "dkms.conf has the version of its directory" \
	"$(sed -n 's/^PACKAGE_VERSION="\(.*\)"/\1/p' "$sources/dkms.conf")" "${sources##*/dmacast-}"
is "each source of the module is there" "$(cd "$sources" && find . -name '*.[ch]' -o -name Kbuild | sort)" \
	"$(cd kmod && find . -name '*.[ch]' -o -name Kbuild | sort)"

done_testing
