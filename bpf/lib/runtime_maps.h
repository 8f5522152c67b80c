/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef WEFT_RUNTIME_MAPS_H
#define WEFT_RUNTIME_MAPS_H

#include "common.h"
#include "runtime_types.h"

/* Switches of running programs. Written by the agent only, through mmap. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__type(key, __u32);
	__type(value, struct rt_val);
	__uint(max_entries, 1);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
} w_rt_v1 SEC(".maps");

#endif /* WEFT_RUNTIME_MAPS_H */
