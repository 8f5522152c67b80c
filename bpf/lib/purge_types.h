/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef WEFT_PURGE_TYPES_H
#define WEFT_PURGE_TYPES_H

#include <linux/types.h>

/* Ids of one element of the array. */
#define PURGE_IDS 32

/* Element id / 32, bit id % 32: flows of this backend or of this service are to go. */
struct purge_ids {
	__u32 backends;
	__u32 services;
};

/* What a walk did. */
struct purge_run {
	__u32 tcp;
	__u32 any;
};

#endif /* WEFT_PURGE_TYPES_H */
