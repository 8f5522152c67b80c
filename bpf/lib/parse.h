/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef WEFT_PARSE_H
#define WEFT_PARSE_H

#include "frag.h"
#include "packet.h"

enum parse_result {
	PARSE_OK = 0,
	/* Nothing that is translated: another protocol, or an ICMP message that is neither echo nor error. */
	PARSE_OTHER = 1,
	/* A later fragment whose first one did not come by: addresses are known, ports are not. */
	PARSE_FRAGMENT = 2,
};

/*
 * Both addresses in one word, and the ports with the protocol behind them in another, as the tables compare keys: a word put
 * together from stored pieces must wait for the stores. Source and destination stand first in TCP and UDP alike. Little-endian.
 */
static __always_inline void pkt_addresses(struct pkt *p, const struct iphdr *ip)
{
	__builtin_memcpy(&p->key, __builtin_assume_aligned(&ip->saddr, 8), sizeof(__u64));
}

static __always_inline void pkt_ports(struct pkt *p, const void *l4, __u8 proto)
{
	__u64 word = *(const __u32 *)l4 | (__u64)proto << 32;

	__builtin_memcpy((void *)&p->key + __builtin_offsetof(struct flow_key, sport), &word, sizeof(word));
}

/* `room`: bytes behind the IP header. Of the first of several fragments the rest is elsewhere. */
static __always_inline int pkt_parse_l4(ctx_t *ctx, struct pkt *p, __u8 proto, __u32 room)
{
	__u32 len;

	if (proto == IPPROTO_TCP) {
		struct tcphdr *tcp = pkt_header(ctx, pkt_l4_off(p), sizeof(*tcp));

		if (!tcp)
			return -DROP_INVALID_PACKET;
		pkt_ports(p, tcp, proto);
		p->l4_check = tcp->check;
		p->tcp_flags = ((__u8 *)tcp)[13];
		len = (((__u8 *)tcp)[12] >> 4) * 4;
		if (unlikely(len < sizeof(*tcp)))
			return -DROP_INVALID_PACKET;
	} else {
		struct udphdr *udp = pkt_header(ctx, pkt_l4_off(p), sizeof(*udp));

		if (!udp)
			return -DROP_INVALID_PACKET;
		pkt_ports(p, udp, proto);
		p->l4_check = udp->check;
		len = bpf_ntohs(udp->len);
		if (unlikely(len < sizeof(*udp)))
			return -DROP_INVALID_PACKET;
	}
	if (unlikely(len > room) && !p->more_fragments)
		return -DROP_INVALID_PACKET;
	return PARSE_OK;
}

/* The kernel declares ethhdr as packed: read as declared, the field would be two bytes. */
static __always_inline bool pkt_is_ip(const void *eth)
{
	return eth && *(const __be16 *)(eth + __builtin_offsetof(struct ethhdr, h_proto)) == bpf_htons(ETH_P_IP);
}

/* The tuple of an answer to the packet that an ICMP error quotes: the key under which its flow is known. */
static __always_inline int pkt_parse_quote(ctx_t *ctx, struct pkt *p)
{
	__u32 off = pkt_l4_off(p) + sizeof(struct icmp_hdr);
	struct iphdr *ip = pkt_header(ctx, off, sizeof(*ip));
	/* What is behind it only fills the frame up. */
	__u32 end = sizeof(struct ethhdr) + p->tot_len;
	struct flow_key key = {};
	__be16 *ports;
	__u32 ihl;

	/* What was sent from elsewhere, or quoted without its ports, is none of ours. */
	if (!ip || end < off + sizeof(*ip) || ip->version != 4 || ip->saddr != p->key.daddr || bpf_ntohs(ip->frag_off) & IP_OFFSET)
		return PARSE_OTHER;
	ihl = (*(__u8 *)ip & 0xf) * 4;
	key.saddr = ip->daddr;
	key.daddr = ip->saddr;
	key.proto = ip->protocol;
	if (ihl < sizeof(*ip))
		return PARSE_OTHER;
	p->quote_l4_off = off + ihl;
	ports = pkt_header(ctx, pkt_quote_l4_off(p), 8);
	if (!ports || end < p->quote_l4_off + 8)
		return PARSE_OTHER;
	if (key.proto == IPPROTO_TCP || key.proto == IPPROTO_UDP) {
		key.sport = ports[1];
		key.dport = ports[0];
	} else if (key.proto == IPPROTO_ICMP && *(__u8 *)ports == ICMP_ECHO_REQUEST) {
		key.dport = ports[2];
	} else {
		return PARSE_OTHER;
	}
	p->reporter = p->key.saddr;
	p->key = key;
	p->kind = PKT_ICMP_ERROR;
	return PARSE_OK;
}

