/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef WEFT_MASQUERADE_TYPES_H
#define WEFT_MASQUERADE_TYPES_H

#include <linux/types.h>

struct masq_key {
	__u32 prefixlen;
	__be32 addr;
};

#endif /* WEFT_MASQUERADE_TYPES_H */
