/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef WEFT_PACKET_H
#define WEFT_PACKET_H

#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/tcp.h>
#include <linux/udp.h>

#include "ctx.h"
#include "drop.h"
#include "flow_types.h"

#define TCP_FIN 0x01
#define TCP_SYN 0x02
#define TCP_RST 0x04

#define IP_MORE_FRAGMENTS 0x2000
#define IP_OFFSET 0x1fff

/* What the parser learnt, copied out: it stays true when packet pointers do not. */
struct pkt {
	struct flow_key key;
	__u32 l4_off;
	__u16 l4_check;
	__u16 tot_len;
	__u8 tcp_flags;
	__u8 ttl;
	__u8 tos;
	/* The first of several fragments. */
	__u8 more_fragments;
};

enum parse_result {
	PARSE_OK = 0,
	/* Neither TCP nor UDP over IPv4. */
	PARSE_OTHER = 1,
	/* A later fragment: addresses are known, ports are not. */
	PARSE_FRAGMENT = 2,
};

/* `len` bytes at `off`, read into the linear part if need be; NULL when the frame ends before them. */
static __always_inline void *pkt_header(ctx_t *ctx, __u32 off, __u32 len)
{
	void *hdr = ctx_data(ctx) + off;

	if (hdr + len <= ctx_data_end(ctx))
		return hdr;
	if (!ctx_pull(ctx, off + len))
		return NULL;
	hdr = ctx_data(ctx) + off;
	return hdr + len <= ctx_data_end(ctx) ? hdr : NULL;
}

/*
 * Where the ports are. The compiler knows that 14 + 60 is the most and would drop the mask; the verifier forgets it once the
 * offset has been on the stack (6.1 and 6.18: "R2 offset is outside of the packet").
 */
static __always_inline __u32 pkt_l4_off(const struct pkt *p)
{
	__u32 off = p->l4_off;

	asm volatile("" : "+r"(off));
	return off & 0x7f;
}

static __always_inline int pkt_parse_l4(ctx_t *ctx, struct pkt *p)
{
	if (p->key.proto == IPPROTO_TCP) {
		struct tcphdr *tcp = pkt_header(ctx, pkt_l4_off(p), sizeof(*tcp));

		if (!tcp)
			return -DROP_INVALID_PACKET;
		p->key.sport = tcp->source;
		p->key.dport = tcp->dest;
		p->l4_check = tcp->check;
		p->tcp_flags = ((__u8 *)tcp)[13];
	} else {
		struct udphdr *udp = pkt_header(ctx, pkt_l4_off(p), sizeof(*udp));

		if (!udp)
			return -DROP_INVALID_PACKET;
		p->key.sport = udp->source;
		p->key.dport = udp->dest;
		p->l4_check = udp->check;
	}
	return PARSE_OK;
}

/* A parse_result, or the negative reason why this is no packet. */
static __always_inline int pkt_parse(ctx_t *ctx, struct pkt *p)
{
	struct ethhdr *eth = pkt_header(ctx, 0, sizeof(*eth));
	__u32 ihl, l4_len, tot_len;
	struct iphdr *ip;
	__u16 frag;

	if (!eth || eth->h_proto != bpf_htons(ETH_P_IP))
		return PARSE_OTHER;
	ip = pkt_header(ctx, sizeof(*eth), sizeof(*ip));
	if (!ip)
		return -DROP_INVALID_PACKET;

	p->key.saddr = ip->saddr;
	p->key.daddr = ip->daddr;
	p->key.proto = ip->protocol;
	if (p->key.proto != IPPROTO_TCP && p->key.proto != IPPROTO_UDP)
		return PARSE_OTHER;

	ihl = (*(__u8 *)ip & 0xf) * 4;
	l4_len = p->key.proto == IPPROTO_TCP ? sizeof(struct tcphdr) : sizeof(struct udphdr);
	frag = bpf_ntohs(ip->frag_off);
	p->ttl = ip->ttl;
	p->tos = ip->tos;
	p->tot_len = bpf_ntohs(ip->tot_len);
	p->l4_off = sizeof(*eth) + ihl;
	p->more_fragments = !!(frag & IP_MORE_FRAGMENTS);
	if (ihl < sizeof(*ip))
		return -DROP_INVALID_PACKET;
	if (frag & IP_OFFSET)
		return PARSE_FRAGMENT;

	/* Segments merged beyond 64 KiB say 0. Padding behind a shorter packet must not be read as its header. */
	tot_len = p->tot_len || ctx_len(ctx) <= 0xffff ? p->tot_len : ctx_len(ctx);
	if (tot_len < ihl + l4_len)
		return -DROP_INVALID_PACKET;
	return pkt_parse_l4(ctx, p);
}

/* Write addresses, ports and checksums. `hop`: this node acts as the router, so the TTL goes down by one. */
static __always_inline int pkt_rewrite(ctx_t *ctx, const struct pkt *p, const struct flow_rw *rw, bool hop)
{
	bool udp = p->key.proto == IPPROTO_UDP;
	__u32 l4 = pkt_l4_off(p);
	__u32 off = l4 + (udp ? __builtin_offsetof(struct udphdr, check) : __builtin_offsetof(struct tcphdr, check));
	__u32 diff = rw->csum_addr;
	struct iphdr *ip;
	__be16 *ports;

	/* UDP without a checksum stays without. */
	if (udp && p->l4_check == 0)
		ctx_note_unchecked(ctx, rw->csum_port);
	else if (ctx_fix_l4_csum(ctx, off, udp, p->l4_check, rw->csum_addr, rw->csum_port))
		return -DROP_WRITE_ERROR;

	ip = ctx_data(ctx) + sizeof(struct ethhdr);
	ports = ctx_data(ctx) + l4;
	if ((void *)(ip + 1) > ctx_data_end(ctx) || (void *)(ports + 2) > ctx_data_end(ctx))
		return -DROP_WRITE_ERROR;
	ip->saddr = rw->saddr;
	ip->daddr = rw->daddr;
	ports[0] = rw->sport;
	ports[1] = rw->dport;
	if (hop) {
		diff += csum_minus16(bpf_htons(0x0100));
		ip->ttl = p->ttl - 1;
	}
	ip->check = csum_apply(ip->check, diff);
	return 0;
}

#endif /* WEFT_PACKET_H */
