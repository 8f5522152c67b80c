/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef WEFT_EGRESS_H
#define WEFT_EGRESS_H

/* What leaves this node: by the uplink, and straight from its pods. */
#include "geneve.h"
#include "inside.h"
#include "masquerade.h"
#include "reply.h"

/*
 * A packet of the node itself that the stack sent towards a service's address. It goes where its backend is, which may be a
 * pod behind another device. One for a backend that is the node itself cannot come back in from here.
 */
static __always_inline int egress_own(ctx_t *ctx, struct pkt *p, struct flow_val *flow, struct flow_rw *rw, __u32 now,
				      bool *done)
{
	int found = inside_find(ctx, p, flow, rw, now);

	if (!found)
		return CTX_PASS;
	*done = true;
	p->say_inward = true;
	p->say_from = p->key.daddr;
	return found < 0 ? found : forward_late(ctx, p, rw);
}

static __always_inline int egress_rewrite(ctx_t *ctx, struct pkt *p, const struct flow_rw *rw, bool *done)
{
	int err;

	*done = true;
	err = pkt_rewrite(ctx, p, rw, false);
	ctx_mark_done(ctx);
	return err ?: CTX_PASS;
}

/* A pod's packet that no flow explains. */
static __always_inline int egress_pod(ctx_t *ctx, struct pkt *p, const struct flow_val *old, struct flow_rw *rw, __u32 now,
				      bool *done)
{
	int err;

	if (masq_is_answer(p) || masq_exempts(p->key.daddr))
		return CTX_PASS;
	*done = true;
	/* Its first fragment went somewhere, and nobody knows any more where. */
	if (p->kind == PKT_LATER_FRAGMENT)
		return -DROP_FRAG_NOT_FOUND;
	if (ctx_is_dry(ctx)) {
		err = masq_peek(ctx, p, rw);
		return err ?: egress_rewrite(ctx, p, rw, done);
	}
	here_forget(old, p);
	err = masq_create(ctx, p, rw, now);
	return err ?: egress_rewrite(ctx, p, rw, done);
}

static __always_inline int egress_new(ctx_t *ctx, struct pkt *p, struct flow_val *old, struct flow_rw *rw, __u32 now,
				      bool *done)
{
	struct ep_val *ep = ep_lookup(p->key.saddr);

	if (!ep)
		return CTX_PASS;
	if (ep->flags & EP_HOST)
		return egress_own(ctx, p, old, rw, now, done);
	return cfg_masquerade ? egress_pod(ctx, p, old, rw, now, done) : CTX_PASS;
}

/* A pod's flow to the world, or from it. False: it is none any more. */
static __always_inline bool egress_holds(ctx_t *ctx, struct flow_val *flow, struct pkt *p, __u32 now)
{
	if (flow->flags & FLOW_DIRECT)
		return here_touch(ctx, flow, p, now);
	if (!cfg_masquerade || flow_is_reused(flow, p->tcp_flags))
		return false;
	/* The device may have another address since, or the route lead to another device. Asked once in a second. */
	if (flow->last_s != now && flow->rw.saddr != device_address(ctx_ifindex(ctx)))
		return false;
	return here_touch(ctx, flow, p, now);
}

/* What cannot be translated must not leave with an address that means nothing where it goes. */
static __always_inline int egress_other(const struct pkt *p, int parsed)
{
	if (!masq_wanted(p->key.saddr, p->key.daddr))
		return CTX_PASS;
	if (parsed < 0)
		return parsed;
	return parsed == PARSE_FRAGMENT ? -DROP_FRAG_NOT_FOUND : -DROP_NAT_UNSUPPORTED_PROTO;
}

/* Egress of the uplink, routed already. */
static __always_inline int egress(ctx_t *ctx, struct pkt *p, bool *done)
{
	struct flow_val *flow;
	struct flow_rw rw = {};
	int parsed;
	__u32 now;
	bool live;

	if (ctx_is_done(ctx) || ctx_is_tagged(ctx))
		return CTX_PASS;
	parsed = pkt_parse(ctx, p);
	if (parsed != PARSE_OK)
		return egress_other(p, parsed);
	flow = flow_of(p);
	now = clock_s();
	live = here_holds(ctx, flow, p, now);
	if (live && reply_is(flow, p)) {
		here_touch_answer(ctx, flow, p, now);
		rw = flow->rw;
		*done = true;
		return pkt_rewrite(ctx, p, &rw, false) ?: CTX_PASS;
	}
	if (live && flow->flags & (FLOW_MASQ | FLOW_DIRECT) && egress_holds(ctx, flow, p, now)) {
		if (flow->flags & FLOW_DIRECT)
			return CTX_PASS;
		rw = flow->rw;
		return egress_rewrite(ctx, p, &rw, done);
	}
	/* Another one's flow: its answers would be taken away. */
	if (live && !(flow->flags & (FLOW_MASQ | FLOW_DIRECT | FLOW_CLIENT_HERE)))
		return CTX_PASS;
	return egress_new(ctx, p, flow, &rw, now, done);
}

/* Ingress of the node's side of a pod's veth. */
static __always_inline int egress_from_pod(ctx_t *ctx, struct pkt *p, bool *done)
{
	struct flow_val *flow;
	struct flow_rw rw = {};
	__u32 now;
	bool live;

	if (!ctx_is_for_us(ctx) || pkt_parse(ctx, p) != PARSE_OK)
		return CTX_PASS;
	flow = flow_of(p);
	now = clock_s();
	live = here_holds(ctx, flow, p, now);
	if (live && reply_is(flow, p))
		return reply_from_pod(ctx, p, flow, now, done);
	/* Whoever may encapsulate may choose whose answer the receiver takes it for. */
	if (unlikely(p->key.proto == IPPROTO_UDP && p->key.dport == bpf_htons(GENEVE_PORT) &&
		     p->kind != PKT_ICMP_ERROR))
		return -DROP_ENCAP_PROHIBITED;
	if (live && flow->flags & FLOW_REV && flow->flags & FLOW_HAIRPIN) {
		*done = true;
		here_touch(ctx, flow, p, now);
		rw = flow->rw;
		return inside_hairpin(ctx, p, &rw);
	}
	if (live && here_is_answer(flow))
		return here_answer(ctx, p, flow, now, done);
	if (live && !(flow->flags & (FLOW_CLIENT_HERE | FLOW_HAIRPIN)))
		return CTX_PASS;
	return inside_send(ctx, p, flow, &rw, now, done);
}

#endif /* WEFT_EGRESS_H */
