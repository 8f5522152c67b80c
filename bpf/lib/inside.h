/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef WEFT_INSIDE_H
#define WEFT_INSIDE_H

/* Services for packets of clients on this node. What sockets have translated does not get here. */
#include "here.h"
#include "northsouth.h"

/* Where a pod that is its own backend sees its own requests come from. Network order; 169.254.42.1. */
const volatile __be32 cfg_hairpin_addr = bpf_htonl(0xa9fe2a01);

/* As inside.h's callers see a service: by the view for inside where there are two. */
static __always_inline struct svc_val *inside_service(const struct flow_key *key)
{
	struct svc_val *svc = svc_lookup(key->daddr, key->dport, key->proto, SVC_SCOPE_EXT);

	if (!svc || svc->flags & SVC_HOSTPORT_LOOPBACK)
		return NULL;
	/* An external address is whatever a user wrote down: only believe it where it is our own (CVE-2020-8554). */
	if (svc->flags & SVC_EXT_IP && !ep_is_host(key->daddr))
		return NULL;
	return svc_inside(svc, key->daddr, key->dport, key->proto);
}

/* As select_stands. */
__noinline int inside_stands(const struct flow_key *pkt, __u32 backend_id)
{
	struct svc_val *svc = pkt ? inside_service(pkt) : NULL;

	return svc && svc_may_choose(svc->slot_off, svc->count, backend_id);
}

/* Silence where a policy leaves out backends elsewhere, as from outside. */
static __always_inline int inside_no_backend(const struct svc_val *svc, struct pkt *p)
{
	__u32 local = svc->flags & (SVC_TWO_SCOPES | SVC_CLUSTER_IP) ? SVC_ITP_LOCAL : SVC_ETP_LOCAL;

	if (cfg_no_backend_reject && !(svc->flags & local))
		p->say = ICMP_SAY_PORT_UNREACHABLE;
	p->say_from = p->key.daddr;
	return -DROP_NO_SERVICE;
}

/*
 * Both entries of a flow of a client here. The answer comes to the client's own port, or to another one if the client has a
 * flow to the same backend by another service with that port already. A global function, as the first packet of a flow is rare;
 * copies for 6.1 (see flow_claim).
 */
__noinline int inside_create(ctx_t *ctx, const struct pkt *p, __u32 svc_id, __u32 backend_id, struct flow_rw *rw)
{
	struct flow_val flow = { .svc_id = svc_id, .backend_id = backend_id };
	struct be_val *be = backend_lookup(backend_id);
	struct flow_key key, answer = {};
	__u32 flags;
	int err;

	if (!p || !rw || !be)
		return -DROP_FLOW_CREATE_FAILED;
	key = p->key;
	answer.saddr = be->addr;
	answer.sport = be->port;
	answer.proto = key.proto;
	flags = be->addr == key.saddr ? FLOW_HAIRPIN : FLOW_CLIENT_HERE;
	answer.daddr = flags == FLOW_HAIRPIN ? cfg_hairpin_addr : key.saddr;
	err = flow_create_pair(ctx, &key, p->tcp_flags, &answer, &flow, flags, false, clock_s(), rw);
	if (!err && flags == FLOW_CLIENT_HERE)
		here_note(flow.expires_s);
	return err;
}

/* The service's backend for a packet that has no flow. 0: none of ours; above: rewrite with *rw; below: why it is dropped. */
static __always_inline int inside_new(ctx_t *ctx, struct pkt *p, const struct flow_val *old, struct flow_rw *rw, __u32 now)
{
	struct svc_val *svc;
	struct be_val *be;
	__u32 id;
	int err;

	if (!pkt_may_ask(p))
		return 0;
	svc = inside_service(&p->key);
	if (!svc)
		return 0;
	if (p->kind == PKT_LATER_FRAGMENT)
		return -DROP_FRAG_NOT_FOUND;
	be = select_for(svc, &p->key, now, ctx_is_dry(ctx), &id);
	if (!be)
		return inside_no_backend(svc, p);
	if (ctx_is_dry(ctx)) {
		dry_tell(ctx, DRY_SERVICE, svc->svc_id);
		dry_tell(ctx, DRY_BACKEND, id);
		flow_rw_set(rw, &p->key, be->addr == p->key.saddr ? cfg_hairpin_addr : p->key.saddr, be->addr, p->key.sport,
			    be->port);
		return 1;
	}
	here_forget(old, p);
	err = inside_create(ctx, p, svc->svc_id, id, rw);
	return err ?: 1;
}

/* Whether a known flow of a client here may go on with its backend. */
static __always_inline bool inside_holds(ctx_t *ctx, struct flow_val *flow, struct pkt *p, __u32 now)
{
	struct be_val *be = backend_lookup(flow->backend_id);

	if (flow_is_over(flow, now))
		return false;
	if (p->kind == PKT_ICMP_ERROR)
		return true;
	if (flow_is_reused(flow, p->tcp_flags))
		return false;
	if (!be || be->addr != flow->rw.daddr || be->port != flow->rw.dport)
		return false;
	if (unlikely(p->tcp_flags & TCP_SYN) && !inside_stands(&p->key, flow->backend_id))
		return false;
	return here_touch(ctx, flow, p, now);
}

/* As inside_new, for a packet that may have a flow. */
static __always_inline int inside_find(ctx_t *ctx, struct pkt *p, struct flow_val *flow, struct flow_rw *rw, __u32 now)
{
	if (!flow || !inside_holds(ctx, flow, p, now))
		return inside_new(ctx, p, flow, rw, now);
	*rw = flow->rw;
	return 1;
}

/* Back to the pod that it came from. Its own frame tells both addresses. */
static __always_inline int inside_hairpin(ctx_t *ctx, const struct pkt *p, const struct flow_rw *rw)
{
	int err = pkt_rewrite(ctx, p, rw, false);
	struct ethhdr *eth;

	if (err)
		return err;
	eth = ctx_data(ctx);
	if ((void *)(eth + 1) > ctx_data_end(ctx))
		return -DROP_WRITE_ERROR;
	pkt_turn_frame(eth);
	ctx_mark_done(ctx);
	return bpf_redirect(ctx_ifindex(ctx), 0);
}

/* What a pod sends to a service. The stack routes it to the backend, here or elsewhere, and counts the hop. */
static __always_inline int inside_send(ctx_t *ctx, struct pkt *p, struct flow_val *flow, struct flow_rw *rw, __u32 now,
				       bool *done)
{
	int found = inside_find(ctx, p, flow, rw, now);

	if (!found)
		return CTX_PASS;
	*done = true;
	if (found < 0)
		return found;
	if (rw->saddr == cfg_hairpin_addr)
		return inside_hairpin(ctx, p, rw);
	return pkt_rewrite(ctx, p, rw, false) ?: CTX_PASS;
}

/* Out of a pod's device: answers to what the pod asked of a service get the service's address. */
static __always_inline int inside_deliver(ctx_t *ctx, struct pkt *p, bool *done)
{
	__u32 now = clock_s();
	struct flow_val *flow;
	struct flow_rw rw;

	if (likely(!here_is_used(now)) || ctx_is_done(ctx) || pkt_parse(ctx, p) != PARSE_OK)
		return CTX_PASS;
	flow = flow_of(p);
	if (!here_holds(ctx, flow, p, now) || !here_is_answer(flow))
		return CTX_PASS;
	*done = true;
	here_touch_answer(ctx, flow, p, now);
	rw = flow->rw;
	return pkt_rewrite(ctx, p, &rw, false) ?: CTX_PASS;
}

#endif /* WEFT_INSIDE_H */
