/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef WEFT_PURGE_TYPES_H
#define WEFT_PURGE_TYPES_H

#include <linux/types.h>

/* Ids of one element of the array. */
#define PURGE_IDS 32

/* Element id / 32, bit id % 32: flows of this backend or of this service are to go. */
struct purge_ids {
	__u32 backends;
	__u32 services;
};

/* Of a service that has such elements, flows of clients that it lets in stay: those in one of its ranges, or with `deny` the rest. */
struct purge_range {
	__u32 svc_id;
	__be32 addr;
	__be32 mask;
	__u32 deny;
};

struct purge_run {
	/* How many ranges there are. */
	__u32 ranges;
	/* What a walk did. */
	__u32 tcp;
	__u32 any;
};

#endif /* WEFT_PURGE_TYPES_H */
