/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef WEFT_GENEVE_H
#define WEFT_GENEVE_H

#include <linux/if_ether.h>
#include <linux/ip.h>
#include <linux/udp.h>

#include "common.h"

/* RFC 8926, as far as DSR needs it, and the option that tells which service a client asked: the same as Cilium's. */
#define GENEVE_PORT 6081
#define GENEVE_ETHERNET 0x6558
/* Packets of the world; the second where a peer also has IPv6. */
#define GENEVE_VNI_WORLD 2
#define GENEVE_VNI_WORLD_V4 9

#define DSR_OPTION_CLASS 0x014b
/* With the bit that says "critical", which a receiver must not insist on. */
#define DSR_OPTION_TYPE 0x81
#define DSR_OPTION_WORDS 2

struct geneve_hdr {
	/* Version in the upper two bits, words of options in the rest. */
	__u8 ver_words;
	__u8 flags;
	__be16 proto;
	/* The last byte is reserved. */
	__be32 vni;
};

struct geneve_option {
	__be16 class;
	__u8 type;
	/* Words behind this header, in the lower five bits. */
	__u8 words;
};

struct dsr_option {
	struct geneve_option head;
	__be32 vip;
	__be16 port;
	__u16 zero;
};

/* What stands between the outer Ethernet header and the options. */
struct geneve_outer {
	struct iphdr ip;
	struct udphdr udp;
	struct geneve_hdr geneve;
};

/* Bytes that encapsulation adds, without the option and with it. */
#define GENEVE_ROOM (sizeof(struct geneve_outer) + sizeof(struct ethhdr))
#define GENEVE_DSR_ROOM (GENEVE_ROOM + sizeof(struct dsr_option))

_Static_assert(GENEVE_ROOM == 50 && GENEVE_DSR_ROOM == 62, "bytes on the wire");

#endif /* WEFT_GENEVE_H */
