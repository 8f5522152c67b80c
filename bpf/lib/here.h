/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef WEFT_HERE_H
#define WEFT_HERE_H

/*
 * Clients on this node whose packets carry a service's address: sockets that opened before there was an agent, or that the
 * socket programs leave alone. Where there are none, packets to pods are not looked at.
 */
#include "dry.h"
#include "endpoint.h"
#include "flow.h"
#include "here_maps.h"
#include "rewrite.h"

/* Flows that have nothing to do with services for clients outside. */
#define FLOW_INNER (FLOW_MASQ | FLOW_CLIENT_HERE | FLOW_HAIRPIN | FLOW_DIRECT)

static __always_inline bool here_is_used(__u32 now)
{
	__u32 key = 0, *until = bpf_map_lookup_elem(&w_here_v1, &key);

	return until && *until > now;
}

static __always_inline void here_note(__u32 expires)
{
	__u32 key = 0, *until = bpf_map_lookup_elem(&w_here_v1, &key);

	if (until && *until < expires)
		*until = expires;
}

/* The flow that had this tuple before. */
static __always_inline void here_forget(const struct flow_val *old, const struct pkt *p)
{
	if (!old)
		return;
	flow_delete_twin(&old->rw, &p->key);
	flow_delete(&p->key);
}

/* Whether an entry stands for packets like this one. */
static __always_inline bool here_holds(ctx_t *ctx, const struct flow_val *flow, const struct pkt *p, __u32 now)
{
	if (!flow || flow_is_over(flow, now))
		return false;
	if (likely(!flow_is_left(flow, p)))
		return true;
	if (!ctx_is_dry(ctx))
		here_forget(flow, p);
	return false;
}

/* An answer to a client here, whoever sends it. */
static __always_inline bool here_is_answer(const struct flow_val *flow)
{
	return (flow->flags & (FLOW_REV | FLOW_CLIENT_HERE)) == (FLOW_REV | FLOW_CLIENT_HERE);
}

/* Up to date with a packet; an error tells nothing about whether the connection lives. */
static __always_inline bool here_touch(ctx_t *ctx, struct flow_val *flow, struct pkt *p, __u32 now)
{
	if (p->kind == PKT_ICMP_ERROR || !flow_needs_touch(flow, p, now) || ctx_is_dry(ctx))
		return true;
	if (!flow_touch(flow, p, now))
		return false;
	if (flow->flags & FLOW_CLIENT_HERE)
		here_note(flow->expires_s);
	return true;
}

/* The same with an answer, which goes out even if its flow has moved on. */
static __always_inline void here_touch_answer(ctx_t *ctx, struct flow_val *flow, struct pkt *p, __u32 now)
{
	p->answer = true;
	here_touch(ctx, flow, p, now);
}

/* Up the stack, which must not be asked again by the same code at tc. */
static __always_inline int here_deliver(ctx_t *ctx, struct pkt *p, const struct flow_rw *rw)
{
	if (!ctx_is_dry(ctx) && !ctx_note_done(ctx))
		return CTX_LEAVE;
	return pkt_rewrite(ctx, p, rw, false) ?: CTX_PASS;
}

/*
 * Answers to a process of the node itself go up the stack with the service's address. Those to a pod are translated as they
 * leave by its device, wherever they came from: the stack would not route them with an address of its own as the source.
 */
static __always_inline int here_answer(ctx_t *ctx, struct pkt *p, struct flow_val *flow, __u32 now, bool *done)
{
	struct flow_rw rw = flow->rw;

	if (!ep_is_host(rw.daddr))
		return CTX_PASS;
	*done = true;
	here_touch_answer(ctx, flow, p, now);
	return here_deliver(ctx, p, &rw);
}

#endif /* WEFT_HERE_H */
