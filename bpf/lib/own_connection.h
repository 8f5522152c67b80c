/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef WEFT_OWN_CONNECTION_H
#define WEFT_OWN_CONNECTION_H

#include <linux/in.h>

#include "ctx.h"
#include "flow_types.h"

/* Whose socket a packet would be. */
static __always_inline struct bpf_sock_tuple flow_sock_tuple(const struct flow_key *key)
{
	return (struct bpf_sock_tuple){ .ipv4 = { key->saddr, key->daddr, key->sport, key->dport } };
}

/*
 * The answer to a connection that the node opened from a port which is also a pod's hostPort. Local sockets get no node port,
 * but there is no telling which hostPorts there will be. What listens there does not count: the pod has the port. Two
 * functions, for what the look-ups return must not meet in one register.
 */
__noinline int is_own_tcp(ctx_t *ctx, const struct flow_key *pkt)
{
	struct bpf_sock_tuple tuple;
	struct bpf_sock *sk;
	int own;

	if (!pkt)
		return false;
	tuple = flow_sock_tuple(pkt);
	sk = bpf_skc_lookup_tcp(ctx, &tuple, sizeof(tuple.ipv4), BPF_F_CURRENT_NETNS, 0);
	if (!sk)
		return false;
	own = sk->state != BPF_TCP_LISTEN;
	bpf_sk_release(sk);
	return own;
}

__noinline int is_own_udp(ctx_t *ctx, const struct flow_key *pkt)
{
	struct bpf_sock_tuple tuple;
	struct bpf_sock *sk;
	int own;

	if (!pkt)
		return false;
	tuple = flow_sock_tuple(pkt);
	sk = bpf_sk_lookup_udp(ctx, &tuple, sizeof(tuple.ipv4), BPF_F_CURRENT_NETNS, 0);
	if (!sk)
		return false;
	/* Connected, and so to whom this comes from. */
	own = sk->dst_port != 0;
	bpf_sk_release(sk);
	return own;
}

static __always_inline bool is_own_connection(ctx_t *ctx, const struct flow_key *pkt)
{
	return pkt->proto == IPPROTO_TCP ? is_own_tcp(ctx, pkt) : is_own_udp(ctx, pkt);
}

#endif /* WEFT_OWN_CONNECTION_H */
