/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef WEFT_SERVICE_MAPS_H
#define WEFT_SERVICE_MAPS_H

#include "common.h"
#include "service_types.h"

#define SVC_MAX_ENTRIES 65536
#define SLOT_MAX_ENTRIES (4 << 20)
#define BE_MAX_ENTRIES 262144
#define RNAT_MAX_ENTRIES 65536

/* Frontend -> service. Written by the agent only. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__type(key, struct svc_key);
	__type(value, struct svc_val);
	__uint(max_entries, SVC_MAX_ENTRIES);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
} w_svc4_v1 SEC(".maps");

/* Regions of backend ids: slots and Maglev tables. Written by the agent only, through mmap. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__type(key, __u32);
	__type(value, __u32);
	__uint(max_entries, SLOT_MAX_ENTRIES);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
} w_slot_v1 SEC(".maps");

/* Backend id -> backend; id 0 is never used. Written by the agent only, through mmap. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__type(key, __u32);
	__type(value, struct be_val);
	__uint(max_entries, BE_MAX_ENTRIES);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
} w_be4_v1 SEC(".maps");

/* Service id -> frontend. Written by the agent only, through mmap. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__type(key, __u32);
	__type(value, struct rnat_val);
	__uint(max_entries, RNAT_MAX_ENTRIES);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
} w_rnat4_v1 SEC(".maps");

#endif /* WEFT_SERVICE_MAPS_H */
