#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# Packaging without building a package: make dist gives the same bytes from any clone; each installed file is in one
# Debian package; versions, licences and dependencies agree in Debian's, Buildroot's and Yocto's files.

. tests/lib.sh

make=(env -u MAKEFLAGS -u MFLAGS -u MAKELEVEL make -s --no-print-directory)
version=$(sed -n 's/^VERSION := //p' Makefile)
recipe=conf/yocto/recipes-support/dmacast/dmacast_$version.bb
module_recipe=conf/yocto/recipes-kernel/dmacast-module/dmacast-module_$version.bb
buildroot=conf/buildroot/package

# --- make dist ---
# clone NAME UMASK: another clone of this tree, of another time and with other permissions.
clone()
{
	mkdir -p "$work/$1"
	(umask "$2" && git clone -q --no-hardlinks . "$work/$1/tree") &&
		find "$work/$1/tree" -path '*/.git' -prune -o -type f -exec touch -d "$3" {} +
}

# bytes_of_dist NAME: of the tarball that make dist gives there.
bytes_of_dist()
{
	(cd "$work/$1/tree" && "${make[@]}" dist >&2 && sha256sum <"build/dmacast-$version.tar.gz")
}

if [ -e .git ] && git rev-parse --verify -q HEAD >/dev/null; then
	check "a clone" clone first 022 '2001-01-01'
	check "another one" clone far/away/second 077 '2010-01-01'
	first=$(bytes_of_dist first)
	is "make dist gives the same bytes from both" "$(bytes_of_dist far/away/second)" "$first"
	mkdir "$work/third"
	tar -xzf "$work/first/tree/build/dmacast-$version.tar.gz" -C "$work/third"
	mv "$work/third/dmacast-$version" "$work/third/tree"
	is "and from an unpacked tarball" "$(bytes_of_dist third)" "$first"
	is "which has every file of the repository" \
		"$(cd "$work/third/tree" && find . -path ./build -prune -o -type f -printf '%P\n' | sort)" \
		"$(git ls-tree -r --name-only HEAD | sort)"
	echo changed >>"$work/third/tree/README.md"
	compare "a changed file gives others" "$([ "$(bytes_of_dist third)" = "$first" ]; echo $?)" -eq 1
else
	skip "make dist" "this tree is not a clone"
fi

# --- each installed file is in one Debian package ---
"${make[@]}" -o daemon -o ctl -o nats BUILD="$BUILD" DESTDIR="$work/root" PREFIX=/usr install >"$work/install" 2>&1
ok $? "make install" || diag_file "$work/install"
grep -hv '^#' conf/debian/*.install | sort >"$work/patterns"
(cd "$work/root" && find . -type f -printf '%P\n') | while read -r file; do
	count=0
	while read -r pattern; do
		# shellcheck disable=SC2053 # a pattern
		[[ $file = $pattern || $file = $pattern/* ]] && count=$((count + 1))
	done <"$work/patterns"
	[ $count -eq 1 ] || echo "$file: in $count packages"
done >"$work/wrong"
is "each file of make install is in one Debian package" "$(cat "$work/wrong")" ""
while read -r pattern; do
	(cd "$work/root" && compgen -G "$pattern" >/dev/null) || echo "$pattern"
done <"$work/patterns" >"$work/wrong"
is "and each line of the packages is installed" "$(cat "$work/wrong")" ""

# --- without systemd ---
"${make[@]}" WERROR=1 SYSTEMD=no BUILD="$work/without" "$work/without/daemon/lib/service.o" >"$work/without.log" 2>&1
ok $? "SYSTEMD=no compiles what knows systemd" || diag_file "$work/without.log"
is "and refers to nothing of libsystemd" "$(nm -u "$work/without/daemon/lib/service.o" | grep -c ' sd_')" 0
"${make[@]}" -n -o daemon -o ctl -o nats SYSTEMD=no DESTDIR="$work/no" PREFIX=/usr install >"$work/commands" 2>&1
is "nor does it install units or users" "$(grep -cE 'dmacastd@?\.service|sysusers' "$work/commands")" 0

# --- versions and dependencies ---
is "Debian's version" "$(sed -n '1s/^dmacast (\(.*\)-[^-]*) .*/\1/p' conf/debian/changelog)" "$version"
is "Buildroot's version" "$(sed -n 's/^DMACAST_VERSION = //p' $buildroot/dmacast/dmacast.mk)" "$version"
check "Yocto's version" test -e "$recipe" -a -e "$module_recipe"
awk '/^Build-Depends/ { on = 1 } /^Package/ { on = 0 } on' conf/debian/control | grep -oE '\blib[a-z-]+-dev' |
	grep -vx libnats-dev | sort >"$work/depends" # optional; Buildroot and Yocto have no libnats
