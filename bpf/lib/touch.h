/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef WEFT_TOUCH_H
#define WEFT_TOUCH_H

#include "flow.h"

/* A global function, as it is called once a second for each flow: the verifier walks it once. */
__noinline int touch_flow(struct flow_val *flow, struct pkt *p, __u32 now)
{
	return flow && p && flow_touch(flow, p, now);
}

#endif /* WEFT_TOUCH_H */
