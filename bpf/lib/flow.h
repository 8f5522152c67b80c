/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef WEFT_FLOW_H
#define WEFT_FLOW_H

#include <linux/errno.h>
#include <linux/in.h>

#include "clock.h"
#include "csum.h"
#include "flow_table.h"
#include "packet.h"

/* Lifetimes in seconds: TCP before a packet without SYN and RST, TCP after it, TCP closed by both sides or reset, the rest. */
const volatile __u32 cfg_tcp_syn_s = 60;
const volatile __u32 cfg_tcp_established_s = 8000;
const volatile __u32 cfg_tcp_closing_s = 10;
const volatile __u32 cfg_any_s = 60;

/* The key that the answer to a rewritten packet has: that of the other entry. */
static __always_inline struct flow_key flow_twin_key(const struct flow_rw *rw, __u8 proto)
{
	struct flow_key key = {
		.saddr = rw->daddr,
		.daddr = rw->saddr,
		.sport = rw->dport,
		.dport = rw->sport,
		.proto = proto,
	};

	return key;
}

/* How to get from `from` to the given addresses and ports. */
static __always_inline void flow_rw_set(struct flow_rw *rw, const struct flow_key *from, __be32 saddr, __be32 daddr,
					__be16 sport, __be16 dport)
{
	rw->saddr = saddr;
	rw->daddr = daddr;
	rw->sport = sport;
	rw->dport = dport;
	rw->csum_addr = csum_fold(csum_plus32(saddr) + csum_plus32(daddr) + csum_minus32(from->saddr) +
				  csum_minus32(from->daddr));
	rw->csum_port = csum_fold(csum_plus16(sport) + csum_plus16(dport) + csum_minus16(from->sport) +
				  csum_minus16(from->dport));
}

/* The same where only the destination changes. */
static __always_inline void flow_rw_set_dst(struct flow_rw *rw, const struct flow_key *from, __be32 daddr, __be16 dport)
{
	rw->saddr = from->saddr;
	rw->daddr = daddr;
	rw->sport = from->sport;
	rw->dport = dport;
	rw->csum_addr = csum_fold(csum_plus32(daddr) + csum_minus32(from->daddr));
	rw->csum_port = csum_fold(csum_plus16(dport) + csum_minus16(from->dport));
}

/* Whether `twin` is the other entry of the flow that has `key`, and not another flow under the same tuple. */
static __always_inline bool flow_is_twin(const struct flow_val *twin, const struct flow_key *key)
{
	return twin->rw.saddr == key->daddr && twin->rw.daddr == key->saddr && twin->rw.sport == key->dport &&
	       twin->rw.dport == key->sport;
}

static __always_inline bool flow_is_closing(__u32 flags)
{
	return flags & FLOW_RST || (flags & (FLOW_FIN_SELF | FLOW_FIN_TWIN)) == (FLOW_FIN_SELF | FLOW_FIN_TWIN);
}

static __always_inline bool flow_is_over(const struct flow_val *flow, __u32 now)
{
	return flow->expires_s <= now;
}

/*
 * A SYN that starts a connection anew on an old tuple: its sender had closed. The tuple may then go to another backend.
 */
static __always_inline bool flow_is_reused(const struct flow_val *flow, __u8 tcp_flags)
{
	return tcp_flags & TCP_SYN && flow->flags & (FLOW_FIN_SELF | FLOW_RST);
}

/*
 * An acknowledged SYN from the answering side of a flow that it had closed: it answers somebody who spoke to the backend itself,
 * from the port that a service's client had. The tuple is no longer this flow's.
 */
static __always_inline bool flow_is_left(const struct flow_val *flow, const struct pkt *p)
{
	return unlikely(pkt_is_syn_ack(p)) && flow->flags & FLOW_REV && flow->flags & (FLOW_FIN_SELF | FLOW_RST);
}

/* The TCP bits of an entry after a packet in its direction. */
static __always_inline __u32 flow_tcp_next(__u32 flags, __u8 tcp_flags)
{
	/* A reset is what many a SYN is answered with, and needs no connection. */
	if (!(tcp_flags & (TCP_SYN | TCP_RST)))
		flags |= FLOW_ESTABLISHED;
	if (tcp_flags & TCP_FIN)
		flags |= FLOW_FIN_SELF;
	if (tcp_flags & TCP_RST)
		flags |= FLOW_RST;
	else if (!(tcp_flags & (TCP_SYN | TCP_FIN)))
		/* Life after a reset: it was forged or out of window, and the receiver ignored it. */
		flags &= ~FLOW_RST;
	return flags;
}

static __always_inline __u32 flow_lifetime(__u32 flags, __u8 proto)
{
	if (proto != IPPROTO_TCP)
		return cfg_any_s;
	if (flow_is_closing(flags))
		return cfg_tcp_closing_s;
	/* The other side's FIN does not come by here, and the client goes on acknowledging until then. */
	if (unlikely(flags & FLOW_DSR && flags & FLOW_FIN_SELF))
		return cfg_tcp_syn_s;
	return flags & FLOW_ESTABLISHED ? cfg_tcp_established_s : cfg_tcp_syn_s;
}

