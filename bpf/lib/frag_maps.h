/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef WEFT_FRAG_MAPS_H
#define WEFT_FRAG_MAPS_H

#include "common.h"
#include "frag_types.h"

#define FRAG_MAX_ENTRIES 8192

/* Ports of datagrams that come in fragments. Written by programs alone. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__type(key, struct frag_key);
	__type(value, struct frag_val);
	__uint(max_entries, FRAG_MAX_ENTRIES);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
} w_frag4_v1 SEC(".maps");

#endif /* WEFT_FRAG_MAPS_H */
