/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef WEFT_NORTHSOUTH_H
#define WEFT_NORTHSOUTH_H

/* Packets that come in at the uplink: clients towards services, and backends elsewhere answering through this node. */
#include "dry.h"
#include "dsr_receive.h"
#include "dsr_send.h"
#include "endpoint.h"
#include "flow_create.h"
#include "forward.h"
#include "here.h"
#include "masquerade.h"
#include "metrics.h"
#include "own_connection.h"
#include "parse.h"
#include "select.h"
#include "source_range.h"

/* Off: choose and rewrite the destination only, no state, no SNAT. For benchmarks. */
const volatile bool cfg_track_flows = true;

/* Whether clients are told that a service has no backend, instead of being left to wait. */
const volatile bool cfg_no_backend_reject = true;

/* In place of a verdict: the packet goes on by the rewrite and the flags that are given beside it. */
#define NS_EMIT 0x200

static __always_inline int ns_emit(ctx_t *ctx, struct pkt *p, const struct flow_rw *rw, __u32 flags)
{
	if (unlikely(flags & FLOW_DSR))
		return dsr_send(ctx, p, rw, flags);
	if (!(flags & FLOW_LOCAL))
		return forward(ctx, p, rw);
	if (!ctx_is_dry(ctx) && !ctx_note_done(ctx))
		return CTX_LEAVE;
	/* The stack routes it to the pod or the socket, and counts the hop. */
	return pkt_rewrite(ctx, p, rw, false) ?: CTX_PASS;
}

/* Nothing but frontends is on this address. Never one of the node's own: most that gets here is for the first of them. */
static __always_inline bool ns_is_kept(const struct pkt *p)
{
	return p->key.daddr != cfg_snat_addr && svc_is_wildcard_drop(p->key.daddr) && !ep_is_host(p->key.daddr);
}

/* Not TCP, UDP, echo or an error about them, or no IP at all. Nothing of it is for a service. */
static __always_inline int ns_other(const struct pkt *p)
{
	return p->key.daddr && ns_is_kept(p) ? -DROP_NO_SERVICE : CTX_PASS;
}

/* No frontend, or not one that is answered here. */
static __always_inline int ns_refuse(const struct svc_val *svc, const struct pkt *p)
{
	if (svc)
		return svc->flags & SVC_CLUSTER_IP ? -DROP_CLUSTER_IP_FROM_OUTSIDE : CTX_PASS;
	return ns_is_kept(p) ? -DROP_NO_SERVICE : CTX_PASS;
}

/* Silence where others may have backends: whoever asked is to try another node. */
static __always_inline int ns_no_backend(const struct svc_val *svc, struct pkt *p)
{
	if (cfg_no_backend_reject && !(svc->flags & SVC_ETP_LOCAL))
		p->say = ICMP_SAY_PORT_UNREACHABLE;
	return -DROP_NO_SERVICE;
}

/* What flow_create would come to, but for the port: the one that is tried first stands for the one that would be found. */
static __always_inline int ns_new_dry(ctx_t *ctx, const struct pkt *p, const struct svc_val *svc, __u32 backend_id,
				      const struct be_val *be, __u32 *flags, struct flow_rw *rw)
{
	struct flow_key answer = { .saddr = be->addr, .sport = be->port, .proto = p->key.proto };
	__be32 node = svc->fwd_mode == SVC_FWD_DSR && !*flags ? dsr_node(be) : 0;

	dry_tell(ctx, DRY_SERVICE, svc->svc_id);
	dry_tell(ctx, DRY_BACKEND, backend_id);
	if (node) {
		flow_rw_set_dst(rw, &p->key, be->addr, be->port);
		rw->saddr = node;
		*flags = FLOW_DSR | FLOW_DSR_INFO;
		return 0;
	}
	answer.daddr = *flags ? p->key.saddr : device_source(ctx, be->addr);
	if (!answer.daddr)
		return -DROP_NAT_NO_MAPPING;
	flow_rw_set(rw, &p->key, answer.daddr, be->addr, flow_first_port(&answer, &p->key), be->port);
	return 0;
}

