/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef WEFT_FLOW_TABLE_H
#define WEFT_FLOW_TABLE_H

#include <linux/in.h>

#include "flow_maps.h"
#include "packet.h"
#include "ports.h"

/*
 * A TCP flow that is not established, or that another CPU has just now moved to where those are: see flow_settle. Flows that live
 * move that way alone, so whoever asks in this order finds one that moves meanwhile. Not inlined: few packets come here.
 */
static __noinline struct flow_val *flow_lookup_opening(const struct flow_key *key)
{
	struct flow_val *flow = bpf_map_lookup_elem(&w_flow4s_v1, key);

	return flow ?: bpf_map_lookup_elem(&w_flow4t_v1, key);
}

/*
 * Three tables, so that neither a flood of UDP nor one of SYNs evicts an established TCP flow. A key is in one of them alone, but
 * for the moment in which its flow moves. `opening`: the flow is more likely to be none, or not established. The two different
 * empty asm statements keep the compiler from merging the calls: with the map in a register the verifier (6.1 as well as 6.18) no
 * longer inlines the lookup.
 */
static __always_inline struct flow_val *flow_lookup_first(const struct flow_key *key, bool opening)
{
	struct flow_val *flow = NULL;

	if (key->proto == IPPROTO_TCP) {
		if (likely(!opening))
			flow = bpf_map_lookup_elem(&w_flow4t_v1, key);
		asm volatile("" : "+r"(flow));
		if (unlikely(!flow))
			flow = flow_lookup_opening(key);
	} else {
		flow = bpf_map_lookup_elem(&w_flow4a_v1, key);
		asm volatile("" : "+r"(flow) : : "memory");
	}
	return flow;
}

static __always_inline struct flow_val *flow_lookup(const struct flow_key *key)
{
	return flow_lookup_first(key, false);
}

/* A packet's flow. */
static __always_inline struct flow_val *flow_of(const struct pkt *p)
{
	if (ports_exclude(&p->key))
		return NULL;
	return flow_lookup_first(&p->key, p->tcp_flags & TCP_SYN);
}

/* Looks into the table that is the flow's and into no other. */
static __always_inline long flow_insert(const struct flow_key *key, const struct flow_val *flow, __u64 flags)
{
	ports_note_flow(key);
	if (key->proto != IPPROTO_TCP)
		return bpf_map_update_elem(&w_flow4a_v1, key, flow, flags);
	if (flow->flags & FLOW_ESTABLISHED)
		return bpf_map_update_elem(&w_flow4t_v1, key, flow, flags);
	return bpf_map_update_elem(&w_flow4s_v1, key, flow, flags);
}

/* What stands under the key in the table that is the flow's, or for TCP in the other one. */
static __always_inline struct flow_val *flow_lookup_in(const struct flow_key *key, const struct flow_val *flow, bool other)
{
	if (key->proto != IPPROTO_TCP)
		return other ? NULL : bpf_map_lookup_elem(&w_flow4a_v1, key);
	if (!(flow->flags & FLOW_ESTABLISHED) == other)
		return bpf_map_lookup_elem(&w_flow4t_v1, key);
	return bpf_map_lookup_elem(&w_flow4s_v1, key);
}

/* From one of the two tables of TCP. */
static __always_inline void flow_delete_from(const struct flow_key *key, bool established)
{
	if (established)
		bpf_map_delete_elem(&w_flow4t_v1, key);
	else
		bpf_map_delete_elem(&w_flow4s_v1, key);
}

static __always_inline void flow_delete(const struct flow_key *key)
{
	if (key->proto == IPPROTO_TCP) {
		flow_delete_from(key, true);
		flow_delete_from(key, false);
	} else {
		bpf_map_delete_elem(&w_flow4a_v1, key);
	}
}

/* Whatever stood under the key before, in either table. */
static __always_inline long flow_replace(const struct flow_key *key, const struct flow_val *flow)
{
	long err = flow_insert(key, flow, BPF_ANY);

	if (!err && key->proto == IPPROTO_TCP)
		flow_delete_from(key, !(flow->flags & FLOW_ESTABLISHED));
	return err;
}

#endif /* WEFT_FLOW_TABLE_H */
