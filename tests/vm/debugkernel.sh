# shellcheck shell=bash
# SPDX-License-Identifier: BSD-2-Clause
#
# The debug kernel, series "debug" of tests/vm/kernels, which sources this: Debian's source of Linux 6.1,
# configured by tests/vm/debug.config and compiled here. Compiling takes about 15 minutes on two processors.
#
#   debug_kernel [UPDATE]   build it, unless the cache has it with these settings; with UPDATE, look for a
#                           newer source, too
#
# Uses cache, apt, die, own, describe and update_lists of tests/vm/kernels. An interrupted build continues
# the next time.

# shellcheck disable=SC2154 # of tests/vm/kernels
debug_kernel()
{
	local update=${1-} version

	if [ -z "$update" ] && has_settings; then
		return
	fi
	describe 6.1
	update_lists 6.1
	version=$(own apt-cache show linux-source-6.1 | sed -n 's/^Version: //p' | sort -V | tail -n 1)
	[ -n "$version" ] || die "the mirrors have no linux-source-6.1"
	if has_settings && [ "$(cat "$cache/debug/source")" = "$version" ]; then
		return
	fi
	# Other series stay available during the long build.
	flock -u 9
	exec 8>"$cache/lock-debug"
	flock 8
	fetch_source "$version"
	compile_kernel
	install_kernel "$version"
	exec 8>&-
	flock 9
}

# settings: print them, without comments.
settings()
{
	grep '^CONFIG_' tests/vm/debug.config
}

# has_settings: succeed if the kernel in the cache was compiled with them.
has_settings()
{
	settings | cmp -s - "$cache/debug/settings"
}

fetch_source()
{
	local version=$1 build=$cache/debug.build

	[ "$(cat "$build/source" 2>/dev/null)" != "$version" ] || return 0
	echo "Fetching Debian's source of Linux $version" >&2
	rm -rf "$build"
	mkdir -p "$build"
	(cd "$build" && own apt-get download "linux-source-6.1=$version" >&2) || die "cannot fetch linux-source-6.1"
	dpkg-deb --fsys-tarfile "$build"/*.deb | tar -xO ./usr/src/linux-source-6.1.tar.xz | tar -xJ -C "$build" ||
		die "cannot unpack linux-source-6.1"
	rm "$build"/*.deb
	mv "$build/linux-source-6.1" "$build/linux"
	echo "$version" >"$build/source"
}

# The compiler that the Makefile takes for modules. The options of a make above are for our own programs.
make_kernel()
{
	env -u MAKEFLAGS -u MFLAGS -u MAKELEVEL nice make -C "$cache/debug.build/linux" -s \
		CC="$(basename "$(command -v gcc-12 || command -v gcc)")" "$@"
}

compile_kernel()
{
	local build=$cache/debug.build lost

	make_kernel KCONFIG_ALLCONFIG="$PWD/tests/vm/debug.config" allnoconfig >"$build/log" 2>&1 || {
		cat "$build/log" >&2
		die "cannot configure the debug kernel"
	}
	lost=$(lost_settings "$build/linux/.config")
	[ -z "$lost" ] || die "not in the final configuration of the debug kernel: ${lost//$'\n'/, }"
	echo "Compiling the debug kernel; this takes a quarter of an hour" >&2
	make_kernel -j2 bzImage modules >"$build/log" 2>&1 || {
		tail -n 30 "$build/log" >&2
		die "cannot compile the debug kernel; the log is $build/log"
	}
}

# lost_settings FILE: print the lines of debug.config that do not hold in this configuration.
lost_settings()
{
	local line

	settings | while IFS= read -r line; do
		case $line in
		*=n) ! grep -q "^${line%=n}=" "$1" || echo "$line" ;;
		*) grep -qxF -- "$line" "$1" || echo "$line" ;;
		esac
	done
}

# The same directories as those of Debian's packages. External modules need these parts of the build tree only.
install_kernel()
{
	local version=$1 build=$cache/debug.build new=$cache/debug.new tree release headers

	tree=$build/linux
	release=$(cat "$tree/include/config/kernel.release")
	headers=usr/src/linux-headers-$release
	rm -rf "$new"
	mkdir -p "$new/boot" "$new/$headers" "$new/lib/modules/$release"
	cp "$tree/arch/x86/boot/bzImage" "$new/boot/vmlinuz-$release"
	cp "$tree"/modules.{order,builtin,builtin.modinfo} "$new/lib/modules/$release"
	ln -s "../../../$headers" "$new/lib/modules/$release/build"
	(
		cd "$tree" || exit
		echo .config
		echo Module.symvers
		echo tools/objtool/objtool
		find . arch/x86 -maxdepth 1 -name 'Makefile*'
		find arch/x86 -name Kbuild.platforms -o -name Platform
		find include scripts arch/x86/include ! -type d ! -name '*.o'
	) | sort -u | tar -C "$tree" -c -T - | tar -C "$new/$headers" -x
	depmod -b "$new" "$release"
	settings >"$new/settings"
	echo "$version" >"$new/source"
	echo "$release" >"$new/release"
	rm -rf "$cache/debug"
	mv "$new" "$cache/debug"
	[ -n "${DMACAST_KEEP_BUILD-}" ] || rm -rf "$build"
}
