/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef WEFT_SOCKET_H
#define WEFT_SOCKET_H

/* Services for sockets of this node: the destination is chosen when the call is made, packets need no translation. */
#include <linux/errno.h>
#include <linux/in.h>

#include "affinity.h"
#include "clock.h"
#include "endpoint.h"
#include "event.h"
#include "ipcache.h"
#include "metrics.h"
#include "revsk_maps.h"
#include "service.h"

/* NodePorts, host order, both ends included. */
const volatile __u16 cfg_nodeport_min = 30000;
const volatile __u16 cfg_nodeport_max = 32767;
/* Cookie of the node's network namespace; 0: the initial one. */
const volatile __u64 cfg_host_netns_cookie = 0;
/* Calls of processes in pods are left alone: their packets are translated. */
const volatile bool cfg_sock_host_only = false;
/* bpf_set_retval in these hooks: Linux 6.1. Without it a refused call fails with EPERM. */
const volatile bool cfg_set_retval = true;

enum sock_verdict {
	SOCK_REJECT = 0,
	SOCK_ALLOW = 1,
};

/* What a socket call says about itself. */
struct sock_call {
	__be32 addr;
	__be16 port;
	__u8 proto;
};

static __always_inline int sock_fail(int error)
{
	if (cfg_set_retval)
		bpf_set_retval(-error);
	return SOCK_REJECT;
}

static __always_inline bool sock_in_host_netns(struct bpf_sock_addr *ctx)
{
	__u64 host = cfg_host_netns_cookie ?: bpf_get_netns_cookie(NULL);

	return bpf_get_netns_cookie(ctx) == host;
}

static __always_inline bool addr_is_node(__be32 addr)
{
	struct ipc_val *ipc;

	if (ep_is_host(addr))
		return true;
	ipc = ipc_lookup(addr);
	return ipc && (ipc->identity == ID_HOST || ipc->identity == ID_REMOTE_NODE);
}

/* A NodePort is answered on every node's addresses, and on loopback for the node itself. */
static __always_inline struct svc_val *sock_nodeport(struct bpf_sock_addr *ctx, const struct sock_call *call)
{
	__u16 port = bpf_ntohs(call->port);

	if (port < cfg_nodeport_min || port > cfg_nodeport_max)
		return NULL;
	if (addr_is_loopback(call->addr) ? !sock_in_host_netns(ctx) : !addr_is_node(call->addr))
		return NULL;
	return svc_lookup(0, call->port, call->proto, SVC_SCOPE_EXT);
}

static __always_inline struct svc_val *sock_service(struct bpf_sock_addr *ctx, const struct sock_call *call)
{
	struct svc_val *svc = svc_lookup(call->addr, call->port, call->proto, SVC_SCOPE_EXT);
	__be32 vip = call->addr;

	if (!svc) {
		svc = sock_nodeport(ctx, call);
		vip = 0;
	}
	if (!svc)
		return NULL;
	/* An external address is whatever a user wrote down: only believe it where it is our own (CVE-2020-8554). */
	if (svc->flags & SVC_EXT_IP && !ep_is_host(call->addr))
		return NULL;
	/* Every namespace has a loopback of its own: only the node's is meant. */
	if (svc->flags & SVC_HOSTPORT_LOOPBACK && !sock_in_host_netns(ctx))
		return NULL;
	return svc_inside(svc, vip, call->port, call->proto);
}

/* All datagrams of a socket go to one slot, connections anywhere. Maglev is for packets. */
static __always_inline __u32 sock_slot(struct bpf_sock_addr *ctx, const struct svc_val *svc, __u8 proto)
{
	__u32 pick;

	if (proto == IPPROTO_TCP)
		pick = ((__u64)bpf_get_prandom_u32() * svc->count) >> 32;
	else
		pick = (__u32)bpf_get_socket_cookie(ctx) % svc->count;
	return slot_read(svc->slot_off + pick);
}

static __always_inline __u32 sock_select(struct bpf_sock_addr *ctx, const struct svc_val *svc, __u8 proto)
{
	struct aff_key key = { .svc_id = svc->svc_id, .is_netns = 1 };
	__u32 now, id = 0;

	if (!svc->count)
		return 0;
	if (!(svc->flags & SVC_AFFINITY))
		return sock_slot(ctx, svc, proto);
	key.client = bpf_get_netns_cookie(ctx);
	now = clock_s();
	id = affinity_get(svc, &key, now);
	if (id)
		return id;
	id = sock_slot(ctx, svc, proto);
	if (id)
		affinity_set(&key, id, now);
	return id;
}

