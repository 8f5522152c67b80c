/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef WEFT_DRY_H
#define WEFT_DRY_H

/*
 * Dry runs: a packet that user space sends through a loaded program to see what would become of it. No map is written and
 * nothing is counted; what the packet cannot show is told in words that test runs give back.
 *
 * No packet of a network is one: at tc the mark says so, which is zero on whatever a device or another network namespace hands
 * over, so that at egress none but a process of this node that may set marks could pretend it; at XDP, metadata that only a test
 * run can have put there.
 */
#include "ctx.h"
#include "dry_types.h"

#ifdef WEFT_XDP

static __always_inline struct dry_run *dry_words(const ctx_t *ctx)
{
	struct dry_run *dry = ctx_pointer(ctx, data_meta);

	return (void *)(dry + 1) <= ctx_data(ctx) ? dry : NULL;
}

static __always_inline bool ctx_is_dry(const ctx_t *ctx)
{
	struct dry_run *dry = dry_words(ctx);

	return unlikely(dry != NULL) && dry->magic == DRY_MAGIC;
}

static __always_inline void dry_tell(ctx_t *ctx, enum dry_word word, __u32 value)
{
	struct dry_run *dry = dry_words(ctx);

	if (dry)
		dry->words[word] = value;
}

#else

static __always_inline bool ctx_is_dry(const ctx_t *ctx)
{
	return unlikely((ctx->mark & ~MARK_MASK) == DRY_MAGIC);
}

static __always_inline void dry_tell(ctx_t *ctx, enum dry_word word, __u32 value)
{
	switch (word) {
	case DRY_RESULT:
		ctx->cb[0] = value;
		break;
	case DRY_SERVICE:
		ctx->cb[1] = value;
		break;
	case DRY_BACKEND:
		ctx->cb[2] = value;
		break;
	case DRY_DEVICE:
		ctx->cb[3] = value;
		break;
	case DRY_NEXT_HOP:
		ctx->cb[4] = value;
		break;
	}
}

#endif

#endif /* WEFT_DRY_H */