/* The verdict, or NS_EMIT. */
static __always_inline int ns_new(ctx_t *ctx, struct pkt *p, const struct flow_val *old, __u32 now, struct flow_rw *rw,
				  __u32 *flags, bool *done)
{
	struct svc_val *svc;
	struct be_val *be;
	bool local;
	__u32 id;
	int err;

	/* A SYN+ACK is mostly for a socket of this node, whose own connection it is. */
	if (!pkt_may_ask(p))
		return ns_refuse(NULL, p);
	svc = svc_lookup(p->key.daddr, p->key.dport, p->key.proto, SVC_SCOPE_EXT);
	if (!svc || !(svc->flags & SVC_ROUTABLE))
		return ns_refuse(svc, p);
	if (unlikely(svc->flags & SVC_HOSTPORT) && is_own_connection(ctx, &p->key))
		return CTX_PASS;
	*done = true;
	if (!source_range_admits(svc, p->key.saddr))
		return -DROP_NOT_IN_SOURCE_RANGE;
	/* Its first fragment went somewhere, and nobody knows any more where. */
	if (p->kind == PKT_LATER_FRAGMENT)
		return -DROP_FRAG_NOT_FOUND;
	if (!cfg_track_flows) {
		id = select_backend(svc, &p->key, now);
		be = id ? backend_lookup(id) : NULL;
		if (!be)
			return ns_no_backend(svc, p);
		flow_rw_set_dst(rw, &p->key, be->addr, be->port);
		*flags = 0;
		return NS_EMIT;
	}
	be = select_for(svc, &p->key, now, ctx_is_dry(ctx), &id);
	if (!be)
		return ns_no_backend(svc, p);
	local = ep_lookup(be->addr);
	*flags = local ? FLOW_LOCAL : 0;
	if (ctx_is_dry(ctx))
		return ns_new_dry(ctx, p, svc, id, be, flags, rw) ?: NS_EMIT;
	if (old && !(old->flags & FLOW_DSR))
		flow_delete_twin(&old->rw, &p->key);
	if (svc->fwd_mode == SVC_FWD_DSR && !local) {
		err = dsr_new(p, svc->svc_id, id, !!old, rw);
		if (err != DSR_NO_NODE) {
			*flags = FLOW_DSR | FLOW_DSR_INFO;
			return err ?: NS_EMIT;
		}
		met_count(MET_INGRESS, REASON_DSR_FALLBACK, ctx_len(ctx));
	}
	return flow_create(ctx, p, svc->svc_id, id, be, local, !!old, now, rw) ?: NS_EMIT;
}

/* Whether a known flow from a client may go on with its backend. */
static __always_inline bool ns_backend_holds(const struct flow_val *flow, const struct pkt *p)
{
	struct be_val *be;

	/* Another node chose it, and said so by DSR: here it has no id. */
	if (unlikely(!flow->backend_id))
		return ep_lookup(flow->rw.daddr);
	be = backend_lookup(flow->backend_id);
	if (!be || be->addr != flow->rw.daddr || be->port != flow->rw.dport)
		return false;
	/* A backend that takes no new connections keeps the ones it has. */
	return likely(!(p->tcp_flags & TCP_SYN)) || select_stands(&p->key, flow->backend_id);
}

static __always_inline bool ns_flow_holds(const ctx_t *ctx, struct flow_val *flow, struct pkt *p, __u32 now)
{
	if (flow_is_over(flow, now))
		return false;
	/* An error tells nothing about whether the connection lives. */
	if (p->kind == PKT_ICMP_ERROR)
		return true;
	if (!(flow->flags & FLOW_REV) && (flow_is_reused(flow, p->tcp_flags) || !ns_backend_holds(flow, p)))
		return false;
	if (!flow_needs_touch(flow, p, now) || ctx_is_dry(ctx))
		return true;
	/* An answer goes out even if its flow has moved on; a request needs an answer. */
	if (unlikely(flow->flags & FLOW_DSR))
		dsr_follow(flow);
	return flow_touch(flow, p, now) || flow->flags & FLOW_REV;
}

/* The fragments of what is for the node itself come in any order; on addresses kept for services there is no such thing. */
static __always_inline int ns_fragment(const struct pkt *p)
{
	return ns_is_kept(p) ? -DROP_FRAG_NOT_FOUND : CTX_PASS;
}

/*
 * The answer to a connection that a socket of this node opened: backends elsewhere answer to the ports of forwarded flows,
 * which local sockets do not get, and a SYN+ACK is no request.
 */
