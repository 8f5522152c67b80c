/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef WEFT_ENDPOINT_TYPES_H
#define WEFT_ENDPOINT_TYPES_H

#include <linux/types.h>

#include "address_types.h"

enum ep_flag {
	/* An address of the node itself. */
	EP_HOST = 1 << 0,
	/* A pod in the node's network namespace. */
	EP_HOST_NETNS = 1 << 1,
};

struct ep_key {
	struct addr16 addr;
	__u8 family;
	__u8 key;
	__u16 cluster_id;
};

struct ep_val {
	__u32 ifindex;
	__u32 identity;
	__u16 ep_id;
	__u16 flags;
	__u32 parent_ifindex;
	__u8 mac[6];
	__u16 zero0;
	__u8 node_mac[6];
	__u16 zero1;
};

#endif /* WEFT_ENDPOINT_TYPES_H */
