/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef WEFT_DEVICE_TYPES_H
#define WEFT_DEVICE_TYPES_H

#include <linux/types.h>

enum dev_flag {
	/* In the element of all devices alone: there are several, so that the route decides about the address. */
	DEV_SEVERAL = 1 << 0,
	/* Our program is in its driver: XDP may send by it. */
	DEV_XDP = 1 << 1,
};

struct dev_val {
	/* The node's address on that device; network order. */
	__be32 addr;
	__u32 flags;
};

#endif /* WEFT_DEVICE_TYPES_H */
