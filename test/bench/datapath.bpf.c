/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The shipped XDP path on one packet, again and again. */
#define WEFT_XDP

#include "restore.h"

/* The packet's length, for what makes it longer. */
const volatile __u32 bench_len;

SEC("xdp")
int bench_restore(struct xdp_md *xdp)
{
	return restore(xdp) ? XDP_PASS : XDP_ABORTED;
}

SEC("xdp")
int bench_restore_new(struct xdp_md *xdp)
{
	return restore_new(xdp) ? XDP_PASS : XDP_ABORTED;
}

/*
 * The least a load balancer can do: know the headers, find the service (one hash lookup), find the backend (one array
 * lookup), write address and port and put both checksums right. Written out by hand, without anything of the real path.
 */
SEC("xdp")
int bench_floor(struct xdp_md *xdp)
{
	struct svc_key key = {};
	__u32 addr, ports, index;
	struct svc_val *svc;
	struct be_val *be;
	struct headers h;

	if (!restore_into(xdp, &h))
		return XDP_ABORTED;
	if (h.eth->h_proto != bpf_htons(ETH_P_IP) || *(__u8 *)h.ip != 0x45 || h.ip->protocol != IPPROTO_TCP)
		return XDP_PASS;
	key.vip = h.ip->daddr;
	key.port = h.tcp->dest;
	key.proto = IPPROTO_TCP;
	svc = bpf_map_lookup_elem(&w_svc4_v1, &key);
	if (!svc)
		return XDP_PASS;
	index = svc->svc_id;
	be = bpf_map_lookup_elem(&w_be4_v1, &index);
	if (!be)
		return XDP_PASS;
	addr = csum_plus32(be->addr) + csum_minus32(key.vip);
	ports = csum_plus16(be->port) + csum_minus16(key.port);
	h.ip->daddr = be->addr;
	h.ip->check = csum_apply(h.ip->check, addr);
	h.tcp->dest = be->port;
	h.tcp->check = csum_apply(h.tcp->check, addr + ports);
	return XDP_TX;
}

SEC("xdp")
int bench_uplink(struct xdp_md *xdp)
{
	return restore(xdp) ? uplink(xdp) : XDP_ABORTED;
}

SEC("xdp")
int bench_uplink_new(struct xdp_md *xdp)
{
	return restore_new(xdp) ? uplink(xdp) : XDP_ABORTED;
}

/* Takes off what the run before has put in front, which is the benchmark's work as putting headers back is. */
static __always_inline bool restore_short(struct xdp_md *xdp, bool may_stay)
{
	__u32 len = ctx_len(xdp), extra = len > bench_len ? len - bench_len : 0;

	if ((extra || may_stay) && bpf_xdp_adjust_head(xdp, extra))
		return false;
	return restore(xdp);
}

SEC("xdp")
int bench_restore_dsr(struct xdp_md *xdp)
{
	return restore_short(xdp, true) ? XDP_PASS : XDP_ABORTED;
}

SEC("xdp")
int bench_uplink_dsr(struct xdp_md *xdp)
{
	return restore_short(xdp, false) ? uplink(xdp) : XDP_ABORTED;
}

/* Where the time goes: each of these goes one step further along the path than the one before, and ends there. */

static __always_inline bool parsed(struct xdp_md *xdp, struct pkt *p)
{
	return pkt_parse(xdp, p) == PARSE_OK;
}

static __always_inline struct be_val *chosen(const struct pkt *p)
{
	struct svc_val *svc = svc_lookup(p->key.daddr, p->key.dport, p->key.proto, SVC_SCOPE_EXT);
	__u32 id = svc ? select_backend(svc, &p->key, 0) : 0;

	return id ? backend_lookup(id) : NULL;
}

SEC("xdp")
int step_parse(struct xdp_md *xdp)
{
	struct pkt p = {};

	return restore(xdp) && parsed(xdp, &p) ? (p.key.sport ^ p.l4_check ^ p.tot_len) & 1 : XDP_DROP;
}

SEC("xdp")
int step_service(struct xdp_md *xdp)
{
	struct pkt p = {};

	if (!restore(xdp) || !parsed(xdp, &p))
		return XDP_ABORTED;
	return svc_lookup(p.key.daddr, p.key.dport, p.key.proto, SVC_SCOPE_EXT) ? XDP_PASS : XDP_DROP;
}

SEC("xdp")
int step_select(struct xdp_md *xdp)
{
	struct pkt p = {};

	if (!restore(xdp) || !parsed(xdp, &p))
		return XDP_ABORTED;
	return chosen(&p) ? XDP_PASS : XDP_DROP;
}

SEC("xdp")
int step_rewrite(struct xdp_md *xdp)
{
	struct pkt p = {};
	struct flow_rw rw;
	struct be_val *be;

	if (!restore(xdp) || !parsed(xdp, &p))
		return XDP_ABORTED;
	be = chosen(&p);
	if (!be)
		return XDP_DROP;
	flow_rw_set_dst(&rw, &p.key, be->addr, be->port);
	return pkt_rewrite(xdp, &p, &rw, true) ? XDP_DROP : XDP_PASS;
}

SEC("xdp")
int step_flow(struct xdp_md *xdp)
{
	struct pkt p = {};

	if (!restore(xdp) || !parsed(xdp, &p))
		return XDP_ABORTED;
	return flow_lookup(&p.key) ? XDP_PASS : XDP_DROP;
}

/* A flow that is not there, and one of its two entries. */
SEC("xdp")
int step_flow_new(struct xdp_md *xdp)
{
	struct pkt p = {};

	if (!restore_new(xdp) || !parsed(xdp, &p))
		return XDP_ABORTED;
	return flow_of(&p) ? XDP_PASS : XDP_DROP;
}

SEC("xdp")
int step_insert_new(struct xdp_md *xdp)
{
	struct flow_val flow = {};
	struct pkt p = {};

	if (!restore_new(xdp) || !parsed(xdp, &p) || flow_of(&p))
		return XDP_ABORTED;
	return flow_insert(&p.key, &flow, BPF_NOEXIST) ? XDP_DROP : XDP_PASS;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
