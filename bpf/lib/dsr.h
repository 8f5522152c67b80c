/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef WEFT_DSR_H
#define WEFT_DSR_H

#include "flow.h"
#include "ipcache.h"
#include "service.h"

/*
 * The node that a backend is on, if it takes packets for it encapsulated; 0 where nobody said so. A backend that shares the
 * network of its node is known by the node's address.
 */
static __always_inline __be32 dsr_node(const struct be_val *be)
{
	__be32 node = be->node_ip;
	struct ipc_val *ipc;

	if (!node) {
		ipc = ipc_lookup(be->addr);
		if (!ipc)
			return 0;
		if (ipc->flags & IPC_IS_NODE)
			node = be->addr;
		else if ((ipc->flags & (IPC_HAS_TUN | IPC_TUN6)) == IPC_HAS_TUN)
			node = ipc->tunnel.word[0];
		else
			return 0;
	}
	ipc = ipc_lookup(node);
	return ipc && (ipc->flags & (IPC_IS_NODE | IPC_DSR_OK)) == (IPC_IS_NODE | IPC_DSR_OK) ? node : 0;
}

/* Once a second for each flow: an address may have moved to another node. A flow that has a node keeps one. */
__noinline int dsr_follow(struct flow_val *flow)
{
	struct be_val *be = flow ? backend_lookup(flow->backend_id) : NULL;
	__be32 node = be ? dsr_node(be) : 0;

	if (flow && node && node != flow->rw.saddr)
		flow->rw.saddr = node;
	return 0;
}

#endif /* WEFT_DSR_H */
