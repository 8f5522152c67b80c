/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef WEFT_METRICS_H
#define WEFT_METRICS_H

#include "metrics_maps.h"

static __always_inline void met_count(enum met_dir dir, __u8 reason, __u32 bytes)
{
	__u32 index = dir * MET_REASONS + reason;
	struct met_val *met = bpf_map_lookup_elem(&w_met_v1, &index);

	if (!met)
		return;
	met->packets++;
	met->bytes += bytes;
}

#endif /* WEFT_METRICS_H */
