/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef WEFT_SERVICE_TYPES_H
#define WEFT_SERVICE_TYPES_H

#include <linux/types.h>

/* The two views of a frontend: EXT is what the world sees, INT what sockets of this node see where the two differ. */
enum svc_scope {
	SVC_SCOPE_EXT = 0,
	SVC_SCOPE_INT = 1,
};

enum svc_flag {
	SVC_EXT_IP = 1 << 0,
	SVC_NODEPORT = 1 << 1,
	SVC_LB = 1 << 2,
	SVC_HOSTPORT = 1 << 3,
	SVC_HOSTPORT_LOOPBACK = 1 << 4,
	/* Answers traffic from outside the node. */
	SVC_ROUTABLE = 1 << 5,
	SVC_AFFINITY = 1 << 6,
	SVC_SRC_CHECK = 1 << 7,
	SVC_SRC_DENY = 1 << 8,
	SVC_ETP_LOCAL = 1 << 9,
	SVC_ITP_LOCAL = 1 << 10,
	/* There is an INT entry too. */
	SVC_TWO_SCOPES = 1 << 11,
	/* Proto 0, port 0: what reaches this address and is no frontend is dropped instead of looping in the network. */
	SVC_WILDCARD_DROP = 1 << 13,
	SVC_CLUSTER_IP = 1 << 14,
};

enum svc_algorithm {
	SVC_ALG_RANDOM = 1,
	SVC_ALG_MAGLEV = 2,
};

enum svc_forward {
	SVC_FWD_SNAT = 1,
	SVC_FWD_DSR = 2,
};

struct svc_key {
	__be32 vip;
	__be16 port;
	__u8 proto;
	__u8 scope;
	__u32 zero;
};

/*
 * One element publishes a whole service: slots [slot_off, slot_off + count) are selectable, the next qcount are kept but
 * never chosen, [mag_off, mag_off + mag_m) is the Maglev table (mag_m 0: none).
 */
struct svc_val {
	__u32 svc_id;
	__u32 flags;
	__u32 affinity_timeout_s;
	__u8 algorithm;
	__u8 fwd_mode;
	__u16 zero;
	__u32 count;
	__u32 qcount;
	__u32 slot_off;
	__u32 mag_off;
	__u32 mag_m;
};

/* 0 is not a state: an all-zero element means that no backend has this id. */
enum be_state {
	BE_ACTIVE = 1,
	BE_TERMINATING = 2,
	BE_QUARANTINED = 3,
	BE_MAINTENANCE = 4,
};

enum be_flag {
	BE_HOST_NET = 1 << 0,
};

struct be_val {
	__be32 addr;
	__be16 port;
	__u8 proto;
	__u8 state;
	__u16 cluster_id;
	__u8 zone;
	__u8 flags;
	__be32 node_ip;
};

struct rnat_val {
	__be32 vip;
	__be16 port;
	__u16 flags;
};

#endif /* WEFT_SERVICE_TYPES_H */
