/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef WEFT_CSUM_H
#define WEFT_CSUM_H

#include "common.h"

/* One's complement arithmetic on 16-bit words as they lie in memory: byte order does not matter (RFC 1071). */

static __always_inline __u16 csum_fold(__u32 sum)
{
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return sum;
}

/* Terms of a difference: what a word adds, and what it takes away. Sums of up to 2^15 of them do not overflow. */
static __always_inline __u32 csum_plus16(__u16 word)
{
	return word;
}

static __always_inline __u32 csum_minus16(__u16 word)
{
	return (__u16)~word;
}

static __always_inline __u32 csum_plus32(__u32 word)
{
	return (word & 0xffff) + (word >> 16);
}

static __always_inline __u32 csum_minus32(__u32 word)
{
	return csum_plus32(~word);
}

/* The checksum field after its data changed by `diff`. */
static __always_inline __u16 csum_apply(__u16 check, __u32 diff)
{
	return ~csum_fold((__u16)~check + diff);
}

/* Equal as one's complement numbers: 0 and 0xffff are the same. */
static __always_inline bool csum_same(__u16 a, __u16 b)
{
	return a == b || ((a ^ b) == 0xffff && (a == 0 || b == 0));
}

#endif /* WEFT_CSUM_H */
