/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef WEFT_DSR_RECEIVE_H
#define WEFT_DSR_RECEIVE_H

/*
 * The node of the backend: what another node encapsulated is unpacked and becomes a flow of this node, as if the client had
 * asked here. The answer is then translated like any other of a backend on this node, and goes straight to the client.
 */
#include "endpoint.h"
#include "flow_create.h"
#include "geneve.h"
#include "ipcache.h"
#include "parse.h"
#include "service.h"

static __always_inline bool dsr_is_outer(const struct pkt *p)
{
	return p->key.dport == bpf_htons(GENEVE_PORT) && p->key.proto == IPPROTO_UDP;
}

#ifndef WEFT_XDP

/* Beyond this there is no option: 63 words, of which each option has one at least. */
#define GENEVE_OPTIONS_MAX 252

/* What the parser of the outer headers learnt. */
struct dsr_told {
	__be32 vip;
	__be16 port;
	/* Bytes between the outer Ethernet header and the inner IP header. */
	__u16 room;
};

/* Looks for the option among `len` bytes at `off`. False: the options contradict their own lengths. */
static __always_inline bool dsr_read_options(ctx_t *ctx, __u32 off, __u32 len, struct dsr_told *told)
{
	__u32 end = off + len, size, i;
	struct dsr_option *option;

	for (i = 0; i < GENEVE_OPTIONS_MAX / 4 && off < end; i++) {
		off &= 0x1ff;
		option = ctx_data(ctx) + off;
		if ((void *)(&option->head + 1) > ctx_data_end(ctx))
			return false;
		size = sizeof(option->head) + (option->head.words & 0x1f) * 4;
		if (off + size > end)
			return false;
		if (option->head.class == bpf_htons(DSR_OPTION_CLASS) && (option->head.type | 0x80) == DSR_OPTION_TYPE &&
		    size == sizeof(*option)) {
			if ((void *)(option + 1) > ctx_data_end(ctx))
				return false;
			told->vip = option->vip;
			told->port = option->port;
		}
		off += size;
	}
	return off == end;
}

/* CTX_PASS where this is not ours, the negative reason of a drop, or 1: *told says what there is to know. */
static __always_inline int dsr_parse(ctx_t *ctx, const struct pkt *p, struct dsr_told *told)
{
	__u32 off = pkt_l4_off(p) + sizeof(struct udphdr), options, vni;
	struct geneve_hdr *geneve = pkt_header(ctx, off, sizeof(*geneve));
	struct ipc_val *sender = ipc_lookup(p->key.saddr);
	/* As the parser has it: merged segments beyond 64 KiB. */
	__u32 tot_len = p->tot_len ?: ctx_len(ctx) - sizeof(struct ethhdr);
	__be16 proto, *type;
	struct iphdr *ip;

	/* Who may say where an answer is to come from must be one of us. */
	if (!sender || !(sender->flags & IPC_IS_NODE))
		return -DROP_BAD_SOURCE;
	if (!geneve || off + sizeof(*geneve) > sizeof(struct ethhdr) + tot_len || geneve->ver_words >> 6)
		return -DROP_INVALID_PACKET;
	vni = bpf_ntohl(geneve->vni) >> 8;
	if (vni != GENEVE_VNI_WORLD && vni != GENEVE_VNI_WORLD_V4)
		return CTX_PASS;
	proto = geneve->proto;
	options = (geneve->ver_words & 0x3f) * 4;
	off += sizeof(*geneve);
	if (!ctx_pull(ctx, off + options + sizeof(struct ethhdr)) || !dsr_read_options(ctx, off, options, told))
		return -DROP_INVALID_PACKET;
	off += options;
	if (proto == bpf_htons(GENEVE_ETHERNET)) {
		off &= 0x1ff;
		type = ctx_data(ctx) + off + __builtin_offsetof(struct ethhdr, h_proto);
		if ((void *)(type + 1) > ctx_data_end(ctx))
			return -DROP_INVALID_PACKET;
		proto = *type;
		off += sizeof(struct ethhdr);
	}
	if (proto != bpf_htons(ETH_P_IP))
		return -DROP_INVALID_PACKET;
	told->room = off - sizeof(struct ethhdr);
	/* What fills the frame up behind the outer packet is not carried by it. */
	ip = pkt_header(ctx, off & 0x1ff, sizeof(*ip));
	if (!ip || told->room + sizeof(*ip) > tot_len || told->room + bpf_ntohs(ip->tot_len) > tot_len)
		return -DROP_INVALID_PACKET;
	return 1;
}

