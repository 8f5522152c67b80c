/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef WEFT_DRY_TYPES_H
#define WEFT_DRY_TYPES_H

#include <linux/types.h>

/* Clear of MARK_MASK, whose bits programs set. */
#define DRY_MAGIC_VALUE 0x5d72f0b1

enum dry_magic {
	DRY_MAGIC = DRY_MAGIC_VALUE,
	/* In place of a service's id: the new flow is no service's. */
	DRY_NO_SERVICE = 0x7fffffff,
};

enum dry_word {
	/* enum dry_result, and the reason of a drop. */
	DRY_RESULT = 0,
	/* Ids of a new flow. */
	DRY_SERVICE = 1,
	DRY_BACKEND = 2,
	/* Where the way is known but not the neighbour's hardware address. */
	DRY_DEVICE = 3,
	DRY_NEXT_HOP = 4,
};

#define DRY_WORDS 5

enum dry_result {
	DRY_REASON_MASK = 0xff,
	/* The packet is a service's. */
	DRY_OURS = 1 << 8,
	/* Its sender would be told, by ICMP type and code in bits 16 to 31. */
	DRY_ANSWERED = 1 << 9,
	/* Left to the program at tc, by that at XDP; or what another node encapsulated, which is not followed. */
	DRY_LEFT = 1 << 10,
};

/* In front of the packet at XDP. At tc: the mark, and cb. */
struct dry_run {
	__u32 magic;
	__u32 words[DRY_WORDS];
};

#endif /* WEFT_DRY_TYPES_H */
