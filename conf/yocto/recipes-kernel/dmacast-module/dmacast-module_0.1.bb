# SPDX-License-Identifier: BSD-2-Clause
SUMMARY = "DMA ring for dmacast"
DESCRIPTION = "dmacast.ko lends the blocks that a DMA engine fills to dmacastd; dmacast_sim.ko is a simulated engine."
SECTION = "kernel"
LICENSE = "GPL-2.0-only"
LIC_FILES_CHKSUM = "file://LICENSE;md5=9a37ba748260c31de0c60dbdb9b3cd9e"

inherit module externalsrc

EXTERNALSRC = "${DMACAST_SOURCE}"
EXTERNALSRC_BUILD = "${WORKDIR}/build"
EXTERNALSRC_SYMLINKS = ""

# Kbuild builds where the sources are, so it gets a copy of them.
do_configure() {
	cp -R ${S}/kmod/. ${B}
}

EXTRA_OEMAKE += "-C ${STAGING_KERNEL_DIR} M=${B}"
MAKE_TARGETS = "modules"

# A device tree node loads the module by its alias.
RPROVIDES:${PN} += "kernel-module-dmacast kernel-module-dmacast-sim"
