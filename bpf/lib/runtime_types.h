/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef WEFT_RUNTIME_TYPES_H
#define WEFT_RUNTIME_TYPES_H

#include <linux/types.h>

enum rt_event {
	RT_EVENT_DROP = 1 << 0,
	RT_EVENT_TRACE = 1 << 1,
};

/* What may change while programs run. */
struct rt_val {
	/* Which events somebody listens to: no other is written. */
	__u32 events;
	/* The node's address in what it sends, network order; 0 where it depends on the device, or on what w_dev_v1 says. */
	__be32 addr;
};

#endif /* WEFT_RUNTIME_TYPES_H */
