/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef WEFT_EVENT_MAPS_H
#define WEFT_EVENT_MAPS_H

#include "common.h"
#include "event_types.h"

#define EVENT_RING_BYTES (256 << 10)

/* Events for the agent. Never wakes the reader: it polls. When full, events are lost and counted, packets are not. */
struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, EVENT_RING_BYTES);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
} w_ev SEC(".maps");

#endif /* WEFT_EVENT_MAPS_H */