/* The key of answers to a packet of this one. */
static __always_inline struct flow_key dsr_answer(const struct flow_key *key)
{
	struct flow_key answer = {
		.saddr = key->daddr,
		.daddr = key->saddr,
		.sport = key->dport,
		.dport = key->sport,
		.proto = key->proto,
	};

	return answer;
}

/*
 * The sender says which service was asked: *p, about the inner packet so far, becomes what the client sent, and both entries
 * of its flow are made or found. Another service's flow between the same ports cannot be told apart from it by those packets
 * that do not tell, so the later one is refused for as long as the first lives.
 */
static __always_inline int dsr_told_flow(struct pkt *p, const struct dsr_told *told, __u32 now)
{
	struct flow_key key = p->key, answer;
	struct flow_val flow = { .last_s = now, .created_s = now };
	struct flow_val *old;
	struct svc_val *svc;
	__u32 flags = FLOW_LOCAL;
	int err;

	answer = dsr_answer(&key);
	key.daddr = told->vip;
	key.dport = told->port;
	old = flow_lookup_first(&key, p->tcp_flags & TCP_SYN);
	if (old && !flow_is_over(old, now) && (old->flags & (FLOW_REV | FLOW_LOCAL)) == FLOW_LOCAL &&
	    old->rw.daddr == answer.saddr && old->rw.dport == answer.sport && old->rw.sport == key.sport &&
	    !flow_is_reused(old, p->tcp_flags)) {
		p->key = key;
		if (!flow_needs_touch(old, p, now) || flow_touch(old, p, now))
			return CTX_PASS;
	} else if (old && !(old->flags & FLOW_DSR)) {
		flow_delete_twin(&old->rw, &key);
	}
	p->key = key;

	svc = svc_lookup(told->vip, told->port, key.proto, SVC_SCOPE_EXT);
	flow.svc_id = svc ? svc->svc_id : 0;
	if (key.proto == IPPROTO_TCP)
		flags = flow_tcp_next(flags, p->tcp_flags);
	flow.expires_s = now + flow_lifetime(flags, key.proto);
	flow.flags = flow_twin_flags(flags);
	flow_rw_set(&flow.rw, &answer, key.daddr, key.saddr, key.dport, key.sport);
	err = flow_claim_key(&answer, &flow, &key, true, now);
	if (err)
		return err == -EEXIST ? -DROP_NAT_NO_MAPPING : err;
	flow.flags = flags;
	flow_rw_set_dst(&flow.rw, &key, answer.saddr, answer.sport);
	return flow_replace(&key, &flow) ? -DROP_FLOW_CREATE_FAILED : CTX_PASS;
}

/* It does not: the flow is known by the answers to it. One that is not is no reason to drop, and no reason to translate. */
static __always_inline void dsr_known_flow(struct pkt *p, __u32 now)
{
	struct flow_key key = p->key, answer = dsr_answer(&key);
	struct flow_val *rev = flow_lookup(&answer), *flow;

	if (!rev || (rev->flags & (FLOW_REV | FLOW_LOCAL)) != (FLOW_REV | FLOW_LOCAL) || flow_is_over(rev, now))
		return;
	key = flow_twin_key(&rev->rw, answer.proto);
	p->key = key;
	flow = flow_lookup(&key);
	if (!flow)
		flow_restore_twin(&key, rev, &answer, now);
	else if (flow_needs_touch(flow, p, now))
		flow_touch(flow, p, now);
}

/* A verdict or the negative reason of a drop; *p is then about the inner packet. The stack delivers it. */
__noinline int dsr_receive(ctx_t *ctx, struct pkt *p)
{
	struct dsr_told told = {};
	struct pkt inner = {};
	__u32 now = clock_s();
	int err;

	if (!p || p->kind != PKT_WHOLE || p->more_fragments)
		return CTX_PASS;
	err = dsr_parse(ctx, p, &told);
	if (err <= 0)
		return err;
	if (bpf_skb_adjust_room(ctx, -(__s32)told.room, BPF_ADJ_ROOM_MAC, BPF_F_ADJ_ROOM_FIXED_GSO))
		return -DROP_WRITE_ERROR;
	*p = inner;
	err = pkt_parse(ctx, p);
	if (err < 0)
		return err;
	/* It was sent here for this address, which may have moved in the meantime: the sender learns of it. */
	if (!ep_lookup(p->key.daddr))
		return -DROP_HOST_UNREACHABLE;
	if (err || p->kind != PKT_WHOLE || (p->key.proto != IPPROTO_TCP && p->key.proto != IPPROTO_UDP))
		return CTX_PASS;
	if (told.vip)
		return dsr_told_flow(p, &told, now);
	dsr_known_flow(p, now);
	return CTX_PASS;
}

#endif

#endif /* WEFT_DSR_RECEIVE_H */
