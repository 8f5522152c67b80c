/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The shipped XDP path on one packet, again and again. A test run hands each repetition the packet that the one before left,
 * so every program here first puts the headers back; what that costs is measured by `bench_restore` and taken off.
 */
#define WEFT_XDP

#include "../../bpf/lib/northsouth.h"
#include "../../bpf/lib/verdict.h"

/* The packet's header fields that programs change, as user space built them; network order. */
const volatile __be32 bench_saddr;
const volatile __be32 bench_daddr;
const volatile __be16 bench_sport;
const volatile __be16 bench_dport;
const volatile __u16 bench_ip_check;
const volatile __u16 bench_l4_check;
const volatile __u8 bench_ttl;

/* Counts flows for the programs that make a new one each time. */
__u64 bench_flow;

/*
 * Without options. Three pointers and not one packed struct, which would be read and written byte by byte: slower for the
 * floor, and for everybody who then reads in one piece what lies in pieces in the store buffer.
 */
struct headers {
	struct ethhdr *eth;
	struct iphdr *ip;
	struct tcphdr *tcp;
};

static __always_inline bool headers_of(struct xdp_md *xdp, struct headers *h)
{
	h->eth = ctx_data(xdp);
	h->ip = (void *)(h->eth + 1);
	h->tcp = (void *)(h->ip + 1);
	return (void *)(h->tcp + 1) <= ctx_data_end(xdp);
}

static __always_inline bool restore_into(struct xdp_md *xdp, struct headers *h)
{
	if (!headers_of(xdp, h))
		return false;
	h->ip->saddr = bench_saddr;
	h->ip->daddr = bench_daddr;
	h->ip->check = bench_ip_check;
	h->ip->ttl = bench_ttl;
	/* A device writes the frame long before it is read: nobody may have to wait for one half of the ports. */
	*(__u32 *)h->tcp = bench_sport | (__u32)bench_dport << 16;
	h->tcp->check = bench_l4_check;
	return true;
}

static __always_inline bool restore(struct xdp_md *xdp)
{
	struct headers h;

	return restore_into(xdp, &h);
}

/* A client never seen before: 2^15 ports on each of 2^24 addresses. The programs take checksums as they are. */
static __always_inline bool restore_new(struct xdp_md *xdp)
{
	__u64 flow = bench_flow++;
	struct headers h;

	if (!restore_into(xdp, &h))
		return false;
	h.ip->saddr = bpf_htonl(0x0b000000 + (__u32)((flow >> 15) & 0xffffff));
	*(__u32 *)h.tcp = bpf_htons(0x8000 + (flow & 0x7fff)) | (__u32)bench_dport << 16;
	return true;
}

/* The body of weft_xdp_uplink. */
static __always_inline int uplink(struct xdp_md *xdp)
{
	struct pkt p = {};
	bool done = false;
	int verdict = ns_ingress(xdp, &p, &done);

	return verdict_account(xdp, &p, MET_INGRESS, verdict, done);
}

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
	return flow_lookup(&p.key) ? XDP_PASS : XDP_DROP;
}

SEC("xdp")
int step_insert_new(struct xdp_md *xdp)
{
	struct flow_val flow = {};
	struct pkt p = {};

	if (!restore_new(xdp) || !parsed(xdp, &p) || flow_lookup(&p.key))
		return XDP_ABORTED;
	return flow_insert(&p.key, &flow, BPF_NOEXIST) ? XDP_DROP : XDP_PASS;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
