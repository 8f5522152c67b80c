/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef WEFT_ADDRESS_TYPES_H
#define WEFT_ADDRESS_TYPES_H

#include <linux/types.h>

/* An address of either family; IPv4 takes the first word, network order, the rest is zero. */
enum addr_family {
	ADDR_V4 = 1,
	ADDR_V6 = 2,
};

struct addr16 {
	__be32 word[4];
};

#endif /* WEFT_ADDRESS_TYPES_H */
