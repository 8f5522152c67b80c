/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef WEFT_CLOCK_H
#define WEFT_CLOCK_H

#include "common.h"

/*
 * CLOCK_MONOTONIC in whole seconds, at most 20 ms late. Division by 10^9 as shift, multiply, shift: BPF has no wide
 * multiply, and a 64-bit division costs more than the rest of a flow hit. Good for 30 years of uptime.
 */
static __always_inline __u32 clock_s(void)
{
	return ((bpf_ktime_get_coarse_ns() >> 24) * 288230376ULL) >> 34;
}

#endif /* WEFT_CLOCK_H */
