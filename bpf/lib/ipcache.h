/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef WEFT_IPCACHE_H
#define WEFT_IPCACHE_H

#include "ipcache_maps.h"

/* Identities from here on are those of pods, but for the ones with this bit: prefixes that only this node has a number for. */
#define ID_FIRST_POD 256
#define ID_LOCAL_SCOPE (1 << 24)

static __always_inline struct ipc_val *ipc_lookup(__be32 addr)
{
	struct ipc_key key = { .prefixlen = IPC_PREFIX_STATIC + 32, .family = ADDR_V4, .addr.word[0] = addr };

	return bpf_map_lookup_elem(&w_ipc_v1, &key);
}

#endif /* WEFT_IPCACHE_H */
