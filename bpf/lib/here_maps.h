/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef WEFT_HERE_MAPS_H
#define WEFT_HERE_MAPS_H

#include "common.h"

/* Until when, in seconds, there is a flow of a client on this node. Pinned: such flows outlive an agent. Written by programs alone. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__type(key, __u32);
	__type(value, __u32);
	__uint(max_entries, 1);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
} w_here_v1 SEC(".maps");

#endif /* WEFT_HERE_MAPS_H */
