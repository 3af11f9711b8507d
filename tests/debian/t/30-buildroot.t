#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# conf/buildroot without Buildroot: its menu, by kconfiglib; the commands of its package, with this machine as the
# target and no systemd; and the init script, with busybox.

. tests/debian/lib.sh

export BR2_EXTERNAL_DMACAST_PATH=$PWD/conf/buildroot

# --- the menu ---
# menu MORE SYMBOL...: as in a Buildroot with these symbols and the lines MORE; prints what is on.
menu()
{
	local symbol

	{
		for symbol in USE_MMU USE_WCHAR TOOLCHAIN_HAS_THREADS STATIC_LIBS TOOLCHAIN_USES_GLIBC LINUX_KERNEL \
			TOOLCHAIN_HEADERS_AT_LEAST_5_10 PACKAGE_LIBBSD_ARCH_SUPPORTS PACKAGE_INIH PACKAGE_JANSSON \
			PACKAGE_LIBBSD PACKAGE_LIBEVENT PACKAGE_NCURSES PACKAGE_NCURSES_WCHAR; do
			printf 'config BR2_%s\n\tbool "%s"\n' $symbol $symbol
		done
		printf '%b' "$1"
		# kconfiglib expands macros, where Buildroot's Kconfig expands the environment.
		sed "s,\\\$BR2_EXTERNAL_DMACAST_PATH,$BR2_EXTERNAL_DMACAST_PATH," conf/buildroot/Config.in
	} >"$work/Kconfig"
	shift
	/usr/bin/python3 tests/debian/kconfig.py "$work/Kconfig" "$@" 2>"$work/kconfig.err" | grep -E 'DMACAST|PARSER|LIBBSD$|INIH' |
		sort | tr '\n' ' '
}

toolchain=(BR2_USE_MMU BR2_USE_WCHAR BR2_TOOLCHAIN_HAS_THREADS BR2_TOOLCHAIN_USES_GLIBC
	BR2_TOOLCHAIN_HEADERS_AT_LEAST_5_10 BR2_PACKAGE_LIBBSD_ARCH_SUPPORTS)
is "dmacast brings its libraries" "$(menu '' "${toolchain[@]}" BR2_PACKAGE_DMACAST)" \
	"BR2_PACKAGE_DMACAST BR2_PACKAGE_HTTP_PARSER BR2_PACKAGE_INIH BR2_PACKAGE_LIBBSD "
is "and nothing to complain of" "$(cat "$work/kconfig.err")" ""
is "its modules, where a kernel is built" "$(menu '' "${toolchain[@]}" BR2_LINUX_KERNEL BR2_PACKAGE_DMACAST)" \
	"BR2_PACKAGE_DMACAST BR2_PACKAGE_DMACAST_MODULE BR2_PACKAGE_HTTP_PARSER BR2_PACKAGE_INIH BR2_PACKAGE_LIBBSD "
is "Buildroot's own parser, if there is one" "$(menu 'config BR2_PACKAGE_LIBHTTPPARSER\n\tbool "x"\n' "${toolchain[@]}" \
	BR2_PACKAGE_LIBHTTPPARSER BR2_PACKAGE_DMACAST)" \
	"BR2_PACKAGE_DMACAST BR2_PACKAGE_INIH BR2_PACKAGE_LIBBSD BR2_PACKAGE_LIBHTTPPARSER "
is "no dmacast without shared libraries" "$(menu '' "${toolchain[@]}" BR2_STATIC_LIBS BR2_PACKAGE_DMACAST)" ""

# --- the package ---
buildroot()
{
	env -u MAKEFLAGS -u MFLAGS -u MAKELEVEL make -s --no-print-directory -f tests/debian/buildroot.mk \
		SOURCE="$work/source" TARGET_DIR="$work/target" STAGING_DIR="$work/staging" "$@"
}

conf/dist source "$work/source.tar" && tar -xf "$work/source.tar" -C "$work"
is "the source is this tree" "$(realpath "$(buildroot show-DMACAST_SITE)")" "$(realpath .)"
is "with systemd it builds with that" "$(buildroot BR2_PACKAGE_SYSTEMD=y show-DMACAST_DEPENDENCIES)" \
	"host-pkgconf inih jansson libbsd libcbor libevent ncurses http-parser systemd"
