/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef WEFT_EVENT_H
#define WEFT_EVENT_H

#include "drop.h"
#include "event_maps.h"
#include "flow_types.h"
#include "metrics.h"
#include "runtime_maps.h"

/* Whether drops can be told in the event ring, besides being counted; they are while somebody listens. */
const volatile bool cfg_events = true;

static __always_inline bool event_wanted(enum rt_event kind)
{
	__u32 zero = 0;
	struct rt_val *rt = bpf_map_lookup_elem(&w_rt_v1, &zero);

	return rt && rt->events & kind;
}

/* A record with everything that all kinds have; NULL and counted when the ring is full. */
static __always_inline struct event *event_start(enum event_type type, enum met_dir dir, __u32 ifindex,
						 const struct flow_key *tuple, __u32 len)
{
	struct event *ev = bpf_ringbuf_reserve(&w_ev, sizeof(*ev), 0);

	if (!ev) {
		met_count(dir, REASON_EVENT_LOST, 0);
		return NULL;
	}
	*ev = (struct event){
		.type = type,
		.dir = dir,
		.proto = tuple->proto,
		.ifindex = ifindex,
		.ts_ns = bpf_ktime_get_ns(),
		.saddr = tuple->saddr,
		.daddr = tuple->daddr,
		.sport = tuple->sport,
		.dport = tuple->dport,
		.len = len,
	};
	return ev;
}

static __always_inline void event_drop(enum met_dir dir, __u8 reason, __u32 ifindex, const struct flow_key *tuple,
				       __u32 len)
{
	struct event *ev;

	if (!cfg_events || !event_wanted(RT_EVENT_DROP))
		return;
	ev = event_start(EVENT_DROP, dir, ifindex, tuple, len);
	if (!ev)
		return;
	ev->reason = reason;
	bpf_ringbuf_submit(ev, BPF_RB_NO_WAKEUP);
}

#endif /* WEFT_EVENT_H */
