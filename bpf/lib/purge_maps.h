/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef WEFT_PURGE_MAPS_H
#define WEFT_PURGE_MAPS_H

#include "common.h"
#include "purge_types.h"

#define PURGE_MAX_ENTRIES 8193

/* What the next walk deletes. Written by the agent, through mmap; of no use without one, so not pinned. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__type(key, __u32);
	__type(value, struct purge_ids);
	__uint(max_entries, PURGE_MAX_ENTRIES);
	__uint(map_flags, BPF_F_MMAPABLE);
} w_purge SEC(".maps");

/* The verifier goes round once for each. */
#define PURGE_MAX_RANGES 128

/* Who stays, in any order. Written by the agent before a walk. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__type(key, __u32);
	__type(value, struct purge_range);
	__uint(max_entries, PURGE_MAX_RANGES);
	__uint(map_flags, BPF_F_MMAPABLE);
} w_purge_ranges SEC(".maps");

#endif /* WEFT_PURGE_MAPS_H */