/* The same flags seen from the other entry. */
static __always_inline __u32 flow_twin_flags(__u32 flags)
{
	__u32 twin = (flags ^ FLOW_REV) & ~(FLOW_FIN_SELF | FLOW_FIN_TWIN);

	if (flags & FLOW_FIN_SELF)
		twin |= FLOW_FIN_TWIN;
	if (flags & FLOW_FIN_TWIN)
		twin |= FLOW_FIN_SELF;
	return twin;
}

/* Whether a packet says something new about its flow; most do not and cost no write. */
static __always_inline bool flow_needs_touch(const struct flow_val *flow, const struct pkt *p, __u32 now)
{
	if (flow->last_s != now)
		return true;
	return p->key.proto == IPPROTO_TCP &&
	       flow_tcp_next(flow->flags, p->tcp_flags) != flow->flags;
}

/* Put back the entry that the LRU threw out. */
static __always_inline void flow_restore_twin(const struct flow_key *twin_key, const struct flow_val *flow,
					      const struct flow_key *key, __u32 now)
{
	struct flow_val twin = {
		.svc_id = flow->svc_id,
		.backend_id = flow->backend_id,
		.expires_s = flow->expires_s,
		.last_s = now,
		.flags = flow_twin_flags(flow->flags),
		.created_s = flow->created_s,
	};

	flow_rw_set(&twin.rw, twin_key, key->daddr, key->saddr, key->dport, key->sport);
	flow_insert(twin_key, &twin, BPF_NOEXIST);
}

/* From one set of flags to another, bit by bit: the other direction may be at it on another CPU. */
static __always_inline void flow_change_flags(struct flow_val *flow, __u32 from, __u32 to)
{
	if (to & ~from)
		__sync_fetch_and_or(&flow->flags, to & ~from);
	if (from & ~to)
		__sync_fetch_and_and(&flow->flags, to | ~from);
}

/*
 * Bring both entries up to date with a packet. False: another flow owns the twin's tuple, so answers can no longer be told
 * apart and this entry is worthless. A global function, as it is called once a second for each flow: the verifier walks it once.
 */
__noinline int flow_touch(struct flow_val *flow, struct pkt *p, __u32 now)
{
	struct flow_key twin_key;
	struct flow_val *twin;
	bool was_closing;
	__u32 next;

	if (!flow || !p)
		return false;
	twin_key = flow_twin_key(&flow->rw, p->key.proto);
	was_closing = flow_is_closing(flow->flags);
	if (p->key.proto == IPPROTO_TCP) {
		next = flow_tcp_next(flow->flags, p->tcp_flags);
		p->establishes = (next & ~flow->flags & FLOW_ESTABLISHED) != 0;
		flow_change_flags(flow, flow->flags, next);
	}
	flow->last_s = now;
	/* A closing flow is not kept alive by stragglers. */
	if (!was_closing || !flow_is_closing(flow->flags))
		flow->expires_s = now + flow_lifetime(flow->flags, p->key.proto);

	if (unlikely(flow->flags & FLOW_DSR))
		return true;
	/* It is where this entry is, or was until now. */
	twin = flow_lookup_first(&twin_key, p->establishes || !(flow->flags & FLOW_ESTABLISHED));
	if (!twin) {
		flow_restore_twin(&twin_key, flow, &p->key, now);
		return true;
	}
	if (!flow_is_twin(twin, &p->key)) {
		/* A request of it must not go on in the same second, when nothing is touched. */
		if (!(flow->flags & FLOW_REV))
			flow->expires_s = now;
		return false;
	}
	flow_change_flags(twin, twin->flags, flow_twin_flags(flow->flags) | (twin->flags & FLOW_FIN_SELF));
	twin->expires_s = flow->expires_s;
	twin->last_s = now;
	return true;
}

/* False: there is no room. That another CPU was faster is as good. */
static __always_inline bool flow_move(const struct flow_key *key, const struct flow_val *flow)
{
	long err = bpf_map_update_elem(&w_flow4t_v1, key, flow, BPF_NOEXIST);

	return !err || err == -EEXIST;
}

/*
 * Both entries of a flow that is established now move to where no flood of SYNs reaches them. They are in both tables for a
 * moment and in neither never: a look-up asks the new one, the old one and, if it came in between, the new one again. Last of
 * all that is done with a packet, as pointers to the old entries are worth nothing afterwards. A flow that finds no room stays.
 */
__noinline int flow_settle(const struct pkt *p)
{
	struct flow_key key, twin_key;
	struct flow_val *flow, *twin;

	if (!p)
		return 0;
	key = p->key;
	flow = bpf_map_lookup_elem(&w_flow4s_v1, &key);
	if (!flow)
		return 0;
	twin_key = flow_twin_key(&flow->rw, key.proto);
	twin = bpf_map_lookup_elem(&w_flow4s_v1, &twin_key);
	if (twin && !flow_is_twin(twin, &key))
		twin = NULL;
	if ((twin && !flow_move(&twin_key, twin)) || !flow_move(&key, flow))
		return 0;
	flow_delete_from(&key, false);
	if (twin)
		flow_delete_from(&twin_key, false);
	return 0;
}

/* Forget the other entry of a flow that is about to be replaced. */
static __always_inline void flow_delete_twin(const struct flow_rw *rw, const struct flow_key *key)
{
	struct flow_key twin_key = flow_twin_key(rw, key->proto);
	struct flow_val *twin = flow_lookup(&twin_key);

	if (twin && flow_is_twin(twin, key))
		flow_delete(&twin_key);
}

#endif /* WEFT_FLOW_H */
