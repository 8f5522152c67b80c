/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * A device that hands over datagrams: frames in pages with room in front, many in one go. Run on live frames
 * (BPF_F_TEST_XDP_LIVE_FRAMES), which sends what is redirected.
 */
#include <linux/if_ether.h>
#include <linux/ip.h>
#include <linux/udp.h>

#include "../../bpf/lib/common.h"
#include "../../bpf/lib/csum.h"

/* All headers are in it, and the rest of the last word. */
#define HEAD_WORDS 6

const volatile __u32 bench_ifindex = 0;
const volatile __u64 bench_head[HEAD_WORDS] = {};
/* Flows: as many source ports from the frame's own one on. */
const volatile __u32 bench_flows = 1;

__u32 bench_next;

SEC("xdp")
int bench_send(struct xdp_md *xdp)
{
	void *data = (void *)(long)xdp->data;
	struct udphdr *udp = data + sizeof(struct ethhdr) + sizeof(struct iphdr);
	__u32 flow = bench_next, i;
	__u64 *words = data;
	__be16 first;

	if (data + sizeof(__u64) * HEAD_WORDS > (void *)(long)xdp->data_end)
		return XDP_ABORTED;
	/* The page has carried another frame before, and holds what became of it. */
	for (i = 0; i < HEAD_WORDS; i++)
		words[i] = bench_head[i];
	bench_next = flow + 1 < bench_flows ? flow + 1 : 0;
	first = udp->source;
	udp->source = bpf_htons(bpf_ntohs(first) + flow);
	udp->check = csum_apply(udp->check, csum_plus16(udp->source) + csum_minus16(first));
	return bpf_redirect(bench_ifindex, 0);
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
