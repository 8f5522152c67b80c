/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef WEFT_FLOW_MAPS_H
#define WEFT_FLOW_MAPS_H

#include "common.h"
#include "flow_types.h"

#define FLOW_TCP_MAX_ENTRIES 524288
#define FLOW_SYN_MAX_ENTRIES 262144
#define FLOW_ANY_MAX_ENTRIES 262144

/* Flow state, established TCP. Written by programs alone. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__type(key, struct flow_key);
	__type(value, struct flow_val);
	__uint(max_entries, FLOW_TCP_MAX_ENTRIES);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
} w_flow4t_v1 SEC(".maps");

/* Flow state, TCP, of flows that have seen only SYNs or a reset: what anybody can make without being answered. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__type(key, struct flow_key);
	__type(value, struct flow_val);
	__uint(max_entries, FLOW_SYN_MAX_ENTRIES);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
} w_flow4s_v1 SEC(".maps");

/* Flow state, all other protocols. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__type(key, struct flow_key);
	__type(value, struct flow_val);
	__uint(max_entries, FLOW_ANY_MAX_ENTRIES);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
} w_flow4a_v1 SEC(".maps");

#endif /* WEFT_FLOW_MAPS_H */
