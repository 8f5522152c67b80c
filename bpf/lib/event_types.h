/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef WEFT_EVENT_TYPES_H
#define WEFT_EVENT_TYPES_H

#include <linux/types.h>

enum event_type {
	EVENT_DROP = 1,
};

/* One record of the event ring. Addresses and ports network order; ts_ns is CLOCK_MONOTONIC. */
struct event {
	__u8 type;
	__u8 reason;
	__u8 dir;
	__u8 proto;
	__u32 ifindex;
	__u64 ts_ns;
	__be32 saddr;
	__be32 daddr;
	__be16 sport;
	__be16 dport;
	__u32 len;
};

#endif /* WEFT_EVENT_TYPES_H */