is "Debian's build dependencies are those of tests/packages" "$(cat "$work/depends")" \
	"$(sed -n 's/^build="\(.*\)"/\1/p' tests/packages | tr ' ' '\n' | grep -E '^lib.*-dev$' | grep -vx libc6-dev | sort)"
# Debian's name of a library, Buildroot's, Yocto's.
while read -r debian names; do
	grep -qx "$debian-dev" "$work/depends" || echo "$debian: not in Debian's"
	grep -E '^DMACAST_DEPENDENCIES' $buildroot/dmacast/dmacast.mk | grep -qw -- "${names% *}" ||
		echo "${names% *}: not in Buildroot's"
	grep -E '^(DEPENDS|PACKAGECONFIG.systemd)' "$recipe" | grep -qw -- "${names#* }" || echo "${names#* }: not in Yocto's"
	echo "$debian-dev" >>"$work/known"
done >"$work/wrong" <<'END'
libevent libevent libevent
libbsd libbsd libbsd
libinih inih libinih
libjansson jansson jansson
libcbor libcbor libcbor
libncurses ncurses ncurses
libhttp-parser http-parser http-parser
libsystemd systemd systemd
END
is "Buildroot and Yocto build with the same libraries" "$(cat "$work/wrong")" ""
is "and these are all" "$(sort "$work/known")" "$(cat "$work/depends")"

# --- licences ---
for file in "$recipe" "$module_recipe"; do
	matches "$file: the checksum of the licence" "$file" \
		"^LIC_FILES_CHKSUM = \"file://LICENSE;md5=$(md5sum <LICENSE | cut -d ' ' -f 1)\"\$"
done
matches "the module is under the GPL" "$module_recipe" '^LICENSE = "GPL-2.0-only"$'
matches "the programs are under the BSD licence" "$recipe" '^LICENSE = "BSD-2-Clause"$'
matches "and so for Buildroot" $buildroot/dmacast/dmacast.mk \
	'^DMACAST_LICENSE = BSD-2-Clause \(programs\), GPL-2.0 \(kernel modules\)$'
git ls-files 2>/dev/null | grep -Ev '^(LICENSE|tests/fuzz/corpus/.*)$' | xargs -r grep -l -m 1 '^.*SPDX-License-Identifier: GPL' |
	grep -Ev '^(kmod/|tests/vm/pfnmap/|tests/mutants/kmod-|conf/debian/copyright$|tests/t/76)' >"$work/wrong"
is "conf/debian/copyright has each place of other licences" "$(cat "$work/wrong")" ""

# --- form ---
check "Yocto's files: Python and shell in them" python3 tests/debian/yocto.py conf/yocto
for package in dmacast http-parser; do
	is "$package.mk has the head that Buildroot wants" "$(sed -n '1p; 2p; 4p; 5p' $buildroot/$package/$package.mk)" \
		"$(printf '%080d\n#\n#\n%080d\n' 0 0 | tr 0 '#')"
done
is "Buildroot's files have no blanks at the end of a line" "$(grep -rnE '[[:blank:]]$' conf/buildroot)" ""
is "help is not wider than Buildroot's menu" "$(grep -rnE $'^\t  .{63,}$' --include=Config.in conf/buildroot)" ""
for script in conf/debian/*.p{re,ost}{inst,rm} $buildroot/dmacast/S90dmacastd; do
	[ ! -e "$script" ] || sh -n "$script" || echo "$script"
done >"$work/wrong" 2>&1
is "scripts of packages are right for sh" "$(cat "$work/wrong")" ""

done_testing
