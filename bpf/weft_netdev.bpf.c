/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* tc hooks of a node's devices: services for packets. */
#include "lib/egress.h"
#include "lib/northsouth.h"
#include "lib/verdict.h"

/* Ingress of the uplink. */
SEC("tc")
int weft_from_netdev(struct __sk_buff *skb)
{
	struct pkt p = {};
	bool done = false;
	int verdict = ns_ingress(skb, &p, &done);

	return verdict_account(skb, &p, MET_INGRESS, verdict, done);
}

/* Egress of the uplink. */
SEC("tc")
int weft_to_netdev(struct __sk_buff *skb)
{
	struct pkt p = {};
	bool done = false;
	int verdict = egress(skb, &p, &done);

	return verdict_account(skb, &p, MET_EGRESS, verdict, done);
}

/* Ingress of the node's side of a pod's veth: what the pod sends. */
SEC("tc")
int weft_from_pod(struct __sk_buff *skb)
{
	struct pkt p = {};
	bool done = false;
	int verdict = egress_from_pod(skb, &p, &done);

	return verdict_account(skb, &p, MET_EGRESS, verdict, done);
}

/* Egress of the same device: what the pod gets. */
SEC("tc")
int weft_to_pod(struct __sk_buff *skb)
{
	struct pkt p = {};
	bool done = false;
	int verdict = inside_deliver(skb, &p, &done);

	return verdict_account(skb, &p, MET_INGRESS, verdict, done);
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
