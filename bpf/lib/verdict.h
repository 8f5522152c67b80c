/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef WEFT_VERDICT_H
#define WEFT_VERDICT_H

#include "ctx.h"
#include "dry.h"
#include "event.h"
#include "flow.h"
#include "icmp_send.h"
#include "packet.h"
#include "trace.h"

/* Of a dry run, what its sender would find out. A global function, as it is rarely needed: the verifier walks it once. */
__noinline int verdict_tell(ctx_t *ctx, const struct pkt *p, int verdict, __u32 done)
{
	__u32 result = done ? DRY_OURS : 0;

	if (!p)
		return CTX_DROP;

	if (verdict == CTX_LEAVE)
		result |= DRY_LEFT;
	if (verdict < 0)
		result |= -verdict & DRY_REASON_MASK;
	if (verdict < 0 && p->say && icmp_may_answer(p))
		result |= DRY_ANSWERED | (__u32)p->say << 16;
	dry_tell(ctx, DRY_RESULT, result);
	if (verdict == CTX_LEAVE)
		return CTX_PASS;
	return verdict < 0 ? CTX_DROP : verdict;
}

/* So is this, which would otherwise be walked for each reason there is. */
__noinline int verdict_drop(ctx_t *ctx, const struct pkt *p, __u32 dir, __u8 reason)
{
	if (!p)
		return CTX_DROP;
	met_count(dir, reason, ctx_len(ctx));
	event_drop(dir, reason, ctx_ifindex(ctx), &p->key, ctx_len(ctx));
	return p->say ? icmp_send(ctx, p) : CTX_DROP;
}

/* The one place where packets are counted and drops are told. */
static __always_inline int verdict_account(ctx_t *ctx, const struct pkt *p, enum met_dir dir, int verdict, bool done)
{
	if (ctx_is_dry(ctx))
		return verdict_tell(ctx, p, verdict, done);
	if (unlikely(p->establishes))
		flow_settle(p);
	if (verdict == CTX_LEAVE)
		return CTX_PASS;
	if (verdict >= 0) {
		if (done) {
			met_count(dir, REASON_FORWARDED, ctx_len(ctx));
			if (cfg_trace)
				trace_packet(ctx, p, dir, verdict);
		}
		return verdict;
	}
	return verdict_drop(ctx, p, dir, -verdict);
}

#endif /* WEFT_VERDICT_H */
