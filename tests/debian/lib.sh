# shellcheck shell=bash
# SPDX-License-Identifier: BSD-2-Clause
#
# For the tests of packages. To tests/lib.sh it adds:
#
#   build_packages [VARIABLE=VALUE]...   make deb; one test
#   packages                             the directory in which they are
#   clean_by_lintian FILE.changes        one test: lintian has nothing to say
#   in_root DIRECTORY SCRIPT PACKAGE,... run the script as root in a new root file system of Debian 12 that has these
#                                        packages, and DIRECTORY as /packages; its output

. tests/lib.sh

packages=$BUILD/deb

build_packages()
{
	local log=$work/build.log

	env -u MAKEFLAGS -u MFLAGS -u MAKELEVEL make -s --no-print-directory BUILD="$BUILD" deb "$@" >"$log" 2>&1
	ok $? "make deb $*" || tail -n 40 "$log" | sed 's/^/#   /'
}

clean_by_lintian()
{
	lintian --allow-root --pedantic --display-info --show-overrides "$1" 2>&1 |
		grep -vE '^(running with root privileges|[NO]:)' >"$work/lintian"
	is "lintian has nothing to say of $(basename "$1")" "$(cat "$work/lintian")" ""
}

in_root()
{
	local directory=$1 script=$2 wanted=$3

	tests/vm/kernels --mirrors | grep -E ' bookworm(-security)? ' >"$work/in.list"
	apt-config dump Acquire | grep -E '^Acquire::(http|https|Retries)' >"$work/in.apt"
	rm -rf "$work/in"
	mkdir "$work/in"
	cp -r "$directory"/. "$work/in"
	printf '%s\n' "$script" >"$work/in/script"
	tar -C "$work" --transform='s,^in,packages,' -cf "$work/in.tar" in
	# mmdebstrap may run as another user.
	chmod 755 "$work"
	# shellcheck disable=SC2016 # mmdebstrap's
	mmdebstrap --quiet --variant=essential --format=null --aptopt="$work/in.apt" --include="$wanted" \
		--customize-hook="tar-in $work/in.tar /" --customize-hook='chroot "$1" sh /packages/script >"$1/packages/out"' \
		--customize-hook="download /packages/out $work/in.out" \
		bookworm /dev/null "$work/in.list" 2>"$work/in.err" && cat "$work/in.out"
}
