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
#include "icmp.h"

#define TCP_FIN 0x01
#define TCP_SYN 0x02
#define TCP_RST 0x04
#define TCP_ACK 0x10

#define IP_DONT_FRAGMENT 0x4000
#define IP_MORE_FRAGMENTS 0x2000
#define IP_OFFSET 0x1fff

enum pkt_kind {
	/* A TCP or UDP packet or an ICMP echo, or the first fragment of one: its transport header is here. */
	PKT_WHOLE = 0,
	/* A later fragment, with the ports that its first one had. It has no transport header. */
	PKT_LATER_FRAGMENT = 1,
	/* An ICMP error. The tuple is that of an answer to the packet it quotes. */
	PKT_ICMP_ERROR = 2,
};

/* What the parser learnt, copied out: it stays true when packet pointers do not. */
struct pkt {
	/* ICMP echo: the identifier is the source port of a request and the destination port of a reply, the other port is 0. */
	struct flow_key key;
	__u32 l4_off;
	__u16 l4_check;
	__u16 tot_len;
	__u8 tcp_flags;
	__u8 ttl;
	__u8 tos;
	/* The first of several fragments. */
	__u8 more_fragments;
	__u8 kind;
	__u8 dont_fragment;
	__be16 ip_id;
	/* ICMP errors: the transport header that is quoted, who sent the error, and whether nobody else may see that. */
	__u8 hide_reporter;
	/* From a backend to its client. */
	__u8 answer;
	/* Its sender is behind this device's ingress, not its egress: the node itself. */
	__u8 say_inward;
	/* TCP: the first of its flow that is neither SYN nor RST. */
	__u8 establishes;
	/* If this packet is dropped: what its sender is told, as type << 8 | code (0: nothing), by whom, and the MTU. */
	__u16 say;
	__u32 quote_l4_off;
	__be32 reporter;
	__be32 say_from;
	__u32 say_mtu;
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

/* Whether this may ask a service: ping and errors do not, an answer does not, and at 0.0.0.0 nobody could be answered. */
static __always_inline bool pkt_may_ask(const struct pkt *p)
{
	return !pkt_is_syn_ack(p) && p->key.proto != IPPROTO_ICMP && p->kind != PKT_ICMP_ERROR && p->key.saddr;
}

/* An Ethernet header in words. The kernel declares its own as packed, and copies of that go byte by byte. */
struct pkt_frame {
	__u32 words[3];
	__u16 type;
};

static __always_inline struct pkt_frame pkt_frame_read(const void *eth)
{
	struct pkt_frame frame;

	__builtin_memcpy(&frame, __builtin_assume_aligned(eth, 4), sizeof(struct ethhdr));
	return frame;
}

static __always_inline void pkt_frame_write(void *eth, const struct pkt_frame *frame)
{
	__builtin_memcpy(__builtin_assume_aligned(eth, 4), frame, sizeof(struct ethhdr));
}

/* A frame that goes back to where it came from. */
static __always_inline void pkt_turn_frame(struct ethhdr *eth)
{
	__u8 mac[ETH_ALEN];

	__builtin_memcpy(mac, eth->h_dest, ETH_ALEN);
	__builtin_memcpy(eth->h_dest, eth->h_source, ETH_ALEN);
	__builtin_memcpy(eth->h_source, mac, ETH_ALEN);
}

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

/* The same for what an ICMP error quotes: 14 + 60 + 8 + 60 is the most. */
static __always_inline __u32 pkt_quote_l4_off(const struct pkt *p)
{
	__u32 off = p->quote_l4_off;

	asm volatile("" : "+r"(off));
	return off & 0xff;
}

#endif /* WEFT_PACKET_H */
