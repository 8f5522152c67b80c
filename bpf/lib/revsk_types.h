/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef WEFT_REVSK_TYPES_H
#define WEFT_REVSK_TYPES_H

#include <linux/types.h>

/* addr:port is the backend that the socket really talks to. */
struct revsk_key {
	__u64 cookie;
	__be32 addr;
	__be16 port;
	__u16 zero;
};

/* The address that the application asked for. */
struct revsk_val {
	__be32 vip;
	__be16 port;
	__u16 zero;
	__u32 svc_id;
};

#endif /* WEFT_REVSK_TYPES_H */
