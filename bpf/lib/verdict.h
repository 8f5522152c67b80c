/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef WEFT_VERDICT_H
#define WEFT_VERDICT_H

#include "ctx.h"
#include "event.h"
#include "icmp_send.h"
#include "packet.h"

/* The one place where packets are counted and drops are told. */
static __always_inline int verdict_account(ctx_t *ctx, const struct pkt *p, enum met_dir dir, int verdict, bool done)
{
	if (verdict == CTX_LEAVE)
		return CTX_PASS;
	if (verdict >= 0) {
		if (done)
			met_count(dir, REASON_FORWARDED, ctx_len(ctx));
		return verdict;
	}
	met_count(dir, -verdict, ctx_len(ctx));
	event_drop(dir, -verdict, ctx_ifindex(ctx), &p->key, ctx_len(ctx));
	return p->say ? icmp_send(ctx, p) : CTX_DROP;
}

#endif /* WEFT_VERDICT_H */
