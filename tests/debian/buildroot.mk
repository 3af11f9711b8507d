# SPDX-License-Identifier: BSD-2-Clause
#
# The part of Buildroot that conf/buildroot uses, for this machine as the target: the names that Buildroot's manual
# documents for packages, and targets that run a package's commands. BR2_ symbols come from the command line.
#
#   make -f tests/debian/buildroot.mk PACKAGE-build PACKAGE-install      with SOURCE, STAGING_DIR, TARGET_DIR
#   make -f tests/debian/buildroot.mk show-VARIABLE

BR2_EXTERNAL_DMACAST_PATH := $(CURDIR)/conf/buildroot
TARGET_CONFIGURE_OPTS = CC=gcc AR=ar CFLAGS=-O1 PKG_CONFIG=pkg-config
TARGET_MAKE_ENV = PATH="$(PATH)"
INSTALL = install
github = https://github.com/$(1)/$(2)/archive/$(3)
KCONFIG_ENABLE_OPT = enable $(1)

package_directory = $(patsubst %/,%,$(dir $(lastword $(MAKEFILE_LIST))))
package_upper = $(shell echo $(1) | tr a-z- A-Z_)

define package_rules
$(2)_PKGDIR = $(3)
.PHONY: $(1)-build $(1)-install
$(1)-build $(1)-install: @D = $(SOURCE)
$(1)-build:
	$$($(2)_BUILD_CMDS)
$(1)-install:
	$$($(2)_INSTALL_STAGING_CMDS)
	$$($(2)_INSTALL_TARGET_CMDS)
	$$($(2)_INSTALL_INIT_SYSV)
endef

generic-package = $(call package_rules,$(notdir $(package_directory)),$(call package_upper,$(notdir \
	$(package_directory))),$(package_directory))
kernel-module = $(eval kernel_module_packages += $(notdir $(package_directory)))

include $(BR2_EXTERNAL_DMACAST_PATH)/external.mk

show-%:
	@echo '$($*)'
