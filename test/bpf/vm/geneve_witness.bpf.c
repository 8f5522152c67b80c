/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Ingress of a geneve device of the kernel: notes what its own decoder understood of each packet, and lets the next filter decide. */
#include <stdbool.h>

#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/pkt_cls.h>
#include <linux/tcp.h>

#include <bpf/bpf_helpers.h>

#define ROOM 64
#define OPTIONS 16

/* The test reads these bytes as they stand here. */
struct seen {
	/* Of the tunnel, as the kernel's helper gives it: host order. */
	__u32 vni;
	__u32 from;
	__u8 ttl;
	__u8 proto;
	__u8 tcp_flags;
	/* 255 where there were none. */
	__u8 option_bytes;
	__u8 options[OPTIONS];
	/* Of the packet inside: network order. */
	__u32 saddr;
	__u32 daddr;
	__u32 ports;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, ROOM);
	__type(key, __u32);
	__type(value, struct seen);
} seen SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} count SEC(".maps");

SEC("tc")
int geneve_witness(struct __sk_buff *skb)
{
	struct bpf_tunnel_key tunnel = {};
	struct seen now = {};
	__u32 zero = 0, *counted = bpf_map_lookup_elem(&count, &zero), at;
	struct iphdr ip;
	int got;

	if (!counted || skb->protocol != __builtin_bswap16(ETH_P_IP) || bpf_skb_load_bytes(skb, ETH_HLEN, &ip, sizeof(ip)))
		return TC_ACT_UNSPEC;
	if (bpf_skb_get_tunnel_key(skb, &tunnel, sizeof(tunnel), 0))
		return TC_ACT_UNSPEC;
	got = bpf_skb_get_tunnel_opt(skb, now.options, sizeof(now.options));
	now.option_bytes = got > 0 ? got : 255;
	now.vni = tunnel.tunnel_id;
	now.from = tunnel.remote_ipv4;
	now.ttl = tunnel.tunnel_ttl;
	now.proto = ip.protocol;
	now.saddr = ip.saddr;
	now.daddr = ip.daddr;
	bpf_skb_load_bytes(skb, ETH_HLEN + sizeof(ip), &now.ports, sizeof(now.ports));
	if (ip.protocol == IPPROTO_TCP)
		bpf_skb_load_bytes(skb, ETH_HLEN + sizeof(ip) + 13, &now.tcp_flags, 1);
	at = __sync_fetch_and_add(counted, 1);
	if (at < ROOM)
		bpf_map_update_elem(&seen, &at, &now, BPF_ANY);
	return TC_ACT_UNSPEC;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
