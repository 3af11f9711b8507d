/* SPDX-License-Identifier: GPL-2.0-only */
/* Tracepoints for the life of a block. In tracefs: events/dmacast/. */
#undef TRACE_SYSTEM
#define TRACE_SYSTEM dmacast

#if !defined(DMACAST_TRACE_H) || defined(TRACE_HEADER_MULTI_READ)
#define DMACAST_TRACE_H

#include "channel_state.h"
#include "compat.h"

#include <linux/tracepoint.h>

DECLARE_EVENT_CLASS(dmacast_block,
	TP_PROTO(const struct ring_block *block),
	TP_ARGS(block),
	TP_STRUCT__entry(
		__string(channel, dev_name(&block->channel->dev))
		__field(u32, index)
		__field(u32, length)
		__field(u64, sequence)
	),
	TP_fast_assign(
		compat_assign_str(channel, dev_name(&block->channel->dev));
		__entry->index = block->index;
		__entry->length = block->length;
		__entry->sequence = block->sequence;
	),
	TP_printk("%s block=%u sequence=%llu length=%u", __get_str(channel), __entry->index,
		  __entry->sequence, __entry->length)
);

/* Submitted to the engine. Sequence and length are those of its previous transfer. */
DEFINE_EVENT(dmacast_block, dmacast_submit,
	TP_PROTO(const struct ring_block *block), TP_ARGS(block));

/* Transfer finished. The length is 0 if it failed or was empty. */
DEFINE_EVENT(dmacast_block, dmacast_complete,
	TP_PROTO(const struct ring_block *block), TP_ARGS(block));

/* Lent to the owner. */
DEFINE_EVENT(dmacast_block, dmacast_lend,
	TP_PROTO(const struct ring_block *block), TP_ARGS(block));

/* Returned by the owner. */
DEFINE_EVENT(dmacast_block, dmacast_recycle,
	TP_PROTO(const struct ring_block *block), TP_ARGS(block));

/* Put into quarantine: something still refers to its pages. */
DEFINE_EVENT(dmacast_block, dmacast_quarantine,
	TP_PROTO(const struct ring_block *block), TP_ARGS(block));

/* Taken back unread, because the engine was about to run dry. */
DEFINE_EVENT(dmacast_block, dmacast_overrun,
	TP_PROTO(const struct ring_block *block), TP_ARGS(block));

#endif

#undef TRACE_INCLUDE_PATH
#define TRACE_INCLUDE_PATH .
#undef TRACE_INCLUDE_FILE
#define TRACE_INCLUDE_FILE trace
#include <trace/define_trace.h>
