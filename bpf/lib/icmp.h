/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef WEFT_ICMP_H
#define WEFT_ICMP_H

#include <linux/types.h>

/* RFC 792. linux/icmp.h cannot be included: it wants the C library's socket headers. */
enum icmp_type {
	ICMP_ECHO_REPLY = 0,
	ICMP_UNREACHABLE = 3,
	ICMP_ECHO_REQUEST = 8,
	ICMP_TIME_EXCEEDED = 11,
};

/* Type and code of the errors that programs send themselves. */
#define ICMP_SAY_PORT_UNREACHABLE (ICMP_UNREACHABLE << 8 | 3)
#define ICMP_SAY_FRAG_NEEDED (ICMP_UNREACHABLE << 8 | 4)
#define ICMP_SAY_TTL_EXCEEDED (ICMP_TIME_EXCEEDED << 8)

struct icmp_hdr {
	__u8 type;
	__u8 code;
	__u16 check;
	/* Echo: identifier and sequence number. Errors: nothing, and for "fragmentation needed" the MTU (RFC 1191). */
	__be16 id;
	__be16 mtu;
};

#endif /* WEFT_ICMP_H */
