/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef WEFT_IPCACHE_MAPS_H
#define WEFT_IPCACHE_MAPS_H

#include "common.h"
#include "ipcache_types.h"

#define IPC_MAX_ENTRIES 512000

/* Prefix -> identity and node. Written by the agent only. */
struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__type(key, struct ipc_key);
	__type(value, struct ipc_val);
	__uint(max_entries, IPC_MAX_ENTRIES);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
} w_ipc_v1 SEC(".maps");

#endif /* WEFT_IPCACHE_MAPS_H */
