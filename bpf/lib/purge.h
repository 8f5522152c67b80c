/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef WEFT_PURGE_H
#define WEFT_PURGE_H

/* The end of flows whose backend or service is gone, or whose clients may no longer come. */
#include "flow_maps.h"
#include "purge_maps.h"

struct purge_walk {
	__u32 deleted;
	__u32 ranges;
};

/*
 * Whether a service whose ranges have changed still lets a client in. The service's own map of ranges is of a kind that a program
 * which may sleep cannot ask. A global function: walked by the verifier once.
 */
__noinline int purge_admits(__u32 svc_id, __be32 client, __u32 ranges)
{
	struct purge_range *range;
	bool deny = false;
	__u32 i, index;

	for (i = 0; i < PURGE_MAX_RANGES && i < ranges; i++) {
		index = i;
		range = bpf_map_lookup_elem(&w_purge_ranges, &index);
		if (!range || range->svc_id != svc_id)
			continue;
		deny = range->deny;
		if ((client & range->mask) == range->addr)
			return !deny;
	}
	return deny;
}

/* Whether there are ranges of a service at all: then it is still there. */
__noinline int purge_lists(__u32 svc_id, __u32 ranges)
{
	struct purge_range *range;
	__u32 i, index;

	for (i = 0; i < PURGE_MAX_RANGES && i < ranges; i++) {
		index = i;
		range = bpf_map_lookup_elem(&w_purge_ranges, &index);
		if (range && range->svc_id == svc_id)
			return true;
	}
	return false;
}

/* Clients here are not asked where they come from, as long as there is a service. */
static __always_inline bool purge_spares(const struct flow_key *key, const struct flow_val *flow, __u32 ranges)
{
	if (!ranges)
		return false;
	if (flow->flags & (FLOW_CLIENT_HERE | FLOW_HAIRPIN))
		return purge_lists(flow->svc_id, ranges);
	return purge_admits(flow->svc_id, flow->flags & FLOW_REV ? flow->rw.daddr : key->saddr, ranges);
}

static __always_inline bool purge_is_marked(const struct flow_key *key, const struct flow_val *flow, __u32 ranges)
{
	__u32 backend = flow->backend_id / PURGE_IDS, service = flow->svc_id / PURGE_IDS;
	struct purge_ids *ids = bpf_map_lookup_elem(&w_purge, &backend);

	if (ids && ids->backends & 1u << flow->backend_id % PURGE_IDS)
		return true;
	ids = bpf_map_lookup_elem(&w_purge, &service);
	return ids && ids->services & 1u << flow->svc_id % PURGE_IDS && !purge_spares(key, flow, ranges);
}

/*
 * An entry that another program puts into a freed element's place in between may lead the walk into that element's bucket,
 * past the rest of this one: who needs all of them gone walks until nothing is found.
 */
static long purge_entry(void *map, struct flow_key *key, struct flow_val *flow, struct purge_walk *walk)
{
	if (purge_is_marked(key, flow, walk->ranges) && !bpf_map_delete_elem(map, key))
		++walk->deleted;
	return 0;
}

static __always_inline int purge_flows(struct purge_run *run)
{
	struct purge_walk tcp = { .ranges = run->ranges }, any = { .ranges = run->ranges };

	/* In the order in which flows move. */
	if (bpf_for_each_map_elem(&w_flow4s_v1, purge_entry, &tcp, 0) < 0)
		return 1;
	if (bpf_for_each_map_elem(&w_flow4t_v1, purge_entry, &tcp, 0) < 0)
		return 1;
	if (bpf_for_each_map_elem(&w_flow4a_v1, purge_entry, &any, 0) < 0)
		return 1;
	run->tcp = tcp.deleted;
	run->any = any.deleted;
	return 0;
}

#endif /* WEFT_PURGE_H */
