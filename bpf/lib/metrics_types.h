/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef WEFT_METRICS_TYPES_H
#define WEFT_METRICS_TYPES_H

#include <linux/types.h>

enum met_dir {
	MET_INGRESS = 0,
	MET_EGRESS = 1,
	MET_SOCKET = 2,
};

#define MET_DIRS 3

/* Reasons per direction: element [dir * MET_REASONS + reason]. */
#define MET_REASONS 256

struct met_val {
	__u64 packets;
	__u64 bytes;
};

#endif /* WEFT_METRICS_TYPES_H */
