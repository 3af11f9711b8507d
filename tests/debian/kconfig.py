# SPDX-License-Identifier: BSD-2-Clause
"""python3 tests/debian/kconfig.py FILE [SYMBOL]...: read a Kconfig file, set these symbols, print what is then on.

A warning of the parser is an error, but for symbols that another part of Buildroot would define.
"""

import sys

import kconfiglib

config = kconfiglib.Kconfig(sys.argv[1], warn_to_stderr=False)
config.warn_assign_undef = True
for symbol in sys.argv[2:]:
    config.syms[symbol].set_value("y")
for symbol in config.unique_defined_syms:
    if symbol.str_value == "y":
        print(symbol.name)
for warning in config.warnings:
    if "undefined symbol" not in warning:
        sys.exit(warning)
