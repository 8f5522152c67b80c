/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef WEFT_METRICS_MAPS_H
#define WEFT_METRICS_MAPS_H

#include "common.h"
#include "metrics_types.h"

/* Counters of packets handled and dropped, by direction and reason. Written by programs only. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__type(key, __u32);
	__type(value, struct met_val);
	__uint(max_entries, MET_DIRS * MET_REASONS);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
} w_met_v1 SEC(".maps");

#endif /* WEFT_METRICS_MAPS_H */