/* Remember what the application asked for. A socket that keeps sending to one service costs no write. */
static __always_inline long sock_remember(struct bpf_sock_addr *ctx, const struct sock_call *call,
					  const struct be_val *be, __u32 svc_id)
{
	struct revsk_key key = { .cookie = bpf_get_socket_cookie(ctx), .addr = be->addr, .port = be->port };
	struct revsk_val val = { .vip = call->addr, .port = call->port, .svc_id = svc_id };
	struct revsk_val *old = bpf_map_lookup_elem(&w_revsk4_v1, &key);

	if (old && old->vip == val.vip && old->port == val.port && old->svc_id == svc_id)
		return 0;
	return bpf_map_update_elem(&w_revsk4_v1, &key, &val, BPF_ANY);
}

static __always_inline int sock_no_backend(const struct sock_call *call)
{
	struct flow_key tuple = { .daddr = call->addr, .dport = call->port, .proto = call->proto };

	met_count(MET_SOCKET, DROP_NO_SERVICE, 0);
	event_drop(MET_SOCKET, DROP_NO_SERVICE, 0, &tuple, 0);
	return sock_fail(EHOSTUNREACH);
}

/* connect and sendmsg: from the service's address to a backend's. */
static __always_inline int sock_translate(struct bpf_sock_addr *ctx)
{
	struct sock_call call = { .addr = ctx->user_ip4, .port = (__be16)ctx->user_port, .proto = ctx->protocol };
	struct svc_val *svc;
	struct be_val *be;
	__u32 id;

	if (call.proto != IPPROTO_TCP && call.proto != IPPROTO_UDP)
		return SOCK_ALLOW;
	if (cfg_sock_host_only && !sock_in_host_netns(ctx))
		return SOCK_ALLOW;
	svc = sock_service(ctx, &call);
	if (!svc)
		return SOCK_ALLOW;
	id = sock_select(ctx, svc, call.proto);
	be = id ? backend_lookup(id) : NULL;
	if (!be)
		return sock_no_backend(&call);
	/* Answers to a datagram carry the backend's address: without a memory of it the call must not go out. */
	if (sock_remember(ctx, &call, be, svc->svc_id) && call.proto == IPPROTO_UDP)
		return sock_fail(ENOMEM);
	ctx->user_ip4 = be->addr;
	ctx->user_port = be->port;
	met_count(MET_SOCKET, REASON_FORWARDED, 0);
	return SOCK_ALLOW;
}

/* The service is still the one that was asked: its id may have been given to another since. A NodePort has address 0 there. */
static __always_inline bool sock_service_holds(const struct revsk_val *asked)
{
	__u32 svc_id = asked->svc_id;
	struct rnat_val *rnat = bpf_map_lookup_elem(&w_rnat4_v1, &svc_id);

	return rnat && rnat->port == asked->port && (rnat->vip == asked->vip || !rnat->vip);
}

/* recvmsg and getpeername: from the backend's address back to the service's. */
static __always_inline int sock_untranslate(struct bpf_sock_addr *ctx)
{
	struct revsk_key key = {
		.cookie = bpf_get_socket_cookie(ctx),
		.addr = ctx->user_ip4,
		.port = (__be16)ctx->user_port,
	};
	struct revsk_val *asked = bpf_map_lookup_elem(&w_revsk4_v1, &key);

	if (!asked)
		return SOCK_ALLOW;
	if (!sock_service_holds(asked)) {
		bpf_map_delete_elem(&w_revsk4_v1, &key);
		return SOCK_ALLOW;
	}
	ctx->user_ip4 = asked->vip;
	ctx->user_port = asked->port;
	return SOCK_ALLOW;
}

/* A closed socket asks no more. What an unconnected one sent to is not known here and left to the LRU. */
static __always_inline int sock_forget(struct bpf_sock *sk)
{
	struct revsk_key key = {
		.addr = sk->dst_ip4,
		.port = sk->dst_port,
	};

	if (!key.addr)
		return SOCK_ALLOW;
	key.cookie = bpf_get_socket_cookie(sk);
	bpf_map_delete_elem(&w_revsk4_v1, &key);
	return SOCK_ALLOW;
}

#endif /* WEFT_SOCKET_H */
