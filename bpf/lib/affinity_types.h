/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef WEFT_AFFINITY_TYPES_H
#define WEFT_AFFINITY_TYPES_H

#include <linux/types.h>

/* client: IPv4 address as in the packet, zero-extended; or the netns cookie (is_netns 1). */
struct aff_key {
	__u64 client;
	__u32 svc_id;
	__u8 is_netns;
	__u8 zero[3];
};

struct aff_val {
	__u32 last_s;
	__u32 backend_id;
};

#endif /* WEFT_AFFINITY_TYPES_H */
