/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef WEFT_AFFINITY_MAPS_H
#define WEFT_AFFINITY_MAPS_H

#include "affinity_types.h"
#include "common.h"

#define AFF_MAX_ENTRIES 65536

/* Session affinity. Written by programs only. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__type(key, struct aff_key);
	__type(value, struct aff_val);
	__uint(max_entries, AFF_MAX_ENTRIES);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
} w_aff4_v1 SEC(".maps");

#endif /* WEFT_AFFINITY_MAPS_H */
