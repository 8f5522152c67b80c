/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The shipped XDP path on packets of many flows: what their number costs, and what a flood of them does to a few. */
#define WEFT_XDP

#include "restore.h"

#define KEPT_FLOWS 1000
/* As many of them speak while others flood. */
#define SPEAKING_FLOWS 500
#define KEPT_CLIENTS 0x0c000000

/* How many flows there are, and how far from one to the next that is met: the two have no common divisor. */
const volatile __u64 bench_flows = 1;
const volatile __u64 bench_stride = 1;

/* Flows that were not in the table. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__type(key, __u32);
	__type(value, __u64);
	__uint(max_entries, 1);
} bench_missed SEC(".maps");

/* How the backends answer the flows that are to be kept. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__type(key, __u32);
	__type(value, struct flow_key);
	__uint(max_entries, KEPT_FLOWS);
} bench_answers SEC(".maps");

__u32 bench_kept;

static __always_inline bool restore_many(struct xdp_md *xdp)
{
	return restore_client(xdp, bench_flow++ * bench_stride % bench_flows);
}

SEC("xdp")
int bench_restore(struct xdp_md *xdp)
{
	return restore(xdp) ? XDP_PASS : XDP_ABORTED;
}

SEC("xdp")
int bench_uplink(struct xdp_md *xdp)
{
	return restore(xdp) ? uplink(xdp) : XDP_ABORTED;
}

SEC("xdp")
int bench_restore_many(struct xdp_md *xdp)
{
	return restore_many(xdp) ? XDP_PASS : XDP_ABORTED;
}

SEC("xdp")
int bench_uplink_many(struct xdp_md *xdp)
{
	return restore_many(xdp) ? uplink(xdp) : XDP_ABORTED;
}

/* Counts who is missing, and changes nothing else. */
SEC("xdp")
int bench_miss_many(struct xdp_md *xdp)
{
	struct pkt p = {};
	__u32 zero = 0;
	__u64 *missed = bpf_map_lookup_elem(&bench_missed, &zero);

	if (!missed || !restore_many(xdp) || pkt_parse(xdp, &p) != PARSE_OK)
		return XDP_ABORTED;
	if (!flow_lookup(&p.key))
		(*missed)++;
	return XDP_PASS;
}

SEC("xdp")
int bench_flood(struct xdp_md *xdp)
{
	return restore_new(xdp) ? uplink(xdp) : XDP_ABORTED;
}

/* The next of the first `flows` that are to be kept: its client speaks. */
static __always_inline int keep_client(struct xdp_md *xdp, __u32 flows)
{
	__u32 flow = bench_kept++ % flows;
	struct headers h;

	if (!restore_into(xdp, &h))
		return XDP_ABORTED;
	h.ip->saddr = bpf_htonl(KEPT_CLIENTS + flow);
	return uplink(xdp);
}

/* Its backend answers. */
static __always_inline int keep_backend(struct xdp_md *xdp, __u32 flows)
{
	__u32 flow = bench_kept++ % flows;
	struct flow_key *answer = bpf_map_lookup_elem(&bench_answers, &flow);
	struct headers h;

	if (!answer || !restore_into(xdp, &h))
		return XDP_ABORTED;
	h.ip->saddr = answer->saddr;
	h.ip->daddr = answer->daddr;
	*(__u32 *)h.tcp = answer->sport | (__u32)answer->dport << 16;
	return uplink(xdp);
}

SEC("xdp")
int bench_keep_client(struct xdp_md *xdp)
{
	return keep_client(xdp, KEPT_FLOWS);
}

SEC("xdp")
int bench_keep_backend(struct xdp_md *xdp)
{
	return keep_backend(xdp, KEPT_FLOWS);
}

SEC("xdp")
int bench_speak_client(struct xdp_md *xdp)
{
	return keep_client(xdp, SPEAKING_FLOWS);
}

SEC("xdp")
int bench_speak_backend(struct xdp_md *xdp)
{
	return keep_backend(xdp, SPEAKING_FLOWS);
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
