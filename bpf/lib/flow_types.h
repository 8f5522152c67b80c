/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef WEFT_FLOW_TYPES_H
#define WEFT_FLOW_TYPES_H

#include <linux/types.h>

enum flow_flag {
	/* This entry is for packets from the backend to the client. */
	FLOW_REV = 1 << 0,
	/* The client's address is replaced by this node's. */
	FLOW_SNAT = 1 << 1,
	/* The backend is on this node: rewritten packets go to the stack. */
	FLOW_LOCAL = 1 << 2,
	/* TCP: a packet without SYN and RST was seen in either direction. */
	FLOW_ESTABLISHED = 1 << 3,
	/* TCP: a FIN was seen in this entry's direction / in the twin's. */
	FLOW_FIN_SELF = 1 << 4,
	FLOW_FIN_TWIN = 1 << 5,
	/* TCP: a RST was seen in either direction, and nothing but RST since. */
	FLOW_RST = 1 << 6,
	/*
	 * The only entry of its flow: packets go to the backend's node encapsulated, and answers do not come back this way. The
	 * client's address stays, so that of the node stands where the new source would.
	 */
	FLOW_DSR = 1 << 7,
	/* Each packet of it says which service was asked. */
	FLOW_DSR_INFO = 1 << 8,
	/* A pod of this node towards the world, with the node's address. */
	FLOW_MASQ = 1 << 9,
	/* A service's client is a pod of this node, or the node. */
	FLOW_CLIENT_HERE = 1 << 10,
	/* A service's client is its own backend. */
	FLOW_HAIRPIN = 1 << 11,
	/* The world towards a pod of this node by the pod's own address: nothing is rewritten. */
	FLOW_DIRECT = 1 << 12,
};

/* The packet as it arrives. */
struct flow_key {
	__be32 saddr;
	__be32 daddr;
	__be16 sport;
	__be16 dport;
	__u8 proto;
	__u8 zero[3];
};

/* The packet as it leaves. csum_*: folded one's complement differences that this makes in the address and port words. */
struct flow_rw {
	__be32 saddr;
	__be32 daddr;
	__be16 sport;
	__be16 dport;
	__u16 csum_addr;
	__u16 csum_port;
};

/*
 * Two entries make a flow, and each can be computed from the other: the twin's key is this rewrite turned round, the
 * twin's rewrite is this key turned round. Times: CLOCK_MONOTONIC, seconds.
 */
struct flow_val {
	struct flow_rw rw;
	__u32 svc_id;
	__u32 backend_id;
	__u32 expires_s;
	__u32 last_s;
	__u32 flags;
	__u32 created_s;
};

#endif /* WEFT_FLOW_TYPES_H */
