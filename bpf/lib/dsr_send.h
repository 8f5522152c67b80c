/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef WEFT_DSR_SEND_H
#define WEFT_DSR_SEND_H

/* The node that a client asked: its packets go on to the backend's node as they are but for the destination, in Geneve. */
#include "dry.h"
#include "dsr.h"
#include "forward.h"
#include "geneve.h"
#include "hash.h"

/* Tell with every packet which service was asked, so that the backend's node may forget. */
const volatile bool cfg_dsr_info_always = false;

/* What is told to clients: one value for all packets, with the option or without. */
#define DSR_MTU_COST GENEVE_DSR_ROOM
#define DSR_TTL 64

/* dsr_new: the backend is not reached this way, and nothing has been done. */
#define DSR_NO_NODE 1

static __always_inline bool dsr_tells(const struct pkt *p, __u32 flags)
{
	if (p->kind != PKT_WHOLE)
		return false;
	return p->key.proto != IPPROTO_TCP || pkt_is_syn(p) || flags & FLOW_DSR_INFO || cfg_dsr_info_always;
}

#ifdef WEFT_XDP

static __always_inline int dsr_make_room(ctx_t *ctx, bool tell)
{
	return bpf_xdp_adjust_head(ctx, -(int)(tell ? GENEVE_DSR_ROOM : GENEVE_ROOM));
}

static __always_inline void dsr_note_sum(ctx_t *ctx, struct geneve_outer *outer, bool tell)
{
}

#else

#define DSR_ADJUST                                                                                                     \
	(BPF_F_ADJ_ROOM_FIXED_GSO | BPF_F_ADJ_ROOM_ENCAP_L3_IPV4 | BPF_F_ADJ_ROOM_ENCAP_L4_UDP |                       \
	 BPF_F_ADJ_ROOM_ENCAP_L2(sizeof(struct ethhdr)) | BPF_F_ADJ_ROOM_ENCAP_L2_ETH)

static __always_inline int dsr_make_room(ctx_t *ctx, bool tell)
{
	return bpf_skb_adjust_room(ctx, tell ? GENEVE_DSR_ROOM : GENEVE_ROOM, BPF_ADJ_ROOM_MAC, DSR_ADJUST);
}

/* skb->csum, if there is one, covers what is new. csum_diff takes whole words: the last half of one is the inner type. */
static __always_inline void dsr_note_sum(ctx_t *ctx, struct geneve_outer *outer, bool tell)
{
	__u32 half = bpf_htons(ETH_P_IP);

	if (bpf_csum_update(ctx, 0) < 0)
		return;
	if (tell)
		bpf_csum_update(ctx, bpf_csum_diff(NULL, 0, (void *)outer, GENEVE_DSR_ROOM - 2, half));
	else
		bpf_csum_update(ctx, bpf_csum_diff(NULL, 0, (void *)outer, GENEVE_ROOM - 2, half));
}

#endif

static __always_inline __be16 dsr_source_port(const struct flow_key *key)
{
	__u32 hash = jhash_3words(key->saddr, key->daddr, ((__u32)key->dport << 16) | key->sport, key->proto);

	return bpf_htons(0xc000 | (hash & 0x3fff));
}

/* In front of a packet that has its final addresses: all headers of the encapsulation. The frame's own one becomes the inner. */
static __always_inline int dsr_wrap(ctx_t *ctx, const struct pkt *p, __be32 from, __be32 node, __be16 sport, bool tell)
{
	__u32 room = tell ? GENEVE_DSR_ROOM : GENEVE_ROOM, len = ctx_len(ctx) - sizeof(struct ethhdr) + room;
	struct geneve_outer *outer;
	struct ethhdr *eth = ctx_data(ctx);
	struct pkt_frame frame;
	struct dsr_option *option;
	/* Merged segments may be longer than the fields can say, which then say 0 and the most: whoever splits them fills both in. */
	__u16 tot_len = len > 0xffff ? 0 : len, udp_len = len - sizeof(struct iphdr) > 0xffff ? 0xffff : len - sizeof(struct iphdr);
	__u32 sum;

	if ((void *)(eth + 1) > ctx_data_end(ctx))
		return -DROP_WRITE_ERROR;
	frame = pkt_frame_read(eth);
	if (dsr_make_room(ctx, tell))
		return -DROP_WRITE_ERROR;
	eth = ctx_data(ctx);
	/* The longer of the two: even without the option there is a packet behind it. */
	if ((void *)(eth + 1) + GENEVE_DSR_ROOM > ctx_data_end(ctx))
		return -DROP_WRITE_ERROR;
	pkt_frame_write(eth, &frame);
	outer = (void *)(eth + 1);
	*(__be16 *)&outer->ip = bpf_htons(0x4500 | (p->tos & 0xfc));
	outer->ip.tot_len = bpf_htons(tot_len);
	outer->ip.id = 0;
	outer->ip.frag_off = bpf_htons(IP_DONT_FRAGMENT);
	*(__be16 *)&outer->ip.ttl = bpf_htons(DSR_TTL << 8 | IPPROTO_UDP);
	outer->ip.saddr = from;
	outer->ip.daddr = node;
	sum = bpf_htons(0x4500 | (p->tos & 0xfc)) + bpf_htons(tot_len) + bpf_htons(IP_DONT_FRAGMENT) +
	      bpf_htons(DSR_TTL << 8 | IPPROTO_UDP);
	outer->ip.check = (__u16)~csum_fold(sum + csum_plus32(from) + csum_plus32(node));
	outer->udp.source = sport;
	outer->udp.dest = bpf_htons(GENEVE_PORT);
	outer->udp.len = bpf_htons(udp_len);
	outer->udp.check = 0;
	outer->geneve.ver_words = tell ? sizeof(struct dsr_option) / 4 : 0;
	outer->geneve.flags = 0;
	outer->geneve.proto = bpf_htons(GENEVE_ETHERNET);
	outer->geneve.vni = bpf_htonl(GENEVE_VNI_WORLD << 8);
	if (tell) {
		option = (void *)(outer + 1);
		option->head.class = bpf_htons(DSR_OPTION_CLASS);
		option->head.type = DSR_OPTION_TYPE;
		option->head.words = DSR_OPTION_WORDS;
		option->vip = p->key.daddr;
		option->port = p->key.dport;
		option->zero = 0;
		pkt_frame_write(option + 1, &frame);
	} else {
		pkt_frame_write(outer + 1, &frame);
	}
	dsr_note_sum(ctx, outer, tell);
	return 0;
}

