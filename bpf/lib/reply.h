/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef WEFT_REPLY_H
#define WEFT_REPLY_H

/* Answers of backends on this node: the service's address in place of the backend's. */
#include "dry.h"
#include "flow.h"
#include "forward.h"
#include "geneve.h"
#include "parse.h"

/* The rewrite for an answer of a known flow. */
static __always_inline bool reply_find(ctx_t *ctx, struct pkt *p, struct flow_rw *rw)
{
	struct flow_val *flow;
	__u32 now;

	if (pkt_parse(ctx, p) != PARSE_OK || pkt_is_syn(p))
		return false;
	flow = flow_lookup(&p->key);
	if (!flow || (flow->flags & (FLOW_REV | FLOW_LOCAL)) != (FLOW_REV | FLOW_LOCAL))
		return false;
	now = clock_s();
	if (flow_is_over(flow, now))
		return false;
	if (p->kind != PKT_ICMP_ERROR && flow_needs_touch(flow, p, now) && !ctx_is_dry(ctx))
		flow_touch(flow, p, now);
	p->answer = true;
	*rw = flow->rw;
	return true;
}

/* On its way out of the uplink, routed already. */
static __always_inline int reply_egress(ctx_t *ctx, struct pkt *p, bool *done)
{
	struct flow_rw rw;

	if (ctx_is_done(ctx) || ctx_is_tagged(ctx) || !reply_find(ctx, p, &rw))
		return CTX_PASS;
	*done = true;
	return pkt_rewrite(ctx, p, &rw, false) ?: CTX_PASS;
}

/*
 * Straight from the pod. Needed where the client is not behind the uplink, and saves the stack's work where it is. The
 * stack would not route it with the service's source address, so it leaves from here or, if there is no way, unchanged.
 */
static __always_inline int reply_from_pod(ctx_t *ctx, struct pkt *p, bool *done)
{
	struct flow_rw rw;
	int verdict;

	if (!ctx_is_for_us(ctx))
		return CTX_PASS;
	if (!reply_find(ctx, p, &rw)) {
		/* Whoever may encapsulate may choose whose answer the receiver takes it for. */
		bool encapsulated = p->key.proto == IPPROTO_UDP && p->key.dport == bpf_htons(GENEVE_PORT) &&
				    p->kind != PKT_ICMP_ERROR;

		return unlikely(encapsulated) ? -DROP_ENCAP_PROHIBITED : CTX_PASS;
	}
	*done = true;
	p->say_from = cfg_snat_addr;
	verdict = forward(ctx, p, &rw);
	return verdict == -DROP_NO_FIB ? CTX_PASS : verdict;
}

#endif /* WEFT_REPLY_H */
