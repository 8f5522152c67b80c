/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef WEFT_TRACE_H
#define WEFT_TRACE_H

#include "event.h"
#include "packet.h"

/* Whether packets of services can be told in the event ring, one by one: a load for each of them, so not by default. */
const volatile bool cfg_trace = false;

/* Geneve (RFC 8926). */
#define TRACE_TUNNEL_PORT 6081

/* What the packet has become. */
static __always_inline void trace_result(ctx_t *ctx, const struct pkt *p, struct event *ev)
{
	struct iphdr *ip = pkt_header(ctx, sizeof(struct ethhdr), sizeof(*ip));
	__be16 *ports;
	bool outer;
	__u32 l4;

	if (!ip)
		return;
	ev->new_saddr = ip->saddr;
	ev->new_daddr = ip->daddr;
	outer = ip->protocol == IPPROTO_UDP && p->key.proto != IPPROTO_UDP;
	l4 = sizeof(struct ethhdr) + (*(__u8 *)ip & 0xf) * 4;
	if (p->kind == PKT_LATER_FRAGMENT || (!outer && p->key.proto == IPPROTO_ICMP) || p->kind == PKT_ICMP_ERROR)
		return;
	ports = pkt_header(ctx, l4 & 0x7f, 4);
	if (!ports)
		return;
	ev->new_sport = ports[0];
	ev->new_dport = ports[1];
}

/* A global function, as it is rarely needed. */
__noinline int trace_packet(ctx_t *ctx, const struct pkt *p, __u32 dir, __u32 verdict)
{
	struct event *ev;

	if (!p || !event_wanted(RT_EVENT_TRACE))
		return 0;
	ev = event_start(EVENT_TRACE, dir, ctx_ifindex(ctx), &p->key, ctx_len(ctx));
	if (!ev)
		return 0;
	ev->tcp_flags = p->tcp_flags;
	ev->answer = p->answer;
	trace_result(ctx, p, ev);
	if (verdict != CTX_PASS)
		ev->point = ev->new_dport == bpf_htons(TRACE_TUNNEL_PORT) && ev->new_daddr != p->key.daddr &&
					    p->key.dport != ev->new_dport ?
				    TRACE_TO_OVERLAY :
				    TRACE_TO_DEVICE;
	bpf_ringbuf_submit(ev, BPF_RB_NO_WAKEUP);
	return 0;
}

#endif /* WEFT_TRACE_H */
