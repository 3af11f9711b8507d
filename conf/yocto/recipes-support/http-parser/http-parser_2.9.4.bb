# SPDX-License-Identifier: BSD-2-Clause
SUMMARY = "Parser for HTTP messages"
DESCRIPTION = "http-parser parses requests and responses of HTTP without allocating memory."
HOMEPAGE = "https://github.com/nodejs/http-parser"
SECTION = "libs"
LICENSE = "MIT"
LIC_FILES_CHKSUM = "file://LICENSE-MIT;md5=9bfa835d048c194ab30487af8d7b3778"

SRC_URI = "git://github.com/nodejs/http-parser.git;protocol=https;nobranch=1;destsuffix=${BP}"
SRCREV = "2343fd6b5214b2ded2cdcf76de2bf60903bb90cd"

EXTRA_OEMAKE = "PLATFORM=linux PREFIX=${prefix} LIBDIR=${libdir} INCLUDEDIR=${includedir}"

do_compile() {
	oe_runmake library
}

do_install() {
	oe_runmake install DESTDIR=${D}
}
