/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef WEFT_SOURCE_RANGE_TYPES_H
#define WEFT_SOURCE_RANGE_TYPES_H

#include <linux/types.h>

/* Bits of the key before the address: svc_id. prefixlen counts them too. */
#define SRCR_PREFIX_STATIC 32

/* Of each service a trie of its own: svc_id is matched as a whole. */
struct srcr_key {
	__u32 prefixlen;
	__u32 svc_id;
	__be32 addr;
};

#endif /* WEFT_SOURCE_RANGE_TYPES_H */
