# SPDX-License-Identifier: BSD-2-Clause
SUMMARY = "Stream a live feed to many TCP clients without copying it"
DESCRIPTION = "dmacastd sends the blocks of a DMA ring, a FIFO or a command to many TCP clients with MSG_ZEROCOPY; \
dmacastctl shows its state, controls it and records streams."
SECTION = "net"
LICENSE = "BSD-2-Clause"
LIC_FILES_CHKSUM = "file://LICENSE;md5=9a37ba748260c31de0c60dbdb9b3cd9e"
# The live page is made by basenc.
DEPENDS = "coreutils-native http-parser jansson libbsd libcbor libevent libinih ncurses"

inherit externalsrc pkgconfig systemd update-rc.d useradd

EXTERNALSRC = "${DMACAST_SOURCE}"
EXTERNALSRC_BUILD = "${WORKDIR}/build"
EXTERNALSRC_SYMLINKS = ""

PACKAGECONFIG ??= "${@bb.utils.filter('DISTRO_FEATURES', 'systemd', d)}"
PACKAGECONFIG[systemd] = "SYSTEMD=yes,SYSTEMD=no,systemd"

EXTRA_OEMAKE = "-C ${S} BUILD=${B} PREFIX=${prefix} SYSCONFDIR=${sysconfdir} ${PACKAGECONFIG_CONFARGS}"

USERADD_PACKAGES = "${PN}"
USERADD_PARAM:${PN} = "--system --user-group --no-create-home --home-dir / --shell /sbin/nologin dmacast"

SYSTEMD_SERVICE:${PN} = "dmacastd.service"
# An operator edits /etc/dmacast/dmacastd.conf first.
SYSTEMD_AUTO_ENABLE ?= "disable"

INITSCRIPT_NAME = "dmacastd"
INITSCRIPT_PARAMS = "defaults 90 10"

do_compile() {
	oe_runmake all
}

do_install() {
	oe_runmake install DESTDIR=${D}
	rm -rf ${D}${nonarch_libdir}/sysusers.d ${D}${nonarch_libdir}/modules-load.d
	# Without a merged /usr the units belong in /lib.
	units=${D}${nonarch_libdir}/systemd/system
	if [ -d $units ] && [ ${systemd_system_unitdir} != ${nonarch_libdir}/systemd/system ]; then
		install -d ${D}${systemd_system_unitdir}
		mv $units/* ${D}${systemd_system_unitdir}
		rmdir $units ${D}${nonarch_libdir}/systemd
	fi
	if ${@bb.utils.contains('DISTRO_FEATURES', 'sysvinit', 'true', 'false', d)}; then
		install -D -m 0755 ${S}/conf/buildroot/package/dmacast/S90dmacastd \
			${D}${sysconfdir}/init.d/dmacastd
	fi
}

FILES:${PN} += "${nonarch_libdir}/sysctl.d ${nonarch_libdir}/udev ${systemd_system_unitdir}"

PACKAGES =+ "${PN}-bash-completion"
FILES:${PN}-bash-completion = "${datadir}/bash-completion"
RDEPENDS:${PN}-bash-completion = "bash-completion"

CONFFILES:${PN} = "${sysconfdir}/dmacast/dmacastd.conf"
RRECOMMENDS:${PN} = "kernel-module-dmacast"
