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
#define TCP_ACK 0x10

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

/* Whoever sends this opens a connection: it answers nothing. */
static __always_inline bool pkt_is_syn(const struct pkt *p)
{
	return p->key.proto == IPPROTO_TCP && (p->tcp_flags & (TCP_SYN | TCP_ACK)) == TCP_SYN;
}

/* Whoever sends this was asked: it opens nothing. */
static __always_inline bool pkt_is_syn_ack(const struct pkt *p)
{
	return p->key.proto == IPPROTO_TCP && (p->tcp_flags & (TCP_SYN | TCP_ACK)) == (TCP_SYN | TCP_ACK);
}

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

/*
 * Ports in one word, as the tables hash them: a word put together from stored halves must wait for the stores. Source and
 * destination stand first in TCP and UDP alike.
 */
static __always_inline void pkt_ports(struct pkt *p, const void *l4)
{
	__u32 ports = *(const __u32 *)l4;

	__builtin_memcpy((void *)&p->key + __builtin_offsetof(struct flow_key, sport), &ports, sizeof(ports));
}

/* The protocol and the zero bytes behind it, for the same reason. Little-endian. */
static __always_inline void pkt_proto(struct pkt *p, __u32 proto)
{
	__builtin_memcpy((void *)&p->key + __builtin_offsetof(struct flow_key, proto), &proto, sizeof(proto));
}

static __always_inline int pkt_parse_l4(ctx_t *ctx, struct pkt *p)
{
	if (p->key.proto == IPPROTO_TCP) {
		struct tcphdr *tcp = pkt_header(ctx, pkt_l4_off(p), sizeof(*tcp));

		if (!tcp)
			return -DROP_INVALID_PACKET;
		pkt_ports(p, tcp);
		p->l4_check = tcp->check;
		p->tcp_flags = ((__u8 *)tcp)[13];
	} else {
		struct udphdr *udp = pkt_header(ctx, pkt_l4_off(p), sizeof(*udp));

		if (!udp)
			return -DROP_INVALID_PACKET;
		pkt_ports(p, udp);
		p->l4_check = udp->check;
	}
	return PARSE_OK;
}

/* The kernel declares ethhdr as packed: read as declared, the field would be two bytes. */
static __always_inline bool pkt_is_ip(const void *eth)
{
	return eth && *(const __be16 *)(eth + __builtin_offsetof(struct ethhdr, h_proto)) == bpf_htons(ETH_P_IP);
}

/* A parse_result, or the negative reason why this is no packet. */
static __always_inline int pkt_parse(ctx_t *ctx, struct pkt *p)
{
	struct ethhdr *eth = pkt_header(ctx, 0, sizeof(*eth) + sizeof(struct iphdr));
	__u32 ihl, l4_len, tot_len;
	struct iphdr *ip;
	__u16 frag;

	if (!eth)
		return pkt_is_ip(pkt_header(ctx, 0, sizeof(*eth))) ? -DROP_INVALID_PACKET : PARSE_OTHER;
	if (!pkt_is_ip(eth))
		return PARSE_OTHER;
	ip = (void *)(eth + 1);

	p->key.saddr = ip->saddr;
	p->key.daddr = ip->daddr;
	pkt_proto(p, ip->protocol);
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
