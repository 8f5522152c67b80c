/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef BENCH_RESTORE_H
#define BENCH_RESTORE_H

/*
 * A test run hands each repetition the packet that the one before left, so every program first puts the headers back; what
 * that costs is measured by a program that does nothing else, and taken off.
 */
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

/* A device writes the frame long before it is read: nobody may have to wait for one half of the addresses or ports. */
static __always_inline bool restore_from(struct xdp_md *xdp, struct headers *h, __be32 saddr, __be16 sport)
{
	if (!headers_of(xdp, h))
		return false;
	*(__u64 *)&h->ip->saddr = saddr | (__u64)bench_daddr << 32;
	h->ip->check = bench_ip_check;
	h->ip->ttl = bench_ttl;
	*(__u32 *)h->tcp = sport | (__u32)bench_dport << 16;
	h->tcp->check = bench_l4_check;
	return true;
}

static __always_inline bool restore_into(struct xdp_md *xdp, struct headers *h)
{
	return restore_from(xdp, h, bench_saddr, bench_sport);
}

static __always_inline bool restore(struct xdp_md *xdp)
{
	struct headers h;

	return restore_into(xdp, &h);
}

/* One of many clients: 2^15 ports on each of 2^24 addresses. The programs take checksums as they are. */
static __always_inline bool restore_client(struct xdp_md *xdp, __u64 flow)
{
	struct headers h;

	return restore_from(xdp, &h, bpf_htonl(0x0b000000 + (__u32)((flow >> 15) & 0xffffff)),
			    bpf_htons(0x8000 + (flow & 0x7fff)));
}

/* One never seen before. */
static __always_inline bool restore_new(struct xdp_md *xdp)
{
	return restore_client(xdp, bench_flow++);
}

/* The body of weft_xdp_uplink. */
static __always_inline int uplink(struct xdp_md *xdp)
{
	struct pkt p = {};
	bool done = false;
	int verdict = ns_ingress(xdp, &p, &done);

	return verdict_account(xdp, &p, MET_INGRESS, verdict, done);
}

#endif /* BENCH_RESTORE_H */
