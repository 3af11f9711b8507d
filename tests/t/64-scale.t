#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# A thousand clients of several addresses and formats: a reload with them, and others that join and leave. The same
# with 10,000 is tests/scale/t/10-clients.t.

. tests/scale/lib.sh

scale_enter "$@"
scale_run $((1000 / scale))
scale_reload
scale_churn $((50 / scale)) $((500 / scale))
scale_end
scale_spread $((200 / scale)) 1

done_testing