static __always_inline bool ns_is_own_answer(const struct pkt *p)
{
	return pkt_is_syn_ack(p) && bpf_ntohs(p->key.dport) < cfg_snat_port_min && device_is_own(p->key.daddr);
}

/*
 * A flow that began on this node, or that is nobody's but a pod's: what comes in from outside can only be an answer. Answers
 * to a pod that masquerades go to the stack, which routes them to it; those to a client here, see here_answer. The verdict, or
 * NS_EMIT.
 */
static __always_inline int ns_inner(ctx_t *ctx, struct pkt *p, struct flow_val *flow, __u32 now, struct flow_rw *rw,
				    __u32 *flags, bool *done)
{
	if (flow->flags & FLOW_DIRECT)
		here_touch(ctx, flow, p, now);
	if (!(flow->flags & FLOW_REV) || flow->flags & (FLOW_DIRECT | FLOW_HAIRPIN))
		return CTX_PASS;
	if (flow->flags & FLOW_CLIENT_HERE && !ep_is_host(flow->rw.daddr))
		return CTX_PASS;
	*done = true;
	here_touch_answer(ctx, flow, p, now);
	*rw = flow->rw;
	*flags = FLOW_LOCAL;
	return NS_EMIT;
}

/* A packet of no known flow. */
static __always_inline int ns_unknown(ctx_t *ctx, struct pkt *p, const struct flow_val *old, __u32 now, struct flow_rw *rw,
				      __u32 *flags, bool *done)
{
	int verdict = ns_new(ctx, p, old, now, rw, flags, done);

	if (cfg_masquerade && verdict == CTX_PASS && !*done && (!old || flow_is_over(old, now)) && !ctx_is_dry(ctx))
		masq_note_direct(p, now);
	return verdict;
}

/* A packet of a flow that holds. */
static __always_inline int ns_known(const struct flow_val *flow, struct pkt *p, struct flow_rw *rw, __u32 *flags, bool *done)
{
	*done = true;
	p->answer = !!(flow->flags & FLOW_REV);
	p->hide_reporter = (flow->flags & (FLOW_REV | FLOW_SNAT)) == FLOW_SNAT;
	*rw = flow->rw;
	*flags = flow->flags;
	return NS_EMIT;
}

/* A verdict, or the negative reason of a drop. *done: the packet belongs to a service. */
static __always_inline int ns_ingress(ctx_t *ctx, struct pkt *p, bool *done)
{
	struct flow_val *flow = NULL;
	struct flow_rw rw = {};
	int parsed, verdict;
	__u32 now, flags;

	if (!ctx_is_for_us(ctx))
		return CTX_PASS;
	parsed = pkt_parse(ctx, p);
	if (parsed == PARSE_FRAGMENT)
		return ns_fragment(p);
	if (parsed)
		return parsed < 0 ? parsed : ns_other(p);
	if (ns_is_own_answer(p) && !here_is_used(clock_s()))
		return CTX_PASS;
	if (unlikely(dsr_is_outer(p)) && device_is_own(p->key.daddr)) {
#ifdef WEFT_XDP
		return CTX_LEAVE;
#else
		*done = true;
		return ctx_is_dry(ctx) ? CTX_LEAVE : dsr_receive(ctx, p);
#endif
	}
	p->say_from = p->key.daddr;

	now = cfg_track_flows ? clock_s() : 0;
	if (cfg_track_flows)
		flow = flow_of(p);
	if (flow && unlikely(flow->flags & FLOW_INNER) && !flow_is_over(flow, now))
		verdict = ns_inner(ctx, p, flow, now, &rw, &flags, done);
	/* Answers of backends on this node do not come from outside. */
	else if (!flow || (flow->flags & (FLOW_REV | FLOW_LOCAL)) == (FLOW_REV | FLOW_LOCAL) ||
		 !ns_flow_holds(ctx, flow, p, now))
		verdict = ns_unknown(ctx, p, flow, now, &rw, &flags, done);
	else
		verdict = ns_known(flow, p, &rw, &flags, done);
	/* In one place, so that the verifier walks it for all of them together. */
	return verdict == NS_EMIT ? ns_emit(ctx, p, &rw, flags) : verdict;
}

#endif /* WEFT_NORTHSOUTH_H */
