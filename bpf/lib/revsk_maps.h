/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef WEFT_REVSK_MAPS_H
#define WEFT_REVSK_MAPS_H

#include "common.h"
#include "revsk_types.h"

#define REVSK_MAX_ENTRIES 262144

/* Socket and backend -> service address. Written by programs only. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__type(key, struct revsk_key);
	__type(value, struct revsk_val);
	__uint(max_entries, REVSK_MAX_ENTRIES);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
} w_revsk4_v1 SEC(".maps");

#endif /* WEFT_REVSK_MAPS_H */
