/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef WEFT_PURGE_H
#define WEFT_PURGE_H

/* The end of flows whose backend or service is gone, or whose clients may no longer come. */
#include "flow_maps.h"
#include "purge_maps.h"

static __always_inline bool purge_is_marked(const struct flow_val *flow)
{
	__u32 backend = flow->backend_id / PURGE_IDS, service = flow->svc_id / PURGE_IDS;
	struct purge_ids *ids = bpf_map_lookup_elem(&w_purge, &backend);

	if (ids && ids->backends & 1u << flow->backend_id % PURGE_IDS)
		return true;
	ids = bpf_map_lookup_elem(&w_purge, &service);
	return ids && ids->services & 1u << flow->svc_id % PURGE_IDS;
}

/*
 * An entry that another program puts into a freed element's place in between may lead the walk into that element's bucket,
 * past the rest of this one: who needs all of them gone walks until nothing is found.
 */
static long purge_entry(void *map, struct flow_key *key, struct flow_val *flow, __u32 *deleted)
{
	if (purge_is_marked(flow) && !bpf_map_delete_elem(map, key))
		++*deleted;
	return 0;
}

static __always_inline int purge_flows(struct purge_run *run)
{
	__u32 tcp = 0, any = 0;

	/* In the order in which flows move. */
	if (bpf_for_each_map_elem(&w_flow4s_v1, purge_entry, &tcp, 0) < 0)
		return 1;
	if (bpf_for_each_map_elem(&w_flow4t_v1, purge_entry, &tcp, 0) < 0)
		return 1;
	if (bpf_for_each_map_elem(&w_flow4a_v1, purge_entry, &any, 0) < 0)
		return 1;
	run->tcp = tcp;
	run->any = any;
	return 0;
}

#endif /* WEFT_PURGE_H */
