/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef WEFT_FORWARD_H
#define WEFT_FORWARD_H

#include "device.h"
#include "rewrite.h"

/* Tests and benchmarks: leave through this device without asking the routing table. */
const volatile __u32 cfg_test_ifindex = 0;

/*
 * XDP: whether a frame that leaves by the device it came by is sent by the driver itself. A veth leaves such frames lying until
 * something else wakes its peer, unless that one has an XDP program too; what is redirected wakes it.
 */
const volatile bool cfg_xdp_tx = true;

#define FORWARD_AF_INET 2

/* Out by a device; at XDP the one it came by takes it back without a detour. */
static __always_inline int forward_by(ctx_t *ctx, __u32 ifindex)
{
#ifdef WEFT_XDP
	if (cfg_xdp_tx && ifindex == ctx_ingress(ctx))
		return XDP_TX;
#endif
	return bpf_redirect(ifindex, 0);
}

static __always_inline int forward_send(ctx_t *ctx, const struct bpf_fib_lookup *fib)
{
	struct ethhdr *eth = ctx_data(ctx);

	if ((void *)(eth + 1) > ctx_data_end(ctx))
		return -DROP_WRITE_ERROR;
	__builtin_memcpy(eth->h_dest, fib->dmac, ETH_ALEN);
	__builtin_memcpy(eth->h_source, fib->smac, ETH_ALEN);
	ctx_mark_done(ctx);
	return forward_by(ctx, fib->ifindex);
}

#ifdef WEFT_XDP

/* Where a neighbour is not known, XDP cannot ask for it: the same code at tc gets the packet as it came. */
static __always_inline bool forward_may_resolve(void)
{
	return false;
}

/* Another device must have a program of ours in its driver: tc sends by any. */
static __always_inline bool forward_may_send(const ctx_t *ctx, __u32 ifindex)
{
	return ifindex == ctx_ingress(ctx) || device_takes_xdp(ifindex);
}

#else

static __always_inline bool forward_may_send(const ctx_t *ctx, __u32 ifindex)
{
	return true;
}

static __always_inline bool forward_may_resolve(void)
{
	return true;
}

#endif

/* A packet that is as it shall leave: the kernel asks for the neighbour and keeps it until then. */
static __always_inline int forward_resolve(ctx_t *ctx, const struct bpf_fib_lookup *fib)
{
	struct bpf_redir_neigh hop = { .nh_family = FORWARD_AF_INET, .ipv4_nh = fib->ipv4_dst };

	if (ctx_is_dry(ctx)) {
		dry_tell(ctx, DRY_DEVICE, fib->ifindex);
		dry_tell(ctx, DRY_NEXT_HOP, fib->ipv4_dst);
	}
	ctx_mark_done(ctx);
	return bpf_redirect_neigh(fib->ifindex, &hop, sizeof(hop), 0);
}

/* This node is the hop that a packet does not survive. */
static __always_inline int forward_ttl_exceeded(struct pkt *p)
{
	p->say = ICMP_SAY_TTL_EXCEEDED;
	p->say_from = cfg_snat_addr;
	return -DROP_TTL_EXCEEDED;
}

/* What the way must carry in one piece: of merged segments a single one. Without the frame's header. */
static __always_inline __u16 forward_len(ctx_t *ctx, const struct pkt *p)
{
	__u32 segment = ctx_segment(ctx), l4 = pkt_l4_off(p);
	__u8 *doff = ctx_data(ctx) + l4 + 12;

	if (likely(!segment))
		return p->tot_len;
	if (p->key.proto != IPPROTO_TCP)
		return l4 - sizeof(struct ethhdr) + sizeof(struct udphdr) + segment;
	if ((void *)(doff + 1) > ctx_data_end(ctx))
		return p->tot_len;
	return l4 - sizeof(struct ethhdr) + (*doff >> 4) * 4 + segment;
}

/*
 * Rewrite and route as the packet then is, so that policy routing sees the final source. The routing table is asked first:
 * whatever it refuses leaves the packet untouched.
 */
static __always_inline int forward(ctx_t *ctx, struct pkt *p, const struct flow_rw *rw)
{
	struct bpf_fib_lookup fib;
	long found;
	int err;

	if (p->ttl <= 1)
		return forward_ttl_exceeded(p);
	if (cfg_test_ifindex) {
		err = pkt_rewrite(ctx, p, rw, true);
		return err ? err : forward_by(ctx, cfg_test_ifindex);
	}
	fib = (struct bpf_fib_lookup){
		.family = FORWARD_AF_INET,
		.l4_protocol = p->kind == PKT_ICMP_ERROR ? IPPROTO_ICMP : p->key.proto,
		.sport = rw->sport,
		.dport = rw->dport,
		.tos = p->tos,
		.ipv4_src = rewrite_source(p, rw),
		.ipv4_dst = rw->daddr,
		/* What the node itself sends came by no device. */
		.ifindex = ctx_ingress(ctx) ?: ctx_ifindex(ctx),
		/* 0 would make the kernel look at the device alone, and at merged segments not at all. */
		.tot_len = forward_len(ctx, p),
	};
	found = bpf_fib_lookup(ctx, &fib, sizeof(fib), 0);
	if (unlikely(found == BPF_FIB_LKUP_RET_FRAG_NEEDED)) {
		p->say = ICMP_SAY_FRAG_NEEDED;
		p->say_mtu = fib.mtu_result;
		return -DROP_FRAG_NEEDED;
	}
	if (found != BPF_FIB_LKUP_RET_SUCCESS && found != BPF_FIB_LKUP_RET_NO_NEIGH)
		return -DROP_NO_FIB;
	if (found == BPF_FIB_LKUP_RET_SUCCESS ? !forward_may_send(ctx, fib.ifindex) : !forward_may_resolve())
		return CTX_LEAVE;
	err = pkt_rewrite(ctx, p, rw, true);
	if (err)
		return err;
	return found == BPF_FIB_LKUP_RET_SUCCESS ? forward_send(ctx, &fib) : forward_resolve(ctx, &fib);
}

/* A global function: its stack is needed only after flows have been made, which need theirs. */
__noinline int forward_late(ctx_t *ctx, struct pkt *p, const struct flow_rw *rw)
{
	return p && rw ? forward(ctx, p, rw) : CTX_PASS;
}

#endif /* WEFT_FORWARD_H */
