/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef WEFT_MASQUERADE_H
#define WEFT_MASQUERADE_H

/* Pods of this node towards the world: the node's address in place of theirs, which means nothing there. */
#include "dry.h"
#include "endpoint.h"
#include "flow_create.h"
#include "ipcache.h"
#include "masquerade_maps.h"
#include "parse.h"

const volatile bool cfg_masquerade = false;
/* Whether w_masq4_v1 counts. */
const volatile bool cfg_masq_list = false;
/* A network in which pods have routes of their own; all ones and zero: none. */
const volatile __be32 cfg_native_net = 0;
const volatile __be32 cfg_native_mask = 0xffffffff;

/* A node or a pod of any cluster of the mesh. Identities of prefixes (bit 24) are names for parts of the world. */
static __always_inline bool masq_is_mesh(__be32 addr)
{
	struct ipc_val *ipc = ipc_lookup(addr);

	if (!ipc)
		return false;
	if (ipc->flags & (IPC_IS_NODE | IPC_HAS_TUN) || ipc->identity == ID_HOST || ipc->identity == ID_REMOTE_NODE)
		return true;
	return ipc->identity >= ID_FIRST_POD && !(ipc->identity & ID_LOCAL_SCOPE);
}

/* Whether pods go there with their own address. The cheapest question first. */
static __always_inline bool masq_exempts(__be32 addr)
{
	struct masq_key key = { .prefixlen = 32, .addr = addr };

	if ((addr & cfg_native_mask) == cfg_native_net)
		return true;
	if (cfg_masq_list && bpf_map_lookup_elem(&w_masq4_v1, &key))
		return true;
	return masq_is_mesh(addr);
}

/* Whether a packet from a pod to this destination must have the node's address. */
static __always_inline bool masq_wanted(__be32 saddr, __be32 daddr)
{
	return cfg_masquerade && ep_is_pod(saddr) && !masq_exempts(daddr);
}

/* Says by itself that it answers, flow or not. */
static __always_inline bool masq_is_answer(const struct pkt *p)
{
	if (p->key.proto == IPPROTO_ICMP && !p->key.sport && (p->answer || p->kind == PKT_LATER_FRAGMENT))
		return true;
	return pkt_is_syn_ack(p) || p->kind == PKT_ICMP_ERROR;
}

/*
 * A flow {pod:p -> D:d} => {node:x -> D:d}. Ports are claimed where those of forwarded flows are, so that they never meet.
 * A global function: as the first packet of a flow it is rare. The copy is for 6.1 (see flow_claim).
 */
__noinline int masq_create(ctx_t *ctx, const struct pkt *p, struct flow_rw *rw, __u32 now)
{
	struct flow_key key, answer = {};
	struct flow_val flow = {};

	if (!p || !rw)
		return -DROP_FLOW_CREATE_FAILED;
	key = p->key;
	answer.saddr = key.daddr;
	answer.daddr = device_address(ctx_ifindex(ctx));
	if (!answer.daddr)
		return -DROP_NAT_NO_MAPPING;
	answer.sport = key.dport;
	answer.proto = key.proto;
	return flow_create_pair(ctx, &key, p->tcp_flags, &answer, &flow, FLOW_SNAT | FLOW_MASQ, false, now, rw);
}

/* What masq_create would come to, with the port that is tried first. */
static __always_inline int masq_peek(ctx_t *ctx, const struct pkt *p, struct flow_rw *rw)
{
	struct flow_key answer = { .saddr = p->key.daddr, .sport = p->key.dport, .proto = p->key.proto };

	dry_tell(ctx, DRY_SERVICE, DRY_NO_SERVICE);
	answer.daddr = device_address(ctx_ifindex(ctx));
	if (!answer.daddr)
		return -DROP_NAT_NO_MAPPING;
	flow_rw_set(rw, &p->key, answer.daddr, p->key.daddr, flow_first_port(&answer, &p->key), p->key.dport);
	return 0;
}

/*
 * A client of the world that talks to a pod by the pod's own address: the pod's answers must stay as they are. Both entries
 * change nothing; that they are there says who began. A global function: once for each flow.
 */
__noinline int masq_note_direct(const struct pkt *p, __u32 now)
{
	struct flow_val flow = { .last_s = now, .created_s = now, .flags = FLOW_DIRECT };
	struct flow_val *known;
	struct flow_key key, answer;

	if (!p || p->kind != PKT_WHOLE || p->key.proto == IPPROTO_ICMP || pkt_is_syn_ack(p))
		return 0;
	key = p->key;
	if (!ep_is_pod(key.daddr) || masq_exempts(key.saddr))
		return 0;
	answer = (struct flow_key){ key.daddr, key.saddr, key.dport, key.sport, key.proto };
	known = flow_lookup_first(&answer, p->tcp_flags & TCP_SYN);
	/* It is the pod that began, or a service's flow, and an earlier program has translated this. */
	if (known && !flow_is_over(known, now) && !(known->flags & FLOW_DIRECT))
		return 0;
	if (key.proto == IPPROTO_TCP)
		flow.flags = flow_tcp_next(flow.flags, p->tcp_flags);
	flow.expires_s = now + flow_lifetime(flow.flags, key.proto);
	flow_rw_set(&flow.rw, &key, key.saddr, key.daddr, key.sport, key.dport);
	flow_replace(&key, &flow);
	flow.flags = flow_twin_flags(flow.flags);
	flow_rw_set(&flow.rw, &answer, answer.saddr, answer.daddr, answer.sport, answer.dport);
	flow_replace(&answer, &flow);
	return 0;
}

#endif /* WEFT_MASQUERADE_H */
