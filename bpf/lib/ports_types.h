/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef WEFT_PORTS_TYPES_H
#define WEFT_PORTS_TYPES_H

#include <linux/types.h>

struct ports_val {
	/* The node's address that this is about; network order. 0: no flow has been made yet. */
	__be32 addr;
	__u32 zero;
	/* A bit for each port, host order, that flows have had at it. None is ever cleared. */
	__u64 had[65536 / 64];
};

#endif /* WEFT_PORTS_TYPES_H */
