/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef WEFT_REWRITE_H
#define WEFT_REWRITE_H

#include "dry.h"
#include "frag.h"
#include "packet.h"

/* Addresses and TTL, with the header's checksum; where they go is up to the caller. */
static __always_inline int rewrite_ip(ctx_t *ctx, const struct pkt *p, __be32 saddr, __be32 daddr, __u32 diff, bool hop)
{
	struct iphdr *ip = ctx_data(ctx) + sizeof(struct ethhdr);

	if ((void *)(ip + 1) > ctx_data_end(ctx))
		return -DROP_WRITE_ERROR;
	ip->saddr = saddr;
	ip->daddr = daddr;
	if (hop) {
		diff += csum_minus16(bpf_htons(0x0100));
		ip->ttl = p->ttl - 1;
	}
	ip->check = csum_apply(ip->check, diff);
	return 0;
}

/* An ICMP echo: its identifier takes the place of the port, and its checksum covers no addresses. */
static __always_inline int rewrite_echo(ctx_t *ctx, const struct pkt *p, const struct flow_rw *rw, bool hop)
{
	struct icmp_hdr *icmp = ctx_data(ctx) + pkt_l4_off(p);
	__be16 old;

	if ((void *)(icmp + 1) > ctx_data_end(ctx))
		return -DROP_WRITE_ERROR;
	old = icmp->id;
	icmp->id = icmp->type == ICMP_ECHO_REQUEST ? rw->sport : rw->dport;
	icmp->check = csum_apply(p->l4_check, csum_plus16(icmp->id) + csum_minus16(old));
	return rewrite_ip(ctx, p, rw->saddr, rw->daddr, rw->csum_addr, hop);
}

/* What changes in a quote by its ports; of an echo there is one in it, the identifier, whatever the flow says of the other. */
static __always_inline __u32 rewrite_quoted_ports(const struct pkt *p, const struct flow_rw *rw)
{
	if (p->key.proto != IPPROTO_ICMP)
		return rw->csum_port;
	return csum_plus16(rw->dport) + csum_minus16(p->key.dport);
}

/* The checksum of a quoted packet, if it has one and the quote reaches so far. Returns what changes in the message by it. */
static __always_inline __u32 rewrite_quoted_check(ctx_t *ctx, const struct pkt *p, const struct flow_rw *rw)
{
	__u32 diff = rewrite_quoted_ports(p, rw);
	__u32 off = pkt_quote_l4_off(p);
	__u16 *check, old, sum;

	if (p->key.proto == IPPROTO_TCP)
		off += __builtin_offsetof(struct tcphdr, check);
	else if (p->key.proto == IPPROTO_UDP)
		off += __builtin_offsetof(struct udphdr, check);
	else
		off += __builtin_offsetof(struct icmp_hdr, check);
	check = ctx_data(ctx) + off;
	if ((void *)(check + 1) > ctx_data_end(ctx) || off + sizeof(*check) > sizeof(struct ethhdr) + p->tot_len)
		return 0;
	old = *check;
	if (p->key.proto == IPPROTO_UDP && !old)
		return 0;
	sum = csum_apply(old, p->key.proto == IPPROTO_ICMP ? diff : diff + rw->csum_addr);
	if (p->key.proto == IPPROTO_UDP && !sum)
		sum = 0xffff;
	*check = sum;
	return csum_plus16(sum) + csum_minus16(old);
}

/* The source that the packet will have. A router that reports an error keeps its address where that may be seen. */
static __always_inline __be32 rewrite_source(const struct pkt *p, const struct flow_rw *rw)
{
	bool keep = p->kind == PKT_ICMP_ERROR && p->reporter != p->key.saddr && !p->hide_reporter;

	return keep ? p->reporter : rw->saddr;
}

/*
 * An ICMP error to the sender of a translated packet: the quote becomes that packet as its sender knew it. `rw` is the
 * rewrite of an answer, so the quote takes it turned round.
 *
 * The quoted IP header changes by nothing in sum, as its own checksum makes up for the addresses.
 */
