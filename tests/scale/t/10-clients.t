#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# 10,000 clients, a reload with them, and 500 joins and leaves a second beside them.

. tests/scale/lib.sh

scale_enter "$@"
scale_run 10000
scale_reload
scale_churn 500 30000
scale_end
scale_spread 1000 10

done_testing
