/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The uplink's ingress again, before the kernel has made a packet of the frame. */
#define WEFT_XDP

#include "lib/northsouth.h"
#include "lib/verdict.h"

SEC("xdp")
int weft_xdp_uplink(struct xdp_md *xdp)
{
	struct pkt p = {};
	bool done = false;
	int verdict = ns_ingress(xdp, &p, &done);

	return verdict_account(xdp, &p, MET_INGRESS, verdict, done);
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
