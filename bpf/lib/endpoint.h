/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef WEFT_ENDPOINT_H
#define WEFT_ENDPOINT_H

#include "endpoint_maps.h"

static __always_inline struct ep_val *ep_lookup(__be32 addr)
{
	struct ep_key key = { .addr.word[0] = addr, .family = ADDR_V4 };

	return bpf_map_lookup_elem(&w_ep_v1, &key);
}

/* An address of the node itself. */
static __always_inline bool ep_is_host(__be32 addr)
{
	struct ep_val *ep = ep_lookup(addr);

	return ep && ep->flags & EP_HOST;
}

/* A pod of this node with an address of its own. */
static __always_inline bool ep_is_pod(__be32 addr)
{
	struct ep_val *ep = ep_lookup(addr);

	return ep && !(ep->flags & EP_HOST);
}

#endif /* WEFT_ENDPOINT_H */
