/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef WEFT_MASQUERADE_MAPS_H
#define WEFT_MASQUERADE_MAPS_H

#include "common.h"
#include "masquerade_types.h"

#define MASQ_MAX_ENTRIES 16384

/* Destinations that see pods by their own address. The value means nothing. Written by the agent only. */
struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__type(key, struct masq_key);
	__type(value, __u32);
	__uint(max_entries, MASQ_MAX_ENTRIES);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
} w_masq4_v1 SEC(".maps");

#endif /* WEFT_MASQUERADE_MAPS_H */
