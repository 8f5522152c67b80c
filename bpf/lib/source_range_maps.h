/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef WEFT_SOURCE_RANGE_MAPS_H
#define WEFT_SOURCE_RANGE_MAPS_H

#include "common.h"
#include "source_range_types.h"

#define SRCR_MAX_ENTRIES 65536

/* Who may use a service, for those with SVC_SRC_CHECK. The value means nothing. Written by the agent only. */
struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__type(key, struct srcr_key);
	__type(value, __u32);
	__uint(max_entries, SRCR_MAX_ENTRIES);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
} w_srcr4_v1 SEC(".maps");

#endif /* WEFT_SOURCE_RANGE_MAPS_H */
