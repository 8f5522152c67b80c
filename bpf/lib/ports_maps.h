/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef WEFT_PORTS_MAPS_H
#define WEFT_PORTS_MAPS_H

#include "common.h"
#include "ports_types.h"

/* Ports of the node that flows have had. Pinned: flows outlive an agent. Written by programs alone. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__type(key, __u32);
	__type(value, struct ports_val);
	__uint(max_entries, 1);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
} w_ports_v1 SEC(".maps");

#endif /* WEFT_PORTS_MAPS_H */