/* By device `ifindex`, with the node's address on it as the outer source, and from port `sport`. */
static __always_inline int dsr_rewrite(ctx_t *ctx, const struct pkt *p, const struct flow_rw *to, __u32 ifindex, __be16 sport,
				       bool tell)
{
	__be32 from = device_address(ifindex);
	struct flow_rw rw = *to;

	rw.saddr = p->key.saddr;
	return pkt_rewrite(ctx, p, &rw, true) ?: dsr_wrap(ctx, p, from, to->saddr, sport, tell);
}

/*
 * A packet of a DSR flow: `to` is its rewrite, with the node in place of the source, which does not change. The routing table
 * is asked for the packet as it will be, and says whether the largest of its segments still fits.
 */
__noinline int dsr_send(ctx_t *ctx, struct pkt *p, const struct flow_rw *to, __u32 flags)
{
	struct bpf_fib_lookup fib;
	__be16 sport;
	bool tell;
	int err;

	if (!p || !to)
		return -DROP_WRITE_ERROR;
	if (p->ttl <= 1)
		return forward_ttl_exceeded(p);
	tell = dsr_tells(p, flags);
	sport = dsr_source_port(&p->key);
	if (cfg_test_ifindex) {
		err = dsr_rewrite(ctx, p, to, cfg_test_ifindex, sport, tell);
		return err ? err : forward_by(ctx, cfg_test_ifindex);
	}
	fib = (struct bpf_fib_lookup){
		.family = FORWARD_AF_INET,
		.l4_protocol = IPPROTO_UDP,
		.sport = sport,
		.dport = bpf_htons(GENEVE_PORT),
		.tos = p->tos & 0xfc,
		.ipv4_src = cfg_snat_addr,
		.ipv4_dst = to->saddr,
		.ifindex = ctx_ingress(ctx),
	};
	fib.tot_len = forward_len(ctx, p) + (tell ? GENEVE_DSR_ROOM : GENEVE_ROOM);
	switch (bpf_fib_lookup(ctx, &fib, sizeof(fib), 0)) {
	case BPF_FIB_LKUP_RET_SUCCESS:
		if (!forward_may_send(ctx, fib.ifindex))
			return CTX_LEAVE;
		err = dsr_rewrite(ctx, p, to, fib.ifindex, sport, tell);
		return err ? err : forward_send(ctx, &fib);
	case BPF_FIB_LKUP_RET_NO_NEIGH:
		if (!forward_may_resolve())
			return CTX_LEAVE;
		err = dsr_rewrite(ctx, p, to, fib.ifindex, sport, tell);
		return err ? err : forward_resolve(ctx, &fib);
	case BPF_FIB_LKUP_RET_FRAG_NEEDED:
		p->say = ICMP_SAY_FRAG_NEEDED;
		p->say_mtu = fib.mtu_result - DSR_MTU_COST;
		return -DROP_FRAG_NEEDED;
	default:
		return -DROP_NO_FIB;
	}
}

/*
 * The one entry of a new flow; *rw is what to do with its first packet. No answer comes by here: there is nothing to remember for
 * one. A flow that begins in the middle was another node's: each packet then tells the service, for the backend's node may
 * have to translate an answer to a connection that its backend does not know.
 */
__noinline int dsr_new(const struct pkt *p, __u32 svc_id, __u32 backend_id, __u32 replace, struct flow_rw *rw)
{
	struct flow_val flow = { .svc_id = svc_id, .backend_id = backend_id };
	struct be_val *be = backend_lookup(backend_id);
	__u32 now = clock_s(), flags = FLOW_DSR;
	struct flow_val *other;
	struct flow_key key;
	__be32 node;
	long err;

	if (!p || !be || !rw)
		return -DROP_NO_SERVICE;
	node = dsr_node(be);
	if (!node)
		return DSR_NO_NODE;
	if (p->key.proto == IPPROTO_TCP) {
		flags = flow_tcp_next(flags, p->tcp_flags);
		if (!pkt_is_syn(p))
			flags |= FLOW_DSR_INFO;
	}
	key = p->key;
	flow_rw_set_dst(&flow.rw, &key, be->addr, be->port);
	flow.rw.saddr = node;
	flow.flags = flags;
	flow.last_s = now;
	flow.created_s = now;
	flow.expires_s = now + flow_lifetime(flags, key.proto);
	err = replace ? flow_replace(&key, &flow) : flow_insert(&key, &flow, BPF_NOEXIST);
	if (err) {
		/* Another CPU made this flow at the same moment: go with its choice. */
		other = flow_lookup(&key);
		if (!other || !(other->flags & FLOW_DSR))
			return -DROP_FLOW_CREATE_FAILED;
		flow.rw = other->rw;
	}
	*rw = flow.rw;
	return 0;
}

#endif /* WEFT_DSR_SEND_H */