/*
 * A global function, as it is rarely needed: the verifier walks it once. Destination unreachable and time exceeded are the
 * errors that say something about a flow.
 */
__noinline int pkt_parse_icmp(ctx_t *ctx, struct pkt *p)
{
	struct icmp_hdr *icmp;

	if (!p)
		return PARSE_OTHER;
	icmp = pkt_header(ctx, pkt_l4_off(p), sizeof(*icmp));
	if (!icmp)
		return -DROP_INVALID_PACKET;
	p->l4_check = icmp->check;
	switch (icmp->type) {
	case ICMP_ECHO_REQUEST:
		p->key.sport = icmp->id;
		return PARSE_OK;
	case ICMP_ECHO_REPLY:
		p->key.dport = icmp->id;
		p->answer = true;
		return PARSE_OK;
	case ICMP_UNREACHABLE:
	case ICMP_TIME_EXCEEDED:
		return p->more_fragments ? PARSE_OTHER : pkt_parse_quote(ctx, p);
	default:
		return PARSE_OTHER;
	}
}

/* A parse_result, or the negative reason why this is no packet. */
static __always_inline int pkt_parse(ctx_t *ctx, struct pkt *p)
{
	struct ethhdr *eth = pkt_header(ctx, 0, sizeof(*eth) + sizeof(struct iphdr));
	__u32 ihl, l4_len, tot_len, len;
	struct iphdr *ip;
	__u16 frag;
	__u8 first, proto;

	if (!eth)
		return pkt_is_ip(pkt_header(ctx, 0, sizeof(*eth))) ? -DROP_INVALID_PACKET : PARSE_OTHER;
	if (!pkt_is_ip(eth))
		return PARSE_OTHER;
	ip = (void *)(eth + 1);

	pkt_addresses(p, ip);
	p->key.proto = proto = ip->protocol;
	if (proto != IPPROTO_TCP && proto != IPPROTO_UDP && proto != IPPROTO_ICMP)
		return PARSE_OTHER;

	first = *(__u8 *)ip;
	ihl = (first & 0xf) * 4;
	l4_len = proto == IPPROTO_TCP ? sizeof(struct tcphdr) : sizeof(struct udphdr);
	frag = bpf_ntohs(ip->frag_off);
	p->ttl = ip->ttl;
	p->tos = ip->tos;
	p->tot_len = bpf_ntohs(ip->tot_len);
	p->l4_off = sizeof(*eth) + ihl;
	p->dont_fragment = !!(frag & IP_DONT_FRAGMENT);
	/* Version 4, and five words at least. */
	if ((__u8)(first - 0x45) > 0x0a)
		return -DROP_INVALID_PACKET;
	/* Segments merged beyond 64 KiB say 0. Padding behind a shorter packet must not be read as its header. */
	len = ctx_len(ctx) - sizeof(*eth);
	tot_len = p->tot_len || len <= 0xffff ? p->tot_len : len;
	if (unlikely(tot_len > len || tot_len < ihl))
		return -DROP_INVALID_PACKET;
	if (unlikely(frag & (IP_MORE_FRAGMENTS | IP_OFFSET))) {
		p->ip_id = ip->id;
		p->more_fragments = !(frag & IP_OFFSET);
		if (frag & IP_OFFSET) {
			p->kind = PKT_LATER_FRAGMENT;
			return frag_recall(p) ? PARSE_OK : PARSE_FRAGMENT;
		}
	}

	if (tot_len < ihl + l4_len)
		return -DROP_INVALID_PACKET;
	return proto == IPPROTO_ICMP ? pkt_parse_icmp(ctx, p) : pkt_parse_l4(ctx, p, proto, tot_len - ihl);
}

#endif /* WEFT_PARSE_H */
