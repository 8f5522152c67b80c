/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef WEFT_EVENT_H
#define WEFT_EVENT_H

#include "drop.h"
#include "event_maps.h"
#include "flow_types.h"
#include "metrics.h"

/* Whether drops are told in the event ring, besides being counted. */
const volatile bool cfg_events = true;

static __always_inline void event_drop(enum met_dir dir, __u8 reason, __u32 ifindex, const struct flow_key *tuple,
				       __u32 len)
{
	struct event *ev;

	if (!cfg_events)
		return;
	ev = bpf_ringbuf_reserve(&w_ev, sizeof(*ev), 0);
	if (!ev) {
		met_count(dir, REASON_EVENT_LOST, 0);
		return;
	}
	ev->type = EVENT_DROP;
	ev->reason = reason;
	ev->dir = dir;
	ev->proto = tuple->proto;
	ev->ifindex = ifindex;
	ev->ts_ns = bpf_ktime_get_ns();
	ev->saddr = tuple->saddr;
	ev->daddr = tuple->daddr;
	ev->sport = tuple->sport;
	ev->dport = tuple->dport;
	ev->len = len;
	bpf_ringbuf_submit(ev, BPF_RB_NO_WAKEUP);
}

#endif /* WEFT_EVENT_H */
