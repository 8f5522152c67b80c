/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef WEFT_EVENT_TYPES_H
#define WEFT_EVENT_TYPES_H

#include <linux/types.h>

enum event_type {
	EVENT_DROP = 1,
	/* A packet of a service that goes on. */
	EVENT_TRACE = 2,
};

/* Where a traced packet goes. */
enum trace_point {
	/* The node's own stack, which routes it to a pod or a socket. */
	TRACE_TO_STACK = 0,
	/* Out by a device, as this program has looked up. */
	TRACE_TO_DEVICE = 1,
	/* The same, inside a tunnel packet to another node. */
	TRACE_TO_OVERLAY = 2,
};

/*
 * One record of the event ring. Addresses and ports network order; ts_ns is CLOCK_MONOTONIC. new_*: of a traced packet, as it
 * leaves; of the outer packet where it leaves in one.
 */
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
	__be32 new_saddr;
	__be32 new_daddr;
	__be16 new_sport;
	__be16 new_dport;
	__u8 tcp_flags;
	__u8 point;
	/* From a backend to its client. */
	__u8 answer;
	__u8 zero;
};

#endif /* WEFT_EVENT_TYPES_H */
