/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef WEFT_FRAG_TYPES_H
#define WEFT_FRAG_TYPES_H

#include <linux/types.h>

/* What all fragments of a datagram have in common (RFC 791), before translation. */
struct frag_key {
	__be32 saddr;
	__be32 daddr;
	__be16 id;
	__u8 proto;
	__u8 zero;
};

/* What only the first one says. */
struct frag_val {
	__be16 sport;
	__be16 dport;
};

#endif /* WEFT_FRAG_TYPES_H */
