/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef WEFT_REPLY_H
#define WEFT_REPLY_H

/* Answers of backends on this node: the service's address in place of the backend's. */
#include "flow.h"
#include "forward.h"
#include "here.h"
#include "parse.h"

static __always_inline bool reply_is(const struct flow_val *flow, const struct pkt *p)
{
	return (flow->flags & (FLOW_REV | FLOW_LOCAL)) == (FLOW_REV | FLOW_LOCAL) && !pkt_is_syn(p);
}

/*
 * Straight from the pod. Needed where the client is not behind the uplink, and saves the stack's work where it is. The
 * stack would not route it with the service's source address, so it leaves from here or, if there is no way, unchanged.
 */
static __always_inline int reply_from_pod(ctx_t *ctx, struct pkt *p, struct flow_val *flow, __u32 now, bool *done)
{
	struct flow_rw rw;
	int verdict;

	here_touch_answer(ctx, flow, p, now);
	rw = flow->rw;
	*done = true;
	p->say_from = cfg_snat_addr;
	verdict = forward_late(ctx, p, &rw);
	return verdict == -DROP_NO_FIB ? CTX_PASS : verdict;
}

#endif /* WEFT_REPLY_H */
