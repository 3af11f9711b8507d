################################################################################
#
# http-parser - SPDX-License-Identifier: BSD-2-Clause
#
################################################################################

HTTP_PARSER_VERSION = 2.9.4
HTTP_PARSER_SITE = $(call github,nodejs,http-parser,v$(HTTP_PARSER_VERSION))
HTTP_PARSER_INSTALL_STAGING = YES
HTTP_PARSER_LICENSE = MIT
HTTP_PARSER_LICENSE_FILES = LICENSE-MIT
HTTP_PARSER_CPE_ID_VENDOR = nodejs

HTTP_PARSER_MAKE_OPTS = \
	$(TARGET_CONFIGURE_OPTS) \
	PLATFORM=linux \
	PREFIX=/usr

define HTTP_PARSER_BUILD_CMDS
	$(TARGET_MAKE_ENV) $(MAKE) $(HTTP_PARSER_MAKE_OPTS) -C $(@D) library
endef

define HTTP_PARSER_INSTALL_STAGING_CMDS
	$(TARGET_MAKE_ENV) $(MAKE) $(HTTP_PARSER_MAKE_OPTS) -C $(@D) \
		DESTDIR=$(STAGING_DIR) install
endef

define HTTP_PARSER_INSTALL_TARGET_CMDS
	$(TARGET_MAKE_ENV) $(MAKE) $(HTTP_PARSER_MAKE_OPTS) -C $(@D) \
		DESTDIR=$(TARGET_DIR) install
endef

$(eval $(generic-package))
