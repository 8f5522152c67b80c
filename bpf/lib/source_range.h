/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef WEFT_SOURCE_RANGE_H
#define WEFT_SOURCE_RANGE_H

#include "service_types.h"
#include "source_range_maps.h"

/*
 * Whether a client may open flows to a service. Asked once for each flow: the agent ends the flows of a service whose ranges
 * change. A service that is checked and has no range lets nobody in, or everybody if its list is of those to be denied.
 */
static __always_inline bool source_range_admits(const struct svc_val *svc, __be32 client)
{
	struct srcr_key key = { .prefixlen = SRCR_PREFIX_STATIC + 32, .svc_id = svc->svc_id, .addr = client };

	if (likely(!(svc->flags & SVC_SRC_CHECK)))
		return true;
	return !bpf_map_lookup_elem(&w_srcr4_v1, &key) == !!(svc->flags & SVC_SRC_DENY);
}

#endif /* WEFT_SOURCE_RANGE_H */