is "the modules use Buildroot's way" "$(buildroot BR2_PACKAGE_DMACAST_MODULE=y show-kernel_module_packages)" dmacast
is "from their directory" "$(buildroot BR2_PACKAGE_DMACAST_MODULE=y show-DMACAST_MODULE_SUBDIRS)" kmod
buildroot dmacast-build >"$work/build" 2>&1
ok $? "its commands build" || tail -n 20 "$work/build" | sed 's/^/#   /'
buildroot dmacast-install >"$work/install" 2>&1
ok $? "its commands install" || tail -n 20 "$work/install" | sed 's/^/#   /'
is "without libsystemd" "$(readelf -d "$work/target/usr/sbin/dmacastd" | grep -c systemd)" 0
is "and without units" "$(find "$work/target" -path '*systemd*' -name '*.service')" ""
check "with the init script" test -x "$work/target/etc/init.d/S90dmacastd"

# --- the init script ---
free_ports 1
printf '[stream demo]\npattern = 2M/s\nlisten = 127.0.0.1:%s\n' "${ports[0]}" >"$work/target/etc/dmacast/dmacastd.conf"
# In a root with the libraries and busybox, which starts, logs and connects.
# shellcheck disable=SC2016 # the root's
in_root "$work/target" '
	cp -r /packages/usr /packages/etc /
	echo "dmacast:x:990:990::/:/bin/false" >>/etc/passwd
	echo "dmacast:x:990:" >>/etc/group
	mkdir -p /bb /run
	ln -sfn /run /var/run
	busybox --install -s /bb
	PATH=/bb:/usr/sbin:/usr/bin
	service="busybox sh /etc/init.d/S90dmacastd"
	port=$(sed -n "s/.*listen = .*://p" /etc/dmacast/dmacastd.conf)
	$service start; echo "start: $?"
	for i in $(seq 100); do nc -w 1 127.0.0.1 $port </dev/null | head -c 1 | grep -qa . && break; sleep 0.2; done
	pid=$(cat /var/run/dmacastd.pid)
	echo "program: $(readlink /proc/$pid/exe)"
	echo "user: $(stat -c %u:%g /proc/$pid)"
	sed -n "s/^Max locked memory *\([0-9]*\).*/locked: \1/p; s/^Max open files *\([0-9]*\).*/files: \1/p" /proc/$pid/limits
	echo "bytes: $(nc 127.0.0.1 $port </dev/null | head -c 100000 | wc -c)"
	$service start; echo "again: $? $(ls -l /proc/[0-9]*/exe 2>/dev/null | grep -c " /usr/sbin/dmacastd")"
	$service reload; echo "reload: $?"
	echo "no-such-option = 1" >>/etc/dmacast/dmacastd.conf
	$service reload; echo "reload of an error: $?"
	sed -i "\$d" /etc/dmacast/dmacastd.conf
	$service restart; echo "restart: $?"
	echo "another: $([ "$(cat /var/run/dmacastd.pid)" = "$pid" ]; echo $?)"
	$service stop; echo "stop: $?"
	echo "left: $(ls /proc/$pid/exe /var/run/dmacastd.pid 2>/dev/null)"
	$service stop; echo "stop again: $?"
' busybox,libevent-core-2.1-7,libevent-extra-2.1-7,libbsd0,libinih1,libhttp-parser2.9,libcbor0.8,libjansson4,libncursesw6 >"$work/out"
ok $? "a root file system with busybox" || diag_file "$work/in.err"
result()
{
	is "S90dmacastd: $1" "$(sed -n "s/^$1: //p" "$work/out")" "$2" || diag_file "$work/out"
}
result start 0
result program /usr/sbin/dmacastd
result user 990:990
# A container may not raise its limits.
if (ulimit -n 65536 && ulimit -l 4194304) 2>/dev/null; then
	result locked 4294967296
	result files 65536
else
	skip "S90dmacastd: limits" "this machine may not raise them"
fi
result bytes 100000
result again "0 1"
result reload 0
result "reload of an error" 1
result restart 0
result another 1
result stop 0
result left ""
result "stop again" 1

done_testing
