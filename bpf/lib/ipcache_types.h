/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef WEFT_IPCACHE_TYPES_H
#define WEFT_IPCACHE_TYPES_H

#include <linux/types.h>

#include "address_types.h"

enum ipc_flag {
	IPC_HAS_TUN = 1 << 0,
	IPC_TUN6 = 1 << 1,
	IPC_SKIP_TUN = 1 << 2,
	IPC_REMOTE_CLUSTER = 1 << 3,
	IPC_IS_NODE = 1 << 4,
	/* The agent on that node said that it receives DSR. */
	IPC_DSR_OK = 1 << 5,
};

enum identity {
	ID_UNKNOWN = 0,
	ID_HOST = 1,
	ID_WORLD = 2,
	ID_REMOTE_NODE = 6,
};

/* Bits of the key before the address: cluster_id, pad, family. prefixlen counts them too. */
#define IPC_PREFIX_STATIC 32

struct ipc_key {
	__u32 prefixlen;
	__u16 cluster_id;
	__u8 pad;
	__u8 family;
	struct addr16 addr;
};

struct ipc_val {
	__u32 identity;
	__u32 flags;
	__u16 cluster_id;
	__u8 key;
	__u8 zero[5];
	struct addr16 tunnel;
};

#endif /* WEFT_IPCACHE_TYPES_H */
