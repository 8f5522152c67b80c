/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef WEFT_ENDPOINT_MAPS_H
#define WEFT_ENDPOINT_MAPS_H

#include "common.h"
#include "endpoint_types.h"

#define EP_MAX_ENTRIES 65536

/* Addresses that live on this node, its own included. Written by the agent only. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__type(key, struct ep_key);
	__type(value, struct ep_val);
	__uint(max_entries, EP_MAX_ENTRIES);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
} w_ep_v1 SEC(".maps");

#endif /* WEFT_ENDPOINT_MAPS_H */
