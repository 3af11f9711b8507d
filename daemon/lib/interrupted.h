/* SPDX-License-Identifier: BSD-2-Clause */
/* System calls that a signal interrupts. */
#ifndef DMACAST_INTERRUPTED_H
#define DMACAST_INTERRUPTED_H

#include <errno.h>

/**
 * REPEAT_INTERRUPTED() - make a call again until no signal interrupts it. A process that was stopped and continued
 * sees this, too, at a socket with a time limit. @call: returns -1 with errno after a failure
 */
#define REPEAT_INTERRUPTED(call)                                 \
	({                                                       \
		__typeof__(call) result_of_call_;                \
		do                                               \
			result_of_call_ = (call);                \
		while (result_of_call_ == -1 && errno == EINTR); \
		result_of_call_;                                 \
	})

#endif
