/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef WEFT_DEVICE_MAPS_H
#define WEFT_DEVICE_MAPS_H

#include "common.h"
#include "device_types.h"

#define DEV_MAX_ENTRIES 256

/* The key that stands for all devices. */
#define DEV_ALL 0

/* Devices towards other nodes and clients, by index. Written by the agent only. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__type(key, __u32);
	__type(value, struct dev_val);
	__uint(max_entries, DEV_MAX_ENTRIES);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
} w_dev_v1 SEC(".maps");

#endif /* WEFT_DEVICE_MAPS_H */