__noinline int rewrite_icmp_error(ctx_t *ctx, const struct pkt *p, const struct flow_rw *rw, __u32 hop)
{
	__be32 saddr, quoted_saddr;
	struct icmp_hdr *icmp;
	struct iphdr *quote;
	__be16 *ports;
	__u32 sum;

	if (!p || !rw)
		return -DROP_WRITE_ERROR;
	sum = rewrite_quoted_ports(p, rw) + rewrite_quoted_check(ctx, p, rw);
	icmp = ctx_data(ctx) + pkt_l4_off(p);
	quote = (void *)(icmp + 1);
	if ((void *)(quote + 1) > ctx_data_end(ctx))
		return -DROP_WRITE_ERROR;
	quoted_saddr = quote->saddr;
	quote->saddr = rw->daddr;
	quote->daddr = rw->saddr;
	quote->check = csum_apply(quote->check, rw->csum_addr);
	ports = ctx_data(ctx) + pkt_quote_l4_off(p);
	if ((void *)(ports + 4) > ctx_data_end(ctx))
		return -DROP_WRITE_ERROR;
	if (p->key.proto == IPPROTO_ICMP) {
		ports[2] = rw->dport;
	} else {
		ports[0] = rw->dport;
		ports[1] = rw->sport;
	}
	icmp->check = csum_apply(p->l4_check, sum);

	saddr = rewrite_source(p, rw);
	sum = csum_plus32(saddr) + csum_minus32(p->reporter) + csum_plus32(rw->daddr) + csum_minus32(quoted_saddr);
	return rewrite_ip(ctx, p, saddr, rw->daddr, sum, hop);
}

/* Of a packet that has ports. */
static __always_inline int rewrite_ports(ctx_t *ctx, const struct pkt *p, const struct flow_rw *rw, bool hop)
{
	bool udp = p->key.proto == IPPROTO_UDP;
	__u32 l4 = pkt_l4_off(p);
	__u32 off = l4 + (udp ? __builtin_offsetof(struct udphdr, check) : __builtin_offsetof(struct tcphdr, check));
	__be16 *ports;

	/* UDP without a checksum stays without. */
	if (udp && p->l4_check == 0)
		ctx_note_unchecked(ctx, rw->csum_port);
	else if (ctx_fix_l4_csum(ctx, off, udp, p->l4_check, rw->csum_addr, rw->csum_port))
		return -DROP_WRITE_ERROR;

	ports = ctx_data(ctx) + l4;
	if ((void *)(ports + 2) > ctx_data_end(ctx))
		return -DROP_WRITE_ERROR;
	ports[0] = rw->sport;
	ports[1] = rw->dport;
	return rewrite_ip(ctx, p, rw->saddr, rw->daddr, rw->csum_addr, hop);
}

/* Echoes and fragments. A global function, as it is rarely needed: the verifier walks it once. */
__noinline int rewrite_rare(ctx_t *ctx, const struct pkt *p, const struct flow_rw *rw, __u32 hop)
{
	if (!p || !rw)
		return -DROP_WRITE_ERROR;
	if (p->kind == PKT_LATER_FRAGMENT)
		return rewrite_ip(ctx, p, rw->saddr, rw->daddr, rw->csum_addr, hop);
	if (p->more_fragments && !ctx_is_dry(ctx))
		frag_remember(p);
	if (p->key.proto == IPPROTO_ICMP)
		return rewrite_echo(ctx, p, rw, hop);
	return rewrite_ports(ctx, p, rw, hop);
}

/* Write addresses, ports and checksums. `hop`: this node acts as the router, so the TTL goes down by one. */
static __always_inline int pkt_rewrite(ctx_t *ctx, const struct pkt *p, const struct flow_rw *rw, bool hop)
{
	if (unlikely(p->kind != PKT_WHOLE || p->more_fragments || p->key.proto == IPPROTO_ICMP))
		return p->kind == PKT_ICMP_ERROR ? rewrite_icmp_error(ctx, p, rw, hop) : rewrite_rare(ctx, p, rw, hop);
	return rewrite_ports(ctx, p, rw, hop);
}

#endif /* WEFT_REWRITE_H */
