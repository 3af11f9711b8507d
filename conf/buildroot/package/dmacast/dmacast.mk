################################################################################
#
# dmacast - SPDX-License-Identifier: BSD-2-Clause
#
################################################################################

DMACAST_VERSION = 0.1
# The source tree that this file is part of.
DMACAST_SITE = $(BR2_EXTERNAL_DMACAST_PATH)/../..
DMACAST_SITE_METHOD = local
DMACAST_OVERRIDE_SRCDIR_RSYNC_EXCLUSIONS = --exclude=/build
DMACAST_LICENSE = BSD-2-Clause (programs), GPL-2.0 (kernel modules)
DMACAST_LICENSE_FILES = LICENSE
DMACAST_DEPENDENCIES = host-pkgconf inih jansson libbsd libcbor libevent ncurses

# Older releases of Buildroot have it as libhttpparser.
ifeq ($(BR2_PACKAGE_LIBHTTPPARSER),y)
DMACAST_DEPENDENCIES += libhttpparser
else
DMACAST_DEPENDENCIES += http-parser
endif

ifeq ($(BR2_PACKAGE_SYSTEMD),y)
DMACAST_DEPENDENCIES += systemd
DMACAST_SYSTEMD = yes
else
DMACAST_SYSTEMD = no
endif

DMACAST_MAKE_OPTS = \
	$(TARGET_CONFIGURE_OPTS) \
	PREFIX=/usr \
	SYSTEMD=$(DMACAST_SYSTEMD)

define DMACAST_BUILD_CMDS
	$(TARGET_MAKE_ENV) $(MAKE) $(DMACAST_MAKE_OPTS) -C $(@D) all
endef

define DMACAST_INSTALL_TARGET_CMDS
	$(TARGET_MAKE_ENV) $(MAKE) $(DMACAST_MAKE_OPTS) -C $(@D) \
		DESTDIR=$(TARGET_DIR) install
endef

define DMACAST_INSTALL_INIT_SYSV
	$(INSTALL) -D -m 0755 $(DMACAST_PKGDIR)/S90dmacastd \
		$(TARGET_DIR)/etc/init.d/S90dmacastd
endef

define DMACAST_USERS
	dmacast -1 dmacast -1 * / - - dmacast streaming daemon
endef

ifeq ($(BR2_PACKAGE_DMACAST_MODULE),y)
DMACAST_MODULE_SUBDIRS = kmod

define DMACAST_LINUX_CONFIG_FIXUPS
	$(call KCONFIG_ENABLE_OPT,CONFIG_DMADEVICES)
endef

$(eval $(kernel-module))
endif

$(eval $(generic-package))
