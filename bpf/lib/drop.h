/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef WEFT_DROP_H
#define WEFT_DROP_H

/*
 * Why a packet was dropped. The numbers are those of Cilium where it has one for the case, so that dashboards and people
 * read them as they know them. The names, lower case and with dashes, are what users see.
 */
enum drop_reason {
	/* Not drops: counted under the same index. */
	REASON_FORWARDED = 0,
	REASON_EVENT_LOST = 1,
	/* A new flow of a DSR service whose backend's node takes none: it goes by SNAT. */
	REASON_DSR_FALLBACK = 2,

	/* Encapsulated, and not by a node that is known. */
	DROP_BAD_SOURCE = 132,
	DROP_INVALID_PACKET = 134,
	DROP_FRAG_NEEDED = 136,
	DROP_WRITE_ERROR = 141,
	DROP_FLOW_CREATE_FAILED = 155,
	/* No backend for this frontend, or an address kept for services with no such frontend. */
	DROP_NO_SERVICE = 158,
	/* Encapsulated for a backend that is not on this node. */
	DROP_HOST_UNREACHABLE = 164,
	DROP_NAT_NO_MAPPING = 167,
	/* Neither TCP nor UDP nor ICMP, from a pod to where its address means nothing. */
	DROP_NAT_UNSUPPORTED_PROTO = 168,
	DROP_NO_FIB = 169,
	/* A pod that sends what only nodes may send. */
	DROP_ENCAP_PROHIBITED = 170,
	DROP_CLUSTER_IP_FROM_OUTSIDE = 174,
	/* A later fragment whose first one did not come by, or whose flow is gone. */
	DROP_FRAG_NOT_FOUND = 175,
	/* loadBalancerSourceRanges. */
	DROP_NOT_IN_SOURCE_RANGE = 177,
	DROP_TTL_EXCEEDED = 196,
};

#endif /* WEFT_DROP_H */
